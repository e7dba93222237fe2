package eval

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
)

func ptr(x float64) *float64 { return &x }

// measured is a Quality as Evaluate would give it: the candidate "home" against popular and again+popular, and live if any.
func measured(live bool) *Quality {
	q := &Quality{Headline: "ndcg@10", K: []int{10}, MinN: 30, Confidence: Confidence}
	add := func(name string, role Role, value float64) {
		q.Contenders = append(q.Contenders, ContenderQuality{Name: name, Role: role, Estimates: []Estimate{{Metric: "ndcg@10", Split: All, N: 500, Value: ptr(value), StandardError: ptr(0.001)}}})
	}
	compare := func(name string, role Role, value, low, high float64) {
		se := (high - low) / (2 * z95) // of independent errors, that of the other is √(se² − 0.001²)
		q.Contenders[len(q.Contenders)-1].Estimates[0].StandardError = ptr(math.Sqrt(se*se - 1e-6))
		q.Comparisons = append(q.Comparisons, Comparison{
			Metric: "ndcg@10", Split: All, Against: name, Role: role, N: 500, Difference: ptr(0.05 - value), StandardError: &se, Low: ptr(0.05 - value + low), High: ptr(0.05 - value + high),
			Ratio: ptr(0.05 / value), RatioLow: ptr(0.05/value + low/value), RatioHigh: ptr(0.05/value + high/value),
		})
	}
	add("home", Candidate, 0.05)
	if live {
		add("live v3", Live, 0.052)
		compare("live v3", Live, 0.052, -0.003, 0.003)
	}
	add(Popular, Baseline, 0.03)
	compare(Popular, Baseline, 0.03, -0.005, 0.005)
	add("again+popular", Baseline, 0.045)
	compare("again+popular", Baseline, 0.045, -0.004, 0.004)
	for _, c := range q.Contenders {
		// Two groups of the same error: se of the difference is √2·0.002 = 0.00283, half width 1.96·0.00283 = 0.00554.
		worse := map[string]float64{"home": 0.04, "live v3": 0.036, Popular: 0.02, "again+popular": 0.043}[c.Name]
		f := CohortFigure{Contender: c.Name, Metric: "ndcg@10", Overall: c.Estimates[0].Value}
		for _, g := range []struct {
			level string
			n     int
			value float64
		}{{"a", 300, 0.055}, {"b", 180, worse}, {"few", 20, 0.001}} {
			row := Group{Level: g.level, Status: Judged, N: &g.n, Value: ptr(g.value), StandardError: ptr(0.002)}
			if g.n < q.MinN {
				row.Status = Insufficient
			}
			f.ByGroup = append(f.ByGroup, row)
		}
		f.summarize(q.MinN)
		if len(q.Cohorts) == 0 {
			q.Cohorts = []CohortQuality{{Cohort: "region"}}
		}
		q.Cohorts[0].Figures = append(q.Cohorts[0].Figures, f)
	}
	return q
}

// find returns the one rule of a kind whose subject holds s.
func find(t *testing.T, d Decision, kind, s string) Rule {
	t.Helper()
	for _, r := range d.Rules {
		if r.Kind == kind && strings.Contains(r.Subject, s) {
			return r
		}
	}
	t.Fatalf("no %s rule of %q in %+v", kind, s, d.Rules)
	return Rule{}
}

func TestGateBudgets(t *testing.T) {
	// The gap of home is 0.055 − 0.04 = 0.015 ± 0.00554: 0.0095 to 0.0205; relative to 0.05: 30 %, 18.9 % to 41.1 %.
	tests := []struct {
		name    string
		budget  Budget
		live    bool
		verdict Verdict
		effect  Effect
		says    string
	}{
		{"gap kept", Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.42), OnFail: Block}, true, Pass, NoEffect, "30.0 % (95 % interval 18.9 % to 41.1 %) (b served worst, a best); the budget is 42.0 %: kept"},
		{"gap exceeded", Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.18), OnFail: Block}, true, Fail, Refuses, "the budget is 18.0 %: exceeded"},
		{"gap straddles", Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.25), OnFail: Block}, true, Undecided, NoEffect, "neither can be said"},
		{"absolute gap exceeded", Budget{Metric: "ndcg@10", Cohort: "region", AbsoluteGap: ptr(0.009), OnFail: Warn}, true, Fail, Warns, "0.0150 (95 % interval 0.0095 to 0.0205)"},
		// live's gap is (0.055 − 0.036)/0.052 = 36.5 %, larger than 30 %.
		{"ratchet, no worse than live", Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.18)}, true, Fail, Accepted, "no larger than that of live v3 (36.5 %): accepted as a risk"},
		// Without live the best baseline is again+popular, whose gap is (0.055 − 0.043)/0.045 = 26.7 %.
		{"ratchet, first version", Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.18), OnFail: Ratchet}, false, Fail, Accepted, "That of again+popular (26.7 %) is not surely smaller: the difference is 3.3 % (95 % interval −13.2 % to 19.9 %): accepted as a risk"},
		{"min_n above the groups", Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.1), MinN: 200}, true, NotJudged, NoEffect, "1 of 3 groups have 200 subjects or more"},
		{"unknown cohort", Budget{Metric: "ndcg@10", Cohort: "regoin", RelativeGap: ptr(0.1)}, true, NotMeasurable, Refuses, "was not measured"},
		{"unknown metric, only a warning", Budget{Metric: "ndcg@11", Cohort: "region", RelativeGap: ptr(0.1), OnFail: Warn}, true, NotMeasurable, Warns, "was not measured"},
		// Against live: 0.05/0.052 = 96.2 %, 90.4 % to 101.9 %.
		{"ratio kept", Budget{Metric: "ndcg@10", Against: "live", Ratio: ptr(0.9), OnFail: Block}, true, Pass, NoEffect, "against live v3 is 96.2 % (95 % interval 90.7 % to 102.0 %) of it; the budget is at least 90.0 %: kept"},
		{"ratio straddles", Budget{Metric: "ndcg@10", Against: "live", Ratio: ptr(0.98), OnFail: Block}, true, Undecided, NoEffect, "neither can be said"},
		{"ratio missed", Budget{Metric: "ndcg@10", Against: "live", Ratio: ptr(1.05), OnFail: Block}, true, Fail, Refuses, "missed"},
		{"ratio to a baseline missed, not surely worse than live", Budget{Metric: "ndcg@10", Against: Popular, Ratio: ptr(2)}, true, Fail, Accepted, "live v3 is not surely better: the difference is 0.0020 (95 % interval −0.0010 to 0.0050): accepted as a risk"},
		{"ratio to a baseline missed, first version is the best", Budget{Metric: "ndcg@10", Against: Popular, Ratio: ptr(2)}, false, Fail, Accepted, "no worse than again+popular"},
		{"live of a first version is the best baseline", Budget{Metric: "ndcg@10", Against: "live", Ratio: ptr(0.98), OnFail: Block}, false, Pass, NoEffect, "again+popular (the best baseline, as nothing was live when the interval ended)"},
		{"ratio of too few", Budget{Metric: "ndcg@10", Against: "live", Ratio: ptr(0.98), MinN: 501}, true, NotJudged, NoEffect, "500 subjects (501 are needed)"},
		{"against nobody", Budget{Metric: "ndcg@10", Against: "als", Ratio: ptr(0.98)}, true, NotMeasurable, Refuses, "was not measured"},
	}
	for _, tt := range tests {
		tt.budget.Owner, tt.budget.Why = "ml-lead", "parity review"
		d := Gate([]Budget{tt.budget}, measured(tt.live), nil, Drift{})
		r := find(t, d, "budget", "")
		if r.Verdict != tt.verdict || r.Effect != tt.effect || !strings.Contains(r.Says, tt.says) {
			t.Errorf("%s: %s, %s: %q\nwant %s, %s: …%s…", tt.name, r.Verdict, r.Effect, r.Says, tt.verdict, tt.effect, tt.says)
		}
		if d.Publish != (tt.effect != Refuses) {
			t.Errorf("%s: publish is %v", tt.name, d.Publish)
		}
		if !strings.HasSuffix(r.Says, "Owner: ml-lead. Why this rule: parity review.") {
			t.Errorf("%s: %q names neither owner nor reason", tt.name, r.Says)
		}
		if (tt.verdict == Fail || tt.verdict == Undecided || tt.verdict == Pass) && r.Detectable == nil {
			t.Errorf("%s: no minimum detectable value", tt.name)
		}
	}
}

// TestBudgetAgainstLiveWithoutLive: what a first version is held against in place of a live one is named wherever the budget is, and a live version that cannot be
// asked is not replaced by anything, in no pool either.
func TestBudgetAgainstLiveWithoutLive(t *testing.T) {
	b := Budget{Metric: "ndcg@10", Against: "live", Ratio: ptr(0.95), Pool: 24 * time.Hour, OnFail: Block}
	q := measured(false)
	r := find(t, Gate([]Budget{b}, q, nil, Drift{}), "budget", "")
	if want := "ndcg@10 at least 95.0 % of again+popular, as nothing was live"; r.Instead != "again+popular" || r.name() != want {
		t.Errorf("%q stands in, and the rule is named %q, want %q", r.Instead, r.name(), want)
	}
	if r := find(t, Gate([]Budget{b}, measured(true), nil, Drift{}), "budget", ""); r.Instead != "" || r.name() != b.String() {
		t.Errorf("with a live version: %q, %q", r.Instead, r.name())
	}
	q.NoLive = "version 3 was live, and knows it"
	for name, pools := range map[string]Pools{"alone": nil, "pooled": {b.Pool: {Quality: q}}} {
		d := Gate([]Budget{b}, q, pools, Drift{})
		r := find(t, d, "budget", "against live")
		if r.Verdict != NotJudged || r.Instead != "" || !strings.Contains(r.Says, "can't be judged: version 3 was live, and knows it.") || d.Verdict != Undecided || !d.Publish {
			t.Errorf("%s: %s, %+v", name, d.Verdict, r)
		}
	}
	report := Report{Quality: q}
	if says := report.better().Says; !strings.Contains(says, "Not compared with what was live: version 3 was live, and knows it.") {
		t.Error(says)
	}
}

// TestGateNamesUnjudgedGroups: a group with too few subjects is never passed in silence.
func TestGateNamesUnjudgedGroups(t *testing.T) {
	d := Gate([]Budget{{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.5)}}, measured(true), nil, Drift{})
	r := find(t, d, "budget", "region")
	if r.Verdict != Pass || len(r.Unjudged) != 1 || r.Unjudged[0] != "few" || !strings.Contains(r.Says, "Not judged, too few subjects: few.") {
		t.Errorf("rule %+v does not name the group that was not judged", r)
	}
	if r.N != 480 {
		t.Errorf("n = %d, want the 480 judged", r.N)
	}
}

// TestDetectable: with two groups of se 0.002, (1.95996 + 0.84162)·√2·0.002 = 0.007924; over 0.05 that is 15.85 %, beyond the budget of 10 %.
func TestDetectable(t *testing.T) {
	d := Gate([]Budget{{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.1)}}, measured(true), nil, Drift{})
	want := 0.1 + (1.959963984540054+0.8416212335729143)*math.Sqrt2*0.002/0.05
	if r := find(t, d, "budget", "region"); math.Abs(*r.Detectable-want) > 1e-9 {
		t.Errorf("minimum detectable %v, want %v", *r.Detectable, want)
	}
}

func TestGateFloors(t *testing.T) {
	set := func(q *Quality, against string, low, high float64) *Quality {
		c := q.Comparison("ndcg@10", All, against)
		*c.Difference, *c.Low, *c.High = (low+high)/2, low, high
		return q
	}
	tests := []struct {
		name    string
		q       *Quality
		subject string
		verdict Verdict
		effect  Effect
		publish bool
	}{
		{"better than popularity", measured(false), Popular, Pass, NoEffect, true},
		{"worse than popularity", set(measured(false), Popular, -0.02, -0.001), "against " + Popular, Fail, Refuses, false},
		{"not told from popularity", set(measured(false), Popular, -0.02, 0.001), "against " + Popular, Undecided, NoEffect, true},
		{"worse than again", set(measured(false), "again+popular", -0.02, -0.001), "again+popular", Fail, Warns, true},
	}
	for _, tt := range tests {
		d := Gate(nil, tt.q, nil, Drift{})
		if r := find(t, d, "floor", tt.subject); r.Verdict != tt.verdict || r.Effect != tt.effect || d.Publish != tt.publish {
			t.Errorf("%s: %s, %s, publish %v; want %s, %s, %v", tt.name, r.Verdict, r.Effect, d.Publish, tt.verdict, tt.effect, tt.publish)
		}
		if len(d.Reasons) == 0 {
			t.Errorf("%s: no reason", tt.name)
		}
	}
	none := measured(false)
	none.Comparisons = nil
	if d := Gate(nil, none, nil, Drift{}); !d.Publish || !strings.Contains(d.Reasons[0], "No popularity baseline") {
		t.Errorf("without baselines: %+v", d)
	}
	few := measured(false)
	few.Comparison("ndcg@10", All, Popular).N = 29
	if d := Gate(nil, few, nil, Drift{}); d.Verdict != Undecided || find(t, d, "floor", "against "+Popular).Verdict != NotJudged {
		t.Errorf("29 subjects were judged: %+v", d)
	}
}

// TestGateListsEveryFailure: a decision holds all failed rules, the refusing ones first.
func TestGateListsEveryFailure(t *testing.T) {
	effect := 0.4
	report := &drift.Report{Columns: []drift.Column{
		{Name: "kind", Verdict: drift.Drifted, Effect: &effect, Threshold: 0.1, Says: "kind has drifted."},
		{Name: "value", Verdict: drift.Stable, Says: "value is stable."},
		{Name: "device", Verdict: drift.Insufficient, Says: "device: too few."},
	}}
	budgets := []Budget{
		{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.1), OnFail: Warn},
		{Metric: "ndcg@10", Against: "live", Ratio: ptr(1.1), OnFail: Block},
		{Metric: "ndcg@10", Against: "live", Ratio: ptr(1.2), OnFail: Block},
	}
	d := Gate(budgets, measured(true), nil, Drift{Report: report, Action: Block})
	if d.Publish || d.Verdict != Fail {
		t.Errorf("publish %v, verdict %s", d.Publish, d.Verdict)
	}
	want := []string{"at least 110.0 %", "at least 120.0 %", "kind has drifted", "gap by region", "too few"}
	if len(d.Reasons) != len(want) {
		t.Fatalf("reasons %q", d.Reasons)
	}
	for i, w := range want {
		if !strings.Contains(d.Reasons[i], w) {
			t.Errorf("reason %d is %q, want one of %q", i, d.Reasons[i], w)
		}
	}
	if d := Gate(nil, measured(true), nil, Drift{Report: report}); !d.Publish || find(t, d, "drift", "kind").Effect != Warns {
		t.Errorf("drift that only warns: %+v", d)
	}
}

func TestBudgetValidate(t *testing.T) {
	good := []Budget{
		{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.1)},
		{Metric: "recall@10", Against: "live", Ratio: ptr(0.98), OnFail: Warn},
		{Metric: "hit@10", Against: Popular, Ratio: ptr(1)},
		{Metric: "novelty@10", AtMost: ptr(12)},
		{Metric: "overlap@10", AtLeast: ptr(0.5), Margin: 0.05, Pool: 28 * 24 * time.Hour},
	}
	for _, b := range good {
		if err := b.Validate([]int{10}, []string{"region"}, []string{Popular}); err != nil {
			t.Errorf("%+v: %v", b, err)
		}
	}
	bad := []struct {
		b    Budget
		want string
	}{
		{Budget{Metric: "ndgc@10", Cohort: "region", RelativeGap: ptr(0.1)}, "unknown metric"},
		{Budget{Metric: "ndcg@20", Cohort: "region", RelativeGap: ptr(0.1)}, "lists are measured at their first 10 items"},
		{Budget{Metric: "coverage@10", Against: "live", Ratio: ptr(1)}, "give at_least or at_most"},
		{Budget{Metric: "gini@10", AtMost: ptr(0.5), Cohort: "region"}, "neither measured by cohort"},
		{Budget{Metric: "coverage@10", AtLeast: ptr(0.5), Pool: time.Hour}, "nor pooled"},
		{Budget{Metric: "ndcg@10", AtLeast: ptr(0.5), AtMost: ptr(0.6)}, "one of at_least and at_most"},
		{Budget{Metric: "ndcg@10", AtLeast: ptr(0.5), Against: "live", Ratio: ptr(1)}, "give one of"},
		{Budget{Metric: "ndcg@10", AtLeast: ptr(math.Inf(1))}, "is no number"},
		{Budget{Metric: "ndcg@10", AtLeast: ptr(0.1), Margin: -1}, "margin"},
		{Budget{Metric: "ndcg@10", AtLeast: ptr(0.1), Margin: 0.1}, "no value of ndcg can miss it"},
		{Budget{Metric: "ndcg@10", AtMost: ptr(1)}, "no value of ndcg can miss it"},
		{Budget{Metric: "ndcg@10", AtLeast: ptr(40)}, "no value of ndcg can keep it"},
		{Budget{Metric: "ndcg@10", AtLeast: ptr(0.1), Pool: -time.Hour}, "negative"},
		{Budget{Metric: "ndcg@10"}, "give one of"},
		{Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.1), Against: "live", Ratio: ptr(1)}, "give one of"},
		{Budget{Metric: "ndcg@10", Cohort: "age", RelativeGap: ptr(0.1)}, `cohort "age" is not evaluated`},
		{Budget{Metric: "ndcg@10", Cohort: "region"}, "give one of"},
		{Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0.1), AbsoluteGap: ptr(0.1)}, "give one of"},
		{Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(0)}, "can't be kept"},
		{Budget{Metric: "ndcg@10", Cohort: "region", RelativeGap: ptr(math.NaN())}, "can't be kept"},
		{Budget{Metric: "ndcg@10", Against: "als", Ratio: ptr(1)}, "nothing of that name"},
		{Budget{Metric: "ndcg@10", Against: "live"}, "ratio must be given"},
		{Budget{Metric: "ndcg@10", Against: "live", Ratio: ptr(1), MinN: -1}, "negative"},
		{Budget{Metric: "ndcg@10", Against: "live", Ratio: ptr(1), OnFail: "explode"}, "on_fail"},
	}
	for _, tt := range bad {
		if err := tt.b.Validate([]int{10}, []string{"region"}, []string{Popular}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %q", tt.b, err, tt.want)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		plain(-0.00001): "0.0000", signed(-0.0021): "−0.0021", signed(0.01): "+0.0100", percent(0.1234): "12.3 %", percent(-0.05): "−5.0 %",
		count(1234567): "1,234,567", count(999): "999", count(int64(-1000)): "−1,000", Probability(0.0004): "< 0.001", Probability(0.25): "0.250",
	} {
		if got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	}
}
