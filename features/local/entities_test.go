package local

import (
	"math/bits"
	"testing"
)

// Keys that differ in any one of their words, and in whatever bits of it, are told apart, whichever others stand beside them in the table.
func TestFindTellsKeysApart(t *testing.T) {
	const n = 4000
	for words := 1; words <= 4; words++ {
		for differs := range words {
			for _, rest := range []uint64{0, 1 << 59, 0x3030303030303030, 1<<64 - 1} {
				var keys []uint64
				for i := range uint64(n) {
					for w := range words {
						x := rest
						if w == differs {
							x = i ^ bits.RotateLeft64(i, 52)
						}
						keys = append(keys, x)
					}
				}
				e := entities{words: words, long: []int{}}
				for round := range 2 {
					for from := 0; from < n; from += 100 {
						slots := make([]uint32, 100)
						if err := e.find(keys[from*words:], words, nil, make([]uint64, len(slots)), slots); err != nil {
							t.Fatal(err)
						}
						for i, slot := range slots {
							if int(slot) != from+i {
								t.Fatalf("%d words, %d differs, the others are %#x, round %d: key %d has the place of key %d", words, differs, rest, round, from+i, slot)
							}
						}
					}
				}
			}
		}
	}
}
