package aggregate

import "slices"

// Recents is the state of Last (one event) and Sequence (n events): the newest events that have a value, ascending by time and, of equal times, by
// value. The last n of any window that ends after the newest event are those at or after the window's start. Two events that are equal are two.
//
// Nulls are not added. A late event takes its place in time, if it is new enough.
type Recents[V Value] []Event[V]

// Add adds a value and keeps the newest n. O(log n) and what is moved.
func (s *Recents[V]) Add(e Event[V], n int, compare func(a, b V) int) {
	list := *s
	at := len(list)
	for at > 0 && (list[at-1].Time > e.Time || list[at-1].Time == e.Time && compare(list[at-1].Value, e.Value) > 0) {
		at--
	}
	switch {
	case len(list) < n:
		*s = slices.Insert(list, at, e)
	case at > 0:
		copy(list, list[1:at])
		list[at-1] = e
	}
}

// Merge adds the values of o.
func (s *Recents[V]) Merge(o Recents[V], n int, compare func(a, b V) int) {
	for _, e := range o {
		s.Add(e, n, compare)
	}
}

// Cut drops what no window that starts at or after from needs.
func (s *Recents[V]) Cut(from int64) { *s = slices.Delete(*s, 0, since(*s, from)) }

// Result returns the events of [from, ∞) among the newest n, latest last: a part of s.
func (s Recents[V]) Result(from int64) Recents[V] { return s[since(s, from):] }

// Append writes the state: bytes that depend on the values and times alone.
func (s Recents[V]) Append(dst []byte) []byte { return appendEvents(dst, s) }

// DecodeRecents reads what Append wrote into s, which it overwrites, and returns the bytes behind it. n is as in Add.
func DecodeRecents[V Value](s Recents[V], src []byte, n int, compare func(a, b V) int) (Recents[V], []byte, error) {
	s, src, err := decodeEvents(s, src, "a sequence")
	if err != nil {
		return nil, nil, err
	}
	if len(s) > n {
		return nil, nil, damaged("a sequence")
	}
	for i := 1; i < len(s); i++ {
		if s[i].Time == s[i-1].Time && compare(s[i].Value, s[i-1].Value) < 0 {
			return nil, nil, damaged("a sequence")
		}
	}
	return s, src, nil
}
