package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
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
	if declared := s.interval(6).End.Add(-s.job.Window); !declared.Before(smallWorld.Start) || !before.Data.Window.Start.Equal(smallWorld.Start) {
		t.Errorf("the first version learned from %s: a window from %s on is declared, and there are data from %s on", before.Data.Window, declared, smallWorld.Start)
	}
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

// TestRefusedRunHasAReport: a run that drift has refused before anything was trained is told of as any other: its report says why, is found by the run
// and as the latest, is the same when the run is repeated, and is no litter.
func TestRefusedRunHasAReport(t *testing.T) {
	s, day := driftShop(t)
	s.night(day - 1)
	job := *s.job
	job.Drift.Action = "block"
	res, err := s.check(&job, day)
	if !errors.Is(err, jobs.ErrRejected) || res.Report == "" {
		t.Fatalf("planted drift ended as %v with the report %q", err, res.Report)
	}
	r, files := s.reportOf(res.Report)
	if r.Quality != nil || r.Decision.Publish || len(r.Drift.Drifted()) == 0 || len(r.Funnel) == 0 || len(r.Lineage) == 0 {
		t.Errorf("it says %+v of %d drifted columns, %d stages and %d steps", r.Decision, len(r.Drift.Drifted()), len(r.Funnel), len(r.Lineage))
	}
	if len(r.Trend) != 1 || len(r.DriftHistory) != 1 {
		t.Errorf("it follows %d versions and %d runs, want the live one's", len(r.Trend), len(r.DriftHistory))
	}
	for _, ext := range []string{".html", ".md"} {
		if !strings.Contains(files[ext], "Refused before training") {
			t.Errorf("%s does not say so", ext)
		}
	}
	run, err := ledger.Ledger{Bucket: s.runner.Bucket}.Get(t.Context(), res.RunID)
	if err != nil || run.Report != res.Report {
		t.Errorf("the ledger has the report %q, %v", run.Report, err)
	}
	if key, err := (&project{Opened: s.opened}).latestReport(t.Context()); err != nil || key != res.Report {
		t.Errorf("the latest report is %q, %v", key, err)
	}
	again, err := s.check(&job, day)
	if !errors.Is(err, jobs.ErrRejected) || !again.Nothing || again.Report != res.Report {
		t.Errorf("again: %v, nothing to do %v, report %q", err, again.Nothing, again.Report)
	}
	s.runner.Wall = func() time.Time { return time.Now().Add(48 * time.Hour) }
	found, err := s.runner.Collect(t.Context(), 24*time.Hour, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range found.Removed {
		if strings.HasPrefix(g.Key, "reports/") {
			t.Errorf("%s is litter: %s", g.Key, g.Why)
		}
	}
}

// TestRefusedDaysInLaterReports: a night that was refused stands in the next report's map of drift, with what refused it and by how much its columns had moved.
func TestRefusedDaysInLaterReports(t *testing.T) {
	s, day := driftShop(t)
	live := s.night(day - 2)
	strict := *s.job
	strict.Drift.Action, strict.Drift.Alpha = "block", 0.9
	strict.Drift.Columns = map[string]drift.Override{"events_per_subject": {Threshold: 1e-9}, "item": {Threshold: 1e-9}, "kind": {Threshold: 1e-9}}
	refused, err := s.check(&strict, day-1)
	if !errors.Is(err, jobs.ErrRejected) {
		t.Fatalf("a night of which any change is too large ended as %+v, %v", refused, err)
	}
	r, files := s.reportOf(s.night(day).Report)
	if n := len(r.DriftHistory); n != 2 {
		t.Fatalf("the next report shows %d runs before it, want the live one and the refused one", n)
	}
	first, second := r.DriftHistory[0], r.DriftHistory[1]
	if first.Interval != live.Interval || first.Refused != "" || second.Interval != refused.Interval || second.Refused != eval.RefusedByDrift || len(second.Drifted) == 0 || len(second.Sizes) == 0 {
		t.Errorf("it shows %+v and %+v", first, second)
	}
	if !strings.Contains(files[".html"], "refused for drift, before training") {
		t.Error("the page does not say that a day was refused")
	}
}

// TestReasonsAreSaidOnce: what refused a run is not told again as a flag, and other flags are told.
func TestReasonsAreSaidOnce(t *testing.T) {
	var out bytes.Buffer
	printReasons(&out, []string{"kind has drifted: a lot", "a budget is missed"}, []string{"kind has drifted: a lot", "item has drifted: known", "risk: a budget is missed", "consent: held back"})
	want := "reason\tkind has drifted: a lot\nreason\ta budget is missed\ndrift\titem has drifted: known\nconsent\theld back\n"
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
}

// TestPlanHidesFewPeople: how many refused is not told where they are few, in print or in JSON, and no other number gives it away.
func TestPlanHidesFewPeople(t *testing.T) {
	for n, want := range map[jobs.People][2]string{0: {"0", "0"}, 1: {"under 11", "null"}, 10: {"under 11", "null"}, 11: {"11", "11"}} {
		body, err := json.Marshal(n)
		if err != nil || n.String() != want[0] || string(body) != want[1] {
			t.Errorf("%d people are printed as %s and written as %s (%v), want %s and %s", int(n), n, body, err, want[0], want[1])
		}
	}
	s := newShop(t, smallWorld)
	v := s.plan(7)
	if v.Admitted < 11 || v.Refused < 1 {
		t.Fatalf("the shop has %d and %d people: nothing is tested", int(v.Admitted), int(v.Refused))
	}
	if few, told := v.Refused < 11, strings.Contains(v.Consent, "records"); few == told {
		t.Errorf("%d refused, and the plan tells of consent: %s", int(v.Refused), v.Consent)
	}
}
