package ease

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/models"
)

// RelatedKinds returns "similar".
func (s *scorer) RelatedKinds() []string { return []string{models.RelatedSimilar} }

// Related lists the items of the highest partial correlation with item: what of the two the same subjects have when all other items are
// accounted for,
//
//	r_ij = −P_ij/√(P_ii·P_jj) = B_ij·√P_jj/√P_ii
//
// which is symmetric where EASE's weights are not, so an item's popularity does not count. Pairs of too few subjects are not in the model, and
// a pair is known where it stands among the weights of either item. For an item beyond the core √P is 1/√(x·x + λ). O(m·log m) for m
// weights of the item; the first call turns the matrix around.
func (s *scorer) Related(ctx context.Context, kind string, item int32, items []int32, scores []float32) (int, error) {
	if kind != models.RelatedSimilar {
		return 0, fmt.Errorf("ease has no related lists of kind %q, only %q", kind, models.RelatedSimilar)
	}
	if item < 0 || int(item) >= len(s.ids) {
		return 0, fmt.Errorf("related to item %d of a catalog of %d", item, len(s.ids))
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if s.scale[item] == 0 {
		return 0, nil
	}
	var found []models.Scored
	for k := s.off[item]; k < s.off[item+1]; k++ {
		other := s.col[k]
		found = append(found, models.Scored{Item: other, Score: s.val[k] * s.scale[other] / s.scale[item]})
	}
	t := s.turn()
	for k := t.off[item]; k < t.off[item+1]; k++ {
		if other := t.col[k]; s.weight(item, other) == 0 {
			found = append(found, models.Scored{Item: other, Score: t.val[k] * s.scale[item] / s.scale[other]})
		}
	}
	return models.SelectRelated(found, items, scores), nil
}

// turned is B by the item that is spoken for.
type turned struct {
	off []int32
	col []int32
	val []float32
}

func (s *scorer) turned() *turned {
	t := &turned{off: make([]int32, len(s.off)), col: make([]int32, len(s.col)), val: make([]float32, len(s.val))}
	for _, c := range s.col {
		t.off[c+1]++
	}
	for i := range s.ids {
		t.off[i+1] += t.off[i]
	}
	next := append([]int32(nil), t.off[:len(s.ids)]...)
	for j := range s.ids {
		for k := s.off[j]; k < s.off[j+1]; k++ {
			c := s.col[k]
			t.col[next[c]], t.val[next[c]] = int32(j), s.val[k]
			next[c]++
		}
	}
	return t
}
