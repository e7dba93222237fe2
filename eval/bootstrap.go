package eval

import (
	"math"
	"slices"
)

// poissonTable maps 16 uniform bits to a draw from Poisson(1), by inversion of its distribution function.
var poissonTable = func() (t [1 << 16]uint8) {
	p, cdf, draw := math.Exp(-1), math.Exp(-1), uint8(0)
	for i := range t {
		for (float64(i)+0.5)/(1<<16) > cdf {
			draw++
			p /= float64(draw)
			cdf += p
		}
		t[i] = draw
	}
	return t
}()

// weights writes the bootstrap weights of one query for the replicates [from, from+len(dst)); from is a multiple of 4. They are a function of
// (seed, query, replicate) alone, so any range may be drawn anywhere.
func weights(dst []float64, seed uint64, query, from int) {
	key := mix(seed ^ mix(uint64(query)+1))
	for i := 0; i < len(dst); i += 4 {
		bits := mix(key + uint64(from+i))
		for j := i; j < min(i+4, len(dst)); j++ {
			dst[j] = float64(poissonTable[uint16(bits)])
			bits >>= 16
		}
	}
}

// mix is the finalizer of splitmix64 (Steele, Lea & Flood 2014) after one step of its sequence.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// means writes the replicate means sums[r]/weight[r] to dst and returns those that exist (a replicate may have drawn nobody).
func means(dst, sums, weight []float64) []float64 {
	dst = dst[:0]
	for r, w := range weight {
		if w > 0 {
			dst = append(dst, sums[r]/w)
		}
	}
	return dst
}

// interval returns the percentile interval and the standard error of bootstrap replicates, which it sorts. With fewer than two it has no value.
func interval(replicates []float64) (low, high, se float64) {
	if len(replicates) < 2 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	// The mean is subtracted first: with replicates that are all equal the error is exactly zero.
	var sum, squares float64
	pivot := replicates[0]
	for _, x := range replicates {
		sum += x - pivot
	}
	mean := sum / float64(len(replicates))
	for _, x := range replicates {
		squares += (x - pivot - mean) * (x - pivot - mean)
	}
	slices.Sort(replicates)
	tail := (1 - Confidence) / 2
	return quantile(replicates, tail), quantile(replicates, 1-tail), math.Sqrt(squares / float64(len(replicates)-1))
}

// quantile interpolates linearly between the order statistics of sorted (type 7 of Hyndman & Fan 1996).
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	lo := int(at)
	hi := min(lo+1, len(sorted)-1)
	return sorted[lo] + (at-float64(lo))*(sorted[hi]-sorted[lo])
}

// pValue is the two-sided bootstrap p of "no difference".
func pValue(differences []float64) float64 {
	var below, above int
	for _, d := range differences {
		if d <= 0 {
			below++
		}
		if d >= 0 {
			above++
		}
	}
	return min(1, float64(1+2*min(below, above))/float64(len(differences)+1))
}
