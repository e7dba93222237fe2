package eval

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The list metrics of one subject. The list holds the k best items of the whole catalog; rel is the set of relevant items, not empty.
const (
	NDCG      = "ndcg"       // Σ_{hits at rank r ≤ k} 1/log₂(r+1) ÷ Σ_{r ≤ min(k,|rel|)} 1/log₂(r+1) (Järvelin & Kekäläinen 2002, gain = 0 or 1)
	Recall    = "recall"     // hits ÷ min(k, |rel|) (Liang et al. 2018): a perfect list reaches 1 at any k
	RecallAll = "recall_all" // hits ÷ |rel|: the share of all that the subject took
	MRR       = "mrr"        // 1/rank of the first hit within k, else 0
	Hit       = "hit"        // 1 if there is a hit within k, else 0
	Coverage  = "coverage"   // distinct items over all lists ÷ items of the catalog; not a mean over subjects
)

// listMetrics fixes the order in which the figures of a list stand.
var listMetrics = []string{NDCG, Recall, RecallAll, MRR, Hit}

// Split says which relevant items count.
type Split string

// The splits. In each, subjects without a relevant item of that kind are left out, and the list is the same list.
const (
	All     Split = "all"
	Repeat  Split = "repeat"  // items that the subject had before
	Explore Split = "explore" // items that are new to the subject
)

var splits = [...]Split{All, Repeat, Explore}

// At names a metric at a list length: "ndcg@10".
func At(metric string, k int) string { return metric + "@" + strconv.Itoa(k) }

// parseMetric splits "ndcg@10" into a known metric and its length.
func parseMetric(s string) (metric string, k int, err error) {
	metric, length, _ := strings.Cut(s, "@")
	k, err = strconv.Atoi(length)
	if err != nil || k < 1 || (metric != Coverage && !slices.Contains(listMetrics, metric)) {
		return "", 0, fmt.Errorf("unknown metric %q: want one of %s or %s, then @ and a length, as in ndcg@10", s, strings.Join(listMetrics, ", "), Coverage)
	}
	return metric, k, nil
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

// score writes the list metrics at every length of ks to dst, k-major: dst[i*len(listMetrics)+j] is listMetrics[j] at ks[i].
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
		row := dst[i*len(listMetrics):][:len(listMetrics)]
		row[0] = gain / d.ideal[best]
		row[1] = float64(hits) / float64(best)
		row[2] = float64(hits) / float64(relevant)
		row[3], row[4] = 0, 0
		if first > 0 {
			row[3], row[4] = 1/float64(first), 1
		}
	}
}
