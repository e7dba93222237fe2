package table

import (
	"hash/maphash"
	"math/bits"
)

// words counts different numbers, and gives each a code in the order in which they come.
type words struct {
	slot []int32  // where a number has its place: its code and 1; 0 is free. A power of two, half full at most
	dict []uint64 // number by code
}

// fewSlots is how many places a table has to begin with: what fits into a processor's first cache.
const fewSlots = 1 << 10

func emptied(slot []int32) []int32 { return freed(slot, fewSlots) }

// widened is a table with room for twice as many.
func widened(slot []int32) []int32 { return freed(slot, 2*len(slot)) }

// freed is a table of n places, all of them free. What is new is cleared too: a page that is read before it is written to is faulted for twice.
func freed(slot []int32, n int) []int32 {
	if cap(slot) < n {
		slot = make([]int32, n, 8*n)
	}
	slot = slot[:n]
	clear(slot)
	return slot
}

const golden = 0x9e3779b97f4a7c15

// spot is where a number is looked for first, in a table of 1<<(64-shift) places. The highest bits of the product depend on all of the number, of which floats
// that are small integers differ in the highest bits alone.
func spot(w uint64, shift uint) uint64 { return (w ^ w>>32) * golden >> (shift & 63) }

// shift is that of the table.
func (t *words) shift() uint { return uint(64 - bits.Len(uint(len(t.slot)-1))) }

// code sets dst to the codes of v. It gives up where more than most are different, or nearly all of the first ones.
func (t *words) code(dst []int32, v []uint64, most int) ([]int32, bool) {
	t.slot, t.dict = emptied(t.slot), t.dict[:0]
	dst = resized(dst, len(v))
	mask, shift := uint64(len(t.slot)-1), t.shift()
	for i, w := range v {
		at := spot(w, shift)
		for {
			c := t.slot[at]
			if c == 0 {
				if len(t.dict) == most || i >= hopeless && hopelessly(len(t.dict), i) {
					return dst, false
				}
				t.dict = append(t.dict, w)
				c = int32(len(t.dict))
				t.slot[at] = c
				if 2*len(t.dict) > len(t.slot) {
					t.widen()
					mask, shift = uint64(len(t.slot)-1), t.shift()
				}
			} else if t.dict[c-1] != w {
				at = (at + 1) & mask
				continue
			}
			dst[i] = c - 1
			break
		}
	}
	return dst, true
}

func (t *words) widen() {
	t.slot = widened(t.slot)
	mask, shift := uint64(len(t.slot)-1), t.shift()
	for c, w := range t.dict {
		at := spot(w, shift)
		for t.slot[at] != 0 {
			at = (at + 1) & mask
		}
		t.slot[at] = int32(c + 1)
	}
}

// texts is words for text.
type texts struct {
	slot []int32
	hash []uint32 // of the text of each code
	dict []string
}

// seed is another in each process: it decides where texts have their places, not their codes.
var seed = maphash.MakeSeed()

// code sets dst to the codes of v. It gives up where more than most are different, where they have more than size bytes together, or nearly all of the first
// ones are different.
func (t *texts) code(dst []int32, v []string, most, size int) ([]int32, bool) {
	t.slot, t.hash, t.dict = emptied(t.slot), t.hash[:0], t.dict[:0]
	dst = resized(dst, len(v))
	mask := uint32(len(t.slot) - 1)
	for i, s := range v {
		h := uint32(maphash.String(seed, s))
		at := h & mask
		for {
			c := t.slot[at]
			if c == 0 {
				if size -= 4 + len(s); size < 0 || len(t.dict) == most || i >= hopeless && hopelessly(len(t.dict), i) {
					return dst, false
				}
				t.dict, t.hash = append(t.dict, s), append(t.hash, h)
				c = int32(len(t.dict))
				t.slot[at] = c
				if 2*len(t.dict) > len(t.slot) {
					t.widen()
					mask = uint32(len(t.slot) - 1)
				}
			} else if t.hash[c-1] != h || t.dict[c-1] != s {
				at = (at + 1) & mask
				continue
			}
			dst[i] = c - 1
			break
		}
	}
	return dst, true
}

func (t *texts) widen() {
	t.slot = widened(t.slot)
	mask := uint32(len(t.slot) - 1)
	for c, h := range t.hash {
		at := h & mask
		for t.slot[at] != 0 {
			at = (at + 1) & mask
		}
		t.slot[at] = int32(c + 1)
	}
}

// hopeless is after how many values, most of them different, a dictionary is not thought of any more.
const hopeless = 1 << 11

func hopelessly(distinct, rows int) bool { return 8*distinct > 7*rows }
