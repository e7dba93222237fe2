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

// ErrNothingToAcknowledge says that a run has called no drift, or not of those columns or that cause.
var ErrNothingToAcknowledge = errors.New("no drift to acknowledge")

// ErrWhichDrift says that several columns have drifted, and that nobody has said which of them is known.
var ErrWhichDrift = errors.New("several columns have drifted, and one is acknowledged by its name or its cause")

// Known says which drift of a run is acknowledged: of columns by their names, of all columns with a cause, or, if both are empty, of the one column that
// was called.
type Known struct {
	Columns []string
	Cause   drift.CauseKind
}

// of reports whether a column is meant.
func (k Known) of(c DriftVerdict) bool {
	if len(k.Columns) > 0 && !slices.Contains(k.Columns, c.Column) {
		return false
	}
	return k.Cause == "" || causeOf(c.Cause) == k.Cause
}

// choose returns those of the columns that have drifted in a run that are meant.
func (k Known) choose(run *ledger.Run) ([]DriftVerdict, error) {
	d, err := DriftOf(run)
	if err != nil {
		return nil, err
	}
	var drifted, chosen []DriftVerdict
	for _, c := range d.Columns {
		if c.Verdict == drift.Drifted {
			drifted = append(drifted, c)
		}
	}
	for _, name := range k.Columns { // each: a slip of the pen is not passed over beside a name that is right
		if !slices.ContainsFunc(drifted, func(c DriftVerdict) bool { return c.Column == name && k.of(c) }) {
			return nil, fmt.Errorf("%w in run %s: it has not called %s%s; it called %s", ErrNothingToAcknowledge, run.ID, name, k.by(), calledIn(drifted))
		}
	}
	for _, c := range drifted {
		if k.of(c) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w in run %s%s: it called %s", ErrNothingToAcknowledge, run.ID, k.by(), calledIn(drifted))
	}
	if len(k.Columns) > 0 || k.Cause != "" {
		return chosen, nil
	}
	if open := d.Called(); len(open) > 0 { // what is known already need not be said again
		chosen = open
	}
	if len(chosen) > 1 {
		return nil, fmt.Errorf("%w: run %s called %s", ErrWhichDrift, run.ID, calledIn(chosen))
	}
	return chosen, nil
}

// by is the cause that is meant, in words, or "".
func (k Known) by() string {
	if k.Cause == "" {
		return ""
	}
	return " for the cause " + string(k.Cause)
}

// calledIn lists columns with what their drift is put down to.
func calledIn(columns []DriftVerdict) string {
	if len(columns) == 0 {
		return "none"
	}
	var out []string
	for _, c := range columns {
		if cause := causeOf(c.Cause); cause != "" {
			out = append(out, fmt.Sprintf("%s (%s)", c.Column, cause))
		} else {
			out = append(out, c.Column)
		}
	}
	return strings.Join(out, ", ")
}

// Acknowledge records that somebody knows of what drifted in a run. The intervals from that of the run on are silent about the same columns, each with the cause
// that it has in the run, until a time. Cost: a PUT a column.
func (r *Runner) Acknowledge(ctx context.Context, run *ledger.Run, known Known, until time.Time, by, why string) ([]Ack, error) {
	if !until.After(run.Interval.End.Add(-time.Nanosecond)) {
		return nil, fmt.Errorf("acknowledge drift of run %s: %s lies before the end of its interval, %s", run.ID, until.UTC().Format(time.RFC3339), run.Interval.End.UTC().Format(time.RFC3339))
	}
	columns, err := known.choose(run)
	if err != nil {
		return nil, err
	}
	var out []Ack
	for _, c := range columns {
		a := Ack{Job: run.Job, Run: run.ID, Column: c.Column, Cause: causeOf(c.Cause), From: run.Interval.Start.UTC(), Until: until.UTC(), By: by, Why: why, At: r.Wall().UTC()}
		a.ID = r.NewID(a.At)
		out = append(out, a)
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
