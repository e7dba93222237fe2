package jobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestHoldsRegister: a hold has a class, a reason and an end, ends by itself or is released, with a reason, once, and its number is never used again.
func TestHoldsRegister(t *testing.T) {
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	now := start
	r := recordsRunner(t, storage.NewMemory(nil), &now)
	add := func(h Hold) (*Hold, error) { return r.AddHold(t.Context(), h) }
	good := Hold{Class: classEvents, Reason: "claim 17", Until: start.AddDate(0, 0, 10), By: "kim"}
	for what, change := range map[string]func(*Hold){
		"no class": func(h *Hold) { h.Class = "consent" }, "no reason": func(h *Hold) { h.Reason = "  " }, "no end": func(h *Hold) { h.Until = time.Time{} },
		"an end that has passed": func(h *Hold) { h.Until = start }, "no time": func(h *Hold) { h.From, h.To = start, start },
		"a long reason": func(h *Hold) { h.Reason = strings.Repeat("x", maxHoldText+1) }, "two lines": func(h *Hold) { h.Reason = "a\nb" },
	} {
		h := good
		change(&h)
		if _, err := add(h); !errors.Is(err, ErrBadHold) {
			t.Errorf("%s: %v", what, err)
		}
	}
	first, err := add(good)
	if err != nil || first.Number != 1 {
		t.Fatal(first, err)
	}
	if _, err := add(good); !errors.Is(err, ErrBadHold) || !strings.Contains(err.Error(), "hold 1 says the same") {
		t.Errorf("the same hold once more: %v", err)
	}
	if _, err := add(Hold{Class: "consent", From: start, To: start}); err == nil || strings.Count(err.Error(), "; ") != 3 {
		t.Errorf("four faults at once: %v", err)
	}
	second, err := add(Hold{Class: classReports, Reason: "audit", Until: start.AddDate(1, 0, 0), From: start.AddDate(0, 0, -5), By: "kim"})
	if err != nil || second.Number != 2 {
		t.Fatal(second, err)
	}
	if _, err := r.ReleaseHold(t.Context(), 2, " ", "kim"); !errors.Is(err, ErrBadHold) {
		t.Errorf("released without a reason: %v", err)
	}
	for _, n := range []int{-1, 0, 3} {
		if _, err := r.ReleaseHold(t.Context(), n, "settled", "kim"); !errors.Is(err, ErrNoHold) {
			t.Errorf("hold %d: %v", n, err)
		}
	}
	now = start.AddDate(0, 0, 2)
	if h, err := r.ReleaseHold(t.Context(), 2, "settled", "lee"); err != nil || h.State(now) != "released" || !h.Ended().Equal(now) {
		t.Errorf("released: %+v, %v", h, err)
	}
	if _, err := r.ReleaseHold(t.Context(), 2, "settled", "lee"); !errors.Is(err, ErrBadHold) {
		t.Errorf("released again: %v", err)
	}
	now = start.AddDate(0, 0, 10).Add(-1)
	if in, err := r.inForce(t.Context()); err != nil || len(in) != 1 || in[0].Number != 1 {
		t.Errorf("at its last moment: %+v, %v", in, err)
	}
	now = now.Add(1)
	if in, err := r.inForce(t.Context()); err != nil || len(in) != 0 {
		t.Errorf("a moment later: %+v, %v", in, err)
	}
	all, err := r.Holds(t.Context())
	if err != nil || len(all) != 2 || all[0].State(now) != "ended" || all[1].State(now) != "released" {
		t.Errorf("all: %+v, %v", all, err)
	}
	if err := r.Bucket.Delete(t.Context(), holdRegister.key(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Holds(t.Context()); err == nil || !strings.Contains(err.Error(), "hold 1 is missing") {
		t.Errorf("with a hold gone: %v", err)
	}
}

// TestHoldNamesNobody: a reason that names somebody whom the identity table knows is refused, and the refusal does not.
func TestHoldNamesNobody(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	r := recordsRunner(t, storage.NewMemory(nil), &now)
	ids, err := event.OpenIdentities(t.Context(), r.Bucket, r.Keys)
	if err == nil {
		if _, err = ids.Number("u000001"); err == nil {
			err = ids.Flush(t.Context())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	h := Hold{Class: classEvents, Reason: "claim of (u000001)", Until: now.AddDate(0, 1, 0)}
	if _, err := r.AddHold(t.Context(), h); !errors.Is(err, ErrBadHold) || strings.Contains(err.Error(), "u000001") {
		t.Errorf("a reason that names somebody: %v", err)
	}
	h.Reason = "claim of u000002, whom nobody knows"
	if _, err := r.AddHold(t.Context(), h); err != nil {
		t.Error(err)
	}
}

// TestHeldBy: a hold keeps its class, its times and its job; of a job that is not known, or of what no job reads, it keeps all.
func TestHeldBy(t *testing.T) {
	iv := dayOf(3)
	job := &Job{Name: "nightly", Every: every(t, "1d"), Training: policy.Purpose{Name: "recommend"}}
	label := "2026-03-03"
	c := &table.Commit{Step: "ingest", Interval: &iv, Key: stepKey("ingest", label, iv, logicIngest, job.ingestSpec(job.clocks()), "files")}
	other := *job
	other.Name, other.Training.Reads = "other", map[string][]string{"events": {"value"}}
	for _, x := range []struct {
		hold Hold
		key  string
		want bool
	}{
		{Hold{Class: classEvents}, c.Key, true},
		{Hold{Class: classFeatures}, c.Key, false},
		{Hold{Class: classEvents, From: iv.End}, c.Key, false},
		{Hold{Class: classEvents, From: iv.End.Add(-time.Microsecond)}, c.Key, true},
		{Hold{Class: classEvents, To: iv.Start}, c.Key, false},
		{Hold{Class: classEvents, To: iv.Start.Add(time.Microsecond)}, c.Key, true},
		{Hold{Class: classEvents, Job: "nightly"}, c.Key, true},
		{Hold{Class: classEvents, Job: "other"}, c.Key, false},
		{Hold{Class: classEvents, Job: "gone"}, c.Key, true},
		{Hold{Class: classEvents, Job: "other"}, "ingest/" + label + "/of-nobody", true},
	} {
		c := *c
		c.Key = x.key
		if got := len(heldBy([]Hold{x.hold}, []*Job{job, &other}, &c)) > 0; got != x.want {
			t.Errorf("%+v holds %s: %v, want %v", x.hold, x.key, got, x.want)
		}
	}
}

// TestCuts of retention: the longest purpose of a job counts; none, if one of them keeps for ever.
func TestRetentionCuts(t *testing.T) {
	const day = 24 * time.Hour
	clock := time.Date(2026, 3, 10, 5, 0, 0, 0, time.UTC)
	j := &Job{
		Name: "nightly", Every: every(t, "1d"), Training: policy.Purpose{Name: "recommend", Keep: map[string]time.Duration{"events": 3 * day, "reports": 5 * day}},
		Evaluation: &policy.Purpose{Name: "check", Keep: map[string]time.Duration{"reports": 2 * day}},
	}
	end := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	if c := j.cut("ingest", clock); c.keep != 3*day || c.before != table.Micros(end.Add(-3*day)) {
		t.Errorf("events: %+v", c)
	}
	if c := j.cut("evaluate", clock); c.purpose != "recommend" || c.before != table.Micros(end.Add(-5*day)) {
		t.Errorf("reports: %+v", c)
	}
	j.Trust = &Trust{}
	if c := j.cut("ingest", clock); c.keep != 0 || c.purpose != "check" {
		t.Errorf("events that trust reads for a purpose that keeps them for ever: %+v", c)
	}
	j.Every = every(t, "1w") // 2026-03-10 is a Tuesday
	if c := j.cut("evaluate", clock); c.before != table.Micros(time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC).Add(-5*day)) {
		t.Errorf("reports of weeks: %s", time.UnixMicro(c.before).UTC())
	}
}

// purgeServer is a scheduler whose retention falls due at 3 o'clock, and how often it has purged.
type purgeServer struct {
	*Scheduler
	clock *testClock
	made  int
	fails error
}

func newPurgeServer(t *testing.T, b storage.Bucket, now time.Time) *purgeServer {
	t.Helper()
	due, err := schedule.Parse("0 3 * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	s := &purgeServer{clock: &testClock{now: now}}
	r := &Runner{
		Bucket: b, Wall: s.clock.Now, Now: s.clock.Now, Holder: "test", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		NewID: func(time.Time) string { return "id" },
	}
	s.Scheduler = NewScheduler(r, []*Job{{Name: "nightly", Every: every(t, "1d"), PurgeDue: due}}, SchedulerOptions{Clock: s.clock})
	s.retention.purge = func(ctx context.Context, _ []*Job, by string, _ bool) (*Purged, error) {
		if s.fails == nil {
			s.made++
		}
		return &Purged{}, errors.Join(s.fails, r.markPurged(ctx, by, s.fails))
	}
	return s
}

func (s *purgeServer) at(t *testing.T, now string) int {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", now)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.now = at
	s.purge(t.Context())
	return s.made
}

// TestRetentionFallsDue: each day once, by one of two servers; it waits for runs under way, but not for ever; one that failed is tried again, told, and over when it works.
func TestRetentionFallsDue(t *testing.T) {
	bucket := storage.NewMemory(nil)
	start := time.Date(2026, 1, 20, 12, 0, 0, 0, time.UTC)
	s, other := newPurgeServer(t, bucket, start), newPurgeServer(t, bucket, start)
	want := func(now string, mine, others int) {
		t.Helper()
		if a, b := s.at(t, now), other.at(t, now); a != mine || b != others {
			t.Fatalf("%s: %d times, and %d by the other; want %d and %d", now, a, b, mine, others)
		}
	}
	want("2026-01-20 12:00", 0, 0) // it has fired this morning, when nobody had begun
	want("2026-01-21 02:59", 0, 0)
	want("2026-01-21 03:00", 1, 0)
	want("2026-01-21 03:01", 1, 0)

	run := &ledger.Run{ID: "01KF00000000000000000000R1", Job: "nightly", Label: "2026-01-21", Status: ledger.Running, Started: start.AddDate(0, 0, 1), Interval: table.Interval{Start: start, End: start.AddDate(0, 0, 1)}}
	runs := ledger.Ledger{Bucket: bucket}
	if err := runs.Save(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	lease, err := storage.Acquire(t.Context(), bucket, leaseKey(run.Job, run.Label), "another server", 48*time.Hour, s.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	want("2026-01-22 03:00", 1, 0)
	want("2026-01-22 08:59", 1, 0)
	want("2026-01-22 09:00", 2, 0) // it has waited long enough
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("2026-01-23 03:00", 3, 0) // the run is said to go on, and nobody has its lease: it was killed

	late := func() []Overdue {
		t.Helper()
		out, err := s.runner.latePurge(t.Context(), s.retention.jobs)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if x := late(); len(x) != 0 {
		t.Errorf("in time, and overdue is %+v", x)
	}
	s.fails = errors.New("the disk is full")
	if s.at(t, "2026-01-24 03:00"); len(late()) != 1 || !strings.Contains(late()[0].Says, "the disk is full") || late()[0].Kind != OverduePurge {
		t.Errorf("one that failed: %+v", late())
	}
	s.fails = nil
	if s.at(t, "2026-01-24 03:14"); s.made != 3 {
		t.Error("tried again at once")
	}
	if s.at(t, "2026-01-24 03:15"); s.made != 4 || len(late()) != 0 {
		t.Errorf("tried again: %d, overdue is %+v", s.made, late())
	}
	s.clock.now = time.Date(2026, 1, 25, 14, 59, 0, 0, time.UTC)
	if x := late(); len(x) != 0 {
		t.Errorf("not late yet, and overdue is %+v", x)
	}
	s.clock.now = time.Date(2026, 1, 25, 15, 0, 0, 0, time.UTC)
	if x := late(); len(x) != 1 || !x[0].Due.Equal(time.Date(2026, 1, 25, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("12 hours late, and overdue is %+v", x)
	}
	r, err := s.runner.Retention(t.Context(), s.retention.jobs)
	if err != nil || !r.Late || !r.Purged.Equal(time.Date(2026, 1, 24, 3, 15, 0, 0, time.UTC)) || !r.Next.Equal(time.Date(2026, 1, 26, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("status: %+v, %v", r, err)
	}
}

// FuzzPurge: whatever an object of the journal or of a hold holds, it is refused or makes sense.
func FuzzPurge(f *testing.F) {
	f.Add([]byte(`{"format":1,"number":1,"at":"2026-01-01T00:00:00Z","clock":"2026-01-01T00:00:00Z","by":"x","classes":[],"goes":[],"excepted":[],"kept_longer":[],"rests":[],"revision":"","nonce":"x"}`))
	f.Add([]byte(`{"format":1,"number":1,"class":"events","reason":"x","until":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z","by":"x","nonce":"x"}`))
	f.Add([]byte(`{"format":1,"number":2,"at":"2026-01-01T00:00:00Z","by":"x","nonce":"x"}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if p, err := decodePurge(body); err == nil && (p.Number < 1 || p.Format != 1) {
			t.Fatalf("%q is no purge", body)
		}
		if d, err := decodePurgeDone(body); err == nil && (d.Number < 1 || d.Format != 1) {
			t.Fatalf("%q is no end of a purge", body)
		}
		h, err := decodeHold(body)
		if err != nil {
			if len(body) > 20 && bytes.Contains([]byte(err.Error()), body) {
				t.Fatalf("%v repeats the object", err)
			}
			return
		}
		if h.Number < 1 || !slices.Contains(policy.Classes, h.Class) || h.InForce(h.Ended()) {
			t.Fatalf("%q is no hold", body)
		}
	})
}
