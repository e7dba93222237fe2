package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
)

// backfillAll backfills and returns the outcomes by label.
func (s *shop) backfillAll(o jobs.BackfillOptions) (map[string]jobs.Backfilled, error) {
	s.Helper()
	s.runner.Now = func() time.Time { return nightAfter(smallWorld.Days - 1) }
	out := map[string]jobs.Backfilled{}
	err := s.runner.Backfill(s.Context(), s.job, o, func(b jobs.Backfilled) error {
		out[s.job.Every.Label(b.Interval)] = b
		return nil
	})
	return out, err
}

// quick leaves the slowest part of the model out.
func (s *shop) quick() {
	t := s.job.Model.Trainer.(*blend.Trainer)
	t.Parts = slices.DeleteFunc(t.Parts, func(p models.Trainer) bool { _, slow := p.(*als.Trainer); return slow })
}

// versions are the intervals of a shop's versions, by number.
func (s *shop) versions() string {
	s.Helper()
	reg, err := registry.Open(s.opened.Bucket, "home")
	if err != nil {
		s.Fatal(err)
	}
	all, err := reg.Versions(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	var text strings.Builder
	for _, v := range all {
		fmt.Fprintln(&text, v.Number, v.Interval, v.Digest)
	}
	return text.String()
}

// Three intervals at once lead to the tables, facts, versions, numbers and lists to which one after another leads, forwards and backwards;
// no step is done twice; and each run has a lease of its own.
func TestParallelBackfill(t *testing.T) {
	for _, backwards := range []bool{false, true} {
		t.Run(fmt.Sprint("backwards ", backwards), func(t *testing.T) {
			one, many := newShop(t, smallWorld), newShop(t, smallWorld)
			one.quick()
			many.quick()
			o := jobs.BackfillOptions{
				From: one.interval(5).Start, To: one.interval(7).End, Through: jobs.ThroughTrain, PromoteLast: true, Backwards: backwards,
			}
			if _, err := one.backfillAll(o); err != nil {
				t.Fatal(err)
			}
			o.Active = 3
			did, err := many.backfillAll(o)
			if err != nil {
				t.Fatal(err)
			}
			if d := difference(many.outcome(), one.outcome()); d != "" {
				t.Errorf("three at once lead elsewhere:\n%s", d)
			}
			if got, want := many.versions(), one.versions(); got != want {
				t.Errorf("versions\n%swant\n%s", got, want)
			}
			times := map[string]int{}
			shared := false
			for _, b := range did {
				shared = shared || b.Result.Cost.Shared
				for _, s := range b.Result.Steps {
					if s.Status == "done" {
						times[s.Key]++
					}
				}
			}
			for key, n := range times {
				if n > 1 {
					t.Errorf("step %s was done %d times", key, n)
				}
			}
			if !shared {
				t.Error("no run noticed another beside it: they ran one after another")
			}
		})
	}
}

// An interval that another run is at is left to it; one whose last run failed is left alone until it is asked for; and neither stops the others.
func TestBackfillLeaves(t *testing.T) {
	s := newShop(t, smallWorld)
	s.spoil(5, func(path string) error { return spoil(path, "no-user") })
	o := jobs.BackfillOptions{From: s.interval(4).Start, To: s.interval(6).End, Through: jobs.ThroughIngest, Active: 2}
	held, err := storage.Acquire(t.Context(), s.opened.Bucket, "leases/nightly/2026-01-05", "another-machine pid 7", time.Hour, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	did, err := s.backfillAll(o)
	if !errors.Is(err, jobs.ErrBackfill) || exitCode(t.Context(), err) != exitFailed {
		t.Fatalf("with a damaged day: %v", err)
	}
	if b := did["2026-01-05"]; b.Result != nil || !strings.Contains(b.Left, "another-machine pid 7") {
		t.Errorf("the held interval: %+v", b)
	}
	if b := did["2026-01-06"]; b.Result == nil || b.Result.Status != ledger.Failed || !strings.Contains(b.Error, "user_id") {
		t.Errorf("the damaged interval: %+v", b)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.spoil(5, nil)

	if did, err = s.backfillAll(o); !errors.Is(err, jobs.ErrBackfill) || did["2026-01-06"].Left == "" || did["2026-01-05"].Result == nil {
		t.Fatalf("what failed is left alone: %v, %+v", err, did)
	}
	o.Reprocess = jobs.ReprocessFailed
	if did, err = s.backfillAll(o); err != nil || did["2026-01-06"].Result == nil || did["2026-01-06"].Result.Nothing && did["2026-01-07"].Result.Nothing {
		t.Fatalf("what failed is run again: %v, %+v", err, did)
	}
	o.Reprocess = ""
	if did, err = s.backfillAll(o); err != nil || did["2026-01-06"].Left != "" || !did["2026-01-06"].Result.Nothing {
		t.Fatalf("all is done: %v, %+v", err, did)
	}
	held, err = storage.Acquire(t.Context(), s.opened.Bucket, "leases/nightly/2026-01-05", "another-machine pid 7", time.Hour, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.backfillAll(o); exitCode(t.Context(), err) != exitHeld {
		t.Errorf("all that is missing is another's: %v", err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Days whose files have changed beyond the job's lookback are opened again by --reprocess completed, and by nothing else.
func TestBackfillCompleted(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Lookback = 24 * time.Hour
	o := jobs.BackfillOptions{From: s.interval(5).Start, To: s.interval(6).End, Through: jobs.ThroughIngest}
	if _, err := s.backfillAll(o); err != nil {
		t.Fatal(err)
	}
	s.spoil(2, func(path string) error { return spoil(path, "half") })
	for _, how := range []jobs.Reprocess{jobs.ReprocessNone, jobs.ReprocessFailed} {
		did, err := s.backfillAll(jobs.BackfillOptions{From: o.From, To: o.To, Through: o.Through, Reprocess: how})
		if err != nil || !did["2026-01-06"].Result.Nothing || !did["2026-01-07"].Result.Nothing {
			t.Fatalf("%s opened a day beyond the lookback: %v", how, err)
		}
	}
	o.Reprocess = jobs.ReprocessCompleted
	did, err := s.backfillAll(o)
	if err != nil {
		t.Fatal(err)
	}
	opened := map[string]int{}
	for _, b := range did {
		for _, step := range b.Result.Steps {
			if step.Status == "done" {
				opened[step.Name+" "+step.Label]++
			}
		}
	}
	if len(opened) != 1 || opened["ingest 2026-01-03"] != 1 {
		t.Errorf("opened again: %v", opened)
	}
}

// A fault that every interval would meet stops a backfill at once.
func TestBackfillStops(t *testing.T) {
	s := newShop(t, smallWorld)
	var runs atomic.Int64
	s.runner = s.newRunner(failing{s.opened.Bucket, func(key string) error {
		if strings.HasPrefix(key, "data/ingest/") {
			return fmt.Errorf("put %s: %w", key, storage.ErrFull)
		}
		return nil
	}}, "one")
	s.runner.Now = func() time.Time { return nightAfter(6) }
	err := s.runner.Backfill(t.Context(), s.job, jobs.BackfillOptions{From: s.interval(2).Start, To: s.interval(6).End, Through: jobs.ThroughIngest},
		func(jobs.Backfilled) error { runs.Add(1); return nil })
	if !errors.Is(err, storage.ErrFull) || runs.Load() != 1 {
		t.Errorf("%d intervals were tried on a full disk: %v", runs.Load(), err)
	}
}

// failing is a bucket of which some Puts fail.
type failing struct {
	storage.Bucket
	fails func(key string) error
}

func (f failing) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	if err := f.fails(key); err != nil {
		return storage.Info{}, err
	}
	return f.Bucket.Put(ctx, key, b, c)
}
