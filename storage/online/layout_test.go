package online

import (
	"math"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLayout(t *testing.T) {
	asOf := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	list := List{ID: "l1", Version: "v7", Variant: "b", Personalized: true, Items: []ListItem{
		{Item: "sku/1", Score: 0.5, Reasons: []Reason{{Kind: "event", Ref: "sku 2", Contribution: 0.25}}}, {Item: "sku2", Score: -1},
	}}
	make := func(e Entry, err error) Entry {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, tt := range []struct {
		got                Entry
		key, owner, value  string
		expires            int64
		decoded, wantAgain any
	}{
		{got: make(MetaEntry([]byte(`{"version":"v7"}`))), key: "meta", value: `{"version":"v7"}`},
		{got: make(UnprofiledEntry(List{ID: "u", Personalized: true})), key: "unprofiled", value: `{"id":"u","version":"","personalized":false,"items":null}`},
		{
			got: make(ListEntry("k1:ab", list, 9)), key: "list/k1%3Aab", owner: "k1:ab", expires: 9,
			value: `{"id":"l1","version":"v7","variant":"b","personalized":true,"items":[` +
				`{"item":"sku/1","score":0.5,"reasons":[{"kind":"event","ref":"sku 2","contribution":0.25}]},{"item":"sku2","score":-1}]}`,
		},
		// 1, −0.5 and 3 are the bytes 0000803f 000000bf 00004040.
		{got: make(VectorEntry("o", Vector{1, -0.5, 3}, 3)), key: "vector/o", owner: "o", expires: 3, value: `"AACAPwAAAL8AAEBA"`},
		{
			got: make(CandidatesEntry("k1:ab", Candidates{"7", []string{"x", "y"}, Vector{1, -0.5}, Vector{3, float32(math.NaN())}}, 5)),
			key: "candidates/k1%3Aab", owner: "k1:ab", expires: 5, value: `{"version":"7","items":["x","y"],"scores":"AACAPwAAAL8=","features":"AABAQAAAwH8="}`,
		},
		{got: make(RankerEntry([]byte(`{"format":1}`))), key: "ranker", value: `{"format":1}`},
		{got: make(ItemVectorEntry("a/b%", Vector{})), key: "item-vector/a%2Fb%25", value: `""`},
		{
			got: make(SubjectFeaturesEntry("activity", "o", Features{asOf, FeatureValues{"n": int64(3), "share": 1.0, "recent": nil}}, 4)),
			key: "features/activity/o", owner: "o", expires: 4,
			value: `{"as_of":"2026-03-01T00:00:00Z","values":{"n":3,"recent":null,"share":1.0}}`,
		},
		{
			got: make(ItemFeaturesEntry("de/mand", "é", Features{asOf, FeatureValues{"open": true, "kind": "x"}})),
			key: "features/de%2Fmand/%C3%A9", value: `{"as_of":"2026-03-01T00:00:00Z","values":{"kind":"x","open":true}}`,
		},
	} {
		want := Entry{Key: tt.key, Owner: tt.owner, Expires: tt.expires, Value: []byte(tt.value)}
		if !reflect.DeepEqual(tt.got, want) {
			t.Errorf("got  %s %q %d %s\nwant %s %q %d %s", tt.got.Key, tt.got.Owner, tt.got.Expires, tt.got.Value, want.Key, want.Owner, want.Expires, want.Value)
		}
	}
	if got, err := DecodeList(make(ListEntry("o", list, 0))); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("list: %+v %v", got, err)
	}
	v := Vector{0, float32(math.Inf(1)), math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Copysign(0, -1))}
	if got, err := DecodeVector(make(ItemVectorEntry("i", v))); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("vector: %v %v", got, err)
	}
	f := Features{asOf, FeatureValues{"i": int64(math.MaxInt64), "f": 0.1, "whole": 1e21, "two": 2.0, "neg": int64(-1), "s": "a\"b", "b": false, "z": nil, "tiny": 5e-324}}
	if got, err := DecodeFeatures(make(ItemFeaturesEntry("v", "i", f))); err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("features: %v %v", got, err)
	}
}

func TestFeaturesRefused(t *testing.T) {
	for _, x := range []any{math.NaN(), math.Inf(-1), []int{1}, uint8(1), float32(1), map[string]any{}} {
		if e, err := ItemFeaturesEntry("v", "i", Features{Values: FeatureValues{"x": x}}); err == nil || !strings.Contains(err.Error(), "x") {
			t.Errorf("%v (%T): encoded as %s, error %v", x, x, e.Value, err)
		}
	}
	for _, text := range []string{
		``, `[]`, `{"values":[]}`, `{"values":{"x":[1]}}`, `{"values":{"x":{}}}`, `{"values":{"x":9223372036854775808}}`, `{"values":{"x":1e999}}`, `{"as_of":3}`,
	} {
		if f, err := DecodeFeatures(Entry{Key: "features/v/i", Value: []byte(text)}); err == nil {
			t.Errorf("%s: decoded as %v", text, f)
		}
	}
	for _, text := range []string{`3`, `"AAA"`, `"AAAA"`, `"!"`, `null0`} {
		if v, err := DecodeVector(Entry{Key: "vector/secret-owner", Value: []byte(text)}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: decoded as %v, error %v", text, v, err)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("plain-1._~", "a/b")
	f.Add("a%2Fb", "a/b")
	f.Add("", "\xff\x00 é")
	f.Fuzz(func(t *testing.T, a, b string) {
		ea, eb := escape(a), escape(b)
		if (ea == eb) != (a == b) {
			t.Fatalf("%q and %q are written %q and %q", a, b, ea, eb)
		}
		if strings.ContainsAny(ea, "/ \n\x00") {
			t.Fatalf("%q is written %q", a, ea)
		}
		if back, err := url.PathUnescape(ea); err != nil || back != a {
			t.Fatalf("%q reads back as %q, %v", a, back, err)
		}
	})
}

func FuzzFeatures(f *testing.F) {
	f.Add([]byte(`{"as_of":"2026-03-01T00:00:00Z","values":{"n":3,"recent":null,"share":1.0,"b":true,"s":"x"}}`))
	f.Add([]byte(`{"values":{"n":-0,"m":-0.0,"e":1E5}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := DecodeFeatures(Entry{Key: "features/v/i", Value: b})
		if err != nil {
			return
		}
		e, err := ItemFeaturesEntry("v", "i", v)
		if err != nil {
			t.Fatalf("%s was decoded and cannot be encoded: %v", b, err)
		}
		again, err := DecodeFeatures(e)
		if err != nil || len(again.Values) != len(v.Values) {
			t.Fatalf("%s → %s → %v, %v", b, e.Value, again, err)
		}
		for name, x := range v.Values {
			if again.Values[name] != x {
				t.Fatalf("%s: %q was %v (%T), is %v (%T)", b, name, x, x, again.Values[name], again.Values[name])
			}
		}
	})
}

func FuzzVector(f *testing.F) {
	f.Add([]byte(`"AACAPwAAAL8AAEBA"`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := DecodeVector(Entry{Key: "vector/o", Value: b})
		if err != nil {
			return
		}
		e, err := ItemVectorEntry("i", v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeVector(e)
		if err != nil || len(again) != len(v) {
			t.Fatalf("%v → %v, %v", v, again, err)
		}
		for i := range v {
			if math.Float32bits(v[i]) != math.Float32bits(again[i]) {
				t.Fatalf("%v → %v", v, again)
			}
		}
	})
}
