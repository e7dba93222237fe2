package eval

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The metrics that ask what was hit, of one subject. The list holds the k best items of the whole catalog; rel is the set of relevant items, not empty.
const (
	NDCG      = "ndcg"       // Σ_{hits at rank r ≤ k} 1/log₂(r+1) ÷ Σ_{r ≤ min(k,|rel|)} 1/log₂(r+1) (Järvelin & Kekäläinen 2002, gain = 0 or 1)
	Recall    = "recall"     // hits ÷ min(k, |rel|) (Liang et al. 2018): a perfect list reaches 1 at any k
	RecallAll = "recall_all" // hits ÷ |rel|: the share of all that the subject took
	Precision = "precision"  // hits ÷ k: a list shorter than k is filled up with misses
	MRR       = "mrr"        // 1/rank of the first hit within k, else 0
	Hit       = "hit"        // 1 if there is a hit within k, else 0
)

// The metrics that ask what lists are like, of one subject. Each is measured on the split All alone, of the subjects for whom it is defined, and only
// where the task knows what it needs.
const (
	Novelty     = "novelty"     // mean over the list of −log₂ p(i), p the share of the training subjects who had i, at least one of them: rare items count more
	Popularity  = "popularity"  // mean over the list of the share of the catalog that fewer subjects had than i, ties counted half: 1 is the best-known item
	Diversity   = "diversity"   // mean over pairs of the list of 1 − the likeness of the two (models/lists)
	Calibration = "calibration" // KL(p ‖ .99q + .01p), p the history's spread over an attribute and q the list's, in nats (Steck 2018): 0 is the same spread
	Overlap     = "overlap"     // items that stand in the list and in the live version's, ÷ the longer of the two
)

// The metrics of all lists together: no means over subjects.
const (
	Coverage = "coverage" // distinct items over all lists ÷ items of the catalog
	Gini     = "gini"     // Σᵢ (2i − n − 1)·xᵢ ÷ (n·Σx) over the catalog's n items, x₁ ≤ … ≤ xₙ the numbers of lists that hold each: 0 is even, towards 1 all places go to few items
)

// hitMetrics and listMetrics fix the order in which the figures of a list stand.
var (
	hitMetrics  = []string{NDCG, Recall, RecallAll, Precision, MRR, Hit}
	listMetrics = []string{Novelty, Popularity, Diversity, Calibration, Overlap}
)

// Split says which relevant items count.
type Split string

// The splits. In each, subjects without a relevant item of that kind are left out, and the list is the same list.
const (
	All          Split = "all"
	Repeat       Split = "repeat"        // items that the subject had before
	Explore      Split = "explore"       // items that are new to the subject
	ColdSubjects Split = "cold_subjects" // all items, of subjects of whom hardly anything was known before the cut
	ColdItems    Split = "cold_items"    // items without an event in the training window
)

var splits = [...]Split{All, Repeat, Explore, ColdSubjects, ColdItems}

// At names a metric at a list length: "ndcg@10".
func At(metric string, k int) string { return metric + "@" + strconv.Itoa(k) }

// parseMetric splits "ndcg@10" into a known metric and its length.
func parseMetric(s string) (metric string, k int, err error) {
	metric, length, _ := strings.Cut(s, "@")
	k, err = strconv.Atoi(length)
	known := slices.Concat(hitMetrics, listMetrics, []string{Coverage, Gini})
	if err != nil || k < 1 || !slices.Contains(known, metric) {
		return "", 0, fmt.Errorf("unknown metric %q: want one of %s, then @ and a length, as in ndcg@10", s, strings.Join(known, ", "))
	}
	return metric, k, nil
}

// metricOf is the metric of a name that parseMetric would split.
func metricOf(s string) string {
	metric, _, _ := strings.Cut(s, "@")
	return metric
}

// ceiling is the largest value that a metric can have.
func ceiling(metric string) float64 {
	switch metricOf(metric) {
	case Novelty, Calibration:
		return math.Inf(1)
	}
	return 1
}

// discount holds 1/log₂(rank+1) for ranks 1…n at [rank−1], and ideal its running sums: ideal[m] = Σ_{r ≤ m} 1/log₂(r+1).
type discount struct{ at, ideal []float64 }

func newDiscount(n int) discount {
	d := discount{at: make([]float64, n), ideal: make([]float64, n+1)}
	for r := range n {
		d.at[r] = 1 / math.Log2(float64(r+2))
		d.ideal[r+1] = d.ideal[r] + d.at[r]
	}
	return d
}

// score writes the hit metrics at every length of ks to dst, k-major: dst[i*len(hitMetrics)+j] is hitMetrics[j] at ks[i].
// hit[r] tells whether the item at rank r+1 is relevant; relevant is the number of relevant items, at least 1.
// A list shorter than k is scored as if filled up with misses. O(len(hit) + len(ks)).
func (d discount) score(dst []float64, hit []bool, relevant int, ks []int) {
	var gain float64
	hits, first, r := 0, 0, 0
	for i, k := range ks {
		for ; r < min(k, len(hit)); r++ {
			if hit[r] {
				gain += d.at[r]
				hits++
				if first == 0 {
					first = r + 1
				}
			}
		}
		best := min(k, relevant)
		row := dst[i*len(hitMetrics):][:len(hitMetrics)]
		row[0] = gain / d.ideal[best]
		row[1] = float64(hits) / float64(best)
		row[2] = float64(hits) / float64(relevant)
		row[3] = float64(hits) / float64(k)
		row[4], row[5] = 0, 0
		if first > 0 {
			row[4], row[5] = 1/float64(first), 1
		}
	}
}
