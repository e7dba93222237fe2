package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/jobs"
)

// TestARetrainIsJudgedBesideWhatItReplaces: a model that an erasure makes due on the interval that is live is held against the version that is live: both are
// asked for the same test window, of which neither has learned. The next retrain is held against that one, a repetition has nothing to do, and no night before or after
// is judged otherwise than it was.
func TestARetrainIsJudgedBesideWhatItReplaces(t *testing.T) {
	s := newShop(t, smallWorld)
	share := 0.5
	s.job.Budgets = []eval.Budget{{Metric: "ndcg@10", Against: string(eval.Live), Ratio: &share, OnFail: eval.Warn, Owner: "test"}}
	judged := func(res *jobs.Result, beside string) *eval.Report {
		t.Helper()
		r, _ := s.reportOf(res.Report)
		rules := s.budgetRules(res)
		if len(rules) != 1 || !strings.Contains(rules[0].Subject, beside) || (rules[0].Instead != "") != strings.Contains(beside, "nothing was live") {
			t.Errorf("judged beside %+v, want %q", rules, beside)
		}
		return r
	}
	s.night(5)
	first := judged(s.night(6), "against live v1")
	was := first.Quality.Contender(eval.Candidate).Estimate("ndcg@10", eval.All)
	earlier := s.clone(t)

	ids := s.admitted(2)
	if _, err := s.erase(ids[0]); err != nil {
		t.Fatal(err)
	}
	second := judged(s.night(6), "against live v2")
	c, is := second.Quality.Comparison("ndcg@10", eval.All, "live v2"), second.Quality.Contender(eval.Live).Estimate("ndcg@10", eval.All)
	if c == nil || is == nil || *is.Value-*was.Value > 0.1 || *was.Value-*is.Value > 0.1 {
		t.Errorf("the live version has %+v beside its retrain, and had %+v: one person is gone from the test", is, was)
	}
	if p := second.Trend; len(p) != 2 || p[1].Version != 2 {
		t.Errorf("the trend is %+v, want versions 1 and 2", p)
	}
	for _, d := range second.DriftHistory {
		if d.Interval.End.Equal(s.interval(6).End) {
			t.Errorf("the day stands in its own history: %+v", d)
		}
	}
	if slices.ContainsFunc(second.Drift.Columns, func(c drift.Column) bool { return c.Name == "live_quality" }) {
		t.Error("the quality of the live version is compared with itself")
	}
	if res := s.night(6); !res.Nothing {
		t.Errorf("a repetition does %v", res.Steps)
	}
	d, err := s.runner.Compare(t.Context(), s.version(2), s.version(3), func(key string) string { return key })
	if err != nil || d.Paired != "b" || !strings.HasPrefix(d.Tells, "Version 2 was live when version 3 was judged") {
		t.Errorf("the two beside each other: %v, %+v", err, d)
	}

	if _, err := s.erase(ids[1]); err != nil {
		t.Fatal(err)
	}
	judged(s.night(6), "against live v3")
	judged(s.night(7), "against live v4")
	if todo := toDo(s.plan(6)); !slices.Equal(todo, []string{"publish 2026-01-07"}) { // that of an older day never is
		t.Errorf("the day before is made anew: %v", todo)
	}

	// Other data of another day replaces nothing of that.
	if res := earlier.night(7); !strings.Contains(earlier.budgetRules(res)[0].Subject, "against live v2") {
		t.Errorf("without an erasure: %+v", earlier.budgetRules(res))
	}
}

// TestVersionsOfOneIntervalArePaired: of three versions of one interval the first was live when the second was judged, and that when the third was. The first and the
// third never met, but were asked for the same people with the same draws, of which a budget that looks back has the sums kept.
func TestVersionsOfOneIntervalArePaired(t *testing.T) {
	s := newShop(t, smallWorld)
	share := 0.1
	s.job.Budgets = []eval.Budget{{Metric: "ndcg@10", Against: string(eval.Live), Ratio: &share, Pool: 48 * time.Hour, OnFail: eval.Warn, Owner: "test"}}
	s.night(5)
	for i := range 2 { // what is trained differs by what its events weigh, and not by who is asked
		s.job.Model.Weights = map[string]float64{"view": 0.25 * float64(i+1), "buy": 1}
		s.night(5)
	}
	key := func(key string) string { return key }
	d, err := s.runner.Compare(t.Context(), s.version(1), s.version(3), key)
	if err != nil || d.Paired != "both" {
		t.Fatalf("%v, %+v", err, d)
	}
	for _, f := range d.Figures {
		if tested := f.P != nil && f.Difference.Low != nil && *f.Difference.Low <= *f.Difference.Value; tested != (f.Metric == "ndcg@10") {
			t.Errorf("%s: %+v", f.Metric, f)
		}
	}
	if d, err = s.runner.Compare(t.Context(), s.version(1), s.version(2), key); err != nil || d.Paired != "b" {
		t.Errorf("the first, that was live, and the second: %v, %q", err, d.Paired)
	}
}

// TestLiveThatKnowsTheTest: a version that has learned from days of a test window that has become longer is not asked for them, and a budget against it says so.
func TestLiveThatKnowsTheTest(t *testing.T) {
	s := newShop(t, smallWorld)
	share := 0.5
	s.job.Budgets = []eval.Budget{{Metric: "ndcg@10", Against: string(eval.Live), Ratio: &share, OnFail: eval.Block, Owner: "test"}}
	res := s.night(5)
	if r := s.budgetRules(res)[0]; r.Instead == "" || !strings.Contains(r.Says, "as nothing was live when the interval ended") {
		t.Errorf("a first version: %+v", r)
	}
	s.job.Last *= 3
	res = s.night(6)
	r, _ := s.reportOf(res.Report)
	rule := s.budgetRules(res)[0]
	if rule.Verdict != eval.NotJudged || rule.Instead != "" || !strings.Contains(rule.Says, "version 1 was live, and has learned from days of this test window") || r.Quality.NoLive == "" || r.Quality.Contender(eval.Live) != nil {
		t.Errorf("%+v, no live: %q", rule, r.Quality.NoLive)
	}
}
