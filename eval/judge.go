package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/rapport-ml/rapport/storage/table"
)

// z95 and z80 are the normal quantiles of an interval at Confidence and of a test that is right four times in five.
var (
	z95 = distuv.UnitNormal.Quantile(1 - (1-Confidence)/2)
	z80 = distuv.UnitNormal.Quantile(0.8)
)

// Pools are the figures that budgets with a Pool are held against, by its length.
type Pools map[time.Duration]Pooled

// Pooled is what several evaluations of one job measured together, as one Quality over all of their questions.
type Pooled struct {
	Quality *Quality
	Facts   PoolFacts
}

// PoolFacts says which evaluations were pooled.
type PoolFacts struct {
	Evaluations int            `json:"evaluations"` // with the run's own
	Window      table.Interval `json:"window"`      // from the start of the first to the end of the last
}

// claim is one inequality that a budget makes: that a measured value is on the right side of a bound. The interval is at Confidence.
type claim struct {
	value, low, high float64
	bound            float64
	most             bool // the value may not exceed the bound; else it may not fall below it
}

// beyond returns by how many standard errors the value lies on the wrong side of the bound; negative on the right one. The error is that of
// the interval's side that faces the bound, since intervals of ratios are not symmetric.
func (c claim) beyond() float64 {
	off, half := c.value-c.bound, c.value-c.low
	if !c.most {
		off, half = c.bound-c.value, c.high-c.value
	}
	if off <= 0 {
		half = c.high - c.low - half
	}
	switch {
	case half > 0:
		return off / (half / z95)
	case off == 0:
		return math.Inf(-1) // known exactly, and on the bound: kept
	}
	return math.Copysign(math.Inf(1), off)
}

// trial is one budget on its way to a verdict: how its rule stands before the correction, and the claims that it comes to.
type trial struct {
	rule   Rule
	claims []claim // none: it can't be judged, and the rule says why
	worst  float64 // the largest of their beyond
	show   func(float64) string
	head   string
	far    float64 // what turns a distance of one standard error into the unit of the bound
	kept   string  // what is said of a pass and of a failure
	missed string
	no     func(*Rule) // what ratchet does with a failure
}

// p is the two-sided probability of the worst claim's value if it were on its bound, over as many claims as there are (Bonferroni).
func (t *trial) p() float64 {
	return min(1, 2*distuv.UnitNormal.Survival(t.worst)*float64(len(t.claims)))
}

// judgeAll judges all budgets of a run together, by Holm's procedure (1979): with m budgets that can be judged, ordered by p, the i-th is called a
// failure if its interval at level 1 − α/(m − i + 1), α = 1 − Confidence, lies beyond the bound as those before it do. At the first that does not the procedure ends, and that
// one and all behind it are judged by its level: kept if the interval is within the bound, else undecided. So the probability that any budget that is
// kept in truth is called a failure is at most α/2 in a run, however many there are. The corrected interval is the printed one, each half
// stretched by the ratio of the normal quantiles: anyone can redo the arithmetic from the report. A budget about several groups corrects for
// them as well.
func judgeAll(budgets []Budget, q *Quality, pools Pools) []Rule {
	trials := make([]trial, len(budgets))
	var order []int
	for i, b := range budgets {
		figures, facts := q, (*PoolFacts)(nil)
		if p, ok := pools[b.Pool]; ok && b.Pool > 0 && p.Quality.tells(b) {
			figures, facts = p.Quality, &p.Facts
		}
		trials[i] = newTrial(b, figures)
		trials[i].rule.Pool = facts
		if t := &trials[i]; len(t.claims) > 0 {
			t.worst = math.Inf(-1)
			for _, c := range t.claims {
				t.worst = max(t.worst, c.beyond())
			}
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(trials[a].p(), trials[b].p()) })
	left := len(order)
	for _, i := range order {
		if trials[i].decide((1-Confidence)/float64(left), left) {
			left--
		}
	}
	rules := make([]Rule, len(trials))
	for i := range trials {
		rules[i] = trials[i].finish()
	}
	return rules
}

// decide gives the verdict at a level, which stands for so many rules, and reports whether it is a failure.
func (t *trial) decide(alpha float64, rules int) bool {
	r := &t.rule
	c := distuv.UnitNormal.Quantile(1 - alpha/(2*float64(len(t.claims))))
	stretch := c / z95
	if r.Budget.Cohort != "" && !r.Budget.ranged() { // the printed interval allows for the pairs already
		stretch = c / distuv.UnitNormal.Quantile(1-(1-Confidence)/(2*float64(len(t.claims))))
	}
	r.CorrectedLow, r.CorrectedHigh = finite(max(0, *r.Value-stretch*(*r.Value-*r.Low))), finite(*r.Value+stretch*(*r.High-*r.Value))
	r.P = finite(t.p())
	r.Detectable = finite(*r.Bound + (c+z80)*t.far)
	within := true
	for _, claim := range t.claims {
		within = within && -claim.beyond() >= c
	}
	head := t.head
	if rules > 1 {
		head += fmt.Sprintf(" (corrected for %d rules: %s to %s)", rules, t.show(*r.CorrectedLow), t.show(*r.CorrectedHigh))
	}
	switch {
	case t.worst > c:
		r.Verdict, r.Says = Fail, head+": "+t.missed+"."
		if r.Budget.action() == Ratchet {
			r.Effect = Refuses
			t.no(r)
		}
		return true
	case within:
		r.Verdict, r.Says = Pass, head+": "+t.kept+"."
	default:
		r.Verdict = Undecided
		r.Says = fmt.Sprintf("%s: the interval reaches over it, so neither can be said; a true value of %s would be called four times in five.", head, t.show(*r.Detectable))
	}
	return false
}

// finish completes what the rule says.
func (t *trial) finish() Rule {
	r, b := t.rule, t.rule.Budget
	if r.Effect == "" {
		r.Effect = effect(r.Verdict, b.action())
	}
	if len(r.Unjudged) > 0 && len(t.claims) > 0 {
		r.Says += fmt.Sprintf(" Not judged, too few subjects: %s.", strings.Join(r.Unjudged, ", "))
	}
	if r.Pool != nil {
		r.Says += fmt.Sprintf(" Pooled over %s, %s.", plural(r.Pool.Evaluations, "evaluation"), printInterval(r.Pool.Window))
	}
	if b.Owner != "" {
		r.Says += " Owner: " + b.Owner + "."
	}
	if b.Why != "" {
		r.Says += " Why this rule: " + strings.TrimSuffix(b.Why, ".") + "."
	}
	return r
}

// plural is a number of things in words.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// newTrial looks up what a budget speaks of.
func newTrial(b Budget, q *Quality) trial {
	t := trial{rule: Rule{Kind: "budget", Budget: &b}}
	switch {
	case b.ranged():
		t.ranges(b, q)
	case b.Cohort != "":
		t.gap(b, q)
	default:
		t.ratio(b, q)
	}
	return t
}

// tells reports whether the figures that a budget speaks of are among those of q. A pool may lack some that an evaluation has: it holds no group, and no figure, of fewer
// than MinCell subjects.
func (q *Quality) tells(b Budget) bool {
	if q == nil {
		return false
	}
	if b.Against != "" {
		against := b.Against
		if against == string(Live) {
			if q.NoLive != "" {
				return true // the same is said of any pool
			}
			other := q.incumbent(b.Metric, false)
			if other == nil {
				return false
			}
			against = other.Name
		}
		return q.Comparison(b.Metric, All, against) != nil
	}
	c := q.Contender(Candidate)
	if c == nil || c.Estimate(b.Metric, All) == nil {
		return false
	}
	return b.Cohort == "" || q.Cohort(b.Cohort, c.Name, b.Metric) != nil
}

// unmeasured ends a trial about something that was not evaluated. Nothing overlaps with the lists of a live version before there is one: that is no
// fault of the config, and a first version must be able to become it.
func (t *trial) unmeasured(b Budget, q *Quality, what string) {
	if metricOf(b.Metric) == Overlap && q.Contender(Live) == nil {
		t.rule.Verdict = NotJudged
		t.rule.Says = t.rule.Subject + " can't be judged: no live version was evaluated beside it."
		return
	}
	t.rule.Verdict = NotMeasurable
	t.rule.Says = fmt.Sprintf("%s was not measured: the budget speaks of %s.", t.rule.Subject, what)
}

func (t *trial) gap(b Budget, q *Quality) {
	r := &t.rule
	r.Subject = b.Metric + " gap by " + b.Cohort
	candidate := q.Contender(Candidate)
	var f *CohortFigure
	if candidate != nil {
		f = q.Cohort(b.Cohort, candidate.Name, b.Metric)
	}
	if f == nil || f.Overall == nil || (b.RelativeGap == nil) == (b.AbsoluteGap == nil) {
		t.unmeasured(b, q, "a metric or cohort that is not evaluated, or names no gap")
		return
	}
	minN := b.least(q)
	g := f.gap(minN)
	r.Unjudged = g.unjudged
	for i := range f.ByGroup {
		if row := &f.ByGroup[i]; row.judgedAt(minN) {
			r.N += *row.N
		}
	}
	unit, limit := 1.0, b.AbsoluteGap
	t.show = plain
	if b.RelativeGap != nil {
		unit, limit, t.show = *f.Overall, b.RelativeGap, percent
	}
	bound := *limit + b.Margin
	r.Bound = &bound
	if g.groups < 2 || unit == 0 {
		r.Verdict = NotJudged
		r.Says = fmt.Sprintf("%s can't be judged: %d of %d groups have %d subjects or more, and the overall value is %s.",
			r.Subject, g.groups, len(f.ByGroup), minN, plain(*f.Overall))
		return
	}
	// The overall value is taken as known: its own error is small beside that of a difference of two groups.
	r.Value, r.Low, r.High = finite(g.difference/unit), finite(g.low/unit), finite(g.high/unit)
	for _, p := range g.pairs {
		half := z95 * p.error / unit
		t.claims = append(t.claims, claim{p.difference / unit, p.difference/unit - half, p.difference/unit + half, bound, true})
		t.far = max(t.far, p.error/unit)
	}
	t.head = fmt.Sprintf("%s is %s (%s served worst, %s best); the budget is %s", r.Subject, figure(r.Value, r.Low, r.High, t.show), g.worst, g.best, b.within(*limit, t.show))
	t.kept, t.missed = "kept", "exceeded"
	t.no = func(r *Rule) { ratchetGap(r, b, q, minN, t.show) }
}

// ratchetGap lets a failed gap pass as a risk if what is live (or the best baseline) has no smaller one.
func ratchetGap(r *Rule, b Budget, q *Quality, minN int, show func(float64) string) {
	other := q.incumbent(b.Metric, false)
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

// incumbent is what a candidate would replace: the live version, or, before there is one, the baseline that is best on the metric: of the lowest value
// where low, else of the highest.
func (q *Quality) incumbent(metric string, low bool) *ContenderQuality {
	if live := q.Contender(Live); live != nil {
		return live
	}
	var out *ContenderQuality
	var top float64
	for i := range q.Contenders {
		c := &q.Contenders[i]
		e := c.Estimate(metric, All)
		if c.Role != Baseline || e == nil || e.Value == nil {
			continue
		}
		if out == nil || low && *e.Value < top || !low && *e.Value > top {
			out, top = c, *e.Value
		}
	}
	return out
}

func (t *trial) ratio(b Budget, q *Quality) {
	r := &t.rule
	against, note := b.Against, ""
	if b.Against == string(Live) {
		other := q.incumbent(b.Metric, false)
		switch {
		case q.NoLive != "":
			r.Subject, r.Verdict = b.Metric+" against live", NotJudged
			r.Says = fmt.Sprintf("%s against live can't be judged: %s.", b.Metric, q.NoLive)
			return
		case other == nil:
			r.Subject, r.Verdict = b.Metric+" against live", NotJudged
			r.Says = b.Metric + " against live can't be judged: there is no live version, and no baseline was evaluated."
			return
		case other.Role == Baseline:
			note, r.Instead = " (the best baseline, as nothing was live when the interval ended)", other.Name
		}
		against = other.Name
	}
	r.Subject = b.Metric + " against " + against + note
	c := q.Comparison(b.Metric, All, against)
	if c == nil || b.Ratio == nil {
		t.unmeasured(b, q, "a metric or contender that is not evaluated, or names no ratio")
		return
	}
	minN := b.least(q)
	bound := *b.Ratio - b.Margin
	r.N, r.Bound, r.Value, r.Low, r.High = c.N, &bound, c.Ratio, c.RatioLow, c.RatioHigh
	if c.N < minN || c.Ratio == nil || c.RatioLow == nil {
		r.Verdict = NotJudged
		r.Says = fmt.Sprintf("%s can't be judged: %d subjects (%d are needed), or the other is too often at zero for a ratio.", r.Subject, c.N, minN)
		return
	}
	t.claims = []claim{{*c.Ratio, *c.RatioLow, *c.RatioHigh, bound, false}}
	t.show, t.far = percent, -(*c.RatioHigh-*c.RatioLow)/(2*z95)
	t.head = fmt.Sprintf("%s is %s of it; the budget is at least %s", r.Subject, figure(r.Value, r.Low, r.High, percent), b.within(*b.Ratio, percent))
	t.kept, t.missed = "kept", "missed"
	t.no = func(r *Rule) { ratchetRatio(r, b, q) }
}

// ratchetRatio lets a missed ratio pass as a risk if the candidate is no worse than what it would replace.
func ratchetRatio(r *Rule, b Budget, q *Quality) {
	other := q.incumbent(b.Metric, false)
	if other == nil {
		return
	}
	if c := q.Comparison(b.Metric, All, other.Name); c != nil && c.Difference != nil && *c.Difference >= 0 {
		r.Effect = Accepted
		r.Says += fmt.Sprintf(" It is no worse than %s: accepted as a risk.", other.Name)
	}
}

// ranges judges a metric, over all or in each group of a cohort, against at_least or at_most. Of groups, what is printed is the one furthest
// beyond, or nearest to, the bound.
func (t *trial) ranges(b Budget, q *Quality) {
	r := &t.rule
	r.Subject = b.Metric
	if b.Cohort != "" {
		r.Subject += " by " + b.Cohort
	}
	limit, most, word := b.AtLeast, false, "at least"
	if b.AtMost != nil {
		limit, most, word = b.AtMost, true, "at most"
	}
	candidate := q.Contender(Candidate)
	if candidate == nil || limit == nil {
		t.unmeasured(b, q, "a metric that is not evaluated")
		return
	}
	bound := *limit - b.Margin
	if most {
		bound = *limit + b.Margin
	}
	r.Bound = &bound
	minN := b.least(q)
	levels, claims, faults := rangeClaims(b, q, candidate.Name, claim{bound: bound, most: most}, minN)
	if faults != "" {
		t.unmeasured(b, q, faults)
		return
	}
	r.N, r.Unjudged = claims.n, claims.unjudged
	if len(claims.all) == 0 {
		r.Verdict = NotJudged
		r.Says = fmt.Sprintf("%s can't be judged: too few subjects (%d are needed).", r.Subject, minN)
		return
	}
	at := 0
	for i, c := range claims.all {
		if c.beyond() > claims.all[at].beyond() {
			at = i
		}
	}
	worst := claims.all[at]
	t.claims, t.show = claims.all, plain
	t.far = (worst.high - worst.low) / (2 * z95)
	if !most {
		t.far = -t.far
	}
	r.Value, r.Low, r.High = &worst.value, &worst.low, &worst.high
	where := ""
	if b.Cohort != "" {
		where = " for " + levels[at] + ", of all groups the nearest to its bound or beyond it"
	}
	t.head = fmt.Sprintf("%s is %s%s; the budget is %s %s", r.Subject, figure(r.Value, r.Low, r.High, plain), where, word, b.within(*limit, plain))
	t.kept, t.missed = "kept", "missed"
	t.no = func(r *Rule) {
		other := q.incumbent(b.Metric, most)
		if other == nil {
			return
		}
		_, theirs, faults := rangeClaims(b, q, other.Name, claim{bound: bound, most: most}, minN)
		if faults != "" || len(theirs.all) == 0 {
			return
		}
		value := theirs.all[0].value
		for _, c := range theirs.all {
			if most == (c.value > value) {
				value = c.value
			}
		}
		if most && *r.Value <= value || !most && *r.Value >= value {
			r.Effect = Accepted
			r.Says += fmt.Sprintf(" It is no worse than that of %s (%s): accepted as a risk.", other.Name, plain(value))
		}
	}
}

// ranged are the claims of a range, a group each, or one.
type ranged struct {
	all      []claim
	n        int
	unjudged []string
}

// rangeClaims reads the figures of one contender that a range speaks of. like has the bound.
func rangeClaims(b Budget, q *Quality, contender string, like claim, minN int) (levels []string, out ranged, fault string) {
	if b.Cohort == "" {
		var e *Estimate
		for i := range q.Contenders {
			if q.Contenders[i].Name == contender {
				e = q.Contenders[i].Estimate(b.Metric, All)
			}
		}
		if e == nil {
			return nil, out, "a metric that is not evaluated"
		}
		if out.n = e.N; e.N >= minN && e.Value != nil && e.Low != nil && e.High != nil {
			like.value, like.low, like.high = *e.Value, *e.Low, *e.High
			out.all = []claim{like}
		}
		return []string{""}, out, ""
	}
	f := q.Cohort(b.Cohort, contender, b.Metric)
	if f == nil {
		return nil, out, "a metric or cohort that is not evaluated"
	}
	for i := range f.ByGroup {
		g := &f.ByGroup[i]
		if !g.judgedAt(minN) {
			out.unjudged = append(out.unjudged, g.Level)
			continue
		}
		like.value, like.low, like.high = *g.Value, *g.Value-z95**g.StandardError, *g.Value+z95**g.StandardError
		levels, out.all, out.n = append(levels, g.Level), append(out.all, like), out.n+*g.N
	}
	return levels, out, ""
}
