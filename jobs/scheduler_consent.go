package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
)

// syncAgain is how long after consent could not be read it is tried again.
const syncAgain = 2 * time.Minute

// feed is when a scheduler reads consent between runs: each time once among all servers, by a lease and by the mark that says when it was read last.
type feed struct {
	jobs    []*Job // that take consent
	due     schedule.Schedule
	settled time.Time // the firing for which there is nothing left to do
	not     time.Time // before which nothing is tried again
}

func newFeed(js []*Job) *feed {
	f := &feed{}
	for _, j := range js {
		if j.Consent != nil {
			f.jobs, f.due = append(f.jobs, j), j.ConsentSync // of the project: each job has the same
		}
	}
	return f
}

// sync reads consent if that has fallen due. It is called by one goroutine, about once a minute.
func (s *Scheduler) sync(ctx context.Context) {
	f, now := s.feed, s.clock.Now()
	if len(f.jobs) == 0 || f.due.IsZero() || now.Before(f.not) {
		return
	}
	due := f.due.Prev(now)
	if due.IsZero() || f.settled.Equal(due) {
		return
	}
	err := s.syncDue(ctx, due)
	switch {
	case err == nil:
		f.settled = due
	case errors.Is(err, storage.ErrHeld), ctx.Err() != nil: // another server reads it, or this one ends
	default:
		f.not = now.Add(syncAgain)
		s.runner.Log.Error("consent is not read", "error", err, "again", f.not)
	}
}

// syncDue reads consent, unless somebody has since it fell due.
func (s *Scheduler) syncDue(ctx context.Context, due time.Time) error {
	lease, err := s.runner.acquire(ctx, leaseKey("consent", "sync"))
	if err != nil {
		return err
	}
	ctx, stop := lease.Keep(ctx)
	defer stop()
	defer s.runner.release(ctx, lease)
	mark, err := s.runner.consentMark(ctx)
	if err != nil || !mark.Before(due) {
		return err
	}
	out, err := s.runner.SyncConsent(ctx, s.feed.jobs, Caller{})
	if err != nil {
		return err
	}
	log := s.runner.Log.Info
	if out.Held() {
		log = s.runner.Log.Warn
	}
	log("consent read", "records", out.Records, "said", out.Said, "new", out.New, "denied", out.Denied, "held", out.Held(), "flags", out.Flags)
	return nil
}
