package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	q, err := Evaluate(context.Background(), rich(invented(1200, items, 21)).task(), inventedContenders(items))
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
		Decision: Gate(budgets, q, nil, Drift{Report: dr}),
		Model:    ModelFacts{Name: "home", Version: "7", Digest: "sha256:5f1c0000000000000000000000000000", Parts: []PartWeight{{"als", 0.6}, {"again", 0.3}, {"popular", 0.1}}, Weights: map[string]float64{"buy": 4}, Length: 20, Seed: 1, Kernel: "amd64-avx2-fma", Spec: json.RawMessage(`{"parts":["als"]}`)},
		Quality:  q, Drift: dr,
		Funnel:     []FunnelRow{{"read", "120000"}, {"no_purpose", "0"}, {"no_record", "5200"}, {"refused", "8100"}, {"expired", "240"}, {"erased", "under 11"}, {"kept", "106455"}},
		Unexpected: []string{"4800 of 106455 usable events repeat another, 4.51 % where 1 % is allowed (sources.events.expect.duplicates, rapport.yaml:22)"},
		Coarsened:  []string{"subjects: sources.subjects.coarsen.zip has no place for 14 % of the values, where 10 % is let pass: \"other\" is told of them"},
		Data:       DataFacts{Window: table.Interval{Start: day(1), End: day(20)}, Test: table.Interval{Start: day(20), End: day(21)}, Rows: 106455, RepeatShare: &repeat, Masking: "not masked: 41 % of test events are of an item the person had before", Subjects: "5021", Items: 80, Kinds: []string{"buy", "view"}},
		Published:  &PublishedFacts{Generation: 12, Fence: 12, Entities: 5000},
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
	window := func(buys, factor float64) *drift.Batch {
		kind, item, value, device := &table.Column{}, &table.Column{}, &table.Column{}, &table.Column{}
		b := &drift.Batch{Cols: []*table.Column{kind, item, value, device}}
		for s := range 900 {
			for range 4 {
				b.Unit = append(b.Unit, int64(s))
				item.Str, value.Float = append(item.Str, fmt.Sprintf("item-%03d", r.IntN(12))), append(value.Float, factor*math.Exp(r.NormFloat64()))
				kind.Str, device.Str = append(kind.Str, "view"), append(device.Str, []string{"desktop", "phone", "tablet"}[s%3])
				last := len(b.Unit) - 1
				if r.Float64() < buys {
					kind.Str[last] = "buy"
				}
				if r.Float64() < 0.02 {
					value.Float[last] = math.NaN()
				}
			}
		}
		return b
	}
	learner := drift.NewEventsLearner([]drift.Field{{Name: "kind", Text: true}, {Name: "item", Text: true}, {Name: "value"}, {Name: "device", Text: true}}, 0)
	learner.Add(window(0.1, 1))
	learner.EndPeriod()
	summarize := func(b *drift.Batch) []*drift.Summary {
		s := drift.NewEventsScan(learner.Specs())
		s.Add(b)
		return s.Summaries()
	}
	ref, cur := summarize(window(0.1, 1)), summarize(window(0.35, 1.02))
	report, err := drift.Compare(ref, cur, drift.Options{Seed: 1, Replicates: 499})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestReportGolden pins the JSON for a small fixed input: names, order, nulls.
func TestReportGolden(t *testing.T) {
	task := fixture{Task: Task{Catalog: catalog(6), K: []int{2}, Replicates: 50, Seed: 3, Cohorts: []Cohort{{Name: "g", Levels: []string{"a", "b"}}}}}
	for s := range 100 {
		task.add(Subject{Relevant: []int32{int32(s % 4)}, Seen: []int32{int32(s % 3)}, Cold: s%5 == 0})
		task.Cohorts[0].Of = append(task.Cohorts[0].Of, int32(s%7/3)-1+int32(s%2))
	}
	for i, l := range task.Cohorts[0].Of {
		task.Cohorts[0].Of[i] = min(l, 1)
	}
	ascending := scorerFunc(func(_ *models.Query, item int) float32 { return float32((item * 5) % 6) })
	q, err := Evaluate(context.Background(), rich(&task).task(), []Contender{{Name: "home", Scorer: descending, Role: Candidate}, {Name: Popular, Scorer: ascending, Role: Baseline}})
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
		Decision: Gate([]Budget{{Metric: "ndcg@2", Cohort: "g", RelativeGap: ptr(0.5), Owner: "ml-lead", Why: "parity"}}, q, nil, Drift{Report: dr}),
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
	again, _ := json.Marshal(Gate([]Budget{*r.Decision.Rules[1].Budget}, back.Quality, nil, Drift{Report: back.Drift}))
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

// The lineage says how the storage keeps what a run wrote, and what others call the bases of its purposes; of neither it says anything where there is none.
func TestLineageSaysTermsAndKey(t *testing.T) {
	r := exampleReport(t)
	page := func() string {
		t.Helper()
		var out bytes.Buffer
		if err := r.WriteHTML(&out); err != nil {
			t.Fatal(err)
		}
		_, from, _ := strings.Cut(out.String(), `<section id="lineage"`)
		section, _, _ := strings.Cut(from, "</section>")
		return section
	}
	if text := page(); strings.Contains(text, "kept encrypted") || strings.Contains(text, "on the basis of") {
		t.Errorf("of nothing it says:\n%s", text)
	}
	r.Run.Encrypted, r.Purposes[0].Terms = "kms:key/7", []string{"eu-gdpr:A6-1-a, consent", "tcf:5, profiles of content"}
	for _, want := range []string{"<code>kms:key/7</code>", "on the basis of consent: eu-gdpr:A6-1-a, consent; tcf:5, profiles of content."} {
		if text := page(); !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// TestReportHTMLOfLittle: a report with nearly nothing in it is still a page.
func TestReportHTMLOfLittle(t *testing.T) {
	for _, r := range []*Report{
		{Decision: Gate(nil, &Quality{Headline: "ndcg@10"}, nil, Drift{})},
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

func TestReportMarkdown(t *testing.T) {
	r := exampleReport(t)
	r.Quality.Contenders[0].Name = "ho|me\n<b>"
	var buf bytes.Buffer
	if err := r.WriteMarkdown(&buf); err != nil {
		t.Fatal(err)
	}
	text := buf.String()
	_, says := r.verdict()
	if first, _, _ := strings.Cut(text, "\n"); !strings.Contains(first, says) || !strings.HasPrefix(first, "## ") {
		t.Errorf("the first line is %q, want a heading with the verdict %q", first, says)
	}
	for _, want := range []string{"### Figures", "### By cohort", "### Drift", "### What was left out", "(" + r.Run.ID + ".html)", `**ho\|me \<b\>**`, "| people refused or withdrew | 8,100 |", "| under 11 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// Every row of a table has as many cells as its head.
	cells := 0
	for n, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		k := strings.Count(line, "|") - strings.Count(line, `\|`)
		if cells != 0 && k != cells {
			t.Errorf("line %d has %d bars, its table %d: %s", n+1, k, cells, line)
		}
		cells = k
	}
	for _, little := range []*Report{{Decision: Gate(nil, &Quality{Headline: "ndcg@10"}, nil, Drift{})}, {Quality: &Quality{Headline: "ndcg@10", K: []int{10}}}} {
		if err := little.WriteMarkdown(&buf); err != nil {
			t.Error(err)
		}
	}
	if err := r.WriteMarkdown(fullDisk{}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("to a full disk: %v", err)
	}
}

// TestSubjectsStayOnThePage: real people's lists stand in the page alone, which says so first.
func TestSubjectsStayOnThePage(t *testing.T) {
	r := exampleReport(t)
	const item = "only-this-person-has-it"
	r.Subjects = &SubjectFacts{Model: "home", Served: "6", Asked: 3, Lists: []SubjectList{{Place: 2, Items: []SubjectItem{{Item: item, Score: 0.5, Reasons: []models.Reason{{Kind: "event", Ref: item + "-reason", Contribution: 0.4}}}}}}}
	var page, body, md bytes.Buffer
	if err := errors.Join(r.WriteHTML(&page), r.WriteJSON(&body), r.WriteMarkdown(&md)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{item, item + "-reason", "Person 2", "1 of the 3 people", "holds personal data", "of version 7, which does not serve them"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page.String(), "holds no person") {
		t.Error("the page says that it holds no person's data")
	}
	for name, b := range map[string]*bytes.Buffer{"JSON": &body, "Markdown": &md} {
		if strings.Contains(b.String(), item) {
			t.Errorf("the %s holds a person's item", name)
		}
	}
}

// TestRerankSection: the report says which ranking ships, with the figures, and that there is no re-ranker where there is none.
func TestRerankSection(t *testing.T) {
	for name, c := range map[string]struct {
		facts *RerankFacts
		want  []string
	}{
		"none":     {nil, []string{"This model has no re-ranker"}},
		"ships":    {exampleRerank(), []string{"The re-ranked blend ships.", "0.2240", "+0.0140", "at most 0.2500 of what the blend gives", "content match"}},
		"does not": {func() *RerankFacts { f := exampleRerank(); f.Ships = false; return f }(), []string{"The linear blend ships.", "not better by more than chance"}},
	} {
		r := exampleReport(t)
		r.Rerank = c.facts
		r.Explanations[0].Explanation.Reasons = append(r.Explanations[0].Explanation.Reasons, models.Reason{Kind: "neural", Ref: "correction", Contribution: 0.0001})
		var page bytes.Buffer
		if err := r.WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		for _, want := range append(c.want, `<span class="lab">neural correction</span>`) { // its line is never pooled with the small ones
			if !strings.Contains(strings.ReplaceAll(page.String(), "&#43;", "+"), want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
	}
}

// TestFollow: a report's trend is that of the live version's report and that version, and no longer than two weeks of nights.
func TestFollow(t *testing.T) {
	live := exampleReport(t)
	live.Trend = nil
	for n := range trendLength {
		live.Trend = append(live.Trend, TrendPoint{Version: n + 1, Metric: "ndcg@5", Figure: Figure{Value: ptr(0.1)}})
	}
	r := &Report{}
	r.Follow(live, 14)
	if len(r.Trend) != trendLength || r.Trend[0].Version != 2 {
		t.Fatalf("%d points from version %d on, want %d from 2 on", len(r.Trend), r.Trend[0].Version, trendLength)
	}
	last := r.Trend[trendLength-1]
	e := live.Quality.Contender(Candidate).Estimate("ndcg@5", All)
	if last.Version != 14 || *last.Value != *e.Value || *last.Low != *e.Low || *last.Floor != *live.Quality.value(Popular).Value || last.Interval != live.Run.Interval {
		t.Errorf("the live version stands as %+v", last)
	}
	if live.Trend[0].Version != 1 {
		t.Error("the live version's own trend was changed")
	}
	r = &Report{}
	r.Follow(&Report{}, 3)
	if len(r.Trend) != 0 {
		t.Error("a report without figures has a place in the trend")
	}
}

// TestDeclaredDaysAreBands: a version of a day that the calendar declares stands on a band that says which, in the trend as in the heat map.
func TestDeclaredDaysAreBands(t *testing.T) {
	r := exampleReport(t)
	at := func(n int) table.Interval {
		return table.Interval{Start: r.Run.Interval.Start.AddDate(0, 0, n), End: r.Run.Interval.End.AddDate(0, 0, n)}
	}
	r.Trend, r.DriftHistory = nil, nil
	for n := -3; n < 0; n++ {
		r.Trend = append(r.Trend, TrendPoint{Version: n + 4, Interval: at(n), Metric: r.Quality.Headline, Figure: Figure{Value: ptr(0.1)}})
		r.DriftHistory = append(r.DriftHistory, DriftDay{Interval: at(n)})
	}
	bands := func() int {
		var page bytes.Buffer
		if err := r.WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		return strings.Count(page.String(), "black friday, declared in the calendar</title>")
	}
	if n := bands(); n != 0 {
		t.Errorf("%d bands of a calendar that declares nothing", n)
	}
	r.DriftHistory[1].Expected = "black_friday"
	if n := bands(); n != 1 {
		t.Errorf("%d bands, want that of version 2", n)
	}
}

// TestFollowShowsRefusals: days that were refused since the live version's stand behind it, with what refused them, also where nothing was compared; a live version
// that somebody promoted although it was refused is no refusal; and where nothing is live, the refusals stand alone.
func TestFollowShowsRefusals(t *testing.T) {
	live := exampleReport(t)
	live.Decision.Publish = false
	live.DriftHistory = nil
	day := func(n int) table.Interval {
		return table.Interval{Start: live.Run.Interval.Start.AddDate(0, 0, n), End: live.Run.Interval.End.AddDate(0, 0, n)}
	}
	drifted := &Report{Run: RunFacts{Interval: day(1)}, Drift: exampleReport(t).Drift}
	judged := exampleReport(t)
	judged.Run.Interval, judged.Decision.Publish, judged.Drift = day(2), false, nil
	r := exampleReport(t)
	r.Run.Interval, r.Decision.Publish = day(3), true
	r.Follow(live, 7, drifted, judged)
	var got []string
	for _, d := range r.DriftHistory {
		got = append(got, d.Interval.Start.Format(time.DateOnly)+" "+string(d.Refused))
	}
	var want []string
	for n, by := range []RefusedBy{"", RefusedByDrift, RefusedByGate} {
		want = append(want, day(n).Start.Format(time.DateOnly)+" "+string(by))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the runs before are %q, want %q", got, want)
	}
	if len(r.DriftHistory[1].Sizes) == 0 || len(r.DriftHistory[2].Sizes) != 0 {
		t.Errorf("the refused days have the sizes %v and %v", r.DriftHistory[1].Sizes, r.DriftHistory[2].Sizes)
	}
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{">■</td>", "refused for drift, before training", "refused by the rules", "went live or were refused"} {
		if !strings.Contains(page.String(), says) {
			t.Errorf("the page does not hold %q", says)
		}
	}
	if n := strings.Count(page.String(), "■</td>"); n != 2 {
		t.Errorf("%d days are marked as refused, want 2", n)
	}
	alone := exampleReport(t)
	alone.Trend, alone.DriftHistory = nil, nil
	if alone.Follow(nil, 0, drifted); len(alone.Trend) != 0 || len(alone.DriftHistory) != 1 {
		t.Errorf("without a live version: %d versions and %d runs, want 0 and 1", len(alone.Trend), len(alone.DriftHistory))
	}
	next := exampleReport(t)
	if next.Follow(r, 8); len(next.DriftHistory) != 4 || next.DriftHistory[1].Refused != RefusedByDrift {
		t.Errorf("the report after it has forgotten the refusals: %+v", next.DriftHistory)
	}
}

func TestParseReport(t *testing.T) {
	var buf bytes.Buffer
	r := exampleReport(t)
	if err := r.WriteJSON(&buf); err != nil {
		t.Fatal(err)
	}
	back, err := ParseReport(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := back.WriteJSON(&again); err != nil || !bytes.Equal(again.Bytes(), buf.Bytes()) {
		t.Errorf("a report that was read is written differently (%v)", err)
	}
	for body, want := range map[string]string{`{"schema":"rapport.report/2"}`: `reads "rapport.report/1"`, `{`: "read report", `{"schema":"rapport.report/1","run":3}`: "read report"} {
		if _, err := ParseReport([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", body, err, want)
		}
	}
}

// FuzzParseReport: whatever stands in the bucket, a report that can be read can be shown, in every form.
func FuzzParseReport(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "report.golden.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"schema":"rapport.report/1","quality":{"headline":"x","contenders":[{"role":"candidate","estimates":[{"metric":"x","split":"all","value":1}]}]},"trend":[{"metric":"x","value":1e308,"low":-1e308,"high":1e308}]}`))
	f.Add([]byte(`{"schema":"rapport.report/1","rerank":{},"drift":{"columns":[{"statistic":"wasserstein","threshold":-1,"effect":1,"bins":[{"reference":-1}]}]},"funnel":[{"reason":"read","rows":"-5"},{"reason":"kept","rows":"(withheld)"}],"lineage":[{"digest":"é"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseReport(body)
		if err != nil {
			return
		}
		if err := errors.Join(r.WriteHTML(io.Discard), r.WriteMarkdown(io.Discard)); err != nil && !strings.Contains(err.Error(), "no definition explains") {
			t.Error(err)
		}
		(&Report{}).Follow(r, 1)
	})
}

// TestAxis: ticks are round, cover the values, stand where their labels say, and leave room between them.
func TestAxis(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		labels string
	}{
		{0, 0.314, "0.0 0.1 0.2 0.3 0.4"},
		{0.2, 0.38, "0.2 0.3 0.4"},
		{-0.0071, 0.0013, " −0.0050  0.0000 "}, // five long labels are too many for a phone: zero keeps its own
		{0, 2, "0 1 2"},
		{0.5, 0.5, "0.2 0.4 0.6 0.8"},
		{0.3, 0.1 + 0.2, "0.1 0.2 0.3 0.4 0.5"}, // apart in the last bit alone
		{0, 0, "−0.05 0.00 0.05"},
	} {
		a, ticks := newAxis(c.lo, c.hi, decimal)
		if a.lo > c.lo || a.hi < c.hi || len(ticks) < 2 || len(ticks) > 7 {
			t.Errorf("%v to %v: axis %v with %d ticks", c.lo, c.hi, a, len(ticks))
		}
		if a.place(a.lo) != inset || a.place(a.hi) != 100-inset || a.place(a.hi+1) != 100-inset {
			t.Errorf("%v to %v: the ends are at %v and %v", c.lo, c.hi, a.place(a.lo), a.place(a.hi))
		}
		var labels []string
		for _, k := range ticks {
			labels = append(labels, k.Label)
		}
		if got := strings.Join(labels, " "); got != c.labels {
			t.Errorf("%v to %v: labels %q, want %q", c.lo, c.hi, got, c.labels)
		}
	}
}

// Where nothing could be compared, the section says what ships and draws nothing.
func TestRerankSectionWithoutFigures(t *testing.T) {
	r := exampleReport(t)
	r.Rerank = &RerankFacts{Bound: 0.5, Features: []string{}, Says: "No window was set aside for the re-ranker."}
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"The linear blend ships.": true, "No window was set aside": true, "too little to compare": true, "re-ranked minus linear": false, "ndcg@0": false,
	} {
		if strings.Contains(page.String(), text) != want {
			t.Errorf("the page has %q: %v", text, !want)
		}
	}
}
