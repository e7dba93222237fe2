package aggregate

import "math"

// MaxDecayed is the largest magnitude that a term of a decayed sum may have before it decays; 1/MaxDecayed is the least, but for zero. Together
// with windows of at most 500 half-lives it keeps every intermediate within the normal numbers, so that scaling by powers of two is exact.
const MaxDecayed = 0x1p400

// Decayable reports whether w can be a term of a decayed sum.
func Decayable(w float64) bool {
	a := math.Abs(w)
	return a <= MaxDecayed && (a >= 1/MaxDecayed || a == 0)
}

// Decay is an exponential decay with a half-life of h µs that moves in time exactly. With the epoch 1970, an event at t µs that weighs w has
//
//	k = ⌊t/h⌋   r = t − k·h   m = fl(w · 2^(r/h))
//
// and adds exactly m·2^k. The decayed sum of a window that ends at E is
//
//	fl(fl(S · 2^−K) · 2^(−R/h))   K = ⌊E/h⌋   R = E − K·h
//
// with S the exact sum of the m·2^k of its events. S does not depend on E, so a state that was kept for one end serves any other, and terms
// that leave the window are taken away exactly. It differs from Σ w·2^(−(E−t)/h) by the rounding of m and of the result: about 3·2^−53, relative to the
// sum of the magnitudes of the terms. States keep S·2^−base, base being [Decay.Base] of the longest window's oldest edge.
// Null values add nothing; a late event adds what it would have added in time.
type Decay struct{ HalfLife int64 } // µs, above zero

// Base returns the exponent relative to which a state keeps the sum of events at or after from.
func (d Decay) Base(from int64) int64 { return floorDiv(from, d.HalfLife) }

// Term returns the term of an event at t that weighs w, which must be Decayable, for a state of that base: m·2^(k−base). It is exact up to
// the rounding of m if base ≤ k ≤ base + 550. It costs one math.Exp2.
func (d Decay) Term(w float64, t, base int64) float64 {
	k := floorDiv(t, d.HalfLife)
	return d.Mantissa(w, t-k*d.HalfLife) * pow2(k-base)
}

// Mantissa returns m of an event that is r µs behind the last multiple of the half-life.
func (d Decay) Mantissa(w float64, r int64) float64 {
	return float64(w * math.Exp2(float64(r)/float64(d.HalfLife))) // the conversion forbids fusing with a sum
}

// Result returns the decayed sum as of end; sum is S·2^−base, rounded once, of a window of at most 500 half-lives that ends there.
func (d Decay) Result(sum float64, base, end int64) float64 {
	k := floorDiv(end, d.HalfLife)
	r := end - k*d.HalfLife
	return float64(sum*pow2(base-k))*math.Exp2(-float64(r)/float64(d.HalfLife)) + 0
}

// pow2 returns 2^n: 0 below the normal numbers, +Inf above them.
func pow2(n int64) float64 {
	switch {
	case n < -1022:
		return 0
	case n > 1023:
		return math.Inf(1)
	}
	return math.Float64frombits(uint64(n+1023) << 52)
}

// floorDiv returns ⌊a/b⌋, b above zero.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
