package jobs

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
)

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
