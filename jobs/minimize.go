package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// Minimizing says how a job's ledger of what each field is worth is made. It is in no key.
type Minimizing struct {
	Due    schedule.Schedule // when serve makes one; zero: it is made only when somebody asks for it
	Budget time.Duration     // of one; 0: no limit
	Sample int               // people whose data are looked at, at most; 0: all
	Margin float64           // the largest relative loss that is taken for none; 0: defaultMargin
	// Sensitive are the columns, by data set, of which the project says that they tell much of people: they are tried before others.
	Sensitive map[string][]string
}

// defaultMargin is a loss of half a per cent: what remedies for unequal lists may cost, too.
const defaultMargin = 0.005

func (m *Minimizing) sensitive(set, column string) bool {
	return slices.Contains(m.Sensitive[set], column)
}

// Minimized is a ledger of what each field of a job's data is worth to its lists, beside what it tells of people. It is kept under minimization/.
type Minimized struct {
	Experiment
	eval.Minimization
	Drop Drop `json:"drop"` // what a project file can say of the proposal
}

// Drop is what a project says of what it does without.
type Drop struct {
	Window time.Duration       `json:"window,omitempty"` // train.window; 0: as it is
	Reads  map[string][]string `json:"reads,omitempty"`  // columns that the training purpose need not read, by data set
	Hand   []string            `json:"hand,omitempty"`   // what no key says
}

// Empty reports whether a project file would stay as it is.
func (d *Drop) Empty() bool { return d.Window == 0 && len(d.Reads) == 0 }

// ErrMinimize says that a ledger was asked for that cannot be made.
var ErrMinimize = errors.New("nothing to minimize")

// minimizations is the folder of ledgers.
const minimizations = "minimization"

// Minimize finds what each field of a job's data is worth: the model is trained without it and judged beside the model as it stands, on the same people
// (experiment), and what the field tells of people is counted among those whose data are looked at. What tells most comes first, and what the
// budget does not reach is named. What can be dropped by itself is then tried all at once. Nothing is trained for use, registered or published.
//
// The budget is looked at between trainings, so that it may be overrun by one. When ctx ends, what was found so far is the outcome. Memory: that of an
// experiment, and half a training set.
func (r *Runner) Minimize(ctx context.Context, job *Job, iv table.Interval, o Minimizing) (*Minimized, error) {
	if job.Watched != nil {
		return nil, fmt.Errorf("minimize %s: %w: it trains nothing, and watches %s", job.Name, ErrMinimize, job.Watched.Name)
	}
	o.Margin = cmp.Or(o.Margin, defaultMargin)
	e, err := r.experiment(ctx, job, iv, o.Sample, o.Budget)
	if err != nil {
		return nil, fmt.Errorf("minimize %s: %w", job.Name, err)
	}
	e.job.Minimize, e.job.Views, e.job.Published = o, job.Views, job.Published // the views were left out where only events are read
	if e.task.Rows < eval.MinCell {                                            // their figures would be some person's
		return nil, fmt.Errorf("minimize %s: %w in the validation window: fewer than %d people took anything there that a list may hold", job.Name, ErrNoData, eval.MinCell)
	}
	m := &minimizer{experiment: e}
	if err := m.run(ctx); err != nil {
		return nil, fmt.Errorf("minimize %s: %w", job.Name, err)
	}
	out := &m.out
	if out.Key, err = r.keepLedger(ctx, job.Name, e.label, out); err != nil {
		return nil, fmt.Errorf("minimize %s: %w", job.Name, err)
	}
	return out, nil
}

// minimizer makes one ledger.
type minimizer struct {
	*experiment
	out    Minimized
	rows   []spared
	digest string // of the model as it stands, once somebody has asked
}

func (m *minimizer) run(ctx context.Context) (err error) {
	if m.rows, err = m.spareable(ctx); err != nil {
		return err
	}
	if len(m.rows) == 0 {
		return fmt.Errorf("%w: no attribute is read, no view is built, and there is too little history to shorten", ErrMinimize)
	}
	d := &m.data.Dataset
	m.out.Metric = eval.At(eval.NDCG, m.facts.K)
	m.out.Margin, m.out.People, m.out.Asked = m.job.Minimize.Margin, len(d.Events.Subjects), m.task.Rows
	m.out.Sampled = m.out.People < m.data.facts.NSubjects
	m.out.Cost = itemsCost(d, m.history(), true)
	m.facts.Stopped = stoppedTrials
	for i := range m.rows {
		if s := &m.rows[i]; s.data != nil && !m.judge(ctx, s, int64(i)) {
			break
		}
	}
	m.propose(ctx)
	for i := range m.rows {
		s := &m.rows[i]
		s.Says = m.says(s)
		m.out.Rows = append(m.out.Rows, s.Worth)
	}
	m.out.Says = m.out.Headline()
	m.facts.Seconds = m.Wall().Sub(m.began).Seconds()
	m.out.Experiment = m.facts
	return nil
}

// judge trains without s and fills in what that costs. It reports whether there may be time for another.
func (m *minimizer) judge(ctx context.Context, s *spared, nth int64) bool {
	if !m.left(2) { // this one, and that of all at once
		m.facts.Stopped = stoppedBudget
		return false
	}
	m.Progressed("minimize", s.Family+" "+s.Name, nth, int64(len(m.rows)), "trainings")
	m.try1(ctx, &s.Worth, s.data, s.set != "")
	if ctx.Err() != nil {
		m.facts.Stopped = stoppedInterrupted
		return false
	}
	return true
}

// left reports whether the budget holds so many trainings more, by what the last took. One must have been made before anything is known of that.
func (m *minimizer) left(n int) bool {
	return m.budget <= 0 || m.Wall().Sub(m.began)+time.Duration(n)*(m.training+m.asked) <= m.budget
}

// try1 judges what is learned from data beside the model as it stands. Without a column the model may be the same to the byte, and so are its lists then: no part of it reads
// the column.
func (m *minimizer) try1(ctx context.Context, w *eval.Worth, data func(*models.Dataset) (*models.Dataset, error), column bool) {
	x, err := m.try(ctx, variant{name: "without", data: data, served: true})
	if err != nil {
		if ctx.Err() == nil {
			w.Verdict, w.Says = eval.Failed, err.Error()
		}
		return
	}
	w.Seconds = x.seconds
	q := x.quality
	if q.Queries == nil { // few are left out: how many were asked says how few
		m.out.Asked = q.Evaluated
	}
	if c := q.Contender(eval.Candidate).Estimate(q.Headline, eval.All); c != nil {
		w.Value, w.N = eval.Figure{Value: c.Value, Low: c.Low, High: c.High}, c.N
	}
	if c := q.Contender(eval.Live).Estimate(q.Headline, eval.All); c != nil {
		m.out.Standing = eval.Figure{Value: c.Value, Low: c.Low, High: c.High}
	}
	if c := q.Comparison(q.Headline, eval.All, asItStands); c != nil && c.Ratio != nil && c.RatioLow != nil && c.RatioHigh != nil {
		value, low, high := 1-*c.Ratio, 1-*c.RatioHigh, 1-*c.RatioLow
		w.Loss = eval.Figure{Value: &value, Low: &low, High: &high}
	}
	w.Judge(m.job.Minimize.Margin)
	w.Groups = m.groups(x)
	if column && slices.EqualFunc(x.own, x.standing, func(a, b float64) bool { return a == b || a != a && b != b }) { // NaN: nothing was asked
		if same, err := m.same(x.model); err != nil {
			w.Verdict, w.Says = eval.Failed, err.Error()
		} else if same {
			w.Verdict = eval.Unread
		}
	}
}

// same reports whether a model is the one as it stands, to the byte.
func (m *minimizer) same(x models.Model) (bool, error) {
	_, digest, err := models.Encode(x)
	if err != nil || m.digest != "" {
		return digest == m.digest, err
	}
	_, m.digest, err = models.Encode(m.stands.model)
	return digest == m.digest, err
}

// groups is the loss of each group that is judged.
func (m *minimizer) groups(x *outcome) (out []eval.GroupLoss) {
	for _, c := range m.task.Cohorts {
		f := x.quality.Cohort(c.Name, asItStands, x.quality.Headline)
		if f == nil {
			continue
		}
		for _, g := range f.ByGroup {
			if g.Status != eval.Judged {
				continue
			}
			level := int32(slices.Index(c.Levels, g.Level)) // Missing is none of them
			loss, n := eval.RelativeLoss(x.own, x.standing, func(row int) bool { return c.Of[row] == level })
			out = append(out, eval.GroupLoss{Cohort: c.Name, Level: g.Level, N: n, Loss: loss})
		}
	}
	return out
}

// propose tries all at once what can be dropped by itself and is read by nothing else (without another column, the model may turn to one that it did not read); of lengths of history and of precisions of time the one that stores
// least. As long as it loses too much, and there is time, it does without the one that loses most.
func (m *minimizer) propose(ctx context.Context) {
	var drop, free []*spared
	least := map[string]*spared{}
	for i := range m.rows {
		s := &m.rows[i]
		switch {
		case s.only || len(s.Used) > 0:
		case s.Verdict == eval.Unread && s.data == nil && s.set != "":
			free = append(free, s)
		case s.Verdict != eval.Droppable && (s.Verdict != eval.Unread || s.data == nil):
		case s.Family == familyHistory || s.Family == familyTime:
			if o := least[s.Family]; o == nil || s.stores() < o.stores() {
				least[s.Family] = s
			}
		default:
			drop = append(drop, s)
		}
	}
	for _, family := range []string{familyHistory, familyTime} {
		if s := least[family]; s != nil {
			drop = append(drop, s)
		}
	}
	if len(drop)+len(free) == 0 || ctx.Err() != nil {
		return
	}
	p := &eval.Proposal{Drop: []string{}, Without: []string{}}
	for len(drop) > 1 {
		if !m.left(1) { // nothing is known of them together: the first that tells of people
			keep := max(0, slices.IndexFunc(drop, func(s *spared) bool { return s.About == aboutPeople }))
			for i, s := range drop {
				if i != keep {
					p.Without = append(p.Without, m.deed(s))
				}
			}
			drop, m.facts.Stopped = drop[keep:keep+1], stoppedBudget
			break
		}
		m.Progressed("minimize", "all at once", int64(len(m.rows)), int64(len(m.rows)), "trainings")
		p.Judged = eval.Worth{Family: eval.AllAtOnce, Name: eval.AllAtOnce, About: aboutPeople, Used: []string{}, Cost: eval.PrivacyCost{Coarser: []eval.Coarser{}}}
		m.try1(ctx, &p.Judged, m.together(drop), false)
		if ctx.Err() != nil {
			m.facts.Stopped = stoppedInterrupted
			return
		}
		if p.Judged.Verdict == eval.Droppable {
			break
		}
		worst := slices.MaxFunc(drop, worse)
		p.Without = append(p.Without, m.deed(worst))
		drop = slices.DeleteFunc(drop, func(s *spared) bool { return s == worst })
	}
	switch len(drop) {
	case 0:
		none := 0.0
		p.Judged = eval.Worth{Family: eval.AllAtOnce, Name: eval.AllAtOnce, About: aboutPeople, Used: []string{}, Verdict: eval.Unread, Loss: eval.Figure{Value: &none, Low: &none, High: &none}, Cost: eval.PrivacyCost{Coarser: []eval.Coarser{}}}
	case 1:
		p.Judged = drop[0].Worth
	}
	m.out.Proposal = p
	for _, s := range append(drop, free...) {
		p.Drop = append(p.Drop, m.deed(s))
		m.drop(s)
	}
	p.Judged.Says = p.Judged.Costs(m.out.Metric)
}

// worse orders what is droppable by itself by what is rather kept: what may lose more, and of as much what tells less of people.
func worse(a, b *spared) int {
	return cmp.Or(cmp.Compare(*a.Loss.High, *b.Loss.High), cmp.Compare(btoi(b.Sensitive), btoi(a.Sensitive)), cmp.Compare(b.Cost.Unique.Value, a.Cost.Unique.Value))
}

// stores is how much is stored, or told, without s.
func (s *spared) stores() float64 {
	if s.Family == familyTime {
		return s.Cost.Unique.Value
	}
	return s.Cost.Kept.Value
}

// together does without all of them.
func (m *minimizer) together(drop []*spared) func(*models.Dataset) (*models.Dataset, error) {
	all := slices.Clone(drop)
	return func(d *models.Dataset) (*models.Dataset, error) {
		for _, s := range all {
			var err error
			if d, err = s.data(d); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
}

// drop takes s into what a project file would say.
func (m *minimizer) drop(s *spared) {
	d := &m.out.Drop
	switch {
	case s.keep > 0:
		d.Window = s.keep + m.job.Last // as much was learned from before the test window
		d.Hand = append(d.Hand, fmt.Sprintf("purposes.%s.keep.events may be %s then, where nothing else that is made for it needs more", m.job.Training.Name, features.FormatWindow(d.Window)))
	case s.column != "":
		if d.Reads == nil {
			d.Reads = map[string][]string{}
		}
		d.Reads[s.set] = append(d.Reads[s.set], s.column)
	default:
		d.Hand = append(d.Hand, m.deed(s)+": no key says so; the source that is handed over can")
	}
}

// deed says in words what doing without s is.
func (m *minimizer) deed(s *spared) string {
	switch {
	case s.keep > 0:
		return fmt.Sprintf("storing %s instead of %s", days(s.keep), days(m.reach()))
	case s.Family == familyHistory && s.only:
		return "storing " + eval.OfEach(s.Name)
	case s.Family == familyHistory:
		return "storing the " + eval.OfEach(s.Name)
	case s.Family == familyTime:
		return "telling times " + s.Name
	case s.Family == familyViews:
		return "building no view " + s.Name
	case s.set == "events" && s.data != nil && s.Name == event.ColKind:
		return "weighing every kind of event alike"
	case s.set == "events":
		return "not reading the column " + s.Name + " of events"
	}
	return fmt.Sprintf("not reading the attribute %s of %s", s.Name, s.About)
}

// reach is how far back there are events, in whole days.
func (m *minimizer) reach() time.Duration {
	const day = 24 * time.Hour
	c, first := m.data.Cuts, m.data.Cuts.Test
	eachHistory(&m.data.Dataset, func(h models.History) {
		if h.Len() > 0 {
			first = min(first, h.Time[0])
		}
	})
	d := time.Duration(c.Test-max(first, c.Base)) * time.Microsecond
	return (d + day - 1).Truncate(day)
}

func days(d time.Duration) string {
	return fmt.Sprintf("%g days", d.Hours()/24)
}

// says is a row in a sentence.
func (m *minimizer) says(s *spared) string {
	switch s.Verdict {
	case eval.Unread:
		return m.deed(s) + " leaves the lists as they are: the model does not read it"
	case eval.NotReached:
		return m.deed(s) + " was not judged: the budget of time was spent"
	case eval.Failed:
		return m.deed(s) + " cannot be judged: " + s.Says
	}
	return m.deed(s) + " " + s.Costs(m.out.Metric)
}
