package ease

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/models"
)

// Bind matches the model's items with those of c by id. Items that the model does not know score 0, and speak for nothing. Subject columns
// are not used. Memory: 8 bytes a weight.
func (m *Model) Bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("bind ease: %w", err)
	}
	known := &models.Catalog{IDs: m.items}
	to := models.Map(known, c) // model's item → catalog position
	s := &scorer{hyper: m.hyper, ids: c.IDs, off: make([]int32, c.Len()+1), scale: make([]float32, c.Len())}
	s.col, s.val = make([]int32, 0, len(m.col)), make([]float32, 0, len(m.val))
	for i, from := range models.Map(c, known) {
		if from >= 0 {
			s.scale[i] = m.scale[from]
			for k := m.off[from]; k < m.off[from+1]; k++ {
				if j := to[m.col[k]]; j >= 0 {
					s.col, s.val = append(s.col, j), append(s.val, m.val[k])
				}
			}
		}
		s.off[i+1] = int32(len(s.col))
	}
	s.pool.New = func() any { return newSums(c.Len()) }
	s.turn = sync.OnceValue(s.turned)
	return s, nil
}

// scorer is a Model bound to a catalog: the rows of B over its positions.
type scorer struct {
	hyper Hyper
	ids   []string
	off   []int32
	col   []int32
	val   []float32
	scale []float32 // 0: not known
	pool  sync.Pool // *sums
	turn  func() *turned
}

var (
	_ models.Scorer    = (*scorer)(nil)
	_ models.Explainer = (*scorer)(nil)
	_ models.Relater   = (*scorer)(nil)
)

// history turns q's history into x: what each of its items counts at q.At, ascending by item. The caller resets the sums.
func (s *scorer) history(q *models.Query, sum *sums) ([]int32, error) {
	h := &q.History
	for e, item := range h.Item {
		if item < 0 || int(item) >= len(s.ids) {
			return nil, fmt.Errorf("history event %d has item %d of a catalog of %d", e, item, len(s.ids))
		}
		if w := h.Weight[e]; !(w > 0) || w > math.MaxFloat32 {
			return nil, fmt.Errorf("history event %d has weight %g: weights are positive and finite", e, w)
		}
	}
	for e, item := range h.Item {
		if s.off[item] < s.off[item+1] {
			sum.add(&s.hyper, item, float64(h.Weight[e]), q.At-h.Time[e])
		}
	}
	return sum.sorted(), nil
}

// Score adds up the rows of B of each history: score_i = Σ_j x_j·B_ji. The bits of a score depend on its query and item alone.
// O(len(dst) + events·weights of an item).
func (s *scorer) Score(ctx context.Context, q []models.Query, dst []float32) error {
	n := len(s.ids)
	if len(dst) != len(q)*n {
		return fmt.Errorf("score ease: dst holds %d values, want %d queries × %d items", len(dst), len(q), n)
	}
	clear(dst)
	sum := s.pool.Get().(*sums)
	defer s.pool.Put(sum)
	for i := range q {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("score ease: %w", err)
		}
		items, err := s.history(&q[i], sum)
		if err != nil {
			return fmt.Errorf("score ease: query %d: %w", i, err)
		}
		row := dst[i*n : (i+1)*n]
		for _, j := range items {
			x, col, val := s.hyper.value(sum.by[j]), s.col[s.off[j]:s.off[j+1]], s.val[s.off[j]:s.off[j+1]]
			for k, c := range col {
				row[c] += x * val[k]
			}
		}
		sum.reset()
	}
	return nil
}

// weight returns B_ji: how much item j speaks for item i.
func (s *scorer) weight(j, i int32) float32 {
	lo, hi := s.off[j], s.off[j+1]
	if k, ok := slices.BinarySearch(s.col[lo:hi], i); ok {
		return s.val[int(lo)+k]
	}
	return 0
}

// Explain splits the scores of items into x_j·B_ji for each item j of the history, in float64: taking all events of j out changes the score
// by exactly that. Sources are of kind "event" and name j. Scores are the sums, from which the float32 scores differ by rounding alone.
// O(n·log m) an item, for a history of n items that speak for m each.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	for _, item := range items {
		if item < 0 || int(item) >= len(s.ids) {
			return nil, fmt.Errorf("explain ease: item %d of a catalog of %d", item, len(s.ids))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("explain ease: %w", err)
	}
	sum := s.pool.Get().(*sums)
	defer s.pool.Put(sum)
	known, err := s.history(q, sum)
	if err != nil {
		return nil, fmt.Errorf("explain ease: %w", err)
	}
	defer sum.reset()
	sources := make([]models.Source, len(known))
	for k, j := range known {
		sources[k] = models.Source{Kind: "event", Ref: s.ids[j]}
	}
	out := models.NewAttribution(len(items), sources)
	for i, item := range items {
		row := out.Row(i)
		for k, j := range known {
			row[k] = float64(s.hyper.value(sum.by[j])) * float64(s.weight(j, item))
			out.Scores[i] += row[k]
		}
	}
	return out, nil
}
