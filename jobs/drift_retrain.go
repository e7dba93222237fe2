package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// causeDrift is the cause of the runs that a drift job started.
const causeDrift = "drift"

// Retrain is what a drift job has done about drift: it has started the job that it watches, or says why not.
type Retrain struct {
	Job      string         `json:"job"`
	Interval table.Interval `json:"interval"`
	Run      string         `json:"run_id,omitempty"`
	Status   ledger.Status  `json:"status,omitempty"`
	Why      string         `json:"why,omitempty"` // it was not started, or had nothing to do
}

func (r *Retrain) String() string {
	switch {
	case r.Run == "":
		return r.Job + " was not started: " + r.Why
	case r.Why != "":
		return fmt.Sprintf("%s, run %s: %s", r.Job, r.Run, r.Why)
	}
	return fmt.Sprintf("%s, run %s: %s", r.Job, r.Run, r.Status)
}

// errCooling says that drift has started a job so lately that it does not start it again.
var errCooling = errors.New("the cool-down has not passed")

// retrain starts the job that this one watches, if the inputs have drifted, through publishing, and waits for its end: a run that is interrupted meanwhile
// goes on with it when it is resumed. A refusal by its gate is no failure of this run. Within the cool-down it is started once.
func (w *work) retrain(ctx context.Context) error {
	t := w.job.Watched
	if t == nil || w.job.Drift.Action != "retrain" || len(w.res.Drift.Called()) == 0 {
		return nil
	}
	out := &Retrain{Job: t.Name, Interval: t.Every.At(w.iv.End)}
	w.res.Drift.Retrain = out
	if w.res.Drift.Expected != "" {
		out.Why = "the day is declared in the calendar: " + w.res.Drift.Expected
		return nil
	}
	paused, err := w.Paused(ctx, t.Name)
	if err != nil {
		return err
	}
	if paused != nil {
		out.Why = "it is paused " + paused.String()
		return nil
	}
	if err := w.cooling(ctx, t, out.Interval); err != nil {
		return notStarted(out, err)
	}
	res, err := w.Run(ctx, t, out.Interval, Options{Through: ThroughPublish, Cause: causeDrift, unless: func(ctx context.Context) error {
		return w.cooling(ctx, t, out.Interval) // another may have started it since
	}})
	if res == nil {
		return notStarted(out, err)
	}
	if out.Run, out.Status = res.RunID, res.Status; res.Nothing {
		out.Why = "its last interval is trained and judged already"
	}
	if err != nil && !errors.Is(err, ErrRejected) {
		return fmt.Errorf("retrain %s: %w", t.Name, err)
	}
	return nil
}

// notStarted keeps why a job was not started, unless it is a fault.
func notStarted(out *Retrain, err error) error {
	switch {
	case errors.Is(err, errCooling):
		out.Why = strings.TrimPrefix(err.Error(), errCooling.Error()+": ")
	case errors.Is(err, storage.ErrHeld):
		out.Why = "another process is at its interval"
	default:
		return fmt.Errorf("retrain %s: %w", out.Job, err)
	}
	return nil
}

// cooling returns errCooling if drift has started the job within the cool-down. An attempt at the same interval that came to no end is gone on with, and
// one that found nothing to do has not answered any drift.
func (w *work) cooling(ctx context.Context, t *Job, iv table.Interval) error {
	if w.job.CoolDown <= 0 {
		return nil
	}
	since := w.now.Add(-w.job.CoolDown)
	runs := ledger.Ledger{Bucket: w.Bucket}
	lines, err := runs.List(ctx, since, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return err
	}
	label := t.Every.Label(iv)
	for _, l := range lines {
		ended := l.Status == ledger.Succeeded || l.Status == ledger.Rejected
		if l.Job == t.Name && l.Cause == causeDrift && l.Started.After(since) && (ended || l.Label != label) {
			run, err := runs.Get(ctx, l.ID)
			if err != nil {
				return err
			}
			if ended && idle(run) {
				continue
			}
			return fmt.Errorf("%w: run %s was started by drift at %s, and the cool-down lasts until %s", errCooling, l.ID,
				l.Started.UTC().Format(time.RFC3339), l.Started.Add(w.job.CoolDown).UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// idle reports whether all steps of a run had been done before.
func idle(run *ledger.Run) bool {
	return !slices.ContainsFunc(run.Steps, func(s ledger.Step) bool { return s.Status != "skipped" })
}
