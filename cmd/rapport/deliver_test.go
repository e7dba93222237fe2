package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
)

// ingestOf returns the planned ingest of a day.
func ingestOf(t testing.TB, p *jobs.Preview, label string) jobs.PreviewStep {
	t.Helper()
	i := slices.IndexFunc(p.Steps, func(s jobs.PreviewStep) bool { return s.Name == "ingest" && s.Label == label })
	if i < 0 {
		t.Fatalf("no ingest of %s is planned", label)
	}
	return p.Steps[i]
}

// TestNotReady: a night whose newest day is not there whole fails as such before it reads anything, a plan says so, and a _SUCCESS or time mends it.
// Days before the interval hold nothing up.
func TestNotReady(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Events.Settle = 4 * time.Hour // the night begins 3 hours after the day
	_, err := s.try(6)
	if !errors.Is(err, jobs.ErrNotReady) || !strings.Contains(err.Error(), "events of 2026-01-07: no _SUCCESS under events/dt=2026-01-07/; it is taken as complete at 2026-01-08T04:00:00Z") {
		t.Fatalf("without _SUCCESS: %v", err)
	}
	for key := range objects(t, s.opened.Bucket) {
		if strings.HasPrefix(key, "done/ingest/") {
			t.Errorf("%s was ingested", key)
		}
	}
	if p := s.plan(6); len(p.NotReady) != 1 || !strings.HasPrefix(p.NotReady[0], "2026-01-07: no _SUCCESS") || ingestOf(t, p, "2026-01-07").Done {
		t.Errorf("the plan says %q", p.NotReady)
	}
	if _, err := s.raw.Put(t.Context(), "events/dt=2026-01-07/_SUCCESS", storage.Bytes(nil), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	s.night(6)
	if p := s.plan(6); len(p.NotReady) != 0 || p.ToDo != 0 {
		t.Errorf("after the night: not ready %q, %d steps to do", p.NotReady, p.ToDo)
	}
	s.runner.Now = func() time.Time { return nightAfter(7).Add(time.Hour) }
	if _, err := s.runner.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughIngest, Cause: "schedule"}); err != nil {
		t.Errorf("once it has settled: %v", err)
	}
}

// TestLookback: files of old days that change are left alone, and the plan says so and what reads them; those of young days are read again. A day
// that was never ingested is, whatever its age.
func TestLookback(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	before := s.plan(7)
	double := func(day int) {
		key := fmt.Sprintf("events/dt=2026-01-%02d/part-", day)
		if _, err := s.raw.Put(t.Context(), key+"9.parquet", storage.Bytes(object(t, s.raw, key+"0.parquet")), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	double(3)
	double(6)
	s.job.Lookback = 3 * 24 * time.Hour // of the night after the 8th: days that end on the 6th or later
	p := s.plan(7)
	old, young := ingestOf(t, p, "2026-01-03"), ingestOf(t, p, "2026-01-06")
	if !old.Done || old.Key != ingestOf(t, before, "2026-01-03").Key || old.Why != "files changed beyond lookback 3d; backfill --reprocess completed reads them again" {
		t.Errorf("a day beyond lookback: %+v", old)
	}
	if young.Done || young.Why != "its files have changed" {
		t.Errorf("a day within lookback: %+v", young)
	}
	if at := ingestOf(t, p, "2026-01-05"); !at.Done || at.Why != "" {
		t.Errorf("a day that has not changed: %+v", at)
	}
	s.night(7)
	if p := s.plan(7); p.ToDo != 0 {
		t.Errorf("after the night %d steps are to do: %v", p.ToDo, toDo(p))
	}
	// A backfill that reprocesses looks at every age, and what it makes is what nights take from then on.
	again := *s.job
	again.Lookback = 0
	res, err := s.runner.Run(t.Context(), &again, s.interval(7), jobs.Options{Through: jobs.ThroughIngest, Cause: "backfill"})
	if err != nil || res.Nothing {
		t.Fatalf("without lookback: %+v, %v", res, err)
	}
	if day := ingestOf(t, s.plan(7), "2026-01-03"); !day.Done || day.Key == old.Key || day.Why != "" {
		t.Errorf("a day that was read again: %+v", day)
	}
	fresh := newShop(t, smallWorld)
	fresh.job.Lookback = 24 * time.Hour
	if day := ingestOf(t, fresh.plan(7), "2026-01-02"); day.Done || day.Why != "" {
		t.Errorf("a day that was never ingested: %+v", day)
	}
}

// TestNoRowIsAnEvent: where the source's own declaration leaves every row out, the error says that, and not that there are no files.
func TestNoRowIsAnEvent(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Events.Kinds = map[string]string{"view": event.Ignored, "cart": event.Ignored, "buy": event.Ignored}
	_, err := s.try(6)
	if !errors.Is(err, jobs.ErrNoData) || !strings.Contains(err.Error(), "all are of kinds that sources.events.kinds leaves out") {
		t.Errorf("all kinds left out: %v", err)
	}
	s.job.Events.Kinds = map[string]string{"view": "view"}
	if _, err = s.try(6); !errors.Is(err, event.ErrUnknownKinds) || !strings.Contains(err.Error(), "ingest 2026-01-01") {
		t.Errorf("most kinds unknown: %v", err)
	}
	s.job.Events.Kinds = map[string]string{"view": "look", "cart": event.Ignored, "buy": "take"}
	s.night(6)
}
