package als

import (
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// Without solves anew for the history without one item's events, in float64. Taking a pair away changes #, and so the regularizer, in every
// direction: no update of low rank does it. O(n·d²/2 + d³/6) for a history of n items, and O(d) an item.
func (s *scorer) Without(ctx context.Context, q *models.Query, gone int32, items []int32, dst []float64) error {
	if err := s.within(append(slices.Clone(items), gone)); err != nil {
		return fmt.Errorf("als without an item: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	clear(dst[:len(items)])
	f := s.pool.Get().(*folder)
	defer s.pool.Put(f)
	shorter := q.Without(gone)
	if err := s.row(&shorter, f); err != nil {
		return err
	}
	_, pulls := s.pulls(f)
	if len(pulls) == 0 {
		return nil
	}
	l, ok := s.system.factor64(f.col, f.conf, s.shrink(f))
	if !ok {
		return fmt.Errorf("als without an item: history of %d items: %w", len(f.col), ErrDiverged)
	}
	w := s.sum(l, pulls)
	for k, item := range items {
		if x := s.index[item]; x >= 0 {
			dst[k] = dotMixed(w, s.system.vector(x))
		}
	}
	return nil
}
