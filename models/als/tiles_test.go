package als

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// Scores in pieces are those of Score, to the bit, over catalogs of which the model knows all items, most, some or none.
func TestScoreTilesAreScores(t *testing.T) {
	const d = 16
	r := rand.New(rand.NewPCG(3, 3))
	for _, c := range []struct {
		items int
		known float64
	}{{0, 1}, {5, 0}, {5, 1}, {1024, 1}, {2500, 1}, {2500, .9}, {4000, .3}, {3000, 0}, {9000, 0}, {20000, .02}} {
		h := Defaults()
		h.Dim = d
		m := &Model{hyper: h, gram: make([]float64, d*d)}
		for i := range d {
			m.gram[i*d+i] = 1
		}
		catalog := &models.Catalog{}
		for i := range c.items {
			id := fmt.Sprintf("i%05d", i)
			catalog.IDs = append(catalog.IDs, id)
			if r.Float64() < c.known {
				m.items = append(m.items, id)
				for range d {
					m.factors = append(m.factors, float32(r.NormFloat64()))
				}
			}
		}
		bound, err := m.Bind(t.Context(), catalog, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := bound.(*scorer)
		var qs []models.Query
		for range 7 {
			q := query(100)
			for range min(c.items, 9) {
				q.History.Item, q.History.Time = append(q.History.Item, int32(r.IntN(c.items))), append(q.History.Time, 1)
				q.History.Kind, q.History.Weight = append(q.History.Kind, 0), append(q.History.Weight, 1)
			}
			qs = append(qs, q)
		}
		want, got := make([]float32, len(qs)*c.items), make([]float32, len(qs)*c.items)
		if err := s.Score(t.Context(), qs, want); err != nil {
			t.Fatal(err)
		}
		next := 0
		if err := s.ScoreTiles(t.Context(), qs, func(first, width int, scores []float32) error {
			if first != next || width <= 0 || width > 4096 { // a batch of 64 queries takes a megabyte a piece
				return fmt.Errorf("a piece of %d items at %d after %d", width, first, next)
			}
			for i := range qs {
				copy(got[i*c.items+first:], scores[i*width:(i+1)*width])
			}
			next = first + width
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if next != c.items || !slices.Equal(got, want) {
			t.Errorf("%d items, %.1f of them known: other scores, or an end at %d", c.items, c.known, next)
		}
		stop := errors.New("stop")
		calls := 0
		if err := s.ScoreTiles(t.Context(), qs, func(int, int, []float32) error { calls++; return stop }); c.items > 0 && (!errors.Is(err, stop) || calls != 1) {
			t.Errorf("%d calls, %v", calls, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.ScoreTiles(ended, qs, func(int, int, []float32) error { return nil }); c.items > 0 && !errors.Is(err, context.Canceled) {
			t.Errorf("after a cancellation: %v", err)
		}
	}
}
