package eval

import (
	"math"
	"testing"
)

// TestListMetrics shows each metric as arithmetic. Discounts: 1/log₂2 = 1, 1/log₂3 = 0.6309297535714575, 1/log₂4 = 0.5, 1/log₂5 = 0.43067655807339306.
func TestListMetrics(t *testing.T) {
	const d1, d2, d3, d4 = 1, 0.6309297535714575, 0.5, 0.43067655807339306
	tests := []struct {
		name     string
		hit      string // x is a hit
		relevant int
		k        int
		want     [6]float64 // ndcg, recall, recall_all, precision, mrr, hit
	}{
		{"perfect", "xx--", 2, 4, [6]float64{1, 2. / 2, 2. / 2, 2. / 4, 1. / 1, 1}},
		{"nothing", "----", 2, 4, [6]float64{0, 0, 0, 0, 0, 0}},
		{"second and fourth of three", "-x-x", 3, 4, [6]float64{(d2 + d4) / (d1 + d2 + d3), 2. / 3, 2. / 3, 2. / 4, 1. / 2, 1}},
		{"more relevant than places", "x-", 5, 2, [6]float64{d1 / (d1 + d2), 1. / 2, 1. / 5, 1. / 2, 1, 1}},
		{"cut before the hit", "--x-", 1, 2, [6]float64{0, 0, 0, 0, 0, 0}},
		{"hit at the last place", "--x", 1, 3, [6]float64{d3 / d1, 1, 1, 1. / 3, 1. / 3, 1}},
		{"short list", "-x", 4, 4, [6]float64{d2 / (d1 + d2 + d3 + d4), 1. / 4, 1. / 4, 1. / 4, 1. / 2, 1}},
		{"empty list", "", 1, 4, [6]float64{0, 0, 0, 0, 0, 0}},
	}
	for _, tt := range tests {
		hit := make([]bool, len(tt.hit))
		for i, c := range tt.hit {
			hit[i] = c == 'x'
		}
		got := make([]float64, len(hitMetrics))
		newDiscount(4).score(got, hit, tt.relevant, []int{tt.k})
		for i, name := range hitMetrics {
			if math.Abs(got[i]-tt.want[i]) > 1e-15 {
				t.Errorf("%s: %s = %v, want %v", tt.name, At(name, tt.k), got[i], tt.want[i])
			}
		}
	}
}

// TestListMetricsAtSeveralLengths: each length is scored as if alone.
func TestListMetricsAtSeveralLengths(t *testing.T) {
	hit := []bool{false, true, false, false, true, true, false}
	ks := []int{1, 2, 3, 5, 7, 9}
	d := newDiscount(9)
	together := make([]float64, len(ks)*len(hitMetrics))
	d.score(together, hit, 4, ks)
	for i, k := range ks {
		alone := make([]float64, len(hitMetrics))
		d.score(alone, hit, 4, []int{k})
		for j := range alone {
			if together[i*len(alone)+j] != alone[j] {
				t.Errorf("%s: %v together, %v alone", At(hitMetrics[j], k), together[i*len(alone)+j], alone[j])
			}
		}
	}
}

// TestCoverage: lists {0,1}, {1,2}, {3,4} over 10 items cover 5. List 0 alone holds item 0 (f = 1), list 1 item 2 (f = 1), list 2 items 3 and 4
// (f = 2): Σf = 4, Σf² = 6, variance = (2/3)·(6 − 16/3)/10² = (2/3)(2/3)/100 = 4/900.
func TestCoverage(t *testing.T) {
	c := cover{owner: make([]int32, 10)}
	c.add([]int32{0, 1}, 0)
	c.add([]int32{1, 2}, 1)
	c.add([]int32{3, 4}, 2)
	value, se := c.estimate(3)
	if value != 0.5 || math.Abs(se-2./30) > 1e-15 {
		t.Errorf("coverage %v ± %v, want 0.5 ± %v", value, se, 2./30)
	}
	// The formula against leaving each list out and counting again.
	lists := [][]int32{{0, 1}, {1, 2}, {3, 4}}
	var left []float64
	for q := range lists {
		seen := map[int32]bool{}
		for i, l := range lists {
			for _, item := range l {
				seen[item] = seen[item] || i != q
			}
		}
		n := 0
		for _, yes := range seen {
			if yes {
				n++
			}
		}
		left = append(left, float64(n)/10)
	}
	mean := (left[0] + left[1] + left[2]) / 3
	var v float64
	for _, x := range left {
		v += (x - mean) * (x - mean)
	}
	if direct := math.Sqrt(v * 2 / 3); math.Abs(direct-se) > 1e-15 {
		t.Errorf("jackknife by recounting gives %v, the formula %v", direct, se)
	}
}

func TestParseMetric(t *testing.T) {
	for _, bad := range []string{"", "ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndgc@10", "@10", "ndcg@10@10", "ndcg@ten"} {
		if _, _, err := parseMetric(bad); err == nil {
			t.Errorf("parseMetric(%q) gave no error", bad)
		}
	}
	m, k, err := parseMetric("recall_all@50")
	if m != RecallAll || k != 50 || err != nil {
		t.Errorf("parseMetric(recall_all@50) = %q, %d, %v", m, k, err)
	}
}
