package blend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// Model is a trained blend. It is immutable.
type Model struct {
	hyper  Hyper
	record Record
	parts  []models.Model // parallel to record.Parts
}

var _ models.Composite = (*Model)(nil)

// Name returns "blend".
func (m *Model) Name() string { return "blend" }

// Record tells how the weights came about.
func (m *Model) Record() Record { return m.record }

// Parts returns the trained parts, in the order of Record's; those of weight 0 too.
func (m *Model) Parts() []models.Model { return m.parts }

// Items returns the ids of the items that any part tells apart.
func (m *Model) Items() []string { return models.KnownItems(m.parts...) }

// BindParts binds every part by itself, those of weight 0 too, to be shown beside the blend.
func (m *Model) BindParts(ctx context.Context, c *models.Catalog, subjectColumns []string) ([]models.Part, error) {
	parts := make([]models.Part, len(m.parts))
	for i, p := range m.record.Parts {
		s, err := m.parts[i].Bind(ctx, c, subjectColumns)
		if err != nil {
			return nil, fmt.Errorf("bind part %d, %s: %w", i, p.Name, err)
		}
		parts[i] = models.Part{Name: p.Name, Weight: p.Weight, Scorer: s}
	}
	return parts, nil
}

// Save writes the values "hyper" and "fit", and each part under the section "parts/<its number from 0>".
func (m *Model) Save(w *artifact.Writer) error {
	w.JSON("hyper", m.hyper)
	w.JSON("fit", m.record)
	for i, p := range m.parts {
		if err := models.Save(w.Section("parts").Section(strconv.Itoa(i)), p); err != nil {
			return err
		}
	}
	return nil
}

// Loader returns the loader of a blend whose parts the given loaders read. A part that is itself a blend is refused.
func Loader(parts map[string]models.Loader) models.Loader {
	return func(r *artifact.Reader) (models.Model, error) {
		m := &Model{}
		if err := r.JSON("hyper", &m.hyper); err != nil {
			return nil, err
		}
		if err := m.hyper.Validate(); err != nil {
			return nil, err
		}
		if err := r.JSON("fit", &m.record); err != nil {
			return nil, err
		}
		sections := r.Section("parts")
		if n := len(sections.Sections()); n == 0 || n != len(m.record.Parts) {
			return nil, fmt.Errorf("%d parts stored, %d recorded", n, len(m.record.Parts))
		}
		for i, part := range m.record.Parts {
			if !(part.Weight >= 0) || !(part.Scale > 0) {
				return nil, fmt.Errorf("part %d has weight %v and scale %v", i, part.Weight, part.Scale)
			}
			section := sections.Section(strconv.Itoa(i))
			if name := section.Model(); name != part.Name || name == m.Name() {
				return nil, fmt.Errorf("part %d is recorded as %q and stored as %q", i, part.Name, name)
			}
			p, err := models.Load(section, parts)
			if err != nil {
				return nil, fmt.Errorf("part %d: %w", i, err)
			}
			m.parts = append(m.parts, p)
		}
		return m, nil
	}
}

// Bind binds the parts that have weight.
func (m *Model) Bind(ctx context.Context, c *models.Catalog, subjectColumns []string) (models.Scorer, error) {
	s, err := m.bind(ctx, c, subjectColumns, false)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// BindWhole binds every part, for a caller that wants the scores of each beside their sum.
func (m *Model) BindWhole(ctx context.Context, c *models.Catalog, subjectColumns []string) (Whole, error) {
	return m.bind(ctx, c, subjectColumns, true)
}

// Whole is a blend's Scorer that shows its parts.
type Whole interface {
	models.Scorer
	models.Explainer
	// ScoreParts is Score, and leaves each part's own scores, before scaling, in rows: one a part of Record, as long as dst.
	ScoreParts(ctx context.Context, q []models.Query, dst []float32, rows [][]float32) error
}

func (m *Model) bind(ctx context.Context, c *models.Catalog, subjectColumns []string, all bool) (*scorer, error) {
	s := &scorer{items: c.Len()}
	weight := 0.0
	for i, p := range m.record.Parts {
		if p.Weight == 0 && !all {
			continue
		}
		part, err := m.parts[i].Bind(ctx, c, subjectColumns)
		if err != nil {
			return nil, fmt.Errorf("bind part %d, %s: %w", i, p.Name, err)
		}
		weight += p.Weight
		s.parts = append(s.parts, weighted{name: p.Name, factor: p.Weight / p.Scale, Scorer: part})
	}
	if weight == 0 {
		return nil, errors.New("bind blend: no part has any weight")
	}
	return s, nil
}

type weighted struct {
	name   string
	factor float64
	models.Scorer
}

type scorer struct {
	items   int
	parts   []weighted
	buffers sync.Pool // *[]float32
}

// Score adds up the parts' scores. It holds one more matrix of len(dst) scores.
func (s *scorer) Score(ctx context.Context, q []models.Query, dst []float32) error {
	buf, _ := s.buffers.Get().(*[]float32)
	if buf == nil || cap(*buf) < len(dst) {
		buf = new(make([]float32, len(dst)))
	}
	defer s.buffers.Put(buf)
	return s.score(ctx, q, dst, func(int) []float32 { return (*buf)[:len(dst)] })
}

// ScoreParts is Score with a matrix for each part's scores.
func (s *scorer) ScoreParts(ctx context.Context, q []models.Query, dst []float32, rows [][]float32) error {
	return s.score(ctx, q, dst, func(i int) []float32 { return rows[i] })
}

func (s *scorer) score(ctx context.Context, q []models.Query, dst []float32, row func(part int) []float32) error {
	first := true
	for i, p := range s.parts {
		part := row(i)
		if err := p.Score(ctx, q, part); err != nil {
			return fmt.Errorf("score blend: part %s: %w", p.name, err)
		}
		if p.factor == 0 {
			continue
		}
		for j, v := range part {
			v := p.factor * float64(v)
			if !first {
				v += float64(dst[j])
			}
			dst[j] = float32(v)
		}
		first = false
	}
	return nil
}

// Explain adds up the attributions of all parts, each times its part's factor.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	factors, parts := make([]float64, 0, len(s.parts)), make([]*models.Attribution, 0, len(s.parts))
	for _, p := range s.parts {
		if p.factor == 0 {
			continue
		}
		explainer, ok := p.Scorer.(models.Explainer)
		if !ok {
			return nil, fmt.Errorf("explain blend: part %s cannot explain its scores", p.name)
		}
		part, err := explainer.Explain(ctx, q, items)
		if err != nil {
			return nil, fmt.Errorf("explain blend: part %s: %w", p.name, err)
		}
		factors, parts = append(factors, p.factor), append(parts, part)
	}
	return models.Sum(factors, parts), nil
}

// Without adds up what the parts say of the shorter history.
func (s *scorer) Without(ctx context.Context, q *models.Query, gone int32, items []int32, dst []float64) error {
	if gone < 0 || int(gone) >= s.items {
		return fmt.Errorf("blend without an item: item %d of a catalog of %d", gone, s.items)
	}
	dst = dst[:len(items)]
	clear(dst)
	part := make([]float64, len(items))
	for _, p := range s.parts {
		if p.factor == 0 {
			continue
		}
		if err := models.ScoresWithout(ctx, p.Scorer, s.items, q, gone, items, part); err != nil {
			return fmt.Errorf("blend without an item: part %s: %w", p.name, err)
		}
		for i, v := range part {
			dst[i] += float64(p.factor * v)
		}
	}
	return nil
}
