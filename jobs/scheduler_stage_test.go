package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// testClock is one time for several schedulers and their runs: it goes on when all of them wait for it.
type testClock struct {
	mu       sync.Mutex
	now, to  time.Time
	loops    int // schedulers
	others   int // runs that are no scheduler's
	waiters  []*waiter
	sleepers []*waiter
}

type waiter struct {
	until   time.Time
	running int
	gone    chan struct{}
	ctx     context.Context
	wake    <-chan struct{}
}

// leaving reports whether it is about to leave by itself.
func (w *waiter) leaving() bool { return w.ctx.Err() != nil || len(w.wake) > 0 }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Wait(ctx context.Context, until time.Time, running int, wake <-chan struct{}) error {
	w := &waiter{until: until, running: running, gone: make(chan struct{}), ctx: ctx, wake: wake}
	c.enter(&c.waiters, w)
	select {
	case <-w.gone:
	case <-wake:
	case <-ctx.Done():
	}
	c.leave(&c.waiters, w)
	if c.Now().After(c.to) {
		return ErrOver
	}
	return nil
}

// sleep is how a run takes its time.
func (c *testClock) sleep(ctx context.Context, d time.Duration) error {
	w := &waiter{until: c.Now().Add(d), gone: make(chan struct{}), ctx: ctx}
	c.enter(&c.sleepers, w)
	defer c.leave(&c.sleepers, w)
	select {
	case <-w.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *testClock) enter(list *[]*waiter, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*list = append(*list, w)
	c.advance()
}

func (c *testClock) leave(list *[]*waiter, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*list = slices.DeleteFunc(*list, func(o *waiter) bool { return o == w })
}

// count changes how many schedulers, and runs that are no scheduler's, the clock waits for.
func (c *testClock) count(loops, others int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loops, c.others = c.loops+loops, c.others+others
	c.advance()
}

func (c *testClock) advance() {
	running := c.others
	for _, w := range c.waiters {
		running += w.running
	}
	if len(c.waiters) < c.loops || len(c.sleepers) < running {
		return
	}
	var next time.Time
	for _, w := range append(slices.Clone(c.waiters), c.sleepers...) {
		if w.leaving() {
			return
		}
		if !w.until.IsZero() && (next.IsZero() || w.until.Before(next)) {
			next = w.until
		}
	}
	if next.IsZero() {
		return
	}
	if next.After(c.now) {
		c.now = next
	}
	for _, list := range []*[]*waiter{&c.sleepers, &c.waiters} {
		*list = slices.DeleteFunc(*list, func(w *waiter) bool {
			due := !w.until.IsZero() && !w.until.After(c.now)
			if due {
				close(w.gone)
			}
			return due
		})
	}
}

// stage is a scheduler whose runs do nothing but take leases, write to the ledger and let time pass.
type stage struct {
	*Scheduler
	clock *testClock
	did   func(label string, try int) (time.Duration, error) // how long a run takes, and how it ends

	mu        sync.Mutex
	tries     map[string]int
	log       []string
	now, most int // runs side by side
}

func newStage(t *testing.T, clock *testClock, b storage.Bucket, holder string, o SchedulerOptions, js ...*Job) *stage {
	t.Helper()
	n := 0
	r := &Runner{
		Bucket: b, Now: clock.Now, Wall: clock.Now, Holder: holder, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		NewID: func(time.Time) string {
			n++
			return fmt.Sprintf("%s-%s-%06d", strings.ToUpper(clock.Now().Format("20060102T150405")), strings.ToUpper(holder), n)
		},
	}
	o.Clock = clock
	s := &stage{
		Scheduler: NewScheduler(r, js, o), clock: clock, tries: map[string]int{},
		did: func(string, int) (time.Duration, error) { return time.Hour, nil },
	}
	s.run = s.pretend
	clock.count(1, 0)
	return s
}

// pretend is Runner.Run without any work.
func (s *stage) pretend(ctx context.Context, job *Job, iv table.Interval, o Options) (*Result, error) {
	label := job.Every.Label(iv)
	lease, err := s.runner.acquire(ctx, leaseKey(job.Name, label))
	if err != nil {
		return nil, err
	}
	if o.unless != nil {
		if err := o.unless(ctx); err != nil {
			return nil, errors.Join(err, lease.Release(ctx))
		}
	}
	run := &ledger.Run{ID: s.runner.NewID(s.clock.Now()), Job: job.Name, Interval: iv, Label: label, Status: ledger.Running, Cause: o.Cause, Started: s.clock.Now()}
	runs := ledger.Ledger{Bucket: s.runner.Bucket}
	if err := runs.Save(ctx, run); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.tries[label]++
	try := s.tries[label]
	s.log = append(s.log, fmt.Sprintf("%s starts %s", s.clock.Now().UTC().Format("02T15:04"), label))
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	took, err := s.did(label, try)
	if passed := s.pass(ctx, lease, run, took); passed != nil {
		err = passed
	}
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	if errors.Is(err, errDied) {
		<-ctx.Done()
		return nil, err
	}
	run.Ended, run.Stage = s.clock.Now(), "publish"
	switch {
	case err == nil:
		run.Status = ledger.Succeeded
	case errors.Is(err, ErrRejected):
		run.Status = ledger.Rejected
	case ctx.Err() != nil:
		run.Status, run.Fault = ledger.Interrupted, faultInterrupted
	default:
		run.Status, run.Fault = ledger.Failed, faultOf(err)
	}
	if c := (cancelled{}); errors.As(err, &c) {
		run.Status, run.Fault, run.Cancelled = ledger.Interrupted, faultCancelled, &c.Cancel
	}
	end := context.WithoutCancel(ctx)
	return &Result{RunID: run.ID, Status: run.Status}, errors.Join(err, runs.Save(end, run), lease.Release(end))
}

// pass lets time pass, and does each minute what a run does beside its work.
func (s *stage) pass(ctx context.Context, lease *storage.Lease, run *ledger.Run, took time.Duration) error {
	for took > 0 {
		step := min(took, time.Minute)
		took -= step
		if err := s.clock.sleep(ctx, step); err != nil {
			return err
		}
		if err := lease.Renew(ctx); err != nil {
			return err
		}
		c, err := ledger.Ledger{Bucket: s.runner.Bucket}.Cancelled(ctx, run)
		if err != nil {
			return err
		}
		if c != nil {
			return cancelled{*c}
		}
	}
	return nil
}

// errDied is how a run pretends that its process was killed.
var errDied = errors.New("killed")

func (s *stage) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, ", ")
}

func newTestClock(t *testing.T, from, to string) *testClock {
	t.Helper()
	return &testClock{now: when(t, from), to: when(t, to)}
}

func when(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func nightly(t *testing.T, zone string, o schedule.Overlap, catchUp time.Duration) *Job {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	j := &Job{Name: "nightly", Overlap: o, CatchUp: catchUp}
	if j.Every, err = table.EveryOf("1d", loc); err != nil {
		t.Fatal(err)
	}
	if j.Due, err = schedule.Parse("0 3 * * *", loc); err != nil {
		t.Fatal(err)
	}
	return j
}

// attempts counts the runs of each interval in the ledger, and which of them succeeded.
func attempts(t *testing.T, b storage.Bucket) (all, succeeded map[string]int) {
	t.Helper()
	lines, err := ledger.Ledger{Bucket: b}.List(t.Context(), time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	all, succeeded = map[string]int{}, map[string]int{}
	for _, l := range lines {
		all[l.Label]++
		if l.Status == ledger.Succeeded {
			succeeded[l.Label]++
		}
	}
	return all, succeeded
}
