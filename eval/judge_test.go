package eval

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// ratios is a Quality with a comparison of the candidate for each ratio, each of a metric of its own and with an other named a, b, …, which is known exactly to
// be 1, so that the ratio's standard error is the candidate's, 0.01.
func ratios(of ...float64) (*Quality, []Budget) {
	q := &Quality{Headline: "ndcg@1", K: []int{1}, MinN: 30, Contenders: []ContenderQuality{{Name: "home", Role: Candidate}}}
	var budgets []Budget
	for i, x := range of {
		name, metric := string(rune('a'+i)), At(NDCG, i+1)
		known := func(value, se float64) Estimate {
			return Estimate{Metric: metric, Split: All, N: 500, Value: ptr(value), StandardError: ptr(se)}
		}
		q.Contenders[0].Estimates = append(q.Contenders[0].Estimates, known(x, 0.01))
		q.Contenders = append(q.Contenders, ContenderQuality{Name: name, Role: Baseline, Estimates: []Estimate{known(1, 0)}})
		q.Comparisons = append(q.Comparisons, Comparison{Metric: metric, Split: All, Against: name, N: 500, Ratio: ptr(x), StandardError: ptr(0.01)})
		budgets = append(budgets, Budget{Metric: metric, Against: name, Ratio: ptr(1), OnFail: Block})
	}
	return q, budgets
}

// TestHolm: four budgets of ratio at least 1, each measured with a standard error of 0.01. With α = 5 %, two-sided, Holm asks for
// z ≥ Φ⁻¹(1 − .05/8) = 2.498, then Φ⁻¹(1 − .05/6) = 2.394, Φ⁻¹(1 − .05/4) = 2.241, Φ⁻¹(1 − .05/2) = 1.960.
func TestHolm(t *testing.T) {
	for _, tt := range []struct {
		name string
		z    []float64 // standard errors below the bound
		want []Verdict
	}{
		{"alone, 1.97 is enough", []float64{1.97}, []Verdict{Fail}},
		{"beside three others it is not", []float64{1.97, 0, 0, 0}, []Verdict{Undecided, Undecided, Undecided, Undecided}},
		{"each rejection lowers the bar for the next", []float64{1.97, 2.25, 2.40, 2.50}, []Verdict{Fail, Fail, Fail, Fail}},
		{"at the first that is not, it ends", []float64{1.97, 2.23, 2.40, 2.50}, []Verdict{Undecided, Undecided, Fail, Fail}},
		{"a pass is held to the same bar", []float64{-2.49, -2.51, 0, 0}, []Verdict{Undecided, Pass, Undecided, Undecided}},
		{"after two failures the bar of the others is that of two", []float64{9, 8, -2.23, -2.25}, []Verdict{Fail, Fail, Undecided, Pass}},
	} {
		var of []float64
		for _, z := range tt.z {
			of = append(of, 1-0.01*z)
		}
		q, budgets := ratios(of...)
		rules := judgeAll(budgets, q, nil)
		for i, r := range rules {
			if r.Verdict != tt.want[i] {
				t.Errorf("%s: budget %d is %s, want %s: %s", tt.name, i, r.Verdict, tt.want[i], r.Says)
			}
			if inside := *r.CorrectedLow >= 1; inside != (r.Verdict == Pass) {
				t.Errorf("%s: budget %d is %s with a corrected interval from %v to %v", tt.name, i, r.Verdict, *r.CorrectedLow, *r.CorrectedHigh)
			}
			if outside := *r.CorrectedHigh < 1; outside != (r.Verdict == Fail) {
				t.Errorf("%s: budget %d is %s with a corrected interval from %v to %v", tt.name, i, r.Verdict, *r.CorrectedLow, *r.CorrectedHigh)
			}
		}
	}
	q, budgets := ratios(0.99, 1)
	if r := judgeAll(budgets, q, nil)[0]; !strings.Contains(r.Says, "corrected for 2 rules: 96.8 % to 101.2 %") { // .99 ± 2.241·.01
		t.Errorf("says %q", r.Says)
	}
}

// TestHolmKeepsItsLevel: 20 budgets whose true values lie exactly on their bounds, the worst case, over 4,000 runs: at least one is called a
// failure in at most 2.5 % of the runs. Without the correction it would be in 1 − .975²⁰ = 40 %.
func TestHolmKeepsItsLevel(t *testing.T) {
	const runs = 4000
	r := rand.New(rand.NewPCG(7, 7))
	wrong, plainly := 0, 0
	for range runs {
		of := make([]float64, 20)
		for i := range of {
			of[i] = 1 + 0.01*r.NormFloat64()
		}
		q, budgets := ratios(of...)
		failed, alone := false, false
		for i, x := range judgeAll(budgets, q, nil) {
			failed = failed || x.Verdict == Fail
			alone = alone || of[i] < 1-0.01*z95
		}
		if failed {
			wrong++
		}
		if alone {
			plainly++
		}
	}
	// 2.5 % of 4,000 is 100, with a standard deviation of 9.9.
	if wrong > 130 || wrong < 60 || plainly < runs/3 {
		t.Errorf("a budget that is kept was called a failure in %d of %d runs (uncorrected: %d)", wrong, runs, plainly)
	}
}

func TestRanges(t *testing.T) {
	q := measured(true)
	set := func(name string, value float64) {
		for i := range q.Contenders {
			if c := &q.Contenders[i]; c.Name == name {
				c.Estimates[0].Value, c.Estimates[0].Low, c.Estimates[0].High = ptr(value), ptr(value-0.01*z95), ptr(value+0.01*z95)
			}
		}
	}
	set("home", 0.5)
	set("live v3", 0.45)
	q.Comparisons = nil // of other values: the errors are independent
	for _, tt := range []struct {
		name    string
		budget  Budget
		verdict Verdict
		effect  Effect
		says    string
	}{
		{"kept", Budget{AtLeast: ptr(0.48)}, Pass, NoEffect, "0.5000 (95 % interval 0.4804 to 0.5196); the budget is at least 0.4800: kept"},
		{"missed", Budget{AtLeast: ptr(0.52), OnFail: Block}, Fail, Refuses, "missed"},
		{"missed, but not by more than live", Budget{AtLeast: ptr(0.52)}, Fail, Accepted, "no worse than that of live v3 (0.4500)"},
		{"within the margin", Budget{AtLeast: ptr(0.52), Margin: 0.04}, Pass, NoEffect, "at least 0.5200, with a margin of 0.0400: kept"},
		{"too much", Budget{AtMost: ptr(0.48), OnFail: Warn}, Fail, Warns, "at most 0.4800: missed"},
		{"more than live's", Budget{AtMost: ptr(0.48)}, Fail, Refuses, "That of live v3 (0.4500) is better: the difference is 0.0500 (95 % interval 0.0223 to 0.0777)."},
		{"straddles", Budget{AtMost: ptr(0.51)}, Undecided, NoEffect, "neither can be said"},
		{"too few", Budget{AtMost: ptr(0.51), MinN: 501}, NotJudged, NoEffect, "too few subjects (501 are needed)"},
		{"unknown", Budget{Metric: "ndcg@11", AtMost: ptr(0.51)}, NotMeasurable, Refuses, "was not measured"},
		// By group: a is 0.055 and b 0.040, each with a standard error of 0.002; two groups ask for z = 2.241, so b is 0.0355 to 0.0445.
		{"kept by each group", Budget{Cohort: "region", AtLeast: ptr(0.035)}, Pass, NoEffect, "for b, of all groups the nearest"},
		{"missed by one group", Budget{Cohort: "region", AtLeast: ptr(0.045), OnFail: Block}, Fail, Refuses, "for b"},
		{"not told of one group", Budget{Cohort: "region", AtLeast: ptr(0.044), OnFail: Block}, Undecided, NoEffect, "for b"},
		{"groups that are too small are named", Budget{Cohort: "region", AtLeast: ptr(0.035)}, Pass, NoEffect, "Not judged, too few subjects: few."},
	} {
		if tt.budget.Metric == "" {
			tt.budget.Metric = "ndcg@10"
		}
		r := judgeAll([]Budget{tt.budget}, q, nil)[0]
		if r.Verdict != tt.verdict || r.Effect != tt.effect || !strings.Contains(r.Says, tt.says) {
			t.Errorf("%s: %s, %s: %q\nwant %s, %s: …%s…", tt.name, r.Verdict, r.Effect, r.Says, tt.verdict, tt.effect, tt.says)
		}
	}
}

// TestPooledBudgets: a budget with a pool is held against the pool's figures and says so; the others against the run's.
func TestPooledBudgets(t *testing.T) {
	own, _ := ratios(0.999)
	all, budgets := ratios(0.9)
	pooled := budgets[0]
	pooled.Pool = 28 * 24 * time.Hour
	pools := Pools{pooled.Pool: {Quality: all, Facts: PoolFacts{Evaluations: 28}}}
	rules := judgeAll([]Budget{budgets[0], pooled}, own, pools)
	if rules[0].Verdict != Undecided || rules[0].Pool != nil || rules[1].Verdict != Fail || rules[1].Pool == nil || !strings.Contains(rules[1].Says, "Pooled over 28 evaluations") {
		t.Errorf("rules %+v", rules)
	}
	if r := judgeAll([]Budget{pooled}, own, nil)[0]; r.Pool != nil || r.Verdict != Undecided {
		t.Errorf("without a pool: %+v", r)
	}
}

// TestClaims: how far a value lies beyond its bound is measured with the side of the interval that faces the bound.
func TestClaims(t *testing.T) {
	low, high := 1-z95*0.01, 1+z95*0.04 // one standard error is 0.01 below and 0.04 above
	for _, tt := range []struct {
		bound float64
		most  bool
		want  float64
	}{{0.98, true, 2}, {1.08, true, -2}, {0.98, false, -2}, {1.08, false, 2}, {1, true, 0}} {
		if got := (claim{1, low, high, tt.bound, tt.most}).beyond(); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("bound %v, at most %v: %v standard errors beyond, want %v", tt.bound, tt.most, got, tt.want)
		}
	}
	for _, tt := range []struct {
		bound float64
		want  float64
	}{{0.9, math.Inf(1)}, {1.1, math.Inf(-1)}, {1, math.Inf(-1)}} {
		if got := (claim{1, 1, 1, tt.bound, true}).beyond(); got != tt.want {
			t.Errorf("a value that is known exactly, bound %v: %v, want %v", tt.bound, got, tt.want)
		}
	}
	if p := (&trial{worst: z95, claims: make([]claim, 1)}).p(); math.Abs(p-0.05) > 1e-12 {
		t.Errorf("p = %v, want .05", p)
	}
	if p := (&trial{worst: distuv.UnitNormal.Quantile(1 - 0.05/6), claims: make([]claim, 3)}).p(); math.Abs(p-0.05) > 1e-12 {
		t.Errorf("p of three claims = %v, want .05", p)
	}
}

// TestRemember: a budget is undecided since the first of the evaluations in a row that could not decide it.
func TestRemember(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC) }
	q, budgets := ratios(0.999, 2, 0.9)
	first := Decision{Rules: judgeAll(budgets, q, nil)}
	first.Remember(nil, day(1))
	if r := first.Rules; r[0].Undecided == nil || !r[0].Undecided.Equal(day(1)) || r[1].Undecided != nil || r[2].Undecided != nil {
		t.Fatalf("first: %+v", r)
	}
	budgets[0].Owner, budgets[0].OnFail = "someone else", Warn // the same rule still
	second := Decision{Rules: judgeAll(budgets, q, nil)}
	second.Remember(first.Rules, day(2))
	if r := second.Rules[0]; !r.Undecided.Equal(day(1)) || r.Overdue(day(28)) || !r.Overdue(day(29)) {
		t.Errorf("second: %+v", r)
	}
	budgets[0].Ratio = ptr(0.9999) // another rule
	third := Decision{Rules: judgeAll(budgets, q, nil)}
	third.Remember(second.Rules, day(3))
	if r := third.Rules[0]; !r.Undecided.Equal(day(3)) {
		t.Errorf("a new bound: %+v", r)
	}
	decided, _ := ratios(2, 2, 2)
	fourth := Decision{Rules: judgeAll(budgets, decided, nil)}
	if fourth.Remember(third.Rules, day(4)); fourth.Rules[0].Undecided != nil {
		t.Errorf("decided: %+v", fourth.Rules[0])
	}
}

// TestPoolLacksFigures: a pool holds no figure of a few people, so what it lacks is judged on the run's own figures: it is no fault of the config, and refuses nobody.
func TestPoolLacksFigures(t *testing.T) {
	own := &Quality{Headline: "ndcg@10", K: []int{10}, MinN: 30, Contenders: []ContenderQuality{{
		Name: "m", Role: Candidate, Estimates: []Estimate{
			{Metric: "ndcg@10", Split: All, N: 40, Value: ptr(0.2), Low: ptr(0.1), High: ptr(0.3)},
			{Metric: "novelty@10", Split: All, N: 12, Value: ptr(3.0), Low: ptr(2.0), High: ptr(4.0)},
		},
	}}}
	own.Cohorts = []CohortQuality{{Cohort: "g", Figures: []CohortFigure{{Contender: "m", Metric: "ndcg@10", Overall: ptr(0.2), ByGroup: []Group{{Level: "a", Status: Suppressed}}}}}}
	pool := Quality{Headline: "ndcg@10", MinN: 30, Contenders: []ContenderQuality{{Name: "candidate", Role: Candidate, Estimates: own.Contenders[0].Estimates[:1]}}}
	month := 28 * 24 * time.Hour
	budgets := []Budget{
		{Metric: "novelty@10", AtLeast: ptr(1.0), Pool: month},
		{Metric: "ndcg@10", Cohort: "g", RelativeGap: ptr(0.2), Pool: month},
		{Metric: "ndcg@10", Against: "live", Ratio: ptr(0.9), Pool: month},
	}
	for _, q := range []*Quality{&pool, nil} {
		for _, r := range judgeAll(budgets, own, Pools{month: {Quality: q, Facts: PoolFacts{Evaluations: 9}}}) {
			if r.Verdict != NotJudged || r.Effect != NoEffect || r.Pool != nil {
				t.Errorf("%s is %s and %s: %s", r.Subject, r.Verdict, r.Effect, r.Says)
			}
		}
	}
	if r := judgeAll([]Budget{{Metric: "recall@10", AtLeast: ptr(1.0), Pool: month}}, own, nil)[0]; r.Verdict != NotMeasurable || r.Effect != Refuses {
		t.Errorf("a metric that nobody measures: %+v", r)
	}
}

// TestOverlapOfAFirstVersion: a budget of what may change against live does not refuse the version that would be the first to be live.
func TestOverlapOfAFirstVersion(t *testing.T) {
	f := fixture{Task: Task{Catalog: catalog(5), K: []int{2}, MinN: 11, Pool: []string{"overlap@2"}}}
	for i := range 50 {
		f.add(Subject{Relevant: []int32{int32(i % 5)}})
	}
	candidate := Contender{Name: "c", Scorer: descending, Role: Candidate}
	budgets := []Budget{{Metric: "overlap@2", AtLeast: ptr(0.5)}}
	q, err := Evaluate(t.Context(), f.task(), []Contender{candidate})
	if err != nil {
		t.Fatal(err)
	}
	if r := judgeAll(budgets, q, nil)[0]; r.Verdict != NotJudged || r.Effect != NoEffect {
		t.Errorf("without a live version: %+v", r)
	}
	q, err = Evaluate(t.Context(), f.task(), []Contender{candidate, {Name: "live v1", Scorer: descending, Role: Live}})
	if err != nil {
		t.Fatal(err)
	}
	if r := judgeAll(budgets, q, nil)[0]; r.Verdict != Pass {
		t.Errorf("beside a live version of the same lists: %+v", r)
	}
}

// TestRatchetBeforeLive: the first version is held against the baseline that is best on the metric, which is the one of the lowest value where a budget says at most.
func TestRatchetBeforeLive(t *testing.T) {
	q := &Quality{Headline: "ndcg@10", K: []int{10}, MinN: 30}
	for _, c := range []struct {
		name  string
		role  Role
		value float64
	}{{"m", Candidate, 0.8}, {Popular, Baseline, 1}, {"knn", Baseline, 0.6}} {
		q.Contenders = append(q.Contenders, ContenderQuality{Name: c.name, Role: c.role, Estimates: []Estimate{
			{Metric: "popularity@10", Split: All, N: 500, Value: ptr(c.value), Low: ptr(c.value - 0.01), High: ptr(c.value + 0.01)},
		}})
	}
	for _, b := range []Budget{{Metric: "popularity@10", AtMost: ptr(0.5)}, {Metric: "popularity@10", AtLeast: ptr(0.9)}} {
		if r := judgeAll([]Budget{b}, q, nil)[0]; r.Verdict != Fail || r.Effect != Refuses {
			t.Errorf("%s: %s, %s: %s", b, r.Verdict, r.Effect, r.Says)
		}
	}
	q.Contenders[2].Estimates[0].Value = ptr(0.85) // worse than the candidate
	if r := judgeAll([]Budget{{Metric: "popularity@10", AtMost: ptr(0.5)}}, q, nil)[0]; r.Effect != Accepted || !strings.Contains(r.Says, "knn") {
		t.Errorf("no worse than the best baseline: %s: %s", r.Effect, r.Says)
	}
}

// hits is the quality of n people of whom so many are hit by the candidate, by the other, and by both, with the standard errors that these have.
func hits(n, mine, theirs, both int) *Quality {
	of := func(sum, squares float64) *float64 { // the error of a mean of n values
		mean := sum / float64(n)
		return ptr(math.Sqrt((squares/float64(n) - mean*mean) / float64(n)))
	}
	a, b, ab := float64(mine), float64(theirs), float64(both)
	q := &Quality{Headline: "hit@10", K: []int{10}, MinN: 30}
	for _, x := range []struct {
		name string
		role Role
		sum  float64
	}{{"home", Candidate, a}, {"other", Baseline, b}} {
		e := Estimate{Metric: "hit@10", Split: All, N: n, Value: ptr(x.sum / float64(n)), StandardError: of(x.sum, x.sum)}
		e.Low, e.High = ptr(max(0, *e.Value-z95**e.StandardError)), ptr(*e.Value+z95**e.StandardError)
		q.Contenders = append(q.Contenders, ContenderQuality{Name: x.name, Role: x.role, Estimates: []Estimate{e}})
	}
	q.Comparisons = []Comparison{{
		Metric: "hit@10", Split: All, Against: "other", Role: Baseline, N: n, Difference: ptr((a - b) / float64(n)), StandardError: of(a-b, a+b-2*ab), Ratio: finite(a / b),
	}}
	return q
}

// TestFewHits: where few lists hit, none may by chance, and that is not known for sure, though a bootstrap of nothing but zeros has no spread.
func TestFewHits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		q      *Quality
		budget Budget
		rules  int
		want   Verdict
	}{
		// Of 30 people of whom 5 % are hit in truth nobody is in .95³⁰ = 21 % of all tests; of 300 in 2·10⁻⁷.
		{"none of thirty", hits(30, 0, 0, 0), Budget{AtLeast: ptr(0.05)}, 1, Undecided},
		{"none of three hundred", hits(300, 0, 0, 0), Budget{AtLeast: ptr(0.05)}, 1, Fail},
		{"one of sixty", hits(60, 1, 0, 0), Budget{AtLeast: ptr(0.05)}, 1, Undecided},
		{"all of thirty", hits(30, 30, 0, 0), Budget{AtLeast: ptr(0.9)}, 1, Undecided},
		{"all of three hundred", hits(300, 300, 0, 0), Budget{AtLeast: ptr(0.9)}, 1, Pass},
		{"none of thirty, of at most", hits(30, 0, 0, 0), Budget{AtMost: ptr(0.05)}, 1, Undecided},
		// None against five of a hundred is 1 in 32 if both are as good.
		{"none against five, beside nineteen other rules", hits(100, 0, 5, 0), Budget{Against: "other", Ratio: ptr(1)}, 20, Undecided},
		{"none against forty", hits(100, 0, 40, 0), Budget{Against: "other", Ratio: ptr(1)}, 20, Fail},
		{"none against three", hits(100, 0, 3, 0), Budget{Against: "other", Ratio: ptr(1)}, 1, NotJudged},
		{"sixty against six, which may be none beside nineteen other rules", hits(100, 60, 6, 3), Budget{Against: "other", Ratio: ptr(1)}, 20, Pass},
		{"the same lists", hits(1000, 100, 100, 100), Budget{Against: "other", Ratio: ptr(0.95)}, 20, Pass},
		{"the same lists, on the bound", hits(1000, 100, 100, 100), Budget{Against: "other", Ratio: ptr(1)}, 1, Pass},
	} {
		tt.budget.Metric, tt.budget.OnFail = "hit@10", Block
		trial := newTrial(tt.budget, tt.q)
		if len(trial.claims) > 0 {
			trial.worst = trial.claims[0].beyond()
			trial.decide((1-Confidence)/float64(tt.rules), tt.rules)
		}
		r := trial.rule
		if r.Verdict != tt.want {
			t.Errorf("%s: %s, want %s: %s", tt.name, r.Verdict, tt.want, r.Says)
		}
		if r.Verdict == NotJudged || tt.budget.AtMost != nil {
			continue
		}
		if inside, outside := *r.CorrectedLow >= *r.Bound, r.CorrectedHigh != nil && *r.CorrectedHigh < *r.Bound; inside != (r.Verdict == Pass) || outside != (r.Verdict == Fail) {
			t.Errorf("%s: %s with an interval from %v to %v", tt.name, r.Verdict, *r.CorrectedLow, r.CorrectedHigh)
		}
	}
}

// TestFewHitsKeepTheLevel: people of whom few are hit, exactly as many in truth as the bound, or as the other's: at the level of one of twenty rules, an
// eighth of a per cent, fewer than one test in two hundred fails. Bootstrap percentiles did in up to 75 % (at_least) and 4.5 % (ratio).
func TestFewHitsKeepTheLevel(t *testing.T) {
	const tests = 20000
	z := distuv.UnitNormal.Quantile(1 - (1-Confidence)/40)
	r := rand.New(rand.NewPCG(3, 5))
	for _, n := range []int{30, 100, 300} {
		for _, p := range []float64{0.01, 0.03, 0.1} {
			wrong := map[string]int{}
			for range tests {
				var mine, theirs, both int
				for range n {
					a, b := r.Float64() < p, r.Float64() < p
					switch {
					case a && b:
						mine, theirs, both = mine+1, theirs+1, both+1
					case a:
						mine++
					case b:
						theirs++
					}
				}
				q := hits(n, mine, theirs, both)
				for name, b := range map[string]Budget{"at_least": {AtLeast: &p}, "ratio": {Against: "other", Ratio: ptr(1)}} {
					b.Metric = "hit@10"
					if trial := newTrial(b, q); len(trial.claims) > 0 && trial.claims[0].beyond() > z {
						wrong[name]++
					}
				}
			}
			for name, k := range wrong {
				if k > tests/200 {
					t.Errorf("%s, %d people of whom %v are hit: %d of %d tests fail", name, n, p, k, tests)
				}
			}
		}
	}
}

// TestQuotient: the ends of the interval are the ratios that lie z standard errors away.
func TestQuotient(t *testing.T) {
	for _, r := range []quotient{{0.3, 0.2, 0.0004, 0.0009, 0.0002}, {0.1, 0.4, 0.0009, 0.0001, -0.0001}, {0.5, 0.5, 0.0001, 0.0001, 0}} {
		for _, z := range []float64{0.5, 1.96, 3} {
			low, high := r.interval(z)
			for _, end := range []float64{low, high} {
				if got := math.Abs(r.x-end*r.y) / r.off(end); math.Abs(got-z) > 1e-9 {
					t.Errorf("%+v: the end %v lies %v standard errors away, want %v", r, end, got, z)
				}
			}
			if at := r.x / r.y; low > at || high < at {
				t.Errorf("%+v: %v is not between %v and %v", r, at, low, high)
			}
		}
	}
	if low, high := (quotient{0.6, 0.06, 0.0024, 0.0006, 0}).interval(3); !math.IsInf(high, 1) || math.Abs(0.6-low*0.06)/math.Sqrt(0.0024+low*low*0.0006)-3 > 1e-9 || low <= 1 {
		t.Errorf("from %v to %v, want from above 1 without end", low, high)
	}
}

// TestRatchetOfRanges: each group that misses its range must be served no worse than by what is live, and the worst of the groups does not speak for the others.
func TestRatchetOfRanges(t *testing.T) {
	budget := Budget{Metric: "ndcg@10", Cohort: "region", AtLeast: ptr(0.1)}
	for _, tt := range []struct {
		name       string
		mine, live [2]float64 // of a, known to 0.001, and of b, to 0.01
		want       Effect
		says       string
	}{
		{"both as live", [2]float64{0.09, 0.05}, [2]float64{0.09, 0.05}, Accepted, "no worse than that of live v3 in any group"},
		// a lies further beyond the bound in standard errors, b in truth
		{"b worse than live", [2]float64{0.09, 0.05}, [2]float64{0.09, 0.09}, Refuses, "That of live v3 for b (0.0900) is better: the difference is 0.0400"},
		{"b not surely worse than live", [2]float64{0.09, 0.05}, [2]float64{0.09, 0.06}, Accepted, "not surely better: the difference is 0.0100 (95 % interval −0.0217 to 0.0417)"}, // 0.01 · √2 · 2.241, of two groups
		{"a worse than live, though b is the worst of all", [2]float64{0.08, 0.06}, [2]float64{0.09, 0.05}, Refuses, "for a (0.0900) is better"},
		{"b worse than live, and within the range", [2]float64{0.09, 0.11}, [2]float64{0.08, 0.13}, Accepted, "no worse"},
	} {
		q := measured(true)
		for i := range q.Cohorts[0].Figures {
			f := &q.Cohorts[0].Figures[i]
			values := map[string][2]float64{"home": tt.mine, "live v3": tt.live}[f.Contender]
			for g, se := range []float64{0.001, 0.01} {
				f.ByGroup[g].Value, f.ByGroup[g].StandardError = &values[g], &se
			}
		}
		r := judgeAll([]Budget{budget}, q, nil)[0]
		if r.Verdict != Fail || r.Effect != tt.want || !strings.Contains(r.Says, tt.says) {
			t.Errorf("%s: %s, %s: %q, want %s: …%s…", tt.name, r.Verdict, r.Effect, r.Says, tt.want, tt.says)
		}
	}
}

// TestDetectableRatio: a ratio that is known to 0.01 is called a failure four times in five from (1.960 + 0.842)·0.01 under its bound.
func TestDetectableRatio(t *testing.T) {
	q, budgets := ratios(1)
	if r := judgeAll(budgets, q, nil)[0]; math.Abs(*r.Detectable-(1-(z95+z80)*0.01)) > 1e-9 {
		t.Errorf("minimum detectable %v", *r.Detectable)
	}
}

// TestAdjustComparisons: of three p of one metric the least counts three times, the next twice, and none less than one before it (Holm 1979).
func TestAdjustComparisons(t *testing.T) {
	var all []Comparison
	for _, p := range []float64{0.03, 0.01, 0.02} {
		all = append(all, Comparison{Metric: "ndcg@10", Split: All, Role: Baseline, P: ptr(p)})
	}
	adjust(all)
	for i, want := range []float64{0.04, 0.03, 0.04} {
		if got := *all[i].PAdjusted; math.Abs(got-want) > 1e-12 {
			t.Errorf("p %v is adjusted to %v, want %v", *all[i].P, got, want)
		}
	}
}

// TestSharesByHand: a shorter list that stands in a longer one overlaps by its share of the longer; a level that nobody took has no part in the exposure ratio.
func TestSharesByHand(t *testing.T) {
	if got := overlap([]int32{1, 2}, []int32{3, 2, 1}); got != 2.0/3 {
		t.Errorf("two items of three overlap by %v", got)
	}
	if got := exposureRatio([]float64{0.5, 0.3, 0.2}, []float64{0.5, 0.5, 0}); math.Abs(got-0.6) > 1e-12 {
		t.Errorf("exposure ratio %v, want 0.3/0.5 over 0.5/0.5", got)
	}
}
