package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

// Tuning says what is to be searched, and for how long.
type Tuning struct {
	Parts []Tunable // of the job's model, all and in order
	Only  []string  // names of the parts that are searched; empty: all that have a space
	// Blend makes the trainer of the model's blend as it stands in the validation window: its parts as given, its weights fitted to the window.
	Blend  func(parts []models.Trainer) models.Trainer
	Budget time.Duration // of the whole search; 0: no limit
	Trials int           // choices that are tried for each part, at most; 0: no limit
}

// Tunable is a part of a model whose hyperparameters can be searched.
type Tunable struct {
	Part    string // as the project file names it
	Space   models.Space
	Now     models.Values // that stand in the project file, of the space
	Trainer func(models.Values) (models.Trainer, error)
}

// Tuned is what a search found. It is committed as an object under tuning/.
type Tuned struct {
	Experiment             // figures are mean nDCG@K over the questions, with 95 % intervals
	Questions  int         `json:"questions"`
	Subjects   int         `json:"subjects"` // who are asked
	Shares     []float64   `json:"shares"`   // of the subjects, that a trial may be trained on
	Parts      []TunedPart `json:"parts"`
	Whole      *TunedWhole `json:"whole,omitempty"` // nil: no part found anything better, or the search was interrupted
}

// TunedPart is what was tried for one part.
type TunedPart struct {
	Part   string        `json:"part"`
	Now    models.Values `json:"now"`
	Best   models.Values `json:"best"`   // Now, where nothing is better
	Better bool          `json:"better"` // than Now, on the same questions; by chance or not is for Difference to say
	// Difference of the best and what stands in the project file, on the questions that chose it: it flatters the best of many.
	Difference models.Interval `json:"difference"`
	Share      float64         `json:"share"` // of the subjects, on which they were compared; 0: not even Now was judged
	Trials     []Trial         `json:"trials"`
}

// Trial is one judgement of one choice. Trial 0 is what stands in the project file.
type Trial struct {
	Trial   int              `json:"trial"`
	Values  models.Values    `json:"values"`
	Share   float64          `json:"share"` // of the subjects, that it was trained on
	NDCG    *models.Interval `json:"ndcg"`  // nil if it failed
	Failed  string           `json:"failed,omitempty"`
	Seconds float64          `json:"seconds"`
}

// TunedWhole compares the blends of all parts, as they stand in the project file and as they were found.
type TunedWhole struct {
	Now        models.Interval `json:"now"`
	Tuned      models.Interval `json:"tuned"`
	Difference models.Interval `json:"difference"`
	Better     bool            `json:"better"` // the whole interval of the difference is above 0
}

const (
	// askedAtMost bounds the questions, as a blend's validation does.
	askedAtMost = 2000
	// leastShare is how many subjects a share must hold: fewer tell little of what all would.
	leastShare = 2000
	// wholeShare of the budget is kept for the comparison of the blends.
	wholeShare = 0.1
)

// ErrTuning says that a search was asked for that cannot be made.
var ErrTuning = errors.New("nothing to tune")

// Better is what was found better for parts of the model, by their names.
func (t *Tuned) Better() map[string]models.Values {
	out := map[string]models.Values{}
	for _, p := range t.Parts {
		if p.Better {
			out[p.Part] = p.Best
		}
	}
	return out
}

// Tune searches hyperparameters of the parts of the job's model: each part by itself, by successive halving over shares of the subjects, trained on
// what lies before the validation window and judged on that window, with the test window out of sight. Then the blend of what was found is compared with
// the blend of what stands in the project file. The outcome is committed under tuning/; nothing is trained for use, registered or published.
//
// With Trials and without Budget the outcome is the same each time but for the times in it. The budget is looked at between trials: a trial that would
// overrun it, by what trials took so far, is not begun; the comparison of the blends, which trains what was not searched, comes after. When ctx ends, so does the search, and what was found so far is the outcome.
// Memory: the training set, half as much again where shares are tried, and two models a part.
func (r *Runner) Tune(ctx context.Context, job *Job, iv table.Interval, o Tuning) (*Tuned, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("tune %s: %w", job.Name, err)
	}
	w, missing, err := r.looking(ctx, job, iv)
	if err != nil {
		return nil, err
	}
	d, err := w.load(ctx)
	if err != nil {
		return nil, err
	}
	t := &tuner{
		Tuning: o, data: &d.Dataset, seed: job.Model.Seed, k: job.K[0], wall: r.Wall, began: r.Wall(),
		progress: func(part string, done, total int64) { r.Progressed("tune", part, done, total, "trials") },
	}
	out := &Tuned{Experiment: Experiment{
		Format: experimentFormat, Job: job.Name, Model: job.Model.Name, Interval: iv, At: w.now, Revision: r.Revision, Digest: d.facts.Digest,
		Learned: w.learnedFrom(between(d.Cuts.Base, d.Cuts.Validation)), Judged: between(d.Cuts.Validation, d.Cuts.Test), Seed: job.Model.Seed, K: t.k, Missing: missing,
	}}
	if err := t.run(ctx, out); err != nil {
		return nil, fmt.Errorf("tune %s: %w", job.Name, err)
	}
	if out.Key, err = r.keep(ctx, "tuning", job.Name, w.label, out); err != nil {
		return nil, fmt.Errorf("tune %s: %w", job.Name, err)
	}
	return out, nil
}

func (o *Tuning) check() error {
	if o.Budget <= 0 && o.Trials <= 0 {
		return fmt.Errorf("%w: neither a budget nor a number of trials: the search would not end", ErrTuning)
	}
	if o.Trials > maxTrials {
		return fmt.Errorf("%w: %d trials: want %d at most", ErrTuning, o.Trials, maxTrials)
	}
	var names []string
	for _, p := range o.Parts {
		if len(p.Space) > 0 {
			names = append(names, p.Part)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: no part of the model has hyperparameters that are searched", ErrTuning)
	}
	for _, name := range o.Only {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%w: no part %s is searched in this model: there are %s", ErrTuning, name, strings.Join(names, ", "))
		}
	}
	return nil
}

// tuner is one search over a training set in memory.
type tuner struct {
	Tuning
	data     *models.Dataset
	seed     uint64
	k        int
	wall     func() time.Time
	began    time.Time
	progress func(part string, done, total int64)

	questions []models.Query
	relevant  [][]int32 // by question
	owner     []int     // by question: the subject's row
	samples   []*models.Dataset
}

// run searches each part and compares the whole. Its error is what ends a search without an outcome.
func (t *tuner) run(ctx context.Context, out *Tuned) error {
	t.ask()
	out.Questions, out.Subjects = len(t.questions), len(slices.Compact(slices.Sorted(slices.Values(t.owner))))
	if out.Questions == 0 {
		return fmt.Errorf("%w in the validation window: nobody took anything there that a list may hold", ErrNoData)
	}
	if out.Subjects < models.MinSubjects { // their figures would be some person's
		return fmt.Errorf("%w in the validation window: fewer than %d people took anything there that a list may hold", ErrNoData, models.MinSubjects)
	}
	out.Shares = t.shares()
	for _, share := range out.Shares {
		t.samples = append(t.samples, t.data.Sample(share))
	}
	var searched []int
	for i, p := range t.Parts {
		if len(p.Space) > 0 && (len(t.Only) == 0 || slices.Contains(t.Only, p.Part)) {
			searched = append(searched, i)
		}
	}
	out.Stopped = stoppedTrials
	searches, better := make([]*halving, len(t.Parts)), false
	for n, i := range searched {
		spent := t.wall().Sub(t.began)
		h := newHalving(t.Parts[i].Space, t.Parts[i].Now, out.Shares, t.seed)
		h.trials, h.wall, h.began = t.Trials, t.wall, t.wall()
		if t.Budget > 0 {
			left := time.Duration(float64(t.Budget)*(1-wholeShare)) - spent
			h.budget = max(left/time.Duration(len(searched)-n), 1) // a part before may have overrun it: 0 would be no limit
		}
		p, stopped, err := t.part(ctx, &t.Parts[i], h)
		if err != nil {
			return err
		}
		out.Parts = append(out.Parts, p)
		if stopped != stoppedTrials {
			out.Stopped = stopped
		}
		searches[i], better = h, better || p.Better
		if stopped == stoppedInterrupted {
			break
		}
	}
	if out.Stopped != stoppedInterrupted && better {
		whole, err := t.whole(ctx, searches)
		switch {
		case ctx.Err() != nil:
			out.Stopped = stoppedInterrupted
		case err != nil:
			return err
		default:
			out.Whole = whole
		}
	}
	out.Seconds = t.wall().Sub(t.began).Seconds()
	return nil
}

// shares are the rungs: all subjects, a third of them, a ninth and so on, as long as enough are left.
func (t *tuner) shares() []float64 {
	shares := []float64{1}
	for n := len(t.data.Events.Subjects) / third; n >= leastShare && len(shares) < 4; n /= third {
		shares = append(shares, shares[len(shares)-1]/third)
	}
	slices.Reverse(shares)
	return shares
}

// part searches one part.
func (t *tuner) part(ctx context.Context, p *Tunable, h *halving) (TunedPart, string, error) {
	out := TunedPart{Part: p.Part, Now: p.Now, Best: p.Now, Trials: []Trial{}}
	stopped := stoppedTrials
	for {
		c, rung := h.next()
		if c == nil {
			if t.Budget > 0 && (t.Trials <= 0 || len(h.contestants) <= t.Trials) {
				stopped = stoppedBudget
			}
			break
		}
		t.progress(p.Part, int64(len(out.Trials)), int64(t.Trials))
		trial := Trial{Trial: slices.Index(h.contestants, c), Values: c.values, Share: h.shares[rung]}
		began := t.wall()
		f, err := t.judge(ctx, p, c.values, rung)
		f.took = max(t.wall().Sub(began), 1)
		trial.Seconds = f.took.Seconds()
		switch {
		case ctx.Err() != nil:
			stopped = stoppedInterrupted
		case err != nil && trial.Trial == 0:
			return out, stopped, fmt.Errorf("part %s as it stands in the project file: %w", p.Part, err)
		case err != nil: // such a choice is none; its time is spent all the same
			c.failed, trial.Failed = err, err.Error()
			h.took[rung] = max(h.took[rung], f.took)
		default:
			e := estimate(f.answer, t.owner)
			trial.NDCG, f.mean = &e, e.Value
			h.judged(c, f)
			t.forget(h)
		}
		if stopped == stoppedInterrupted {
			break
		}
		out.Trials = append(out.Trials, trial)
	}
	best, rung := h.best()
	if rung < 0 {
		return out, stopped, nil
	}
	out.Share, out.Best = h.shares[rung], best.values
	if first := h.contestants[0]; best != first {
		out.Better, out.Difference = true, t.difference(best.rungs[rung].answer, first.rungs[rung].answer)
	}
	return out, stopped, nil
}

// forget drops the models that no comparison of blends will want: all but those of all subjects, of the first and the best so far.
func (t *tuner) forget(h *halving) {
	best, _ := h.best()
	for i, c := range h.contestants {
		for r := range c.rungs {
			if r < len(h.shares)-1 || i > 0 && c != best {
				c.rungs[r].model = nil
			}
		}
	}
}

// judge trains a part on a share of the subjects and asks the model every question.
func (t *tuner) judge(ctx context.Context, p *Tunable, v models.Values, rung int) (figure, error) {
	trainer, err := p.Trainer(v)
	if err != nil {
		return figure{}, err
	}
	m, err := trainer.Train(ctx, t.samples[rung], t.data.Cuts.Validation, t.seed)
	if err != nil {
		return figure{}, err
	}
	answer, err := t.answer(ctx, m)
	return figure{model: m, answer: answer}, err
}

// answer is nDCG@K of a model's list for each question.
func (t *tuner) answer(ctx context.Context, m models.Model) ([]float64, error) {
	s, err := m.Bind(ctx, t.data.Catalog, t.data.SubjectColumns())
	if err != nil {
		return nil, err
	}
	var lists models.Ranking
	if err := models.Rank(ctx, s, t.data.Catalog.Len(), t.questions, &lists); err != nil {
		return nil, err
	}
	out := make([]float64, len(t.questions))
	for q := range out {
		items, _ := lists.Query(q)
		var got, ideal float64
		for r := range t.k {
			gain := 1 / math.Log2(float64(r)+2)
			if r < len(t.relevant[q]) {
				ideal += gain
			}
			if r < len(items) {
				if _, hit := slices.BinarySearch(t.relevant[q], items[r]); hit {
					got += gain
				}
			}
		}
		out[q] = got / ideal
	}
	return out, nil
}

// whole compares the blends of the parts as they are and with what was found for them. searches holds that of each part, nil of those that
// were not searched. Parts that were judged on all subjects are not trained again.
func (t *tuner) whole(ctx context.Context, searches []*halving) (*TunedWhole, error) {
	t.progress("blend", 0, 0)
	var answers [2][]float64
	now := make([]models.Trainer, len(t.Parts))
	for side := range answers {
		parts := make([]models.Trainer, len(t.Parts))
		for i := range t.Parts {
			c := &contestant{values: t.Parts[i].Now}
			if h := searches[i]; h != nil {
				if c = h.contestants[0]; side == 1 {
					c, _ = h.best()
				}
			}
			if side == 1 && (searches[i] == nil || c == searches[i].contestants[0]) {
				parts[i] = now[i]
				continue
			}
			var err error
			if parts[i], err = t.trained(ctx, &t.Parts[i], c); err != nil {
				return nil, fmt.Errorf("part %s: %w", t.Parts[i].Part, err)
			}
		}
		if side == 0 {
			now = parts
		}
		m, err := t.Blend(parts).Train(ctx, t.data, t.data.Cuts.Test, t.seed)
		if err != nil {
			return nil, err
		}
		if answers[side], err = t.answer(ctx, m); err != nil {
			return nil, err
		}
	}
	w := &TunedWhole{Now: estimate(answers[0], t.owner), Tuned: estimate(answers[1], t.owner), Difference: t.difference(answers[1], answers[0])}
	w.Better = w.Difference.Low > 0
	return w, nil
}

// trained is a choice's model of all subjects, as a trainer.
func (t *tuner) trained(ctx context.Context, p *Tunable, c *contestant) (models.Trainer, error) {
	trainer, err := p.Trainer(c.values)
	if err != nil {
		return nil, err
	}
	if n := len(c.rungs); n > 0 && c.rungs[n-1].model != nil {
		return fixed{trainer.Name(), c.rungs[n-1].model}, nil
	}
	m, err := trainer.Train(ctx, t.data, t.data.Cuts.Validation, t.seed)
	return fixed{trainer.Name(), m}, err
}

// fixed is a trainer whose model is there already: what it would learn from is what the model learned from.
type fixed struct {
	name  string
	model models.Model
}

func (t fixed) Name() string { return t.name }

func (t fixed) Train(context.Context, *models.Dataset, int64, uint64) (models.Model, error) {
	return t.model, nil
}

func (t *tuner) difference(a, b []float64) models.Interval {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return estimate(d, t.owner)
}

// ask makes the questions of the validation window. It is walked in steps as long as the test window, as a blend's fit walks it: at each,
// every subject who takes something before the next is asked for, from what was known then. Of more than askedAtMost, evenly spaced
// ones are kept.
func (t *tuner) ask() {
	d := t.data
	step := d.Cuts.Test - d.Cuts.Validation
	if test := d.Cuts.End - d.Cuts.Test; test > 0 {
		step = min(step, test)
	}
	type question struct {
		row      int
		query    models.Query
		relevant []int32
	}
	var all []question
	for at := d.Cuts.Validation; at < d.Cuts.Test; at += step {
		for s := range d.Events.Subjects {
			after := d.Events.SubjectBetween(s, at, min(at+step, d.Cuts.Test))
			if after.Len() == 0 {
				continue
			}
			q := question{row: s, query: d.Query(s, at, t.k), relevant: models.Distinct(after.Item)}
			if d.MaskSeen {
				q.query.Exclude = models.Distinct(q.query.History.Item)
				q.relevant = slices.DeleteFunc(q.relevant, func(item int32) bool {
					_, seen := slices.BinarySearch(q.query.Exclude, item)
					return seen
				})
			}
			if len(q.relevant) > 0 {
				all = append(all, q)
			}
		}
	}
	n := min(len(all), askedAtMost)
	for i := range n {
		q := all[i*len(all)/n]
		t.questions, t.relevant, t.owner = append(t.questions, q.query), append(t.relevant, q.relevant), append(t.owner, q.row)
	}
}
