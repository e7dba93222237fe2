package eval

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/storage/table"
)

// largeReport is a report of much: 12 cohorts, of which some are crossed, 20 budgets, 60 runs of 48 columns, exposure and content.
func largeReport(t *testing.T) *Report {
	t.Helper()
	const items = 80
	f := rich(invented(1200, items, 21))
	region, age := f.Cohorts[0], f.Cohorts[1]
	r := rand.New(rand.NewPCG(12, 12))
	for _, name := range []string{"activity", "tenure", "device", "gender", "language", "plan"} {
		c := Cohort{Name: name}
		for l := range 2 + r.IntN(4) {
			c.Levels = append(c.Levels, fmt.Sprintf("%s %d", name, l+1))
		}
		for range region.Of {
			c.Of = append(c.Of, int32(r.IntN(len(c.Levels)+1))-1)
		}
		f.Cohorts = append(f.Cohorts, c)
	}
	f.Cohorts = append(f.Cohorts, Cross(region, age), Cross(region, f.Cohorts[2]), Cross(age, f.Cohorts[5]), Cross(region, age, f.Cohorts[5]))
	q, err := Evaluate(context.Background(), f.task(), inventedContenders(items))
	if err != nil {
		t.Fatal(err)
	}
	out := exampleReport(t)
	out.Quality = q
	var budgets []Budget
	for i, c := range q.Cohorts {
		budgets = append(budgets, Budget{Metric: "ndcg@5", Cohort: c.Cohort, RelativeGap: ptr(0.1 + 0.1*float64(i%3)), Owner: "ml-lead", Why: "parity review of August", Pool: 28 * 24 * time.Hour})
	}
	budgets = append(budgets,
		Budget{Metric: "ndcg@5", Against: "live", Ratio: ptr(0.98), Margin: 0.005, Owner: "ml-lead", Why: "no silent regressions"},
		Budget{Metric: "ndcg@5", Against: Popular, Ratio: ptr(1.5), Owner: "ml-lead"},
		Budget{Metric: "coverage@5", AtLeast: ptr(0.9), OnFail: Block, Owner: "catalogue", Why: "small makers are seen"},
		Budget{Metric: "gini@5", AtMost: ptr(0.9), OnFail: Warn, Owner: "catalogue"},
		Budget{Metric: "overlap@5", AtLeast: ptr(0.2), Owner: "shop-front", Why: "people find what they saw yesterday"},
		Budget{Metric: "novelty@5", AtLeast: ptr(1.0), Owner: "shop-front"},
		Budget{Metric: "recall@5", Cohort: "region", AtLeast: ptr(0.1), Owner: "ml-lead"},
		Budget{Metric: "hit@5", Cohort: "age_band", AbsoluteGap: ptr(0.2), Owner: "ml-lead"},
	)
	pools := Pools{28 * 24 * time.Hour: {Quality: q, Facts: PoolFacts{Evaluations: 4, LeftOut: []Unpooled{{NotEvaluated, 20}, {OtherDefinitions, 1}, {OtherContenders, 3}}, Window: table.Interval{Start: out.Run.Interval.Start.AddDate(0, 0, -27), End: out.Run.Interval.End}}}}
	out.Drift = wideDrift(t, out.Drift, 48, r)
	out.Decision = Gate(budgets, q, pools, Drift{Report: out.Drift})
	out.Decision.Remember(nil, out.Run.Interval.End.AddDate(0, 0, -9))
	out.follows(r)
	return out
}

// wideDrift widens a report to so many columns, with causes, a declared day, and one drift that is known.
func wideDrift(t *testing.T, d *drift.Report, columns int, r *rand.Rand) *drift.Report {
	t.Helper()
	for i := len(d.Columns); i < columns; i++ {
		c := d.Columns[i%4]
		c.Name, c.Verdict, c.Effect, c.Says = fmt.Sprintf("activity.feature_%02d", i), drift.Stable, ptr(0.08*r.Float64()), "nothing large"
		if i%17 == 0 {
			c.Verdict, c.Effect = drift.Drifted, ptr(0.2+r.Float64())
			c.Cause = &drift.Cause{Kind: "behaviour", Says: "It looks like behaviour: the same people do other things."}
			if i%2 == 0 {
				c.Acknowledged = "known to ml-lead until 2026-09-01T00:00:00Z: the app asks otherwise since Monday"
			}
		}
		d.Columns = append(d.Columns, c)
	}
	day := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	d.Reference = &drift.ReferenceFacts{
		Kind: "same_weekdays", Weekday: "Thursday", Intervals: []string{"2026-07-23", "2026-07-30", "2026-08-06"}, LeftOut: []drift.Excluded{{Interval: "2026-08-13", Why: "it is unlike the others"}},
		Expected: []drift.ExpectedDay{{Name: "summer_sale", Interval: table.Interval{Start: day, End: day.AddDate(0, 0, 1)}}},
	}
	return d
}

// follows gives a report 13 versions and 59 runs before it.
func (r *Report) follows(chance *rand.Rand) {
	end := r.Run.Interval
	own, _ := r.point()
	ownDay, _ := r.driftDay()
	r.Trend, r.DriftHistory = nil, nil
	for n := range HistoryLength {
		back := HistoryLength - n
		iv := table.Interval{Start: end.Start.AddDate(0, 0, -back), End: end.End.AddDate(0, 0, -back)}
		d := DriftDay{Interval: iv, Sizes: map[string]float64{}}
		for _, name := range slices.Sorted(maps.Keys(ownDay.Sizes)) { // what is drawn comes to the same columns in every run
			x := digits(1.3 * chance.Float64() * chance.Float64())
			if d.Sizes[name] = x; x > 1 {
				d.Drifted = append(d.Drifted, name)
				if x > 1.2 {
					d.Known = append(d.Known, name)
				}
			}
		}
		if n%28 == 12 {
			d.Expected = "summer_sale"
		}
		r.DriftHistory = append(r.DriftHistory, d)
		if back <= trendLength {
			t := own
			t.Version, t.Interval, t.Budgets = n+1, iv, nil
			move := 0.05 * (chance.Float64() - 0.5)
			t.Figure = Figure{ptr(*own.Value + move), ptr(*own.Low + move), ptr(*own.High + move)}
			for _, b := range own.Budgets {
				b.Value = ptr(*b.Value * (1 + move))
				if b.Low != nil {
					b.Low, b.High = ptr(*b.Low*(1+move)), ptr(*b.High*(1+move))
				}
				t.Budgets = append(t.Budgets, b)
			}
			r.Trend = append(r.Trend, t)
		}
	}
}

// TestLargeReport: much fits into one page, which folds away what asks for nothing, and draws no more than can be read.
func TestLargeReport(t *testing.T) {
	r := largeReport(t)
	if len(r.Quality.Cohorts) != 12 || len(r.Trend) != trendLength || len(r.DriftHistory) != 59 {
		t.Fatalf("%d cohorts, %d versions, %d runs", len(r.Quality.Cohorts), len(r.Trend), len(r.DriftHistory))
	}
	var page, md bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", page.Len())
	if page.Len() > 2<<20 {
		t.Errorf("the page is %d bytes, over 2 MB", page.Len())
	}
	text := page.String()
	for want, n := range map[string]int{`<div class="card small">`: 19, `<table class="heat">`: 1, "▾": 3, `id="cohort-`: 12} {
		if got := strings.Count(text, want); got != n {
			t.Errorf("%q stands %d times, want %d", want, got, n)
		}
	}
	if rows := regexp.MustCompile(`(?s)<table class="heat">.*?</table>`).FindString(text); strings.Count(rows, "<tr>") != mostHeat+3 { // and heads, declared days and refusals
		t.Errorf("the heat map has %d rows, want %d columns", strings.Count(rows, "<tr>"), mostHeat)
	}
	for _, want := range []string{"undecided since 2026-08-12", "4 evaluations of 28 days", "the same weekdays before: 3 intervals", "This is known to ml-lead", "region × age band", "Whose items: by color", "8 more columns", "adjusted p"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if err := r.WriteMarkdown(&md); err != nil || md.Len() > 20<<10 {
		t.Errorf("Markdown of %d bytes (%v), want a short one", md.Len(), err)
	}
}

// driftedReport is that of a run that was refused before anything was trained.
func driftedReport(t *testing.T) *Report {
	t.Helper()
	full := exampleReport(t)
	r := &Report{Run: full.Run, Model: ModelFacts{Name: "home"}, Trend: full.Trend, Drift: full.Drift, Funnel: full.Funnel, Purposes: full.Purposes, Lineage: full.Lineage[:3]}
	r.Decision = GateDrift(Drift{Report: r.Drift, Action: Block})
	for n := range 9 {
		iv := table.Interval{Start: r.Run.Interval.Start.AddDate(0, 0, n-9), End: r.Run.Interval.End.AddDate(0, 0, n-9)}
		r.DriftHistory = append(r.DriftHistory, DriftDay{Interval: iv, Sizes: map[string]float64{"kind": 0.1 * float64(n), "item": 0.4, "value": 0.7}})
	}
	return r
}

// TestRefusedBeforeTraining: such a report speaks of drift first and of no figures that there are not, and of what can be done.
func TestRefusedBeforeTraining(t *testing.T) {
	r := driftedReport(t)
	var page, md, js bytes.Buffer
	if err := errors.Join(r.WriteHTML(&page), r.WriteMarkdown(&md), r.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Refused before training: the data have drifted.", "rapport drift ack RUN", `id="drift"`, `id="data"`, `id="lineage"`, `<table class="heat">`, "kind has drifted", "Drift check"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, no := range []string{`id="quality"`, `id="cohorts"`, `id="card"`, "May be published", "Nothing was measured"} {
		if strings.Contains(page.String(), no) {
			t.Errorf("the page holds %q", no)
		}
	}
	for _, want := range []string{"Refused before training", "### Drift", "### What was left out"} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("the Markdown lacks %q", want)
		}
	}
	back, err := ParseReport(js.Bytes())
	if err != nil || back.trained() {
		t.Errorf("read again: %v, trained %v", err, back != nil && back.trained())
	}
}

// TestWhys: the first screen says in plain words what has drifted, in a line for each cause, and no statistic; what each column did stands behind it.
func TestWhys(t *testing.T) {
	cause := func(name string, kind drift.CauseKind) drift.Column {
		c := drift.Column{Name: name, Verdict: drift.Drifted, Effect: ptr(0.2), Threshold: 0.1, Says: name + " has drifted: effect 0.200 against 0.100, adjusted p < 0.001."}
		if kind != "" {
			c.Cause = &drift.Cause{Kind: kind, Says: "The evidence."}
		}
		return c
	}
	r := exampleReport(t)
	r.Drift = &drift.Report{Columns: []drift.Column{
		cause("item", drift.BehaviourShift), cause("channel", drift.UpstreamBreak), cause("live_quality", ""), cause("mystery", ""),
		{Name: "still", Verdict: drift.Stable, Says: "still is stable."},
		{Name: "few", Verdict: drift.Insufficient, Says: "few has too few people."},
		{Name: "scarce", Verdict: drift.Insufficient, Says: "scarce has too few people."},
	}}
	r.Drift.Columns[2].Group = "quality"
	for i := range 6 {
		r.Drift.Columns = append(r.Drift.Columns, cause(fmt.Sprintf("view_%d", i), drift.BehaviourShift))
	}
	r.Decision = Gate([]Budget{{Metric: "ndcg@5", Against: "live", Ratio: ptr(1.2), OnFail: Block, Owner: "ml-lead", Why: "a leap"}}, r.Quality, nil, Drift{Report: r.Drift, Action: Warn})
	got, detail := r.whys()
	at := func(text string) int {
		return slices.IndexFunc(got, func(s string) bool { return strings.Contains(s, text) })
	}
	if at("the budget is at least 120.0 %") != 0 {
		t.Errorf("the gravest is not the first: %q", got)
	}
	for _, want := range []string{
		"Drift: the same people do otherwise than before. It shows in item, view 0, view 1, view 2 and 3 other columns.",
		"Drift: the source writes otherwise than before, as by lost values or other units. It shows in channel.",
		"Drift: what the model makes of its inputs has moved. It shows in live quality.", "and nothing says why. It shows in mystery.", "Drift of 2 columns could not be judged",
	} {
		if at(want) < 0 {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if at("effect") >= 0 || at("adjusted p") >= 0 || at("still") >= 0 {
		t.Errorf("it tells of statistics: %q", got)
	}
	if len(detail) != 12 || !strings.Contains(detail[0], "adjusted p < 0.001. The evidence.") {
		t.Errorf("behind it stand %q", detail)
	}
	if n := len(got) + len(detail) - 5; n != len(r.Decision.Reasons) { // four lines of causes, and one of what was not judged
		t.Errorf("%d reasons are told of, want %d", n, len(r.Decision.Reasons))
	}
}

// TestBinLabel: what has a bin is a number that can be read.
func TestBinLabel(t *testing.T) {
	for label, want := range map[string]string{"5.687e+05 and over": "568,700 and over", "2954 to 1.2e+04": "2954 to 12,000", "under 1e-05": "under 1e-05", "sku-1e": "sku-1e", "0.5 to 2": "0.5 to 2"} {
		if got := binLabel(label); got != want {
			t.Errorf("%q: %q, want %q", label, got, want)
		}
	}
}
