package eval

import (
	"math"
	"runtime"
	"slices"
	"sync"
)

// buckets is into how many parts subjects are divided by their keys. A replicate draws one weight a bucket: whole buckets are resampled, so that neither
// memory nor time grows with the number of subjects. A cell of a few hundred subjects has nearly one a bucket. With many, a bucket is the sum of
// a random part of them, and the variance of sums of random parts is, in expectation, that of subjects; it is known from so many parts to 1/√(2·1024) = 2 %.
const buckets = 1024

// bucket is where a subject belongs under a seed, in every evaluation.
func bucket(seed, key uint64) int { return int(mix(seed^mix(key)) % buckets) }

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

// draws are the bootstrap weights of all buckets: bucket b has those of its replicates at [b·replicates].
type draws struct {
	replicates int
	weight     []float64
}

func newDraws(seed uint64, replicates int) *draws {
	d := &draws{replicates: replicates, weight: make([]float64, buckets*replicates)}
	for b := range buckets {
		weights(d.of(b), seed, b)
	}
	return d
}

// of returns the weights of a bucket, a replicate each, as a view.
func (d *draws) of(bucket int) []float64 {
	return d.weight[bucket*d.replicates:][:d.replicates]
}

// weights writes the bootstrap weights of one bucket, a function of (seed, bucket, replicate) alone.
func weights(dst []float64, seed uint64, bucket int) {
	key := mix(seed ^ mix(uint64(bucket)+1))
	for i := 0; i < len(dst); i += 4 {
		bits := mix(key + uint64(i))
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

// Replicates are summed in chunks by one worker at a time, over groups of buckets whose weights stay in a core's first cache meanwhile.
const (
	replicateChunk = 128
	bucketGroup    = 16
)

// sum adds Σ_b weight(b, r)·rows[b·cols + c] over the buckets of at to dst[c·replicates + r]: row i of rows is that of bucket at[i]. Workers share the
// replicates, so that no sum depends on how many there are. O(len(at)·cols·replicates).
func (d *draws) sum(dst []float64, at []int32, rows []float64, cols int) {
	var wg sync.WaitGroup
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	for from := 0; from < d.replicates; from += replicateChunk {
		limit <- struct{}{}
		wg.Go(func() {
			d.sumChunk(dst, at, rows, cols, from, min(from+replicateChunk, d.replicates))
			<-limit
		})
	}
	wg.Wait()
}

func (d *draws) sumChunk(dst []float64, at []int32, rows []float64, cols, from, to int) {
	for lo := 0; lo < len(at); lo += bucketGroup {
		hi := min(lo+bucketGroup, len(at))
		for c := range cols {
			out := dst[c*d.replicates+from : c*d.replicates+to]
			i := lo
			for ; i+4 <= hi; i += 4 {
				v0, v1, v2, v3 := rows[i*cols+c], rows[(i+1)*cols+c], rows[(i+2)*cols+c], rows[(i+3)*cols+c]
				if v0 == 0 && v1 == 0 && v2 == 0 && v3 == 0 {
					continue
				}
				axpy4(out, v0, v1, v2, v3, d.of(int(at[i]))[from:to], d.of(int(at[i+1]))[from:to], d.of(int(at[i+2]))[from:to], d.of(int(at[i+3]))[from:to])
			}
			for ; i < hi; i++ {
				if v := rows[i*cols+c]; v != 0 {
					axpy(out, v, d.of(int(at[i]))[from:to])
				}
			}
		}
	}
}

// axpy adds a·x to dst.
func axpy(dst []float64, a float64, x []float64) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] += float64(a * v) // the conversion forbids a fused multiply-add, which would differ between architectures
	}
}

// axpy4 adds a·x + b·y + c·z + d·w to dst.
func axpy4(dst []float64, a, b, c, d float64, x, y, z, w []float64) {
	n := len(dst)
	x, y, z, w = x[:n], y[:n], z[:n], w[:n]
	for i := range dst {
		dst[i] += float64(a*x[i]) + float64(b*y[i]) + (float64(c*z[i]) + float64(d*w[i]))
	}
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
