package aggregate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/features"
)

func tallied[K Key](t *testing.T, keys []K) Tallies[K] {
	var s Tallies[K]
	for _, k := range keys {
		if err := s.Add(k, 1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Counts depend on the events alone; what was merged can be subtracted; the encoding is the state.
func testTallies[K Key](t *testing.T, key func(*rand.Rand) K) {
	rng := rand.New(rand.NewPCG(11, 1))
	for range 300 {
		keys := make([]K, rng.IntN(60))
		for i := range keys {
			keys[i] = key(rng)
		}
		cut := rng.IntN(len(keys) + 1)
		a, b, all := tallied(t, keys[:cut]), tallied(t, keys[cut:]), tallied(t, keys)
		counts := map[K]int64{}
		for _, k := range keys {
			counts[k]++
		}
		for _, x := range all {
			if counts[x.Key] != x.N || len(counts) != len(all) {
				t.Fatalf("%v of %v", all, keys)
			}
		}
		before := a.Append(nil)
		a.Merge(b)
		encoded := a.Append(nil)
		if !bytes.Equal(encoded, all.Append(nil)) || a.Total() != int64(len(keys)) {
			t.Fatalf("merged %v, want %v", a, all)
		}
		again, rest, err := DecodeTallies(Tallies[K](nil), append(slices.Clone(encoded), 1, 2))
		if err != nil || len(rest) != 2 || !slices.Equal(again, all) {
			t.Fatalf("%v decoded is %v, %v", all, again, err)
		}
		if err := a.Subtract(b); err != nil || !bytes.Equal(a.Append(nil), before) {
			t.Fatalf("subtracted: %v, %v", a, err)
		}
		if err := a.Add(key(rng), -int64(len(keys))-1); !errors.Is(err, ErrBelowZero) {
			t.Fatalf("more than all taken away: %v", err)
		}
		if len(b) > 0 {
			b.Merge(b)
			if err := all.Subtract(append(b, all...)); !errors.Is(err, ErrBelowZero) {
				t.Fatalf("more than all subtracted: %v", err)
			}
		}
	}
}

func TestTallies(t *testing.T) {
	t.Run("bins", func(t *testing.T) {
		testTallies(t, func(rng *rand.Rand) int32 { return []int32{0, 1, -5, math.MaxInt32, math.MinInt32, 77}[rng.IntN(6)] })
	})
	t.Run("text", func(t *testing.T) {
		testTallies(t, func(rng *rand.Rand) string { return []string{"", "a", "ab", "ä", "\xff"}[rng.IntN(5)] })
	})
	t.Run("integers", func(t *testing.T) {
		testTallies(t, func(rng *rand.Rand) int64 { return []int64{0, -1, math.MaxInt64, math.MinInt64}[rng.IntN(4)] })
	})
	t.Run("numbers", func(t *testing.T) {
		testTallies(t, func(rng *rand.Rand) float64 { return []float64{0, -1.5, features.MaxValue, 5e-324}[rng.IntN(4)] })
	})
}

func FuzzDecodeTallies(f *testing.F) {
	f.Add(Tallies[string]{{"a", 3}, {"b", 1}}.Append(nil))
	f.Add(Tallies[int32]{{-7, 3}, {9000, 1}}.Append(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		text, rest, err := DecodeTallies(Tallies[string](nil), src)
		if again, _, e := DecodeTallies(Tallies[string](nil), text.Append(nil)); err == nil && (e != nil || !slices.Equal(text, again) || len(rest) >= len(src)) {
			t.Errorf("%x: %v, then %v, %v", src, text, again, e)
		}
		bins, rest, err := DecodeTallies(Tallies[int32](nil), src)
		if again, _, e := DecodeTallies(Tallies[int32](nil), bins.Append(nil)); err == nil && (e != nil || !slices.Equal(bins, again) || len(rest) >= len(src)) {
			t.Errorf("%x: %v, then %v, %v", src, bins, again, e)
		}
	})
}

// Every value's bin stands for it with an error of at most 1/128, over the whole range of float64, and bins are in the order of values.
func TestBins(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 1))
	var xs []float64
	for range 20_000 {
		xs = append(xs, math.Float64frombits(rng.Uint64N(1<<63-1<<52)), math.Ldexp(rng.Float64(), -1022-rng.IntN(60)), rng.ExpFloat64()*50)
	}
	for n := range 4096 { // the smallest, one by one
		xs = append(xs, float64(n)*5e-324)
	}
	for e := -1074; e < 1023; e++ { // the edges
		p := math.Ldexp(1, e)
		xs = append(xs, p, math.Nextafter(p, 0), math.Nextafter(p, 1e308), p*1.5, math.Nextafter(p*1.5, 0))
	}
	slices.Sort(xs)
	last := int32(0)
	for i, x := range xs {
		b := Bin(x)
		if got := BinValue(b); math.Abs(got/2-x/2) > x/2*BinError || Bin(got) != b {
			t.Fatalf("%g is in bin %d, which stands for %g, of bin %d", x, b, got, Bin(got))
		}
		if Bin(-x) != -b || BinValue(-b) != -BinValue(b) {
			t.Fatalf("%g and its negative: bins %d and %d", x, b, Bin(-x))
		}
		if i > 0 && b < last {
			t.Fatalf("%g is in bin %d, below that of %g", x, b, xs[i-1])
		}
		last = b
	}
	if Bin(0) != 0 || BinValue(0) != 0 || Bin(5e-324) == 0 {
		t.Error("zero has a bin of its own")
	}
}

func TestQuantile(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 1))
	for range 300 {
		xs := make([]float64, 1+rng.IntN(200))
		bins := make([]int32, len(xs))
		for i := range xs {
			xs[i] = math.Exp(rng.NormFloat64()*4) * float64(rng.IntN(3)-1)
			bins[i] = Bin(xs[i])
		}
		s := tallied(t, bins)
		slices.Sort(xs)
		for _, q := range []float64{0.01, 0.25, 0.5, 0.9, 0.999} {
			want := xs[int(math.Floor(q*float64(len(xs)-1)))]
			if got, ok := Quantile(s, q); !ok || math.Abs(got-want) > math.Abs(want)*BinError {
				t.Fatalf("quantile %g of %d values: %g, want %g", q, len(xs), got, want)
			}
		}
	}
	if _, ok := Quantile(nil, 0.5); ok {
		t.Error("nothing has a median")
	}
}

func TestTop(t *testing.T) {
	text := Tallies[string]{{"a", 2}, {"b", 5}, {"c", 2}, {"<\xff>", 2}}
	if got, want := string(AppendTop(nil, slices.Clone(text), 3, AppendJSONString)), `["b","<\ufffd>","a"]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := string(AppendTop(nil, Tallies[float64]{{-2, 1}, {0.5, 1}, {3, 4}}, 9, AppendJSONNumber)); got != "[3,-2,0.5]" {
		t.Error(got)
	}
	if got := string(AppendTop(nil, Tallies[int64]{{9, 1}, {10, 1}, {-1, 1}}, 9, AppendJSONInt)); got != "[-1,10,9]" { // by their text
		t.Error(got)
	}
	if got := string(AppendTop(nil, Tallies[int64]{{0, 1}, {1, 2}}, 9, AppendJSONBool)); got != "[true,false]" {
		t.Error(got)
	}
	if got := string(AppendSequence([]byte("x"), []Event[string]{{1, "a"}, {2, "a"}}, AppendJSONString)); got != `x["a","a"]` {
		t.Error(got)
	}
}

// Text is as encoding/json writes it, and numbers read back as what they were.
func TestJSON(t *testing.T) {
	marshal := func(v any) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	}
	rng := rand.New(rand.NewPCG(14, 1))
	parts := []string{"a", "ä", "€", "𝄞", "\xff", "\xe2\x82", "\"", "\\", "\n", "\x00", "\x1f", "\b\f\r\t", "\x7f", "<&>", "\u2028", "\u2029", "\ufffd"}
	for range 3000 {
		s := ""
		for range rng.IntN(8) {
			s += parts[rng.IntN(len(parts))]
		}
		if got, want := string(AppendJSONString([]byte("x"), s)), "x"+marshal(s); got != want {
			t.Fatalf("%q: %s, want %s", s, got, want)
		}
		x := math.Float64frombits(rng.Uint64N(1<<63 - 1<<52))
		var back float64
		if err := json.Unmarshal(AppendJSONNumber(nil, x), &back); err != nil || back != x {
			t.Fatalf("%g: %g, %v", x, back, err)
		}
	}
	if got := string(AppendJSONNumber(nil, math.Copysign(0, -1))); got != "0" {
		t.Error(got)
	}
}

func ExampleAppendTop() {
	fmt.Printf("%s\n", AppendTop(nil, Tallies[string]{{"home", 7}, {"shoes", 9}, {"toys", 1}}, 2, AppendJSONString))
	// Output: ["shoes","home"]
}
