package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// budgetRow is one budget as its table and its trend show it.
type budgetRow struct {
	Rule
	Name  string
	show  func(float64) string
	Trend *budgetTrend
}

// budgetTrend is one budget over the last versions. Places are in percent, the rest in pixels of a chart that is budgetHeight high.
type budgetTrend struct {
	Says   string // for who hears it
	Points []trendDot
	Bound  float64 // from the top
	Over   bool    // values above the bound miss it
	First  string
	Top    string // labels of the axis
	Bottom string
}

const budgetHeight = 72.0

// budgets arranges the budgets, those that ask for the most first, and the other rules.
func (p *page) budgets() {
	for _, rule := range p.Decision.Rules {
		switch {
		case rule.Budget != nil:
			b := budgetRow{Rule: rule, Name: rule.name(), show: rule.Budget.unit()}
			b.trend(p)
			p.Budgets = append(p.Budgets, b)
		case rule.Kind == "drift" && rule.Verdict == Pass:
			p.Quiet = append(p.Quiet, rule)
		default:
			p.Rules = append(p.Rules, rule)
		}
		if rule.Budget != nil && rule.Budget.Owner != "" && !slices.Contains(p.Owners, rule.Budget.Owner) {
			p.Owners = append(p.Owners, rule.Budget.Owner)
		}
	}
	slices.SortStableFunc(p.Budgets, func(x, y budgetRow) int { return cmp.Compare(gravity(y.Rule), gravity(x.Rule)) })
	for _, b := range p.Budgets {
		if b.Trend != nil {
			p.BudgetTrends++
		}
	}
}

// Show prints a value in the budget's unit, and Span an interval.
func (b budgetRow) Show(x *float64) string { return optional(x, b.show) }

// Span prints an interval in the budget's unit.
func (b budgetRow) Span(low, high *float64) string { return between(low, high, b.show) }

// Limit is the declared bound in words.
func (b budgetRow) Limit() string {
	switch x := b.Budget; {
	case x.RelativeGap != nil:
		return "at most " + percent(*x.RelativeGap)
	case x.AbsoluteGap != nil:
		return "at most " + plain(*x.AbsoluteGap)
	case x.Ratio != nil:
		return "at least " + percent(*x.Ratio)
	case x.AtLeast != nil:
		return "at least " + plain(*x.AtLeast)
	case x.AtMost != nil:
		return "at most " + plain(*x.AtMost)
	}
	return "—"
}

// What is what is held against the bound: the budget's words without the bound.
func (b budgetRow) What() string {
	name, _, _ := strings.Cut(b.Name, " at most ")
	name, _, _ = strings.Cut(name, " at least ")
	if b.Budget.Against != "" {
		name += " over " + b.against()
	}
	return name
}

// Margin is how far beyond the bound a value still counts as kept, or "".
func (b budgetRow) Margin() string {
	if b.Budget.Margin == 0 {
		return ""
	}
	return b.show(b.Budget.Margin)
}

// Evidence says of how many people and evaluations the figures are.
func (b budgetRow) Evidence() string {
	if b.Pool != nil { // a person counts once for each evaluation
		return fmt.Sprintf("people asked %s, in %s of %s", plural(b.N, "time"), plural(b.Pool.Evaluations, "evaluation"), plural(days(b.Budget.Pool), "day"))
	}
	return count(b.N) + " people"
}

// leftOut is what the pools of one length leave out.
type leftOut struct {
	Pool string   // how long they are
	Says []string // a reason each
}

// leftOutOf are the pools of rules that leave something out, one for each length.
func leftOutOf(rules []Rule) (out []leftOut) {
	for _, r := range rules {
		if r.Pool == nil || len(r.Pool.LeftOut) == 0 {
			continue
		}
		long := plural(days(r.Budget.Pool), "day")
		if !slices.ContainsFunc(out, func(x leftOut) bool { return x.Pool == long }) {
			out = append(out, leftOut{long, r.Pool.leftOut()})
		}
	}
	return out
}

// Unpooled are the pools of the budgets that leave something out.
func (p *page) Unpooled() []leftOut { return leftOutOf(p.Decision.Rules) }

// Few names the groups that have too few people, or says how many there are.
func (b budgetRow) Few() string {
	if len(b.Unjudged) > 4 {
		return count(len(b.Unjudged)) + " groups"
	}
	return list(b.Unjudged)
}

// days are the whole days of a length, at least one.
func days(d time.Duration) int { return max(1, int(math.Round(d.Hours()/24))) }

// Since is since when nothing could be said, or "".
func (b budgetRow) Since() string {
	if b.Undecided == nil {
		return ""
	}
	return b.Undecided.UTC().Format(time.DateOnly)
}

// trend draws the budget over the versions that judged it.
func (b *budgetRow) trend(p *page) {
	id := b.Budget.id()
	type point struct {
		label string
		BudgetPoint
	}
	var points []point
	for _, t := range p.Trend {
		for _, x := range t.Budgets {
			if x.ID == id && x.Value != nil {
				points = append(points, point{fmt.Sprintf("v%d", t.Version), x})
			}
		}
	}
	if len(points) == 0 || b.Value == nil || b.Bound == nil {
		return
	}
	points = append(points, point{"this", BudgetPoint{ID: id, Figure: b.figure(), Verdict: b.Verdict}})
	s := span{}
	s.add(b.Bound)
	for _, x := range points {
		s.add(x.Value, x.Low, x.High)
	}
	a, _ := newAxis(s.lo, s.hi, decimal)
	y := func(x float64) float64 {
		return math.Round(10*(5+(budgetHeight-10)*(1-(x-a.lo)/(a.hi-a.lo)))) / 10
	}
	t := &budgetTrend{Bound: y(*b.Bound), Over: b.Budget.AtLeast == nil && b.Budget.Ratio == nil, First: points[0].label, Top: b.show(a.hi), Bottom: b.show(a.lo)}
	var says []string
	for i, x := range points {
		d := trendDot{X: cent(100 * (float64(i) + 0.5) / float64(len(points))), Y: y(*x.Value), Own: x.label == "this", Label: verdictTones[x.Verdict]}
		if x.Low != nil && x.High != nil {
			d.Range, d.Low, d.High = true, y(*x.Low), y(*x.High)
		}
		t.Points = append(t.Points, d)
		says = append(says, x.label+" "+b.show(*x.Value)+" "+plainName(string(x.Verdict)))
	}
	for i := range len(t.Points) - 1 {
		t.Points[i].Next = &t.Points[i+1]
	}
	t.Says = b.Name + ": " + strings.Join(says, ", ")
	b.Trend = t
}

// verdictTones are the colours of verdicts by themselves.
var verdictTones = map[Verdict]string{Pass: "good", Fail: "bad", Undecided: "warn", NotJudged: "none", NotMeasurable: "bad"}

// BoundBelow is how much of the chart lies under the bound.
func (t *budgetTrend) BoundBelow() float64 { return budgetHeight - t.Bound }
