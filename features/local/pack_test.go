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

// A table of pairs counts each value once, in the shortest bucket that it was seen in, whatever the values: those of a few bits, and those that come to be too
// large for a shelf, or for 32 bits.
func TestPairs(t *testing.T) {
	type key struct {
		slot uint32
		id   uint64
	}
	const buckets = 5
	for name, large := range map[string]uint64{"small": 1, "to the limit": shelfLimit(3) / 501, "beyond a shelf": 1 << 20, "beyond 32 bits": 1 << 40, "both": 0} {
		want := map[key]uint8{}
		p := newPairs(buckets, false)
		s := newScratch(64)
		for i := range 3000 {
			var slots []uint32
			var ids []uint64
			var in []uint8
			for j := range 64 {
				k := key{uint32(i*j) % 197, uint64(i+j) * 2654435761 % 501}
				switch {
				case large == 0 && i > 1000 && j%7 == 0:
					k.id <<= 20 + 20*uint64(i/2000)
				case i > 1500 && j%7 == 0:
					k.id *= max(large, 1)
				}
				b := uint8((i + 3*j) % buckets)
				slots, ids, in = append(slots, k.slot), append(ids, k.id), append(in, b)
				if was, ok := want[k]; !ok || b < was {
					want[k] = b
				}
			}
			p.add(slots, ids, in, nil, s.places)
		}
		n := 0
		p.each(func(slot uint32, id uint64, bucket uint8, _ int64) {
			n++
			if w, ok := want[key{slot, id}]; !ok || w != bucket {
				t.Fatalf("%s: slot %d has value %d in bucket %d, want %d, %v", name, slot, id, bucket, w, ok)
			}
		})
		if n != len(want) || p.n != n {
			t.Fatalf("%s: %d pairs by count, and %d by looking, want %d", name, p.n, n, len(want))
		}
		if form := map[string]bool{"small": p.shelves != nil, "to the limit": p.shelves != nil, "beyond a shelf": p.narrow != nil, "beyond 32 bits": p.ids != nil, "both": p.ids != nil}; !form[name] {
			t.Errorf("%s: a table of the wrong form", name)
		}
	}
}
