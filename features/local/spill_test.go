package local

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Records come back from the spill file as they were, whatever their words have in common, and what they have takes no room.
func TestSpilledRecords(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, word := range map[string]func() uint64{
		"equal":       func() uint64 { return 1<<63 | 77 },
		"zero":        func() uint64 { return 0 },
		"small":       func() uint64 { return rng.Uint64N(300) },
		"ends":        func() uint64 { return rng.Uint64()&0xff000000000000ff | 0xab00 },
		"all of them": rng.Uint64,
	} {
		for _, n := range []int{1, 2, 500} {
			g := &group{words: 3, texts: 2}
			in := records{n: n}
			for range n {
				in.words = append(in.words, word(), 5, word())
				in.texts = append(in.texts, "", strings.Repeat("é", rng.IntN(200)))
			}
			coded := appendRecords([]byte("before"), &in)[len("before"):]
			out := records{n: 9, words: []uint64{1, 2}, texts: []string{"old"}}
			decodeRecords(coded, g, &out)
			if out.n != in.n || !slices.Equal(out.words, in.words) || !slices.Equal(out.texts, in.texts) {
				t.Errorf("%s, %d records: others come back", name, n)
			}
			for _, s := range in.texts {
				coded = coded[:len(coded)-len(s)-1-min(1, len(s)/128)]
			}
			bytes := map[string]int{"equal": 0, "zero": 0, "small": 2, "ends": 2, "all of them": 8}[name]
			if most := 4 + 3*9 + 2*bytes*n; len(coded) > most {
				t.Errorf("%s: %d records take %d bytes, want %d at most", name, n, len(coded), most)
			}
		}
	}
}

// FuzzSpilledRecords: any words and text come back.
func FuzzSpilledRecords(f *testing.F) {
	f.Add(uint64(0), uint64(1), uint64(1)<<63, "text")
	f.Fuzz(func(t *testing.T, a, b, c uint64, text string) {
		in := records{n: 3, words: []uint64{a, b, b, c, a ^ c, b}, texts: []string{text, "", text + text}}
		var out records
		decodeRecords(appendRecords(nil, &in), &group{words: 2, texts: 1}, &out)
		if fmt.Sprint(in) != fmt.Sprint(out) {
			t.Fatalf("%v, want %v", out, in)
		}
	})
}
