package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
)

// Cancelled is what became of a request to end a run.
type Cancelled struct {
	Run     *ledger.Run   `json:"run"`
	Request ledger.Cancel `json:"request"`
	// Outcome is "ended" (its process has seen the request and ended it), "asked" (it has not yet), or "buried" (its process had died
	// before, and the ledger says so now).
	Outcome string `json:"outcome"`
}

// ErrEnded says that a run is not under way.
var ErrEnded = errors.New("the run has ended")

// cancelPatience is how often Cancel looks whether a run has ended.
const cancelPatience = time.Second

// Cancel asks the process that does a run, wherever it is, to end it, and waits at most so many looks (a second each) until it has. A run
// whose process has died is recorded as interrupted at once; one whose process is silent, because its machine has died, when its lease ends.
// job may be nil if the project has no such job any more; observers are told only with one. It returns ErrEnded for a run that is over.
func (r *Runner) Cancel(ctx context.Context, job *Job, id string, req ledger.Cancel, looks int) (*Cancelled, error) {
	runs := ledger.Ledger{Bucket: r.Bucket}
	run, err := runs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if run.Status != ledger.Running {
		return nil, fmt.Errorf("run %s: %w: %s at %s; there is nothing to cancel", run.ID, ErrEnded, run.Status, run.Ended.UTC().Format(time.RFC3339))
	}
	req.At = r.Wall()
	if req, err = runs.RequestCancel(ctx, run, req); err != nil {
		return nil, err
	}
	out := &Cancelled{Run: run, Request: req, Outcome: "asked"}
	ticks, stop := r.ticks(cancelPatience)
	defer stop()
	for look := 0; ; look++ {
		if out.Run, err = runs.Get(ctx, run.ID); err != nil {
			return nil, err
		}
		if out.Run.Status != ledger.Running {
			out.Outcome = "ended"
			return out, nil
		}
		lease, err := r.acquire(ctx, leaseKey(run.Job, run.Label))
		if err == nil {
			return out, errors.Join(r.buryCancelled(ctx, runs, job, out), lease.Release(context.WithoutCancel(ctx)))
		}
		if !errors.Is(err, storage.ErrHeld) {
			return nil, err
		}
		if look >= looks {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return out, context.Cause(ctx)
		case <-ticks:
		}
	}
}

// buryCancelled records a run whose process has died, unless it ended between the last look and now. The caller holds its lease.
func (r *Runner) buryCancelled(ctx context.Context, runs ledger.Ledger, job *Job, out *Cancelled) (err error) {
	if out.Run, err = runs.Get(ctx, out.Run.ID); err != nil {
		return err
	}
	if out.Outcome = "ended"; out.Run.Status != ledger.Running {
		return nil
	}
	out.Outcome = "buried"
	out.Run.Cancelled = &out.Request
	return r.bury(ctx, runs, job, out.Run, r.Now(), "cancelled "+out.Request.String())
}

// CancelledBy returns the request by which a run was ended, if err says that it was.
func CancelledBy(err error) (ledger.Cancel, bool) {
	var c cancelled
	ok := errors.As(err, &c)
	return c.Cancel, ok
}
