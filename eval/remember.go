package eval

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// UndecidedFor is how long a budget may stay undecided before its owner is told: by then a pool of four weeks has been renewed once.
const UndecidedFor = 28 * 24 * time.Hour

// Remember carries over since when each budget has been undecided, from the rules of the evaluation before; what was decided then, or was not judged, is
// undecided since end, the end of the interval at hand. A budget is the same if its figures and bounds are, whoever owns it.
func (d *Decision) Remember(before []Rule, end time.Time) {
	since := map[string]time.Time{}
	for i := range before {
		if r := &before[i]; r.Undecided != nil && r.Budget != nil {
			since[r.Budget.identity()] = *r.Undecided
		}
	}
	for i := range d.Rules {
		r := &d.Rules[i]
		if r.Kind != "budget" || r.Verdict != Undecided {
			continue
		}
		at, ok := since[r.Budget.identity()]
		if !ok {
			at = end
		}
		at = at.UTC()
		r.Undecided = &at
	}
}

// Overdue reports whether the rule has been undecided for longer than UndecidedFor at a time.
func (r *Rule) Overdue(at time.Time) bool {
	return r.Undecided != nil && at.Sub(*r.Undecided) >= UndecidedFor
}

// Decidable says in words what the test that judged the rule could tell.
func (r *Rule) Decidable() string {
	if r.Detectable == nil {
		says, _, _ := strings.Cut(r.Says, " Owner: ")
		return says
	}
	show := r.Budget.unit()
	says := fmt.Sprintf("a true value of %s or more would be called missed four times in five", show(*r.Detectable))
	if *r.Detectable < *r.Bound {
		says = fmt.Sprintf("a true value of %s or less would be called missed four times in five", show(*r.Detectable))
	}
	if r.Blunt() {
		says += fmt.Sprintf(", far from its bound of %s: more people, or figures of several nights (pool: 28d), tell smaller differences", show(*r.Bound))
	}
	if r.Undecided != nil {
		says += ", undecided since " + r.Undecided.Format(time.DateOnly)
	}
	return says
}

// Blunt reports whether the test could only tell what lies further from the bound than the bound from nothing: such a budget decides little.
func (r *Rule) Blunt() bool {
	return r.Detectable != nil && r.Bound != nil && *r.Bound > 0 && (*r.Detectable > 2**r.Bound || *r.Detectable <= 0)
}

// unit prints a value in the budget's unit: a share, or the metric itself.
func (b Budget) unit() func(float64) string {
	if b.RelativeGap != nil || b.Ratio != nil {
		return percent
	}
	return plain
}

// Same reports whether two budgets are the same rule, whoever owns it.
func (b Budget) Same(other Budget) bool { return b.identity() == other.identity() }

// String names the budget: "ndcg@10 gap by gender at most 15.0 %".
func (b Budget) String() string {
	by := ""
	if b.Cohort != "" {
		by = " by " + b.Cohort
	}
	switch {
	case b.RelativeGap != nil:
		return b.Metric + " gap" + by + " at most " + percent(*b.RelativeGap)
	case b.AbsoluteGap != nil:
		return b.Metric + " gap" + by + " at most " + plain(*b.AbsoluteGap)
	case b.Ratio != nil:
		return b.Metric + " at least " + percent(*b.Ratio) + " of " + b.Against
	case b.AtLeast != nil:
		return b.Metric + by + " at least " + plain(*b.AtLeast)
	case b.AtMost != nil:
		return b.Metric + by + " at most " + plain(*b.AtMost)
	}
	return b.Metric
}

// against names what was held against what: the contender that a budget names, or that stood in for it.
func (r *Rule) against() string {
	if r.Instead != "" {
		return r.Instead + ", as nothing was live"
	}
	return r.Budget.Against
}

// name names the rule's budget by what it was really held against: "ndcg@10 at least 95.0 % of popular, as nothing was live".
func (r *Rule) name() string {
	b := *r.Budget
	b.Against = r.against()
	return b.String()
}

// identity is what makes two budgets the same rule.
func (b Budget) identity() string {
	b.Owner, b.Why, b.OnFail = "", "", ""
	id, _ := json.Marshal(b) // plain data: bounds are numbers (Validate)
	return string(id)
}
