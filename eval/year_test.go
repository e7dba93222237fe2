package eval

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// year simulates evaluations of 52 weeks, each judged on the pool of its last four: 6,000 people, of whom two fifths come in a week, the same ones more often
// than others, each with a level of her own, in four groups. gap is by how much the last group is served worse, as a share of the overall value.
// It returns in how many weeks each budget was called a failure, and how often one was undecided.
func year(seed uint64, gap float64, budgets []Budget) (failed []int, undecided int) {
	const people, weeks, replicates = 6000, 52, 200
	r := rand.New(rand.NewPCG(seed, 52))
	levels, often := make([]float64, people), make([]float64, people)
	for i := range people {
		levels[i], often[i] = 0.1+0.4*r.Float64(), 0.8*r.Float64()
		if i%4 == 3 {
			levels[i] *= 1 - gap/(1+gap/4) // so that the gap is that share of the mean of all
		}
	}
	draws := newDraws(seed, replicates)
	var past []*Pool
	failed = make([]int, len(budgets))
	for week := range weeks {
		p := &Pool{Seed: seed}
		cell := func(cohort, level string) PoolCell {
			c := PoolCell{Cohort: cohort, Level: level, Weight: make([]float64, replicates)}
			for _, name := range []string{string(Candidate), string(Live), Popular} {
				c.Figures = append(c.Figures, PoolFigure{Contender: name, Metric: "hit@10", Sums: make([]float64, replicates)})
			}
			return c
		}
		p.Cells = append(p.Cells, cell("", ""))
		for g := range 4 {
			p.Cells = append(p.Cells, cell("region", fmt.Sprint(g)))
		}
		for i := range people {
			if r.Float64() > often[i] {
				continue
			}
			w := draws.of(bucket(seed, uint64(i)))
			var values [3]float64
			for k, scale := range [3]float64{1, 1, 0.8} { // live is as good as the candidate, popularity worse
				if r.Float64() < scale*levels[i] {
					values[k] = 1
				}
			}
			for _, c := range []*PoolCell{&p.Cells[0], &p.Cells[1+i%4]} {
				c.N++
				axpy(c.Weight, 1, w)
				for k, v := range values {
					f := &c.Figures[k]
					f.N, f.Sum, f.Square = f.N+1, f.Sum+v, f.Square+v*v
					axpy(f.Sums, v, w)
				}
			}
		}
		past = append(past, p)
		pool := &Pool{Seed: seed}
		for _, x := range past[max(0, week-3):] {
			if err := pool.Merge(x); err != nil {
				panic(err)
			}
		}
		q := pool.Quality(30)
		for i, rule := range judgeAll(budgets, q, Pools{budgets[0].Pool: {Quality: q, Facts: PoolFacts{Evaluations: min(week+1, 4)}}}) {
			switch rule.Verdict {
			case Fail:
				failed[i]++
			case Undecided:
				undecided++
			}
		}
	}
	return failed, undecided
}

// twenty are budgets on one metric: gaps by region, ratios to what is live and to popularity, and ranges, with so much room.
func twenty(gap float64) (out []Budget) {
	add := func(b Budget) {
		b.Metric, b.Pool = "hit@10", 28*24*time.Hour
		out = append(out, b)
	}
	for i := range 5 {
		step := 1 + float64(i)/10
		add(Budget{Cohort: "region", RelativeGap: ptr(gap * step)})
		add(Budget{Against: string(Live), Ratio: ptr(1 - 0.05*step)})
		add(Budget{Against: Popular, Ratio: ptr(1.25 - 0.1*step)})
		add(Budget{AtLeast: ptr(0.3 - 0.03*step), Cohort: "region"})
	}
	return out
}

// TestStationaryYear: in a year in which nothing changes, and every budget is kept by less than most tests can tell, at most one of its 52 × 20 verdicts is a failure. A year with a
// gap of twice the budget has it called in most of its weeks.
func TestStationaryYear(t *testing.T) {
	for seed := range uint64(2) {
		wrong := 0
		failed, undecided := year(seed+1, 0, twenty(0.12))
		for _, n := range failed {
			wrong += n
		}
		t.Logf("seed %d: %d false failures in 52 weeks of 20 budgets, %d of 1,040 verdicts undecided", seed+1, wrong, undecided)
		if wrong > 1 {
			t.Errorf("seed %d: %d false failures in a stationary year (by budget %v), want at most 1", seed+1, wrong, failed)
		}
	}
	budgets := twenty(0.12)
	failed, _ := year(9, 0.3, budgets)
	t.Logf("a gap of 30 %% against a budget of 12 %%: called in %d of 52 weeks", failed[0])
	if failed[0] < 40 {
		t.Errorf("a gap of 30 %% against a budget of 12 %% was called in %d of 52 weeks", failed[0])
	}
}
