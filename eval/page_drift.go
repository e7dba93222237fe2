package eval

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-ml/rapport/eval/drift"
)

// driftCard is one column: the shares of its bins in the reference window and in this one.
type driftCard struct {
	Name, Verdict, Tone, Says string
	Effect, P, PSI            string
	Ordered                   bool // bins have an order: a histogram; else the levels that changed most
	Bins                      []binBar
	Shown                     []binBar
	First, Last, More         string
	Cause, Known              string // what a drift is put down to, and who knows of it
}

// binBar is one bin; places and widths are in percent of the chart, heights in pixels.
type binBar struct {
	Label, Reference, Current   string
	ReferenceWidth, CurrentSpan string
	X, Width, InX, InWidth      string
	Y, Height, InY, InHeight    float64
}

const (
	histogramHeight = 84.0
	levelsShown     = 6
)

func (p *page) drift() {
	if p.Report.Drift == nil {
		return
	}
	columns := slices.Clone(p.Report.Drift.Columns)
	grade := map[drift.Verdict]int{drift.Drifted: 0, drift.Insufficient: 1}
	slices.SortStableFunc(columns, func(a, b drift.Column) int {
		rank := func(c drift.Column) int {
			if g, ok := grade[c.Verdict]; ok {
				return g
			}
			return 2
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), -cmp.Compare(sizeOr(&a, -1), sizeOr(&b, -1)))
	})
	// Effects are drawn in units of their threshold, so that all columns share an axis.
	s := span{lo: 0, hi: 2, some: true}
	scaled := make([]*float64, len(columns))
	for i, c := range columns {
		scaled[i] = size(&c)
		s.add(scaled[i])
	}
	a, ticks := newAxis(s.lo, s.hi, func(x float64, n int) string { return decimal(x, n) + "×" })
	at := a.place(1)
	p.Effects = &plot{Label: "effect of each column, in units of its threshold", Ticks: ticks, Wide: true, Zone: &zone{cent(at), cent(100 - at)}, Marks: []mark{{cent(at), "budget"}}}
	for i, c := range columns {
		row := a.row(plainName(c.Name), "candidate", Figure{Value: scaled[i]}, thousandths)
		row.Text, row.Note = optional(c.Effect, thousandths), "p "+optional(c.AdjustedP, Probability)
		row.Mark, row.Tone = string(c.Verdict), driftTone(c.Verdict)
		if c.Acknowledged != "" {
			row.Mark, row.Tone = "known drift", "none"
		}
		if i < mostColumns {
			p.Effects.Rows = append(p.Effects.Rows, row)
			cards := &p.QuietCards
			if c.Verdict == drift.Drifted || len(columns) <= fewColumns {
				cards = &p.DriftCards
			}
			*cards = append(*cards, newDriftCard(c))
		} else {
			p.MoreColumns = append(p.MoreColumns, driftRow{c, plainName(c.Name)})
		}
	}
}

// mostColumns are drawn, those that have drifted first, then the largest effects; the others stand in a table. Of more than fewColumns, those that have
// not drifted are folded away.
const (
	mostColumns = 24
	fewColumns  = 6
)

// driftRow is one column in figures.
type driftRow struct {
	drift.Column
	Plain string
}

func driftTone(v drift.Verdict) string {
	switch v {
	case drift.Drifted:
		return "warn"
	case drift.Stable:
		return "good"
	}
	return "none"
}

func newDriftCard(c drift.Column) driftCard {
	d := driftCard{
		Name: plainName(c.Name), Verdict: string(c.Verdict), Tone: driftTone(c.Verdict), Says: c.Says, Ordered: strings.HasPrefix(c.Statistic, "wasserstein"),
		Effect: optional(c.Effect, thousandths), P: optional(c.AdjustedP, Probability), PSI: optional(c.PSI, thousandths),
	}
	if c.Cause != nil {
		d.Cause = c.Cause.Says
	}
	if c.Acknowledged != "" {
		d.Known, d.Tone = c.Acknowledged, "none"
	}
	if len(c.Bins) == 0 {
		return d
	}
	tallest := 0.0
	for _, b := range c.Bins {
		tallest = max(tallest, b.Reference, b.Current)
	}
	slot := 100 / float64(len(c.Bins))
	height := func(x float64) float64 { return math.Round(10*(histogramHeight-2)*x/max(tallest, 1e-9)) / 10 }
	for i, b := range c.Bins {
		d.Bins = append(d.Bins, binBar{
			Label: binLabel(b.Label), Reference: percent(b.Reference), Current: percent(b.Current),
			X: cent(slot * (float64(i) + 0.06)), Width: cent(slot * 0.88), Height: height(b.Reference), Y: histogramHeight - height(b.Reference),
			InX: cent(slot * (float64(i) + 0.28)), InWidth: cent(slot * 0.44), InHeight: height(b.Current), InY: histogramHeight - height(b.Current),
		})
	}
	if d.Ordered {
		d.First, d.Last = d.Bins[0].Label, d.Bins[len(d.Bins)-1].Label
		return d
	}
	order := make([]int, len(c.Bins))
	for i := range order {
		order[i] = i
	}
	if len(order) > levelsShown {
		change := func(i int) float64 { return math.Abs(c.Bins[i].Current - c.Bins[i].Reference) }
		slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(change(y), change(x)) })
		order = order[:levelsShown]
		d.More = fmt.Sprintf("the %d of %d levels that changed most", levelsShown, len(c.Bins))
	}
	tallest = 1e-9
	for _, i := range order {
		tallest = max(tallest, c.Bins[i].Reference, c.Bins[i].Current)
	}
	for _, i := range order {
		b := d.Bins[i]
		b.ReferenceWidth, b.CurrentSpan = cent(100*c.Bins[i].Reference/tallest), cent(100*c.Bins[i].Current/tallest)
		d.Shown = append(d.Shown, b)
	}
	return d
}

// exponent is a number as 5.687e+05.
var exponent = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)?e[+-][0-9]+`)

// binLabel prints large numbers of a bin's label in full: 568,700.
func binLabel(label string) string {
	return exponent.ReplaceAllStringFunc(label, func(s string) string {
		if x, err := strconv.ParseFloat(s, 64); err == nil && x >= 1000 {
			return amount(x)
		}
		return s
	})
}

// heatMap is what drifted over runs: a row a column, a cell a run.
type heatMap struct {
	Days     []heatDay
	Heads    []heatHead
	Rows     []heatRow
	Skipped  int    // columns that never drifted and are not drawn
	Declared string // the declared days among the runs, in words
	Refused  string // the runs that were refused, in words
}

// heatDay is one run.
type heatDay struct{ Label, Expected, Refused string }

// heatHead is one label over several runs.
type heatHead struct {
	Label string
	Span  int
}

// heatRow is one column.
type heatRow struct {
	Name  string
	Cells []heatCell
	calls int // runs in which it was called
	size  float64
}

// heatCell is one column in one run. Class is its shade, Mark is "×" where drift was called and "○" where that was known.
type heatCell struct{ Class, Mark, Says string }

const (
	mostHeat  = 40 // columns in a heat map
	heatHeads = 6  // labels over it
)

// refusals say what refused a run.
var refusals = map[RefusedBy]string{RefusedByDrift: "refused for drift, before training", RefusedByGate: "refused by the rules"}

// heat arranges the drift of the runs before and of this one.
func (p *page) heat() {
	days := slices.Clone(p.DriftHistory)
	own, ok := p.driftDay()
	if !ok || len(days) == 0 {
		return
	}
	days = append(days, own)
	h := &heatMap{}
	var names []string
	var declared, refused []string
	for _, d := range days {
		label := d.Interval.Start.UTC().Format("2006-01-02")
		h.Days = append(h.Days, heatDay{label, d.Expected, refusals[d.Refused]})
		if d.Refused != "" {
			refused = append(refused, label+" "+refusals[d.Refused])
		}
		if d.Expected != "" {
			declared = append(declared, d.Expected+" ("+label+")")
		}
		for name := range d.Sizes {
			names = append(names, name)
		}
		names = append(names, d.Drifted...)
	}
	h.Declared, h.Refused = plainName(list(declared)), strings.Join(refused, "; ")
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		row := heatRow{Name: plainName(name)}
		for i, d := range days {
			cell := heatCellOf(d, name)
			if cell.Says != "" {
				cell.Says = h.Days[i].Label + ": " + cell.Says
			}
			if cell.Mark != "" {
				row.calls++
			}
			row.size = max(row.size, d.Sizes[name])
			row.Cells = append(row.Cells, cell)
		}
		h.Rows = append(h.Rows, row)
	}
	slices.SortStableFunc(h.Rows, func(a, b heatRow) int {
		return cmp.Or(cmp.Compare(b.calls, a.calls), cmp.Compare(b.size, a.size))
	})
	if len(h.Rows) > mostHeat {
		h.Skipped = len(h.Rows) - mostHeat
		h.Rows = h.Rows[:mostHeat]
	}
	step := max(4, (len(days)+heatHeads-1)/heatHeads) // a label is as wide as three cells
	for i := 0; i < len(days); i += step {
		head := heatHead{h.Days[i].Label[len("2006-"):], min(step, len(days)-i)}
		if head.Span < 3 && len(days) > 3*heatHeads { // its label would stand beyond the last day
			head.Label = ""
		}
		h.Heads = append(h.Heads, head)
	}
	p.Heat = h
}

// heatCellOf is one column in one run.
func heatCellOf(d DriftDay, name string) heatCell {
	x, compared := d.Sizes[name]
	c := heatCell{}
	if compared {
		shade := 0
		for _, from := range []float64{0.25, 0.5, 0.75, 1} {
			if x >= from {
				shade++
			}
		}
		c.Class, c.Says = fmt.Sprintf("h%d", shade), amount(x)+" of what is large"
	}
	if slices.Contains(d.Drifted, name) {
		c.Class, c.Mark = "hot", "×"
		c.Says = strings.TrimPrefix(c.Says+", drifted", ", ")
		if slices.Contains(d.Known, name) {
			c.Class, c.Mark = "known", "○"
			c.Says += ", known"
		}
	}
	return c
}

// ComparedWith says with which intervals the columns were compared.
func (p *page) ComparedWith() string {
	if p.Report.Drift == nil || p.Report.Drift.Reference == nil {
		return ""
	}
	ref := p.Report.Drift.Reference
	says := map[string]string{
		"training": "the training window", "previous": "the interval before", "same_weekdays": "the same weekdays before", "last_occurrence": "the last time this declared day came",
	}[ref.Kind]
	if says == "" {
		says = plainName(ref.Kind)
	}
	if n := len(ref.Intervals); n > 0 {
		says += ": " + plural(n, "interval") + ", " + ref.Intervals[0]
		if n > 1 {
			says += " to " + ref.Intervals[n-1]
		}
	}
	return says
}

// LeftOut are the intervals that were left out of the reference, in words.
func (p *page) LeftOut() (out []string) {
	if p.Report.Drift == nil || p.Report.Drift.Reference == nil {
		return nil
	}
	for _, x := range p.Report.Drift.Reference.LeftOut {
		out = append(out, strings.TrimSpace(x.Interval+" "+plainName(x.Column))+", because "+x.Why)
	}
	return out
}

// Expected names the declared days that the interval touches, or "".
func (p *page) Expected() string {
	if p.Report.Drift == nil {
		return ""
	}
	return expectedOn(p.Report.Drift, p.Run.Interval)
}
