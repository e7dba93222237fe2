package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

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
