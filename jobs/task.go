package jobs

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage/table"
)

// Judging says how a candidate is evaluated beyond what every job says. The zero value is in no key.
type Judging struct {
	Protocol eval.Protocol `json:",omitempty"` // "": temporal
	Cold     int           `json:",omitempty"` // a subject with fewer events before the cut is cold; 0: defaultCold

	Activity []int           `json:",omitempty"` // from how many events on the next group of the cohort begins; nil: three groups of equal size
	Tenure   []time.Duration `json:",omitempty"` // the same since the first event

	Diversity   []string       `json:",omitempty"` // item attributes; nil: those of the list rules
	Calibration string         `json:",omitempty"`
	Providers   []string       `json:",omitempty"` // item attributes whose levels' exposure is measured
	Content     []ContentGroup `json:",omitempty"`
	New         *lists.Fresh   `json:",omitempty"` // what the content "new" is; nil: what the list rules say, or nothing
	Price       string         `json:",omitempty"` // the item attribute whose median is measured on lists
}

// ContentGroup is a group of items, by name.
type ContentGroup struct {
	Name string
	Of   lists.Exclusion // conditions that they all meet
}

// defaultCold is how many events make a subject warm.
const defaultCold = 3

// Cohorts that are made of events. An attribute of that name in the table of cohorts goes before.
const (
	Activity = "activity" // events in the window before the cut
	Tenure   = "tenure"   // time from the first event in the window to the cut
)

// CohortCross stands between the attributes of a cohort that is the intersection of several.
const CohortCross = "+"

// hold divides the training set by the job's protocol, once. Who wants something forgotten is not asked under a protocol that divides their events
// otherwise than by time.
func (w *work) hold(d *dataset) (*eval.Held, error) {
	if d.held != nil {
		return d.held, nil
	}
	h, err := eval.Hold(&d.Dataset, cmp.Or(w.job.Judging.Protocol, eval.Temporal), d.facts.Mask, w.job.Model.Seed)
	if err != nil {
		return nil, err
	}
	d.held = h
	return h, nil
}

// learned is what models learn from: all before its Cuts.Test.
func (w *work) learned(d *dataset) (*models.Dataset, error) {
	if w.job.Judging.Protocol == "" {
		return &d.Dataset, nil
	}
	h, err := w.hold(d)
	if err != nil {
		return nil, err
	}
	return h.Train, nil
}

// groups divides those who will be asked before anything is trained: cohorts by which nobody can be compared are refused while that costs nothing yet.
func (w *work) groups(ctx context.Context) error {
	if w.plan.train.done {
		return nil
	}
	d, err := w.load(ctx)
	if err == nil {
		_, err = w.task(ctx, d)
	}
	if err != nil {
		return fmt.Errorf("evaluate %s: %w", w.label, err)
	}
	return nil
}

// task is what evaluation asks of d, made once.
func (w *work) task(ctx context.Context, d *dataset) (eval.Task, error) {
	if d.task == nil {
		t, err := w.newTask(ctx, d)
		if err != nil {
			return t, err
		}
		d.task = &t
	}
	return *d.task, nil
}

// newTask asks what the protocol asks, of each subject who reads lists of the candidate's. It holds 16 bytes a subject, and 4 for each cohort.
func (w *work) newTask(ctx context.Context, d *dataset) (eval.Task, error) {
	t := eval.Task{
		Catalog: d.Catalog, K: w.job.K, Seed: w.job.Model.Seed, MinN: w.job.MinN, Protocol: cmp.Or(w.job.Judging.Protocol, eval.Temporal), Masked: d.facts.Mask,
		Pool: w.job.poolMetrics(),
	}
	h, err := w.hold(d)
	if err != nil {
		if t.Protocol == eval.Temporal {
			err = fmt.Errorf("%w in the test window, the last %s before %s; a longer split.last takes more", ErrNoData, w.job.Last, w.iv.End.UTC())
		}
		return t, err
	}
	asked := slices.DeleteFunc(slices.Clone(h.Asked), func(a eval.Asked) bool {
		wants := w.plan.wants(policy.Subject(d.Events.Subjects[a.Row]))
		return wants.Unprofiled() || wants.Level == policy.Broad || // reads no list of the candidate's
			t.Protocol != eval.Temporal && (wants.Since > 0 || len(wants.Forget) > 0)
	})
	if len(asked) == 0 {
		return t, fmt.Errorf("%w: everybody with an event in the test window reads lists that are not based on profiling", ErrNoData)
	}
	t.Rows = len(asked)
	t.Subject = func(row int) eval.Subject {
		s := asked[row].Row
		q, relevant := h.Question(asked[row])
		w.honour(d, s, &q)
		return eval.Subject{
			Key: d.Events.Subjects[s], Query: q, Relevant: relevant, Seen: models.Distinct(q.History.Item),
			Cold: q.History.Len() < cmp.Or(w.job.Judging.Cold, defaultCold),
		}
	}
	if t.Items, err = w.itemFacts(d, h); err != nil {
		return t, err
	}
	if t.Cohorts, err = w.cohorts(ctx, w.job.Cohort, d, &t, asked); err != nil {
		return t, err
	}
	for _, c := range t.Cohorts {
		if n := len(c.Levels); n > eval.MaxLevels {
			return t, fmt.Errorf("cohort %s divides those who are asked into %d groups, want at most %d: %s, or leave it out of evaluate.cohorts", c.Name, n, eval.MaxLevels, w.job.CoarserCohort(c.Name))
		}
	}
	return t, nil
}

// CoarserCohort says how a cohort, or one of those that it is the intersection of, comes to have fewer levels.
func (j *Job) CoarserCohort(name string) string {
	var at []string
	for _, part := range strings.Split(name, CohortCross) {
		switch {
		case j.Evaluation != nil && slices.Contains(j.Evaluation.Reads["cohorts"], part):
			at = append(at, "sources.cohorts.coarsen."+part)
		case part != Activity && part != Tenure:
			at = append(at, "sources.events.coarsen."+part)
		}
	}
	return "make it coarser under " + strings.Join(at, " or ") + " (a hierarchy with at_least, a prefix, a width or edges)"
}

// itemFacts is what figures of lists are measured by.
func (w *work) itemFacts(d *dataset, h *eval.Held) (eval.Items, error) {
	n := d.Catalog.Len()
	x := eval.Items{Cold: make([]bool, n), Had: make([]int32, n)}
	until := h.Train.Cuts.Test
	for s := range h.Train.Events.Subjects {
		had := models.Distinct(h.Train.Events.SubjectBetween(s, h.Train.Cuts.Base, until).Item)
		if len(had) > 0 {
			x.Subjects++
		}
		for _, i := range had {
			x.Had[i]++
		}
	}
	for i, had := range x.Had {
		x.Cold[i] = had == 0
	}
	if x.Subjects == 0 {
		x.Had = nil
	}
	measure, err := w.yardstick(d)
	if err != nil {
		return x, err
	}
	x.Measure = measure
	j := &w.job.Judging
	for _, name := range j.Providers {
		col := d.Catalog.Attrs.Cat(name)
		if col == nil {
			return x, fmt.Errorf("evaluate.providers: the items have no text attribute %q", name)
		}
		x.Providers = append(x.Providers, eval.Providers(name, col.Levels, col.Values, x.Had))
	}
	for _, g := range j.Content {
		// Whoever meets all conditions is whom they would exclude.
		stage, err := (&lists.Rules{Exclude: []lists.Exclusion{g.Of}}).Bind(d.Catalog, lists.Options{K: 1})
		if err != nil {
			return x, fmt.Errorf("evaluate.content.%s: %w", g.Name, err)
		}
		group := eval.ItemGroup{Name: g.Name, In: make([]bool, n)}
		for _, i := range stage.Excluded() {
			group.In[i] = true
		}
		x.Content = append(x.Content, group)
	}
	if measure != nil && measure.HasFresh() {
		fresh := eval.ItemGroup{Name: newItems, In: make([]bool, n)}
		for i := range fresh.In {
			fresh.In[i] = measure.IsFresh(int32(i))
		}
		x.Content = append(x.Content, fresh)
	}
	if j.Price != "" {
		col := d.Catalog.Attrs.Num(j.Price)
		if col == nil {
			return x, fmt.Errorf("evaluate.price: the items have no attribute %q that holds numbers: name it under sources.items.numbers, and let the purpose read it", j.Price)
		}
		x.Price = &eval.ItemNumber{Name: j.Price, Of: col.Values}
	}
	return x, nil
}

// newItems is the content that holds new items.
const newItems = "new"

// yardstick is what the diversity, the calibration and the new items of lists are measured by: as declared for evaluation, else as the list rules
// say; nil where neither does. What compares items by a model's vectors says nothing of two models: the report of list rules has that.
func (w *work) yardstick(d *dataset) (*lists.Stage, error) {
	r := &lists.Rules{}
	if own := w.job.Model.Lists.Rules; !own.Off() {
		r = own.Yardstick()
	}
	j := &w.job.Judging
	const any = 0.25 // of no effect on what is measured
	if j.Diversity != nil {
		r.Diversity = &lists.Diversity{By: j.Diversity, Weight: any}
	}
	if j.Calibration != "" {
		r.Calibrate = &lists.Calibrate{By: j.Calibration, Weight: any}
	}
	if j.New != nil {
		r.Fresh = j.New
	}
	if r.Diversity != nil && slices.Contains(r.Diversity.By, lists.Vectors) {
		r.Diversity = nil
	}
	if r.Off() {
		return nil, nil
	}
	stage, err := r.Bind(d.Catalog, lists.Options{K: w.job.K[0], At: d.Cuts.Test, First: d.firstEvents(d.Cuts.Test)})
	if err != nil {
		return nil, fmt.Errorf("what lists are measured by: %w", err)
	}
	return stage, nil
}

// cohorts divides the rows of the task by each of the cohorts.
func (w *work) cohorts(ctx context.Context, names []string, d *dataset, t *eval.Task, asked []eval.Asked) ([]eval.Cohort, error) {
	made := map[string]eval.Cohort{}
	var rows *cohortRows
	past := sync.OnceValue(func() []history { return historiesOf(t) })
	of := func(name string) (eval.Cohort, error) {
		c, ok := made[name]
		if ok {
			return c, nil
		}
		var err error
		if rows == nil {
			if rows, err = w.cohortRows(ctx); err != nil {
				return c, err
			}
		}
		switch {
		case rows.has(name):
			c, err = rows.cohort(name, d, asked)
		case name == Activity:
			c = w.activity(past())
		case name == Tenure:
			c = w.tenure(past())
		case slices.Contains(w.job.textColumns(), name):
			c, err = w.mostOften(ctx, name, d, asked)
		default:
			err = fmt.Errorf("cohort %s: the snapshot of the cohorts has no such column, and the events have none that the training purpose reads", name)
		}
		made[name] = c
		return c, err
	}
	var out []eval.Cohort
	for _, name := range names {
		var parts []eval.Cohort
		for _, part := range strings.Split(name, CohortCross) {
			c, err := of(part)
			if err != nil {
				return nil, err
			}
			parts = append(parts, c)
		}
		out = append(out, eval.Cross(parts...))
	}
	return out, nil
}

// cohortRows is the table of cohorts, of subjects who do not object to that.
type cohortRows struct {
	rows  *table.Batch
	at    map[uint64]int
	facts event.AttributesFacts
}

func (w *work) cohortRows(ctx context.Context) (*cohortRows, error) {
	x := &cohortRows{at: map[uint64]int{}}
	if w.plan.cohorts == nil {
		return x, nil
	}
	var err error
	if x.rows, err = w.snapshotRows(ctx, w.plan.cohorts); err != nil {
		return nil, err
	}
	c, _, err := w.tables.Lookup(ctx, w.plan.cohorts.step.key)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", w.plan.cohorts.step.label, err)
	}
	if x.facts, err = factsOf[event.AttributesFacts](c); err != nil {
		return nil, err
	}
	for i, s := range x.rows.Col("subject").Int {
		if !w.plan.evaluationDecisions.Of(policy.Subject(uint64(s))).Denied() {
			x.at[uint64(s)] = i
		}
	}
	return x, nil
}

func (x *cohortRows) has(name string) bool { return x.rows != nil && x.rows.Col(name) != nil }

// cohort is an attribute of the table. Whoever is not in it, or objects, is in the cohort "missing".
func (x *cohortRows) cohort(name string, d *dataset, asked []eval.Asked) (eval.Cohort, error) {
	if n := x.facts.Ambiguous[name]; n > 0 {
		return eval.Cohort{}, fmt.Errorf("cohort %s: a file of sources.cohorts has two rows that differ in it for %s: give one row a subject in each file (a later file replaces an earlier one)", name, people(n))
	}
	col := x.rows.Col(name)
	levels := make([]string, len(asked))
	for i, a := range asked {
		if r, ok := x.at[d.Events.Subjects[a.Row]]; ok && !col.Null(r) {
			levels[i] = cell(col, r)
		}
	}
	return labelled(name, levels), nil
}

// people prints a number of them, or that it is small.
func people(n int64) string { return smallCount(int(n)) + " people" }

func labelled(name string, levels []string) eval.Cohort {
	for i, l := range levels {
		if l == eval.Missing { // a level that says so is no other
			levels[i] = ""
		}
	}
	c := models.NewCatColumn(name, levels)
	return eval.Cohort{Name: name, Levels: c.Levels, Of: c.Values}
}

// history is how many events a subject had in the window before the cut, and for how long (µs) before it: NaN without an event.
type history struct{ events, since float64 }

// historiesOf asks for every row of the task once.
func historiesOf(t *eval.Task) []history {
	out := make([]history, t.Rows)
	for row := range out {
		q := t.Subject(row).Query
		out[row] = history{events: float64(q.History.Len()), since: math.NaN()}
		if q.History.Len() > 0 {
			out[row].since = float64(q.At - q.History.Time[0])
		}
	}
	return out
}

// activity is how many events the subject had in the window before the cut.
func (w *work) activity(past []history) eval.Cohort {
	var values, from []float64
	for _, h := range past {
		values = append(values, h.events)
	}
	for _, c := range w.job.Judging.Activity {
		from = append(from, float64(c))
	}
	return banded(Activity, values, from, func(v float64) string { return fmt.Sprintf("%.0f", v) })
}

// tenure is the time from the subject's first event in the window to the cut; without an event it is missing.
func (w *work) tenure(past []history) eval.Cohort {
	var values, from []float64
	for _, h := range past {
		values = append(values, h.since)
	}
	for _, c := range w.job.Judging.Tenure {
		from = append(from, float64(c.Microseconds()))
	}
	return banded(Tenure, values, from, func(v float64) string { return features.FormatWindow(time.Duration(v) * time.Microsecond) })
}

// banded divides numbers (NaN: missing) at the given values, each of which begins a band; without any, into three bands of as equal size as ties allow, whose
// names stay the same from day to day though their limits do not.
func banded(name string, values, from []float64, show func(float64) string) eval.Cohort {
	c := eval.Cohort{Name: name, Of: make([]int32, len(values))}
	if from == nil {
		var known []float64
		for _, v := range values {
			if !math.IsNaN(v) {
				known = append(known, v)
			}
		}
		slices.Sort(known)
		if n := len(known); n > 0 {
			from = []float64{known[n/3], known[2*n/3]}
		}
		c.Levels = []string{"least", "middle", "most"}
	} else {
		c.Levels = []string{"under " + show(from[0])}
		for _, f := range from {
			c.Levels = append(c.Levels, show(f)+" and more")
		}
	}
	for i, v := range values {
		if math.IsNaN(v) {
			c.Of[i] = -1
			continue
		}
		for _, f := range from {
			if v >= f {
				c.Of[i]++
			}
		}
	}
	return c
}

// mostOften is the level that a context column had in most of the subject's permitted events before the cut (ties: the first by name).
func (w *work) mostOften(ctx context.Context, name string, d *dataset, asked []eval.Asked) (eval.Cohort, error) {
	row := map[uint64]int32{}
	for i, a := range asked {
		row[d.Events.Subjects[a.Row]] = int32(i)
	}
	type seen struct {
		row   int32
		level string
	}
	counts := map[seen]int{}
	before := table.Interval{Start: w.plan.training.Start, End: timeOf(d.Cuts.Test)}
	for b, err := range w.events(ctx, before, []string{event.ColSubject, event.ColItem, event.ColTime, event.ColKind, name}, policy.Funnel{}) {
		if err != nil {
			return eval.Cohort{}, fmt.Errorf("cohort %s: %w", name, err)
		}
		subjects, levels := b.Col(event.ColSubject).Int, b.Col(name)
		for i := range b.N {
			if r, ok := row[uint64(subjects[i])]; ok && !levels.Null(i) {
				counts[seen{r, strings.Clone(levels.Str[i])}]++
			}
		}
	}
	levels, most := make([]string, len(asked)), make([]int, len(asked))
	for s, n := range counts {
		if n > most[s.row] || n == most[s.row] && s.level < levels[s.row] {
			most[s.row], levels[s.row] = n, s.level
		}
	}
	return labelled(name, levels), nil
}
