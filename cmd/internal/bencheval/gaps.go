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
	live     bool // what it is measured beside: it finds by chances of its own for half of the people, and as the candidate does for the others
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
		luck := own.Float64()
		if s.live && own.Uint64()%2 == 0 {
			luck = own.Float64()
		}
		if luck < s.chance(row) {
			scores[s.takes(row)] = 2
		}
	}
	return nil
}

func (s shop) takes(row int) int { return (row*7 + int(s.seed)) % shelfItems }

// judge is what a budget of the gap between regions says of the shop, beside what is live, if anything is, and the gaps of the two.
func (s shop) judge(ctx context.Context, most float64, replicates int, live *shop) (r eval.Rule, own, other float64, err error) {
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
	contenders := []eval.Contender{{Name: "candidate", Scorer: s, Role: eval.Candidate}}
	if live != nil {
		contenders = append(contenders, eval.Contender{Name: "live", Scorer: live, Role: eval.Live})
	}
	q, err := eval.Evaluate(ctx, t, contenders)
	if err != nil {
		return r, 0, 0, err
	}
	gap := func(contender string) float64 {
		if f := q.Cohort("region", contender, "hit@10"); f != nil && f.RelativeGap != nil {
			return *f.RelativeGap
		}
		return 0
	}
	for _, r := range eval.Gate([]eval.Budget{{Metric: "hit@10", Cohort: "region", RelativeGap: &most}}, q, nil, eval.Drift{}).Rules {
		if r.Kind == "budget" {
			return r, gap("candidate"), gap("live"), nil
		}
	}
	return r, 0, 0, errors.New("the budget was not judged")
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
				rule, _, _, err := shop{subjects: n, gap: gap, seed: uint64(500 + i)}.judge(ctx, budget, replicates, nil)
				if err != nil {
					return err
				}
				said[rule.Verdict]++
			}
			share := func(v eval.Verdict) float64 { return 100 * float64(said[v]) / float64(runs) }
			r.Say("gaps", "a gap of %2.0f %% against a budget of %.0f %%, %5d subjects, %d evaluations: failed in %3.0f %%, undecided in %3.0f %%, passed in %3.0f %%",
				100*gap, 100*budget, n, runs, share(eval.Fail), share(eval.Undecided), share(eval.Pass))
		}
	}
	return nil
}

// ratchet holds candidates with gaps of several sizes against the same budget, beside a live version with a gap of three tenths, and counts how many of those that exceed
// it are refused: by the interval of the difference, as the ratchet does, and as they would be by which of the two measures more.
func ratchet(ctx context.Context, r *benchmark.Report, o options) error {
	runs, subjects, replicates := 200, []int{1000, 3000, 10000, 30000}, 400
	if o.ci {
		runs, subjects, replicates = 3, subjects[:1], 100
	}
	const budget, stands = 0.1, 0.3
	for _, gap := range []float64{0.2, 0.3, 0.4, 0.5} {
		for _, n := range subjects {
			failed, refused, larger := 0, 0, 0
			for i := range runs {
				s := shop{subjects: n, gap: gap, seed: uint64(500 + i)}
				live := s
				live.gap, live.live = stands, true
				rule, own, other, err := s.judge(ctx, budget, replicates, &live)
				if err != nil {
					return err
				}
				if rule.Verdict != eval.Fail {
					continue
				}
				failed++
				if rule.Effect == eval.Refuses {
					refused++
				}
				if own > other {
					larger++
				}
			}
			share := func(x, of int) float64 { return 100 * float64(x) / float64(max(of, 1)) }
			r.Say("ratchet", "a gap of %2.0f %% beside a live one of %.0f %%, %5d subjects, %d evaluations: exceeds %.0f %% in %3.0f %%, of these refused %3.0f %%, larger than live's %3.0f %%",
				100*gap, 100*stands, n, runs, 100*budget, share(failed, runs), share(refused, failed), share(larger, failed))
		}
	}
	return nil
}
