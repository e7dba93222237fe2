package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Reprocess says what a backfill does with intervals that have been run before. What is done is kept under keys made of its inputs, so that to
// do something "again" means to look at the inputs again: where they are what they were, the same bytes would come out, and nothing is done.
type Reprocess string

const (
	// ReprocessNone runs what was never run, what was interrupted, and what has succeeded but not as far as is asked now or with other
	// inputs. An interval whose last run failed or was rejected is left alone, and told as such.
	ReprocessNone Reprocess = "none"
	// ReprocessFailed runs those too.
	ReprocessFailed Reprocess = "failed"
	// ReprocessCompleted looks at every source file of every day again, however old (the job's lookback does not count), ingests the days
	// whose files have changed and all that follows from them, and makes the checks of done intervals again.
	ReprocessCompleted Reprocess = "completed"
)

// MaxActive is how many intervals of a backfill may run at once, at most.
const MaxActive = 64

// BackfillOptions say which intervals to run and how far.
type BackfillOptions struct {
	From, To    time.Time // intervals that lie in [From, To)
	Through     Through
	PromoteLast bool // the last interval goes through publishing
	Backwards   bool
	DryRun      bool
	Reprocess   Reprocess // "" is ReprocessNone
	Active      int       // intervals that run at once; 0 is 1. Each holds its own training set in memory
}

// Backfilled is the outcome of one interval of a backfill.
type Backfilled struct {
	Interval table.Interval `json:"interval"`
	Result   *Result        `json:"result,omitempty"`
	Preview  *Preview       `json:"preview,omitempty"` // of a dry run
	Left     string         `json:"left,omitempty"`    // why it was not run: its last run failed, or another run is at it
	Error    string         `json:"error,omitempty"`
}

// ErrBackfill says that some intervals of a backfill failed; the others were done.
var ErrBackfill = errors.New("some intervals failed")

// Intervals are those of the job that lie in [From, To), ascending. There must be one, and Through must be short of publishing.
func (o BackfillOptions) Intervals(job *Job) ([]table.Interval, error) {
	from, to := o.From.Format(time.RFC3339), o.To.Format(time.RFC3339)
	if o.Through == ThroughPublish {
		return nil, errors.New("a backfill goes through ingest, build, drift or train; --promote-last publishes its last interval")
	}
	if o.Active < 0 || o.Active > MaxActive {
		return nil, fmt.Errorf("%d intervals at once: want 1 to %d", o.Active, MaxActive)
	}
	switch o.Reprocess {
	case "", ReprocessNone, ReprocessFailed, ReprocessCompleted:
	default:
		return nil, fmt.Errorf("--reprocess %q: one of none, failed, completed", string(o.Reprocess))
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

// Backfill runs many intervals, at most Active at once, and tells each outcome as it comes, one at a time. Tables, versions and their numbers
// are those of running one after another: a step that several intervals share is done once, versions are registered in the order of
// the intervals, and what is published runs alone. The intervals of other runs are left to them.
//
// What goes wrong with one interval does not stop the others; a fault that all have in common does (see common), and so does the same
// error three times in a row. If the last interval has not closed, nothing is run. Past intervals get no alias: versions that they train
// stay in the registry. The error wraps ErrBackfill if some failed, and storage.ErrHeld if all that is missing is left to other runs.
func (r *Runner) Backfill(ctx context.Context, job *Job, o BackfillOptions, each func(Backfilled) error) error {
	intervals, err := o.Intervals(job)
	if err != nil {
		return err
	}
	last := intervals[len(intervals)-1]
	if err := r.closed(last); err != nil {
		return err
	}
	before, err := r.lastRuns(ctx, job)
	if err != nil {
		return err
	}
	own := *r
	own.turns = &turns{}
	if o.Reprocess == ReprocessCompleted {
		again := *job
		again.Lookback = 0
		job = &again
	}
	if o.DryRun {
		o.Active = 1 // it is read in their order
	}
	b := &backfill{Runner: &own, job: job, o: o, each: each, before: before}
	if o.Backwards {
		slices.Reverse(intervals)
	}
	// What is published runs alone: its lists are of everybody whom the other intervals have numbered.
	for len(intervals) > 0 {
		n := len(intervals)
		if i := slices.Index(intervals, last); o.PromoteLast && i >= 0 {
			n = max(i, 1)
		}
		if err := b.together(ctx, intervals[:n], last); err != nil {
			return err
		}
		intervals = intervals[n:]
	}
	switch {
	case b.failed > 0:
		return fmt.Errorf("%w: %d of %d", ErrBackfill, b.failed, b.all)
	case b.held > 0:
		return fmt.Errorf("left to other runs are %d of %s: %w", b.held, count(b.all, "interval"), storage.ErrHeld)
	}
	return nil
}

// lastRuns returns the last run of each interval of the job, by label. Cost: one GET a month of the ledger.
func (r *Runner) lastRuns(ctx context.Context, job *Job) (map[string]ledger.Line, error) {
	lines, err := ledger.Ledger{Bucket: r.Bucket}.List(ctx, time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		return nil, err
	}
	last := map[string]ledger.Line{}
	for _, l := range lines { // newest first
		if _, ok := last[l.Label]; !ok && l.Job == job.Name {
			last[l.Label] = l
		}
	}
	return last, nil
}

// backfill is one under way.
type backfill struct {
	*Runner
	job    *Job
	o      BackfillOptions
	each   func(Backfilled) error
	before map[string]ledger.Line

	mu                sync.Mutex // over what follows, and over each
	all, failed, held int
	alike             int // failures in a row with one and the same error,
	says              string
}

// together runs some intervals, at most Active at once, started in their order.
func (b *backfill) together(ctx context.Context, intervals []table.Interval, last table.Interval) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, b.o.Active))
	var before <-chan struct{}
	for _, iv := range intervals {
		if ctx.Err() != nil {
			break
		}
		p := &place{before: before, passed: make(chan struct{})}
		before = p.passed
		g.Go(func() error {
			defer p.pass()
			return b.one(ctx, iv, last, p)
		})
	}
	return g.Wait()
}

// one runs one interval and tells its outcome. It returns an error only if the others must stop.
func (b *backfill) one(ctx context.Context, iv, last table.Interval, p *place) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	through := b.o.Through
	if b.o.PromoteLast && iv == last {
		through = ThroughPublish
	}
	out := Backfilled{Interval: iv}
	var err error
	switch left := b.leave(iv); {
	case left != "":
		out.Left = left
	case b.o.DryRun:
		out.Preview, err = b.Plan(ctx, b.job, iv, through)
	default:
		out.Result, err = b.Run(ctx, b.job, iv, Options{Through: through, Cause: "backfill", place: p})
	}
	p.pass()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all++
	switch {
	case out.Left != "":
		b.failed++
	case errors.Is(err, storage.ErrHeld) && out.Result == nil:
		out.Left = "another run is at it: " + err.Error()
		b.held++
	case err != nil:
		out.Error = err.Error()
		b.failed++
	}
	if eachErr := b.each(out); eachErr != nil {
		return eachErr
	}
	if out.Left != "" {
		return nil
	}
	return b.stop(iv, err)
}

// leave says why an interval is left alone, or "".
func (b *backfill) leave(iv table.Interval) string {
	if b.o.Reprocess != "" && b.o.Reprocess != ReprocessNone {
		return ""
	}
	l, ok := b.before[b.job.Every.Label(iv)]
	if ok && (l.Status == ledger.Failed || l.Status == ledger.Rejected) {
		return fmt.Sprintf("run %s %s: rapport runs why %s; --reprocess failed runs it again", l.ID, l.Status, l.ID)
	}
	return ""
}

// common are faults that every interval would meet.
var common = []error{
	context.Canceled, context.DeadlineExceeded, storage.ErrUnreachable, storage.ErrFull, storage.ErrUnconditional, errNoKeys, event.ErrNoKey,
}

// alikeBeforeStop is how many intervals in a row may fail with the same error before it is taken for one that all have in common.
const alikeBeforeStop = 3

// stop returns err if it must end the backfill. The caller holds mu.
func (b *backfill) stop(iv table.Interval, err error) error {
	if err == nil || errors.Is(err, ErrCancelled) {
		b.alike = 0
		return nil
	}
	for _, c := range common {
		if errors.Is(err, c) {
			return fmt.Errorf("%s: %w", iv, err)
		}
	}
	if errors.Is(err, ErrRejected) || errors.Is(err, ErrNoData) || errors.Is(err, errLowVolume) || errors.Is(err, errUnexpected) || errors.Is(err, ErrNotReady) {
		b.alike = 0
		return nil
	}
	if says := innermost(err); says != b.says || b.alike == 0 {
		b.alike, b.says = 1, says
		return nil
	}
	if b.alike++; b.alike >= alikeBeforeStop {
		return fmt.Errorf("%s: the same for %d intervals in a row: %w", iv, b.alike, err)
	}
	return nil
}

// innermost is the text of the error at the bottom of a chain, which names no interval or step.
func innermost(err error) string {
	for {
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			if x.Unwrap() == nil {
				return err.Error()
			}
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			all := x.Unwrap()
			if len(all) == 0 {
				return err.Error()
			}
			err = all[len(all)-1]
		default:
			return err.Error()
		}
	}
}
