package als

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// Explain splits the scores of items for q into what each item j of the history adds: c_j·h_iᵀA⁻¹h_j (Hu, Koren & Volinsky 2008,
// §5), in float64. Reason.Ref is j's id, Reason.Kind "event" (all events of j together). Explanation.Score is the float32 score that
// Score gives, and Error the distance between it and the sum, measured, plus the rounding of the sum itself. An item that the model
// does not know scores 0 for no reason. O(n·d² + d³/3) for the query and O(d² + n·d) an item, for a history of n items.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) ([]models.Explanation, error) {
	for _, item := range items {
		if item < 0 || int(item) >= len(s.index) {
			return nil, fmt.Errorf("als explain: item %d of a catalog of %d", item, len(s.index))
		}
	}
	d := s.system.d
	f := s.pool.Get().(*folder)
	defer s.pool.Put(f)
	w := make([]float32, d)
	if err := s.fold(w, q, f); err != nil {
		return nil, err
	}
	l, ok := s.system.factor64(f.col, f.conf, s.shrink(f))
	if !ok {
		return nil, fmt.Errorf("als explain: history of %d items: %w", len(f.col), ErrDiverged)
	}
	out, v := make([]models.Explanation, len(items)), make([]float64, d)
	for k, item := range items {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x := s.index[item]
		if x < 0 || len(f.col) == 0 {
			continue
		}
		for i, h := range s.system.vector(x) {
			v[i] = float64(h)
		}
		vec.CholeskySolve64(l, d, v) // v = A⁻¹h_i
		out[k] = s.explanation(float64(vec.Dot(s.system.vector(x), w)), v, f)
	}
	return out, nil
}

// explanation gives the terms c_j·v·h_j.
func (s *scorer) explanation(score float64, v []float64, f *folder) models.Explanation {
	reasons := make([]models.Reason, len(f.col))
	for k, j := range f.col {
		var term float64
		for i, h := range s.system.vector(j) {
			term += v[i] * float64(h)
		}
		reasons[k] = models.Reason{Kind: "event", Ref: s.catalog.IDs[s.known[j]], Contribution: float64(f.conf[k]) * term}
	}
	return models.NewExplanation(score, reasons)
}
