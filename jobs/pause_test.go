package jobs

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
)

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
