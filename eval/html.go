package eval

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

//go:embed report.html
var reportHTML string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"value":     func(x *float64) string { return optional(x, plain) },
	"signed":    func(x *float64) string { return optional(x, signed) },
	"percent":   func(x *float64) string { return optional(x, percent) },
	"probable":  func(x *float64) string { return optional(x, probability) },
	"count":     func(n int) string { return count(n) },
	"count64":   func(n int64) string { return count(n) },
	"interval":  printInterval,
	"time":      printTime,
	"breakable": func(s string) string { return strings.ReplaceAll(s, "+", "+\u200b") }, // a zero-width space
	"words":     func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") },
	"short":     func(s string) string { return s[:min(len(s), 19)] },
	"plain":     plain,
	"anchor":    func(s string) string { return strings.ReplaceAll(s, " ", "-") },
	"tone":      tone,
	"fifths": func(fair *bool) string {
		switch {
		case fair == nil:
			return ""
		case *fair:
			return ", above four fifths"
		}
		return ", below four fifths"
	},
	"span": func(low, high *float64) string {
		if low == nil || high == nil {
			return "—"
		}
		return plain(*low) + " to " + plain(*high)
	},
	"signedSpan": func(low, high *float64) string {
		if low == nil || high == nil {
			return "—"
		}
		return signed(*low) + " to " + signed(*high)
	},
}).Parse(reportHTML))

// WriteHTML writes the report as one page that needs nothing else: no script, no font, no picture from elsewhere. It is readable in light and
// dark, on a phone and on paper.
func (r *Report) WriteHTML(w io.Writer) error {
	var buf bytes.Buffer // a page is written whole or not at all
	if err := reportTemplate.Execute(&buf, newPage(r)); err != nil {
		return fmt.Errorf("write report of run %s: %w", r.Run.ID, err)
	}
	unbroken := bytes.ReplaceAll(buf.Bytes(), []byte(" %"), []byte("\u00a0%")) // a number and its sign stay on one line
	if _, err := w.Write(unbroken); err != nil {
		return fmt.Errorf("write report of run %s: %w", r.Run.ID, err)
	}
	return nil
}

// tone is the colour of a rule; the words beside it say the same.
func tone(r Rule) string {
	switch {
	case r.Effect == Refuses:
		return "bad"
	case r.Verdict == Pass:
		return "good"
	}
	return "warn"
}

// page is a report arranged for reading.
type page struct {
	*Report
	Title       string
	Headline    string // the metric that the first screen speaks of
	Mark, Class string // of the verdict
	Says        string
	Tiles       []tile
	Bars        []bar // contenders on the headline metric
	Metrics     []metricRow
	Names       []ContenderQuality
	Compared    []Comparison
	Splits      []splitRow
	Cohorts     []cohortBlock
	Rules       []Rule
	DriftRows   []driftRow
	FunnelBars  []funnelBar
	Figures     []Definition
}

// tile is one figure of the first screen.
type tile struct{ Name, Value, Note string }

// bar is a value with its interval on a track from 0 to 100 %.
type bar struct {
	Label, Class, Text string
	At, Low, High      string // percent of the track, "" if there is none
}

type metricRow struct {
	Metric string
	Cells  []*Estimate // by contender; nil where not measured
}

type splitRow struct {
	Split Split
	N     int
	Cells []*Estimate
}

type cohortBlock struct {
	Name   string
	Figure *CohortFigure
	Bars   []bar
	Line   string // the overall value on the track
	Rules  []Rule
}

type driftRow struct {
	Name, Verdict, Says string
	At, Threshold       string // on the track
	Effect, P, PSI      string
	Bins                []binBar
}

type binBar struct {
	Label, Reference, Current string // shares in print
	ReferenceAt, CurrentAt    string
}

type funnelBar struct {
	Reason, Rows, At string
	Kept             bool
}

func newPage(r *Report) *page {
	p := &page{Report: r, Title: r.Run.Job, Figures: definitions(), Rules: r.Decision.Rules}
	if r.Model.Name != "" {
		p.Title = r.Model.Name + " · " + r.Run.Job
	}
	p.verdict()
	if r.Quality != nil {
		p.Headline = r.Quality.Headline
		p.quality(r.Quality)
		p.cohorts(r.Quality)
		p.tiles(r.Quality)
	}
	p.drift()
	p.funnel()
	return p
}

func (p *page) verdict() {
	d := &p.Decision
	warned := false
	for _, r := range d.Rules {
		warned = warned || r.Effect == Warns || r.Effect == Accepted
	}
	switch {
	case !d.Publish:
		p.Mark, p.Class, p.Says = "✕", "bad", "Refused: this version may not be published."
	case warned:
		p.Mark, p.Class, p.Says = "!", "warn", "May be published, with warnings."
	case d.Verdict == Undecided:
		p.Mark, p.Class, p.Says = "~", "warn", "May be published; not every rule could be decided."
	default:
		p.Mark, p.Class, p.Says = "✓", "good", "May be published: every rule is kept."
	}
}

func (p *page) quality(q *Quality) {
	p.Names = q.Contenders
	top := 0.0
	for i := range q.Contenders {
		if e := q.Contenders[i].Estimate(q.Headline, All); e != nil {
			top = max(top, or(e.High, or(e.Value, 0)))
		}
	}
	for i := range q.Contenders {
		c := &q.Contenders[i]
		if e := c.Estimate(q.Headline, All); e != nil {
			p.Bars = append(p.Bars, newBar(c.Name, string(c.Role), e.Value, e.Low, e.High, top))
		}
	}
	if len(q.Contenders) > 0 {
		for _, e := range q.Contenders[0].Estimates {
			if e.Split != All {
				continue
			}
			row := metricRow{Metric: e.Metric}
			for i := range q.Contenders {
				row.Cells = append(row.Cells, q.Contenders[i].Estimate(e.Metric, All))
			}
			p.Metrics = append(p.Metrics, row)
		}
	}
	for _, s := range splits {
		row := splitRow{Split: s}
		for i := range q.Contenders {
			e := q.Contenders[i].Estimate(q.Headline, s)
			row.Cells = append(row.Cells, e)
			if e != nil {
				row.N = e.N
			}
		}
		p.Splits = append(p.Splits, row)
	}
	for _, c := range q.Comparisons {
		if c.Metric == q.Headline && c.Split == All {
			p.Compared = append(p.Compared, c)
		}
	}
}

func (p *page) cohorts(q *Quality) {
	candidate := q.Contender(Candidate)
	if candidate == nil {
		return
	}
	for _, cohort := range q.Cohorts {
		f := q.Cohort(cohort.Cohort, candidate.Name, q.Headline)
		if f == nil {
			continue
		}
		block := cohortBlock{Name: cohort.Cohort, Figure: f}
		top := or(f.Overall, 0)
		for _, g := range f.ByGroup {
			top = max(top, or(g.High, or(g.Value, 0)))
		}
		for _, g := range f.ByGroup {
			b := newBar(g.Level, string(g.Status), g.Value, g.Low, g.High, top)
			switch {
			case g.Status == Suppressed:
				b.Text = "not shown: too few people"
			case g.Status == Insufficient:
				b.Text += ", n " + count(*g.N) + ": too few to judge"
			default:
				b.Text += ", n " + count(*g.N)
			}
			block.Bars = append(block.Bars, b)
		}
		block.Line = share(or(f.Overall, 0), top)
		for _, r := range p.Decision.Rules {
			if r.Budget != nil && r.Budget.Cohort == cohort.Cohort {
				block.Rules = append(block.Rules, r)
			}
		}
		p.Cohorts = append(p.Cohorts, block)
	}
}

// tiles picks at most seven figures for the first screen.
func (p *page) tiles(q *Quality) {
	add := func(name, value, note string) { p.Tiles = append(p.Tiles, tile{name, value, note}) }
	c := q.Contender(Candidate)
	if c == nil {
		return
	}
	if e := c.Estimate(q.Headline, All); e != nil && e.Value != nil {
		note := ""
		if e.Low != nil {
			note = plain(*e.Low) + " to " + plain(*e.High)
		}
		add(q.Headline, plain(*e.Value), note)
	}
	for _, role := range []Role{Live, Baseline} {
		for _, cmp := range p.Compared {
			if cmp.Role == role && cmp.Difference != nil && len(p.Tiles) < 4 {
				note := ""
				if cmp.Low != nil {
					note = signed(*cmp.Low) + " to " + signed(*cmp.High)
				}
				add("against "+cmp.Against, signed(*cmp.Difference), note)
			}
		}
	}
	if e := c.Estimate(At(Coverage, q.K[0]), All); e != nil && e.Value != nil {
		add("of the catalog shown", percent(*e.Value), At(Coverage, q.K[0]))
	}
	var widest *CohortFigure
	name := ""
	for _, b := range p.Cohorts {
		if b.Figure.RelativeGap != nil && (widest == nil || *b.Figure.RelativeGap > *widest.RelativeGap) {
			widest, name = b.Figure, b.Name
		}
	}
	if widest != nil {
		add("widest gap", percent(*widest.RelativeGap), "by "+name+", of the overall value")
	}
	if p.Report.Drift != nil {
		n := len(p.Report.Drift.Drifted())
		add("columns drifted", count(n), "of "+count(len(p.Report.Drift.Columns)))
	}
}

func (p *page) drift() {
	if p.Report.Drift == nil {
		return
	}
	for _, c := range p.Report.Drift.Columns {
		row := driftRow{Name: c.Name, Verdict: string(c.Verdict), Says: c.Says, Effect: optional(c.Effect, thousandths), P: optional(c.AdjustedP, probability)}
		row.PSI = optional(c.PSI, thousandths)
		top := max(3*c.Threshold, or(c.Effect, 0))
		row.Threshold = share(c.Threshold, top)
		if c.Effect != nil {
			row.At = share(*c.Effect, top)
		}
		tallest := 0.0
		for _, b := range c.Bins {
			tallest = max(tallest, b.Reference, b.Current)
		}
		for _, b := range c.Bins {
			row.Bins = append(row.Bins, binBar{b.Label, percent(b.Reference), percent(b.Current), share(b.Reference, tallest), share(b.Current, tallest)})
		}
		p.DriftRows = append(p.DriftRows, row)
	}
}

func (p *page) funnel() {
	most := 0.0
	number := func(s string) float64 {
		n, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
		if err != nil {
			return 0
		}
		return n
	}
	for _, f := range p.Report.Funnel {
		most = max(most, number(f.Rows))
	}
	for _, f := range p.Report.Funnel {
		b := funnelBar{Reason: strings.ReplaceAll(f.Reason, "_", " "), Rows: f.Rows, At: share(number(f.Rows), most), Kept: f.Reason == "kept" || f.Reason == "read"}
		if n := number(f.Rows); n == math.Trunc(n) && strconv.FormatFloat(n, 'f', 0, 64) == f.Rows {
			b.Rows = count(int64(n))
		}
		p.FunnelBars = append(p.FunnelBars, b)
	}
}

func newBar(label, class string, value, low, high *float64, top float64) bar {
	b := bar{Label: label, Class: class, Text: optional(value, plain)}
	if value != nil {
		b.At = share(*value, top)
	}
	if low != nil && high != nil {
		b.Low, b.High = share(*low, top), share(*high, top)
	}
	return b
}

// share is a place on a track that ends a little beyond top.
func share(x, top float64) string {
	if top <= 0 {
		return "0%"
	}
	return strconv.FormatFloat(max(0, min(100, 96*x/top)), 'f', 2, 64) + "%"
}

func or(x *float64, otherwise float64) float64 {
	if x == nil {
		return otherwise
	}
	return *x
}

func optional(x *float64, show func(float64) string) string {
	if x == nil {
		return "—"
	}
	return show(*x)
}

func thousandths(x float64) string { return minus(strconv.FormatFloat(x, 'f', 3, 64)) }

func probability(p float64) string {
	if p < 0.001 {
		return "< 0.001"
	}
	return thousandths(p)
}

func printTime(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// printInterval prints whole days as days, the end excluded and said so.
func printInterval(iv table.Interval) string {
	if iv.Start.IsZero() && iv.End.IsZero() {
		return "—"
	}
	s, e := iv.Start.UTC(), iv.End.UTC()
	if s.Truncate(24*time.Hour).Equal(s) && e.Truncate(24*time.Hour).Equal(e) {
		return s.Format("2006-01-02") + " up to, not including, " + e.Format("2006-01-02")
	}
	return printTime(s) + " up to, not including, " + printTime(e)
}
