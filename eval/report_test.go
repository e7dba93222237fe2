package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/table"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// exampleReport is a whole report on invented data, the same at every call.
func exampleReport(t *testing.T) *Report {
	t.Helper()
	const items = 80
	q, err := Evaluate(context.Background(), invented(1200, items, 21), inventedContenders(items))
	if err != nil {
		t.Fatal(err)
	}
	dr := exampleDrift(t)
	budgets := []Budget{
		{Metric: "ndcg@5", Cohort: "region", RelativeGap: ptr(0.15), Owner: "ml-lead", Why: "parity review"},
		{Metric: "ndcg@5", Cohort: "age_band", RelativeGap: ptr(0.5), OnFail: Block},
		{Metric: "ndcg@5", Against: "live", Ratio: ptr(0.98), Owner: "ml-lead", Why: "no silent regressions"},
	}
	day := func(d int) time.Time { return time.Date(2026, 8, d, 0, 0, 0, 0, time.UTC) }
	repeat := 0.41
	var trend []TrendPoint
	for n := range 6 {
		v := 0.2 + 0.01*float64(n%3)
		trend = append(trend, TrendPoint{Version: n + 1, Interval: table.Interval{Start: day(13 + n), End: day(14 + n)}, Metric: "ndcg@5", Figure: Figure{ptr(v), ptr(v - 0.02), ptr(v + 0.02)}, Floor: ptr(0.09)})
	}
	return &Report{
		Trend: trend, Unprofiled: Popular,
		Purposes: []PurposeFacts{
			{Role: "training", Name: "recommend", Says: "We use what you looked at & bought here to suggest things you may like.", Basis: "consent", Reads: map[string][]string{"events": {"kind", "device"}, "items": {"category"}}, KeepDays: map[string]float64{"events": 365}},
			{Role: "evaluation", Name: "check_fairness", Says: "We check that suggestions work equally well for everyone.", Basis: "legitimate-interest", Reads: map[string][]string{"cohorts": {"region", "age_band"}}},
		},
		Run:      RunFacts{ID: "01JEXAMPLE0000000000000000", Project: "shop", Job: "nightly", Interval: table.Interval{Start: day(20), End: day(21)}, Clock: day(21).Add(3 * time.Hour), Pinned: true, Revision: "a28a96e"},
		Decision: Gate(budgets, q, Drift{Report: dr}),
		Model:    ModelFacts{Name: "home", Version: "7", Digest: "sha256:5f1c0000000000000000000000000000", Parts: []PartWeight{{"als", 0.6}, {"again", 0.3}, {"popular", 0.1}}, Weights: map[string]float64{"buy": 4}, Length: 20, Seed: 1, Kernel: "amd64-avx2-fma", Spec: json.RawMessage(`{"parts":["als"]}`)},
		Quality:  q, Drift: dr,
		Funnel:    []FunnelRow{{"read", "120000"}, {"no_purpose", "0"}, {"no_record", "5200"}, {"refused", "8100"}, {"expired", "240"}, {"erased", "under 11"}, {"kept", "106455"}},
		Data:      DataFacts{Window: table.Interval{Start: day(1), End: day(20)}, Test: table.Interval{Start: day(20), End: day(21)}, Rows: 106455, RepeatShare: &repeat, Masking: "not masked: 41 % of test events are of an item the person had before", Subjects: "5021", Items: 80, Kinds: []string{"buy", "view"}},
		Published: &PublishedFacts{Generation: 12, Fence: 12, Entities: 5000},
		Lineage: []LineageStep{
			{"items", "items-7e00000000000000000000", ""},
			{"cohorts", "cohorts-7e00000000000000000000", ""},
			{"ingest 2026-08-19", "ingest-7f00000000000000000000", "sha256:0100000000000000000000"},
			{"train", "train-8a00000000000000000000", "sha256:5f1c00000000000000000000"},
			{"evaluate", "evaluate-9b00000000000000000000", "sha256:7700000000000000000000"},
		},
		Explanations: []ExplanationSample{{"bought coffee weekly, <bread> twice", "item-0003", models.Explanation{Score: 1.25, Error: 1e-9, Reasons: []models.Reason{
			{Kind: "event", Ref: "coffee", Contribution: 0.9}, {Kind: "popularity", Ref: "item-0003", Contribution: 0.4}, {Kind: "bias", Ref: "", Contribution: -0.05},
		}}}},
	}
}

func exampleRerank() *RerankFacts {
	day := time.Date(2026, 8, 19, 0, 0, 0, 0, time.UTC)
	return &RerankFacts{
		Ships: true, Metric: "ndcg@5", K: 5, Blend: Figure{ptr(0.21), ptr(0.2), ptr(0.22)}, Reranked: Figure{ptr(0.224), ptr(0.213), ptr(0.235)},
		Difference: Figure{ptr(0.014), ptr(0.006), ptr(0.022)}, P: ptr(0.002), Window: table.Interval{Start: day, End: day.AddDate(0, 0, 1)}, N: 1180, Bound: 0.25,
		Features: []string{"scores of the parts", "recency", "popularity", "content match", "device", "daypart"}, Says: "It ships if the difference is above zero over its whole 95 % interval.",
	}
}

func exampleDrift(t *testing.T) *drift.Report {
	t.Helper()
	r := rand.New(rand.NewPCG(6, 6))
	window := func(buys, factor float64) func(func(drift.Event, error) bool) {
		return func(yield func(drift.Event, error) bool) {
			for s := range 900 {
				for range 4 {
					e := drift.Event{Subject: uint64(s), Kind: "view", Item: fmt.Sprintf("item-%03d", r.IntN(12)), Value: factor * math.Exp(r.NormFloat64()), Context: []string{[]string{"desktop", "phone", "tablet"}[s%3]}}
					if r.Float64() < buys {
						e.Kind = "buy"
					}
					if r.Float64() < 0.02 {
						e.Value = math.NaN()
					}
					if !yield(e, nil) {
						return
					}
				}
			}
		}
	}
	plan, err := drift.Learn([]string{"device"}, window(0.1, 1))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := plan.Summarize(window(0.1, 1))
	if err != nil {
		t.Fatal(err)
	}
	cur, err := plan.Summarize(window(0.35, 1.02))
	if err != nil {
		t.Fatal(err)
	}
	report, err := drift.Compare(ref, cur, drift.Options{Seed: 1, Replicates: 499})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestReportGolden pins the JSON for a small fixed input: names, order, nulls.
func TestReportGolden(t *testing.T) {
	task := Task{Catalog: catalog(6), K: []int{2}, Replicates: 50, Seed: 3, Cohorts: []Cohort{{Name: "g", Levels: []string{"a", "b"}}}}
	for s := range 100 {
		task.Queries = append(task.Queries, models.Query{})
		task.Relevant = append(task.Relevant, []int32{int32(s % 4)})
		task.Seen = append(task.Seen, []int32{int32(s % 3)})
		task.Cohorts[0].Of = append(task.Cohorts[0].Of, int32(s%7/3)-1+int32(s%2))
	}
	for i, l := range task.Cohorts[0].Of {
		task.Cohorts[0].Of[i] = min(l, 1)
	}
	ascending := scorerFunc(func(_ *models.Query, item int) float32 { return float32((item * 5) % 6) })
	q, err := Evaluate(context.Background(), task, []Contender{{"home", descending, Candidate}, {Popular, ascending, Baseline}})
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 8, 20, 0, 0, 0, 0, time.UTC)
	effect, p, psi := 0.25, 0.01, 0.3
	dr := &drift.Report{Alpha: 0.05, Replicates: 99, Adjustment: "benjamini_hochberg", Columns: []drift.Column{{
		Name: "kind", Verdict: drift.Drifted, Statistic: "jensen_shannon", Effect: &effect, Threshold: 0.1, P: &p, AdjustedP: &p, PSI: &psi, PSIBand: "fail",
		ReferenceRows: 1000, CurrentRows: 900, EffectiveClusters: 200, Bins: []drift.Bin{{Label: "buy", Reference: 0.25, Current: 0.5}}, Says: "kind has drifted.",
	}}}
	r := &Report{
		Run:      RunFacts{ID: "01J", Job: "nightly", Interval: table.Interval{Start: day, End: day.AddDate(0, 0, 1)}, Clock: day.AddDate(0, 0, 1), Revision: "abc"},
		Decision: Gate([]Budget{{Metric: "ndcg@2", Cohort: "g", RelativeGap: ptr(0.5), Owner: "ml-lead", Why: "parity"}}, q, Drift{Report: dr}),
		Model:    ModelFacts{Name: "home", Digest: "sha256:00"}, Quality: q, Drift: dr, Funnel: []FunnelRow{{"kept", "100"}},
	}
	var got bytes.Buffer
	if err := r.WriteJSON(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "report.golden.json")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the report's JSON differs from %s; if that is meant, run with -update and read the difference", golden)
	}
	// A decoded report gives the same decision: the gate needs nothing that the JSON does not hold.
	var back Report
	if err := json.Unmarshal(got.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(Gate([]Budget{*r.Decision.Rules[1].Budget}, back.Quality, Drift{Report: back.Drift}))
	first, _ := json.Marshal(r.Decision)
	if !bytes.Equal(first, again) {
		t.Errorf("decided from JSON:\n%s\nwant\n%s", again, first)
	}
}

func TestReportHTML(t *testing.T) {
	r := exampleReport(t)
	var buf bytes.Buffer
	if err := r.WriteHTML(&buf); err != nil {
		t.Fatal(err)
	}
	page := buf.String()
	if dir := os.Getenv("RAPPORT_REPORT_DIR"); dir != "" { // to look at it
		if err := os.WriteFile(filepath.Join(dir, "report.html"), buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if buf.Len() > 2<<20 {
		t.Errorf("the page is %d bytes, over 2 MB", buf.Len())
	}
	// One file that fetches nothing and runs nothing.
	for _, bad := range []string{"<script", "http://", "https://", "src=", "@import", "url(", "ZgotmplZ", "<no value>", "NaN", "%!"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if strings.Contains(page, "<bread>") {
		t.Error("text is not escaped")
	}
	for _, reason := range r.Decision.Reasons {
		if !strings.Contains(html.UnescapeString(page), strings.ReplaceAll(reason, " %", "\u00a0%")) {
			t.Errorf("the page lacks the reason %q", reason)
		}
	}
	// Every link leads somewhere in the page.
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("the link #%s leads nowhere", m[1])
		}
	}
	if n := strings.Count(page[strings.Index(page, `<ul class="tiles">`):strings.Index(page, "<main")], "<li>"); n == 0 || n > 7 {
		t.Errorf("%d figures on the first screen, want 1 to 7", n)
	}
	if a, b := strings.Index(page, `class="verdict`), strings.Index(page, "<main"); a < 0 || a > b {
		t.Error("the verdict does not come first")
	}
}

// TestReportHTMLOfLittle: a report with nearly nothing in it is still a page.
func TestReportHTMLOfLittle(t *testing.T) {
	for _, r := range []*Report{
		{Decision: Gate(nil, &Quality{Headline: "ndcg@10"}, Drift{})},
		{Quality: &Quality{Headline: "ndcg@10", K: []int{10}}},
	} {
		var page, body bytes.Buffer
		if err := r.WriteHTML(&page); err != nil || !strings.Contains(page.String(), "</html>") {
			t.Errorf("page of an empty report: %v", err)
		}
		if err := r.WriteJSON(&body); err != nil {
			t.Error(err)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestReportWriteFails(t *testing.T) {
	r := &Report{Run: RunFacts{ID: "01J"}}
	for name, write := range map[string]func() error{
		"json": func() error { return r.WriteJSON(fullDisk{}) },
		"html": func() error { return r.WriteHTML(fullDisk{}) },
	} {
		if err := write(); err == nil || !strings.Contains(err.Error(), "write report of run 01J: no space left") {
			t.Errorf("%s to a full disk: error %v", name, err)
		}
	}
	bad := &Report{Explanations: []ExplanationSample{{Explanation: models.Explanation{Score: math.NaN()}}}}
	var buf bytes.Buffer
	if err := bad.WriteJSON(&buf); err == nil || buf.Len() > 0 {
		t.Errorf("a NaN was written: %v", err)
	}
}
