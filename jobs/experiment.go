package jobs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Experiment says of an outcome what was tried on what. Outcomes are committed as objects which nothing reads but people and reports: what trains is
// the project file.
type Experiment struct {
	Format   int            `json:"format"` // 1
	Job      string         `json:"job"`
	Model    string         `json:"model"`
	Interval table.Interval `json:"interval"`
	At       time.Time      `json:"at"`
	Revision string         `json:"revision"` // of the program
	Digest   table.Digest   `json:"digest"`   // of the permitted rows
	Learned  table.Interval `json:"learned"`  // what was trained on
	Judged   table.Interval `json:"judged"`   // what was judged on
	Seed     uint64         `json:"seed"`
	K        int            `json:"k"`       // figures are of lists of so many
	Missing  MissingDays    `json:"missing"` // of the training window, that have not been ingested
	Stopped  string         `json:"stopped"` // what ended it: trials, budget, or interrupted
	Seconds  float64        `json:"seconds"`
	// Prepared is how many of the seconds it took to read the data and to train the model as it stands: no budget makes that shorter.
	Prepared float64 `json:"prepared_seconds,omitempty"`
	Key      string  `json:"key,omitempty"` // of the object that this is
}

// What ended an experiment.
const (
	stoppedTrials      = "trials" // there was nothing left to try
	stoppedBudget      = "budget"
	stoppedInterrupted = "interrupted"
)

// experimentFormat is the format of outcomes.
const experimentFormat = 1

// Ended says what ended it, and after how long.
func (e *Experiment) Ended() string {
	out := fmt.Sprintf("%s, after %.0f s", e.Stopped, e.Seconds)
	if e.Prepared > 0 {
		out += fmt.Sprintf(", of which reading and training what stands took %.0f s, before anything was tried", e.Prepared)
	}
	return out
}

// Interrupted reports whether it was ended from outside.
func (e *Experiment) Interrupted() bool { return e.Stopped == stoppedInterrupted }

// keep commits an outcome under a folder of the bucket, and returns its key. What was found is kept also where ctx has ended.
func (r *Runner) keep(ctx context.Context, folder, job, label string, outcome any) (string, error) {
	body, err := json.MarshalIndent(outcome, "", " ")
	if err != nil {
		return "", err
	}
	key := fmt.Sprintf("%s/%s/%s/%s.json", folder, job, label, hash(string(body))[:12])
	if _, err := r.Bucket.Put(context.WithoutCancel(ctx), key, storage.Bytes(body), storage.Cond{}); err != nil {
		return "", fmt.Errorf("keep the outcome: %w", err)
	}
	return key, nil
}

// keepPage commits the page of an outcome beside it.
func (r *Runner) keepPage(ctx context.Context, key string, write func(io.Writer) error) error {
	var page bytes.Buffer
	if err := write(&page); err != nil {
		return err
	}
	if _, err := r.Bucket.Put(context.WithoutCancel(ctx), PageOf(key), storage.Bytes(page.Bytes()), storage.Cond{}); err != nil {
		return fmt.Errorf("keep the page of the outcome: %w", err)
	}
	return nil
}

// PageOf is the key of the page beside an outcome.
func PageOf(key string) string { return strings.TrimSuffix(key, ".json") + ".html" }

// between is the interval of two times in µs.
func between(from, to int64) table.Interval {
	return table.Interval{Start: time.UnixMicro(from).UTC(), End: time.UnixMicro(to).UTC()}
}

// looking is a work over the training set as it is ingested, under the policy of now. It writes nothing.
func (r *Runner) looking(ctx context.Context, job *Job, iv table.Interval) (*work, MissingDays, error) {
	w, missing, err := r.lookingBack(ctx, job, nil, iv, job.Window)
	if err != nil {
		return nil, missing, err
	}
	p := w.plan
	p.training = table.Interval{Start: iv.End.Add(-job.Window), End: iv.End}
	p.filter = p.trainingDecisions.Digest(p.training)
	if err := w.planSnapshots(ctx, p); err != nil {
		return nil, missing, err
	}
	at := iv.End.UTC().Format(time.RFC3339)
	switch {
	case len(p.committed) == 0 && missing.Files == 0:
		return nil, missing, fmt.Errorf("%w in the %s before %s: the source has no file of those days; --at wants the end of an interval of which it has some", ErrNoData, features.FormatWindow(job.Window), at)
	case len(p.committed) == 0:
		return nil, missing, fmt.Errorf("%w: no day of the training window has been ingested: rapport run %s --step ingest --at %s", ErrNoData, job.Name, at)
	}
	for _, s := range []*snapshot{p.items, p.subjects, p.cohorts} {
		if s != nil && !s.done {
			return nil, missing, fmt.Errorf("%w: the %s as their files are now have not been read: rapport run %s --step ingest --at %s", ErrNoData, s.set, job.Name, at)
		}
	}
	return w, missing, nil
}

// TrainingSet reads what a run of iv would learn from, as far as it is ingested, under the policy of now: for measurements. It writes nothing.
func (r *Runner) TrainingSet(ctx context.Context, job *Job, iv table.Interval) (*models.Dataset, error) {
	w, _, err := r.looking(ctx, job, iv)
	if err != nil {
		return nil, err
	}
	d, err := w.load(ctx)
	if err != nil {
		return nil, err
	}
	return &d.Dataset, nil
}

// experiment judges other ways to train a job's model, or to make lists of it, beside the model as it stands in the project: on the same questions, of
// the validation window, with all cuts moved back by its length, so that the model's own validation lies before it. What the test window holds is not
// in its data. Figures are those of package eval, by cohort too.
type experiment struct {
	*work
	facts  Experiment
	data   *dataset // cuts moved back
	task   eval.Task
	budget time.Duration // 0: no limit
	began  time.Time     // by Runner.Wall

	stands          stands
	training, asked time.Duration // the last of each
}

// stands is the model as it stands in the project.
type stands struct {
	eval.Contender
	model models.Model
}

// asItStands is the name of the model as it stands in the project, where figures name who they are of.
const asItStands = "as it stands"

// variant is another way to train or to make lists.
type variant struct {
	name string
	// data makes what is learned from; nil: what there is. Its subjects, its catalog's ids and its test window stay as they are, and it may share what it does not change.
	data func(*models.Dataset) (*models.Dataset, error)
	// served says that lists are made of what data makes, too: of histories and attributes as they are there. Else it is only learned from.
	served   bool
	trainer  models.Trainer // nil: the job's
	reweight *Reweight      // of groups in training; nil: the job's
	rules    *lists.Rules   // of lists; nil: the job's
}

// trains reports whether the variant needs a model of its own.
func (v *variant) trains() bool { return v.data != nil || v.trainer != nil || v.reweight != nil }

// outcome is what a variant came to.
type outcome struct {
	// quality has the variant as its candidate and the model as it stands as its live version: Comparison and Cohort are paired.
	quality *eval.Quality
	// own and standing are the headline metric of the variant and of the model as it stands, by row of the experiment's task; NaN where nothing was asked.
	own, standing []float64
	model         models.Model
	seconds       float64
}

// experiment loads the training set, of at most so many of its subjects (0: all; the same in every call), and trains the model as it stands. The job's
// Judging says what is measured, by time whatever its protocol. Memory: the training set twice, and two models.
func (r *Runner) experiment(ctx context.Context, job *Job, iv table.Interval, subjects int, budget time.Duration) (*experiment, error) {
	began := r.Wall()
	w, missing, err := r.looking(ctx, job, iv)
	if err != nil {
		return nil, err
	}
	d, err := w.load(ctx)
	if err != nil {
		return nil, err
	}
	e := &experiment{work: w, budget: budget, began: began, facts: Experiment{
		Format: experimentFormat, Job: job.Name, Model: job.Model.Name, Interval: iv, At: w.now, Revision: r.Revision, Digest: d.facts.Digest,
		Seed: job.Model.Seed, K: job.K[0], Missing: missing,
	}}
	return e, e.begin(ctx, d, subjects)
}

// begin makes the questions and trains the model as it stands.
func (e *experiment) begin(ctx context.Context, loaded *dataset, subjects int) error {
	d := &loaded.Dataset
	if subjects > 0 {
		d = d.Sample(float64(subjects) / float64(max(1, len(d.Events.Subjects))))
	}
	d, err := movedBack(d)
	if err != nil {
		return err
	}
	e.data = loaded.with(d)
	e.work.data = nil // what is read from here on is e.data
	e.facts.Learned, e.facts.Judged = e.learnedFrom(between(d.Cuts.Base, d.Cuts.Test)), between(d.Cuts.Test, d.Cuts.End)
	e.job.Judging.Protocol = "" // the work's own copy of the job
	if e.task, err = e.work.task(ctx, e.data); err != nil {
		return err
	}
	e.task.K, e.task.Pool = e.task.K[:1], nil
	m, s, err := e.train(ctx, &variant{}, d)
	if err != nil {
		return fmt.Errorf("the model %s: %w", asItStands, err)
	}
	e.stands = stands{eval.Contender{Name: asItStands, Scorer: s, Role: eval.Live}, m}
	e.stands.Rules, err = e.stage(ctx, e.job.Model.Lists.Rules, m, s)
	e.facts.Prepared = e.Wall().Sub(e.began).Seconds()
	return err
}

// with is the same facts about other data.
func (d *dataset) with(data *models.Dataset) *dataset {
	return &dataset{Dataset: *data, facts: d.facts, refusals: d.refusals, sensitive: d.sensitive, unlisted: d.unlisted, titles: d.titles}
}

// movedBack is d as if the validation window were the test window: without the events behind it, and with the other windows as long as they are.
func movedBack(d *models.Dataset) (*models.Dataset, error) {
	c := d.Cuts
	by := c.Test - c.Validation
	out := *d
	out.Cuts = models.Cuts{Base: c.Base, Rerank: c.Rerank - by, Validation: c.Validation - by, Test: c.Validation, End: c.Test}
	if by <= 0 || out.Cuts.Rerank <= c.Base {
		days := func(us int64) float64 { return float64(us) / float64(24*time.Hour/time.Microsecond) }
		return nil, fmt.Errorf("%w: what is tried is judged on the validation window, and needs another one before it: of %g days of training, %g lie before both: choose a longer train.window",
			ErrNoData, days(c.End-c.Base), max(0, days(out.Cuts.Rerank-c.Base)))
	}
	out.Events = d.Events.Between(c.Base, c.Test)
	if d.Shown.Off != nil {
		out.Shown = d.Shown.Between(c.Base, c.Test)
	}
	return &out, nil
}

// affords reports whether what is left of the budget is enough for a variant, by what the last one took.
func (e *experiment) affords(v *variant) bool {
	cost := e.asked
	if v.trains() {
		cost += e.training
	}
	return e.budget <= 0 || e.Wall().Sub(e.began)+cost <= e.budget
}

// try trains a variant, if it needs that, and judges its lists beside those of the model as it stands.
func (e *experiment) try(ctx context.Context, v variant) (*outcome, error) {
	began := e.Wall()
	c := eval.Contender{Name: v.name, Scorer: e.stands.Scorer, Role: eval.Candidate, Rules: e.stands.Rules}
	m := e.stands.model
	if v.trains() {
		learned, err := e.learns(&v)
		if err == nil {
			m, c.Scorer, err = e.train(ctx, &v, learned)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		if v.served {
			c.Ask = e.ask(e.data.with(learned))
		}
	}
	var err error
	if c.Rules, err = e.stage(ctx, cmp.Or(v.rules, e.job.Model.Lists.Rules), m, c.Scorer); err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	out := &outcome{own: e.unasked(), standing: e.unasked(), model: m}
	task := e.task
	task.Each = func(row int, headline []float64) { out.own[row], out.standing[row] = headline[0], headline[1] }
	asked := e.Wall()
	if out.quality, err = eval.Evaluate(ctx, task, []eval.Contender{c, e.stands.Contender}); err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	e.asked = e.Wall().Sub(asked)
	out.seconds = e.Wall().Sub(began).Seconds()
	return out, nil
}

// unasked is a figure of each row of the task, none of which has one yet.
func (e *experiment) unasked() []float64 {
	out := make([]float64, e.task.Rows)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

// learns is what a variant learns from.
func (e *experiment) learns(v *variant) (*models.Dataset, error) {
	if v.data == nil {
		return &e.data.Dataset, nil
	}
	d, err := v.data(&e.data.Dataset)
	if err != nil {
		return nil, err
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if !slices.Equal(d.Events.Subjects, e.data.Events.Subjects) || !slices.Equal(d.Catalog.IDs, e.data.Catalog.IDs) || d.Cuts.Test != e.data.Cuts.Test || d.Cuts.End != e.data.Cuts.End {
		return nil, fmt.Errorf("its subjects, items or test window are others: it cannot be asked the same")
	}
	return d, nil
}

// train trains a variant on d, and binds it to what it may know of items and subjects.
func (e *experiment) train(ctx context.Context, v *variant, d *models.Dataset) (models.Model, models.Scorer, error) {
	trainer, learned := cmp.Or(v.trainer, e.job.Model.Trainer), d
	if r := cmp.Or(v.reweight, e.job.Reweight); r != nil {
		var err error
		if learned, err = e.reweighted(ctx, e.data, d, r); err != nil {
			return nil, nil, err
		}
	}
	began := e.Wall()
	m, err := trainer.Train(ctx, learned, d.Cuts.Test, e.job.Model.Seed)
	if err != nil {
		return nil, nil, err
	}
	e.training = e.Wall().Sub(began)
	if !v.served {
		d = &e.data.Dataset
	}
	s, err := m.Bind(ctx, d.Catalog, d.SubjectColumns())
	return m, s, err
}

// ask makes of a query of the task one that knows what is in d alone.
func (e *experiment) ask(d *dataset) func(models.Query) models.Query {
	return func(q models.Query) models.Query {
		row, ok := slices.BinarySearch(d.Events.Subjects, q.Draw)
		if !ok {
			return q
		}
		out := d.Query(row, q.At, q.K)
		e.honour(d, row, &out)
		return out
	}
}

// stage binds rules to the items, as lists are served: with the wishes of people, where some have any.
func (e *experiment) stage(ctx context.Context, rules *lists.Rules, m models.Model, s models.Scorer) (*lists.Stage, error) {
	if rules.Off() {
		return e.bindWishes(e.data, e.data.Cuts.Test)
	}
	o, err := e.ruleOptions(ctx, e.data, m, s, e.data.Cuts.Test)
	if err != nil {
		return nil, err
	}
	return rules.Bind(e.data.Catalog, o)
}

// paired is the mean difference of two figures by row, over the rows that in accepts (nil: all) and that have both, with its 95 % interval; and over how many
// rows that is. Each row is another person.
func paired(a, b []float64, in func(row int) bool) (models.Interval, int) {
	var d []float64
	for i := range a {
		if !math.IsNaN(a[i]) && !math.IsNaN(b[i]) && (in == nil || in(i)) {
			d = append(d, a[i]-b[i])
		}
	}
	owner := make([]int, len(d))
	for i := range owner {
		owner[i] = i
	}
	return estimate(d, owner), len(d)
}

// estimate is the mean of x with its 95 % interval. Values with one owner are of one person, and vary together (the sum over owners
// of the squared sums of deviations estimates the variance of the total).
func estimate(x []float64, owner []int) models.Interval {
	n := float64(len(x))
	if n == 0 {
		return models.Interval{}
	}
	var mean float64
	for _, v := range x {
		mean += v / n
	}
	sums := map[int]float64{}
	for i, v := range x {
		sums[owner[i]] += v - mean
	}
	var square float64
	for _, o := range slices.Compact(slices.Sorted(slices.Values(owner))) {
		square += sums[o] * sums[o]
	}
	half := 1.96 * math.Sqrt(square) / n
	return models.Interval{Value: mean, Low: mean - half, High: mean + half}
}
