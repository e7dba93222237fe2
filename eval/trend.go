package eval

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/storage/table"
)

// trendLength is how many earlier versions a report shows: two weeks of nights. HistoryLength is over how many earlier runs it shows what drifted: two
// months of nights.
const (
	trendLength   = 13
	HistoryLength = 59
)

// TrendPoint is one version of the past as it was judged: on its own test window, so that points differ in their people and days as well.
type TrendPoint struct {
	Version  int            `json:"version"` // 0: the one at hand
	Interval table.Interval `json:"interval"`
	Metric   string         `json:"metric"`
	Figure
	Floor   *float64      `json:"popular"`           // the popularity baseline's value on the same test: what part of a change is the window's
	Budgets []BudgetPoint `json:"budgets,omitempty"` // as they were judged then
}

// BudgetPoint is a budget as it was judged for one version. The interval is the corrected one, from which verdicts are.
type BudgetPoint struct {
	ID string `json:"budget"` // of its figures and bounds: the same in every report that judges them, whoever owns it
	Figure
	Verdict Verdict `json:"verdict"`
}

// DriftDay is what the drift check of one run said, in short.
type DriftDay struct {
	Interval table.Interval `json:"interval"`
	Expected string         `json:"expected,omitempty"` // the declared days of the calendar that the interval touches
	// Sizes are the effects of the columns that were compared, in units of the size that counts as large, to three digits.
	Sizes   map[string]float64 `json:"sizes"`
	Drifted []string           `json:"drifted,omitempty"` // columns that were called,
	Known   []string           `json:"known,omitempty"`   // and those of them that somebody had acknowledged
	Refused RefusedBy          `json:"refused,omitempty"` // what kept the run from publishing; absent: nothing did
}

// RefusedBy says what refused a run.
type RefusedBy string

// What refuses runs: drift, before anything is trained, or the rules by which a version is judged.
const (
	RefusedByDrift RefusedBy = "drift"
	RefusedByGate  RefusedBy = "gate"
)

// Follow makes r the next report after that of the live version, which has this number (nil, 0: there is none): r shows the versions that were live up to it,
// and what had drifted in their runs and in those that were refused since, oldest first. It depends on nothing else, so equal evaluations have equal trends
// whatever order they are made in.
func (r *Report) Follow(live *Report, version int, refused ...*Report) {
	r.Trend, r.DriftHistory = nil, nil
	if live != nil {
		r.Trend = append(r.Trend, live.Trend...)
		if p, ok := live.point(); ok {
			p.Version = version
			r.Trend = append(r.Trend, p)
		}
		r.DriftHistory = append(r.DriftHistory, live.DriftHistory...)
		if d, ok := live.driftDay(); ok && !live.Run.Interval.End.Equal(r.Run.Interval.End) { // r tells of its own day itself
			d.Refused = "" // what the rules refused and somebody has promoted is live all the same
			r.DriftHistory = append(r.DriftHistory, d)
		}
	}
	for _, x := range refused {
		d, ok := x.driftDay()
		if !ok { // nothing was compared: the day is shown all the same
			d = DriftDay{Interval: x.Run.Interval, Sizes: map[string]float64{}, Refused: x.refusedBy()}
		}
		r.DriftHistory = append(r.DriftHistory, d)
	}
	r.Trend = r.Trend[max(0, len(r.Trend)-trendLength):]
	r.DriftHistory = r.DriftHistory[max(0, len(r.DriftHistory)-HistoryLength):]
}

// refusedBy says what kept the run from publishing, or "".
func (r *Report) refusedBy() RefusedBy {
	switch {
	case r.Decision.Publish:
		return ""
	case r.Quality == nil:
		return RefusedByDrift
	}
	return RefusedByGate
}

// point is the report's own place in a trend.
func (r *Report) point() (p TrendPoint, ok bool) {
	if r.Quality == nil {
		return p, false
	}
	c := r.Quality.Contender(Candidate)
	if c == nil {
		return p, false
	}
	e := c.Estimate(r.Quality.Headline, All)
	if e == nil || e.Value == nil {
		return p, false
	}
	p = TrendPoint{Interval: r.Run.Interval, Metric: r.Quality.Headline, Figure: Figure{e.Value, e.Low, e.High}}
	if e := r.Quality.value(Popular); e != nil {
		p.Floor = e.Value
	}
	for i := range r.Decision.Rules {
		if rule := &r.Decision.Rules[i]; rule.Budget != nil && rule.Value != nil && rule.Instead == "" { // what was held against something else is no point of the same line
			p.Budgets = append(p.Budgets, BudgetPoint{ID: rule.Budget.id(), Figure: rule.figure(), Verdict: rule.Verdict})
		}
	}
	return p, true
}

// figure is the rule's value with the interval that its verdict is from.
func (r *Rule) figure() Figure {
	if r.CorrectedLow != nil {
		return Figure{r.Value, r.CorrectedLow, r.CorrectedHigh}
	}
	return Figure{r.Value, r.Low, r.High}
}

// id names what identity tells apart, in short.
func (b Budget) id() string {
	h := fnv.New64a()
	h.Write([]byte(b.identity()))
	return fmt.Sprintf("%016x", h.Sum64())
}

// driftDay is the report's own place among what had drifted.
func (r *Report) driftDay() (d DriftDay, ok bool) {
	if r.Drift == nil {
		return d, false
	}
	d = DriftDay{Interval: r.Run.Interval, Expected: expectedOn(r.Drift, r.Run.Interval), Sizes: map[string]float64{}, Refused: r.refusedBy()}
	for i := range r.Drift.Columns {
		c := &r.Drift.Columns[i]
		if s := size(c); s != nil && c.Verdict != drift.Insufficient {
			d.Sizes[c.Name] = digits(*s)
		}
		if c.Verdict == drift.Drifted {
			d.Drifted = append(d.Drifted, c.Name)
			if c.Acknowledged != "" {
				d.Known = append(d.Known, c.Name)
			}
		}
	}
	return d, true
}

// expectedOn names the declared days of the calendar that an interval touches, or "".
func expectedOn(r *drift.Report, iv table.Interval) string {
	if r.Reference == nil {
		return ""
	}
	var names []string
	for _, d := range r.Reference.Expected {
		if d.Interval.Overlaps(iv) && !slices.Contains(names, d.Name) {
			names = append(names, d.Name)
		}
	}
	return strings.Join(names, ", ")
}

// size is a column's effect in units of its threshold, or nil.
func size(c *drift.Column) *float64 {
	if c.Effect == nil || c.Threshold <= 0 {
		return nil
	}
	return finite(*c.Effect / c.Threshold)
}

// sizeOr is size, or what stands for none.
func sizeOr(c *drift.Column, none float64) float64 {
	if s := size(c); s != nil {
		return *s
	}
	return none
}

// digits rounds to three significant digits.
func digits(x float64) float64 {
	if x == 0 {
		return 0
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(x))))
	if r := math.Round(x*scale) / scale; !math.IsNaN(r) && !math.IsInf(r, 0) {
		return r
	}
	return x
}

// value returns the headline figure of the named contender on all relevant items, or nil.
func (q *Quality) value(name string) *Estimate {
	for i := range q.Contenders {
		if q.Contenders[i].Name == name {
			return q.Contenders[i].Estimate(q.Headline, All)
		}
	}
	return nil
}
