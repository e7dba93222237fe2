package local

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// Texts of up to 15 bytes are their words, one to one; longer ones are known as such.
func TestPackText(t *testing.T) {
	seen := map[packed]string{}
	for n := range 40 {
		for _, s := range []string{strings.Repeat("\x00", n), strings.Repeat("\xff", n), strings.Repeat("ab", n)[:n], fmt.Sprintf("%0*d", n, n)[:n]} {
			p := packText(s)
			if was, ok := seen[p]; ok && was != s {
				t.Fatalf("%q and %q are the same words", was, s)
			}
			seen[p] = s
			if isLong(p.tail) != (n > shortText) {
				t.Fatalf("%d bytes: long is %v", n, isLong(p.tail))
			}
			if n <= shortText && string(appendShort([]byte("x"), p.head, p.tail)) != "x"+s {
				t.Fatalf("%q comes back as %q", s, appendShort(nil, p.head, p.tail))
			}
		}
	}
}

// Floats are ordered as the words are that peaks compare, and come back as they were.
func TestOrdered(t *testing.T) {
	last := uint64(0)
	for _, x := range []float64{-1e300, -1, -1e-300, 0, 5e-324, 1, 2, 1e300} {
		w := ordered(math.Float64bits(x))
		if w <= last || unordered(w) != x {
			t.Errorf("%g: word %#x after %#x, back %g", x, w, last, unordered(w))
		}
		last = w
	}
}

// A table of pairs counts each value once, in the shortest bucket that it was seen in, when values grow beyond 32 bits too.
func TestPairs(t *testing.T) {
	type key struct {
		slot uint32
		id   uint64
	}
	want := map[key]uint8{}
	var p pairs
	s := newScratch(64)
	for i := range 3000 {
		var slots []uint32
		var ids []uint64
		var buckets []uint8
		for j := range 64 {
			k := key{uint32(i*j) % 97, uint64(i+j) * 2654435761 % 501}
			if i > 1500 && j%7 == 0 {
				k.id <<= 40
			}
			b := uint8((i + 3*j) % 5)
			slots, ids, buckets = append(slots, k.slot), append(ids, k.id), append(buckets, b)
			if was, ok := want[k]; !ok || b < was {
				want[k] = b
			}
		}
		p.add(slots, ids, buckets, nil, s.places)
	}
	got := map[key]uint8{}
	at := 0
	for i, m := range p.marks {
		if m != 0 {
			at++
			got[key{m>>bucketBits - 1, p.ids[i]}] = uint8(m & (1<<bucketBits - 1))
		}
	}
	if at != len(want) || len(got) != len(want) || p.n != len(want) {
		t.Fatalf("%d pairs, want %d", at, len(want))
	}
	for k, b := range want {
		if g, ok := got[k]; !ok || g != b {
			t.Fatalf("%v: bucket %d, want %d", k, g, b)
		}
	}
}
