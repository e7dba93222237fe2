package local

import (
	"sync"
	"sync/atomic"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// numbering gives the values of a column that is a key numbers, 0, 1, 2…, in the order of their coming, so that a pair with one of them takes few bits. A value
// is known by its word, as a lane of the form identity has it. Numbers don't depend on anything but the order of coming, so no result may depend on them.
type numbering struct {
	shards [numberShards]numberShard
	next   atomic.Int64
	size   atomic.Int64 // bytes
}

const (
	numberShardBits = 8
	numberShards    = 1 << numberShardBits
)

// numberShard is an open-addressed table of the values whose hash begins with the shard's number.
type numberShard struct {
	mu      sync.RWMutex
	words   []uint64
	numbers []uint32 // + 1; 0: a free place
	n       int
	_       [56]byte // workers of other shards keep their cache line
}

// number returns the number of a value.
func (t *numbering) number(word uint64) uint32 {
	h := aggregate.HashBits(word)
	s := &t.shards[h>>(64-numberShardBits)]
	s.mu.RLock()
	n := s.find(h, word)
	s.mu.RUnlock()
	if n != 0 {
		return n - 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.find(h, word); n != 0 {
		return n - 1
	}
	if (s.n+1)*5 > len(s.words)*4 {
		t.size.Add(12 * int64(s.grow()))
	}
	n = uint32(t.next.Add(1))
	s.insert(h, word, n)
	s.n++
	return n - 1
}

// known returns the number of a value that has one.
func (t *numbering) known(word uint64) (number uint32, ok bool) {
	h := aggregate.HashBits(word)
	s := &t.shards[h>>(64-numberShardBits)]
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.find(h, word)
	return n - 1, n != 0
}

// find returns a value's number + 1, or 0.
func (s *numberShard) find(h, word uint64) uint32 {
	if len(s.words) == 0 {
		return 0
	}
	for at := spread(h<<numberShardBits, len(s.words)); ; {
		if n := s.numbers[at]; n == 0 || s.words[at] == word {
			return n
		}
		if at++; at == len(s.words) {
			at = 0
		}
	}
}

// insert puts a value that the table does not hold into a free place.
func (s *numberShard) insert(h, word uint64, number uint32) {
	at := spread(h<<numberShardBits, len(s.words))
	for s.numbers[at] != 0 {
		if at++; at == len(s.words) {
			at = 0
		}
	}
	s.words[at], s.numbers[at] = word, number
}

// grow makes room for more values, and returns for how many.
func (s *numberShard) grow() (more int) {
	words, numbers := s.words, s.numbers
	more = len(words)/2 + 16
	s.words, s.numbers = make([]uint64, len(words)+more), make([]uint32, len(words)+more)
	for i, n := range numbers {
		if n != 0 {
			s.insert(aggregate.HashBits(words[i]), words[i], n)
		}
	}
	return more
}

// lately is a small table of numbers that one worker has asked for: most values come again and again.
type lately struct {
	words   []uint64
	numbers []uint32 // + 1
}

const latelyBits = 14

// number returns the number of a value.
func (l *lately) number(t *numbering, word uint64) uint32 {
	if l.words == nil {
		l.words, l.numbers = make([]uint64, 1<<latelyBits), make([]uint32, 1<<latelyBits)
	}
	at := word * 0x9e3779b97f4a7c15 >> (64 - latelyBits)
	if l.words[at] == word && l.numbers[at] != 0 {
		return l.numbers[at] - 1
	}
	n := t.number(word)
	l.words[at], l.numbers[at] = word, n+1
	return n
}
