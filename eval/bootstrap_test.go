package eval

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPoissonWeights: the weights have the distribution of Poisson(1), whatever the number of replicates.
func TestPoissonWeights(t *testing.T) {
	const replicates = 1000
	d := newDraws(7, replicates)
	var counts [16]float64
	for _, w := range d.weight {
		counts[int(w)]++
	}
	for b := range 5 { // fewer replicates are the first of more
		part := make([]float64, 130)
		if weights(part, 7, b); !slices.Equal(part, d.of(b)[:130]) {
			t.Fatalf("bucket %d has other weights in a part than in all", b)
		}
	}
	p, n := math.Exp(-1), float64(buckets*replicates)
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
	c := newCell(0, 1, false)
	for i := range values {
		c.add(bucket(3, uint64(i)), values[i:i+1])
	}
	whole := c.resample(newDraws(3, replicates))
	sums, weight := whole.of(0), whole.weight
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
