package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage"
)

// TestColumnsThatNeedCare: validate warns of what a model is trained on, by name and by the look of values, and not of what is read for evaluation or to protect
// people alone; what is not read is named as such, and no value is.
func TestColumnsThatNeedCare(t *testing.T) {
	s := newShop(t, smallWorld)
	type person struct {
		User     string `parquet:"user"`
		Religion string `parquet:"religion"`
		Reach    string `parquet:"reach"`
		Age      int64  `parquet:"age"`
		Zip      string `parquet:"zip"`
		AgeBand  string `parquet:"age_band"`
	}
	var people []person
	for i := range 200 {
		people = append(people, person{fmt.Sprintf("u%06d", i), "x", fmt.Sprintf("somebody%d@example.org", i), 10 + int64(i)%60, "10115", "20-29"})
	}
	writeParquet(t, s.raw, "people.parquet", people)
	look := func() string {
		var out []string
		for _, c := range telling(t.Context(), s.job, "subjects", s.raw, "people.parquet", map[string]string{"contact": "reach", "born": "age"}, []string{"user"}) {
			out = append(out, fmt.Sprintf("%t %t %s", c.OK, c.Warns, c.Found))
		}
		return strings.Join(out, "\n")
	}
	s.job.Training.Reads = map[string][]string{"subjects": {"age_band"}}
	s.job.Evaluation.Reads = map[string][]string{"subjects": {"religion"}}
	if got, want := look(), "true false what may need care and is not read: age (children), reach (contact), zip (location)"; got != want {
		t.Errorf("read for evaluation:\n%s\nwant\n%s", got, want)
	}
	s.job.Training.Reads["subjects"] = []string{"age_band", "contact", "born"}
	sixteen := 16.0
	s.job.Guards.Protected = []lists.Exclusion{{{Column: "born", Max: &sixteen}}}
	s.job.Evaluation = nil
	s.job.Training.Reads["subjects"] = append(s.job.Training.Reads["subjects"], "religion")
	got := look()
	for _, want := range []string{"true true models are trained on what needs care: reach may tell of contact: it identifies a person", "religion may tell of religion and belief (GDPR, Art. 9): leave it out of training", "\ntrue false what may need care and is not read: zip (location)"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing from\n%s", want, got)
		}
	}
	if strings.Contains(got, "example.org") || strings.Contains(got, "10115") || strings.Contains(got, "age ") {
		t.Errorf("a value is told, or what protects people is warned of:\n%s", got)
	}
	s.job.Training.Reads["subjects"] = []string{"household_id", "order_count", "brand_id"}
	if got := look(); !strings.Contains(got, "true true by their names ids that are not the person's own: household_id. They are read as they are") {
		t.Errorf("an id of a household that is read:\n%s", got)
	}
	if got := telling(t.Context(), s.job, "subjects", s.raw, "lost.parquet", nil, nil); got != nil {
		t.Errorf("files that are not there: %v", got)
	}
}

// TestWhatKeepsErasedObjects: validate says what of a bucket outlives an erasure; of a store that keeps nothing by itself it says nothing.
func TestWhatKeepsErasedObjects(t *testing.T) {
	for _, c := range []struct {
		kept  storage.Kept
		warns bool
		want  []string
	}{
		{storage.Kept{}, false, []string{"keeps no old versions, locks nothing"}},
		{storage.Kept{Versions: true}, true, []string{"s3:DeleteObjectVersion"}},
		{storage.Kept{Versions: true, Locked: "compliance, 30 days", Replicated: []string{"arn:aws:s3:::copy"}}, true, []string{"locked (compliance, 30 days)", "copied to arn:aws:s3:::copy"}},
		{storage.Kept{NotTold: []string{"replicas"}}, false, []string{"does not tell of replicas"}},
	} {
		got := lasting(t.Context(), keeping{kept: c.kept})
		if len(got) != 1 || !got[0].OK || got[0].Warns != c.warns || slices.ContainsFunc(c.want, func(w string) bool { return !strings.Contains(got[0].Found, w) }) {
			t.Errorf("%+v: %+v", c.kept, got)
		}
	}
	if got := lasting(t.Context(), keeping{err: storage.ErrUnreachable}); len(got) != 1 || !got[0].OK || !got[0].Warns {
		t.Errorf("a server that does not answer: %+v", got)
	}
	if got := lasting(t.Context(), storage.NewMemory(nil)); got != nil {
		t.Errorf("of a store in memory: %+v", got)
	}
}

// keeping is a bucket that says what it keeps.
type keeping struct {
	storage.Bucket
	kept storage.Kept
	err  error
}

func (k keeping) Keeping(context.Context) (storage.Kept, error) { return k.kept, k.err }

// TestKindsOfViews: validate warns of a kind that a view names and no event has, and of no other.
func TestKindsOfViews(t *testing.T) {
	s := newShop(t, smallWorld)
	if got := namedKinds(t.Context(), s.job); len(got) != 0 {
		t.Errorf("of kinds that events have: %+v", got)
	}
	s.job.Views = append(slices.Clone(s.job.Views), features.View{Name: "odd", Key: "item", Features: []features.Feature{{Name: "n", Op: features.Count, Kinds: []string{"bougt", "buy"}}}})
	got := namedKinds(t.Context(), s.job)
	if len(got) != 1 || !got[0].OK || !got[0].Warns || !strings.Contains(got[0].Found, `none has the kind that a view names: "bougt" (odd.n).`) {
		t.Errorf("of a misspelt kind: %+v", got)
	}
	s.job.Events.Kinds = map[string]string{"buy": "buy"}
	if got := namedKinds(t.Context(), s.job); len(got) != 0 {
		t.Errorf("where the project file says which kinds there are: %+v", got)
	}
}
