package eval

import (
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
)

// Verdict is the outcome of one rule, and of all.
type Verdict string

// The verdicts. A rule passes or fails only where its whole interval lies on one side of the bound.
const (
	Pass          Verdict = "pass"
	Fail          Verdict = "fail"
	Undecided     Verdict = "undecided"         // the interval straddles the bound
	NotJudged     Verdict = "insufficient_data" // too few subjects, or nothing to compare with
	NotMeasurable Verdict = "not_measured"      // the rule speaks of something that was not evaluated: a fault of the config
)

// Effect is what a rule's verdict does to the decision.
type Effect string

// The effects.
const (
	NoEffect Effect = "none"
	Refuses  Effect = "refuses"
	Warns    Effect = "warns"
	Accepted Effect = "accepted_risk" // failed, but not worse for sure than what it would replace
)

// Rule is one judged rule: a budget, a default floor, or a drift check.
type Rule struct {
	Kind    string   `json:"kind"` // "budget", "floor" or "drift"
	Budget  *Budget  `json:"budget,omitempty"`
	Subject string   `json:"subject"` // what is judged, in words: "ndcg@10 gap by gender"
	Verdict Verdict  `json:"verdict"`
	Effect  Effect   `json:"effect"`
	Value   *float64 `json:"value"`
	Low     *float64 `json:"low"` // at Confidence, of this rule alone
	High    *float64 `json:"high"`
	Bound   *float64 `json:"bound"` // with the margin, if the budget has one
	// Of a budget: the interval that the verdict is from, corrected for all budgets of the run (Holm 1979).
	CorrectedLow  *float64 `json:"corrected_low,omitempty"`
	CorrectedHigh *float64 `json:"corrected_high,omitempty"`
	P             *float64 `json:"p,omitempty"` // two-sided, of a value on the bound; not corrected
	// Pool says over which evaluations the figures were pooled; nil: the run's own alone.
	Pool *PoolFacts `json:"pool,omitempty"`
	// Undecided says since when, if in every evaluation since nothing could be said.
	Undecided *time.Time `json:"undecided_since,omitempty"`
	// Detectable is the smallest true gap (or, for a ratio, the largest true ratio) that this test would have called a failure four times in five.
	Detectable *float64 `json:"minimum_detectable"`
	// Instead names what stood in for the live version where a budget asks for that and none was there yet.
	Instead  string   `json:"instead,omitempty"`
	N        int      `json:"n"`
	Unjudged []string `json:"unjudged,omitempty"` // groups with too few subjects
	Says     string   `json:"says"`
}

// Decision is what becomes of the candidate. Reasons are plain words, the gravest first, at least one.
type Decision struct {
	Publish bool     `json:"publish"`
	Verdict Verdict  `json:"verdict"` // pass, fail, or undecided: published, but something could not be told
	Reasons []string `json:"reasons"`
	Rules   []Rule   `json:"rules"`
}

// Refusals are what refuses the candidate, and nothing else of the Reasons; none where it may be published.
func (d *Decision) Refusals() []string {
	var out []string
	for i := range d.Rules {
		if d.Rules[i].Effect == Refuses {
			out = append(out, d.Rules[i].Says)
		}
	}
	return out
}

// Drift is what the drift check found and what is to be done about it: Block or Warn (the default). A nil Report means that there was no
// reference to compare with. A column may have an action of its own, and one whose drift is acknowledged does nothing.
type Drift struct {
	Report   *drift.Report
	Action   Action
	Expected string // the name of a declared day, on which drift at most warns; "" on others
}

// GateDrift decides by the drift check alone, before anything is trained: its rules are those of the report's columns, in their order.
func GateDrift(d Drift) Decision { return decide(driftRules(d)) }

// Gate holds a candidate's figures against the budgets, the default floors and the drift check, and decides. It is a pure function, and lists every rule,
// failed or not. Budgets with a Pool are held against the figures of that pool, and against q where that has none.
//
// Budgets are judged together: the more there are, the further from its bound must an interval lie to be called (see judgeAll). Floors and drift are not
// among them: nobody declares them, so nobody can blunt them by declaring more.
//
// Floors stand without any budget: a candidate whose headline metric is worse than the baseline Popular beyond the interval is refused; worse
// than another baseline, it is published with a warning.
func Gate(budgets []Budget, q *Quality, pools Pools, d Drift) Decision {
	var rules []Rule
	rules = append(rules, floors(q)...)
	rules = append(rules, judgeAll(budgets, q, pools)...)
	rules = append(rules, driftRules(d)...)
	return decide(rules)
}

// decide folds the rules into a decision.
func decide(rules []Rule) Decision {
	out := Decision{Publish: true, Verdict: Pass, Rules: rules}
	say := func(match func(*Rule) bool) {
		for i := range rules {
			if match(&rules[i]) {
				out.Reasons = append(out.Reasons, rules[i].Says)
			}
		}
	}
	say(func(r *Rule) bool { return r.Effect == Refuses })
	if len(out.Reasons) > 0 {
		out.Publish, out.Verdict = false, Fail
	}
	say(func(r *Rule) bool { return r.Effect == Accepted })
	say(func(r *Rule) bool { return r.Effect == Warns })
	unclear := func(r *Rule) bool {
		return r.Effect == NoEffect && (r.Verdict == Undecided || r.Verdict == NotJudged)
	}
	for i := range rules {
		if out.Publish && unclear(&rules[i]) && rules[i].Kind != "drift" {
			out.Verdict = Undecided
		}
	}
	say(unclear)
	if len(out.Reasons) == 0 {
		say(func(r *Rule) bool { return r.Kind == "floor" })
	}
	if len(out.Reasons) == 0 {
		out.Reasons = []string{"No rule applied."}
	}
	return out
}

// floors compares the candidate with each baseline on the headline metric.
func floors(q *Quality) []Rule {
	var rules []Rule
	found := false
	for i := range q.Comparisons {
		c := &q.Comparisons[i]
		if c.Role != Baseline || c.Metric != q.Headline || c.Split != All {
			continue
		}
		action := Warn
		if c.Against == Popular {
			found, action = true, Block
		}
		zero := 0.0
		r := Rule{Kind: "floor", Subject: c.Metric + " against " + c.Against, Value: c.Difference, Low: c.Low, High: c.High, Bound: &zero, N: c.N}
		fig := figure(c.Difference, c.Low, c.High, signed)
		ours, theirs := q.headline(c.Against)
		head := fmt.Sprintf("%s is %s, and that of %s %s", c.Metric, ours, c.Against, theirs)
		switch {
		case c.N < q.MinN || c.Low == nil:
			r.Verdict, r.Says = NotJudged, fmt.Sprintf("%s, but %d subjects are too few to judge (%d are needed).", head, c.N, q.MinN)
		case *c.High < 0:
			r.Verdict, r.Says = Fail, fmt.Sprintf("%s: worse, by %s over %s subjects.", head, fig, count(c.N))
		case *c.Low > 0:
			r.Verdict, r.Says = Pass, fmt.Sprintf("%s: better, by %s over %s subjects.", head, fig, count(c.N))
		default:
			r.Verdict, r.Says = Undecided, fmt.Sprintf("%s: no difference can be told, %s over %s subjects.", head, fig, count(c.N))
		}
		if c.Low != nil {
			r.Detectable = finite(-(z95 + z80) * (*c.High - *c.Low) / (2 * z95))
		}
		r.Effect = effect(r.Verdict, action)
		rules = append(rules, r)
	}
	if !found {
		r := Rule{Kind: "floor", Subject: q.Headline + " against " + Popular, Verdict: NotJudged, Effect: Warns}
		r.Says = "No popularity baseline was evaluated, so nothing shows that the candidate is worth more than a list of best sellers."
		rules = append(rules, r)
	}
	return rules
}

// headline returns the candidate's and another contender's headline figure in print.
func (q *Quality) headline(other string) (ours, theirs string) {
	for i := range q.Contenders {
		c := &q.Contenders[i]
		e := c.Estimate(q.Headline, All)
		if e == nil || e.Value == nil {
			continue
		}
		if c.Role == Candidate {
			ours = plain(*e.Value)
		}
		if c.Name == other {
			theirs = plain(*e.Value)
		}
	}
	return ours, theirs
}

// effect is what a verdict does under an action that asks nobody else (Block or Warn).
func effect(v Verdict, a Action) Effect {
	switch {
	case v != Fail && v != NotMeasurable:
		return NoEffect
	case a == Warn:
		return Warns
	}
	return Refuses
}

// driftRules turns the drift verdicts into rules.
func driftRules(d Drift) []Rule {
	if d.Report == nil {
		return []Rule{{Kind: "drift", Subject: "drift", Verdict: NotJudged, Effect: NoEffect, Says: "Drift was not judged: there is no reference window yet."}}
	}
	var rules []Rule
	for _, c := range d.Report.Columns {
		r := Rule{Kind: "drift", Subject: "drift of " + c.Name, Value: c.Effect, Bound: &c.Threshold, Says: c.Says, N: int(c.CurrentRows)}
		switch c.Verdict {
		case drift.Drifted:
			r.Verdict = Fail
		case drift.Stable:
			r.Verdict = Pass
		default:
			r.Verdict = NotJudged
		}
		action := d.Action
		if c.Action != "" {
			action = Action(c.Action)
		}
		switch {
		case r.Verdict == Fail && c.Acknowledged != "":
			r.Effect, r.Says = NoEffect, r.Says+" It is "+c.Acknowledged+"."
		case action == Block && d.Expected == "":
			r.Effect = effect(r.Verdict, Block)
		default:
			r.Effect = effect(r.Verdict, Warn)
		}
		if r.Verdict == Fail && c.Cause != nil {
			r.Says += " " + c.Cause.Says
		}
		if r.Verdict == Fail && d.Expected != "" {
			r.Says += fmt.Sprintf(" The day is declared in the calendar (%s): drift at most warns on it.", d.Expected)
		}
		rules = append(rules, r)
	}
	return rules
}
