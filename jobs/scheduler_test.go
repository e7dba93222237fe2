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

// A year of nights on a fake clock: each interval is run once, and each run starts at its hour.
func TestSchedulerYear(t *testing.T) {
	clock := newTestClock(t, "2026-01-01T12:00:00Z", "2027-01-01T12:00:00Z")
	b := storage.NewMemory(nil)
	s := newStage(t, clock, b, "one", SchedulerOptions{}, nightly(t, "Europe/Berlin", schedule.Skip, 0))
	if err := s.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	all, done := attempts(t, b)
	if len(all) != 365 || len(done) != 365 {
		t.Errorf("%d intervals were run, %d succeeded; want 365", len(all), len(done))
	}
	for label, n := range all {
		if n != 1 {
			t.Errorf("%s was run %d times", label, n)
		}
	}
	for _, x := range strings.Split(s.said(), ", ") {
		if hour := x[3:8]; hour != "02:00" && hour != "01:00" { // 03:00 in Berlin
			t.Errorf("%s", x)
		}
	}
}

// Two schedulers over one bucket run each interval once between them, and one goes on where the other was killed.
func TestTwoSchedulers(t *testing.T) {
	clock := newTestClock(t, "2026-03-01T12:00:00Z", "2026-03-21T12:00:00Z")
	b := storage.NewMemory(nil)
	job := nightly(t, "UTC", schedule.Skip, 0)
	one, two := newStage(t, clock, b, "one", SchedulerOptions{}, job), newStage(t, clock, b, "two", SchedulerOptions{}, job)
	ctx, kill := context.WithCancel(t.Context())
	one.did = func(label string, _ int) (time.Duration, error) {
		if label >= "2026-03-10" {
			kill()
			return 0, errDied
		}
		return time.Hour, nil
	}
	hurry := make(chan struct{})
	close(hurry)
	var wg sync.WaitGroup
	wg.Go(func() { one.Run(ctx, hurry); clock.count(-1, 0) })
	wg.Go(func() {
		if err := two.Run(t.Context(), nil); err != nil {
			t.Error(err)
		}
		clock.count(-1, 0)
	})
	wg.Wait()
	kill()
	all, done := attempts(t, b)
	if len(done) != 20 {
		t.Errorf("%d intervals were brought to an end, want 20", len(done))
	}
	killed := 0
	for label, n := range all {
		switch {
		case done[label] != 1:
			t.Errorf("%s succeeded %d times", label, done[label])
		case n == 2:
			killed++
		case n != 1:
			t.Errorf("%s was tried %d times", label, n)
		}
	}
	if killed > 1 || ctx.Err() != nil && killed == 0 && one.tries["2026-03-10"] > 0 {
		t.Errorf("%d intervals were tried twice", killed)
	}
	if len(one.tries)+len(two.tries) != 20+killed {
		t.Errorf("one made %v, two %v", one.tries, two.tries)
	}
}

// A failed run is tried again after 5, 15 and 45 minutes, and then given up; refusals, cancelled runs and faults for good are not.
func TestRetries(t *testing.T) {
	failing := errors.New("disk on fire")
	for _, c := range []struct {
		what string
		did  func(try int) error
		want string
	}{
		{"mended", func(try int) error {
			if try < 3 {
				return failing
			}
			return nil
		}, "03T03:00, 03T03:05, 03T03:20"},
		{"never mended", func(int) error { return failing }, "03T03:00, 03T03:05, 03T03:20, 03T04:05"},
		{"refused", func(int) error { return ErrRejected }, "03T03:00"},
		{"cancelled", func(int) error { return cancelled{ledger.Cancel{By: "ann", Why: "maintenance"}} }, "03T03:00"},
		{"without a key", func(int) error { return errNoKeys }, "03T03:00"},
		{"ready at the fourth look", func(try int) error {
			if try < 4 {
				return fmt.Errorf("no _SUCCESS: %w", ErrNotReady)
			}
			return nil
		}, "03T03:00, 03T03:15, 03T03:30, 03T03:45"},
		{"not ready, then failing", func(try int) error {
			if try == 1 {
				return ErrNotReady
			}
			return failing
		}, "03T03:00, 03T03:15, 03T03:20, 03T03:35, 03T04:20"},
	} {
		clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-03T23:00:00Z")
		s := newStage(t, clock, storage.NewMemory(nil), "one", SchedulerOptions{}, nightly(t, "UTC", schedule.Skip, 0))
		s.did = func(_ string, try int) (time.Duration, error) { return 0, c.did(try) }
		if err := s.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(s.said(), " starts 2026-03-02", ""); got != c.want {
			t.Errorf("%s: runs at %s, want %s", c.what, got, c.want)
		}
	}
}

// A source that is never ready is asked every 15 minutes until the next interval falls due.
func TestNeverReady(t *testing.T) {
	clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-04T12:00:00Z")
	s := newStage(t, clock, storage.NewMemory(nil), "one", SchedulerOptions{}, nightly(t, "UTC", schedule.Skip, 0))
	s.did = func(label string, _ int) (time.Duration, error) {
		if label == "2026-03-02" {
			return 0, ErrNotReady
		}
		return 0, nil
	}
	if err := s.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s.tries["2026-03-02"] != 96 || s.tries["2026-03-03"] != 1 || s.State().Jobs[0].Count["left_out"] != 1 {
		t.Errorf("tries %v, counts %v", s.tries, s.State().Jobs[0].Count)
	}
}

// A scheduler that is started again knows from the ledger what was done, and resumes what was interrupted.
func TestRestart(t *testing.T) {
	clock := newTestClock(t, "2026-03-03T02:00:00Z", "2026-03-06T12:00:00Z")
	b := storage.NewMemory(nil)
	job := nightly(t, "UTC", schedule.Skip, 48*time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	one := newStage(t, clock, b, "one", SchedulerOptions{}, job)
	one.did = func(label string, _ int) (time.Duration, error) {
		if label == "2026-03-03" {
			stop()
			return time.Hour, nil
		}
		return time.Minute, nil
	}
	hurry := make(chan struct{})
	close(hurry)
	if err := one.Run(ctx, hurry); !errors.Is(err, ErrHurried) {
		t.Fatalf("it was stopped in the middle: %v", err)
	}
	clock.count(-1, 0)
	two := newStage(t, clock, b, "two", SchedulerOptions{}, job)
	if err := two.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	all, done := attempts(t, b)
	want := map[string]int{"2026-02-28": 1, "2026-03-01": 1, "2026-03-02": 1, "2026-03-03": 2, "2026-03-04": 1, "2026-03-05": 1}
	if fmt.Sprint(all) != fmt.Sprint(want) || len(done) != 6 {
		t.Errorf("attempts %v, want %v; %d done", all, want, len(done))
	}
}

func TestCancelOther(t *testing.T) {
	clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-05T12:00:00Z")
	b := storage.NewMemory(nil)
	s := newStage(t, clock, b, "one", SchedulerOptions{}, nightly(t, "UTC", schedule.CancelOther, 0))
	s.did = func(label string, _ int) (time.Duration, error) {
		if label == "2026-03-02" {
			return 100 * time.Hour, nil
		}
		return time.Hour, nil
	}
	if err := s.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got, want := s.said(), "03T03:00 starts 2026-03-02, 04T03:00 starts 2026-03-03, 05T03:00 starts 2026-03-04"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if _, done := attempts(t, b); done["2026-03-02"] != 0 || done["2026-03-03"] != 1 {
		t.Errorf("done %v", done)
	}
}

func TestAllowAllRunsSideBySide(t *testing.T) {
	clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-05T12:00:00Z")
	s := newStage(t, clock, storage.NewMemory(nil), "one", SchedulerOptions{}, nightly(t, "UTC", schedule.AllowAll, 0))
	s.did = func(string, int) (time.Duration, error) { return 30 * time.Hour, nil }
	if err := s.Run(t.Context(), nil); !errors.Is(err, ErrHurried) { // the clock's time is over before the last run
		t.Fatal(err)
	}
	if s.most != 2 {
		t.Errorf("%d ran side by side, want 2", s.most)
	}
}

// The overlap policy counts a run of another interval on another server as well, but none that somebody started by hand.
func TestOverlapElsewhere(t *testing.T) {
	for _, c := range []struct {
		o     schedule.Overlap
		want  string
		cause string
	}{
		{schedule.Skip, "03T03:00 starts 2026-03-02, 04T03:00 starts 2026-03-03", "backfill"},
		{schedule.CancelOther, "03T03:00 starts 2026-03-02, 04T03:00 starts 2026-03-03", "run"},
		{schedule.Skip, "04T03:00 starts 2026-03-03", "schedule"},
		{schedule.BufferOne, "03T05:59 starts 2026-03-02, 04T03:00 starts 2026-03-03", "schedule"},
		{schedule.CancelOther, "03T03:00 starts 2026-03-02, 04T03:00 starts 2026-03-03", "schedule"},
		{schedule.AllowAll, "03T03:00 starts 2026-03-02, 04T03:00 starts 2026-03-03", "schedule"},
	} {
		clock := newTestClock(t, "2026-03-03T02:59:30Z", "2026-03-04T12:00:00Z")
		b := storage.NewMemory(nil)
		job := nightly(t, "UTC", c.o, 0)
		one, two := newStage(t, clock, b, "one", SchedulerOptions{}, job), newStage(t, clock, b, "two", SchedulerOptions{}, job)
		clock.count(-1, 1) // one is a run and no scheduler
		began := make(chan struct{})
		one.did = func(string, int) (time.Duration, error) {
			close(began)
			return 3 * time.Hour, nil
		}
		var ended error
		var wg sync.WaitGroup
		wg.Go(func() {
			_, ended = one.pretend(t.Context(), job, job.Every.At(when(t, "2026-03-02T12:00:00Z")), Options{Cause: c.cause})
			clock.count(0, -1)
		})
		<-began
		if err := two.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if got := two.said(); got != c.want {
			t.Errorf("%s: %s, want %s", c.o, got, c.want)
		}
		if errors.Is(ended, ErrCancelled) != (c.o == schedule.CancelOther && c.cause == "schedule") {
			t.Errorf("%s: the other run ended with %v", c.o, ended)
		}
	}
}

// A paused job starts nothing; once resumed it starts what is within its window, and what falls due.
func TestPause(t *testing.T) {
	for _, c := range []struct {
		catchUp time.Duration
		want    string
	}{
		{0, "03T03:00 starts 2026-03-02, 06T03:00 starts 2026-03-05"},
		{20 * time.Hour, "02T12:00 starts 2026-03-01, 03T03:00 starts 2026-03-02, 06T03:00 starts 2026-03-05"},
	} {
		clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-06T12:00:00Z")
		s := newStage(t, clock, storage.NewMemory(nil), "one", SchedulerOptions{}, nightly(t, "UTC", schedule.Skip, c.catchUp))
		s.did = func(label string, _ int) (time.Duration, error) {
			if label == "2026-03-02" {
				if _, changed, err := s.runner.Pause(t.Context(), "nightly", "ann", "the export is wrong"); err != nil || !changed {
					t.Errorf("pause: %t, %v", changed, err)
				}
			}
			return time.Hour, nil
		}
		resume := newStage(t, clock, s.runner.Bucket, "two", SchedulerOptions{})
		var wg sync.WaitGroup
		wg.Go(func() { // a person, on the 5th at noon
			if err := clock.Wait(t.Context(), when(t, "2026-03-05T12:00:00Z"), 0, nil); err != nil {
				t.Error(err)
			}
			if p, err := s.runner.Paused(t.Context(), "nightly"); err != nil || p == nil || p.By != "ann" || p.Why != "the export is wrong" {
				t.Errorf("paused %v, %v", p, err)
			}
			if held := s.State().Jobs[0].Held; c.catchUp > 0 && !strings.Contains(held, "paused by ann") {
				t.Errorf("held %q", held)
			}
			if _, changed, err := resume.runner.Resume(t.Context(), "nightly", "bob"); err != nil || !changed {
				t.Errorf("resume: %t, %v", changed, err)
			}
			clock.count(-1, 0)
		})
		if err := s.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if got := s.said(); got != c.want {
			t.Errorf("catch-up %s:\n%s\nwant\n%s", c.catchUp, got, c.want)
		}
	}
}

// A night that was begun is gone on with by the next start also where the job has no catch-up window, wherever it stood: interrupted, waiting to be tried
// again, or waiting for its source. One that was not begun, or has ended, is not.
func TestRestartWithoutCatchUp(t *testing.T) {
	for _, c := range []struct {
		what string
		did  func(try int) (time.Duration, error) // of the first server, which is ended at 03:12
		back string                               // when the second starts
		want string                               // its runs
	}{
		{"interrupted", func(int) (time.Duration, error) { return time.Hour, nil }, "03T09:00", "03T09:00 starts 2026-03-02"},
		{"to be tried again", func(int) (time.Duration, error) { return 0, errors.New("disk on fire") }, "03T03:13", "03T03:20 starts 2026-03-02"},
		{"not ready", func(int) (time.Duration, error) { return 0, ErrNotReady }, "03T03:13", "03T03:15 starts 2026-03-02"},
		{"done", func(int) (time.Duration, error) { return time.Minute, nil }, "03T03:13", ""},
		{"refused", func(int) (time.Duration, error) { return time.Minute, ErrRejected }, "03T03:13", ""},
		{"next interval has fallen due", func(int) (time.Duration, error) { return time.Hour, nil }, "04T09:00", ""},
	} {
		clock := newTestClock(t, "2026-03-03T02:00:00Z", "2026-03-03T03:12:00Z")
		b, job := storage.NewMemory(nil), nightly(t, "UTC", schedule.Skip, 0)
		one := newStage(t, clock, b, "one", SchedulerOptions{}, job)
		one.did = func(_ string, try int) (time.Duration, error) { return c.did(try) }
		ctx, term := context.WithCancel(t.Context())
		hurry := make(chan struct{})
		close(hurry)
		clock.count(1, 0)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := clock.Wait(t.Context(), clock.to, 0, nil); err != nil {
				t.Error(err)
			}
			term()
			clock.count(-1, 0)
		})
		_ = one.Run(ctx, hurry)
		wg.Wait()
		clock.count(-1, 0)
		clock.now, clock.to = when(t, "2026-03-"+c.back+":00Z"), when(t, "2026-03-"+c.back[:2]+"T23:00:00Z")
		two := newStage(t, clock, b, "two", SchedulerOptions{}, job)
		if err := two.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := two.said(); got != c.want {
			t.Errorf("%s: the second server: %q, want %q", c.what, got, c.want)
		}
	}
}

// awayBucket is a bucket that is out of reach for a while.
type awayBucket struct {
	storage.Bucket
	away func() bool
}

func (b awayBucket) Get(ctx context.Context, key string, r storage.Range) (io.ReadCloser, storage.Info, error) {
	if b.away() {
		return nil, storage.Info{}, errors.New("connection refused")
	}
	return b.Bucket.Get(ctx, key, r)
}

// An outage of the bucket, at the hour of a night or when it is to be tried again, loses no night: it starts when the bucket is back, unless the next
// has fallen due.
func TestBucketAway(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"03T02:50", "03T05:30", "03T05:30 starts 2026-03-02, 03T05:35 starts 2026-03-02, 04T03:00 starts 2026-03-03"},
		{"03T03:02", "03T05:30", "03T03:00 starts 2026-03-02, 03T05:30 starts 2026-03-02, 04T03:00 starts 2026-03-03"},
		{"03T02:50", "04T05:30", "04T05:30 starts 2026-03-03"},
		{"03T03:02", "04T05:30", "03T03:00 starts 2026-03-02, 04T05:30 starts 2026-03-03"},
	} {
		clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-04T12:00:00Z")
		from, to := when(t, "2026-03-"+c.from+":00Z"), when(t, "2026-03-"+c.to+":00Z")
		b := awayBucket{storage.NewMemory(nil), func() bool { now := clock.Now(); return !now.Before(from) && now.Before(to) }}
		s := newStage(t, clock, b, "one", SchedulerOptions{}, nightly(t, "UTC", schedule.Skip, 0))
		s.did = func(label string, try int) (time.Duration, error) {
			if label == "2026-03-02" && try == 1 {
				return 0, errors.New("disk on fire")
			}
			return 0, nil
		}
		if err := s.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := s.said(); got != c.want {
			t.Errorf("away from %s to %s:\n%s\nwant\n%s", c.from, c.to, got, c.want)
		}
	}
}

// A beat whose write hangs holds up neither the schedules nor those who ask how they stand, and ends by itself.
func TestBeatThatHangs(t *testing.T) {
	clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z")
	hangs := hangingBucket{storage.NewMemory(nil), make(chan context.Context, 1)}
	s := newStage(t, clock, hangs, "one", SchedulerOptions{}, nightly(t, "UTC", schedule.Skip, 0))
	ctx, give := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Announce(ctx) }()
	at := <-hangs.at // it hangs now
	if by, ok := at.Deadline(); !ok || time.Until(by) > beatEvery {
		t.Errorf("a beat may take until %v, %t", by, ok)
	}
	answered := make(chan string, 1)
	go func() { answered <- fmt.Sprint(s.State().Beat, s.peers.yields("nightly")) }()
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Error("whoever asks the scheduler waits for the beat")
	}
	give()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the beat: %v", err)
	}
}

// hangingBucket never ends a write.
type hangingBucket struct {
	storage.Bucket
	at chan context.Context
}

func (b hangingBucket) Put(ctx context.Context, _ string, _ storage.Body, _ storage.Cond) (storage.Info, error) {
	select {
	case b.at <- ctx:
	default:
	}
	<-ctx.Done()
	return storage.Info{}, ctx.Err()
}

// Pausing and resuming twice changes nothing, and the object says who and when.
func TestPauseObject(t *testing.T) {
	clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-06T12:00:00Z")
	b := storage.NewMemory(nil)
	r := newStage(t, clock, b, "one", SchedulerOptions{}).runner
	ctx := t.Context()
	if _, changed, err := r.Resume(ctx, "nightly", "bob"); err != nil || changed {
		t.Errorf("resuming what is not paused: %t, %v", changed, err)
	}
	for i, by := range []string{"ann", "bob"} {
		p, changed, err := r.Pause(ctx, "nightly", by, "because")
		if err != nil || changed != (i == 0) || p.By != "ann" || !p.At.Equal(clock.Now()) {
			t.Errorf("pause %d: %v, %t, %v", i, p, changed, err)
		}
	}
	if p, changed, err := r.Resume(ctx, "nightly", "bob"); err != nil || !changed || p.By != "ann" {
		t.Errorf("resume: %v, %t, %v", p, changed, err)
	}
	if p, err := r.Paused(ctx, "nightly"); err != nil || p != nil {
		t.Errorf("still paused %v, %v", p, err)
	}
	if _, err := b.Put(ctx, "pause/nightly.json", storage.Bytes([]byte(`{"format":2,"paused":true}`)), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Paused(ctx, "nightly"); err == nil || !strings.Contains(err.Error(), "newer rapport") {
		t.Errorf("a newer format: %v", err)
	}
}

// A scheduler that is to stop starts nothing any more and lets what runs end, for a while.
func TestDrain(t *testing.T) {
	for _, c := range []struct {
		what  string
		took  time.Duration
		hurry bool
		ends  string // when the scheduler is gone
		done  int
	}{
		{"ends in time", 35 * time.Minute, false, "03:35", 1},
		{"takes too long", 2 * time.Hour, false, "03:40", 0},
		{"second signal", 2 * time.Hour, true, "03:30", 0},
	} {
		clock := newTestClock(t, "2026-03-03T02:00:00Z", "2026-03-06T00:00:00Z")
		b := storage.NewMemory(nil)
		s := newStage(t, clock, b, "one", SchedulerOptions{Drain: 10 * time.Minute}, nightly(t, "UTC", schedule.AllowAll, 0))
		s.did = func(string, int) (time.Duration, error) { return c.took, nil }
		ctx, term := context.WithCancel(t.Context())
		hurry := make(chan struct{})
		clock.count(1, 0)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := clock.Wait(t.Context(), when(t, "2026-03-03T03:30:00Z"), 0, nil); err != nil {
				t.Error(err)
			}
			if c.hurry {
				close(hurry)
			}
			term()
			clock.count(-1, 0)
		})
		err := s.Run(ctx, hurry)
		wg.Wait()
		if got := clock.Now().Format("15:04"); got != c.ends || errors.Is(err, ErrHurried) != (c.done == 0) {
			t.Errorf("%s: over at %s with %v, want %s", c.what, got, err, c.ends)
		}
		lines, lerr := ledger.Ledger{Bucket: b}.List(t.Context(), time.Time{}, clock.to)
		if lerr != nil || len(lines) != 1 {
			t.Fatalf("%s: %d runs, %v", c.what, len(lines), lerr)
		}
		if want := map[int]ledger.Status{0: ledger.Interrupted, 1: ledger.Succeeded}[c.done]; lines[0].Status != want {
			t.Errorf("%s: the run is %s, want %s", c.what, lines[0].Status, want)
		}
		if _, err := s.runner.acquire(t.Context(), "leases/nightly/2026-03-02"); err != nil {
			t.Errorf("%s: the lease was not given back: %v", c.what, err)
		}
	}
}

// Of two servers that declare a job differently the second is refused, unless it takes over; a dead one does not count.
func TestPeers(t *testing.T) {
	clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-06T12:00:00Z")
	b := storage.NewMemory(nil)
	ctx := t.Context()
	job, same, other := nightly(t, "UTC", schedule.Skip, 0), nightly(t, "UTC", schedule.Skip, 0), nightly(t, "UTC", schedule.Skip, time.Hour)
	first := newStage(t, clock, b, "first", SchedulerOptions{}, job)
	if err := first.Announce(ctx); err != nil {
		t.Fatal(err)
	}
	clock.now = clock.now.Add(time.Second)
	if err := newStage(t, clock, b, "twin", SchedulerOptions{}, same).Announce(ctx); err != nil {
		t.Errorf("with the same declaration: %v", err)
	}
	second := newStage(t, clock, b, "second", SchedulerOptions{}, other)
	err := second.Announce(ctx)
	if !errors.Is(err, ErrConflict) {
		t.Fatalf("with another: %v", err)
	}
	for _, want := range []string{"nightly", "first", "second", "--takeover"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if err := first.Announce(ctx); err != nil {
		t.Errorf("the first is disturbed: %v", err)
	}
	if why, err := second.forbidden(ctx, other); err != nil || why == "" {
		t.Errorf("the second may start the job: %q, %v", why, err)
	}
	clock.now = clock.now.Add(time.Second)
	third := newStage(t, clock, b, "third", SchedulerOptions{Takeover: true}, other)
	if err := third.Announce(ctx); err != nil {
		t.Errorf("it takes over: %v", err)
	}
	if err := first.Announce(ctx); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "third") {
		t.Errorf("the first goes on: %v", err)
	}
	if why, err := first.forbidden(ctx, job); err != nil || !strings.Contains(why, "third") {
		t.Errorf("the first may start the job: %q, %v", why, err)
	}
	if err := third.peers.leave(ctx); err != nil {
		t.Fatal(err)
	}
	clock.now = clock.now.Add(beatLasts) // no other has beaten since
	if err := second.Announce(ctx); err != nil {
		t.Errorf("all others are dead: %v", err)
	}
	clock.now = clock.now.Add(forgetPeer + time.Hour)
	if err := second.Announce(ctx); err != nil {
		t.Error(err)
	}
	if left, err := readPeers(ctx, b); err != nil || len(left) != 1 {
		t.Errorf("%d servers are remembered, %v", len(left), err)
	}
	if _, err := b.Put(ctx, "serve/x.json", storage.Bytes([]byte(`{"format":2}`)), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if err := second.Announce(ctx); err == nil || !strings.Contains(err.Error(), "newer rapport") {
		t.Errorf("a newer format: %v", err)
	}
}

// Two servers that start at once never both start the job, whoever reads first.
func TestPeersAtOnce(t *testing.T) {
	for _, takeover := range []bool{false, true} {
		clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-06T12:00:00Z")
		b := storage.NewMemory(nil)
		one := newStage(t, clock, b, "one", SchedulerOptions{Takeover: takeover}, nightly(t, "UTC", schedule.Skip, 0))
		two := newStage(t, clock, b, "two", SchedulerOptions{Takeover: takeover}, nightly(t, "UTC", schedule.BufferOne, 0))
		var wg sync.WaitGroup
		for _, s := range []*stage{one, two} {
			wg.Go(func() { s.Announce(t.Context()) })
		}
		wg.Wait()
		one.Announce(t.Context())
		two.Announce(t.Context())
		if a, b := one.peers.yields("nightly") == "", two.peers.yields("nightly") == ""; a == b {
			t.Errorf("takeover %t: one starts it: %t, two: %t", takeover, a, b)
		}
	}
}

// A job is late when its interval has had its time and no run has ended it.
func TestLate(t *testing.T) {
	job := nightly(t, "UTC", schedule.Skip, 0)
	line := func(label string, status ledger.Status) ledger.Line {
		iv, err := job.Every.Parse(label)
		if err != nil {
			t.Fatal(err)
		}
		return ledger.Line{Job: "nightly", Interval: iv, Label: label, Status: status}
	}
	before := line("2026-03-01", ledger.Succeeded)
	for _, c := range []struct {
		at    string
		lines []ledger.Line
		want  bool
	}{
		{"2026-03-03T03:00:00Z", []ledger.Line{before}, false}, // that of the 1st is done, and that of the 2nd fell due just now
		{"2026-03-03T08:59:59Z", []ledger.Line{before}, false},
		{"2026-03-03T09:00:00Z", []ledger.Line{before}, true},
		{"2026-03-03T09:00:00Z", []ledger.Line{before, line("2026-03-02", ledger.Succeeded)}, false},
		{"2026-03-03T09:00:00Z", []ledger.Line{before, line("2026-03-02", ledger.Rejected)}, false},
		{"2026-03-03T09:00:00Z", []ledger.Line{before, line("2026-03-02", ledger.Failed)}, true},
		{"2026-03-03T09:00:00Z", []ledger.Line{before, line("2026-03-02", ledger.Running)}, true},
		{"2026-03-03T09:00:00Z", nil, false},
	} {
		if got := late(job, overdue(job, when(t, c.at)), c.lines); got != c.want {
			t.Errorf("at %s with %d lines: late %t", c.at, len(c.lines), got)
		}
	}
	if (&Job{}).Due.IsZero() && late(&Job{Name: "nightly", Every: job.Every}, time.Time{}, []ledger.Line{before}) {
		t.Error("a job without a schedule is late")
	}
}

// A simulation goes from firing to firing, and stands still while anything runs.
func TestSimulation(t *testing.T) {
	sim := NewSimulation(when(t, "2026-03-02T12:00:00Z"), when(t, "2026-03-09T12:00:00Z"))
	clock := newTestClock(t, "2026-03-02T12:00:00Z", "2026-03-09T12:00:00Z")
	b := storage.NewMemory(nil)
	s := newStage(t, clock, b, "one", SchedulerOptions{}, nightly(t, "Europe/Berlin", schedule.Skip, 0))
	own := NewScheduler(s.runner, []*Job{s.lines[0].job}, SchedulerOptions{Clock: sim})
	var at []string
	own.run = func(_ context.Context, job *Job, iv table.Interval, o Options) (*Result, error) {
		at = append(at, sim.Now().Format("02T15:04")+" "+job.Every.Label(iv))
		return &Result{Status: ledger.Succeeded}, nil
	}
	if err := own.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if len(at) != 7 || at[0] != "03T02:00 2026-03-02" || at[6] != "09T02:00 2026-03-08" || !sim.Now().Equal(when(t, "2026-03-09T12:00:00Z")) {
		t.Errorf("%v, until %s", at, sim.Now())
	}
}
