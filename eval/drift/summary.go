package drift

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// clusters is the number of sets that subjects are divided into.
const clusters = 256

// Spec fixes the bins of one column. Numbers fall into [Edges[i], Edges[i+1]), those beyond the ends into the first and the last bin.
// Without Edges the column is categorical: one bin a level and one for all other levels. Nulls have a bin of their own.
type Spec struct {
	Name   string
	Edges  []float64
	Levels []string // ascending
	Std    float64  // standard deviation of the reference's values, held within the Edges
}

// grid is the quantiles of the reference at which numeric bins are cut. The outermost leave out one value in a thousand: a single
// outlier must not decide how wide the last bin is.
var grid = []float64{0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999}

// NumericSpec cuts bins at the quantiles of the reference's values (NaN is null). A column of at most 5 distinct values becomes
// categorical, its levels being the numbers in shortest decimal form. It does not change values. O(n log n).
func NumericSpec(name string, values []float64) Spec {
	rows := make([]weighted, len(values))
	for i, v := range values {
		rows[i] = weighted{v, 1}
	}
	return numericSpec(name, rows)
}

// weighted is a value that occurred n times.
type weighted struct {
	value float64
	n     int64
}

// numericSpec is NumericSpec of weighted values, which it sorts.
func numericSpec(name string, values []weighted) Spec {
	values = slices.DeleteFunc(values, func(w weighted) bool { return w.value != w.value })
	slices.SortFunc(values, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	distinct := values[:0]
	var rows int64
	for _, w := range values {
		rows += w.n
		if last := len(distinct) - 1; last >= 0 && distinct[last].value == w.value {
			distinct[last].n += w.n
		} else {
			distinct = append(distinct, w)
		}
	}
	spec := Spec{Name: name}
	if len(distinct) <= 5 {
		for _, w := range distinct {
			spec.Levels = append(spec.Levels, formatNumber(w.value))
		}
		slices.Sort(spec.Levels)
		return spec
	}
	var below int64 // rows before distinct[i]
	i := 0
	for _, p := range grid {
		// An order statistic, not an interpolation: an edge is a value that occurs.
		at := int64(math.Round(p * float64(rows-1)))
		for below+distinct[i].n <= at {
			below += distinct[i].n
			i++
		}
		spec.Edges = append(spec.Edges, distinct[i].value)
	}
	spec.Edges = slices.Compact(spec.Edges)
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
	return s.Name == o.Name && slices.Equal(s.Edges, o.Edges) && slices.Equal(s.Levels, o.Levels) && s.numeric() == o.numeric()
}

// Summary counts the rows of one column of one window. It is not safe for concurrent use: give each goroutine its own, and Merge.
type Summary struct {
	spec   Spec
	counts []int64 // clusters × (bins + 1), the last bin being nulls
}

// NewSummary returns an empty summary.
func NewSummary(spec Spec) *Summary {
	return &Summary{spec: spec, counts: make([]int64, clusters*(spec.bins()+1))}
}

// Spec returns the summary's bins.
func (s *Summary) Spec() Spec { return s.spec }

// AddNumber counts one row of a numeric column; NaN is null. O(log bins).
func (s *Summary) AddNumber(subject uint64, v float64) {
	switch {
	case v != v:
		s.AddNull(subject)
	case !s.spec.numeric():
		s.AddLevel(subject, formatNumber(v))
	default:
		// The first edge above v ends its bin; the ends take what lies beyond them.
		b, found := slices.BinarySearch(s.spec.Edges, v)
		if !found {
			b--
		}
		s.add(subject, min(max(b, 0), s.spec.bins()-1))
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
