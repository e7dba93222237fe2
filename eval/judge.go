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
	// LeftOut are the other intervals of the pool's length, by why their evaluations are not among them, in the order of Omissions.
	LeftOut []Unpooled `json:"left_out,omitempty"`
}

// Unpooled says of how many intervals a pool holds no figures.
type Unpooled struct {
	Why       Omission `json:"why"`
	Intervals int      `json:"intervals"`
}

// Omission is why an interval is not in a pool.
type Omission string

// The omissions.
const (
	NotEvaluated     Omission = "not_evaluated"     // no version was judged on it
	FiguresGone      Omission = "figures_gone"      // its evaluation was removed since
	NotKept          Omission = "not_kept"          // no budget asked for its figures then
	OtherDefinitions Omission = "other_definitions" // its figures are of another protocol, other lists, bounds of groups or attributes, though they have the same names
	OtherContenders  Omission = "other_contenders"  // it was measured beside others, as before anything was live, or by other metrics
	OtherDraws       Omission = "other_draws"       // its intervals are of another seed, or of so many replicates
)

// Omissions are all of them, in the order in which they are told.
var Omissions = []Omission{NotEvaluated, FiguresGone, NotKept, OtherDefinitions, OtherContenders, OtherDraws}

// says is the omission of some intervals in words.
func (l Unpooled) says() string {
	return plural(l.Intervals, "interval") + " " + map[Omission]string{
		NotEvaluated: "without an evaluation", FiguresGone: "whose evaluation was removed", NotKept: "evaluated before a budget asked for a pool",
		OtherDefinitions: "evaluated by other definitions", OtherContenders: "evaluated beside other contenders", OtherDraws: "evaluated with another seed",
	}[l.Why]
}

// leftOut is what a pool left out, a reason each.
func (p *PoolFacts) leftOut() (out []string) {
	for _, l := range p.LeftOut {
		out = append(out, l.says())
	}
	return out
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

// atBound widens the interval of the mean of n values between 0 and 1 on the side that faces the bound to what it would be if the mean were the bound. The
// spread of what is rarely above 0 goes with its mean, roughly as m(1 − m): where few lists hit, too few may have by chance, and then they seem to be few for
// sure. Where none has, or all have, the spread is taken for the largest that values of that mean can have.
func (c *claim) atBound(n int) {
	there, here := c.bound*(1-c.bound), c.value*(1-c.value)
	if !(there > 0) {
		return
	}
	half := z95 * math.Sqrt(there/float64(n))
	if here > 0 {
		half = (c.high - c.low) / 2 * max(1, math.Sqrt(there/here))
	}
	if c.value < c.bound {
		c.high = max(c.high, c.value+half)
	} else {
		c.low = min(c.low, c.value-half)
	}
}

// quotient is a mean over another, of the same people: the two, and the variances and the covariance of their errors.
type quotient struct{ x, y, xx, yy, xy float64 }

// quotient is what a comparison is of. ok is false where one of the two is not known, or the other is too near to zero for a ratio.
func (q *Quality) quotient(c *Comparison) (r quotient, ok bool) {
	var mine, theirs *Estimate
	for i := range q.Contenders {
		switch x := &q.Contenders[i]; {
		case x.Role == Candidate:
			mine = x.Estimate(c.Metric, All)
		case x.Name == c.Against:
			theirs = x.Estimate(c.Metric, All)
		}
	}
	if c.StandardError == nil {
		return r, false
	}
	for _, e := range []*Estimate{mine, theirs} {
		if e == nil || e.Value == nil || e.StandardError == nil {
			return r, false
		}
	}
	r = quotient{x: *mine.Value, y: *theirs.Value, xx: *mine.StandardError * *mine.StandardError, yy: *theirs.StandardError * *theirs.StandardError}
	r.xy = (r.xx + r.yy - *c.StandardError**c.StandardError) / 2
	return r, r.y > z95*math.Sqrt(r.yy)
}

// off is the standard error of x − bound·y.
func (r quotient) off(bound float64) float64 {
	return math.Sqrt(max(0, r.xx-2*bound*r.xy+bound*bound*r.yy))
}

// interval holds the ratios that z standard errors of x − ratio·y do not exclude (Fieller 1954). Where y itself may be zero there is no upper end.
func (r quotient) interval(z float64) (low, high float64) {
	a, b, c := r.y*r.y-z*z*r.yy, r.x*r.y-z*z*r.xy, r.x*r.x-z*z*r.xx
	root := math.Sqrt(max(0, b*b-a*c))
	switch {
	case a > 0:
		return max(0, (b-root)/a), (b + root) / a
	case c > 0: // of the roots one lies below zero, and ratios above the other are not excluded
		return c / (b + root), math.Inf(1)
	}
	return 0, math.Inf(1)
}

// claim is that the ratio is at least the bound, in standard errors of x − bound·y. It is no surer than that y is above zero, or for a ratio above the
// bound x.
func (r quotient) claim(bound float64) claim {
	const most = 1e6
	z := most
	if off := bound*r.y - r.x; off != 0 {
		z = min(most, math.Abs(off)/r.off(bound))
		sure := r.y / math.Sqrt(r.yy)
		if off < 0 && r.xx > 0 {
			sure = max(sure, r.x/math.Sqrt(r.xx))
		}
		z = math.Copysign(min(z, sure), off)
	} else if r.off(bound) > 0 {
		z = 0
	} else {
		z = -most // it is the bound, and known exactly: kept
	}
	return claim{-z, -z - z95, -z + z95, 0, false}
}

// trial is one budget on its way to a verdict: how its rule stands before the correction, and the claims that it comes to.
type trial struct {
	rule   Rule
	claims []claim // none: it can't be judged, and the rule says why
	worst  float64 // the largest of their beyond
	show   func(float64) string
	head   string
	far    float64                             // what turns a distance of one standard error into the unit of the bound
	within func(z float64) (low, high float64) // the interval that so many standard errors make; nil: the printed one, stretched
	kept   string                              // what is said of a pass and of a failure
	missed string
	no     func(*Rule) // what ratchet does with a failure
	called float64     // by how many standard errors a claim must be beyond its bound to be called missed
}

// p is the two-sided probability of the worst claim's value if it were on its bound, over as many claims as there are (Bonferroni).
func (t *trial) p() float64 {
	return min(1, 2*distuv.UnitNormal.Survival(t.worst)*float64(len(t.claims)))
}

// judgeAll judges all budgets of a run together, by Holm's procedure (1979): with m budgets that can be judged, ordered by p, the i-th is called a
// failure if its interval at level 1 − α/(m − i + 1), α = 1 − Confidence, lies beyond the bound as those before it do. At the first that does not the procedure ends, and that
// one and all behind it are judged by its level: kept if the interval is within the bound, else undecided. So the probability that any budget that is
// kept in truth is called a failure is at most α/2 in a run, however many there are. The corrected interval is the printed one, each half
// stretched by the ratio of the normal quantiles, and of a ratio Fieller's, from the two values, their standard errors and that of their difference: anyone
// can redo the arithmetic from the report. Bootstrap percentiles of ratios would not do: where the other has few hits they lie too close, and stretching them
// does not help. A budget about several groups corrects for them as well.
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
	t.called = c
	stretch := c / z95
	if r.Budget.Cohort != "" && !r.Budget.ranged() { // the printed interval allows for the pairs already
		stretch = c / distuv.UnitNormal.Quantile(1-(1-Confidence)/(2*float64(len(t.claims))))
	}
	low, high := max(0, *r.Value-stretch*(*r.Value-*r.Low)), *r.Value+stretch*(*r.High-*r.Value)
	if t.within != nil {
		low, high = t.within(c)
	}
	r.CorrectedLow, r.CorrectedHigh = finite(low), finite(high)
	r.P = finite(t.p())
	r.Detectable = finite(*r.Bound + (c+z80)*t.far)
	within := true
	for _, claim := range t.claims {
		within = within && -claim.beyond() >= c
	}
	head := t.head
	if rules > 1 {
		upper := "any value above"
		if r.CorrectedHigh != nil {
			upper = t.show(*r.CorrectedHigh)
		}
		head += fmt.Sprintf(" (corrected for %d rules: %s to %s)", rules, t.show(*r.CorrectedLow), upper)
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
		if left := r.Pool.leftOut(); len(left) > 0 {
			r.Says += " Left out: " + strings.Join(left, "; ") + "."
		}
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
	of, ok := q.quotient(c)
	r.N, r.Bound, r.Value = c.N, &bound, c.Ratio
	if c.known() < minN || c.Ratio == nil || !ok {
		r.Verdict = NotJudged
		r.Says = fmt.Sprintf("%s can't be judged: %d subjects (%d are needed), or the other is too near to zero for a ratio.", r.Subject, c.N, minN)
		return
	}
	low, high := of.interval(z95)
	r.Low, r.High = &low, &high
	t.claims, t.within = []claim{of.claim(bound)}, of.interval
	t.show, t.far = percent, -of.off(bound)/of.y
	t.head = fmt.Sprintf("%s is %s of it; the budget is at least %s", r.Subject, figure(r.Value, r.Low, r.High, percent), b.within(*b.Ratio, percent))
	t.kept, t.missed = "kept", "missed"
	t.no = func(r *Rule) { ratchetRatio(r, b, q) }
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
	t.no = func(r *Rule) { ratchetRange(r, b, q, minN, most, levels, t.missing()) }
}

// claimed is a claim and its place among those of its trial.
type claimed struct {
	claim
	at int
}

// missing are the claims that the last decision called missed.
func (t *trial) missing() (out []claimed) {
	for i, c := range t.claims {
		if c.beyond() > t.called {
			out = append(out, claimed{c, i})
		}
	}
	return out
}

// ranged are the claims of a range, a group each, or one.
type ranged struct {
	all      []claim
	n        int
	unjudged []string
}

// rangeClaims reads the figures of one contender that a range speaks of. like has the bound.
func rangeClaims(b Budget, q *Quality, contender string, like claim, minN int) (levels []string, out ranged, fault string) {
	rare := slices.Contains(hitMetrics, metricOf(b.Metric))
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
		if out.n = e.N; e.known() >= minN && e.Value != nil && e.Low != nil && e.High != nil {
			like.value, like.low, like.high = *e.Value, *e.Low, *e.High
			if rare {
				like.atBound(e.N)
			}
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
		if rare {
			like.atBound(*g.N)
		}
		levels, out.all, out.n = append(levels, g.Level), append(out.all, like), out.n+*g.N
	}
	return levels, out, ""
}
