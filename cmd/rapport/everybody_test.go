package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
)

// TestEverybodyGone: a run that has nothing to learn from since everybody was erased, or has withdrawn, says that, and not that some had refused when the days were read.
func TestEverybodyGone(t *testing.T) {
	var everybody []string
	for i := range smallWorld.Users {
		everybody = append(everybody, fmt.Sprintf("u%06d", i+1))
	}
	for _, c := range []struct {
		name, want string
		remove     func(s *shop)
	}{
		{"erased", "kept when it was read is gone since, the last of it by erasure 1", func(s *shop) {
			if _, err := s.erase(everybody...); err != nil {
				s.Fatal(err)
			}
		}},
		{"withdrawn", "in the 8d before 2026-01-08T00:00:00Z (read ", func(s *shop) {
			var all []event.Said
			for _, id := range everybody {
				all = append(all, event.Said{ID: id, RecordID: "gone " + id, Record: policy.Record{Purpose: "recommend", State: "Withdrawn", Source: "app"}})
			}
			if _, err := s.runner.Consenter([]*jobs.Job{s.job}).Record(s.Context(), all); err != nil {
				s.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t, smallWorld)
			s.night(6)
			c.remove(s)
			res, err := s.try(6)
			if !errors.Is(err, jobs.ErrNoData) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if said := strings.Contains(err.Error()+res.Remedy, "refused, withdrew or objected"); said != (c.name == "withdrawn") {
				t.Errorf("the cause is told as %v, and what to do as %s", err, res.Remedy)
			}
		})
	}
}
