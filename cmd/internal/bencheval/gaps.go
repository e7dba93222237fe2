package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/models"
)

// shop is a world with a planted gap: people of four regions are found what they take in a list of ten with chances of their own, and those of the last region less
// often, so that the gap between regions is gap of the mean of all.
type shop struct {
	subjects int
	gap      float64
	seed     uint64
}

const (
	shelfItems = 40
	regions    = 4
	meanHit    = 0.3
)

// chance is how often a subject's item is found.
func (s shop) chance(row int) float64 {
	own := rand.New(rand.NewPCG(s.seed, uint64(row)))
	p := meanHit * (0.5 + own.Float64())
	rest := 1 + s.gap/regions
	if row%regions == regions-1 {
		return p * (rest - s.gap)
	}
	return p * rest
}

// Score puts what the subject takes first or last.
func (s shop) Score(_ context.Context, q []models.Query, dst []float32) error {
	for k := range q {
		row := int(q[k].Draw)
		own := rand.New(rand.NewPCG(s.seed^0x67617073, uint64(row)))
		scores := dst[k*shelfItems : (k+1)*shelfItems]
		for i := range scores {
			scores[i] = own.Float32()
		}
		scores[s.takes(row)] = -1
		if own.Float64() < s.chance(row) {
			scores[s.takes(row)] = 2
		}
	}
	return nil
}

func (s shop) takes(row int) int { return (row*7 + int(s.seed)) % shelfItems }

// verdict is what a budget of the gap between regions says of the shop.
func (s shop) verdict(ctx context.Context, most float64, replicates int) (eval.Verdict, error) {
	c := &models.Catalog{}
	for i := range shelfItems {
		c.IDs = append(c.IDs, fmt.Sprintf("item-%02d", i))
	}
	of := make([]int32, s.subjects)
	for i := range of {
		of[i] = int32(i % regions)
	}
	t := eval.Task{
		Catalog: c, Rows: s.subjects, K: []int{10}, Seed: s.seed, Replicates: replicates,
		Cohorts: []eval.Cohort{{Name: "region", Levels: []string{"north", "east", "south", "west"}, Of: of}},
		Subject: func(row int) eval.Subject {
			return eval.Subject{Key: uint64(row), Relevant: []int32{int32(s.takes(row))}, Query: models.Query{Draw: uint64(row)}}
		},
	}
	q, err := eval.Evaluate(ctx, t, []eval.Contender{{Name: "candidate", Scorer: s, Role: eval.Candidate}})
	if err != nil {
		return "", err
	}
	for _, r := range eval.Gate([]eval.Budget{{Metric: "hit@10", Cohort: "region", RelativeGap: &most}}, q, nil, eval.Drift{}).Rules {
		if r.Kind == "budget" {
			return r.Verdict, nil
		}
	}
	return "", errors.New("the budget was not judged")
}

// gaps plants gaps of several sizes in shops of several sizes, and holds them against a budget of a tenth.
func gaps(ctx context.Context, r *benchmark.Report, o options) error {
	runs, subjects, replicates := 40, []int{300, 1000, 3000, 10000, 30000}, 400
	if o.ci {
		runs, subjects, replicates = 3, subjects[:2], 100
	}
	const budget = 0.1
	for _, gap := range []float64{0, 0.1, 0.2, 0.3, 0.5} {
		for _, n := range subjects {
			said := map[eval.Verdict]int{}
			for i := range runs {
				v, err := shop{subjects: n, gap: gap, seed: uint64(500 + i)}.verdict(ctx, budget, replicates)
				if err != nil {
					return err
				}
				said[v]++
			}
			share := func(v eval.Verdict) float64 { return 100 * float64(said[v]) / float64(runs) }
			r.Say("gaps", "a gap of %2.0f %% against a budget of %.0f %%, %5d subjects, %d evaluations: failed in %3.0f %%, undecided in %3.0f %%, passed in %3.0f %%",
				100*gap, 100*budget, n, runs, share(eval.Fail), share(eval.Undecided), share(eval.Pass))
		}
	}
	return nil
}
