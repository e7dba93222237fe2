package aggregate

import (
	"cmp"
	"slices"
)

// Extreme is the state of Min; that of Max is an Extreme of negated values. It holds the events that no event of the same or a later time
// beats with the same or a smaller value: times ascend strictly, and so do values. The minimum of every window that ends after the newest
// event is the first entry at or after the window's start, for what was left out has a better one at least as new. A state of n values in random order has about ln n
// entries; the worst case, values that only rise, n.
//
// Nulls are not added. A late event takes its place in time as if it had come in time.
type Extreme []Event[float64]

// Add adds a value. O(log n) and what is moved, which is little but where late events come to a long state: append them to it, and call Normalize now
// and then. O(1) for the newest event.
func (x *Extreme) Add(t int64, value float64) {
	s := *x
	at := since(s, t)
	if at < len(s) && s[at].Value <= value {
		return
	}
	end := at
	if end < len(s) && s[end].Time == t {
		end++
	}
	for at > 0 && s[at-1].Value >= value {
		at--
	}
	e := Event[float64]{Time: t, Value: value}
	if at == end {
		*x = slices.Insert(s, at, e)
		return
	}
	s[at] = e
	*x = slices.Delete(s, at+1, end)
}

// Normalize makes a state of events in any order. O(n log n).
func (x *Extreme) Normalize() {
	s := *x
	slices.SortFunc(s, func(a, b Event[float64]) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(b.Value, a.Value))
	})
	at := len(s)
	for i := len(s) - 1; i >= 0; i-- {
		if at == len(s) || s[i].Value < s[at].Value {
			at--
			s[at] = s[i]
		}
	}
	*x = slices.Delete(s, 0, at)
}

// Merge adds the values of o.
func (x *Extreme) Merge(o Extreme) {
	*x = append(*x, o...)
	x.Normalize()
}

// Cut drops what no window that starts at or after from needs.
func (x *Extreme) Cut(from int64) { *x = slices.Delete(*x, 0, since(*x, from)) }

// Result returns the smallest value of [from, ∞), false if there is none.
func (x Extreme) Result(from int64) (float64, bool) {
	at := since(x, from)
	if at == len(x) {
		return 0, false
	}
	return x[at].Value, true
}

// Append writes the state: bytes that depend on the values and times alone.
func (x Extreme) Append(dst []byte) []byte { return appendEvents(dst, x) }

// DecodeExtreme reads what Append wrote into x, which it overwrites, and returns the bytes behind it.
func DecodeExtreme(x Extreme, src []byte) (Extreme, []byte, error) {
	x, src, err := decodeEvents(x, src, "an extreme")
	if err != nil {
		return nil, nil, err
	}
	for i := 1; i < len(x); i++ {
		if x[i].Time == x[i-1].Time || x[i].Value <= x[i-1].Value {
			return nil, nil, damaged("an extreme")
		}
	}
	return x, src, nil
}
