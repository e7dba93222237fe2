package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestCrowdedCohort: a cohort of more levels than an evaluation takes is refused before anything is trained, with what to do, and validate warns of it; so is the
// intersection of two.
func TestCrowdedCohort(t *testing.T) {
	w := smallWorld
	w.Users, w.EventsPerUser = 2400, 12
	s := newShop(t, w)
	for _, c := range crowded(t.Context(), s.job) {
		t.Errorf("cohorts of few levels: %s", c.Found)
	}
	type person struct {
		User    string `parquet:"user_id"`
		Gender  string `parquet:"gender"`
		AgeBand string `parquet:"age_band"`
	}
	var people []person
	for i := range w.Users {
		people = append(people, person{fmt.Sprintf("u%06d", i+1), fmt.Sprintf("of type %d", i), "20-29"})
	}
	writeParquet(t, s.raw, "cohorts.parquet", people)
	for _, name := range []string{"gender", "gender+age_band"} {
		s.job.Cohort = []string{name}
		if got := crowded(t.Context(), s.job); len(got) != 1 || !got[0].Warns || !strings.Contains(got[0].Found, name+" has more than 500 levels") || strings.Contains(got[0].Found, "of type") {
			t.Errorf("validate says %+v", got)
		}
		_, err := s.try(6)
		if err == nil || !strings.Contains(err.Error(), "at most 500: make it coarser under sources.cohorts.coarsen.gender") {
			t.Fatalf("cohort %s: %v", name, err)
		}
		for key := range objects(t, s.opened.Bucket) {
			if strings.HasPrefix(key, "done/train/") || strings.HasPrefix(key, "artifacts/") {
				t.Errorf("cohort %s was refused after %s", name, key)
			}
		}
	}
}
