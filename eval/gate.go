package eval

import (
	"fmt"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"

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
	Accepted Effect = "accepted_risk" // failed, but no worse than what it would replace
)

// Rule is one judged rule: a budget, a default floor, or a drift check.
type Rule struct {
	Kind    string   `json:"kind"` // "budget", "floor" or "drift"
	Budget  *Budget  `json:"budget,omitempty"`
	Subject string   `json:"subject"` // what is judged, in words: "ndcg@10 gap by gender"
	Verdict Verdict  `json:"verdict"`
	Effect  Effect   `json:"effect"`
	Value   *float64 `json:"value"`
	Low     *float64 `json:"low"`
	High    *float64 `json:"high"`
	Bound   *float64 `json:"bound"`
	// Detectable is the smallest true gap (or, for a ratio, the largest true ratio) that this test would have called a failure four times in five.
	Detectable *float64 `json:"minimum_detectable"`
	N          int      `json:"n"`
	Unjudged   []string `json:"unjudged,omitempty"` // groups with too few subjects
	Says       string   `json:"says"`
}

// Decision is what becomes of the candidate. Reasons are plain words, the gravest first, at least one.
type Decision struct {
	Publish bool     `json:"publish"`
	Verdict Verdict  `json:"verdict"` // pass, fail, or undecided: published, but something could not be told
	Reasons []string `json:"reasons"`
	Rules   []Rule   `json:"rules"`
}

// Drift is what the drift check found and what is to be done about it: Block or Warn (the default). A nil Report means that there was no
// reference to compare with.
type Drift struct {
	Report *drift.Report
	Action Action
}

// Gate holds a candidate's figures against the budgets, the default floors and the drift check, and decides. It is a pure function, and lists every rule,
// failed or not.
//
// Floors stand without any budget: a candidate whose headline metric is worse than the baseline Popular beyond the interval is refused; worse
// than another baseline, it is published with a warning.
func Gate(budgets []Budget, q *Quality, d Drift) Decision {
	var rules []Rule
	rules = append(rules, floors(q)...)
	for i := range budgets {
		rules = append(rules, judge(budgets[i], q))
	}
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
			r.Detectable = finite(-detectable((*c.High - *c.Low) / 2))
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

// judge judges one budget.
func judge(b Budget, q *Quality) Rule {
	r := Rule{Kind: "budget", Budget: &b}
	if b.Cohort != "" {
		judgeGap(&r, b, q)
	} else {
		judgeRatio(&r, b, q)
	}
	if r.Effect == "" {
		r.Effect = effect(r.Verdict, b.action())
	}
	if b.Owner != "" {
		r.Says += " Owner: " + b.Owner + "."
	}
	if b.Why != "" {
		r.Says += " Why this rule: " + strings.TrimSuffix(b.Why, ".") + "."
	}
	return r
}

func judgeGap(r *Rule, b Budget, q *Quality) {
	r.Subject = b.Metric + " gap by " + b.Cohort
	candidate := q.Contender(Candidate)
	var f *CohortFigure
	if candidate != nil {
		f = q.Cohort(b.Cohort, candidate.Name, b.Metric)
	}
	if f == nil || f.Overall == nil || (b.RelativeGap == nil) == (b.AbsoluteGap == nil) {
		r.Verdict = NotMeasurable
		r.Says = fmt.Sprintf("%s was not measured: the budget speaks of a metric or cohort that is not evaluated, or names no gap.", r.Subject)
		return
	}
	minN := max(b.MinN, MinCell)
	if b.MinN == 0 {
		minN = q.MinN
	}
	g := f.gap(minN)
	r.Unjudged = g.unjudged
	for i := range f.ByGroup {
		if row := &f.ByGroup[i]; row.judgedAt(minN) {
			r.N += *row.N
		}
	}
	unit, bound, show := 1.0, b.AbsoluteGap, plain
	if b.RelativeGap != nil {
		unit, bound, show = *f.Overall, b.RelativeGap, percent
	}
	r.Bound = bound
	if g.groups < 2 || unit == 0 {
		r.Verdict = NotJudged
		r.Says = fmt.Sprintf("%s can't be judged: %d of %d groups have %d subjects or more, and the overall value is %s.",
			r.Subject, g.groups, len(f.ByGroup), minN, plain(*f.Overall))
		return
	}
	// The overall value is taken as known: its own error is small beside that of a difference of two groups.
	r.Value, r.Low, r.High = finite(g.difference/unit), finite(g.low/unit), finite(g.high/unit)
	r.Detectable = finite(*bound + g.detectable/unit)
	head := fmt.Sprintf("%s is %s (%s served worst, %s best); the budget is %s", r.Subject, figure(r.Value, r.Low, r.High, show), g.worst, g.best, show(*bound))
	switch {
	case *r.Low > *bound:
		r.Verdict = Fail
		r.Says = head + ": exceeded."
		if b.action() == Ratchet {
			ratchetGap(r, b, q, minN, show)
		}
	case *r.High <= *bound:
		r.Verdict, r.Says = Pass, head+": kept."
	default:
		r.Verdict = Undecided
		r.Says = fmt.Sprintf("%s: the interval reaches over it, so neither can be said; a true gap of %s would be called four times in five.", head, show(*r.Detectable))
	}
	if len(r.Unjudged) > 0 {
		r.Says += fmt.Sprintf(" Not judged, too few subjects: %s.", strings.Join(r.Unjudged, ", "))
	}
}

// ratchetGap lets a failed gap pass as a risk if what is live (or the best baseline) has no smaller one.
func ratchetGap(r *Rule, b Budget, q *Quality, minN int, show func(float64) string) {
	r.Effect = Refuses
	other := q.incumbent(b.Metric)
	if other == nil {
		return
	}
	f := q.Cohort(b.Cohort, other.Name, b.Metric)
	if f == nil || f.Overall == nil {
		return
	}
	g, unit := f.gap(minN), 1.0
	if b.RelativeGap != nil {
		unit = *f.Overall
	}
	if g.groups < 2 || unit == 0 {
		return
	}
	theirs := g.difference / unit
	if *r.Value <= theirs {
		r.Effect = Accepted
		r.Says += fmt.Sprintf(" It is no larger than that of %s (%s): accepted as a risk.", other.Name, show(theirs))
		return
	}
	r.Says += fmt.Sprintf(" That of %s is smaller (%s).", other.Name, show(theirs))
}

// incumbent is what a candidate would replace: the live version, or, before there is one, the baseline that is best on the metric.
func (q *Quality) incumbent(metric string) *ContenderQuality {
	if live := q.Contender(Live); live != nil {
		return live
	}
	var out *ContenderQuality
	top := -1.0
	for i := range q.Contenders {
		c := &q.Contenders[i]
		if e := c.Estimate(metric, All); c.Role == Baseline && e != nil && e.Value != nil && *e.Value > top {
			out, top = c, *e.Value
		}
	}
	return out
}

func judgeRatio(r *Rule, b Budget, q *Quality) {
	against, note := b.Against, ""
	if b.Against == string(Live) {
		other := q.incumbent(b.Metric)
		switch {
		case other == nil:
			r.Subject, r.Verdict = b.Metric+" against live", NotJudged
			r.Says = b.Metric + " against live can't be judged: there is no live version, and no baseline was evaluated."
			return
		case other.Role == Baseline:
			note = " (the best baseline, as nothing was live when the interval ended)"
		}
		against = other.Name
	}
	r.Subject = b.Metric + " against " + against + note
	c := q.Comparison(b.Metric, All, against)
	if c == nil || b.Ratio == nil {
		r.Verdict = NotMeasurable
		r.Says = r.Subject + " was not measured: the budget speaks of a metric or contender that is not evaluated, or names no ratio."
		return
	}
	minN := b.MinN
	if minN == 0 {
		minN = q.MinN
	}
	r.N, r.Bound, r.Value, r.Low, r.High = c.N, b.Ratio, c.Ratio, c.RatioLow, c.RatioHigh
	if c.N < minN || c.Ratio == nil || c.RatioLow == nil {
		r.Verdict = NotJudged
		r.Says = fmt.Sprintf("%s can't be judged: %d subjects (%d are needed), or the other is too often at zero for a ratio.", r.Subject, c.N, minN)
		return
	}
	r.Detectable = finite(*b.Ratio - detectable((*c.RatioHigh-*c.RatioLow)/2))
	head := fmt.Sprintf("%s is %s of it; the budget is at least %s", r.Subject, figure(r.Value, r.Low, r.High, percent), percent(*b.Ratio))
	switch {
	case *r.High < *b.Ratio:
		r.Verdict, r.Says = Fail, head+": missed."
		if b.action() == Ratchet {
			ratchetRatio(r, b, q)
		}
	case *r.Low >= *b.Ratio:
		r.Verdict, r.Says = Pass, head+": kept."
	default:
		r.Verdict = Undecided
		r.Says = fmt.Sprintf("%s: the interval reaches below it, so neither can be said; a true ratio of %s would be called four times in five.", head, percent(*r.Detectable))
	}
}

// ratchetRatio lets a missed ratio pass as a risk if the candidate is no worse than what it would replace.
func ratchetRatio(r *Rule, b Budget, q *Quality) {
	r.Effect = Refuses
	other := q.incumbent(b.Metric)
	if other == nil {
		return
	}
	if c := q.Comparison(b.Metric, All, other.Name); c != nil && c.Difference != nil && *c.Difference >= 0 {
		r.Effect = Accepted
		r.Says += fmt.Sprintf(" It is no worse than %s: accepted as a risk.", other.Name)
	}
}

// detectable is the distance from a bound at which a test whose interval has this half width fails four times in five.
func detectable(half float64) float64 {
	z := distuv.UnitNormal.Quantile(1 - (1-Confidence)/2)
	return half / z * (z + distuv.UnitNormal.Quantile(0.8))
}

// driftRules turns the drift verdicts into rules.
func driftRules(d Drift) []Rule {
	if d.Report == nil {
		return []Rule{{Kind: "drift", Subject: "drift", Verdict: NotJudged, Effect: NoEffect, Says: "Drift was not judged: there is no reference window yet."}}
	}
	action := d.Action
	if action != Block {
		action = Warn
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
		r.Effect = effect(r.Verdict, action)
		rules = append(rules, r)
	}
	return rules
}
