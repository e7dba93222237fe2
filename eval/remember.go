package eval

import (
	"encoding/json"
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

// identity is what makes two budgets the same rule.
func (b Budget) identity() string {
	b.Owner, b.Why, b.OnFail = "", "", ""
	id, _ := json.Marshal(b) // plain data: bounds are numbers (Validate)
	return string(id)
}
