package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

// pooledBudgets are one that is certainly kept and one that nobody can decide on so few people, both over three days.
func pooledBudgets() []eval.Budget {
	one, some := 1e-6, 1.0
	return []eval.Budget{
		{Metric: "hit@10", AtLeast: &one, Margin: 1, Pool: 72 * time.Hour, OnFail: eval.Warn, Owner: "test"},
		{Metric: "ndcg@10", Against: eval.Popular, Ratio: &some, Pool: 72 * time.Hour, OnFail: eval.Warn, Owner: "test"},
	}
}

// budgetRules are the judged budgets of a run's report.
func (s *shop) budgetRules(res *jobs.Result) (out []eval.Rule) {
	s.Helper()
	r, err := eval.ParseReport(object(s, s.opened.Bucket, res.Report+".json"))
	if err != nil {
		s.Fatal(err)
	}
	for _, rule := range r.Decision.Rules {
		if rule.Kind == "budget" {
			out = append(out, rule)
		}
	}
	return out
}

// TestPooledBudgets: a budget with a pool is judged on the evaluations of its days together, which are in the evaluation's key, and those of other
// contenders are left out: the first night had no live version. The report says what was left out, and why.
func TestPooledBudgets(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Budgets = pooledBudgets()
	n := 0
	left := [][]eval.Unpooled{{{Why: eval.NotEvaluated, Intervals: 2}}, {{Why: eval.NotEvaluated, Intervals: 1}, {Why: eval.OtherContenders, Intervals: 1}}, {{Why: eval.OtherContenders, Intervals: 1}}, nil}
	for i, want := range []int{1, 1, 2, 3} {
		day := 4 + i
		res := s.night(day)
		rules := s.budgetRules(res)
		if len(rules) != 2 || rules[0].Pool == nil || rules[0].Pool.Evaluations != want || !rules[0].Pool.Window.End.Equal(s.interval(day).End) {
			t.Fatalf("night after day %d: rules %+v", day, rules)
		}
		if !slices.Equal(rules[0].Pool.LeftOut, left[i]) || strings.Contains(rules[0].Says, "Left out: ") != (left[i] != nil) {
			t.Errorf("night after day %d: left out are %+v, want %+v: %s", day, rules[0].Pool.LeftOut, left[i], rules[0].Says)
		}
		if rules[0].Verdict != eval.Pass {
			t.Errorf("night after day %d: %+v", day, rules[0])
		}
		if want > 1 && rules[0].N <= n {
			t.Errorf("%d evaluations have %d subjects, one fewer %d", want, rules[0].N, n)
		}
		n = rules[0].N
		for _, step := range s.plan(day).Steps {
			if step.Name == "evaluate" && !step.Done {
				t.Errorf("night after day %d: the evaluation is due again", day)
			}
		}
	}
	rules, iv, err := s.runner.Decidable(t.Context(), s.job)
	if err != nil || len(rules) != 2 || !iv.End.Equal(s.interval(7).End) || rules[1].Detectable == nil {
		t.Errorf("decidable: %+v of %s, %v", rules, iv, err)
	}

	s.job.Judging.Activity = []int{7} // figures of one name are not the same thing then
	if rules := s.budgetRules(s.night(7)); rules[0].Pool == nil || rules[0].Pool.Evaluations != 1 || !slices.Equal(rules[0].Pool.LeftOut, []eval.Unpooled{{Why: eval.OtherDefinitions, Intervals: 2}}) {
		t.Errorf("figures of another meaning were pooled: %+v", rules[0].Pool)
	}
}

// TestPooledBackfill: intervals of a backfill that are worked on side by side are pooled as if one had come after another.
func TestPooledBackfill(t *testing.T) {
	judge := func(active int) map[string][]eval.Rule {
		s := newShop(t, smallWorld)
		s.job.Budgets = pooledBudgets()
		s.runner.Now = func() time.Time { return nightAfter(7) }
		got := map[string][]eval.Rule{}
		o := jobs.BackfillOptions{From: s.interval(5).Start, To: s.interval(7).End, Through: jobs.ThroughTrain, Active: active}
		if err := s.runner.Backfill(t.Context(), s.job, o, func(b jobs.Backfilled) error {
			got[s.job.Every.Label(b.Interval)] = s.budgetRules(b.Result)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	one, three := judge(1), judge(3)
	if !reflect.DeepEqual(one, three) {
		t.Errorf("one after another %+v\nside by side %+v", one, three)
	}
	last, err := table.EveryOf("1d", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if r := one[last.Label(last.At(nightAfter(7)))]; len(r) != 2 || r[0].Pool == nil || r[0].Pool.Evaluations != 3 {
		t.Errorf("the last interval: %+v", r)
	}
}

// TestAMissedBudgetIsTold: a budget that only warns lets the run go on, and the run says that it was missed.
func TestAMissedBudgetIsTold(t *testing.T) {
	s := newShop(t, smallWorld)
	most := .99
	s.job.Budgets = []eval.Budget{{Metric: "ndcg@10", AtLeast: &most, OnFail: eval.Warn, Owner: "test", Why: "to be missed"}}
	res := s.night(6)
	told := slices.IndexFunc(res.Flags, func(x string) bool { return strings.HasPrefix(x, "missed: ") && strings.Contains(x, "ndcg@10") })
	if res.Published == nil || told < 0 {
		t.Fatalf("published %v, flags %q", res.Published, res.Flags)
	}
	if kind, says := flagKind(res.Flags[told]); kind != "missed" || says == "" {
		t.Errorf("it is printed as %s %s", kind, says)
	}
	if again := s.night(6); !slices.Contains(again.Flags, res.Flags[told]) {
		t.Errorf("the same night again does not tell it: %q", again.Flags)
	}
}

// TestUndecidedOverAHole: nights that judged nothing are no decision: a budget is undecided since it first was.
func TestUndecidedOverAHole(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Budgets = pooledBudgets()[1:]
	some := 1.12
	s.job.Budgets[0].Pool, s.job.Budgets[0].Ratio = 0, &some
	if rules := s.budgetRules(s.night(4)); rules[0].Undecided == nil {
		t.Fatalf("%+v: want a budget that nobody can decide", rules[0])
	}
	if rules := s.budgetRules(s.night(7)); rules[0].Undecided == nil || !rules[0].Undecided.Equal(s.interval(4).End) {
		t.Errorf("after two nights without a run: %s: undecided since %v, want since the night after day 4", rules[0].Says, rules[0].Undecided)
	}
}
