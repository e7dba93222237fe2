package aggregate

import "slices"

// Hour is the unit of the Firsts that outlive a build, in µs.
const Hour = 3_600_000_000

// Firsts is the state of First: of every unit of time, counted from 1970, the earliest event that has a value; of equal times the least value.
// With the unit Hour it answers every window that starts on an hour, from at most one event an hour; with the unit 1 every window. Times ascend strictly.
//
// Nulls are not added. A late event takes its place in time as if it had come in time.
type Firsts[V Value] []Event[V]

// Add adds a value. O(log n) and what is moved; O(1) for the newest event.
func (s *Firsts[V]) Add(e Event[V], unit int64, compare func(a, b V) int) {
	at := since(*s, floorDiv(e.Time, unit)*unit)
	if at == len(*s) || floorDiv((*s)[at].Time, unit) != floorDiv(e.Time, unit) {
		*s = slices.Insert(*s, at, e)
		return
	}
	if was := &(*s)[at]; e.Time < was.Time || e.Time == was.Time && compare(e.Value, was.Value) < 0 {
		*was = e
	}
}

// Merge adds the values of o, which is of the same unit.
func (s *Firsts[V]) Merge(o Firsts[V], unit int64, compare func(a, b V) int) {
	for _, e := range o {
		s.Add(e, unit, compare)
	}
}

// Cut drops what no window that starts at or after from needs.
func (s *Firsts[V]) Cut(from int64) { *s = slices.Delete(*s, 0, since(*s, from)) }

// Result returns the earliest event of [from, ∞), false if there is none. from must be a multiple of the unit.
func (s Firsts[V]) Result(from int64) (Event[V], bool) {
	at := since(s, from)
	if at == len(s) {
		return Event[V]{}, false
	}
	return s[at], true
}

// Append writes the state: bytes that depend on the values and times alone.
func (s Firsts[V]) Append(dst []byte) []byte { return appendEvents(dst, s) }

// DecodeFirsts reads what Append wrote into s, which it overwrites, and returns the bytes behind it.
func DecodeFirsts[V Value](s Firsts[V], src []byte, unit int64) (Firsts[V], []byte, error) {
	s, src, err := decodeEvents(s, src, "a first")
	if err != nil {
		return nil, nil, err
	}
	for i := 1; i < len(s); i++ {
		if floorDiv(s[i].Time, unit) == floorDiv(s[i-1].Time, unit) {
			return nil, nil, damaged("a first")
		}
	}
	return s, src, nil
}
