package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

// driftShop is a shop of enough people for drift to be told from chance, whose last day is planted with drift, and which has been ingested.
func driftShop(t *testing.T) (s *shop, day int) {
	w := smallWorld
	w.Users, w.EventsPerUser = 500, 40
	day = w.Days - 1
	w.Drift = &synth.Drift{Day: day}
	return newShop(t, w), day
}

// check runs the drift check of the night after a day.
func (s *shop) check(job *jobs.Job, day int) (*jobs.Result, error) {
	s.Helper()
	s.runner.Now = func() time.Time { return nightAfter(day) }
	return s.runner.Run(s.Context(), job, s.interval(day), jobs.Options{Through: jobs.ThroughDrift, Cause: "run"})
}

// A blocked interval trains nothing and says why, in the ledger too; an acknowledged one goes on, and the next cause is told again.
func TestDriftBlocks(t *testing.T) {
	s, day := driftShop(t)
	job := *s.job
	job.Drift.Action = "block"
	res, err := s.check(&job, day)
	if !errors.Is(err, jobs.ErrRejected) || res.Status != ledger.Rejected || len(res.Reasons) == 0 {
		t.Fatalf("planted drift ended as %+v, %v", res, err)
	}
	if slices.ContainsFunc(res.Steps, func(x ledger.Step) bool { return x.Name == "train" || x.Name == "assemble" }) {
		t.Errorf("something was trained: %+v", res.Steps)
	}
	called := res.Drift.Called()
	if len(called) == 0 || called[0].Cause == nil || called[0].Does != eval.Refuses || res.Drift.Reference == nil {
		t.Fatalf("called %+v of %+v", called, res.Drift)
	}
	run, err := ledger.Ledger{Bucket: s.runner.Bucket}.Get(t.Context(), res.RunID)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := jobs.DriftOf(run); err != nil || len(d.Columns) != len(res.Drift.Columns) {
		t.Errorf("the ledger has %+v, %v", d, err)
	}
	y := s.why(res.RunID)
	if !strings.Contains(y.Says, "nothing was trained") || !strings.HasPrefix(y.Step, "drift ") || len(y.Rules) == 0 || y.Rules[0].Says == "" ||
		!slices.ContainsFunc(y.Try, func(x string) bool { return strings.HasPrefix(x, "rapport drift ack "+res.RunID+" --until 20") }) {
		t.Errorf("why: %+v", y)
	}
	again, err := s.check(&job, day)
	if !errors.Is(err, jobs.ErrRejected) || !again.Nothing {
		t.Errorf("the same interval again: %v, nothing %v", err, again.Nothing)
	}

	if _, err := s.runner.Acknowledge(t.Context(), run, jobs.Known{Columns: []string{called[0].Column, "no_such_column"}}, nightAfter(day+3), "me", "w"); !errors.Is(err, jobs.ErrNothingToAcknowledge) {
		t.Errorf("a column that was not called: %v", err)
	}
	if _, err := s.runner.Acknowledge(t.Context(), run, jobs.Known{}, nightAfter(day-3), "me", "w"); err == nil {
		t.Error("acknowledged until before the interval's end")
	}
	var all jobs.Known
	for _, c := range called {
		all.Columns = append(all.Columns, c.Column)
	}
	if len(called) > 1 { // one cause at a time, if nobody says which
		_, err := s.runner.Acknowledge(t.Context(), run, jobs.Known{}, nightAfter(day+3), "me", "w")
		if !errors.Is(err, jobs.ErrWhichDrift) || !strings.Contains(err.Error(), called[0].Column+" ("+string(called[0].Cause.Kind)+")") {
			t.Errorf("all %d at once: %v", len(called), err)
		}
		acks, err := s.runner.Acks(t.Context(), job.Name)
		if err != nil || len(acks) != 0 {
			t.Errorf("refused, and yet it stands as %+v, %v", acks, err)
		}
	}
	acks, err := s.runner.Acknowledge(t.Context(), run, all, nightAfter(day+3), "ml-lead", "the spring sale")
	if err != nil || len(acks) != len(called) {
		t.Fatalf("%d acks for %d columns: %v", len(acks), len(called), err)
	}
	res, err = s.check(&job, day)
	if err != nil || len(res.Drift.Called()) != 0 {
		t.Fatalf("acknowledged drift ended as %v: %+v", err, res.Drift.Called())
	}
	known := slices.IndexFunc(res.Drift.Columns, func(c jobs.DriftVerdict) bool { return c.Verdict == drift.Drifted })
	if known < 0 || !strings.Contains(res.Drift.Columns[known].Says, "known to ml-lead until 2026-01-12T03:00:00Z: the spring sale") {
		t.Errorf("what is known is told as %+v", res.Drift.Columns)
	}
}

// A declared day at most warns; without a reference nothing is called.
func TestDriftOfDeclaredDays(t *testing.T) {
	s, day := driftShop(t)
	job := *s.job
	job.Drift.Action = "block"
	job.Calendar = []jobs.Expected{{Name: "sale", Days: job.Every.Between(s.interval(day).Start, s.interval(day).End), Drift: true}}
	res, err := s.check(&job, day)
	if err != nil || res.Drift.Expected != "sale" {
		t.Fatalf("a declared day ended as %v, %+v", err, res.Drift)
	}
	if called := res.Drift.Called(); len(called) == 0 || called[0].Does != eval.Warns || !strings.Contains(called[0].Says, "(sale)") {
		t.Errorf("called %+v", called)
	}
	if band := res.Drift.Reference.Expected; len(band) != 1 || band[0].Name != "sale" {
		t.Errorf("the band of the report: %+v", band)
	}
	first, err := s.check(&job, 0)
	if err != nil || first.Drift.Says == "" || len(first.Drift.Columns) != 0 {
		t.Errorf("a first day: %v, %+v", err, first.Drift)
	}
}

// A job that watches another starts it once within its cool-down.
func TestDriftRetrains(t *testing.T) {
	s, day := driftShop(t)
	watch := *s.job
	watch.Name, watch.Watched, watch.CoolDown = "watch", s.job, 72*time.Hour
	watch.Drift.Action = "retrain"
	res, err := s.check(&watch, day)
	if err != nil || res.Drift.Retrain == nil || res.Drift.Retrain.Run == "" || res.Drift.Retrain.Status != ledger.Succeeded {
		t.Fatalf("drift ended as %v: %+v", err, res.Drift.Retrain)
	}
	run, err := ledger.Ledger{Bucket: s.runner.Bucket}.Get(t.Context(), res.Drift.Retrain.Run)
	if err != nil || run.Job != "nightly" || run.Cause != "drift" {
		t.Errorf("it started %+v, %v", run, err)
	}
	res, err = s.check(&watch, day)
	if err != nil || res.Drift.Retrain.Run != "" || !strings.Contains(res.Drift.Retrain.Why, "cool-down lasts until") {
		t.Errorf("a second time: %v, %+v", err, res.Drift.Retrain)
	}
	quiet, err := s.check(&watch, day-1)
	if err != nil || len(quiet.Drift.Called()) == 0 && quiet.Drift.Retrain != nil {
		t.Errorf("a quiet day: %v, %+v", err, quiet.Drift)
	}
}

// A start that finds its interval trained already answers no drift, and begins no cool-down.
func TestDriftFindsNothingToRetrain(t *testing.T) {
	s, day := driftShop(t)
	s.night(day)
	watch := *s.job
	watch.Name, watch.Watched, watch.CoolDown = "watch", s.job, 72*time.Hour
	watch.Drift.Action = "retrain"
	for range 2 {
		res, err := s.check(&watch, day)
		if err != nil || res.Drift.Retrain == nil || res.Drift.Retrain.Run == "" || !strings.Contains(res.Drift.Retrain.Why, "trained and judged already") {
			t.Errorf("drift ended as %v: %+v", err, res.Drift.Retrain)
		}
	}
}

// Text in views is compared too: the last value, and the first of the most frequent ones; a sequence is not, nor is
// text of items, behind which one person may stand.
func TestDriftOfTextInViews(t *testing.T) {
	s, day := driftShop(t)
	job := *s.job
	job.Drift.Action = "warn"
	job.Views = []features.View{{
		Name: "habits", Key: features.KeySubject, Windows: []time.Duration{24 * time.Hour},
		Features: []features.Feature{
			{Name: "events", Op: features.Count},
			{Name: "last", Op: features.Last, Column: "kind"},
			{Name: "often", Op: features.Top, Column: "kind", N: 2},
			{Name: "trail", Op: features.Sequence, N: 5},
		},
	}, {
		Name: "shelf", Key: features.KeyItem, Windows: []time.Duration{24 * time.Hour},
		Features: []features.Feature{{Name: "events", Op: features.Count}, {Name: "last", Op: features.Last, Column: "kind"}},
	}}
	res, err := s.check(&job, day)
	if err != nil {
		t.Fatal(err)
	}
	var compared, called []string
	for _, c := range res.Drift.Columns {
		if strings.HasPrefix(c.Group, "view ") {
			compared = append(compared, c.Column)
			if c.Verdict == drift.Drifted {
				called = append(called, c.Column)
			}
		}
	}
	want := []string{"habits.events_1d", "habits.last_1d", "habits.often_1d", "shelf.events_1d"}
	if !slices.Equal(compared, want) {
		t.Errorf("compared %q, want %q", compared, want)
	}
	if !slices.Contains(called, "habits.often_1d") {
		t.Errorf("a planted change of kinds is called in %q alone", called)
	}
}
