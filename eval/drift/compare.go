package drift

import (
	"fmt"
	"math"
	"strconv"
)

// Verdict is what Compare says of a column.
type Verdict string

// The verdicts.
const (
	Stable       Verdict = "stable"
	Drifted      Verdict = "drift"
	Insufficient Verdict = "insufficient"
)

// Defaults of Options, and the effect sizes from which a change counts as large.
const (
	DefaultAlpha      = 0.05
	DefaultReplicates = 1999

	WassersteinThreshold   = 0.1 // of the reference's standard deviation
	JensenShannonThreshold = 0.1

	minClusters  = 30 // effective clusters in each window; below, no test is made
	minShown     = 11 // non-empty clusters, hence subjects, behind a printed bin
	smallestStd  = 0.001
	psiWarn      = 0.10
	psiFail      = 0.25
	wassersteinN = "wasserstein_over_std"
	jsN          = "jensen_shannon"
)

// Options of Compare. The zero value is usable.
type Options struct {
	Alpha      float64 // false-alarm rate over all columns together; 0 means DefaultAlpha
	Seed       uint64
	Replicates int // of the bootstrap; 0 means DefaultReplicates
}

// Report holds the verdict of each column, in the order of the reference. A numeric column with nulls has a second entry for their share.
type Report struct {
	Alpha      float64  `json:"alpha"`
	Replicates int      `json:"replicates"`
	Seed       uint64   `json:"seed"`
	Adjustment string   `json:"adjustment"` // "benjamini_hochberg"
	Columns    []Column `json:"columns"`
}

// Drifted returns the names of the columns called drifted.
func (r *Report) Drifted() []string {
	var names []string
	for _, c := range r.Columns {
		if c.Verdict == Drifted {
			names = append(names, c.Name)
		}
	}
	return names
}

// Column is the verdict of one column.
type Column struct {
	Name      string   `json:"name"`
	Verdict   Verdict  `json:"verdict"`
	Statistic string   `json:"statistic"` // "wasserstein_over_std" or "jensen_shannon" (natural logarithm)
	Effect    *float64 `json:"effect"`
	Threshold float64  `json:"threshold"`
	P         *float64 `json:"p"`          // cluster bootstrap over subjects
	AdjustedP *float64 `json:"adjusted_p"` // over all columns tested
	PSI       *float64 `json:"psi"`
	PSIBand   string   `json:"psi_band"` // "stable" < 0.10 ≤ "warn" ≤ 0.25 < "fail"; shown, not judged

	ReferenceRows int64 `json:"reference_rows"`
	CurrentRows   int64 `json:"current_rows"`
	// EffectiveClusters is the smaller of the two windows', of at most 256.
	EffectiveClusters float64 `json:"effective_clusters"`
	Bins              []Bin   `json:"bins"`
	Says              string  `json:"says"`
}

// Bin is one bin's share of the rows of each window. Bins with too few subjects are pooled in a last one.
type Bin struct {
	Label     string  `json:"label"`
	Reference float64 `json:"reference"`
	Current   float64 `json:"current"`
}

// Compare judges each column of the reference against the column of the same name in current. Summaries of one name must have the same bins.
// Cost: replicates × 256 × bins for each column.
func Compare(reference, current []*Summary, o Options) (*Report, error) {
	if o.Alpha == 0 {
		o.Alpha = DefaultAlpha
	}
	if o.Replicates == 0 {
		o.Replicates = DefaultReplicates
	}
	if !(o.Alpha > 0 && o.Alpha < 1) || o.Replicates < 1 {
		return nil, fmt.Errorf("compare for drift: alpha %v and %d replicates: want 0 < alpha < 1 and at least one replicate", o.Alpha, o.Replicates)
	}
	byName := map[string]*Summary{}
	for _, c := range current {
		if byName[c.spec.Name] != nil {
			return nil, fmt.Errorf("compare for drift: column %q stands twice in the current window", c.spec.Name)
		}
		byName[c.spec.Name] = c
	}
	r := &Report{Alpha: o.Alpha, Replicates: o.Replicates, Seed: o.Seed, Adjustment: "benjamini_hochberg"}
	draws := draw(o.Seed, o.Replicates)
	var ps []float64
	for _, ref := range reference {
		cur := byName[ref.spec.Name]
		if cur == nil {
			cur = NewSummary(ref.spec)
		}
		if !cur.spec.equal(&ref.spec) {
			return nil, fmt.Errorf("compare for drift: column %q has other bins in the two windows: summarize both with the reference's Spec", ref.spec.Name)
		}
		for _, t := range tests(ref, cur) {
			c, p := t.run(draws)
			r.Columns = append(r.Columns, c)
			ps = append(ps, p)
		}
	}
	for i, adjusted := range adjust(ps) {
		r.Columns[i].decide(ps[i], adjusted, o.Alpha)
	}
	return r, nil
}

// test is one comparison: counts of the two windows, clusters × bins.
type test struct {
	name     string
	spec     *Spec
	edges    []float64 // nil: no order
	std      float64
	bins     int
	ref, cur []int64
	label    func(b int) string
}

// tests gives the comparisons that a column is worth: of its levels with nulls as one of them, or of its numbers and, if there are any nulls, of their share.
func tests(ref, cur *Summary) []test {
	spec := &ref.spec
	width := spec.bins() + 1
	whole := test{name: spec.Name, spec: spec, bins: width, ref: ref.counts, cur: cur.counts, label: spec.label}
	if !spec.numeric() {
		return []test{whole}
	}
	values := whole
	values.edges, values.std, values.bins = spec.Edges, spec.Std, width-1
	values.ref, values.cur = columns(ref.counts, width, width-1), columns(cur.counts, width, width-1)
	if ref.Result().Nulls+cur.Result().Nulls == 0 {
		return []test{values}
	}
	nulls := test{name: spec.Name + " (share without a value)", spec: spec, bins: 2, label: func(b int) string { return [2]string{"a value", "no value"}[b] }}
	nulls.ref, nulls.cur = present(ref.counts, width), present(cur.counts, width)
	return []test{values, nulls}
}

// columns keeps the first n of each width counts.
func columns(counts []int64, width, n int) []int64 {
	out := make([]int64, 0, len(counts)/width*n)
	for i := 0; i < len(counts); i += width {
		out = append(out, counts[i:i+n]...)
	}
	return out
}

// present reduces each width counts to (rows with a value, rows without).
func present(counts []int64, width int) []int64 {
	out := make([]int64, 0, len(counts)/width*2)
	for i := 0; i < len(counts); i += width {
		var n int64
		for _, k := range counts[i : i+width-1] {
			n += k
		}
		out = append(out, n, counts[i+width-1])
	}
	return out
}

// run measures the effect and its p-value (NaN if no test can be made).
//
// With D = p_cur − p_ref observed and D* from a bootstrap of clusters drawn for both windows at once, D* − D is the noise of D. Under no change the two windows would
// look like m ∓ (D* − D)/2, m being their mean; p is how often the statistic of such a pair is at least the observed one.
func (t *test) run(draws []uint8) (Column, float64) {
	c := Column{Name: t.name, Statistic: jsN, Threshold: JensenShannonThreshold}
	if t.edges != nil {
		c.Statistic, c.Threshold = wassersteinN, WassersteinThreshold
	}
	refTotals, refRows, refClusters := totals(t.ref, t.bins)
	curTotals, curRows, curClusters := totals(t.cur, t.bins)
	c.ReferenceRows, c.CurrentRows = int64(refRows), int64(curRows)
	c.EffectiveClusters = min(refClusters, curClusters)
	c.Bins = t.shown(refTotals, curTotals, refRows, curRows)
	if refRows == 0 || curRows == 0 {
		return c, math.NaN()
	}
	p, q := shares(refTotals, refRows), shares(curTotals, curRows)
	effect, psi := t.effect(p, q), populationStability(p, q)
	c.Effect, c.PSI, c.PSIBand = &effect, &psi, band(psi)
	if c.EffectiveClusters < minClusters {
		return c, math.NaN()
	}
	replicates := len(draws) / clusters
	ref, cur := make([]float64, t.bins), make([]float64, t.bins)
	refCounts, curCounts := floats(t.ref), floats(t.cur)
	extreme := 0
	for r := range replicates {
		w := draws[r*clusters : (r+1)*clusters]
		n := weigh(ref, refCounts, w)
		m := weigh(cur, curCounts, w)
		if n == 0 || m == 0 {
			extreme++ // on the safe side
			continue
		}
		for b := range ref {
			mid := (p[b] + q[b]) / 2
			noise := (cur[b]/m - ref[b]/n) - (q[b] - p[b])
			ref[b], cur[b] = max(0, mid-noise/2), max(0, mid+noise/2)
		}
		normalize(ref)
		normalize(cur)
		if t.effect(ref, cur) >= effect {
			extreme++
		}
	}
	return c, float64(1+extreme) / float64(1+replicates)
}

// effect is the column's statistic.
func (t *test) effect(p, q []float64) float64 {
	if t.edges != nil {
		return wasserstein(p, q, t.edges) / max(t.std, smallestStd)
	}
	return jensenShannon(p, q)
}

// totals sums clusters × bins counts over clusters, and returns Kish's effective number of clusters.
func totals(counts []int64, bins int) (sums []float64, rows, effective float64) {
	sums = make([]float64, bins)
	var squares float64
	for i := 0; i < len(counts); i += bins {
		var n float64
		for b, k := range counts[i : i+bins] {
			sums[b] += float64(k)
			n += float64(k)
		}
		rows += n
		squares += n * n
	}
	if squares > 0 {
		effective = rows * rows / squares
	}
	return sums, rows, effective
}

// weigh sums clusters × bins counts with a weight a cluster into dst and returns the sum of dst.
func weigh(dst, counts []float64, w []uint8) float64 {
	clear(dst)
	bins := len(dst)
	var sum float64
	for c, k := range w {
		if k == 0 {
			continue
		}
		weight := float64(k)
		row := counts[c*bins:][:len(dst)]
		for b := range dst {
			dst[b] += weight * row[b] // whole numbers: exact
		}
	}
	for _, v := range dst {
		sum += v
	}
	return sum
}

func floats(counts []int64) []float64 {
	out := make([]float64, len(counts))
	for i, n := range counts {
		out[i] = float64(n)
	}
	return out
}

func shares(sums []float64, rows float64) []float64 {
	out := make([]float64, len(sums))
	for i, v := range sums {
		out[i] = v / rows
	}
	return out
}

func normalize(p []float64) {
	var sum float64
	for _, v := range p {
		sum += v
	}
	for i := range p {
		p[i] /= sum
	}
}

// draw returns replicates × clusters multinomial weights: each replicate draws 256 clusters of 256.
func draw(seed uint64, replicates int) []uint8 {
	out := make([]uint8, replicates*clusters)
	state := mix(seed)
	for r := range replicates {
		w := out[r*clusters : (r+1)*clusters]
		for i := 0; i < clusters; i += 8 {
			bits := mix(state)
			state += 0x9e3779b97f4a7c15
			for range 8 {
				w[uint8(bits)]++
				bits >>= 8
			}
		}
	}
	return out
}

// shown lists the bins that enough subjects stand behind in both windows; the others are pooled with, if need be, the smallest of the first.
func (t *test) shown(ref, cur []float64, refRows, curRows float64) []Bin {
	if refRows == 0 || curRows == 0 {
		return nil
	}
	pooled := make([]bool, t.bins)
	behind := func(counts []int64, in func(b int) bool) int {
		n := 0
		for i := 0; i < len(counts); i += t.bins {
			for b, k := range counts[i : i+t.bins] {
				if k > 0 && in(b) {
					n++
					break
				}
			}
		}
		return n
	}
	few := func(in func(b int) bool) bool {
		r, c := behind(t.ref, in), behind(t.cur, in)
		return (r > 0 && r < minShown) || (c > 0 && c < minShown)
	}
	any := false
	for b := range t.bins {
		pooled[b] = few(func(i int) bool { return i == b })
		any = any || pooled[b]
	}
	for any && few(func(i int) bool { return pooled[i] }) {
		least := -1
		for b := range t.bins {
			if !pooled[b] && ref[b]+cur[b] > 0 && (least < 0 || ref[b]+cur[b] < ref[least]+cur[least]) {
				least = b
			}
		}
		if least < 0 {
			return nil // even all together are too few
		}
		pooled[least] = true
	}
	var out []Bin
	rest := Bin{Label: "small groups together"}
	for b := range t.bins {
		r, c := ref[b]/refRows, cur[b]/curRows
		switch {
		case pooled[b]:
			rest.Reference += r
			rest.Current += c
		case r > 0 || c > 0:
			out = append(out, Bin{Label: t.label(b), Reference: r, Current: c})
		}
	}
	if any {
		out = append(out, rest)
	}
	return out
}

func band(psi float64) string {
	switch {
	case psi < psiWarn:
		return "stable"
	case psi <= psiFail:
		return "warn"
	}
	return "fail"
}

// decide gives the verdict from the effect and the adjusted p, and says it in words.
func (c *Column) decide(p, adjusted, alpha float64) {
	f := func(x float64) string { return strconv.FormatFloat(x, 'f', 3, 64) }
	switch {
	case c.ReferenceRows == 0:
		c.Verdict, c.Says = Insufficient, fmt.Sprintf("%s: the reference window holds no data.", c.Name)
	case c.CurrentRows == 0:
		c.Verdict, c.Says = Insufficient, fmt.Sprintf("%s: the current window holds no data.", c.Name)
	case p != p:
		c.Verdict = Insufficient
		c.Says = fmt.Sprintf("%s: too few subjects carry the rows to tell change from chance.", c.Name)
	default:
		c.P, c.AdjustedP = &p, &adjusted
		large, sure := *c.Effect >= c.Threshold, adjusted <= alpha
		measured := fmt.Sprintf("effect %s against %s, adjusted p %s", f(*c.Effect), f(c.Threshold), f(adjusted))
		switch {
		case large && sure:
			c.Verdict, c.Says = Drifted, fmt.Sprintf("%s has drifted: %s.", c.Name, measured)
		case large:
			c.Verdict, c.Says = Stable, fmt.Sprintf("%s differs, but no more than by chance: %s.", c.Name, measured)
		case sure:
			c.Verdict, c.Says = Stable, fmt.Sprintf("%s differs by more than chance, but little: %s.", c.Name, measured)
		default:
			c.Verdict, c.Says = Stable, fmt.Sprintf("%s is stable: %s.", c.Name, measured)
		}
	}
}
