package als

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// related is what Related makes on its first call: the known items' vectors scaled to length 1.
type related struct {
	once sync.Once
	unit []float32
}

// RelatedKinds returns "similar".
func (s *scorer) RelatedKinds() []string { return []string{models.RelatedSimilar} }

// Related selects by the cosine of the items' vectors: who is drawn to one is drawn to the other. Beside an item of the training stand its neighbours in the
// model, which enough subjects have in common with it, and items that training never saw: these have the vector of their attributes, which tells of
// nobody, and all others stand beside them. The first call copies the vectors; every call costs O(n·d) for the n that may stand there.
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
	s.related.once.Do(func() { s.related.unit = scaled(s.system.fixed, len(s.known), s.system.d) })
	d, others := s.system.d, s.beside(self)
	own, cosines := s.related.unit[int(self)*d:][:d], make([]float32, len(others))
	for i, k := range others {
		cosines[i] = vec.Dot(own, s.related.unit[int(k)*d:][:d])
	}
	found, err := models.Best(cosines, &models.Query{}, items, scores)
	if err != nil {
		return 0, fmt.Errorf("als: related items: %w", err)
	}
	found = len(positive(items[:found], scores))
	for r, i := range items[:found] {
		items[r] = s.known[others[i]]
	}
	return found, nil
}

// beside returns what may stand beside an item that has a vector, both as positions in known, ascending: beside one of the training its neighbours and all that
// training never saw, beside one of these all others.
func (s *scorer) beside(self int32) []int32 {
	var out []int32
	if i := s.learned[self]; i >= 0 {
		out = slices.Clone(s.cold)
		for _, j := range s.neighbours.of(i) {
			if k := s.place[j]; k >= 0 {
				out = append(out, k)
			}
		}
		slices.Sort(out)
		return out
	}
	for k := range int32(len(s.known)) {
		if k != self {
			out = append(out, k)
		}
	}
	return out
}
