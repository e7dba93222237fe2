package event

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// testKeys are keys of an invented secret, one a name.
func testKeys(t testing.TB, id string) Keys {
	t.Helper()
	k, err := NewKeys(id, []byte("an invented secret for "+id))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOnlineKeyVectors(t *testing.T) {
	// The vectors were computed by another implementation (hmac and hashlib of Python), as a direct reader would.
	data, err := os.ReadFile("testdata/online_key.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		ServingKey string `json:"serving_key"`
		Vectors    []struct {
			ID        string `json:"id"`
			OnlineKey string `json:"online_key"`
		} `json:"vectors"`
	}
	if err := json.Unmarshal(data, &doc); err != nil || len(doc.Vectors) < 5 {
		t.Fatalf("%v, %d vectors", err, len(doc.Vectors))
	}
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	k, err := NewKeys("k1", secret)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(k.ServingKey()); got != doc.ServingKey {
		t.Fatalf("serving key %s, want %s", got, doc.ServingKey)
	}
	for _, v := range doc.Vectors {
		id, err := Canonical(v.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got := OnlineKey(k.ServingKey(), id); got != v.OnlineKey {
			t.Errorf("%q: %s, want %s", v.ID, got, v.OnlineKey)
		}
	}
	// The other two keys, by the same other implementation.
	if m := macOf(k.store, "123"); hex.EncodeToString(m[:]) != "64ac2854ee1b18be3dd0eceec0050e89" {
		t.Errorf("store HMAC %x", m)
	}
	if m := MarkOf(k, "123"); m != (Mark{"k1", "8b6777c716581b41d9b7d83f8adb3675"}) {
		t.Errorf("mark %+v", m)
	}
}

func TestParseSecret(t *testing.T) {
	counting := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	for _, tt := range []struct {
		name, text string
		want       []byte
	}{
		{"hexadecimal, with a line end", "000102030405060708090a0b0c0d0e0f\n", counting},
		{"hexadecimal, upper case", "000102030405060708090A0B0C0D0E0F", counting},
		{"base64, padded", "AAECAwQFBgcICQoLDA0ODw==", counting},
		{"base64, URL alphabet, not padded", "-_-_-_-_-_-_-_-_-_-_-_", nil}, // 22 characters whose last bits are not 0: no base64, raw
		{"raw words", "four plain words here", nil},
		{"raw, though its letters are all of base64", "abcdefghijklmnopqrst", nil},
		{"short hexadecimal is raw", "00010203040506070809", nil},
	} {
		if tt.want == nil {
			tt.want = []byte(tt.text)
		}
		if got, err := ParseSecret([]byte(tt.text)); err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("%s: %x, %v; want %x", tt.name, got, err, tt.want)
		}
	}
	if _, err := ParseSecret([]byte("hunter2hunter2h")); err == nil || !strings.Contains(err.Error(), "15 bytes") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a short secret: %v", err)
	}
}

func TestNewKeysRefuses(t *testing.T) {
	if _, err := NewKeys("k1", make([]byte, 15)); err == nil || !strings.Contains(err.Error(), "15 bytes") {
		t.Errorf("a short secret: %v", err)
	}
	for _, id := range []string{"", "K 1", strings.Repeat("k", 65)} {
		if _, err := NewKeys(id, make([]byte, 32)); err == nil {
			t.Errorf("key id %q was accepted", id)
		}
	}
}

func TestKeysNeverPrint(t *testing.T) {
	k := testKeys(t, "k1")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		for _, v := range []any{k, &k, []Keys{k}} {
			got := fmt.Sprintf(verb, v)
			if !strings.Contains(got, "keys(k1)") || len(got) > 40 {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
	//lint:ignore SA9005 that nothing of the keys is encoded is what this shows
	if b, err := json.Marshal(k); err != nil || string(b) != "{}" {
		t.Errorf("JSON is %s, %v", b, err)
	}
}

func TestCanonical(t *testing.T) {
	for _, tt := range []struct{ id, want string }{
		{"123", "123"},
		{"0123", "0123"},
		{" 123", " 123"},
		{"Ab", "Ab"},
		{"0123ABCD-89ab-CDEF-0123-456789abcdef", "0123abcd-89ab-cdef-0123-456789abcdef"},
		{"0123ABCD89abCDEF0123456789abcdef", "0123ABCD89abCDEF0123456789abcdef"}, // not hyphenated: may be any text
		{"0123ABCD-89ab-CDEF-0123-456789abcdeg", "0123ABCD-89ab-CDEF-0123-456789abcdeg"},
		{"e\u0301", "\u00e9"}, // Unicode NFC
		{"Scha\u0308fer-00001", "Sch\u00e4fer-00001"},
		{"\ufb01n", "\ufb01n"}, // a ligature is another text: no compatibility form
		{strings.Repeat("x", maxID), strings.Repeat("x", maxID)},
	} {
		if got, err := Canonical(tt.id); err != nil || got != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.id, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "caf\xe9-person", strings.Repeat("person", 200)} {
		_, err := Canonical(bad)
		if err == nil || strings.Contains(err.Error(), "person") {
			t.Errorf("%q: %v, want an error without the id", bad, err)
		}
	}
}

// TestMacOf: an HMAC of any text and key is that of crypto/hmac, and one of an id takes no memory.
func TestMacOf(t *testing.T) {
	long := strings.Repeat("an id that is as long as ids may be ", 40)
	for _, key := range [][]byte{{}, []byte("short"), bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 64), bytes.Repeat([]byte{9}, 65)} {
		for n := range 200 {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(long[:n*7]))
			if m := macOf(key, long[:n*7]); !bytes.Equal(m[:], h.Sum(nil)[:16]) {
				t.Fatalf("key of %d bytes, text of %d: %x, want %x", len(key), n*7, m, h.Sum(nil)[:16])
			}
		}
	}
	keys := testKeys(t, "k1")
	if n := testing.AllocsPerRun(100, func() { macOf(keys.store, "user-000000001") }); n > 0 {
		t.Errorf("an HMAC of an id takes %v pieces of memory", n)
	}
}
