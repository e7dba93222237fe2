package jobs

import (
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distmv"
	"gonum.org/v1/gonum/stat/samplemv"

	"github.com/rapport-ml/rapport/models"
)

// halving is successive halving without rounds (ASHA: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020) in one
// thread: contestants are judged on a small share of the subjects first, and of those that were judged on one rung the best third is
// judged on the next. It always does what leads furthest up, so that it may be stopped at any time. The first contestant is what stands in
// the project file; it goes up all rungs before any other starts, since everything is compared with it.
//
// New contestants are the points of a Halton sequence with Owen's scrambling, which cover a space more evenly than draws do. It is gonum's,
// which is in the product already. Rejected: Sobol's sequence (no kept library in Go), and TPE (the Go libraries that have it are no longer kept); in
// the few dimensions of a space, with a few dozen trials, models of the figure have too little to learn from.
type halving struct {
	space  models.Space
	shares []float64 // of subjects, ascending to 1: the rungs
	trials int       // contestants beside the first, at most; 0: no limit
	budget time.Duration
	wall   func() time.Time
	began  time.Time

	points      *mat.Dense
	contestants []*contestant
	took        []time.Duration // the last judgement on each rung; 0: none yet
}

// contestant is one choice of values.
type contestant struct {
	values models.Values
	rungs  []figure // of those that it was judged on, in order
	failed error    // why it will not be judged again
}

// figure is what a contestant reached on a rung.
type figure struct {
	mean   float64
	answer []float64 // by question
	model  models.Model
	took   time.Duration
}

// third is the share of a rung that goes on to the next: 1/third.
const third = 3

// maxTrials bounds the points that are laid out beforehand: all of them, since scrambling depends on their number.
const maxTrials = 1000

func newHalving(space models.Space, now models.Values, shares []float64, seed uint64) *halving {
	h := &halving{space: space, shares: shares, took: make([]time.Duration, len(shares)), contestants: []*contestant{{values: now}}}
	h.points = mat.NewDense(maxTrials, len(space), nil)
	samplemv.Halton{Kind: samplemv.Owen, Q: distmv.NewUnitUniform(len(space), nil), Src: rand.NewPCG(seed, 0x74756e65)}.Sample(h.points)
	return h
}

// next says which contestant is to be judged on which of its rungs, or nil: there is none, or none that the budget has time for.
func (h *halving) next() (*contestant, int) {
	first := h.contestants[0]
	if len(first.rungs) < len(h.shares) {
		if c, rung := h.affordable(first, len(first.rungs)); c != nil || len(first.rungs) == 0 {
			return c, rung
		}
	}
	top := len(first.rungs) - 1 // no other goes where there is nothing to compare it with
	for rung := top - 1; rung >= 0; rung-- {
		judged := h.on(rung)
		if n := len(judged) / third; n > 0 {
			if c := highest(judged[:n], rung); c != nil {
				if c, r := h.affordable(c, rung+1); c != nil {
					return c, r
				}
			}
		}
	}
	if limit := min(maxTrials, h.limit()); len(h.contestants) <= limit {
		u := mat.Row(nil, len(h.contestants)-1, h.points)
		if c, r := h.affordable(&contestant{values: h.space.At(u)}, 0); c != nil {
			h.contestants = append(h.contestants, c)
			return c, r
		}
		return nil, 0
	}
	// The last third of each rung was too few for another: its best goes on all the same.
	for rung := range top {
		if judged := h.on(rung); len(judged) > 0 {
			if c := highest(judged[:1], rung); c != nil {
				return h.affordable(c, rung+1)
			}
		}
	}
	return nil, 0
}

func (h *halving) limit() int {
	if h.trials > 0 {
		return h.trials
	}
	return maxTrials
}

// on is who was judged on a rung and has not failed since, best first; of equals the earlier.
func (h *halving) on(rung int) []*contestant {
	var out []*contestant
	for _, c := range h.contestants {
		if c.failed == nil && len(c.rungs) > rung {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b *contestant) int {
		switch {
		case a.rungs[rung].mean > b.rungs[rung].mean:
			return -1
		case a.rungs[rung].mean < b.rungs[rung].mean:
			return 1
		}
		return 0
	})
	return out
}

// highest is the first of those that have not gone beyond a rung.
func highest(among []*contestant, rung int) *contestant {
	for _, c := range among {
		if len(c.rungs) == rung+1 {
			return c
		}
	}
	return nil
}

// affordable returns c and rung if what is left of the budget is enough for it, by what such a judgement took last, or would take if it grows with the
// share of the subjects. What has never been judged anywhere is always affordable: nothing is known of it.
func (h *halving) affordable(c *contestant, rung int) (*contestant, int) {
	if h.budget <= 0 {
		return c, rung
	}
	cost := h.took[rung]
	for below := rung - 1; cost == 0 && below >= 0; below-- {
		cost = time.Duration(float64(h.took[below]) * h.shares[rung] / h.shares[below])
	}
	if spent := h.wall().Sub(h.began); cost > 0 && spent+cost > h.budget || cost == 0 && spent >= h.budget {
		return nil, 0
	}
	return c, rung
}

// judged records what a contestant reached on its next rung.
func (h *halving) judged(c *contestant, f figure) {
	h.took[len(c.rungs)] = f.took
	c.rungs = append(c.rungs, f)
}

// best is the best contestant on the highest rung that the first one came to, which the others are compared with.
func (h *halving) best() (c *contestant, rung int) {
	rung = len(h.contestants[0].rungs) - 1
	if rung < 0 {
		return h.contestants[0], rung
	}
	return h.on(rung)[0], rung
}
