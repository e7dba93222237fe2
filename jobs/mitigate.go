package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage/table"
)

// Mitigating says which gap is looked at, and what may be spent on making it smaller.
type Mitigating struct {
	Cohort   string            // as the job evaluates it; "": that of a budget, else the one with the largest relative gap
	K        int               // gaps and losses are of nDCG@K; 0: the job's first length
	Only     []eval.RemedyKind // empty: all
	MostLoss float64           // of the metric, as a share of it, that a proposed remedy may cost: its whole interval lies within
	Subjects int               // that are trained on and asked, at most; 0: all
	Budget   time.Duration     // of the whole; 0: no limit
}

// Mitigated is what remedies would cost and bring. It is committed as an object under mitigation/.
type Mitigated struct {
	Experiment
	eval.Mitigation
	// Remedy is what the proposed remedy is in a project file; nil: none is proposed.
	Remedy *Remedy `json:"remedy"`
}

// Remedy is a change of a project file: of the lists of the job's model, or of its training. One field is set.
type Remedy struct {
	Reweight  *Reweight        `json:"reweight,omitempty"`
	Calibrate *lists.Calibrate `json:"calibrate,omitempty"`
	AtMost    *lists.Limit     `json:"at_most,omitempty"`
	AtLeast   *lists.Floor     `json:"at_least,omitempty"`
	Fresh     *lists.Fresh     `json:"fresh,omitempty"`
}

// remedy is one that may be tried.
type remedy struct {
	eval.Remedy
	change Remedy
	try    variant
}

// mitigations is where outcomes stand.
const mitigations = "mitigation"

// Mitigate measures what remedies against the gap between groups of a cohort cost and bring: other weights of events in training, lists that are spread as
// histories are, and places for items that are shown less than they are taken. Each is tried on the job's training set under the policy of now, and judged on
// the validation window beside the model as it stands, on the same people. Nothing is registered or published: the outcome is an object under mitigation/.
//
// An error wraps ErrMitigate where what is asked for needs another declaration. The budget is looked at between remedies; those that train come last. When
// ctx ends, what was found so far is the outcome.
func (r *Runner) Mitigate(ctx context.Context, job *Job, iv table.Interval, o Mitigating) (*Mitigated, error) {
	if err := o.check(job); err != nil {
		return nil, fmt.Errorf("mitigate %s: %w", job.Name, err)
	}
	e, err := r.experiment(ctx, o.measured(job), iv, o.Subjects, o.Budget)
	if err != nil {
		return nil, fmt.Errorf("mitigate %s: %w", job.Name, err)
	}
	out := &Mitigated{Experiment: e.facts}
	if err := e.mitigate(ctx, o, out); err != nil {
		return nil, fmt.Errorf("mitigate %s: %w", job.Name, err)
	}
	if out.Key, err = r.keep(ctx, mitigations, job.Name, e.label, out); err != nil {
		return nil, fmt.Errorf("mitigate %s: %w", job.Name, err)
	}
	page := eval.MitigationPage{Mitigation: &out.Mitigation, Model: out.Model, Job: out.Job, Learned: out.Learned, Judged: out.Judged, Revision: out.Revision}
	if err := r.keepPage(ctx, out.Key, page.WriteHTML); err != nil {
		return nil, fmt.Errorf("mitigate %s: %w", job.Name, err)
	}
	return out, nil
}

// remedyKinds are what may be asked for.
var remedyKinds = []eval.RemedyKind{eval.Calibrating, eval.Capping, eval.Flooring, eval.Freshening, eval.Reweighting}

func (o *Mitigating) check(job *Job) error {
	switch {
	case len(job.Cohort) == 0:
		return fmt.Errorf("%w: the job evaluates no cohort, so that no gap is known: declare evaluate.cohorts", ErrMitigate)
	case o.Cohort != "" && !slices.Contains(job.Cohort, o.Cohort):
		return fmt.Errorf("%w: the job does not evaluate the cohort %s (evaluate.cohorts): there are %s", ErrMitigate, o.Cohort, strings.Join(job.Cohort, ", "))
	case o.K < 0 || o.K > job.K[len(job.K)-1]:
		return fmt.Errorf("%w: ndcg@%d: lists are judged up to a length of %d (evaluate.k)", ErrMitigate, o.K, job.K[len(job.K)-1])
	case !(o.MostLoss >= 0 && o.MostLoss < 1):
		return fmt.Errorf("%w: a largest loss of %g %%: want a share from 0 to under 100 %%", ErrMitigate, 100*o.MostLoss)
	}
	for _, kind := range o.Only {
		if !slices.Contains(remedyKinds, kind) {
			return fmt.Errorf("%w: no remedy is named %s: there are %s", ErrMitigate, kind, words(remedyKinds))
		}
	}
	if slices.Contains(o.Only, eval.Reweighting) {
		cohorts := job.Cohort
		if o.Cohort != "" {
			cohorts = []string{o.Cohort}
		}
		for _, c := range cohorts { // any of them may turn out to have the largest gap
			if err := job.mayTrainOn(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func words(kinds []eval.RemedyKind) string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

// shownBy is how many item attributes the exposure is measured by where the job declares none.
const shownBy = 2

// measured is the job with what remedies are measured by.
func (o *Mitigating) measured(job *Job) *Job {
	out := *job
	out.K = []int{cmp.Or(o.K, job.K[0])}
	if len(out.Judging.Providers) == 0 {
		out.Judging.Providers = job.itemCategories()[:min(shownBy, len(job.itemCategories()))]
	}
	if o.Cohort != "" {
		out.Cohort = []string{o.Cohort}
	}
	return &out
}

// itemCategories are the item attributes that the training reads, but for numbers, titles and times.
func (j *Job) itemCategories() []string {
	if j.Items == nil {
		return nil
	}
	times := []string{j.Model.Lists.Title}
	if n := j.Judging.New; n != nil {
		times = append(times, n.Since)
	}
	if r := j.Model.Lists.Rules; r != nil && r.Fresh != nil {
		times = append(times, r.Fresh.Since)
	}
	var out []string
	for _, c := range j.Training.Reads["items"] {
		if !slices.Contains(j.Items.Numeric, c) && !slices.Contains(times, c) {
			out = append(out, c)
		}
	}
	return out
}

// mitigate tries every remedy.
func (e *experiment) mitigate(ctx context.Context, o Mitigating, out *Mitigated) error {
	out.MostLoss, out.Stopped, out.Remedies, out.NotTried = o.MostLoss, stoppedTrials, []eval.Remedy{}, []eval.Untried{}
	first, err := e.try(ctx, variant{name: "unchanged"})
	if err != nil {
		return err
	}
	q := first.quality
	out.Metric, out.N = q.Headline, q.Evaluated
	if out.Cohort = o.Cohort; out.Cohort == "" {
		out.Cohort, out.Chosen = e.job.chosen(q)
	}
	var none float64
	out.Stands = eval.Remedy{Name: asItStands, Change: eval.Figure{Value: &none, Low: &none, High: &none}}
	e.describe(&out.Stands, q, asItStands, out.Cohort)
	all, err := e.remedies(o, out, q)
	if err != nil {
		return err
	}
	changes := map[string]*Remedy{}
	for i, x := range all {
		e.Progressed("mitigate", x.Name, int64(i), int64(len(all)), "remedies")
		if !e.affords(&x.try) {
			out.Stopped = stoppedBudget
			out.NotTried = append(out.NotTried, eval.Untried{Name: x.Name, Why: "the budget of time was spent before"})
			continue
		}
		got, err := e.try(ctx, x.try)
		if ctx.Err() != nil {
			out.Stopped = stoppedInterrupted
			break
		}
		if err != nil {
			return err
		}
		x.Seconds = got.seconds
		e.describe(&x.Remedy, got.quality, x.Name, out.Cohort)
		e.compare(&x.Remedy, out, got)
		changes[x.Name] = &x.change
		out.Remedies = append(out.Remedies, x.Remedy)
	}
	out.Choose()
	out.Remedy = changes[out.Proposed]
	if x := out.Remedy; x != nil && x.Reweight != nil || slices.ContainsFunc(out.Remedies, func(r eval.Remedy) bool { return r.Kind == eval.Reweighting }) {
		if len(e.job.tableParts(out.Cohort)) > 0 {
			out.Purpose = e.job.Mitigation.Name
		}
	}
	out.Seconds = e.Wall().Sub(e.began).Seconds()
	return nil
}

// chosen is the cohort that is looked at where none is asked for, and why: that whose gap a budget bounds, for somebody has said that it matters; of
// several, and where there is none or none that can be compared, the one with the largest relative gap.
func (j *Job) chosen(q *eval.Quality) (cohort, why string) {
	var bounded []string
	for _, b := range j.Budgets {
		if (b.RelativeGap != nil || b.AbsoluteGap != nil) && !slices.Contains(bounded, b.Cohort) {
			bounded = append(bounded, b.Cohort)
		}
	}
	name := widest(q, bounded)
	switch {
	case name != "" && len(bounded) == 1:
		return name, "a budget bounds it"
	case name != "":
		return name, fmt.Sprintf("it is the widest, in relation to the overall value, of the %d that budgets bound", len(bounded))
	}
	why = fmt.Sprintf("it is the widest, in relation to the overall value, of %d", len(j.Cohort))
	switch name = widest(q, j.Cohort); {
	case name == "":
		return j.Cohort[0], "it is the first: of no cohort can two groups be compared"
	case len(bounded) > 0:
		return name, why + "; of those that budgets bound, no two groups can be compared"
	case len(j.Cohort) == 1:
		return name, "no other cohort is evaluated"
	}
	return name, why + ", and no budget bounds any"
}

// widest is of these cohorts the one with the largest relative gap of the model as it stands; "" where no two groups can be compared.
func widest(q *eval.Quality, of []string) (name string) {
	var most float64
	for _, cohort := range of {
		if f := q.Cohort(cohort, asItStands, q.Headline); f != nil && f.RelativeGap != nil && (name == "" || *f.RelativeGap > most) {
			name, most = cohort, *f.RelativeGap
		}
	}
	return name
}

// describe fills in the figures of a contender.
func (e *experiment) describe(r *eval.Remedy, q *eval.Quality, contender, cohort string) {
	for i := range q.Contenders {
		c := &q.Contenders[i]
		if c.Name != contender {
			continue
		}
		if v := c.Estimate(q.Headline, eval.All); v != nil {
			r.Value = eval.Figure{Value: v.Value, Low: v.Low, High: v.High}
		}
		if v := c.Estimate(eval.At(eval.Coverage, q.K[0]), eval.All); v != nil {
			r.Coverage = v.Value
		}
		if v := c.Estimate(eval.At(eval.Overlap, q.K[0]), eval.All); v != nil {
			r.Same = v.Value
		}
	}
	if f := q.Cohort(cohort, contender, q.Headline); f != nil {
		r.Gap, r.RelativeGap, r.Groups = eval.Figure{Value: f.Difference, Low: f.DifferenceLow, High: f.DifferenceHigh}, f.RelativeGap, f.ByGroup
		for i := range f.ByGroup {
			switch g := &f.ByGroup[i]; {
			case f.Difference == nil || g.Status != eval.Judged:
			case *g.Value == *f.Min:
				r.Worst = g.Level
			case *g.Value == *f.Max:
				r.Best = g.Level
			}
		}
	}
	r.Exposure = []eval.RemedyExposure{}
	for _, p := range q.Providers {
		for _, f := range p.Figures {
			if f.Contender == contender {
				r.Exposure = append(r.Exposure, eval.RemedyExposure{Attribute: p.Attribute, AWRF: f.AWRFTaken, Ratio: f.ExposureRatio})
			}
		}
	}
	for _, c := range q.Content {
		for _, f := range c.Figures {
			if c.Name == newItems && f.Contender == contender {
				r.New = f.Value
			}
		}
	}
}

// compare fills in what a remedy changes, against the model as it stands.
func (e *experiment) compare(r *eval.Remedy, m *Mitigated, got *outcome) {
	if c := got.quality.Comparison(m.Metric, eval.All, asItStands); c != nil && c.Ratio != nil {
		less := func(x *float64) *float64 {
			if x == nil {
				return nil
			}
			v := *x - 1
			return &v
		}
		r.Change = eval.Figure{Value: less(c.Ratio), Low: less(c.RatioLow), High: less(c.RatioHigh)}
	}
	gap := m.Stands.Gap.Value
	if gap == nil || *gap <= 0 {
		return
	}
	if r.Gap.Value != nil {
		cut := 1 - *r.Gap.Value / *gap
		r.Cut = &cut
	}
	worse, n := paired(got.own, got.standing, e.among(m.Cohort, m.Stands.Worst))
	better, k := paired(got.own, got.standing, e.among(m.Cohort, m.Stands.Best))
	if n < 2 || k < 2 {
		return
	}
	closed := (worse.Value - better.Value) / *gap
	half := math.Hypot(worse.High-worse.Value, better.High-better.Value) / *gap // the groups hold different people
	low, high := closed-half, closed+half
	r.Closed = eval.Figure{Value: &closed, Low: &low, High: &high}
}

// among says which rows of the task stand in a group.
func (e *experiment) among(cohort, level string) func(row int) bool {
	for i := range e.task.Cohorts {
		c := &e.task.Cohorts[i]
		if c.Name != cohort {
			continue
		}
		at := int32(slices.Index(c.Levels, level)) // −1 is that of who is in no group, which is eval.Missing
		return func(row int) bool { return c.Of[row] == at }
	}
	return func(int) bool { return false }
}

// The strengths that are tried.
var (
	calibrateWeights = []float64{0.01, 0.03, 0.1, 0.3}
	cappedShares     = []float64{0.3, 0.2, 0.1} // of the places of a page
	flooredShares    = []float64{0.5, 0.75, 1}  // of what was taken of the groups
	freshShares      = []float64{0.05, 0.1, 0.2}
	reweightPowers   = []float64{1, 2, 4, 6}
)

// underExposed is under which exposure per share taken a level has a floor.
const underExposed = 0.8

// remedies are those that may be tried, the cheap ones first; others are named with why they are not.
func (e *experiment) remedies(o Mitigating, out *Mitigated, q *eval.Quality) ([]remedy, error) {
	var all []remedy
	wanted := func(k eval.RemedyKind) bool { return len(o.Only) == 0 || slices.Contains(o.Only, k) }
	without := func(k eval.RemedyKind, why string) {
		out.NotTried = append(out.NotTried, eval.Untried{Name: string(k), Why: why})
	}
	for _, kind := range remedyKinds {
		if !wanted(kind) {
			continue
		}
		var made []remedy
		var why string
		switch kind {
		case eval.Calibrating:
			made, why = e.calibrated()
		case eval.Capping, eval.Flooring:
			switch {
			case len(e.job.Judging.Providers) == 0:
				why = "the training purpose reads no category of items whose exposure could be measured"
			case kind == eval.Capping:
				made = e.capped()
			default:
				made, why = e.floored(q)
			}
		case eval.Freshening:
			made, why = e.freshened()
		case eval.Reweighting:
			var err error
			if made, err = e.weighted(out); errors.Is(err, ErrMitigate) {
				why = strings.TrimPrefix(err.Error(), ErrMitigate.Error()+": ")
			} else if err != nil {
				return nil, err
			}
		}
		if why != "" {
			without(kind, why)
		}
		for i := range made {
			made[i].Kind, made[i].try.name = kind, made[i].Name
		}
		all = append(all, made...)
	}
	return all, nil
}

// rules are the job's rules of lists, to be changed.
func (e *experiment) rules() lists.Rules {
	if r := e.job.Model.Lists.Rules; r != nil {
		return *r
	}
	return lists.Rules{}
}

// lists prints a rule of lists as the project file has it.
func (e *experiment) lists(rule string) string {
	return "models: {" + e.job.Model.Name + ": {lists: {" + rule + "}}}"
}

func (e *experiment) calibrated() (out []remedy, why string) {
	r := e.rules()
	by := e.job.Judging.Calibration
	if r.Calibrate != nil {
		by = r.Calibrate.By
	} else if c := e.job.itemCategories(); by == "" && len(c) > 0 {
		by = c[0]
	}
	if by == "" {
		return nil, "the training purpose reads no category of items that lists could be spread over"
	}
	for _, weight := range calibrateWeights {
		if weight == r.CalibrateWeight() || weight+r.DiversityWeight() >= 1 {
			continue
		}
		with := r
		with.Calibrate = &lists.Calibrate{By: by, Weight: weight}
		out = append(out, remedy{
			Remedy: eval.Remedy{Name: fmt.Sprintf("calibrate by %s, weight %g", by, weight), Strength: weight, Patch: e.lists(fmt.Sprintf("calibrate: {by: %s, weight: %g}", by, weight))},
			change: Remedy{Calibrate: with.Calibrate}, try: variant{rules: &with},
		})
	}
	return out, ""
}

func (e *experiment) capped() (out []remedy) {
	r := e.rules()
	for _, by := range e.job.Judging.Providers {
		tried := -1
		if i := slices.IndexFunc(r.AtMost, func(l lists.Limit) bool { return l.Column == by }); i >= 0 {
			tried = r.AtMost[i].Most
		}
		for _, share := range cappedShares {
			most := int(math.Ceil(share * float64(e.job.Model.Lists.K)))
			if most == tried || slices.ContainsFunc(out, func(x remedy) bool { return *x.change.AtMost == lists.Limit{Column: by, Most: most} }) {
				continue
			}
			with := r
			with.AtMost = slices.DeleteFunc(slices.Clone(r.AtMost), func(l lists.Limit) bool { return l.Column == by })
			with.AtMost = append(with.AtMost, lists.Limit{Column: by, Most: most})
			out = append(out, remedy{
				Remedy: eval.Remedy{Name: fmt.Sprintf("at most %d of one %s", most, by), Strength: float64(most), Patch: e.lists(fmt.Sprintf("at_most: {%s: %d}", by, most))},
				change: Remedy{AtMost: &with.AtMost[len(with.AtMost)-1]}, try: variant{rules: &with},
			})
		}
	}
	return out
}

// floored gives the levels that are shown less than they are taken a share of the places: of as many as people took of them, a part or all.
func (e *experiment) floored(q *eval.Quality) (out []remedy, why string) {
	r := e.rules()
	for _, p := range q.Providers {
		var of []string
		var taken float64
		for _, f := range p.Figures {
			for i, l := range f.Levels {
				if f.Contender == asItStands && l.Level != eval.Missing && p.Levels[i].Taken != nil && l.Ratio.Value != nil && *l.Ratio.Value < underExposed {
					of, taken = append(of, l.Level), taken+*p.Levels[i].Taken
				}
			}
		}
		if len(of) == 0 || taken == 0 {
			continue
		}
		for _, part := range flooredShares {
			f := lists.Floor{Column: p.Attribute, In: of, Share: math.Round(1000*part*taken) / 1000}
			with := r
			with.AtLeast = slices.DeleteFunc(slices.Clone(r.AtLeast), func(l lists.Floor) bool { return l.Column == p.Attribute })
			with.AtLeast = append(with.AtLeast, f)
			if f.Share == 0 || with.Validate() != nil {
				continue
			}
			out = append(out, remedy{
				Remedy: eval.Remedy{Name: fmt.Sprintf("%.4g %% of the places for the %d least shown of %s", 100*f.Share, len(of), p.Attribute), Strength: f.Share, Patch: e.lists(fmt.Sprintf("at_least: {%s: %s}", p.Attribute, FloorText(&f)))},
				change: Remedy{AtLeast: &f}, try: variant{rules: &with},
			})
		}
	}
	if len(out) == 0 {
		why = fmt.Sprintf("no level of %s is shown under %g times as much as it is taken", strings.Join(e.job.Judging.Providers, ", "), underExposed)
	}
	return out, why
}

// FloorText is a floor as a project file has it under its attribute.
func FloorText(f *lists.Floor) string {
	var of []string
	for _, level := range f.In {
		of = append(of, strconv.Quote(level))
	}
	return fmt.Sprintf("{of: [%s], share: %g}", strings.Join(of, ", "), f.Share)
}

func (e *experiment) freshened() (out []remedy, why string) {
	r := e.rules()
	f := cmp.Or(r.Fresh, e.job.Judging.New)
	if f == nil {
		return nil, "nothing says which items are new (evaluate.new or the lists' fresh)"
	}
	for _, share := range freshShares {
		if r.Fresh != nil && r.Fresh.Share == share {
			continue
		}
		with := r
		with.Fresh = &lists.Fresh{Age: f.Age, Since: f.Since, Share: share}
		patch := fmt.Sprintf("fresh: {age: %gd, share: %g", f.Age.Hours()/24, share)
		if f.Since != "" {
			patch += ", since: " + f.Since
		}
		out = append(out, remedy{
			Remedy: eval.Remedy{Name: fmt.Sprintf("new items in %.4g %% of the places", 100*share), Strength: share, Patch: e.lists(patch + "}")},
			change: Remedy{Fresh: with.Fresh}, try: variant{rules: &with},
		})
	}
	return out, ""
}

// mayWeigh refuses weights that would change nothing, or that so few would have that what they change speaks of some person: of those who are learned from,
// hardly anybody has a basis for the purpose of mitigation.
func (e *experiment) mayWeigh() error {
	n := 0
	for _, s := range e.data.Events.Subjects {
		if !e.plan.mitigationDecisions.Of(policy.Subject(s)).Denied() {
			n++
		}
	}
	switch p := e.job.Mitigation; {
	case n == 0:
		return fmt.Errorf("%w: nobody has a basis for %s (%s), so that no event would weigh more or less", ErrMitigate, p.Name, p.Basis)
	case n < eval.MinCell:
		return fmt.Errorf("%w: fewer than %d people have a basis for %s (%s)", ErrMitigate, eval.MinCell, p.Name, p.Basis)
	}
	return nil
}

// weighted lets groups weigh more the worse they are served: a power of the metric over all ÷ that of the group, which is inverse to the gap. A group that
// is too small to be judged weighs 1.
func (e *experiment) weighted(out *Mitigated) (all []remedy, err error) {
	if err := e.job.mayTrainOn(out.Cohort); err != nil {
		return nil, err
	}
	if len(e.job.tableParts(out.Cohort)) > 0 {
		if err := e.mayWeigh(); err != nil {
			return nil, err
		}
	}
	for _, power := range reweightPowers {
		r := &Reweight{Cohort: out.Cohort, Of: map[string]float64{}}
		for _, g := range out.Stands.Groups {
			if g.Status != eval.Judged || g.Value == nil || g.Level == eval.Missing {
				continue
			}
			f := math.Pow(*out.Stands.Value.Value/max(*g.Value, math.SmallestNonzeroFloat32), power)
			f = min(max(f, 1.0/MaxEmphasis), MaxEmphasis)
			r.Of[g.Level] = math.Round(f*1000) / 1000 // as a project file would have it
		}
		if len(r.Of) < 2 {
			return nil, fmt.Errorf("%w: fewer than two groups of %s have enough people to be judged", ErrMitigate, out.Cohort)
		}
		all = append(all, remedy{
			Remedy: eval.Remedy{Name: fmt.Sprintf("reweight by %s, power %g", out.Cohort, power), Strength: power, Patch: fmt.Sprintf("jobs: {%s: {train: {reweight: %s}}}", e.job.Name, r.Text())},
			change: Remedy{Reweight: r}, try: variant{reweight: r},
		})
	}
	return all, nil
}
