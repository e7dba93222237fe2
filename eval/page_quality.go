package eval

import "slices"

// splitNames say in words which taken items count.
var splitNames = map[Split]string{
	All: "everything taken", Repeat: "what they had before", Explore: "what is new to them", ColdSubjects: "people hardly known", ColdItems: "items never seen in training",
}

// splitRow is the headline metric, counting items or people of one kind.
type splitRow struct {
	Name  string
	N     int
	Cells []*Estimate // by contender
}

// metricRow is one metric of every contender.
type metricRow struct {
	Metric string
	Cells  []*Estimate // by contender; nil where not measured
	Gain   *Comparison // of this version over the one it would replace; nil: there is none
}

// quality arranges the figures over everybody.
func (p *page) quality(q *Quality) {
	p.Names = q.Contenders
	p.values(q)
	for _, c := range q.Comparisons {
		if c.Metric == q.Headline && c.Split == All {
			p.Compared = append(p.Compared, c)
		}
	}
	p.differences(q)
	for _, c := range q.Contenders {
		switch {
		case c.Tied == nil:
			p.Ties = append(p.Ties, c.Name+" some")
		case *c.Tied > 0:
			p.Ties = append(p.Ties, c.Name+" "+count(*c.Tied))
		}
		if c.Role != Part {
			p.Rivals = append(p.Rivals, c)
		}
	}
	p.Incumbent = q.incumbent(q.Headline, false)
	p.splits(q)
	p.metrics(q)
}

// values draws the headline metric of each contender.
func (p *page) values(q *Quality) {
	s := fromZero()
	for i := range q.Contenders {
		if e := q.Contenders[i].Estimate(q.Headline, All); e != nil {
			s.add(e.Value, e.Low, e.High)
		}
	}
	a, ticks := newAxis(s.lo, s.hi, decimal)
	p.Values = &plot{Label: q.Headline + " of each contender", Ticks: ticks}
	for i := range q.Contenders {
		c := &q.Contenders[i]
		if e := c.Estimate(q.Headline, All); e != nil {
			row := a.row(contenderName(c.Name, c.Role), string(c.Role), Figure{e.Value, e.Low, e.High}, plain)
			row.Sub = roleNames[c.Role]
			p.Values.Rows = append(p.Values.Rows, row)
		}
	}
}

// differences draws what the candidate gains over each. Popularity is usually so far behind that it would press all else together: it sets the axis
// only where nothing else does.
func (p *page) differences(q *Quality) {
	near := fromZero()
	others := false
	for _, c := range p.Compared {
		if c.Role != Part && c.Against != Popular {
			near.add(c.Difference, c.Low, c.High)
			others = true
		}
	}
	for _, c := range p.Compared {
		if c.Against == Popular && !others {
			near.add(c.Difference, c.Low, c.High)
		}
	}
	a, ticks := newAxis(near.lo, near.hi, func(x float64, n int) string {
		if x > 0 {
			return "+" + decimal(x, n)
		}
		return decimal(x, n)
	})
	d := &plot{Label: "the candidate’s " + q.Headline + " minus that of each other", Ticks: ticks, Marks: []mark{{a.at(0), "zero"}}}
	for _, c := range p.Compared {
		if c.Role == Part {
			continue
		}
		row := a.row("against "+contenderName(c.Against, c.Role), "candidate", Figure{c.Difference, c.Low, c.High}, signed)
		if c.PAdjusted != nil {
			row.Sub = "adjusted p " + Probability(*c.PAdjusted)
		}
		if c.Difference != nil && *c.Difference > a.hi {
			row.Beyond, row.Low, row.High = true, "", ""
			d.Note = "Arrows: beyond the axis."
		}
		switch called := c.Called(); {
		case c.Low == nil:
		case called > 0:
			row.Mark, row.Tone = "better", "good"
		case called < 0:
			row.Mark, row.Tone = "worse", "bad"
		default:
			row.Mark, row.Tone = "no difference", "none"
		}
		d.Rows = append(d.Rows, row)
	}
	if len(d.Rows) > 0 {
		p.Differences = d
	}
}

// splits draws this version, and what it would replace, on each kind of people and items.
func (p *page) splits(q *Quality) {
	candidate := q.Contender(Candidate)
	if candidate == nil {
		return
	}
	s := fromZero()
	of := func(c *ContenderQuality, split Split) *Estimate {
		if c == nil {
			return nil
		}
		return c.Estimate(q.Headline, split)
	}
	for _, split := range splits {
		if e := of(candidate, split); e != nil {
			s.add(e.Value, e.Low, e.High)
		}
		if e := of(p.Incumbent, split); e != nil {
			s.add(e.Value)
		}
	}
	a, ticks := newAxis(s.lo, s.hi, decimal)
	chart := &plot{Label: q.Headline + " by what is counted", Ticks: ticks}
	for _, split := range splits {
		row := splitRow{Name: splitNames[split]}
		for i := range q.Contenders {
			row.Cells = append(row.Cells, q.Contenders[i].Estimate(q.Headline, split))
		}
		e := of(candidate, split)
		if e == nil {
			continue
		}
		row.N = e.N
		p.Splits = append(p.Splits, row)
		drawn := a.row(row.Name, "candidate", Figure{e.Value, e.Low, e.High}, plain)
		drawn.Sub = "n " + count(e.N)
		if e.N == 0 {
			drawn.Sub, drawn.Text = "", "too few people"
		}
		if other := of(p.Incumbent, split); other != nil && other.Value != nil {
			drawn.Other = a.at(*other.Value)
		}
		chart.Rows = append(chart.Rows, drawn)
	}
	if len(chart.Rows) > 1 {
		p.SplitPlot = chart
	}
}

// metrics are all metrics in tables: those of the shortest lists by themselves.
func (p *page) metrics(q *Quality) {
	if len(q.Contenders) == 0 {
		return
	}
	for _, e := range q.Contenders[0].Estimates {
		if e.Split != All {
			continue
		}
		row := metricRow{Metric: e.Metric}
		for i := range q.Contenders {
			row.Cells = append(row.Cells, q.Contenders[i].Estimate(e.Metric, All))
		}
		p.Metrics = append(p.Metrics, row)
		if _, k, err := parseMetric(e.Metric); err != nil || k != p.Length {
			continue
		}
		row.Cells = nil
		for i := range p.Rivals {
			row.Cells = append(row.Cells, p.Rivals[i].Estimate(e.Metric, All))
		}
		if p.Incumbent != nil {
			row.Gain = q.Comparison(e.Metric, All, p.Incumbent.Name)
		}
		if slices.ContainsFunc(row.Cells, func(e *Estimate) bool { return e != nil && e.Value != nil }) {
			p.Short = append(p.Short, row)
		}
	}
}

// IncumbentName is what the version would replace, in print.
func (p *page) IncumbentName() string {
	if p.Incumbent == nil {
		return ""
	}
	return contenderName(p.Incumbent.Name, p.Incumbent.Role)
}
