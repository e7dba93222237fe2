package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
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
	const stale = "quality: events: files of 2026-01-03 have changed beyond lookback 3d and are not read again: rapport backfill nightly --from 2026-01-03 --to 2026-01-04 --through ingest --reprocess completed"
	if res := s.night(7); !slices.Contains(res.Flags, stale) {
		t.Errorf("the night does not tell what it left alone: %q", res.Flags)
	}
	if p := s.plan(7); p.ToDo != 0 {
		t.Errorf("after the night %d steps are to do: %v", p.ToDo, toDo(p))
	}
	// A backfill that reprocesses looks at every age, and what it makes is what nights take from then on.
	again := *s.job
	again.Lookback = 0
	res, err := s.runner.Run(t.Context(), &again, s.interval(7), jobs.Options{Through: jobs.ThroughIngest, Cause: "backfill"})
	if err != nil || res.Nothing || slices.Contains(res.Flags, stale) {
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

// TestTooLate: rows of a file that arrived more than the lateness after them are in no day. The run that reads the file says so and lists them, also where it is a
// file of an earlier day, and so does runs why.
func TestTooLate(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Events.Lateness = 24 * time.Hour
	ingest := func(day int) *jobs.Result {
		t.Helper()
		s.runner.Now = func() time.Time { return nightAfter(day) }
		res, err := s.runner.Run(t.Context(), s.job, s.interval(day), jobs.Options{Through: jobs.ThroughIngest, Cause: "schedule"})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	ingest(6)
	old := readParquet[rawEvent](t, s.raw, eventsKey(0, "part-0"))[:30] // 30 rows are three days late, 3 are a day late
	writeParquet(t, s.raw, eventsKey(3, "late"), append(slices.Clone(old), readParquet[rawEvent](t, s.raw, eventsKey(2, "part-0"))[:3]...))
	res := ingest(7)
	if len(res.Quarantine) != 1 || res.Quarantine[0].Set != "events of 2026-01-04, read again" || res.Quarantine[0].Rows != 30 || res.Quarantine[0].Reasons["time"][expect.Late] != 30 {
		t.Fatalf("quarantined are %+v", res.Quarantine)
	}
	says := fmt.Sprintf("events of 2026-01-04, read again: 30 of %d rows came too late and are in no day: their files came more than the lateness, 1d, after them (sources.events.lateness)", res.Quarantine[0].Of)
	if !slices.Contains(res.Flags, "quality: "+says) {
		t.Errorf("flags are %q", res.Flags)
	}
	run, err := ledger.Ledger{Bucket: s.opened.Bucket}.Get(t.Context(), res.RunID)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := jobs.Quarantined(t.Context(), s.opened.Bucket, run); err != nil || len(all) != 30 || all[0].File != eventsKey(3, "late") {
		t.Errorf("listed are %v, %v", all, err)
	}
	if y := s.why(res.RunID); !strings.Contains(y.Says, "It warns of 1 fault of its sources.") || len(y.Rules) != 1 || y.Rules[0].Says != says {
		t.Errorf("why: %+v", y)
	}
	if again := ingest(7); len(again.Quarantine) != 0 || len(again.Flags) != 0 {
		t.Errorf("a run that reads nothing again tells %+v, %q", again.Quarantine, again.Flags)
	}
	writeParquet(t, s.raw, eventsKey(7, "late"), old[:20])
	if res := ingest(7); len(res.Quarantine) != 1 || res.Quarantine[0].Set != "events" || len(res.Flags) != 1 || !strings.HasPrefix(res.Flags[0], "quality: events: 20 of ") {
		t.Errorf("of the interval's own day: %+v, %q", res.Quarantine, res.Flags)
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

// TestReportTellsWhatWasMissed: an expectation of the interval's events that warns stands in the report of the night, not in its output alone.
func TestReportTellsWhatWasMissed(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	s.job.Events.Expect.Duplicates = &expect.Duplicates{Share: expect.Share{Most: 0.01, OnMiss: expect.Warn}}
	writeParquet(t, s.raw, eventsKey(6, "again"), readParquet[rawEvent](t, s.raw, eventsKey(6, "part-0")))
	res := s.night(6)
	r, err := eval.ParseReport(object(t, s.opened.Bucket, res.Report+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Unexpected) != 1 || !strings.Contains(r.Unexpected[0], "repeat another, 50 % where 1 % is allowed") || !slices.Contains(res.Flags, "quality: "+r.Unexpected[0]) {
		t.Errorf("the report says %q, and the run %q", r.Unexpected, res.Flags)
	}
	if html := string(object(t, s.opened.Bucket, res.Report+".html")); !strings.Contains(html, "repeat another") {
		t.Error("the page does not say it")
	}
}
