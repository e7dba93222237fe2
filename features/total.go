package features

import "math"

// MaxValue is the largest magnitude that a value may have, 2^960 ≈ 9.7e288: fewer than 2^63 of them never overflow a Total.
const MaxValue = 0x1p960

// MaxInteger is the largest magnitude of an integer that is taken as a number: above it not every integer is a float64.
const MaxInteger = 1 << 53

// Computable reports whether x is a value that features may be computed from: finite and of magnitude at most MaxValue.
func Computable(x float64) bool { return math.Abs(x) <= MaxValue }

// Total is an exact sum of float64 terms: a list of non-overlapping partial sums, smallest first, whose exact sum is the exact sum of all
// terms added (Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates", 1997, GROW-EXPANSION;
// rounding as in Python's math.fsum). So Add and Merge commute and associate exactly, whatever the order. The zero Total is 0.
// It typically holds one to three partials, and never more than 40; Add costs that many steps.
type Total struct{ partials []float64 }

// Add adds x, which must be Computable.
func (t *Total) Add(x float64) {
	n := 0
	for _, y := range t.partials {
		if math.Abs(x) < math.Abs(y) {
			x, y = y, x
		}
		hi := x + y
		lo := y - (hi - x)
		if lo != 0 {
			t.partials[n] = lo
			n++
		}
		x = hi
	}
	t.partials = append(t.partials[:n], x)
}

// Merge adds all terms of o.
func (t *Total) Merge(o *Total) {
	for _, x := range o.partials {
		t.Add(x)
	}
}

// Partials returns the floats whose exact sum t is, in no canonical form; the next Add overwrites them.
func (t *Total) Partials() []float64 { return t.partials }

// Result returns the exact sum rounded once to the nearest float64, ties to even; +0 for an exact zero.
func (t *Total) Result() float64 {
	p := t.partials
	n := len(p)
	if n == 0 {
		return 0
	}
	n--
	hi := p[n]
	lo := 0.0
	for n > 0 {
		n--
		x, y := hi, p[n]
		hi = x + y
		lo = y - (hi - x)
		if lo != 0 {
			break
		}
	}
	// The rest decides a tie: hi + lo is rounded as if all partials below had been added to lo.
	if n > 0 && (lo < 0 && p[n-1] < 0 || lo > 0 && p[n-1] > 0) {
		y := lo * 2
		x := hi + y
		if y == x-hi {
			hi = x
		}
	}
	if hi == 0 {
		return 0 // not −0
	}
	return hi
}
