package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// past is what the evaluation at hand takes from those before it.
type past struct {
	pooled []registry.Version // with which its figures are pooled, the oldest first
	rules  []eval.Rule        // of the last one, those that it left undecided
}

// inputs are the past's part in the evaluation's key; none where there is nothing to look back on.
func (p past) inputs() (out []string) {
	for _, v := range p.pooled {
		out = append(out, v.Key)
	}
	if len(p.rules) > 0 {
		out = append(out, hash(p.rules))
	}
	return out
}

// lookBack finds what the job's budgets need of earlier evaluations.
func (w *work) lookBack(ctx context.Context) (p past, err error) {
	if len(w.job.Budgets) == 0 {
		return p, nil
	}
	// What was undecided is so still after nights that judged nothing.
	window := table.Interval{Start: earlier(w.job.Every.At(w.iv.Start).Start, w.iv.End.Add(-eval.UndecidedFor)), End: w.iv.Start}
	pool := w.iv.Start
	for _, b := range w.job.Budgets {
		pool = earlier(pool, w.job.poolStart(w.iv, b.Pool))
	}
	window.Start = earlier(window.Start, pool)
	versions, err := w.earlier(ctx, window)
	if err != nil || len(versions) == 0 {
		return p, err
	}
	last, _, err := w.judgedOf(ctx, versions[len(versions)-1])
	if err != nil {
		return p, err
	}
	if last != nil {
		for _, r := range last.Decision.Rules {
			if r.Undecided != nil {
				p.rules = append(p.rules, eval.Rule{Budget: r.Budget, Undecided: r.Undecided})
			}
		}
	}
	if len(w.job.poolMetrics()) > 0 {
		p.pooled = slices.DeleteFunc(versions, func(v registry.Version) bool { return v.Interval.Start.Before(pool) })
	}
	return p, nil
}

// poolStart is where a pool of so long begins that ends with an interval. Whole days are those of the calendar: one of 25 hours is one.
func (j *Job) poolStart(iv table.Interval, long time.Duration) time.Time {
	const day = 24 * time.Hour
	if long%day != 0 {
		return iv.End.Add(-long)
	}
	return iv.End.In(j.Every.Location()).AddDate(0, 0, -int(long/day))
}

// earlierSlack is how many versions of other intervals are looked at, beside those wanted, before the search for earlier evaluations ends: a
// backfill may have made so many since.
const earlierSlack = 64

// earlier returns the versions of the job's model that were judged on intervals like the run's within a window, one an interval, the oldest first:
// of several the one that was registered last. Versions are what a run leaves behind whatever its verdict, in one order for all. Cost: a
// listing, and a GET for each version from the last back to where the window's are complete.
func (w *work) earlier(ctx context.Context, window table.Interval) ([]registry.Version, error) {
	wanted := map[table.Interval]bool{} // not found yet
	for _, iv := range w.job.Every.Between(window.Start, window.End) {
		wanted[inUTC(iv)] = true
	}
	var out []registry.Version
	left := len(wanted) + earlierSlack
	for v, err := range w.reg.Backwards(ctx) {
		if err != nil {
			return nil, fmt.Errorf("earlier evaluations: %w", err)
		}
		if iv := inUTC(v.Interval); wanted[iv] {
			delete(wanted, iv)
			out = append(out, v)
		}
		if left--; len(wanted) == 0 || left == 0 {
			break
		}
	}
	slices.SortFunc(out, func(a, b registry.Version) int { return a.Interval.Start.Compare(b.Interval.Start) })
	return out, nil
}

// inUTC makes intervals of equal times equal.
func inUTC(iv table.Interval) table.Interval {
	return table.Interval{Start: iv.Start.UTC(), End: iv.End.UTC()}
}

// evaluationOf returns the evaluate step that judged a version, and its facts.
func (w *work) evaluationOf(ctx context.Context, v registry.Version) (*table.Commit, judged, error) {
	c, _, err := w.tables.Lookup(ctx, judgedBy(v))
	if err != nil {
		return nil, judged{}, fmt.Errorf("its evaluation: %w", err)
	}
	f, err := factsOf[judged](c)
	return c, f, err
}

// judgedOf returns what was found out about an earlier version, or nil if that is gone.
func (w *work) judgedOf(ctx context.Context, v registry.Version) (*judged, *table.Commit, error) {
	c, f, err := w.evaluationOf(ctx, v)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("version %d: %w", v.Number, err)
	}
	return &f, c, nil
}

// Decidable are the job's budgets as the last evaluation judged them: Detectable of each is the smallest true gap, or the largest true ratio, that a
// test of that size calls a failure four times in five. Nil before the first evaluation of the job's intervals. Cost: a listing and three GETs.
func (r *Runner) Decidable(ctx context.Context, j *Job) ([]eval.Rule, table.Interval, error) {
	w := &work{Runner: r, job: j}
	var err error
	if w.reg, err = registry.Open(r.Bucket, j.Model.Name); err != nil {
		return nil, table.Interval{}, err
	}
	w.tables = table.Store{Bucket: r.Bucket}
	left := earlierSlack
	var rules []eval.Rule
	var of table.Interval
	for v, err := range w.reg.Backwards(ctx) {
		if err != nil {
			return nil, table.Interval{}, err
		}
		if (rules == nil || v.Interval.End.After(of.End)) && inUTC(v.Interval) == inUTC(j.Every.Containing(v.Interval.Start)) {
			f, _, err := w.judgedOf(ctx, v)
			if err != nil {
				return nil, table.Interval{}, err
			}
			if f != nil {
				rules, of = slices.DeleteFunc(f.Decision.Rules, func(r eval.Rule) bool { return r.Kind != "budget" }), v.Interval
			}
		}
		if left--; left == 0 {
			break
		}
	}
	return rules, of, nil
}
