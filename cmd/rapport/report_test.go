package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/storage/table"
)

// reportOf reads the files of a run's report, by extension, and the report itself, in which every field must be known.
func (s *shop) reportOf(key string) (*eval.Report, map[string]string) {
	s.Helper()
	files := map[string]string{}
	for _, ext := range []string{".html", ".json", ".md"} {
		files[ext] = string(object(s.TB, s.opened.Bucket, key+ext))
	}
	var r eval.Report
	d := json.NewDecoder(strings.NewReader(files[".json"]))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		s.Fatalf("report %s: %v", key, err)
	}
	return &r, files
}

// TestReportHoldsNoSubject: what a report shows of lists and reasons is of invented people, who took nothing but best sellers; no file of it
// names a person, or an item that fewer than 11 people took.
func TestReportHoldsNoSubject(t *testing.T) {
	s := newShop(t, smallWorld)
	r, files := s.reportOf(s.night(7).Report)

	people := map[string]map[int64]bool{} // by item
	subjects := map[int64]bool{}
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(t.Context(), "ingest/") {
		if err != nil {
			t.Fatal(err)
		}
		for b, err := range table.Read(t.Context(), s.opened.Bucket, c.Outputs["events"], table.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.N {
				item, subject := b.Col("item").Str[i], b.Col("subject").Int[i]
				if people[item] == nil {
					people[item] = map[int64]bool{}
				}
				people[item][subject], subjects[subject] = true, true
			}
		}
	}
	rare := 0
	for item, who := range people {
		if len(who) >= 11 {
			continue
		}
		rare++
		for ext, body := range files {
			if regexp.MustCompile(regexp.QuoteMeta(item) + `\b`).MatchString(body) {
				t.Errorf("%s names %s, which %d people took", ext, item, len(who))
			}
		}
	}
	if rare == 0 || len(subjects) == 0 {
		t.Fatalf("the world has %d items that few took, of %d, and %d subjects: nothing is tested", rare, len(people), len(subjects))
	}
	for ext, body := range files {
		for subject := range subjects {
			if strings.Contains(body, fmt.Sprint(subject)) || strings.Contains(body, fmt.Sprintf("%016x", uint64(subject))) {
				t.Errorf("%s holds a subject's number", ext)
			}
		}
		if regexp.MustCompile(`\bu0\d{5}\b`).MatchString(body) {
			t.Errorf("%s holds a raw id", ext)
		}
	}

	if len(r.Explanations) == 0 {
		t.Fatal("no explanation is sampled")
	}
	for _, e := range r.Explanations {
		if len(e.Explanation.Reasons) == 0 {
			t.Errorf("no reason why someone who %s is shown %s", e.Persona, e.Item)
		}
		for _, reason := range e.Explanation.Reasons {
			if reason.Kind == "event" && !strings.Contains(e.Persona, reason.Ref) {
				t.Errorf("someone who %s is shown %s because of %s, which nobody invented", e.Persona, e.Item, reason.Ref)
			}
		}
	}
}

// TestReportFollowsTheLiveVersion: the second night's report shows the first version as it was judged, and another run over the same inputs
// writes the same report.
func TestReportFollowsTheLiveVersion(t *testing.T) {
	s := newShop(t, smallWorld)
	before, _ := s.reportOf(s.night(6).Report)
	after, files := s.reportOf(s.night(7).Report)
	if len(before.Trend) != 0 || len(after.Trend) != 1 {
		t.Fatalf("trends of %d and %d versions, want none and one", len(before.Trend), len(after.Trend))
	}
	e := before.Quality.Contender(eval.Candidate).Estimate(before.Quality.Headline, eval.All)
	if p := after.Trend[0]; p.Version != 1 || *p.Value != *e.Value || p.Interval != before.Run.Interval {
		t.Errorf("the first version stands as %+v, it was judged at %v", p, *e.Value)
	}
	again := newShop(t, smallWorld)
	again.night(6)
	_, same := again.reportOf(again.night(7).Report)
	for ext := range files {
		if !bytes.Equal([]byte(files[ext]), []byte(same[ext])) {
			t.Errorf("the same inputs gave another %s", ext)
		}
	}
}
