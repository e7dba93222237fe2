package popular

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// Hyper are the hyperparameters. The zero value of MinSubjects means models.MinSubjects.
type Hyper struct {
	HalfLife    time.Duration `json:"half_life"`    // ns; an event's weight halves with this age; 0: never
	MinSubjects int           `json:"min_subjects"` // items of fewer distinct subjects share one score
}

// Defaults returns the hyperparameters that a project starts with.
func Defaults() Hyper {
	return Hyper{HalfLife: 60 * 24 * time.Hour, MinSubjects: models.MinSubjects}
}

// Validate reports every value out of range.
func (h Hyper) Validate() error {
	var errs []error
	if h.HalfLife < 0 {
		errs = append(errs, fmt.Errorf("half_life is %v, want a positive duration, or 0 for no decay", h.HalfLife))
	}
	if h.MinSubjects < 0 {
		errs = append(errs, fmt.Errorf("min_subjects is %d, want 1 or more, or 0 for %d", h.MinSubjects, models.MinSubjects))
	}
	return errors.Join(errs...)
}

// Trainer trains popularity.
type Trainer struct {
	Hyper Hyper
}

// Name returns "popular".
func (t *Trainer) Name() string { return "popular" }

// Train counts the events of d in [Cuts.Base, until). One pass, O(events + items); seed is not used.
func (t *Trainer) Train(ctx context.Context, d *models.Dataset, until int64, seed uint64) (models.Model, error) {
	h := t.Hyper
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("train popular: %w", err)
	}
	if h.MinSubjects == 0 {
		h.MinSubjects = models.MinSubjects
	}
	var (
		events   = d.Training(until)
		n        = d.Catalog.Len()
		sum      = make([]float64, n)
		subjects = make([]int, n)
		best     = make([]float64, n) // of the current subject
		touched  []int32
		active   float64
	)
	for s := range events.Subjects {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("train popular: %w", err)
		}
		hist, top := events.Subject(s), 0.0
		for i, item := range hist.Item {
			w := float64(hist.Weight[i]) * models.Decay(until-hist.Time[i], h.HalfLife)
			if best[item] == 0 && w > 0 {
				touched = append(touched, item)
			}
			best[item], top = max(best[item], w), max(top, w)
		}
		for _, item := range touched {
			sum[item] += best[item]
			subjects[item]++
			best[item] = 0
		}
		touched, active = touched[:0], active+top
	}
	m := &Model{hyper: h}
	var rest float64
	for i, id := range d.Catalog.IDs {
		if subjects[i] >= h.MinSubjects {
			m.items = append(m.items, id)
			m.scores = append(m.scores, float32(sum[i]/active))
		} else {
			rest += sum[i]
		}
	}
	if others := n - len(m.items); others > 0 && active > 0 {
		m.tail = float32(rest / active / float64(others))
	}
	return m, nil
}

// Model is a trained popularity. It is immutable.
type Model struct {
	hyper  Hyper
	items  []string // ascending; those of at least MinSubjects subjects
	scores []float32
	tail   float32 // the score of every other item
}

// Name returns "popular".
func (m *Model) Name() string { return "popular" }

// Items returns the ids of the items that have a score of their own.
func (m *Model) Items() []string { return m.items }

// Save writes the strings "items", the tensor "scores" (one float32 an item) and the values "hyper" and "tail".
func (m *Model) Save(w *artifact.Writer) error {
	w.Strings("items", m.items)
	w.F32("scores", []int{len(m.items)}, m.scores)
	w.JSON("hyper", m.hyper)
	w.JSON("tail", m.tail)
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
	if err := r.JSON("tail", &m.tail); err != nil {
		return nil, err
	}
	var err error
	if m.items, err = r.Strings("items"); err != nil {
		return nil, err
	}
	if err := (&models.Catalog{IDs: m.items}).Validate(); err != nil {
		return nil, err
	}
	m.scores, err = r.F32("scores", len(m.items))
	return m, err
}

// Bind matches the items of c by id. Items without a score of their own get the tail's.
func (m *Model) Bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	s := &scorer{ids: c.IDs, row: make([]float32, c.Len())}
	for i, from := range models.Map(c, &models.Catalog{IDs: m.items}) {
		s.row[i] = m.tail
		if from >= 0 {
			s.row[i] = m.scores[from]
		}
	}
	return s, nil
}

// scorer gives every query the same row.
type scorer struct {
	ids []string
	row []float32
}

// Score copies the row for each query.
func (s *scorer) Score(ctx context.Context, q []models.Query, dst []float32) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("score popular: %w", err)
	}
	for i := range q {
		copy(dst[i*len(s.row):], s.row)
	}
	return nil
}

// Explain gives each item one reason, its popularity. It is exact.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	scores := make([]float64, len(items))
	for i, item := range items {
		if item < 0 || int(item) >= len(s.row) {
			return nil, fmt.Errorf("explain popular: item %d of a catalog of %d", item, len(s.row))
		}
		scores[i] = float64(s.row[item])
	}
	return models.SelfAttribution("popularity", s.ids, items, scores), nil
}
