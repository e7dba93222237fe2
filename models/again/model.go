package again

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// Model is a trained repeat model. It is immutable.
type Model struct {
	hyper  Hyper
	items  []string  // ascending; those of at least MinSubjects subjects
	rate   []float32 // ρ
	logGap []float32 // ln of the gap in µs
	pooled pooled    // for every other item
}

type pooled struct {
	Rate   float64 `json:"rate"`
	LogGap float64 `json:"log_gap"`
}

// Name returns "again".
func (m *Model) Name() string { return "again" }

// Save writes the strings "items", the tensors "rate" and "log_gap" (one float32 an item) and the values "hyper" and "pooled".
func (m *Model) Save(w *artifact.Writer) error {
	w.Strings("items", m.items)
	w.F32("rate", []int{len(m.items)}, m.rate)
	w.F32("log_gap", []int{len(m.items)}, m.logGap)
	w.JSON("hyper", m.hyper)
	w.JSON("pooled", m.pooled)
	return nil
}

// Load reads what Save wrote.
func Load(r *artifact.Reader) (models.Model, error) {
	m := &Model{}
	if err := r.JSON("hyper", &m.hyper); err != nil {
		return nil, err
	}
	if err := m.hyper.Validate(); err != nil {
		return nil, err
	}
	if err := r.JSON("pooled", &m.pooled); err != nil {
		return nil, err
	}
	var err error
	if m.items, err = r.Strings("items"); err != nil {
		return nil, err
	}
	if err := (&models.Catalog{IDs: m.items}).Validate(); err != nil {
		return nil, err
	}
	if m.rate, err = r.F32("rate", len(m.items)); err != nil {
		return nil, err
	}
	if m.logGap, err = r.F32("log_gap", len(m.items)); err != nil {
		return nil, err
	}
	for i := range m.items {
		if !plausible(float64(m.rate[i]), float64(m.logGap[i])) {
			return nil, fmt.Errorf("item %d has rate %v and log gap %v", i, m.rate[i], m.logGap[i])
		}
	}
	if !plausible(m.pooled.Rate, m.pooled.LogGap) {
		return nil, errors.New("the pooled rates are out of range")
	}
	return m, nil
}

// plausible reports whether a rate is a share and a gap lies between an hour and 10⁴ years.
func plausible(rate, logGap float64) bool {
	return rate >= 0 && rate <= 1 && logGap > math.Log(minGap)-1 && logGap < 41
}

// Bind matches the items of c by id. Items that training did not single out get the pooled rates.
func (m *Model) Bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	s := &scorer{hyper: m.hyper, ids: c.IDs, rate: make([]float64, c.Len()), logGap: make([]float64, c.Len())}
	for i, from := range models.Map(c, &models.Catalog{IDs: m.items}) {
		s.rate[i], s.logGap[i] = m.pooled.Rate, m.pooled.LogGap
		if from >= 0 {
			s.rate[i], s.logGap[i] = float64(m.rate[from]), float64(m.logGap[from])
		}
	}
	return s, nil
}

type scorer struct {
	hyper        Hyper
	ids          []string
	rate, logGap []float64 // of each item of the catalog
}

// owned is what a history says of one item.
type owned struct {
	item  int32
	score float64
}

// Score fills the items of each history and leaves 0 elsewhere. O(len(dst) + Σ n·log n) for histories of n events.
func (s *scorer) Score(ctx context.Context, q []models.Query, dst []float32) error {
	clear(dst)
	for i := range q {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("score again: %w", err)
		}
		items, err := s.history(&q[i])
		if err != nil {
			return fmt.Errorf("score again: query %d: %w", i, err)
		}
		row := dst[i*len(s.ids):]
		for _, o := range items {
			row[o.item] = float32(o.score)
		}
	}
	return nil
}

// history scores the items of q's history, ascending by item.
func (s *scorer) history(q *models.Query) ([]owned, error) {
	h := &q.History
	order := make([]uint64, h.Len()) // by item, then time: the item above, the event below
	for j := range order {
		item := h.Item[j]
		if item < 0 || int(item) >= len(s.ids) {
			return nil, fmt.Errorf("event %d has item %d of a catalog of %d", j, item, len(s.ids))
		}
		order[j] = uint64(item)<<32 | uint64(j)
	}
	slices.Sort(order)
	out := make([]owned, 0, len(order))
	for a := 0; a < len(order); {
		item, first := int32(order[a]>>32), uint32(order[a])
		var (
			mass float64
			// One gap of the item's length beside those of the history.
			logGap, gaps = s.logGap[item], 1.0
			last         = h.Time[first]
		)
		for ; a < len(order) && int32(order[a]>>32) == item; a++ {
			j := uint32(order[a])
			t := h.Time[j]
			mass += float64(h.Weight[j]) * models.Decay(q.At-t, s.hyper.HalfLife)
			if t > last {
				logGap, gaps, last = logGap+math.Log(max(float64(t-last), minGap)), gaps+1, t
			}
		}
		elapsed := max(float64(q.At-last), 0)
		due := 1 - s.hyper.Depletion*math.Exp2(-elapsed/math.Exp2(logGap/gaps*math.Log2E)) // math.Exp fuses where a processor can
		out = append(out, owned{item, s.rate[item] * due * mass})
	}
	return out, nil
}

// Explain gives each item of the history itself as the reason, and no reason to any other. It is exact.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	known, err := s.history(q)
	if err != nil {
		return nil, fmt.Errorf("explain again: %w", err)
	}
	scores := make([]float64, len(items))
	for i, item := range items {
		if item < 0 || int(item) >= len(s.ids) {
			return nil, fmt.Errorf("explain again: item %d of a catalog of %d", item, len(s.ids))
		}
		if j, ok := slices.BinarySearchFunc(known, item, func(o owned, item int32) int { return int(o.item) - int(item) }); ok {
			scores[i] = known[j].score
		}
	}
	return models.SelfAttribution("again", s.ids, items, scores), nil
}
