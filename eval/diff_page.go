package eval

import (
	"fmt"
	"io"
)

// diffPage is a comparison arranged for reading, on the frame of a report's page.
type diffPage struct {
	*page
	*Diff
	NameA, NameB string
	Moves        *plot // of each metric of the shortest lists, as a share of a's
	Gaps         *plot
	OfChanges    []changesOf
	Short, Long  []DiffFigure // of the headline's length, and of every other
}

// changesOf are the changes of one kind.
type changesOf struct {
	Of      string
	Changes []Change
}

// WriteHTML writes the comparison as one page that needs nothing else, like a report's.
func (d *Diff) WriteHTML(w io.Writer) error {
	if err := writePage(w, "diff.html", newDiffPage(d)); err != nil {
		return fmt.Errorf("write comparison of versions %d and %d of %s: %w", d.A.Version, d.B.Version, d.Model, err)
	}
	return nil
}

func newDiffPage(d *Diff) *diffPage {
	p := &diffPage{
		page: &page{Report: &Report{}, glossary: newGlossary(d.definitions())}, Diff: d,
		NameA: fmt.Sprintf("v%d", d.A.Version), NameB: fmt.Sprintf("v%d", d.B.Version),
	}
	p.Tone, p.Says = d.Better()
	p.Mark = marks[p.Tone]
	for _, c := range d.Changes {
		if n := len(p.OfChanges); n == 0 || p.OfChanges[n-1].Of != c.Of {
			p.OfChanges = append(p.OfChanges, changesOf{Of: c.Of})
		}
		last := &p.OfChanges[len(p.OfChanges)-1]
		last.Changes = append(last.Changes, c)
	}
	_, length, _ := parseMetric(d.headline)
	for _, f := range d.Figures {
		if _, k, _ := parseMetric(f.Metric); k == length {
			p.Short = append(p.Short, f)
		} else {
			p.Long = append(p.Long, f)
		}
	}
	p.moves()
	p.gaps()
	return p
}

// moves draws by what share of a's value each metric has moved.
func (p *diffPage) moves() {
	if len(p.Diff.Figures) == 0 {
		return
	}
	_, length, err := parseMetric(p.Diff.headline)
	if err != nil {
		return
	}
	type move struct {
		metric string
		Figure
		f DiffFigure
	}
	var all []move
	s := fromZero()
	for _, f := range p.Diff.Figures {
		if _, k, err := parseMetric(f.Metric); err != nil || k != length || *f.A.Value == 0 {
			continue
		}
		share := func(x *float64) *float64 {
			if x == nil {
				return nil
			}
			return finite(*x / *f.A.Value)
		}
		m := move{f.Metric, Figure{share(f.Difference.Value), share(f.Difference.Low), share(f.Difference.High)}, f}
		s.add(m.Value, m.Low, m.High)
		all = append(all, m)
	}
	if len(all) == 0 {
		return
	}
	show := func(x float64) string {
		if x > 0 {
			return "+" + percent(x)
		}
		return percent(x)
	}
	a, ticks := newAxis(s.lo, s.hi, percents)
	p.Moves = &plot{Label: "change of each metric, as a share of " + p.NameA, Ticks: ticks, Marks: []mark{{a.at(0), "zero"}}}
	for _, m := range all {
		row := a.row(plainName(m.metric), "candidate", m.Figure, show)
		if m.f.Difference.Low == nil {
			row.Sub = "not tested"
		}
		p.Moves.Rows = append(p.Moves.Rows, row)
	}
}

// gaps draws the gap of each cohort for both.
func (p *diffPage) gaps() {
	s := fromZero()
	for _, c := range p.Diff.Cohorts {
		s.add(c.A.Value, c.B.Value, c.B.Low, c.B.High)
	}
	a, ticks := newAxis(s.lo, s.hi, percents)
	chart := &plot{Label: "gap by cohort of both versions", Ticks: ticks}
	for _, c := range p.Diff.Cohorts {
		if c.B.Value == nil {
			continue
		}
		row := a.row(crossed(c.Cohort), "candidate", c.B, percent)
		if c.A.Value != nil {
			row.Other, row.Sub = a.at(*c.A.Value), p.NameA+" "+percent(*c.A.Value)
		}
		chart.Rows = append(chart.Rows, row)
	}
	if len(chart.Rows) > 0 {
		p.Gaps = chart
	}
}

// Before is the verdict on a.
func (x DiffBudget) Before() string { return x.in(x.A, x.ValueA, x.InsteadA) }

// After is the verdict on b.
func (x DiffBudget) After() string { return x.in(x.B, x.ValueB, x.InsteadB) }

// Turned says how the verdict has changed, or "".
func (x DiffBudget) Turned() (tone string) {
	switch {
	case x.A == x.B:
		return ""
	case x.B == Fail:
		return "bad"
	case x.A == Fail && x.B == Pass:
		return "good"
	}
	return "warn"
}

// diffWithin is a part of the comparison beside the whole page.
type diffWithin struct {
	Page  *diffPage
	Block any
}

// With hands a part of the comparison to a template together with the page.
func (p *diffPage) With(block any) diffWithin { return diffWithin{p, block} }

// How says how the figures of both were come by.
func (p *diffPage) How() string {
	switch {
	case p.Paired != "":
		return "paired: both were asked for the same people"
	case p.window:
		return "both were asked for the same test window, and nothing pairs their figures, so nothing is tested"
	}
	return "each was measured on its own people, so nothing is tested"
}

// Sides are both versions.
func (p *diffPage) Sides() []DiffSide { return []DiffSide{p.A, p.B} }
