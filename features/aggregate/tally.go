package aggregate

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// ErrBelowZero says that more was subtracted from a state than was in it: the two are not of the same events.
var ErrBelowZero = errors.New("a count is below zero: the state is not of the events that are taken from it")

// Key is what Tallies count by: categories, or the bins of a sketch.
type Key interface {
	int32 | int64 | float64 | string
}

// Tally is how many events have one value.
type Tally[K Key] struct {
	Key K
	N   int64 // above zero
}

// Tallies is the state of Top (by category) and Quantile (by [Bin]): how many events have each value, ascending by value, none of them zero. It is
// additive. Nulls are not added; a late event counts as any other.
type Tallies[K Key] []Tally[K]

// Add adds n events, or takes −n away, with ErrBelowZero where there are not as many. O(log n), and O(n) where a value is new or gone.
func (s *Tallies[K]) Add(key K, n int64) error {
	at, ok := slices.BinarySearchFunc(*s, key, func(t Tally[K], key K) int { return cmp.Compare(t.Key, key) })
	switch {
	case n == 0:
	case ok:
		switch t := &(*s)[at]; {
		case t.N+n < 0:
			return ErrBelowZero
		case t.N+n == 0:
			*s = slices.Delete(*s, at, at+1)
		default:
			t.N += n
		}
	case n < 0:
		return ErrBelowZero
	default:
		*s = slices.Insert(*s, at, Tally[K]{Key: key, N: n})
	}
	return nil
}

// Normalize sorts entries that came in any order, joins those of one value, and drops what is zero. It is ErrBelowZero if one is below. O(n log n).
func (s *Tallies[K]) Normalize() error {
	list := *s
	slices.SortFunc(list, func(a, b Tally[K]) int { return cmp.Compare(a.Key, b.Key) })
	kept := 0
	for i := 0; i < len(list); {
		sum := list[i]
		for i++; i < len(list) && list[i].Key == sum.Key; i++ {
			sum.N += list[i].N
		}
		if sum.N < 0 {
			return ErrBelowZero
		}
		if sum.N > 0 {
			list[kept] = sum
			kept++
		}
	}
	*s = slices.Delete(list, kept, len(list))
	return nil
}

// Merge adds the events of o.
func (s *Tallies[K]) Merge(o Tallies[K]) {
	*s = append(*s, o...)
	_ = s.Normalize() // sums of counts above zero
}

// Subtract takes away the events of o, which must all be in s, else the error is ErrBelowZero and s is of no use any more.
func (s *Tallies[K]) Subtract(o Tallies[K]) error {
	for _, t := range o {
		*s = append(*s, Tally[K]{Key: t.Key, N: -t.N})
	}
	return s.Normalize()
}

// Total returns the number of events. O(n).
func (s Tallies[K]) Total() int64 {
	n := int64(0)
	for _, t := range s {
		n += t.N
	}
	return n
}

// Append writes the state: bytes that depend on the values alone.
func (s Tallies[K]) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	last := int64(0)
	for _, t := range s {
		switch k := any(t.Key).(type) {
		case int32:
			dst = binary.AppendVarint(dst, int64(k)-last)
			last = int64(k)
		case int64:
			dst = appendValue(dst, k)
		case float64:
			dst = appendValue(dst, k)
		case string:
			dst = appendValue(dst, k)
		}
		dst = binary.AppendUvarint(dst, uint64(t.N))
	}
	return dst
}

// DecodeTallies reads what Append wrote into s, which it overwrites, and returns the bytes behind it.
func DecodeTallies[K Key](s Tallies[K], src []byte) (Tallies[K], []byte, error) {
	const what = "counts by value"
	n, src, err := decodeLen(src, 2, what)
	if err != nil {
		return nil, nil, err
	}
	s = slices.Grow(s[:0], n)
	last := int64(0)
	for range n {
		var t Tally[K]
		switch k := any(&t.Key).(type) {
		case *int32:
			var d int64
			d, src, err = DecodeInt(src)
			if last += d; d < -1<<32 || d > 1<<32 || last != int64(int32(last)) {
				return nil, nil, damaged(what)
			}
			*k = int32(last)
		case *int64:
			*k, src, err = decodeValue[int64](src, what)
		case *float64:
			*k, src, err = decodeValue[float64](src, what)
		case *string:
			*k, src, err = decodeValue[string](src, what)
		}
		var count uint64
		if err == nil {
			count, src, err = DecodeUint(src)
		}
		if err != nil {
			return nil, nil, err
		}
		if t.N = int64(count); count == 0 || count > math.MaxInt64/2 || len(s) > 0 && t.Key <= s[len(s)-1].Key {
			return nil, nil, damaged(what)
		}
		s = append(s, t)
	}
	return s, src, nil
}
