package als

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// related is what Related makes on its first call: the items' vectors scaled to length 1, laid out as scorer.packed.
type related struct {
	once   sync.Once
	unit   []float32
	packed []*vec.Packed
}

// RelatedKinds returns "similar".
func (s *scorer) RelatedKinds() []string { return []string{models.RelatedSimilar} }

// Related selects by the cosine of the items' vectors: who is drawn to one is drawn to the other. An item that training never saw has the vector
// of its attributes. The first call copies the vectors; every call costs O(known·d).
func (s *scorer) Related(ctx context.Context, kind string, item int32, items []int32, scores []float32) (int, error) {
	if kind != models.RelatedSimilar {
		return 0, fmt.Errorf("als: related items of kind %q; it makes %s", kind, models.RelatedSimilar)
	}
	if err := s.within([]int32{item}); err != nil {
		return 0, fmt.Errorf("als: related items of %w", err)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	self := s.index[item]
	if self < 0 {
		return 0, nil
	}
	s.related.once.Do(s.scale)
	d, n := s.system.d, len(s.known)
	row := make([]float32, len(s.packed)*strip)
	for k, p := range s.related.packed {
		p.MulNT(row[k*strip:], strip, s.related.unit[int(self)*d:], d, 1)
	}
	found, err := models.Best(row[:n], &models.Query{Exclude: []int32{self}}, items, scores)
	if err != nil {
		return 0, fmt.Errorf("als: related items: %w", err)
	}
	for found > 0 && !(scores[found-1] > 0) {
		found--
	}
	for k, x := range items[:found] {
		items[k] = s.known[x]
	}
	return found, nil
}

func (s *scorer) scale() {
	d, n := s.system.d, len(s.known)
	s.related.unit = make([]float32, n*d)
	for k := range n {
		v := s.system.vector(int32(k))
		if norm := math.Sqrt(vec.Dot64(v, v)); norm > 0 {
			for i, x := range v {
				s.related.unit[k*d+i] = float32(float64(x) / norm)
			}
		}
	}
	for at := 0; at < n; at += strip {
		s.related.packed = append(s.related.packed, vec.Pack(s.related.unit[at*d:], min(strip, n-at), d))
	}
}
