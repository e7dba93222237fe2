package drift

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/rapport-ml/rapport/storage/table"
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
	// Columns overrides what holds of single columns, by name. That of a column holds of the share of its rows without a value too, but for the threshold.
	Columns map[string]Override
}

// Override is what is said of one column.
type Override struct {
	Threshold float64 `json:"threshold,omitempty"` // on the column's effect; 0: the default of its statistic
	Action    string  `json:"action,omitempty"`    // what is done if it has drifted; "": what is done for any column
	Off       bool    `json:"off,omitempty"`       // it is not compared
}

// Report holds the verdict of each column, in the order of the reference. A numeric column with nulls has a second entry for their share.
type Report struct {
	Alpha      float64  `json:"alpha"`
	Replicates int      `json:"replicates"` // at least: of a large effect there are more where many columns are compared
	Seed       uint64   `json:"seed"`
	Adjustment string   `json:"adjustment"` // "benjamini_hochberg", over the columns of inputs, and over those of what the model makes of them
	Columns    []Column `json:"columns"`

	// Reference is what the interval was compared with; nil in reports of programs that did not say.
	Reference *ReferenceFacts `json:"reference,omitempty"`
}

// ReferenceFacts says which intervals a reference is made of, and which were left out of it.
type ReferenceFacts struct {
	Kind      string     `json:"kind"`              // "training", "previous", "same_weekdays" or "last_occurrence"
	Weekday   string     `json:"weekday,omitempty"` // of all of them, where they are compared by weekday
	Intervals []string   `json:"intervals"`         // labels, ascending
	LeftOut   []Excluded `json:"left_out,omitempty"`
	// Expected are the declared days that touch the interval or its reference, ascending: what plots show as a band.
	Expected []ExpectedDay `json:"expected,omitempty"`
	Views    []ViewFacts   `json:"views,omitempty"`
}

// Excluded is an interval that was left out of the reference of a column, because it is unlike the others, or of all columns (Column is "").
type Excluded struct {
	Interval string `json:"interval"`
	Column   string `json:"column,omitempty"`
	Why      string `json:"why"`
}

// ExpectedDay is a day of the project's calendar.
type ExpectedDay struct {
	Name     string         `json:"name"`
	Interval table.Interval `json:"interval"`
}

// ViewFacts says with which build of a view its columns were compared, or why with none.
type ViewFacts struct {
	View     string `json:"view"`
	Interval string `json:"interval,omitempty"`
	Says     string `json:"says,omitempty"`
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

	Group  string `json:"group,omitempty"`  // "events", "mix", "consent", "view NAME", "scores", "lists" or "quality"
	Action string `json:"action,omitempty"` // where the project says so for this column
	Cause  *Cause `json:"cause,omitempty"`  // of a column called drifted
	// Acknowledged says who knows of this cause and until when; such a column neither warns nor refuses.
	Acknowledged string `json:"acknowledged,omitempty"`

	spec  *Spec
	whole *[2][]float64 // rows by bin of the two windows, nulls last
}

// Bin is one bin's share of the rows of each window. Bins with too few subjects are pooled in a last one.
type Bin struct {
	Label     string  `json:"label"`
	Reference float64 `json:"reference"`
	Current   float64 `json:"current"`
}

// Measured is a comparison that was made by other means than counting rows, and is adjusted and judged with the others.
type Measured struct {
	Name, Group, Statistic     string
	Effect, Threshold, P       float64 // NaN: there is none
	ReferenceRows, CurrentRows int64
	Says                       string // of what stood where, for print
}

// Compare judges each column of the reference against the column of the same name in current, and what was measured. Summaries of one name must have the
// same bins. Columns are compared side by side; the result does not depend on how many at once. Cost: replicates × 256 × bins for each column.
func Compare(reference, current []*Summary, o Options, measured ...Measured) (*Report, error) {
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
	var all []test
	for _, ref := range reference {
		cur := byName[ref.spec.Name]
		if cur == nil {
			cur = NewSummary(ref.spec)
		}
		if !cur.spec.equal(&ref.spec) {
			return nil, fmt.Errorf("compare for drift: column %q has other bins in the two windows: summarize both with the reference's Spec", ref.spec.Name)
		}
		if own := o.Columns[ref.spec.Name]; !own.Off {
			for i, t := range tests(ref, cur) {
				t.action = own.Action
				if i == 0 {
					t.threshold = own.Threshold
				}
				all = append(all, t)
			}
		}
	}
	measured = slices.DeleteFunc(slices.Clone(measured), func(m Measured) bool { return o.Columns[m.Name].Off })
	ps := make([]float64, len(all), len(all)+len(measured))
	r.Columns = make([]Column, len(all), cap(ps))
	draws := draw(o.Seed, 0, o.Replicates)
	// To be called beside so many, a column needs a p so small: more replicates tell whether it has.
	most := max(o.Replicates, int(sureness*float64(cap(ps))/o.Alpha))
	var wait sync.WaitGroup
	next := atomic.Int64{}
	for range min(runtime.GOMAXPROCS(0), len(all)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				r.Columns[i], ps[i] = all[i].run(draws, o.Seed, most)
			}
		})
	}
	wait.Wait()
	for _, m := range measured {
		c, p := m.column(o.Columns[m.Name])
		r.Columns, ps = append(r.Columns, c), append(ps, p)
	}
	for i, adjusted := range adjust(ps) {
		r.Columns[i].decide(ps[i], adjusted, o.Alpha)
	}
	return r, nil
}

// sureness is how many times as many replicates as columns over α are drawn at most for an effect that is large, and enough is after how many
// replicates as extreme as what was seen they end: p is then known well enough (Besag & Clifford, Biometrika 1991).
const (
	sureness = 5
	enough   = 10
)

func (m *Measured) column(own Override) (Column, float64) {
	c := Column{
		Name: m.Name, Group: m.Group, Statistic: m.Statistic, Threshold: m.Threshold, Action: own.Action, ReferenceRows: m.ReferenceRows, CurrentRows: m.CurrentRows,
		Says: m.Says,
	}
	if own.Threshold > 0 {
		c.Threshold = own.Threshold
	}
	if isNumber(m.Effect) {
		c.Effect = &m.Effect
	}
	return c, m.P
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

	threshold float64 // 0: the statistic's own
	action    string
	whole     [2][]float64 // rows by bin of the whole column, nulls last
}

// tests gives the comparisons that a column is worth: of its levels with nulls as one of them, or of its numbers and, if there are any nulls, of their share.
func tests(ref, cur *Summary) []test {
	spec := &ref.spec
	width := spec.bins() + 1
	before, _, _ := totals(ref.counts, width)
	now, _, _ := totals(cur.counts, width)
	whole := test{whole: [2][]float64{before, now}, name: spec.Name, spec: spec, bins: width, ref: ref.counts, cur: cur.counts, label: spec.label}
	if !spec.numeric() {
		return []test{whole}
	}
	values := whole
	values.edges, values.std, values.bins = spec.Edges, spec.Std, width-1
	values.ref, values.cur = columns(ref.counts, width, width-1), columns(cur.counts, width, width-1)
	if ref.Result().Nulls+cur.Result().Nulls == 0 {
		return []test{values}
	}
	nulls := test{whole: whole.whole, name: spec.Name + " (share without a value)", spec: spec, bins: 2, label: func(b int) string { return [2]string{"a value", "no value"}[b] }}
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

// run measures the effect and its p-value (NaN if no test can be made). draws are the first replicates; an effect that is large gets up to most.
//
// With D = p_cur − p_ref observed and D* from a bootstrap of clusters drawn for both windows at once, D* − D is the noise of D. Under no change the two windows would
// look like m ∓ (D* − D)/2, m being their mean; p is how often the statistic of such a pair is at least the observed one.
func (t *test) run(draws []uint8, seed uint64, most int) (Column, float64) {
	c := Column{Name: t.name, Group: t.spec.Group, Statistic: jsN, Threshold: JensenShannonThreshold, Action: t.action, spec: t.spec, whole: &t.whole}
	if t.edges != nil {
		c.Statistic, c.Threshold = wassersteinN, WassersteinThreshold
	}
	if t.threshold > 0 {
		c.Threshold = t.threshold
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
	b := bootstrap{test: t, p: p, q: q, effect: effect, refCounts: floats(t.ref), curCounts: floats(t.cur), ref: make([]float64, t.bins), cur: make([]float64, t.bins)}
	made := len(draws) / clusters
	extreme := b.extreme(draws, made)
	if effect >= c.Threshold {
		for made < most && extreme < enough {
			more := min(made, most-made)
			extreme += b.extreme(draw(seed, made, more), more)
			made += more
		}
	}
	return c, float64(1+extreme) / float64(1+made)
}

// bootstrap is what the replicates of one test share.
type bootstrap struct {
	*test
	p, q, refCounts, curCounts []float64
	effect                     float64
	ref, cur                   []float64 // of a replicate
}

// extreme returns in how many replicates noise alone is at least what was seen.
func (b *bootstrap) extreme(draws []uint8, replicates int) (n int) {
	ref, cur := b.ref, b.cur
	for r := range replicates {
		w := draws[r*clusters : (r+1)*clusters]
		rows, now := weigh(ref, b.refCounts, w), weigh(cur, b.curCounts, w)
		if rows == 0 || now == 0 {
			n++ // on the safe side
			continue
		}
		for i := range ref {
			mid := (b.p[i] + b.q[i]) / 2
			noise := (cur[i]/now - ref[i]/rows) - (b.q[i] - b.p[i])
			ref[i], cur[i] = max(0, mid-noise/2), max(0, mid+noise/2)
		}
		normalize(ref)
		normalize(cur)
		if b.test.effect(ref, cur) >= b.effect {
			n++
		}
	}
	return n
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

// draw returns replicates × clusters multinomial weights, from the replicate first on: each draws 256 clusters of 256.
func draw(seed uint64, first, replicates int) []uint8 {
	out := make([]uint8, replicates*clusters)
	state := mix(seed) + uint64(first)*(clusters/8)*0x9e3779b97f4a7c15
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
	chance := f(adjusted)
	if adjusted < 0.001 {
		chance = "< 0.001"
	}
	also := ""
	if c.Says != "" {
		also = " " + c.Says
	}
	rows := "subjects"
	if c.spec != nil && c.spec.Unit != "" {
		rows = c.spec.Unit
	}
	switch {
	case c.ReferenceRows == 0:
		c.Verdict, c.Says = Insufficient, fmt.Sprintf("%s: the reference window holds no data.", c.Name)
	case c.CurrentRows == 0:
		c.Verdict, c.Says = Insufficient, fmt.Sprintf("%s: the current window holds no data.", c.Name)
	case p != p && c.spec == nil:
		c.Verdict, c.Says = Insufficient, fmt.Sprintf("%s: too little to tell change from chance.%s", c.Name, also)
	case p != p:
		c.Verdict = Insufficient
		c.Says = fmt.Sprintf("%s: too few %s carry the rows to tell change from chance.", c.Name, rows)
	default:
		c.P, c.AdjustedP = &p, &adjusted
		large, sure := *c.Effect >= c.Threshold, adjusted <= alpha
		measured := fmt.Sprintf("effect %s against %s, adjusted p %s", f(*c.Effect), f(c.Threshold), chance)
		switch {
		case large && sure:
			c.Verdict, c.Says = Drifted, fmt.Sprintf("%s has drifted: %s.%s", c.Name, measured, also)
		case large:
			c.Verdict, c.Says = Stable, fmt.Sprintf("%s differs, but no more than by chance: %s.%s", c.Name, measured, also)
		case sure:
			c.Verdict, c.Says = Stable, fmt.Sprintf("%s differs by more than chance, but little: %s.%s", c.Name, measured, also)
		default:
			c.Verdict, c.Says = Stable, fmt.Sprintf("%s is stable: %s.%s", c.Name, measured, also)
		}
	}
}
