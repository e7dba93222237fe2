package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
)

// TestEverybodyGone: a run that has nothing to learn from since everybody was erased, has withdrawn, is recognized by no key any more or has stood too long says that, with what
// there is to do about it, and does not send its operator to the source.
func TestEverybodyGone(t *testing.T) {
	var everybody []string
	for i := range smallWorld.Users {
		everybody = append(everybody, fmt.Sprintf("u%06d", i+1))
	}
	erase := func(s *shop) {
		if _, err := s.erase(everybody...); err != nil {
			s.Fatal(err)
		}
	}
	loseKey := func(s *shop) {
		s.under(newKeys(t, "k2"))
		if _, err := s.runner.PurgeKey(t.Context(), []*jobs.Job{s.job}, "k1", "the vault burned down", jobs.Terms{}); err != nil {
			s.Fatal(err)
		}
	}
	loseKeyWithMarks := func(s *shop) {
		if _, err := s.erase(s.admitted(1)...); err != nil {
			s.Fatal(err)
		}
		loseKey(s)
	}
	for _, c := range []struct {
		name   string
		remove func(s *shop)
		day    int
		want   []string
		not    string
	}{
		{"erased", erase, 6, []string{"any more (when it was read: read 350", "kept is gone since, the last of it by erasure 1: everybody was erased whose events it held, and nothing is to be mended"}, "key"},
		{"erased, the day after", erase, 7, []string{"(read 350 → erased 350 → kept 0): erased: these subjects were erased: remove them from the source as well"}, "key"},
		{"a lost key", loseKey, 6, []string{"the last of it by erasure 1: nobody could tell whose it was when key k1 was given up", "days that are read from now on hold events again"}, "everybody was erased"},
		{"a lost key with marks", loseKeyWithMarks, 6, []string{"the last of it by erasure 2: nobody could tell whose it was when key k1 was given up", "what is from before 2026-01-08T08:00:00Z counts no more of an id that nobody knew"}, "everybody was erased"},
		{"a lost key with marks, the day after", loseKeyWithMarks, 7, []string{"(read 350 → erased 350 → kept 0): erased: nobody can tell whose these ids are since key k1 was given up", "by a basis that is recorded after that: import one"}, "remove them from the source"},
		{"too old", func(s *shop) {
			s.keeping(map[string]time.Duration{"events": 24 * time.Hour})
			s.purge(7, 24*time.Hour)
		}, 6, []string{"the last of it by purge 1: its events have stood longer than purposes.recommend.keep.events lets them be kept, 1d. Nothing is to be mended; --at names an interval that is kept"}, "whom it was"},
		{"withdrawn", func(s *shop) {
			var all []event.Said
			for _, id := range everybody {
				all = append(all, event.Said{ID: id, RecordID: "gone " + id, Record: policy.Record{Purpose: "recommend", State: "Withdrawn", Source: "app"}})
			}
			if _, err := s.runner.Consenter([]*jobs.Job{s.job}).Record(s.Context(), all); err != nil {
				s.Fatal(err)
			}
		}, 6, []string{"in the 8d before 2026-01-08T00:00:00Z (read ", "refused: these subjects refused, withdrew or objected: nothing to do"}, "is gone since"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t, smallWorld)
			s.night(6)
			c.remove(s)
			res, err := s.try(c.day)
			if !errors.Is(err, jobs.ErrNoData) {
				t.Fatalf("it ends with %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
			if strings.Contains(err.Error()+res.Remedy, c.not) {
				t.Errorf("%v\nremedy %s\ntells of %q, which is not the cause", err, res.Remedy, c.not)
			}
			why, err := s.runner.Why(t.Context(), []*jobs.Job{s.job}, res.RunID)
			if err != nil || why.Hint != "" || len(why.Try) > 0 || !strings.Contains(why.Says, "The error says why") {
				t.Errorf("why: %+v, %v", why, err)
			}
		})
	}
}
