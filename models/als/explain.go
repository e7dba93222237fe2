package als

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// Explain splits the scores of items for q into what each item j of the history adds: c_j·h_iᵀA⁻¹h_j (Hu, Koren & Volinsky 2008,
// §5), in float64. Its sources are of kind "event" and name j (all events of j together). Scores are the float32 scores that Score
// gives, so the distance between one and its sum is what float32 lost. An item that the model does not know scores 0 for no reason.
// O(n·d²/2 + d³/6) for the query and O(d² + n·d) an item, for a history of n items.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	for _, item := range items {
		if item < 0 || int(item) >= len(s.index) {
			return nil, fmt.Errorf("als explain: item %d of a catalog of %d", item, len(s.index))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := s.system.d
	f := s.pool.Get().(*folder)
	defer s.pool.Put(f)
	w := make([]float32, d)
	if err := s.fold(w, q, f); err != nil {
		return nil, err
	}
	sources := make([]models.Source, len(f.col))
	for k, j := range f.col {
		sources[k] = models.Source{Kind: "event", Ref: s.catalog.IDs[s.known[j]]}
	}
	out := models.NewAttribution(len(items), sources)
	if len(f.col) == 0 {
		return out, nil
	}
	l, ok := s.system.factor64(f.col, f.conf, s.shrink(f))
	if !ok {
		return nil, fmt.Errorf("als explain: history of %d items: %w", len(f.col), ErrDiverged)
	}
	// The rows of v are A⁻¹h_i, those of h the history's h_j: the terms are one product of two small matrices. The row of an item that
	// the model does not know stays 0, and so do its terms.
	v, h := make([]float64, len(items)*d), make([]float64, len(f.col)*d)
	for k, item := range items {
		if x := s.index[item]; x >= 0 {
			out.Scores[k] = float64(vec.Dot(s.system.vector(x), w))
			widen(v[k*d:][:d], s.system.vector(x), 1)
		}
	}
	for k, j := range f.col {
		widen(h[k*d:][:d], s.system.vector(j), float64(f.conf[k]))
	}
	vec.CholeskySolve64(l, d, v, len(items))
	vec.MulNT64(out.Values, v, h, len(items), len(f.col), d)
	return out, nil
}

// widen sets dst to scale·x.
func widen(dst []float64, x []float32, scale float64) {
	for i, v := range x {
		dst[i] = scale * float64(v)
	}
}
