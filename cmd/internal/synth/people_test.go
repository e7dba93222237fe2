package synth

import (
	"maps"
	"testing"

	"github.com/rapport-ml/rapport/cmd/internal/dataset"
)

func TestConsent(t *testing.T) {
	w := small()
	w.Users, w.EventsPerUser = 2000, 10
	m, _ := write(t, w)
	first := map[string]int64{}
	for _, e := range m.events {
		if _, ok := first[e.UserID]; !ok {
			first[e.UserID] = e.Time
		}
	}
	var (
		histories = map[string][]dataset.ConsentRow{}
		ids       = map[string]bool{}
		counts    = map[string]int{}
	)
	for _, r := range m.consent {
		if ids[r.RecordID] {
			t.Fatalf("record id %s twice", r.RecordID)
		}
		ids[r.RecordID] = true
		if r.Purpose == "check_fairness" {
			counts["objected"]++
			if r.State != "Refused" {
				t.Errorf("an objection in state %s", r.State)
			}
			continue
		}
		histories[r.Subject] = append(histories[r.Subject], r)
	}
	from, to := start.UnixMicro(), start.AddDate(0, 0, w.Days).UnixMicro()
	for subject, h := range histories {
		if at, ok := first[subject]; ok && h[0].Effective >= at {
			t.Errorf("a first record is effective after the first event")
		}
		switch {
		case h[0].State == "Refused":
			counts["refused"]++
		case h[0].Expires != 0:
			counts["expired"]++
			if h[0].Expires < from || h[0].Expires >= to {
				t.Error("a consent expires outside the world's time")
			}
		case len(h) > 1 && h[1].State == "Withdrawn":
			counts["withdrawn"]++
			if h[1].Effective < from || h[1].Effective >= to {
				t.Error("a withdrawal is outside the world's time")
			}
		case len(h) != 1 || h[0].State != "ConsentGiven":
			t.Errorf("an unplanned history of %d records, first %s", len(h), h[0].State)
		}
	}
	if len(histories) != w.Users {
		t.Errorf("%d subjects have records, want all %d", len(histories), w.Users)
	}
	want := map[string]int{"refused": 60, "expired": 20, "withdrawn": 20, "objected": 20} // 3 %, 1 %, 1 %, 1 % of 2,000
	if !maps.Equal(counts, want) {
		t.Errorf("%v, want %v", counts, want)
	}
}

func TestCohortsSomeMissing(t *testing.T) {
	w := small()
	m, _ := write(t, w)
	if n := w.Users - len(m.cohorts); n < w.Users/20 || n > w.Users/6 {
		t.Errorf("%d of %d have no cohort row", n, w.Users)
	}
	missing := map[string]int{}
	for _, c := range m.cohorts {
		if c.Gender == "" {
			missing["gender"]++
		}
		if c.AgeBand == "" {
			missing["age"]++
		}
	}
	if missing["gender"] == 0 || missing["age"] == 0 {
		t.Errorf("missing: %v", missing)
	}
}
