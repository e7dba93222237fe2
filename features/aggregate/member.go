package aggregate

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// Member is one value of an entity and the time (µs) of its last event. ID is equal if and only if the value is: the bits of a number, or
// [HashString] of a text.
type Member struct {
	ID   uint64
	Time int64
}

// Members is the state of Distinct: each value with its last time, ascending by ID. A value lies in a window that ends after the newest event if
// and only if its last time does, so the state answers every such window, exactly. It holds 16 bytes a distinct value.
//
// Nulls are not added; a late event moves its value's time only forward.
type Members []Member

// Add adds a value. O(log n), and O(n) where the value is new: to fill a large state, append to it and call Normalize.
func (m *Members) Add(id uint64, t int64) {
	at, ok := slices.BinarySearchFunc(*m, id, func(x Member, id uint64) int { return cmp.Compare(x.ID, id) })
	if !ok {
		*m = slices.Insert(*m, at, Member{ID: id, Time: t})
		return
	}
	(*m)[at].Time = max((*m)[at].Time, t)
}

// Normalize sorts entries that came in any order, and keeps of those with one ID the newest. O(n log n).
func (m *Members) Normalize() {
	s := *m
	slices.SortFunc(s, func(a, b Member) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(b.Time, a.Time)) })
	*m = slices.CompactFunc(s, func(a, b Member) bool { return a.ID == b.ID })
}

// Merge adds the values of o.
func (m *Members) Merge(o Members) {
	*m = append(*m, o...)
	m.Normalize()
}

// Cut drops what no window that starts at or after from needs.
func (m *Members) Cut(from int64) {
	*m = slices.DeleteFunc(*m, func(x Member) bool { return x.Time < from })
}

// Result returns the number of values in [from, ∞). O(n).
func (m Members) Result(from int64) int64 {
	n := int64(0)
	for _, x := range m {
		if x.Time >= from {
			n++
		}
	}
	return n
}

// Append writes the state: bytes that depend on the values and times alone; about 13 a value.
func (m Members) Append(dst []byte) []byte {
	newest := int64(math.MinInt64)
	for _, x := range m {
		newest = max(newest, x.Time)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	if len(m) > 0 {
		dst = binary.AppendVarint(dst, newest)
	}
	for _, x := range m {
		dst = binary.LittleEndian.AppendUint64(dst, x.ID)
		dst = binary.AppendUvarint(dst, uint64(newest-x.Time))
	}
	return dst
}

// DecodeMembers reads what Append wrote into m, which it overwrites, and returns the bytes behind it.
func DecodeMembers(m Members, src []byte) (Members, []byte, error) {
	const what = "a set"
	n, src, err := decodeLen(src, 9, what)
	if err != nil || n == 0 {
		return m[:0], src, err
	}
	newest, src, err := DecodeInt(src)
	if err != nil {
		return nil, nil, err
	}
	m = slices.Grow(m[:0], n)
	least := uint64(math.MaxUint64)
	for range n {
		if len(src) < 8 {
			return nil, nil, damaged(what)
		}
		id := binary.LittleEndian.Uint64(src)
		var ago uint64
		if ago, src, err = DecodeUint(src[8:]); err != nil {
			return nil, nil, err
		}
		t := newest - int64(ago)
		if len(m) > 0 && id <= m[len(m)-1].ID || t > newest {
			return nil, nil, damaged(what)
		}
		least = min(least, ago)
		m = append(m, Member{ID: id, Time: t})
	}
	if least != 0 {
		return nil, nil, damaged(what)
	}
	return m, src, nil
}
