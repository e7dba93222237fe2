package next

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// Bind matches the model's items with those of c by id. Items that the model does not know score 0 and are followed by nothing. Subject
// columns are not used. Memory: 8 bytes a value.
func (m *Model) Bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("bind next: %w", err)
	}
	known := &models.Catalog{IDs: m.items}
	to, from := models.Map(known, c), models.Map(c, known)
	return &scorer{hyper: m.hyper, ids: c.IDs, after: m.after.bind(to, from), together: m.together.bind(to, from)}, nil
}

// scorer is a Model bound to a catalog.
type scorer struct {
	hyper           Hyper
	ids             []string
	after, together matrix
}

var (
	_ models.Scorer    = (*scorer)(nil)
	_ models.Explainer = (*scorer)(nil)
	_ models.Relater   = (*scorer)(nil)
)

// step is an item of a history that still says something, and how much.
type step struct {
	item int32
	w    float64
}

// steps returns the items of q's last events, ascending: each by its latest event.
func (s *scorer) steps(q *models.Query) ([]step, error) {
	h := &q.History
	for e, item := range h.Item {
		if item < 0 || int(item) >= len(s.ids) {
			return nil, fmt.Errorf("history event %d has item %d of a catalog of %d", e, item, len(s.ids))
		}
	}
	var out []step
	n, reach := h.Len(), s.hyper.reach()
	for e := n - 1; e >= 0 && e >= n-s.hyper.Steps && h.Time[n-1]-h.Time[e] <= reach; e-- {
		out = append(out, step{h.Item[e], models.Decay(q.At-h.Time[e], s.hyper.HalfLife)})
	}
	slices.SortFunc(out, func(a, b step) int { return cmp.Or(cmp.Compare(a.item, b.item), cmp.Compare(b.w, a.w)) })
	return slices.CompactFunc(out, func(a, b step) bool { return a.item == b.item }), nil
}

// Score adds up what follows the items of each query's last events.
func (s *scorer) Score(ctx context.Context, q []models.Query, dst []float32) error {
	n := len(s.ids)
	if len(dst) != len(q)*n {
		return fmt.Errorf("score next: dst holds %d values, want %d queries × %d items", len(dst), len(q), n)
	}
	clear(dst)
	for i := range q {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("score next: %w", err)
		}
		steps, err := s.steps(&q[i])
		if err != nil {
			return fmt.Errorf("score next: query %d: %w", i, err)
		}
		row := dst[i*n : (i+1)*n]
		for _, step := range steps {
			w := float32(step.w)
			col, val := s.after.row(step.item)
			for k, c := range col {
				row[c] += w * val[k]
			}
		}
	}
	return nil
}

// Explain splits the scores of items over the items of the query's last events. Sources are of kind "event" and name the item that is
// followed. Scores are the float64 sums, from which the float32 scores differ by rounding alone.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	for _, item := range items {
		if item < 0 || int(item) >= len(s.ids) {
			return nil, fmt.Errorf("explain next: item %d of a catalog of %d", item, len(s.ids))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("explain next: %w", err)
	}
	steps, err := s.steps(q)
	if err != nil {
		return nil, fmt.Errorf("explain next: %w", err)
	}
	sources := make([]models.Source, len(steps))
	for k, step := range steps {
		sources[k] = models.Source{Kind: "event", Ref: s.ids[step.item]}
	}
	out := models.NewAttribution(len(items), sources)
	for k, step := range steps {
		col, val := s.after.row(step.item)
		for i, item := range items {
			if at, ok := slices.BinarySearch(col, item); ok {
				v := float64(float32(step.w)) * float64(val[at])
				out.Row(i)[k] = v
				out.Scores[i] += v
			}
		}
	}
	return out, nil
}

// RelatedKinds returns "together".
func (s *scorer) RelatedKinds() []string { return []string{models.RelatedTogether} }

// Related lists the items that come in one session with item more often than by chance: see the package comment. O(m·log m) for the m
// companions that the model keeps.
func (s *scorer) Related(ctx context.Context, kind string, item int32, items []int32, scores []float32) (int, error) {
	if kind != models.RelatedTogether {
		return 0, fmt.Errorf("next has no related lists of kind %q, only %q", kind, models.RelatedTogether)
	}
	if item < 0 || int(item) >= len(s.ids) {
		return 0, fmt.Errorf("related to item %d of a catalog of %d", item, len(s.ids))
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	col, val := s.together.row(item)
	found := make([]models.Scored, len(col))
	for k, c := range col {
		found[k] = models.Scored{Item: c, Score: val[k]}
	}
	return models.SelectRelated(found, items, scores), nil
}
