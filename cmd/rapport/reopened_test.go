package main

import (
	"testing"

	"github.com/rapport-ml/rapport/jobs"
)

// A plan says why a step that was done is to be done again: which of its inputs is another.
func TestPlanSaysWhy(t *testing.T) {
	s := newShop(t, smallWorld)
	s.quick()
	s.night(6)
	why := func() map[string]string {
		out := map[string]string{}
		for _, step := range s.plan(6).Steps {
			if !step.Done {
				out[step.Name+" "+step.Label] = step.Why
			}
		}
		return out
	}
	if got := why(); len(got) != 0 {
		t.Fatalf("after a night there is to do: %v", got)
	}
	s.job.Window /= 2
	if got := why(); got["build 2026-01-07"] != "" || got["assemble 2026-01-07"] != "its settings have changed, days that it reads have changed, whose data may be used has changed" ||
		got["train 2026-01-07"] != "its training set is another" {
		t.Errorf("with half the window: %v", got)
	}
	s.job.Window *= 2
	s.job.MinN++
	if got := why(); got["evaluate 2026-01-07"] != "its settings have changed" {
		t.Errorf("with another smallest cohort: %v", got)
	}
	s.job.MinN--
	if _, err := s.runner.Erase(t.Context(), []*jobs.Job{s.job}, []string{"u000001"}); err != nil {
		t.Fatal(err)
	}
	if got := why(); got["build 2026-01-07"] != "whose data may be used has changed" {
		t.Errorf("after an erasure: %v", got)
	}
}
