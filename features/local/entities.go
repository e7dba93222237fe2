package local

import (
	"errors"
	"math"
	"math/bits"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// entities gives each key of a partition a slot, in the order of their coming: an open-addressed table of slots, and the keys in flat slices
// without pointers. Keys are compared whole: their words, and texts by their bytes where words don't hold them.
type entities struct {
	words int   // of a key
	texts int   // of a key
	long  []int // for each text the position of the word that says whether it is long (isLong); nil: all texts are compared

	index []uint64 // the low half of the key's hash << 32 | slot + 1; 0: free
	n     int
	keys  []uint64 // words a slot
	text  []byte   // the texts of all slots that words don't hold, one after another
	ends  []uint32 // where each ends in text: texts a slot; nil as long as words hold all
}

// errFull says that a partition has no more room; partitions are so many that a machine's memory ends long before.
var errFull = errors.New("too many entities in one build: 2^26 in a partition, or 4 GiB of their keys; build fewer views, or shorter windows, at once")

// hashKey spreads a key over 64 bits: the top bits choose the partition, the rest the place in its table.
func hashKey(key []uint64) uint64 {
	h := key[0]
	for _, k := range key[1:] {
		h = hashMore(h, k)
	}
	return aggregate.HashBits(h)
}

func hashMore(h, k uint64) uint64 {
	return h*0xd6e8feb86659fd93 ^ bits.RotateLeft64(k*0x9e3779b97f4a7c15, 32)
}

// place scales a hash to [0, n) by its bits below the partition's, so that a table need not be a power of two, and grows in order.
func place(h uint64, n int) int {
	hi, _ := bits.Mul64(h<<partitionBits, uint64(n))
	return int(hi)
}

// find sets slots to those of the records' keys, and gives new keys theirs. hashes is scratch. The first loops have no branch that depends on what
// they load, so that the machine waits for several places of memory at once.
func (e *entities) find(records []uint64, stride int, texts []string, hashes []uint64, slots []uint32) error {
	n := len(slots)
	if (e.n+n)*5 > len(e.index)*4 {
		e.grow(e.n + n)
	}
	hashes = hashes[:n]
	switch e.words {
	case 1:
		for i := range hashes {
			hashes[i] = aggregate.HashBits(records[i*stride])
		}
	case 2:
		for i := range hashes {
			hashes[i] = aggregate.HashBits(hashMore(records[i*stride], records[i*stride+1]))
		}
	default:
		for i := range hashes {
			hashes[i] = hashKey(records[i*stride:][:e.words])
		}
	}
	touched, index := uint64(0), e.index
	for _, h := range hashes {
		touched += index[place(h, len(index))]
	}
	if e.n > 0 {
		keys, words := e.keys, e.words
		for _, h := range hashes {
			slot := int(uint32(index[place(h, len(index))]))
			touched += keys[(slot-min(slot, 1))*words]
		}
	}
	sink(touched)
	for i, h := range hashes {
		key := records[i*stride:]
		tag := h << 32
		at := place(h, len(index))
		if x := index[at]; e.words == 1 && x&^math.MaxUint32 == tag && x != 0 && e.keys[uint32(x)-1] == key[0] { // nearly always
			slots[i] = uint32(x) - 1
			continue
		}
		for {
			x := index[at]
			if x == 0 {
				if err := e.insert(at, tag, key[:e.words], texts, i); err != nil {
					return err
				}
				slots[i] = uint32(e.n - 1)
				break
			}
			if x&^math.MaxUint32 == tag {
				slot := uint32(x) - 1
				if e.sameKey(int(slot)*e.words, key) && (e.texts == 0 || e.sameTexts(slot, texts, i)) {
					slots[i] = slot
					break
				}
			}
			if at++; at == len(index) {
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

// insert adds record i's key at a free place.
func (e *entities) insert(at int, tag uint64, key []uint64, texts []string, i int) error {
	if e.n >= maxSlot {
		return errFull
	}
	e.n++
	e.index[at] = tag | uint64(e.n)
	e.keys = append(e.keys, key...)
	for j := range e.texts {
		if e.long != nil && !isLong(key[e.long[j]]) {
			if e.ends != nil {
				e.ends = append(e.ends, uint32(len(e.text)))
			}
			continue
		}
		if e.ends == nil {
			e.ends = make([]uint32, (e.n-1)*e.texts+j, e.n*e.texts*2)
		}
		e.text = append(e.text, texts[i*e.texts+j]...)
		if len(e.text) > math.MaxUint32 {
			return errFull
		}
		e.ends = append(e.ends, uint32(len(e.text)))
	}
	return nil
}

// sameKey reports whether the key at a place in e.keys has the same words.
func (e *entities) sameKey(at int, key []uint64) bool {
	if e.keys[at] != key[0] {
		return false
	}
	for i := 1; i < e.words; i++ {
		if e.keys[at+i] != key[i] {
			return false
		}
	}
	return true
}

// sameTexts reports whether a slot, whose key has the same words, has the same texts.
func (e *entities) sameTexts(slot uint32, texts []string, record int) bool {
	for j := range e.texts {
		if e.long != nil && !isLong(e.keys[int(slot)*e.words+e.long[j]]) {
			continue
		}
		if string(e.textOf(slot, j)) != texts[record*e.texts+j] {
			return false
		}
	}
	return true
}

// textOf returns text j of a slot's key, if its words don't hold it.
func (e *entities) textOf(slot uint32, j int) []byte {
	at := int(slot)*e.texts + j
	start := uint32(0)
	if at > 0 {
		start = e.ends[at-1]
	}
	return e.text[start:e.ends[at]]
}

// appendText appends text j of a slot's key.
func (e *entities) appendText(dst []byte, slot uint32, j int) []byte {
	if e.long != nil {
		if key := e.keys[int(slot)*e.words:]; !isLong(key[e.long[j]]) {
			return appendShort(dst, key[e.long[j]-1], key[e.long[j]])
		}
	}
	return append(dst, e.textOf(slot, j)...)
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
