package blend

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// candidatesPerPart is how many of each part's best items are candidates for the blend's list.
const candidatesPerPart = 50

// batchFloats bounds the scores held at a time by one goroutine: 32 MiB.
const batchFloats = 8 << 20

// validation is the validation window reduced to what the fit needs.
type validation struct {
	parts   int
	k       int
	scale   []float64 // of each part
	ideal   []float64 // ideal[n] is the best DCG@K of a query with n relevant items, n ≤ K
	queries []query
	known   map[string][]float64 // what figures has computed, by the bits of the weights
}

// query is one subject of the validation window.
type query struct {
	relevant int         // distinct relevant items
	hit      []bool      // whether a candidate is relevant; candidates ascend by item
	score    []float32   // len(hit) × parts, row-major; divided by scale
	packed   *vec.Packed // score, laid out to be weighted
	top      []float64   // of each part, its best score, before scaling
}

// Question is one query of a window that is walked, with what a good list for it would hold.
type Question struct {
	Row      int // of the subject
	Query    models.Query
	Until    int64   // µs; the answer is what the subject chose in [Query.At, Until)
	Relevant []int32 // those items, ascending; without what the lists leave out
}

// newValidation scores the validation queries with each part and keeps the union of the parts' best items.
func newValidation(ctx context.Context, h *Hyper, d *models.Dataset, until int64, parts []models.Scorer) (*validation, error) {
	asks := Questions(*h, d, until)
	v := &validation{parts: len(parts), k: h.K, queries: make([]query, len(asks)), ideal: make([]float64, h.K+1)}
	for r := range h.K {
		v.ideal[r+1] = v.ideal[r] + discount(r)
	}
	n := d.Catalog.Len()
	rows := max(1, min(32, batchFloats/max(1, n*len(parts))))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for a := 0; a < len(asks); a += rows {
		g.Go(func() error {
			b := min(a+rows, len(asks))
			batch := make([]models.Query, b-a)
			for i := range batch {
				batch[i] = asks[a+i].Query
			}
			scores := make([][]float32, len(parts))
			for p, s := range parts {
				scores[p] = make([]float32, len(batch)*n)
				if err := s.Score(ctx, batch, scores[p]); err != nil {
					return fmt.Errorf("part %d: %w", p, err)
				}
			}
			row := make([][]float32, len(parts))
			for i := range batch {
				for p := range scores {
					row[p] = scores[p][i*n : (i+1)*n]
				}
				var err error
				if v.queries[a+i], err = newQuery(&asks[a+i], row); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("score the validation window: %w", err)
	}
	v.rescale()
	v.pack()
	return v, nil
}

// Questions returns the queries of the window [Cuts.Validation, until), at most h.Queries of them, evenly spaced. The window is walked in
// steps as long as the test window: at each, every subject who has something to find before the next is asked from what was known then,
// so that what is fitted to the answers is fitted to the question that it will be judged by, on several times as many answers.
func Questions(h Hyper, d *models.Dataset, until int64) []Question {
	h = h.withDefaults()
	horizon := until - d.Cuts.Validation
	if test := d.Cuts.End - d.Cuts.Test; test > 0 {
		horizon = min(horizon, test)
	}
	var asks []Question
	for at := d.Cuts.Validation; at < until; at += horizon {
		for s := range d.Events.Subjects {
			end := min(at+horizon, until)
			after := d.Events.SubjectBetween(s, at, end)
			if after.Len() == 0 {
				continue
			}
			a := Question{Row: s, Query: d.Query(s, at, candidatesPerPart), Until: end, Relevant: models.Distinct(after.Item)}
			if h.MaskSeen || d.MaskSeen {
				a.Query.Exclude = models.Distinct(a.Query.History.Item)
				a.Relevant = slices.DeleteFunc(a.Relevant, func(item int32) bool {
					_, seen := slices.BinarySearch(a.Query.Exclude, item)
					return seen
				})
			}
			if len(a.Relevant) > 0 {
				asks = append(asks, a)
			}
		}
	}
	if len(asks) <= h.Queries {
		return asks
	}
	spaced := make([]Question, h.Queries)
	for i := range spaced {
		spaced[i] = asks[i*len(asks)/h.Queries]
	}
	return spaced
}

// newQuery keeps, of the parts' rows of scores, those of the candidates.
func newQuery(a *Question, row [][]float32) (query, error) {
	q := query{relevant: len(a.Relevant), top: make([]float64, len(row))}
	items, best := make([]int32, candidatesPerPart), make([]float32, candidatesPerPart)
	var candidates []int32
	for p := range row {
		n, err := models.Best(row[p], &a.Query, items, best)
		if err != nil {
			return q, fmt.Errorf("part %d: %w", p, err)
		}
		candidates = append(candidates, items[:n]...)
		if n > 0 {
			q.top[p] = float64(best[0])
		}
	}
	slices.Sort(candidates)
	candidates = slices.Compact(candidates)
	q.hit = make([]bool, len(candidates))
	q.score = make([]float32, 0, len(candidates)*len(row))
	for i, item := range candidates {
		_, q.hit[i] = slices.BinarySearch(a.Relevant, item)
		for p := range row {
			q.score = append(q.score, row[p][item])
		}
	}
	return q, nil
}

// rescale divides each part's scores by the mean over the queries of its best score. A part whose best scores are not above 0 on
// average keeps its scores as they are.
func (v *validation) rescale() {
	v.scale = make([]float64, v.parts)
	for p := range v.scale {
		var sum float64
		for i := range v.queries {
			sum += v.queries[i].top[p]
		}
		v.scale[p] = sum / float64(len(v.queries))
		if !(v.scale[p] > 1e-30) { // also when there is no query
			v.scale[p] = 1
		}
		for i := range v.queries {
			s := v.queries[i].score
			for c := p; c < len(s); c += v.parts {
				s[c] = float32(float64(s[c]) / v.scale[p])
			}
		}
	}
}

// pack lays the scores out for the fit, when they are final.
func (v *validation) pack() {
	for i := range v.queries {
		q := &v.queries[i]
		q.packed = vec.Pack(q.score, len(q.hit), v.parts)
	}
}

// discount is that of the list's place r, from 0: 1/log2(r+2).
func discount(r int) float64 { return 1 / math.Log2(float64(r)+2) }
