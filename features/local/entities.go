package local

import (
	"errors"
	"math"
	"math/bits"
	"unsafe"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// entities gives each key of a partition a slot, in the order of their coming: an open-addressed table of slots, and the keys in flat slices
// without pointers. Keys are compared whole: their words, and texts by their bytes where words don't hold them.
type entities struct {
	words int   // of a key
	texts int   // of a key
	long  []int // for each text the position of the word that says whether it is long (isLong); nil: all texts are compared

	// index is, by place of the key's hash, a tag of its low bits above slot + 1; 0: free. The last word is always 0: a search may look one place beyond.
	index    []uint32
	slotBits int // of slot + 1 in an index of this size
	n        int
	keys     []uint64 // words a slot
	text     []byte   // the texts of all slots that words don't hold, one after another
	ends     []uint32 // where each ends in text: texts a slot; nil as long as words hold all
	ordered  int      // how many of the first slots came in the order of their hashes, no two of which are equal
	last     uint64   // the hash of the last of these, within the partition
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

// find sets slots to those of the records' keys, and gives new keys theirs. hashes is scratch. Many records touch most of the table: it comes into the cache as a whole,
// in the order in which it stands. The loops have no branch that depends on what they load, so that the machine waits for several places of memory at once:
// a key is nearly always in the first place of its search, or in the second.
func (e *entities) find(records []uint64, stride int, texts []string, hashes []uint64, slots []uint32) error {
	n := len(slots)
	e.reserve(n)
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
	index, shift := e.index, e.slotBits&31
	places := len(index) - 1
	stream(index, n)
	stream(e.keys, n)
	for i, h := range hashes {
		at := place(h, places)
		x, next := index[at], index[at+1]
		other := (x ^ uint32(h)<<shift) >> shift // not 0: it is another key's, or free
		slots[i] = x ^ (x^next)&uint32(-int32((other|-other)>>31))
	}
	e.confirm(records, stride, slots)
	long := e.texts > 0 && (e.long == nil || e.ends != nil) // words alone don't tell all keys apart
	for i, slot := range slots {
		if slot != noSlot && (!long || e.sameTexts(slot, texts, i)) {
			continue
		}
		slot, err := e.search(hashes[i], records[i*stride:][:e.words], texts, i)
		if err != nil {
			return err
		}
		slots[i] = slot
	}
	return nil
}

// confirm turns words of the index into the slots whose keys have the words of the records' keys, and all others into noSlot.
func (e *entities) confirm(records []uint64, stride int, slots []uint32) {
	if e.n == 0 {
		for i := range slots {
			slots[i] = noSlot
		}
		return
	}
	mask, keys, words := uint32(1)<<(e.slotBits&31)-1, e.keys, e.words
	switch words {
	case 1:
		at := 0
		for i, x := range slots {
			slot := x & mask
			d := keys[slot-min(slot, 1)] ^ records[at]
			slots[i] = slot - 1 | uint32(-int64((d|-d)>>63))
			at += stride
		}
		return
	case 2:
		at := 0
		for i, x := range slots {
			slot := x & mask
			own := int(slot-min(slot, 1)) * 2
			d := (keys[own] ^ records[at]) | (keys[own+1] ^ records[at+1])
			slots[i] = slot - 1 | uint32(-int64((d|-d)>>63))
			at += stride
		}
		return
	}
	for i, x := range slots {
		slot := x & mask
		d, key := uint64(0), records[i*stride:][:words]
		for j, k := range keys[int(slot-min(slot, 1))*words:][:words] {
			d |= k ^ key[j]
		}
		slots[i] = slot - 1 | uint32(-int64((d|-d)>>63))
	}
}

// search returns the slot of record i's key, which it inserts if it is new.
func (e *entities) search(h uint64, key []uint64, texts []string, i int) (uint32, error) {
	at, slot := e.seek(h, key, texts, i)
	if slot != noSlot {
		return slot, nil
	}
	err := e.insert(at, h, key, texts, i)
	return uint32(e.n - 1), err
}

// seek returns the slot of record i's key, or noSlot and the place where it would be.
func (e *entities) seek(h uint64, key []uint64, texts []string, i int) (at int, slot uint32) {
	places := len(e.index) - 1
	mask, tag := uint32(1)<<e.slotBits-1, uint32(h)<<e.slotBits
	for at = place(h, places); e.index[at] != 0; {
		if x := e.index[at]; x&^mask == tag && e.same(e.slotOf(x), key, texts, i) {
			return at, e.slotOf(x)
		}
		if at++; at == places {
			at = 0
		}
	}
	return at, noSlot
}

// stream reads words from their beginning to their end, a word of each cache line, if n of them are going to be touched here and there and that is many of the
// lines: one that comes in its order is fetched before it is asked for, and costs a fifth of one that is waited for.
func stream[T uint32 | uint64](words []T, n int) {
	const line = 64
	step := line / int(unsafe.Sizeof(T(0)))
	if len(words) > 4*n*step {
		return
	}
	all := T(0)
	for i := 0; i < len(words); i += step {
		all += words[i]
	}
	sink(uint64(all))
}

// sink keeps what a loop of touches computed from being left out by the compiler.
//
//go:noinline
func sink(uint64) {}

// slotOf returns the slot of a word of the index; noSlot of a free place.
func (e *entities) slotOf(x uint32) uint32 { return x&(1<<e.slotBits-1) - 1 }

// insert adds record i's key, whose hash is h, at a free place.
func (e *entities) insert(at int, h uint64, key []uint64, texts []string, i int) error {
	if e.n >= maxSlot {
		return errFull
	}
	e.n++
	e.index[at] = uint32(h)<<e.slotBits | uint32(e.n)
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

// same reports whether a slot has record i's key.
func (e *entities) same(slot uint32, key []uint64, texts []string, i int) bool {
	own := e.keys[int(slot)*e.words:][:len(key)]
	for j, k := range key {
		if own[j] != k {
			return false
		}
	}
	return e.texts == 0 || e.sameTexts(slot, texts, i)
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

// reserve makes room for n entities more, at a load of at most 5/8.
func (e *entities) reserve(n int) {
	if n += e.n; n*8 <= len(e.index)*5 {
		return
	}
	places := max(n*8/5+8, len(e.index)*3/2)
	if e.n == 0 && cap(e.index) > places { // of another partition
		e.index = e.index[:places+1]
		clear(e.index)
	} else {
		e.index = make([]uint32, places+1)
	}
	e.slotBits = bits.Len(uint(min(places*5/8+1, maxSlot+1)))
	for slot := range e.n {
		h := hashKey(e.keys[slot*e.words:][:e.words])
		at := place(h, places)
		for e.index[at] != 0 {
			if at++; at == places {
				at = 0
			}
		}
		e.index[at] = uint32(h)<<e.slotBits | uint32(slot+1)
	}
}

// bytes is what the table holds in memory.
func (e *entities) bytes() int64 {
	return int64(4*cap(e.index) + 8*cap(e.keys) + cap(e.text) + 4*cap(e.ends))
}
