package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
)

const (
	purgeAgain = 15 * time.Minute // how long after a purge failed it is tried again
	// purgeWaits is how long a purge that is due waits for runs under way to end. What a night goes on from may rest on events whose time is up at this
	// moment: removed after it, they cost it nothing; removed before it, it reads all events of the longest window.
	purgeWaits = 6 * time.Hour
)

// retention is when a scheduler removes what is past its retention: each time once among all servers, by a lease and by the mark of the last time.
type retention struct {
	jobs    []*Job
	due     schedule.Schedule
	since   time.Time // when this scheduler began
	settled time.Time // the firing for which there is nothing left to do
	not     time.Time // before which nothing is tried again
	purge   func(ctx context.Context, js []*Job, by string, dry bool) (*Purged, error)
}

func newRetention(r *Runner, js []*Job, since time.Time) *retention {
	x := &retention{jobs: js, since: since, purge: r.Purge}
	for _, j := range js {
		if !j.PurgeDue.IsZero() { // of the project: each job has the same
			x.due = j.PurgeDue
		}
	}
	return x
}

// purge removes what is past its retention if that has fallen due. It is called by one goroutine, about once a minute.
func (s *Scheduler) purge(ctx context.Context) {
	x, now := s.retention, s.clock.Now()
	if x.due.IsZero() || now.Before(x.not) {
		return
	}
	due := x.due.Prev(now)
	if due.IsZero() || x.settled.Equal(due) {
		return
	}
	done, err := s.purgeDue(ctx, due, now)
	switch {
	case err == nil && done:
		x.settled = due
	case err == nil, errors.Is(err, storage.ErrHeld), ctx.Err() != nil: // it waits, another server is at it, or this one ends
	default:
		x.not = now.Add(purgeAgain)
		s.runner.Log.Error("what is past its retention is not removed", "error", err, "again", x.not)
	}
}

// purgeDue purges, unless somebody has since it fell due, or nobody had begun to then. done is false while it waits for runs.
func (s *Scheduler) purgeDue(ctx context.Context, due, now time.Time) (done bool, err error) {
	x := s.retention
	last, err := s.runner.PurgedAt(ctx)
	switch {
	case err != nil:
		return false, err
	case !last.Before(due), last.IsZero() && due.Before(x.since.Add(-schedule.OnTime)):
		return true, nil
	}
	if now.Sub(due) < purgeWaits {
		running, err := s.underWay(ctx)
		if err != nil || running {
			return false, err
		}
	}
	out, err := x.purge(ctx, x.jobs, s.runner.Holder+" by schedule", false)
	if err != nil {
		return false, err
	}
	log := s.runner.Log.Info
	for _, h := range out.Ended {
		s.runner.Log.Warn("a legal hold has ended, and holds nothing any more", "hold", h.Number, "class", h.Class, "ended", h.Ended().UTC(), "state", h.State(now))
	}
	if n := len(out.Purge.Excepted); n > 0 {
		log = s.runner.Log.Warn
	}
	var rows, bytes int64
	files := 0
	for _, g := range out.Purge.Goes {
		rows, files, bytes = rows+g.Rows, files+g.Files, bytes+g.Bytes
	}
	log("retention", "nothing_to_do", out.Nothing, "purge", out.Purge.Number, "rows", rows, "files", files, "bytes", bytes, "excepted", len(out.Purge.Excepted), "resumed", out.Resumed)
	return true, nil
}

// underWay reports whether a run of one of the jobs goes on, on whatever machine.
func (s *Scheduler) underWay(ctx context.Context) (bool, error) {
	lines, err := s.runner.lately(ctx, s.retention.jobs)
	if err != nil {
		return false, err
	}
	seen := map[string]bool{}
	for _, l := range lines { // the newest first
		if !seen[l.Job] && l.Status == ledger.Running {
			if gone, err := s.runner.Gone(ctx, l.Job, l.Label); err != nil || !gone {
				return err == nil, err
			}
		}
		seen[l.Job] = true
	}
	return false, nil
}
