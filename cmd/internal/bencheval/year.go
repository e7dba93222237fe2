package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models"
)

// quiet is a shop in which nothing changes: each of its people comes in a week with a chance of her own, the same ones more often than others, and is found what she
// takes with a chance of her own, as often by the candidate as by what is live, and four times in five as often by popularity. gap is by how much the last of four regions
// is served worse by all of them, as a share of the mean.
type quiet struct {
	people     int
	gap        float64
	seed       uint64
	replicates int
}

// pooledWeeks is over how many weeks budgets are judged.
const pooledWeeks = 4

const week = 7 * 24 * time.Hour

// contender scores the shop's items in a week: what a subject takes is first with a chance of scale times the subject's.
type contender struct {
	quiet
	week  int
	name  uint64
	scale float64
}

// Score puts what the subject takes first or last.
func (c contender) Score(_ context.Context, q []models.Query, dst []float32) error {
	of := shop{subjects: c.people, gap: c.gap, seed: c.seed}
	for k := range q {
		row := int(q[k].Draw)
		r := rand.New(rand.NewPCG(c.seed+c.name, uint64(row)<<16|uint64(c.week)))
		scores := dst[k*shelfItems : (k+1)*shelfItems]
		for i := range scores {
			scores[i] = r.Float32()
		}
		scores[of.takes(row)] = -1
		if r.Float64() < c.scale*of.chance(row) {
			scores[of.takes(row)] = 2
		}
	}
	return nil
}

// evaluate is the evaluation of a week.
func (s quiet) evaluate(ctx context.Context, w int) (*eval.Quality, error) {
	catalog := &models.Catalog{}
	for i := range shelfItems {
		catalog.IDs = append(catalog.IDs, fmt.Sprintf("item-%02d", i))
	}
	var came []int
	region := eval.Cohort{Name: "region", Levels: []string{"north", "east", "south", "west"}}
	for p := range s.people {
		often := 0.8 * rand.New(rand.NewPCG(s.seed, uint64(p))).Float64()
		if rand.New(rand.NewPCG(s.seed+1<<32, uint64(p)<<16|uint64(w))).Float64() < often {
			came = append(came, p)
			region.Of = append(region.Of, int32(p%regions))
		}
	}
	of := shop{seed: s.seed}
	t := eval.Task{
		Catalog: catalog, Rows: len(came), K: []int{10}, Seed: s.seed, Replicates: s.replicates, Pool: []string{"hit@10"}, Cohorts: []eval.Cohort{region},
		Subject: func(row int) eval.Subject {
			p := came[row]
			return eval.Subject{Key: uint64(p), Relevant: []int32{int32(of.takes(p))}, Query: models.Query{Draw: uint64(p)}}
		},
	}
	return eval.Evaluate(ctx, t, []eval.Contender{
		{Name: "candidate", Scorer: contender{s, w, 1, 1}, Role: eval.Candidate},
		{Name: "live", Scorer: contender{s, w, 2, 1}, Role: eval.Live},
		{Name: eval.Popular, Scorer: contender{s, w, 3, 0.8}, Role: eval.Baseline},
	})
}

// year judges the budgets in each of so many weeks on the pool of its last four, and returns in how many weeks each failed, and how many verdicts were undecided.
func (s quiet) year(ctx context.Context, weeks int, budgets []eval.Budget) (failed []int, undecided int, err error) {
	failed = make([]int, len(budgets))
	var past []*eval.Pool
	for w := range weeks {
		q, err := s.evaluate(ctx, w)
		if err != nil {
			return nil, 0, err
		}
		past = append(past, q.Pool)
		pool := &eval.Pool{Seed: q.Pool.Seed}
		last := past[max(0, len(past)-pooledWeeks):]
		for _, p := range last {
			if err := pool.Merge(p); err != nil {
				return nil, 0, err
			}
		}
		pools := eval.Pools{budgets[0].Pool: {Quality: pool.Quality(eval.DefaultMinN), Facts: eval.PoolFacts{Evaluations: len(last)}}}
		n := 0
		for _, r := range eval.Gate(budgets, q, pools, eval.Drift{}).Rules {
			if r.Kind != "budget" {
				continue
			}
			switch r.Verdict {
			case eval.Fail:
				failed[n]++
			case eval.Undecided:
				undecided++
			}
			n++
		}
		if n != len(budgets) {
			return nil, 0, errors.New("not every budget was judged")
		}
	}
	return failed, undecided, nil
}

// twenty are budgets of one metric, each kept in the quiet shop by less than most weeks can tell: gaps between regions, ratios to what is live and to popularity, and floors in each region.
func twenty() (out []eval.Budget) {
	add := func(b eval.Budget) {
		b.Metric, b.Pool = "hit@10", pooledWeeks*week
		out = append(out, b)
	}
	for i := range 5 {
		step := 1 + float64(i)/10
		gap, live, popular, floor := 0.12*step, 1-0.05*step, 1.25-0.1*step, meanHit-0.03*step
		add(eval.Budget{Cohort: "region", RelativeGap: &gap})
		add(eval.Budget{Against: string(eval.Live), Ratio: &live})
		add(eval.Budget{Against: eval.Popular, Ratio: &popular})
		add(eval.Budget{Cohort: "region", AtLeast: &floor})
	}
	return out
}

// years lets years pass in which nothing changes, and one with a gap that is beyond its budget.
func years(ctx context.Context, r *benchmark.Report, o options) error {
	weeks, n, s := 52, 5, quiet{people: 6000, replicates: 400}
	if o.ci {
		weeks, n, s = 6, 1, quiet{people: 600, replicates: 100}
	}
	budgets := twenty()
	worst := 0
	for i := range n {
		s.seed = uint64(900 + i)
		failed, undecided, err := s.year(ctx, weeks, budgets)
		if err != nil {
			return err
		}
		wrong := 0
		for _, f := range failed {
			wrong += f
		}
		worst = max(worst, wrong)
		r.Say("years", "%d weeks in which nothing changes, %d people, %d budgets: %d false failures; %d of %d verdicts undecided", weeks, s.people, len(budgets), wrong, undecided, weeks*len(budgets))
	}
	s.gap = 0.3
	failed, _, err := s.year(ctx, weeks, budgets)
	if err != nil {
		return err
	}
	r.Say("years", "a gap of 30 %% against a budget of 12 %%: called in %d of %d weeks", failed[0], weeks)
	if !o.ci {
		r.AtMost("budget_false_failures_a_year", float64(worst), 1)
	}
	return nil
}
