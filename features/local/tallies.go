package local

import (
	"math/bits"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// tallies counts, for each entity of a partition and each bucket, the events by value: an open-addressed table of words without pointers, 20
// bytes an entry. A count may come to zero where events move to another bucket; its entry stays.
type tallies struct {
	n     int
	words []int64  // the value
	marks []uint32 // as of pairs
	count []int64

	// The entries by slot, once gathered.
	starts []uint32
	order  []uint32
}

// add adds n, which may be below zero, to a count; false if that falls below zero.
func (t *tallies) add(slot uint32, bucket uint8, word, n int64) bool {
	if (t.n+1)*6 > len(t.words)*5 {
		t.resize(max(16, len(t.words)*3/2))
	}
	at := t.find((slot+1)<<bucketBits|uint32(bucket), word)
	if t.marks[at] == 0 {
		t.n++
		t.marks[at], t.words[at] = (slot+1)<<bucketBits|uint32(bucket), word
	}
	t.count[at] += n
	return t.count[at] >= 0
}

// find returns where an entry is, or would be.
func (t *tallies) find(mark uint32, word int64) int {
	hi, _ := bits.Mul64(hashPair(mark, uint64(word)), uint64(len(t.words)))
	at := int(hi)
	for t.marks[at] != 0 && (t.marks[at] != mark || t.words[at] != word) {
		if at++; at == len(t.words) {
			at = 0
		}
	}
	return at
}

func (t *tallies) resize(size int) {
	old := *t
	t.words, t.marks, t.count = make([]int64, size), make([]uint32, size), make([]int64, size)
	for i, m := range old.marks {
		if m != 0 {
			at := t.find(m, old.words[i])
			t.marks[at], t.words[at], t.count[at] = m, old.words[i], old.count[i]
		}
	}
}

// gather sorts the entries by slot. Nothing may be added afterwards.
func (t *tallies) gather(slots int) {
	t.starts, t.order = marksBySlot(t.marks, t.n, slots)
}

// of calls f with the entries of a slot, in any order.
func (t *tallies) of(slot uint32, f func(bucket int, x aggregate.Tally[int64])) {
	for _, i := range t.order[t.starts[slot]:t.starts[slot+1]] {
		f(int(t.marks[i]&(1<<bucketBits-1)), aggregate.Tally[int64]{Key: t.words[i], N: t.count[i]})
	}
}

func (t *tallies) bytes() int64 { return 20 * int64(cap(t.words)) }
