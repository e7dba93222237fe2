package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// BackfillOptions say which intervals to run and how far.
type BackfillOptions struct {
	From, To    time.Time // intervals that lie in [From, To)
	Through     Through
	PromoteLast bool // the last interval goes through publishing
	Backwards   bool
	DryRun      bool
}

// Backfilled is the outcome of one interval of a backfill.
type Backfilled struct {
	Interval table.Interval `json:"interval"`
	Result   *Result        `json:"result,omitempty"`
	Preview  *Preview       `json:"preview,omitempty"` // of a dry run
	Error    string         `json:"error,omitempty"`
}

// ErrBackfill says that some intervals of a backfill failed; the others were done.
var ErrBackfill = errors.New("some intervals failed")

// Intervals are those of the job that lie in [From, To), ascending. There must be one, and Through must be short of publishing.
func (o BackfillOptions) Intervals(job *Job) ([]table.Interval, error) {
	from, to := o.From.Format(time.RFC3339), o.To.Format(time.RFC3339)
	if o.Through == ThroughPublish {
		return nil, errors.New("a backfill goes through ingest, build or train; --promote-last publishes its last interval")
	}
	if !o.From.Before(o.To) {
		return nil, fmt.Errorf("nothing lies between %s and %s: --to must be after --from", from, to)
	}
	all := job.Every.Between(o.From, o.To)
	if len(all) == 0 {
		return nil, fmt.Errorf("no whole interval of %s lies between %s and %s", job.Every, from, to)
	}
	return all, nil
}

// Backfill runs many intervals, one after another, and tells each outcome as it comes. An interval without any event or with too few, or that the gate
// refuses, does not stop the others; anything else does. If the last has not closed, nothing is run. Past intervals get no alias: versions that they train stay in the registry.
func (r *Runner) Backfill(ctx context.Context, job *Job, o BackfillOptions, each func(Backfilled) error) error {
	intervals, err := o.Intervals(job)
	if err != nil {
		return err
	}
	last := intervals[len(intervals)-1]
	if err := r.closed(last); err != nil {
		return err
	}
	if o.Backwards {
		slices.Reverse(intervals)
	}
	failed := 0
	for _, iv := range intervals {
		through := o.Through
		if o.PromoteLast && iv == last {
			through = ThroughPublish
		}
		out := Backfilled{Interval: iv}
		var err error
		if o.DryRun {
			out.Preview, err = r.Plan(ctx, job, iv, through)
		} else {
			out.Result, err = r.Run(ctx, job, iv, Options{Through: through, Cause: "backfill"})
		}
		if err != nil {
			out.Error = err.Error()
			failed++
		}
		if eachErr := each(out); eachErr != nil {
			return eachErr
		}
		if err != nil && !errors.Is(err, ErrRejected) && !errors.Is(err, ErrNoData) && !errors.Is(err, errLowVolume) {
			return fmt.Errorf("%s: %w", iv, err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d of %d", ErrBackfill, failed, len(intervals))
	}
	return nil
}
