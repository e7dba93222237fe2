package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/jobs/schedule"
)

// causeSchedule is the cause of the runs that a schedule started.
const causeSchedule = "schedule"

const (
	lookAgain = 20 * time.Second // after which an interval that another process runs is looked at again
	notReady  = 15 * time.Minute // after which a source that was not ready is asked again
	mostTries = 4                // of an interval, by all schedulers together

	longestRun = 8 * 24 * time.Hour // a run that began earlier is not looked for
)

// backoff is how long after the end of the n-th failed attempt the next is made: 5, 15, 45 minutes.
func backoff(n int) time.Duration {
	d := 5 * time.Minute
	for range n - 1 {
		d *= 3
	}
	return d
}

// verdict is what the ledger says of an interval that is due.
type verdict struct {
	finished  string    // why it is not to be started at all,
	as        string    // and as what it counts
	elsewhere bool      // another process is at the job
	again     time.Time // not before
}

// unwanted is a verdict as the error of a run that does not start after all.
type unwanted struct{ verdict }

func (u unwanted) Error() string {
	if u.finished != "" {
		return u.finished
	}
	return "tried again at " + u.again.UTC().Format(time.RFC3339)
}

// consult reads what has been done about an entry since it fell due, by whomever. Cost: one LIST, one GET a month since then, and one if
// another interval of the job is said to be running. Only what schedules start overlaps: a backfill or a run by hand goes on beside it.
func (s *Scheduler) consult(ctx context.Context, job *Job, e schedule.Entry, now time.Time) (verdict, error) {
	runs := ledger.Ledger{Bucket: s.runner.Bucket}
	lines, err := runs.List(ctx, e.Due.Add(-longestRun), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return verdict{}, err
	}
	label := job.Every.Label(e.Interval)
	failures, newest := 0, true
	var v verdict
	var failed time.Time      // when the last attempt did
	for _, l := range lines { // newest first
		if l.Job != job.Name {
			continue
		}
		if l.Label != label {
			if l.Status == ledger.Running && l.Cause == causeSchedule && job.Overlap != schedule.AllowAll && !v.elsewhere {
				if v.elsewhere, err = s.alive(ctx, job, l); err != nil {
					return verdict{}, err
				}
			}
			continue
		}
		switch {
		case l.Started.Before(e.Due):
			continue // of an earlier asking
		case l.Status == ledger.Rejected, l.Status == ledger.Succeeded && (l.Cause == causeSchedule || l.Stage == "publish"):
			return verdict{finished: "run " + l.ID + " has " + string(l.Status), as: "done_elsewhere"}, nil
		case l.Cause != causeSchedule, l.Status == ledger.Succeeded, l.Status == ledger.Running:
			continue // by hand and not to its end; or under way, which its lease tells
		}
		switch ended := l.Ended; l.Fault {
		case faultCancelled:
			return verdict{finished: "run " + l.ID + " was cancelled", as: "cancelled"}, nil
		case faultNotReady:
			if newest {
				v.again = ended.Add(notReady)
			}
		case faultInterrupted, faultLost:
		default:
			if failures++; failures == 1 {
				failed = ended
			}
		}
		newest = false
	}
	switch {
	case failures >= mostTries:
		return verdict{finished: fmt.Sprintf("%d attempts have failed; rapport runs why tells, and rapport run %s --at %s tries again",
			failures, job.Name, e.Interval.End.UTC().Format(time.RFC3339)), as: "given_up"}, nil
	case failures > 0 && failed.Add(backoff(failures)).After(v.again):
		v.again = failed.Add(backoff(failures))
	}
	if v.elsewhere && job.CatchUp == 0 && (job.Overlap == schedule.Skip || job.Overlap == "") {
		return verdict{finished: "an earlier interval is still under way on another server", as: "left_out"}, nil
	}
	return v, nil
}

// alive reports whether the run of another interval that the ledger calls running is under way in another process. Under cancel-other it is asked to
// end.
func (s *Scheduler) alive(ctx context.Context, job *Job, l ledger.Line) (bool, error) {
	if gone, err := s.runner.Gone(ctx, l.Job, l.Label); err != nil || gone {
		return false, err
	}
	if job.Overlap == schedule.CancelOther {
		_, err := s.runner.Cancel(ctx, job, l.ID, ledger.Cancel{By: s.runner.Holder, Why: errReplaced.Error()}, 0)
		if err != nil && !errors.Is(err, ErrEnded) {
			return false, err
		}
	}
	return true, nil
}
