package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// keepLedger commits a ledger, and the page of it that people read beside it.
func (r *Runner) keepLedger(ctx context.Context, job, label string, m *Minimized) (string, error) {
	key, err := r.keep(ctx, minimizations, job, label, m)
	if err != nil {
		return "", err
	}
	return key, r.keepPage(ctx, key, func(w io.Writer) error { return m.WriteHTML(w, m.head()) })
}

// head is what the page says of where it comes from.
func (m *Minimized) head() eval.MinimizationHead {
	return eval.MinimizationHead{Job: m.Job, Model: m.Model, Interval: m.Interval, At: m.At, Revision: m.Revision, Learned: m.Learned, Judged: m.Judged, Stopped: m.Stopped}
}

// LastMinimized reads the ledger of a job that was made last, of those that looked at no data of after until (zero: of all); nil if there is none. Cost: a
// listing of the job's ledgers, one GET, and one more for each later ledger that knows too much.
func (r *Runner) LastMinimized(ctx context.Context, job string, until time.Time) (*Minimized, error) {
	var made []storage.Info
	for info, err := range r.Bucket.List(ctx, minimizations+"/"+job+"/", storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("the last ledger of %s: %w", job, err)
		}
		if strings.HasSuffix(info.Key, ".json") {
			made = append(made, info)
		}
	}
	slices.SortStableFunc(made, func(a, b storage.Info) int { return a.Modified.Compare(b.Modified) })
	for _, last := range slices.Backward(made) {
		body, _, err := storage.ReadAll(ctx, r.Bucket, last.Key)
		if err != nil {
			return nil, fmt.Errorf("the last ledger of %s: %w", job, err)
		}
		m := &Minimized{}
		if err := json.Unmarshal(body, m); err != nil {
			return nil, fmt.Errorf("the last ledger of %s: %s: %w", job, last.Key, err)
		}
		if m.Format != experimentFormat {
			return nil, fmt.Errorf("the last ledger of %s: %s: its format is %d, this program reads %d", job, last.Key, m.Format, experimentFormat)
		}
		if until.IsZero() || !m.Interval.End.After(until) {
			m.Key = last.Key
			return m, nil
		}
	}
	return nil, nil
}

// minimization is what a report of the run says of the last ledger over data that the run knows. What cannot be read is said to be absent, and logged: no
// report fails for it.
func (w *work) minimization(ctx context.Context) *eval.MinimizationFacts {
	m, err := w.LastMinimized(ctx, w.job.Name, w.iv.End)
	if err != nil {
		w.Log.Warn("the report links no ledger of what each field is worth", "job", w.job.Name, "error", err)
	}
	if m == nil {
		return &eval.MinimizationFacts{}
	}
	return m.Link(strings.TrimSuffix(m.Key, ".json"), m.At, w.now, m.Interval)
}

// minimizeAgain is how long after a ledger that could not be made another is tried.
const minimizeAgain = time.Hour

// ledgers makes the ledgers of a scheduler's jobs when they are due: each once among all servers, by a lease. A first one waits for its schedule to fire;
// one that was missed while no server was there is made up for.
type ledgers struct {
	jobs    []*Job
	since   time.Time            // when this scheduler began
	settled map[string]time.Time // job → the firing for which there is nothing left to do
	not     map[string]time.Time // job → before which nothing is tried again
	make    func(context.Context, *Job, table.Interval, Minimizing) (*Minimized, error)
}

func newLedgers(r *Runner, js []*Job, since time.Time) *ledgers {
	l := &ledgers{since: since, settled: map[string]time.Time{}, not: map[string]time.Time{}, make: r.Minimize}
	for _, j := range js {
		if !j.Minimize.Due.IsZero() {
			l.jobs = append(l.jobs, j)
		}
	}
	return l
}

// minimize makes what is due, one after another. It is called by one goroutine, about once a minute.
func (s *Scheduler) minimize(ctx context.Context) {
	for _, job := range s.ledgers.jobs {
		now := s.clock.Now()
		due := job.Minimize.Due.Prev(now)
		if due.IsZero() || s.ledgers.settled[job.Name].Equal(due) || now.Before(s.ledgers.not[job.Name]) {
			continue
		}
		err := s.minimizeDue(ctx, job, due)
		switch {
		case err == nil:
			s.ledgers.settled[job.Name] = due
		case errors.Is(err, storage.ErrHeld), ctx.Err() != nil: // another server makes it, or this one ends
		default:
			s.ledgers.not[job.Name] = now.Add(minimizeAgain)
			s.runner.Log.Error("no ledger of what each field is worth", "job", job.Name, "error", err, "again", now.Add(minimizeAgain))
		}
	}
}

// minimizeDue makes the ledger of a job that fell due, unless there is one, or nobody had begun to make them then.
func (s *Scheduler) minimizeDue(ctx context.Context, job *Job, due time.Time) error {
	lease, err := s.runner.acquire(ctx, leaseKey(job.Name, minimizations))
	if err != nil {
		return err
	}
	ctx, stop := lease.Keep(ctx)
	defer stop()
	defer s.runner.release(ctx, lease)
	last, err := s.runner.LastMinimized(ctx, job.Name, time.Time{})
	switch {
	case err != nil:
		return err
	case last == nil && due.Before(s.ledgers.since.Add(-schedule.OnTime)):
		return nil
	case last != nil && !last.Interrupted() && !last.At.Before(due):
		return nil
	}
	if why, err := s.forbidden(ctx, job); err != nil || why != "" {
		if err == nil {
			s.runner.Log.Warn("no ledger of what each field is worth is made", "job", job.Name, "why", why)
		}
		return err
	}
	m, err := s.ledgers.make(ctx, job, job.Every.At(s.clock.Now()), job.Minimize)
	if err != nil {
		return err
	}
	s.runner.Log.Info("ledger of what each field is worth", "job", job.Name, "says", m.Says, "stopped", m.Stopped, "seconds", m.Seconds, "key", m.Key)
	if m.Interrupted() {
		return fmt.Errorf("%w: what was found until then is kept", context.Canceled)
	}
	return nil
}
