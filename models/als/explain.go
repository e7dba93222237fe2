package als

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// fewEvents is how many items of a history it takes before its scores are not doubted.
const fewEvents = 3

// Explain splits the scores of items for q, in float64, into what pulls the subject's vector (Hu, Koren & Volinsky 2008, §5; with
// attributes, r·m is one pull more on the right-hand side of the solve, and linear in the features):
//
//	"event", j              c_j·h_iᵀA⁻¹h_j, of all events with item j together
//	"attribute", c=level    r·x_f·h_iᵀA⁻¹A_f, r = λ·#^ν of the subject
//	"bias", "everybody"     r·h_iᵀA⁻¹A_0
//
// An item that training never saw has no h of its own, but Σ_f x_f·B_f: its score is split into its own attributes instead,
//
//	"item-attribute", c=level    x_f·wᵀB_f
//	"bias", "every item"         wᵀB_0
//
// and doubted as a new item. A history of fewer than three known items makes all scores doubted. Scores are the float32 scores that
// Score gives, so the distance between one and its sum is what float32 lost. An item that has no vector scores 0 for no reason.
// O(n·d²/2 + d³/6) for the query and O(d² + n·d) an item, for n sources.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	if err := s.within(items); err != nil {
		return nil, fmt.Errorf("als explain: %w", err)
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
	sources, pulls := s.pulls(f)
	own := len(sources)
	sources, column := s.itemSources(sources, items)
	out := models.NewAttribution(len(items), sources)
	if own == 0 {
		return out, nil
	}
	l, ok := s.system.factor64(f.col, f.conf, s.shrink(f))
	if !ok {
		return nil, fmt.Errorf("als explain: history of %d items: %w", len(f.col), ErrDiverged)
	}
	// The rows of v are A⁻¹h_i: the terms are one product of two small matrices. The row of an item that has no vector stays 0, and so
	// do its terms.
	v, terms := make([]float64, len(items)*d), make([]float64, len(items)*own)
	for k, item := range items {
		if x := s.index[item]; x >= 0 {
			out.Scores[k] = float64(vec.Dot(s.system.vector(x), w))
			widen(v[k*d:][:d], s.system.vector(x), 1)
		}
	}
	vec.CholeskySolve64(l, d, v, len(items))
	vec.MulNT64(terms, v, pulls, len(items), own, d)
	exact := s.sum(l, pulls)
	for k, item := range items {
		row := out.Row(k)
		if s.isCold(item) {
			fs, xs := s.features.Row(item)
			row[column[-1]] = dotMixed(exact, s.maps.items.row(0))
			for a, f := range fs {
				row[column[f]] = float64(xs[a]) * dotMixed(exact, s.maps.items.row(1+int(f)))
			}
			out.Doubt(k, models.NewItem)
		} else {
			copy(row, terms[k*own:][:own])
		}
		if len(f.col) < fewEvents && s.index[item] >= 0 {
			out.Doubt(k, models.FewEvents)
		}
	}
	return out, nil
}

func (s *scorer) within(items []int32) error {
	for _, item := range items {
		if item < 0 || int(item) >= len(s.index) {
			return fmt.Errorf("item %d of a catalog of %d", item, len(s.index))
		}
	}
	return nil
}

// pulls returns what the right-hand side of f's solve is the sum of: the sources and, a row each, their terms.
func (s *scorer) pulls(f *folder) ([]models.Source, []float64) {
	d, n := s.system.d, len(f.col)
	if f.centre != nil {
		n += 1 + len(f.fs)
	}
	sources, rows := make([]models.Source, 0, n), make([]float64, n*d)
	add := func(kind, ref string, x []float32, scale float64) {
		widen(rows[len(sources)*d:][:d], x, scale)
		sources = append(sources, models.Source{Kind: kind, Ref: ref})
	}
	for k, j := range f.col {
		add("event", s.catalog.IDs[s.known[j]], s.system.vector(j), float64(f.conf[k]))
	}
	if f.centre != nil {
		m, r := s.maps.subjects, s.shrink(f)
		add("bias", "everybody", m.row(0), r)
		for k, x := range f.fs {
			add("attribute", m.space.Source(int(x)), m.row(1+int(x)), r*float64(f.xs[k]))
		}
	}
	return sources, rows
}

// sum solves for the sum of the rows of pulls: the subject's vector in float64.
func (s *scorer) sum(l, pulls []float64) []float64 {
	d := s.system.d
	w := make([]float64, d)
	for k := range len(pulls) / d {
		for i, v := range pulls[k*d:][:d] {
			w[i] += v
		}
	}
	vec.CholeskySolve64(l, d, w, 1)
	return w
}

// itemSources appends the sources of those of items that training never saw, and returns at which column the source of each feature
// stands, and at −1 what all of them have.
func (s *scorer) itemSources(sources []models.Source, items []int32) ([]models.Source, map[int32]int) {
	column := map[int32]int{}
	add := func(feature int32, kind, ref string) {
		if _, ok := column[feature]; !ok {
			column[feature] = len(sources)
			sources = append(sources, models.Source{Kind: kind, Ref: ref})
		}
	}
	for _, item := range items {
		if !s.isCold(item) {
			continue
		}
		add(-1, "bias", "every item")
		fs, _ := s.features.Row(item)
		for _, f := range fs {
			add(f, "item-attribute", s.maps.items.space.Source(int(f)))
		}
	}
	return sources, column
}

// widen sets dst to scale·x.
func widen(dst []float64, x []float32, scale float64) {
	for i, v := range x {
		dst[i] = scale * float64(v)
	}
}

func dotMixed(a []float64, b []float32) float64 {
	var sum float64
	for i, v := range b {
		sum += float64(a[i] * float64(v))
	}
	return sum
}
