package drift

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// clusters is the number of sets that subjects are divided into.
const clusters = 256

// Spec fixes the bins of one column. Numbers fall into [Edges[i], Edges[i+1]), those beyond the ends into the first and the last bin.
// There are at most 16 Edges. Without Edges the column is categorical: one bin a level and one for all other levels. Nulls have a bin of their own.
type Spec struct {
	Name   string
	Group  string // of what it is a column, for print
	Unit   string // what rows are clustered by: "" subjects, or what they are called
	Half   bool   // the rows of one half of the units alone are counted: the other has chosen the levels
	Edges  []float64
	Levels []string // ascending
	Std    float64  // standard deviation of the reference's values, held within the Edges
}

// grid is the quantiles of the reference at which numeric bins are cut. The outermost leave out one value in a thousand: a single
// outlier must not decide how wide the last bin is.
var grid = []float64{0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999}

// NumericSpec cuts bins at the quantiles of the reference's values (NaN and infinities are null). A column of at most 5 distinct values becomes
// categorical, its levels being the numbers in shortest decimal form. It does not change values. O(n log n).
func NumericSpec(name string, values []float64) Spec {
	var distinct []weighted
	for _, v := range slices.Sorted(slices.Values(values)) {
		if last := len(distinct) - 1; last >= 0 && distinct[last].value == v {
			distinct[last].n++
		} else if isNumber(v) {
			distinct = append(distinct, weighted{v, 1})
		}
	}
	return numericSpec(name, distinct)
}

// numericSpec is NumericSpec of ascending distinct values.
func numericSpec(name string, distinct []weighted) Spec {
	spec := Spec{Name: name}
	if len(distinct) <= fewDistinct {
		for _, w := range distinct {
			spec.Levels = append(spec.Levels, formatNumber(w.value))
		}
		slices.Sort(spec.Levels)
		return spec
	}
	var rows int64
	for _, w := range distinct {
		rows += w.n
	}
	spec.Edges = slices.Compact(quantiles(distinct, rows, grid))
	if len(spec.Edges) < 2 { // one value makes nearly all rows: the ends tell the rest apart
		spec.Edges = []float64{distinct[0].value, distinct[len(distinct)-1].value}
	}
	lo, hi := spec.Edges[0], spec.Edges[len(spec.Edges)-1]
	var sum, squares float64
	for _, w := range distinct {
		sum += float64(w.n) * (min(max(w.value, lo), hi) - lo)
	}
	mean := sum / float64(rows)
	for _, w := range distinct {
		d := min(max(w.value, lo), hi) - lo - mean
		squares += float64(w.n) * d * d
	}
	spec.Std = math.Sqrt(squares / float64(rows))
	return spec
}

// CategoricalSpec gives the top most frequent levels (ties: the lesser name) a bin each; all others share one.
func CategoricalSpec(name string, counts map[string]int64, top int) Spec {
	levels := make([]string, 0, len(counts))
	for l := range counts {
		levels = append(levels, l)
	}
	slices.SortFunc(levels, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	levels = levels[:min(top, len(levels))]
	slices.Sort(levels)
	return Spec{Name: name, Levels: levels}
}

func formatNumber(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// numeric reports whether the column has an order.
func (s *Spec) numeric() bool { return s.Edges != nil }

// bins is the number of bins without the nulls'.
func (s *Spec) bins() int {
	if s.numeric() {
		return len(s.Edges) - 1
	}
	return len(s.Levels) + 1
}

// label names bin b in print.
func (s *Spec) label(b int) string {
	switch {
	case b == s.bins():
		return "no value"
	case !s.numeric() && b == len(s.Levels):
		return "all others"
	case !s.numeric():
		return s.Levels[b]
	case b == 0:
		return "under " + short(s.Edges[1])
	case b == s.bins()-1:
		return short(s.Edges[b]) + " and over"
	}
	return short(s.Edges[b]) + " to " + short(s.Edges[b+1])
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// equal reports whether two specs have the same bins.
func (s *Spec) equal(o *Spec) bool {
	return s.Name == o.Name && slices.Equal(s.Edges, o.Edges) && slices.Equal(s.Levels, o.Levels) && s.Half == o.Half && s.numeric() == o.numeric()
}

// Summary counts the rows of one column of one window. It is not safe for concurrent use: give each goroutine its own, and Merge.
type Summary struct {
	spec   Spec
	search search
	counts []int64 // clusters × (bins + 1), the last bin being nulls
}

// NewSummary returns an empty summary.
func NewSummary(spec Spec) *Summary {
	return &Summary{spec: spec, search: newSearch(spec.Edges), counts: make([]int64, clusters*(spec.bins()+1))}
}

// search finds the bin of a number without a branch that data decide: with those, a column of noise costs three times as much.
type search [16]uint64 // the inner edges as ordered integers, ascending from 1, and the largest integer after them

func newSearch(edges []float64) (s search) {
	for i := range s {
		s[i] = math.MaxUint64
	}
	for i := 1; i < len(edges)-1; i++ {
		s[i] = ordered(edges[i])
	}
	return s
}

// bin is how many inner edges are at most v: the ends take what lies beyond them.
func (s *search) bin(v float64) int {
	key, at := ordered(v), uint64(0)
	for step := uint64(8); step > 0; step /= 2 {
		_, above := bits.Sub64(key, s[(at+step)&15], 0)
		at += step &^ -above
	}
	return int(at)
}

// Spec returns the summary's bins.
func (s *Summary) Spec() Spec { return s.spec }

// AddNumber counts one row of a numeric column; NaN and infinities are null. O(log bins).
func (s *Summary) AddNumber(subject uint64, v float64) {
	switch {
	case !isNumber(v):
		s.AddNull(subject)
	case !s.spec.numeric():
		s.AddLevel(subject, formatNumber(v))
	default:
		s.add(subject, s.search.bin(v))
	}
}

// AddLevel counts one row of a categorical column. On a column of numbers it counts the number that the level spells, or a null.
func (s *Summary) AddLevel(subject uint64, level string) {
	if s.spec.numeric() {
		v, err := strconv.ParseFloat(level, 64)
		if err != nil {
			v = math.NaN()
		}
		s.AddNumber(subject, v)
		return
	}
	b, found := slices.BinarySearch(s.spec.Levels, level)
	if !found {
		b = len(s.spec.Levels)
	}
	s.add(subject, b)
}

// AddNull counts one row without a value.
func (s *Summary) AddNull(subject uint64) { s.add(subject, s.spec.bins()) }

func (s *Summary) add(subject uint64, bin int) {
	s.counts[cluster(subject)*(s.spec.bins()+1)+bin]++
}

// cluster is the set that a subject belongs to, in every window.
func cluster(subject uint64) int { return int(mix(subject) >> 56) }

// Merge adds the rows of o, which must have the same bins.
func (s *Summary) Merge(o *Summary) error {
	if !s.spec.equal(&o.spec) {
		return fmt.Errorf("merge drift summaries: %q and %q have different bins", s.spec.Name, o.spec.Name)
	}
	for i, n := range o.counts {
		s.counts[i] += n
	}
	return nil
}

// Distribution is what a Summary has counted.
type Distribution struct {
	Rows  int64
	Nulls int64
	Bins  []int64 // without nulls
	// EffectiveClusters is (Σn)²/Σn² over the 256 clusters: how many equal clusters would carry as much.
	EffectiveClusters float64
}

// Result returns the counts.
func (s *Summary) Result() Distribution {
	width := s.spec.bins() + 1
	bins := make([]int64, width)
	var rows int64
	var squares float64
	for c := range clusters {
		var n int64
		for b, k := range s.counts[c*width : (c+1)*width] {
			bins[b] += k
			n += k
		}
		rows += n
		squares += float64(n) * float64(n)
	}
	d := Distribution{Rows: rows, Nulls: bins[width-1], Bins: bins[:width-1]}
	if squares > 0 {
		d.EffectiveClusters = float64(rows) * float64(rows) / squares
	}
	return d
}

// mix is the finalizer of splitmix64 (Steele, Lea & Flood 2014) after one step of its sequence.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
