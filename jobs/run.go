package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs/cost"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// Runner holds what every run of a project shares. All fields but Keys and Progress are needed.
type Runner struct {
	Bucket    storage.Bucket
	Online    online.Store
	OnlineURL string // as results name it
	Engine    features.Engine
	Memory    int64               // bytes that a build may take for its state; 0: no limit
	Spill     string              // the folder for what does not fit; "": the system's for temporary files
	Sparing   func() (end func()) // begins a piece of work that holds much memory, which is to be spared until its end; nil: it is not
	Loaders   map[string]models.Loader
	Keys      event.Keys     // zero: a runner of interval-level steps, which may not read raw data
	Previous  []event.Keys   // retired secrets, which still find people who have not reappeared
	LinkedBy  *event.DataSet // the declared identity table; nil: no two ids are one person's
	Now       func() time.Time
	Wall      func() time.Time // the machine's clock, for leases and durations; Now is the project's
	Pinned    bool             // the clock is fixed by the project
	NewID     func(time.Time) string
	Holder    string                   // names this process in leases
	Dead      func(holder string) bool // whether the process that a lease names has died for certain; nil: leases are waited for
	Revision  string
	Encrypted string // how the storage's server is asked to keep objects, for who reads the record of a run or a receipt: s3, kms:KEYID, or "": as its bucket does
	Log       *slog.Logger
	Progress  func(Progress)
	Observers []Observer // told of every run
	// Ticks returns a channel that ticks so often, and what ends it; nil: the machine's clock ticks.
	Ticks func(every time.Duration) (ticks <-chan time.Time, stop func())

	turns *turns // of runs beside one another in this process; nil: there is one at a time
}

// spare begins a piece of work that holds much memory.
func (r *Runner) spare() (end func()) {
	if r.Sparing == nil {
		return func() {}
	}
	return r.Sparing()
}

// Observer is told how runs go: alerts and lineage are observers. It is called from the run's goroutine, and what goes wrong with it is its
// own affair: it bounds its time, and no run fails for it.
type Observer interface {
	// Started is told after the run has been recorded.
	Started(ctx context.Context, job *Job, run ledger.Run)
	// Ended is told once for each Started, after the end has been recorded; also when ctx was cancelled. res may lack what the run
	// did not come to; it is nil for a run that was killed, of which the next run of its interval tells.
	Ended(ctx context.Context, job *Job, run ledger.Run, res *Result)
}

// Progress is one sign of life of a step: Done of Total units. Total 0 means unknown. Run is the label of the interval whose run it is, or "".
type Progress struct {
	Run         string
	Step, Label string
	Done, Total int64
	Unit        string
}

// Through says how far a run goes.
type Through int

// The stations of a run. ThroughDrift checks the inputs for drift, ThroughTrain trains and evaluates; ThroughPublish is a whole run.
const (
	ThroughIngest Through = iota + 1
	ThroughBuild
	ThroughDrift
	ThroughTrain
	ThroughPublish
)

var stations = []string{"ingest", "build", "drift", "train", "publish"}

func (t Through) String() string {
	if t < ThroughIngest || t > ThroughPublish {
		return fmt.Sprintf("Through(%d)", int(t))
	}
	return stations[t-1]
}

// ParseThrough reads ingest, build, drift, train or publish.
func ParseThrough(s string) (Through, error) {
	for i, name := range stations {
		if s == name {
			return Through(i + 1), nil
		}
	}
	return 0, fmt.Errorf("%q is no step to go through; one of ingest, build, drift, train, publish", s)
}

// Errors by which a caller tells how a run ended.
var (
	// ErrRejected says that the gate refused the candidate: nothing was published.
	ErrRejected = errors.New("refused by the gate")
	// ErrOpenInterval says that an interval has not closed yet: half a day would be judged and published as a whole one.
	ErrOpenInterval = errors.New("the interval is still open")
	// ErrNotReady says that the source has not delivered a day of the interval whole yet: nothing is wrong, and a later run may find it.
	ErrNotReady = errors.New("not ready")
	// ErrNoData says that the interval holds no event that may be used.
	ErrNoData = errors.New("no usable events")
)

// Options of one run.
type Options struct {
	Through Through
	Cause   string // "run", "backfill" or "schedule"

	place *place // among the runs of a backfill; nil: alone
	// unless is asked once the interval's lease is held, before anything is recorded; an error of it is Run's. nil: nothing forbids the run.
	unless func(context.Context) error
}

// Published is what a run put online.
type Published struct {
	Store      string `json:"store"`
	Generation uint64 `json:"generation"`
	Fence      uint64 `json:"fence"`
	Entities   int    `json:"entities"`
}

// ModelRef names a version in results.
type ModelRef struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Digest  string `json:"digest"`
}

// Result is what a run says of itself.
type Result struct {
	RunID     string         `json:"run_id"`
	Job       string         `json:"job"`
	Interval  table.Interval `json:"interval"`
	Status    ledger.Status  `json:"status"`
	Nothing   bool           `json:"nothing_to_do"` // every step was done before
	Model     *ModelRef      `json:"model,omitempty"`
	Published *Published     `json:"published,omitempty"`
	Waiting   string         `json:"waiting,omitempty"` // why a passing version was not published
	Report    string         `json:"report,omitempty"`  // key of the report in the bucket, without .json or .html
	Reasons   []string       `json:"reasons,omitempty"`
	Flags     []string       `json:"flags,omitempty"`
	Funnel    string         `json:"funnel,omitempty"`   // of the interval's raw rows, small counts suppressed
	FunnelAt  time.Time      `json:"funnel_at,omitzero"` // when the last of its days was read, if not by this run: policy was that of then
	Learned   string         `json:"learned,omitempty"`  // of the rows that the days of the training window hold, as this run found them
	Remedy    string         `json:"remedy,omitempty"`   // of the largest loss in Funnel

	Reopened []Reopened `json:"reopened,omitempty"` // days that it read again

	Drift *Drifted `json:"drift,omitempty"` // what its drift checks found

	Verdicts   []expect.Verdict    `json:"verdicts,omitempty"`   // what came of the expectations of its sources
	Quarantine []ledger.Quarantine `json:"quarantine,omitempty"` // rows that were left out because they are none

	Steps []ledger.Step `json:"steps"`
	Cost  cost.Cost     `json:"cost"`
}

// leaseTime is how long a lease lasts without being renewed.
const leaseTime = 2 * time.Minute

// Run brings one interval of a job as far as o says, doing only the steps that are not done, and records it in the ledger.
// It returns a Result whenever a run was recorded, with ErrRejected if the gate refused, and storage.ErrHeld without one if another
// process is at the same interval. A cancelled context leaves a state that the next Run resumes.
func (r *Runner) Run(ctx context.Context, job *Job, iv table.Interval, o Options) (*Result, error) {
	label := job.Every.Label(iv)
	if o.Through == 0 {
		o.Through = ThroughPublish
	}
	if job.Watched != nil { // it trains nothing itself
		o.Through = min(o.Through, ThroughDrift)
	}
	if err := r.closed(iv); err != nil {
		return nil, err
	}
	lease, err := r.acquire(ctx, leaseKey(job.Name, label))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", job.Name, label, err)
	}
	if o.unless != nil {
		if err := o.unless(ctx); err != nil {
			return nil, errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
		}
	}
	ctx, stop := lease.Keep(ctx)
	defer stop()

	started := r.Now()
	rec := &ledger.Run{
		ID: r.NewID(started), Job: job.Name, Interval: iv, Label: label, Status: ledger.Running, Cause: o.Cause, Through: o.Through.String(), Holder: r.Holder, Started: started,
		Pinned: r.Pinned, Revision: r.Revision, Encrypted: r.Encrypted, Fence: lease.Fence(), Steps: []ledger.Step{}, Spec: raw(job.spec()),
	}
	runs := ledger.Ledger{Bucket: r.Bucket}
	if err := errors.Join(r.buryBefore(ctx, runs, job, rec), runs.Save(ctx, rec)); err != nil {
		return nil, errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
	}
	r.Log.Info("run started", "run", rec.ID, "job", job.Name, "interval", iv.String())
	for _, o := range r.Observers {
		o.Started(ctx, job, *rec)
	}

	w := r.measured(job, iv, started)
	w.lease, w.run, w.res.RunID, w.res.Status, w.place = lease, rec, rec.ID, ledger.Running, o.place
	ctx, w.unattend = w.attend(ctx, runs)
	if w.reg, err = registry.Open(w.Bucket, job.Model.Name); err == nil {
		err = w.through(ctx, o)
	}
	return w.finish(ctx, runs, err)
}

// measured is newWork for a run whose cost is measured: what it reads and writes, of the project and of its sources, is counted.
func (r *Runner) measured(job *Job, iv table.Interval, now time.Time) *work {
	m := cost.NewMeter(r.Wall)
	own := *r
	own.Bucket = m.Bucket(r.Bucket)
	own.Progress = func(p Progress) {
		if r.Progress != nil {
			p.Run = job.Every.Label(iv)
			r.Progress(p)
		}
	}
	w := own.newWork(job.counted(m), iv, now)
	w.declared, w.meter, w.total = job, m, m.Begin()
	return w
}

// closed returns ErrOpenInterval if iv ends after now.
func (r *Runner) closed(iv table.Interval) error {
	if now := r.Now(); iv.End.After(now) {
		return fmt.Errorf("%w: %s ends after now, %s", ErrOpenInterval, iv, now.UTC().Format(time.RFC3339))
	}
	return nil
}

// buryBefore records that earlier runs of next's interval were interrupted if they are still said to be running: next holds the interval's
// lease, so whoever ran them died or overslept, and has no say any more. It looks at the runs of the last month and of this one.
func (r *Runner) buryBefore(ctx context.Context, runs ledger.Ledger, job *Job, next *ledger.Run) error {
	lines, err := runs.List(ctx, next.Started.AddDate(0, -1, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return err
	}
	for _, l := range lines {
		if l.Status != ledger.Running || l.Job != next.Job || l.Label != next.Label {
			continue
		}
		dead, err := runs.Get(ctx, l.ID)
		if errors.Is(err, storage.ErrNotFound) { // the ledger is an account and no truth: a hole in it keeps nobody from working
			r.Log.Warn("the ledger lists a run whose record is gone", "run", l.ID, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if dead.Status != ledger.Running { // it has ended and been told of, and died before the index had its line
			if err := runs.Save(ctx, dead); err != nil {
				return err
			}
			continue
		}
		if err := r.bury(ctx, runs, job, dead, next.Started, "run "+next.ID+" took over"); err != nil {
			return err
		}
	}
	return nil
}

// bury records that the process of a run has died. The caller holds the lease of its interval.
func (r *Runner) bury(ctx context.Context, runs ledger.Ledger, job *Job, dead *ledger.Run, at time.Time, says string) error {
	dead.Status, dead.Ended, dead.Fault, dead.Error = ledger.Interrupted, at, faultKilled, "its process ended without a word; "+says
	dead.Hint = hints[faultKilled]
	for i := range dead.Steps {
		if dead.Steps[i].Status == "running" {
			dead.Steps[i].Status = "interrupted"
		}
	}
	if err := runs.Save(ctx, dead); err != nil {
		return err
	}
	if job != nil {
		for _, o := range r.Observers {
			o.Ended(ctx, job, *dead, nil)
		}
	}
	return nil
}

// leaseKey is the lease of one interval of a job.
func leaseKey(job, label string) string { return "leases/" + job + "/" + label }

// acquire takes a lease for this process, at once if its holder has died.
func (r *Runner) acquire(ctx context.Context, key string) (*storage.Lease, error) {
	return storage.AcquireFrom(ctx, r.Bucket, key, r.Holder, leaseTime, r.Wall, r.Dead)
}

// patience is how long await waits for another publisher: as long as a load may take.
const (
	patience = 15 * time.Minute
	askAgain = 2 * time.Second
)

// await is acquire, but waits a while for a holder who lives.
func (r *Runner) await(ctx context.Context, key string) (*storage.Lease, error) {
	for waited := time.Duration(0); ; waited += askAgain {
		l, err := r.acquire(ctx, key)
		if !errors.Is(err, storage.ErrHeld) || waited >= patience {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(askAgain):
		}
	}
}

// finish writes how the run ended, even when ctx has been cancelled, and lets go of the lease.
func (w *work) finish(ctx context.Context, runs ledger.Ledger, err error) (*Result, error) {
	interrupted, cause := ctx.Err() != nil, context.Cause(ctx)
	w.unattend() // which ends ctx
	rec, res := w.run, w.res
	switch {
	case err == nil:
		rec.Status = ledger.Succeeded
	case errors.Is(err, ErrRejected):
		rec.Status = ledger.Rejected
	case interrupted:
		rec.Status = ledger.Interrupted
		if cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
	default:
		rec.Status = ledger.Failed
	}
	w.account(err)
	res.Status, res.Steps, res.Nothing, res.Cost = rec.Status, rec.Steps, !w.moved, rec.Cost
	for _, s := range rec.Steps {
		res.Nothing = res.Nothing && s.Status == "skipped"
	}

	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	if lost := w.lease.Check(end); lost != nil { // somebody else owns this interval now, and its record
		rec.Status, rec.Error, rec.Fault = ledger.Interrupted, lost.Error(), faultLost
		for _, o := range w.Observers {
			o.Ended(context.WithoutCancel(ctx), w.declared, *rec, res)
		}
		return res, errors.Join(err, lost)
	}
	if saveErr := runs.Save(end, rec); saveErr != nil {
		err = errors.Join(err, saveErr)
	}
	if relErr := w.lease.Release(end); relErr != nil {
		err = errors.Join(err, relErr)
	}
	w.Log.Info("run ended", "run", rec.ID, "status", rec.Status)
	for _, o := range w.Observers {
		o.Ended(context.WithoutCancel(ctx), w.declared, *rec, res)
	}
	return res, err
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data
	}
	if string(b) == "null" {
		return nil
	}
	return b
}

// work is one run under way.
type work struct {
	*Runner
	job    *Job
	iv     table.Interval
	label  string
	now    time.Time
	tables table.Store
	reg    *registry.Registry
	dry    bool           // plan only: write nothing
	moved  bool           // the alias or the online pointer has been moved
	lease  *storage.Lease // nil for work that commits only what anybody would commit alike
	run    *ledger.Run
	res    *Result

	declared *Job // as the caller knows it; job's buckets are counted
	meter    *cost.Meter
	total    *cost.Reading // of the whole run
	unattend func()        // ends what attend began
	place    *place        // among the runs of a backfill

	mu    sync.Mutex   // over run.Steps and what follows: attend reads them while the run goes on
	stage string       // of through
	doing *ledger.Step // the step under way
	moves int          // how often these have changed

	journal *event.Journal // once policy has been read,
	epoch   int            // as of this erasure

	plan *plan
	next *table.Interval // of the lists that are about to be made live; nil: none are

	gone bool // of the interval's events none stands that was kept when they were read

	carried *policy.Decisions // by which the rows were loaded that this work has loaded; nil: it has loaded none
	early   bool              // somebody is denied whom these would let in, until they are live

	accept *Accepted                             // a held feed of consent is let through
	ahead  func(context.Context, *consent) error // is told of a new feed of consent before it is committed; nil: nobody
	dear   string                                // why builds keep no state for later ones, as an earlier one's size says
	data   *dataset                              // what assemble, train, evaluate and load share; loaded once
	model  models.Model

	reported *eval.Report // that of the live version; nil: none can be read
	liveRead bool         // it has been looked for
}

// result is what a step's body hands to commit.
type result struct {
	outputs      map[string]table.Manifest
	facts        any
	rowsIn, rows int64
	bytesRead    int64
	says         string // what it went on from, in words
}

// do brings one step to be done: it returns what stands in its done object, or runs body and commits. What body made is discarded when
// another process committed first: both are the same by construction, and the first stands.
func (w *work) do(ctx context.Context, s step, body func(ctx context.Context) (result, error)) (*table.Commit, error) {
	leave, err := w.turns.enter(ctx, s.key)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.name, s.label, err)
	}
	defer leave()
	reading := w.meter.Begin()
	rec := ledger.Step{Name: s.name, Label: s.label, Key: s.key, Status: "skipped", Inputs: w.inputs(s)}
	w.begin(rec)
	defer func() {
		rec.Cost = reading.End()
		w.end(rec)
	}()
	c, _, err := w.tables.Lookup(ctx, s.key)
	if err == nil {
		rec.Outputs = outputs(c)
		return c, nil
	}
	rec.Status, rec.Why = "failed", s.why
	if !errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%s %s: %w", s.name, s.label, err)
	}
	res, err := body(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.name, s.label, err)
	}
	if err := w.held(ctx); err != nil { // a zombie commits nothing
		return nil, fmt.Errorf("%s %s: %w", s.name, s.label, err)
	}
	if err := w.overtaken(ctx, s); err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.name, s.label, err)
	}
	facts, err := json.Marshal(res.facts)
	if err != nil {
		return nil, fmt.Errorf("%s %s: facts: %w", s.name, s.label, err)
	}
	iv := s.iv
	c = &table.Commit{
		Key: s.key, Step: s.name, Interval: &iv, Outputs: res.outputs, Facts: facts, Revision: w.Revision,
		Run: w.run.ID, Nonce: w.run.ID, At: w.Wall(),
	}
	won, err := w.tables.Commit(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.name, s.label, err)
	}
	if !won {
		if c, _, err = w.tables.Lookup(ctx, s.key); err != nil {
			return nil, fmt.Errorf("%s %s: %w", s.name, s.label, err)
		}
	}
	rec.Status, rec.RowsIn, rec.RowsOut, rec.Outputs, rec.Says = "done", res.rowsIn, res.rows, outputs(c), res.says
	w.Log.Info("step done", "run", w.run.ID, "step", s.name, "label", s.label, "rows_in", res.rowsIn, "rows_out", res.rows)
	return c, nil
}

// errErased says that the run began before an erasure and has read what that has removed since.
var errErased = errors.New("subjects were erased while the run went on: run again")

// overtaken returns an error if an erasure has begun since the run's policy was read: what the step has staged may hold the erased
// subjects, and the erasure has not seen it. It is removed.
func (w *work) overtaken(ctx context.Context, s step) error {
	if w.journal == nil {
		return nil
	}
	if err := w.journal.Refresh(ctx); err != nil || w.journal.Epoch() == w.epoch {
		return err
	}
	_, _, err := w.sweep(ctx, table.Commit{Key: s.key})
	return errors.Join(errErased, err)
}

// held returns an error if the work has lost its lease.
func (w *work) held(ctx context.Context) error {
	if w.lease == nil {
		return nil
	}
	return w.lease.Check(ctx)
}

// factsOf decodes the facts of a commit.
func factsOf[T any](c *table.Commit) (v T, err error) {
	if err = json.Unmarshal(c.Facts, &v); err != nil {
		err = fmt.Errorf("facts of %s: %w", c.Key, err)
	}
	return v, err
}

// skipped records the days that were done before, as one step each.
func (w *work) skipped(days []plannedDay) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moves++
	for _, d := range days {
		if d.done {
			w.run.Steps = append(w.run.Steps, ledger.Step{Name: d.name, Label: d.label, Key: d.key, Status: "skipped"})
		}
	}
}

func (r *Result) setFunnel(f policy.Funnel) {
	r.Funnel, r.Remedy = f.Suppressed(smallCell), f.Remedy()
}

// Progressed reports a sign of life, if anybody listens.
func (r *Runner) Progressed(name, label string, done, total int64, unit string) {
	if r.Progress != nil {
		r.Progress(Progress{Step: name, Label: label, Done: done, Total: total, Unit: unit})
	}
}
