package local

import (
	"errors"
	"math"
	"math/bits"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// entities gives each key of a partition a slot, in the order of their coming: an open-addressed table of slots, and the keys in flat slices
// without pointers. Keys are compared whole: numbers as they are, texts by their bytes.
type entities struct {
	words int // of a key
	texts int // how many of the words are hashes of texts

	index []uint64 // the low half of the key's hash << 32 | slot + 1; 0: free
	n     int
	keys  []uint64 // words a slot
	text  []byte   // the texts of all slots, one after another
	ends  []uint32 // where each ends in text: texts a slot
}

// errFull says that a partition has no more room; partitions are so many that a machine's memory ends long before.
var errFull = errors.New("too many entities in one build: 2^26 in a partition, or 4 GiB of their keys; build fewer views, or shorter windows, at once")

// hashKey spreads a key over 64 bits: the top bits choose the partition, the rest the place in its table.
func hashKey(key []uint64) uint64 {
	h := aggregate.HashBits(key[0])
	if len(key) > 1 {
		h = aggregate.HashBits(h ^ bits.RotateLeft64(key[1], 32)*0x9e3779b97f4a7c15)
	}
	return h
}

// place scales a hash to [0, n) by its bits below the partition's, so that a table need not be a power of two, and grows in order.
func place(h uint64, n int) int {
	hi, _ := bits.Mul64(h<<partitionBits, uint64(n))
	return int(hi)
}

// find sets slots to those of the records' keys, and gives new keys theirs. hashes is scratch. The first loop has no branch that depends on what it
// loads, so that the machine waits for several places of memory at once.
func (e *entities) find(records []uint64, stride int, texts []string, hashes []uint64, slots []uint32) error {
	n := len(slots)
	if (e.n+n)*5 > len(e.index)*4 {
		e.grow(e.n + n)
	}
	touched := uint64(0)
	for i := range n {
		h := hashKey(records[i*stride:][:e.words])
		hashes[i] = h
		touched += e.index[place(h, len(e.index))]
	}
	sink(touched)
	for i := range n {
		key, h := records[i*stride:][:e.words], hashes[i]
		tag := h << 32
		at := place(h, len(e.index))
		for {
			x := e.index[at]
			if x == 0 {
				if e.n >= maxSlot {
					return errFull
				}
				e.n++
				e.index[at] = tag | uint64(e.n)
				e.keys = append(e.keys, key...)
				for j := range e.texts {
					e.text = append(e.text, texts[i*e.texts+j]...)
					if len(e.text) > math.MaxUint32 {
						return errFull
					}
					e.ends = append(e.ends, uint32(len(e.text)))
				}
				slots[i] = uint32(e.n - 1)
				break
			}
			if x&^math.MaxUint32 == tag {
				slot := uint32(x) - 1
				if e.keys[int(slot)*e.words] == key[0] && (e.words == 1 || e.keys[int(slot)*e.words+1] == key[1]) && e.sameTexts(slot, texts, i) {
					slots[i] = slot
					break
				}
			}
			if at++; at == len(e.index) {
				at = 0
			}
		}
	}
	return nil
}

// sink keeps what a loop of touches computed from being left out by the compiler.
//
//go:noinline
func sink(uint64) {}

func (e *entities) sameTexts(slot uint32, texts []string, record int) bool {
	for j := range e.texts {
		if string(e.textOf(slot, j)) != texts[record*e.texts+j] {
			return false
		}
	}
	return true
}

// textOf returns text j of a slot's key.
func (e *entities) textOf(slot uint32, j int) []byte {
	at := int(slot)*e.texts + j
	start := uint32(0)
	if at > 0 {
		start = e.ends[at-1]
	}
	return e.text[start:e.ends[at]]
}

// grow makes room for n entities at a load of at most 4/5.
func (e *entities) grow(n int) {
	old := e.index
	e.index = make([]uint64, max(n*5/4+8, len(old)*3/2))
	for _, x := range old {
		if x == 0 {
			continue
		}
		slot := int(uint32(x) - 1)
		at := place(hashKey(e.keys[slot*e.words:][:e.words]), len(e.index))
		for e.index[at] != 0 {
			if at++; at == len(e.index) {
				at = 0
			}
		}
		e.index[at] = x
	}
}

// bytes is what the table holds in memory.
func (e *entities) bytes() int64 {
	return int64(8*cap(e.index) + 8*cap(e.keys) + cap(e.text) + 4*cap(e.ends))
}
