package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
)

// Ack says that somebody knows of one cause of drift, a column and what its drift is put down to: until a time it neither warns nor refuses. It
// never silences a budget. Acks stand at drift/acks/JOB/ID.json; none is ever changed or removed.
type Ack struct {
	ID     string          `json:"id"`
	Job    string          `json:"job"`
	Run    string          `json:"run"` // that found it
	Column string          `json:"column"`
	Cause  drift.CauseKind `json:"cause"`
	From   time.Time       `json:"from"`  // of intervals that begin then or later,
	Until  time.Time       `json:"until"` // and end by then
	By     string          `json:"by"`
	Why    string          `json:"why"`
	At     time.Time       `json:"at"`
}

// ackObject is an Ack as it is stored.
type ackObject struct {
	Format int `json:"format"` // 1
	Ack
}

const ackFormat = 1

func ackPrefix(job string) string { return "drift/acks/" + job + "/" }

func (a Ack) String() string {
	return fmt.Sprintf("known to %s until %s: %s", a.By, a.Until.UTC().Format(time.RFC3339), a.Why)
}

// covers reports whether a column's drift is the one that is known.
func (a Ack) covers(c *drift.Column) bool { return c.Name == a.Column && causeOf(c.Cause) == a.Cause }

// causeOf is what a drift is put down to; "" for the columns of what a model makes of its inputs, which are put down to nothing.
func causeOf(c *drift.Cause) drift.CauseKind {
	if c == nil {
		return ""
	}
	return c.Kind
}

// ErrNothingToAcknowledge says that a run has called no drift, or not of that column.
var ErrNothingToAcknowledge = errors.New("no drift to acknowledge")

// Acknowledge records that somebody knows of what drifted in a run: of one column, or of all that it called if column is "". The intervals from
// that of the run on are silent about the same column and the same cause until a time. Cost: a PUT a column.
func (r *Runner) Acknowledge(ctx context.Context, run *ledger.Run, column string, until time.Time, by, why string) ([]Ack, error) {
	if !until.After(run.Interval.End.Add(-time.Nanosecond)) {
		return nil, fmt.Errorf("acknowledge drift of run %s: %s lies before the end of its interval, %s", run.ID, until.UTC().Format(time.RFC3339), run.Interval.End.UTC().Format(time.RFC3339))
	}
	d, err := DriftOf(run)
	if err != nil {
		return nil, err
	}
	var out []Ack
	var called []string
	for _, c := range d.Columns {
		if c.Verdict != drift.Drifted {
			continue
		}
		if called = append(called, c.Column); column != "" && c.Column != column {
			continue
		}
		a := Ack{Job: run.Job, Run: run.ID, Column: c.Column, Cause: causeOf(c.Cause), From: run.Interval.Start.UTC(), Until: until.UTC(), By: by, Why: why, At: r.Wall().UTC()}
		a.ID = r.NewID(a.At)
		out = append(out, a)
	}
	if len(out) == 0 {
		found := "it called none"
		if len(called) > 0 {
			found = "it called " + strings.Join(called, ", ")
		}
		return nil, fmt.Errorf("%w in run %s: %s", ErrNothingToAcknowledge, run.ID, found)
	}
	for _, a := range out {
		body, err := json.Marshal(ackObject{Format: ackFormat, Ack: a})
		if err != nil {
			return nil, err
		}
		if _, err := storage.Commit(ctx, r.Bucket, ackPrefix(run.Job)+a.ID+".json", body, storage.Cond{IfAbsent: true}); err != nil {
			return nil, fmt.Errorf("acknowledge drift of %s: %w", a.Column, err)
		}
	}
	return out, nil
}

// Acks returns all that was ever acknowledged of a job, the oldest first. Cost: one LIST, and a GET each.
func (r *Runner) Acks(ctx context.Context, job string) (out []Ack, err error) {
	for info, err := range r.Bucket.List(ctx, ackPrefix(job), storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("acknowledged drift of %s: %w", job, err)
		}
		body, _, err := storage.ReadAll(ctx, r.Bucket, info.Key)
		if err != nil {
			return nil, fmt.Errorf("acknowledged drift of %s: %w", job, err)
		}
		var o ackObject
		if err := json.Unmarshal(body, &o); err != nil {
			return nil, fmt.Errorf("acknowledged drift of %s: %s: %w", job, info.Key, err)
		}
		if o.Format < 1 || o.Format > ackFormat {
			return nil, fmt.Errorf("acknowledged drift of %s: %s: format %d was made by a newer rapport; this one reads up to %d", job, info.Key, o.Format, ackFormat)
		}
		out = append(out, o.Ack)
	}
	slices.SortStableFunc(out, func(a, b Ack) int { return a.At.Compare(b.At) })
	return out, nil
}

// acknowledged are the acks that hold for the interval. They depend on its time and not on that of the run, so that a backfill is as silent as the
// nights were.
func (w *work) acknowledged(ctx context.Context) (out []Ack, err error) {
	all, err := w.Acks(ctx, w.job.Name)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if !w.iv.Start.Before(a.From) && !w.iv.End.After(a.Until) {
			out = append(out, a)
		}
	}
	return out, nil
}

// DriftOf returns what a run's drift checks found; it is empty for a run that did not come to them.
func DriftOf(run *ledger.Run) (*Drifted, error) {
	out := &Drifted{}
	if len(run.Drift) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(run.Drift, out); err != nil {
		return nil, fmt.Errorf("drift of run %s: %w", run.ID, err)
	}
	return out, nil
}
