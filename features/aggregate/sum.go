package aggregate

import (
	"math"

	"github.com/rapport-ml/rapport/features"
)

// Sum is the state of sums in tight loops: an exact sum of float64 terms as the pair Hi + Lo, as long as 106 bits hold it. The zero Sum is 0.
//
// Two sums without an error (Knuth, The Art of Computer Programming 2, 4.2.2, theorem B) take a term in; what does not fit is handed to the caller, who
// keeps it beside, in a features.Total. Terms of one or two decimals and magnitudes up to a million leave a rest practically never. Two Sums of the
// same terms may split them differently into Hi, Lo and rest: the value is the same to the bit, and so is what [AppendSum] writes.
type Sum struct{ Hi, Lo float64 }

// Add adds x, which must be features.Computable, and returns the exact rest: s before + x = s after + rest. Ten additions, no branch.
func (s *Sum) Add(x float64) (rest float64) {
	h := s.Hi + x
	y := h - s.Hi
	e := (s.Hi - (h - y)) + (x - y)
	l := s.Lo + e
	z := l - s.Lo
	rest = (s.Lo - (l - z)) + (e - z)
	s.Hi, s.Lo = h, l
	return rest
}

// Result returns the sum rounded once to the nearest float64, if no Add has left a rest; +0 for zero.
func (s Sum) Result() float64 { return s.Hi + s.Lo + 0 }

// Exact is a Sum with its rest: the exact sum of any float64 terms, equal to a features.Total of them to the bit. The zero Exact is 0.
type Exact struct {
	Sum
	Rest features.Total
}

// Add adds x, which must be features.Computable.
func (s *Exact) Add(x float64) {
	if rest := s.Sum.Add(x); rest != 0 {
		s.Rest.Add(rest)
	}
}

// Merge adds all terms of o.
func (s *Exact) Merge(o *Exact) { s.MergeSum(o.Sum, &o.Rest) }

// MergeSum adds all terms of o and of its rest, which is nil if there is none.
func (s *Exact) MergeSum(o Sum, rest *features.Total) {
	s.Add(o.Hi)
	s.Add(o.Lo)
	if rest != nil {
		for _, x := range rest.Partials() {
			s.Add(x)
		}
	}
}

// Subtract takes away all terms of o: after Merge(o) it restores the sum exactly.
func (s *Exact) Subtract(o *Exact) { s.SubtractSum(o.Sum, &o.Rest) }

// SubtractSum takes away all terms of o and of its rest, which is nil if there is none.
func (s *Exact) SubtractSum(o Sum, rest *features.Total) {
	s.Add(-o.Hi)
	s.Add(-o.Lo)
	if rest != nil {
		for _, x := range rest.Partials() {
			s.Add(-x)
		}
	}
}

// Result returns the exact sum rounded once to the nearest float64, ties to even; +0 for zero.
func (s *Exact) Result() float64 {
	if len(s.Rest.Partials()) == 0 {
		return s.Sum.Result()
	}
	t := s.total()
	return t.Result()
}

// Zero reports whether the sum is exactly zero.
func (s *Exact) Zero() bool { return s.Result() == 0 }

// Scale multiplies the sum by 2^exp. It is exact as long as no term that was added leaves the range of normal numbers by it.
func (s *Exact) Scale(exp int) {
	s.Hi, s.Lo = math.Ldexp(s.Hi, exp), math.Ldexp(s.Lo, exp)
	if p := s.Rest.Partials(); len(p) > 0 {
		var t features.Total
		for _, x := range p {
			t.Add(math.Ldexp(x, exp))
		}
		s.Rest = t
	}
}

func (s *Exact) total() features.Total {
	var t features.Total
	t.Merge(&s.Rest)
	t.Add(s.Hi)
	t.Add(s.Lo)
	return t
}

// maxExpansion bounds the floats of an encoded sum: 2,098 bits, 53 each.
const maxExpansion = 40

// Append writes the sum as AppendSum does.
func (s *Exact) Append(dst []byte) []byte {
	if len(s.Rest.Partials()) == 0 {
		return AppendSum(dst, s.Sum)
	}
	t := s.total()
	at := len(dst)
	dst = append(dst, 0)
	for x := t.Result(); x != 0; x = t.Result() {
		dst = appendFloat(dst, x)
		dst[at]++
		t.Add(-x)
	}
	return dst
}

// AppendSum writes a sum that has no rest: the number of floats, then the floats, 8 bytes each, each being what is left of the sum, rounded. So
// the bytes depend on the sum alone, not on how it came about: 1 byte for zero, 9 for a sum that is a float64, 17 for most others.
func AppendSum(dst []byte, s Sum) []byte {
	hi := s.Hi + s.Lo
	y := hi - s.Hi
	lo := (s.Hi - (hi - y)) + (s.Lo - y)
	switch {
	case hi == 0:
		return append(dst, 0)
	case lo == 0:
		return appendFloat(append(dst, 1), hi)
	}
	return appendFloat(appendFloat(append(dst, 2), hi), lo)
}

// DecodeSum reads what AppendSum or Exact.Append wrote, and returns the bytes behind it.
func DecodeSum(src []byte) (Exact, []byte, error) {
	var s Exact
	if len(src) == 0 || src[0] > maxExpansion || len(src)-1 < 8*int(src[0]) {
		return s, nil, damaged("a sum")
	}
	n, src := int(src[0]), src[1:]
	last := math.Inf(1)
	for range n {
		var x float64
		x, src = float(src), src[8:]
		// Each float is at most half a unit in the last place of the one before, else it would be part of it; half of that is lost in any case.
		if x == 0 || !(math.Abs(x) <= maxSum) || last+x/2 != last {
			return Exact{}, nil, damaged("a sum")
		}
		last = x
		s.Add(x)
	}
	return s, src, nil
}

// maxSum is the largest magnitude of a sum of fewer than 2^62 values.
const maxSum = features.MaxValue * (1 << 62)
