package eval

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestPoissonWeights: the weights have the distribution of Poisson(1), and are the same however the replicates are divided.
func TestPoissonWeights(t *testing.T) {
	const queries, replicates = 500, 1000
	all := make([]float64, replicates)
	var counts [16]float64
	for q := range queries {
		weights(all, 7, q, 0)
		for _, from := range []int{0, 4, 128, 996} {
			part := make([]float64, min(130, replicates-from))
			weights(part, 7, q, from)
			for i, w := range part {
				if w != all[from+i] {
					t.Fatalf("query %d, replicate %d: %v in a part, %v in all", q, from+i, w, all[from+i])
				}
			}
		}
		for _, w := range all {
			counts[int(w)]++
		}
	}
	p, n := math.Exp(-1), float64(queries*replicates)
	for k := range 6 {
		if got := counts[k] / n; math.Abs(got-p) > 5*math.Sqrt(p/n)+2e-5 {
			t.Errorf("weight %d has the share %v, want %v", k, got, p)
		}
		p /= float64(k + 1)
	}
}

// TestStandardErrorMatchesTheory: the bootstrap's standard error of a mean is sd/√n, within its own noise: 1/√(2·replicates) = 1.6 %.
func TestStandardErrorMatchesTheory(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const n, replicates = 2000, 2000
	values := make([]float64, n)
	var mean, squares float64
	for i := range values {
		values[i] = math.Max(0, r.NormFloat64())
		mean += values[i] / n
	}
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	want := math.Sqrt(squares/(n-1)) / math.Sqrt(n)
	sums, weight, w := make([]float64, replicates), make([]float64, replicates), make([]float64, replicates)
	for q, v := range values {
		weights(w, 3, q, 0)
		axpy(sums, v, w)
		axpy(weight, 1, w)
	}
	low, high, se := interval(means(nil, sums, weight))
	if math.Abs(se/want-1) > 0.06 {
		t.Errorf("bootstrap error %v, theory %v", se, want)
	}
	if math.Abs((high-low)/(2*1.96*want)-1) > 0.08 || low > mean || high < mean {
		t.Errorf("interval %v to %v about %v, want a half width of %v", low, high, mean, 1.96*want)
	}
}

func TestInterval(t *testing.T) {
	if low, high, se := interval([]float64{0.1, 0.1, 0.1}); low != 0.1 || high != 0.1 || se != 0 {
		t.Errorf("equal replicates: %v to %v ± %v, want 0.1 to 0.1 ± 0", low, high, se)
	}
	if low, _, _ := interval([]float64{1}); !math.IsNaN(low) {
		t.Errorf("one replicate has an interval from %v", low)
	}
	// 0…40: the 2.5 % quantile stands at 0.025·40 = 1, the 97.5 % at 39; the variance of 0…40 is 41·42/12 = 143.5.
	x := make([]float64, 41)
	for i := range x {
		x[i] = float64(40 - i)
	}
	if low, high, se := interval(x); math.Abs(low-1) > 1e-12 || math.Abs(high-39) > 1e-12 || math.Abs(se-math.Sqrt(143.5)) > 1e-12 {
		t.Errorf("0…40: %v to %v ± %v, want 1 to 39 ± √143.5", low, high, se)
	}
}

func TestPValue(t *testing.T) {
	tests := []struct {
		d    []float64
		want float64
	}{
		{[]float64{1, 1, 1, 1}, 1. / 5},   // none at or below 0: (1 + 2·0)/(4 + 1)
		{[]float64{-1, 1, 1, 1}, 3. / 5},  // one: (1 + 2·1)/5
		{[]float64{-1, -1, 1, 1}, 5. / 5}, // two
		{[]float64{0, 0, 0, 0}, 1},        // equal contenders: min(1, 9/5)
	}
	for _, tt := range tests {
		if got := pValue(tt.d); math.Abs(got-tt.want) > 1e-15 {
			t.Errorf("pValue(%v) = %v, want %v", tt.d, got, tt.want)
		}
	}
}
