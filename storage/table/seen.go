package table

import (
	"encoding/binary"
	"math/bits"
)

// seenText keeps texts that a column has held, so that one that recurs is allocated once. Each text has one slot, by a hash of some of its bytes, which
// the last text of that hash holds: a look-up is one comparison, and what is forgotten is only allocated again. It grows while texts are put out.
type seenText struct {
	slots  []string // a power of two
	misses int      // since it has grown
}

const (
	firstSeen   = 1 << 8
	mostSeen    = 1 << 16
	longestSeen = 256 // bytes of a text that is kept
)

// find returns the slot for v, or nil if v is too long to be kept.
func (m *seenText) find(v []byte) *string {
	if len(v) > longestSeen {
		return nil
	}
	if m.slots == nil {
		m.slots = make([]string, firstSeen)
	}
	return &m.slots[hashSome(v)>>(64-bits.TrailingZeros(uint(len(m.slots))))]
}

// put keeps s, whose slot is given.
func (m *seenText) put(slot *string, s string) {
	if m.misses++; m.misses < 2*len(m.slots) || len(m.slots) == mostSeen {
		*slot = s
		return
	}
	old := m.slots
	m.slots, m.misses = make([]string, 4*len(old)), 0
	for _, t := range old {
		*m.find([]byte(t)) = t
	}
	*m.find([]byte(s)) = s
}

// hashSome hashes the length of v and 24 of its bytes: the first, the middle and the last.
func hashSome(v []byte) uint64 {
	h := uint64(len(v))
	if len(v) < 8 {
		for _, b := range v {
			h = h<<8 | uint64(b)
		}
		return h * 0x9e3779b97f4a7c15
	}
	for _, at := range [...]int{0, len(v)/2 - 4, len(v) - 8} {
		h = (bits.RotateLeft64(h, 29) ^ binary.LittleEndian.Uint64(v[at:])) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return h * 0x9e3779b97f4a7c15
}
