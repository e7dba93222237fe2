package eval

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	openCohorts = 3  // so many cohorts stand open on the page; of more, those that miss a budget
	mostRows    = 12 // so many groups are drawn; of more, those served worst and best
)

// cohortBlock is one cohort: its groups on one axis, and the gap between them with its budget on another.
type cohortBlock struct {
	ID, Name string
	Figure   *CohortFigure
	Groups   *plot
	Skipped  int   // groups between those served worst and best that are not drawn
	Gap      *plot // nil if fewer than two groups can be compared
	Relative Figure
	Budget   string
	Rules    []Rule
	Hidden   bool // a group is not shown
	Open     bool
	Judged   int
	Worst    string // of the judged groups
	Best     string
	Verdict  Rule // of the budget that is worst off; its kind is "" where there is none
	Table    []groupRow
	Metrics  []CohortFigure // every metric of this version

	level func(string) string // a level in print
}

// groupRow is one group in figures.
type groupRow struct {
	Group
	Name string
	Live *float64 // of what the version would replace
}

// crossed prints the name of crossed cohorts: "age band × region".
func crossed(s string) string { return strings.ReplaceAll(plainName(s), "+", " × ") }

// levelNames prints the levels of a cohort. Those of crossed ones are joined with a plus, and a level may end with one of its own: "55++north".
func levelNames(cohort string) func(string) string {
	if !strings.Contains(cohort, "+") {
		return plainName
	}
	return func(level string) string {
		var b strings.Builder
		for i := range len(level) {
			if level[i] == '+' && i+1 < len(level) && level[i+1] != '+' {
				b.WriteString(" × ")
			} else {
				b.WriteByte(level[i])
			}
		}
		return plainName(b.String())
	}
}

// cohorts arranges the figures by group.
func (p *page) cohorts(q *Quality) {
	candidate := q.Contender(Candidate)
	if candidate == nil {
		return
	}
	for i, cohort := range q.Cohorts {
		f := q.Cohort(cohort.Cohort, candidate.Name, q.Headline)
		if f == nil {
			continue
		}
		b := cohortBlock{ID: fmt.Sprintf("cohort-%d", i+1), Name: crossed(cohort.Cohort), Figure: f, level: levelNames(cohort.Cohort)}
		for _, r := range p.Decision.Rules {
			if r.Budget != nil && r.Budget.Cohort == cohort.Cohort {
				b.Rules = append(b.Rules, r)
				if b.Verdict.Kind == "" || gravity(r) > gravity(b.Verdict) {
					b.Verdict = r
				}
			}
		}
		for _, x := range cohort.Figures {
			if x.Contender == candidate.Name {
				b.Metrics = append(b.Metrics, x)
			}
		}
		var live *CohortFigure
		if p.Incumbent != nil {
			live = q.Cohort(cohort.Cohort, p.Incumbent.Name, q.Headline)
		}
		b.groups(f, live, q.Headline)
		b.gap(f, q.Headline)
		p.Cohorts = append(p.Cohorts, b)
	}
	for i := range p.Cohorts {
		b := &p.Cohorts[i]
		b.Open = len(p.Cohorts) <= openCohorts || gravity(b.Verdict) > 2
	}
	p.gaps()
}

// gravity orders rules by how much they ask of whoever reads them.
func gravity(r Rule) int {
	switch {
	case r.Kind == "":
		return 0
	case r.Effect == Refuses:
		return 4
	case r.Verdict == Fail, r.Verdict == NotMeasurable:
		return 3
	case r.Verdict == Undecided:
		return 2
	case r.Verdict == NotJudged:
		return 1
	}
	return 0
}

// groups draws each group with its interval, and beside it what is live.
func (b *cohortBlock) groups(f, live *CohortFigure, headline string) {
	theirs := map[string]*float64{}
	if live != nil {
		for _, g := range live.ByGroup {
			theirs[g.Level] = g.Value
		}
	}
	s := span{}
	s.add(f.Overall)
	var judged []Group
	for _, g := range f.ByGroup {
		b.Table = append(b.Table, groupRow{g, b.level(g.Level), theirs[g.Level]})
		b.Hidden = b.Hidden || g.Status == Suppressed
		if g.Status == Judged && g.Value != nil {
			judged = append(judged, g)
		}
	}
	slices.SortStableFunc(judged, func(x, y Group) int { return cmp.Compare(*x.Value, *y.Value) })
	if b.Judged = len(judged); b.Judged > 1 {
		b.Worst, b.Best = b.level(judged[0].Level), b.level(judged[b.Judged-1].Level)
	}
	drawn := f.ByGroup
	if len(drawn) > mostRows && len(judged) > mostRows {
		drawn = slices.Concat(judged[:mostRows/2], judged[len(judged)-mostRows/2:])
	}
	b.Skipped = len(f.ByGroup) - len(drawn)
	for _, g := range drawn {
		s.add(g.Value, g.Low, g.High)
		if g.Value != nil {
			s.add(theirs[g.Level])
		}
	}
	a, ticks := newAxis(s.lo, s.hi, decimal)
	b.Groups = &plot{Label: headline + " by " + b.Name, Ticks: ticks}
	if f.Overall != nil {
		b.Groups.Marks = []mark{{a.at(*f.Overall), "all"}}
	}
	if a.lo > 0 {
		b.Groups.Note = "The axis does not begin at zero."
	}
	for _, g := range drawn {
		row := a.row(b.level(g.Level), string(g.Status), Figure{g.Value, g.Low, g.High}, plain)
		switch {
		case g.Status == Suppressed:
			row.Text, row.Note = "not shown", "too few people"
		case g.N == nil:
		case g.Status == Insufficient:
			row.Sub = "n " + count(*g.N) + ", too few to judge"
		default:
			row.Sub = "n " + count(*g.N)
		}
		if x := theirs[g.Level]; x != nil && g.Value != nil {
			row.Other = a.at(*x)
		}
		b.Groups.Rows = append(b.Groups.Rows, row)
	}
}

// gap draws the gap on the headline metric as a share of the overall value, with its budget on the same axis.
func (b *cohortBlock) gap(f *CohortFigure, headline string) {
	if f.RelativeGap == nil || f.Overall == nil || *f.Overall == 0 {
		return
	}
	relative := func(x *float64) *float64 {
		if x == nil {
			return nil
		}
		return finite(*x / *f.Overall)
	}
	b.Relative = f.relative()
	figure := b.Relative
	var budget, detectable *float64
	var verdict Verdict
	for _, r := range b.Rules {
		if r.Budget.Metric != headline || r.Budget.ranged() {
			continue
		}
		verdict = r.Verdict
		switch {
		case r.Budget.RelativeGap != nil:
			budget, detectable = r.Budget.RelativeGap, r.Detectable
			if r.CorrectedLow != nil { // what the verdict is from: of its own least n and pool, and corrected
				figure = Figure{r.Value, r.CorrectedLow, r.CorrectedHigh}
			}
		case r.Budget.AbsoluteGap != nil:
			budget, detectable = relative(r.Budget.AbsoluteGap), relative(r.Detectable)
		}
	}
	s := fromZero()
	s.add(figure.Value, figure.Low, figure.High, budget, detectable)
	a, ticks := newAxis(s.lo, s.hi, percents)
	row := a.row("gap", "candidate", figure, percent)
	b.Gap = &plot{Label: "gap by " + b.Name, Ticks: ticks}
	if budget != nil {
		at := a.place(*budget)
		b.Gap.Zone = &zone{cent(at), cent(100 - at)}
		b.Gap.Marks = []mark{{cent(at), "budget"}}
		if detectable != nil {
			b.Gap.Marks = append(b.Gap.Marks, mark{a.at(*detectable), "detectable"})
		}
		b.Budget = percent(*budget)
		row.Mark, row.Tone = verdictWord(verdict)
	}
	b.Gap.Rows = []plotRow{row}
}

// verdictWord is a budget's verdict before a figure, and its tone.
func verdictWord(v Verdict) (word, tone string) {
	switch v {
	case Fail:
		return "exceeded", "bad"
	case Pass:
		return "kept", "good"
	case Undecided:
		return "undecided", "warn"
	}
	return "", ""
}

// gaps draws the gaps of all cohorts on one axis, the widest first, where there are several.
func (p *page) gaps() {
	if len(p.Cohorts) < 2 {
		return
	}
	var order []*cohortBlock
	s := fromZero()
	for i := range p.Cohorts {
		if b := &p.Cohorts[i]; b.Relative.Value != nil {
			order = append(order, b)
			s.add(b.Relative.Value, b.Relative.Low, b.Relative.High)
		}
	}
	if len(order) < 2 {
		return
	}
	slices.SortStableFunc(order, func(x, y *cohortBlock) int { return cmp.Compare(*y.Relative.Value, *x.Relative.Value) })
	a, ticks := newAxis(s.lo, s.hi, percents)
	p.Gaps = &plot{Label: "gap between the groups served best and worst, by cohort", Ticks: ticks}
	for _, b := range order {
		row := a.row(b.Name, "candidate", b.Relative, percent)
		row.Sub = count(b.Judged) + " groups"
		for _, r := range b.Rules {
			if r.Budget.RelativeGap != nil && r.Budget.Metric == p.Headline {
				row.Tick = a.at(*r.Budget.RelativeGap)
				row.Mark, row.Tone = verdictWord(r.Verdict)
			}
		}
		p.Gaps.Rows = append(p.Gaps.Rows, row)
	}
}

// within is one part of the page with the page around it, for templates of its own.
type within struct {
	Page  *page
	Block any
}

// With hands a part of the page to a template.
func (p *page) With(block any) within { return within{p, block} }

// Budgeted reports whether a gap of the headline metric has a budget.
func (p *page) Budgeted() bool {
	return slices.ContainsFunc(p.Decision.Rules, func(r Rule) bool {
		return r.Budget != nil && r.Budget.RelativeGap != nil && r.Budget.Metric == p.Headline
	})
}
