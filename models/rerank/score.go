package rerank

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/rapport-ml/rapport/models"
)

// scorer is a Model that corrects, bound to a catalog.
type scorer struct {
	*bound
	model *Model
	desks sync.Pool

	mu    sync.Mutex
	known *translation // of the contexts of the last query's data set
}

var (
	_ models.Scorer      = (*scorer)(nil)
	_ models.Explainer   = (*scorer)(nil)
	_ models.Shortlister = (*scorer)(nil)
)

func (m *Model) bindCorrected(ctx context.Context, c *models.Catalog, subjectColumns []string) (*scorer, error) {
	b, err := m.snapshot.bind(ctx, c, subjectColumns)
	if err != nil {
		return nil, fmt.Errorf("bind rerank: %w", err)
	}
	s := &scorer{bound: b, model: m}
	s.desks.New = func() any { return b.newDesk() }
	return s, nil
}

// mix returns the contexts that q's scores are a mean over: its own, or those that its subject has come in.
func (s *scorer) mix(q *models.Query) ([]share, error) {
	if q.Contexts == nil {
		return s.model.mix, nil
	}
	if n := len(q.History.Context); n != 0 && n != q.History.Len() {
		return nil, fmt.Errorf("a history of %d events has %d contexts", q.History.Len(), n)
	}
	to := s.translation(q.Contexts)
	if q.Context != nil {
		return []share{{to.context(*q.Context), 1}}, nil
	}
	if len(q.History.Context) == 0 {
		return s.model.mix, nil
	}
	own := make([]models.Context, len(q.History.Context))
	for i, c := range q.History.Context {
		own[i] = to.context(c)
	}
	return mixOf(own), nil
}

func (s *scorer) translation(from *models.Contexts) *translation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || s.known.from != from {
		s.known = translate(from, s.model.contexts)
	}
	return s.known
}

// Score gives the blend's scores, and to the candidates of each query their correction: the mean over the mix of contexts. Beside
// the blend it costs O(features + contexts·layers) a candidate, and holds one matrix of at most 8 MiB a part.
func (s *scorer) Score(ctx context.Context, q []models.Query, dst []float32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(dst) != len(q)*s.n {
		return fmt.Errorf("score rerank: dst holds %d values, want %d queries × %d items", len(dst), len(q), s.n)
	}
	d := s.desks.Get().(*desk)
	defer s.desks.Put(d)
	var fault error
	err := s.each(ctx, q, d, func(i int, blended []float32, list shortlist) {
		row := dst[i*s.n:][:s.n]
		copy(row, blended)
		corrections, err := s.corrections(&q[i], list, d)
		fault = errors.Join(fault, err)
		for j, c := range corrections {
			item := list.items[j]
			row[item] = float32(float64(row[item]) + c)
		}
	})
	if err = errors.Join(err, fault); err != nil {
		return fmt.Errorf("score rerank: %w", err)
	}
	return nil
}

// corrections returns what is added to each candidate's score; it is d's until its next use.
func (s *scorer) corrections(q *models.Query, list shortlist, d *desk) ([]float64, error) {
	mix, err := s.mix(q)
	if err != nil {
		return nil, err
	}
	if cap(d.row) < len(list.items) {
		d.row = make([]float64, candidates)
	}
	row := d.row[:len(list.items)]
	s.model.net.correct(row, list.features, list.base, mix, &d.net)
	return row, nil
}

// Explain gives the blend's attribution as it is, and the correction as one more source: {Kind: "neural", Ref: "correction"}.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	why, _, err := s.explain(ctx, q, items)
	return why, err
}

// ExplainShortlist is Explain and Shortlist at the price of one of them.
func (s *scorer) ExplainShortlist(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, *models.Shortlist, error) {
	why, list, err := s.explain(ctx, q, items)
	if err != nil {
		return nil, nil, err
	}
	return why, &models.Shortlist{Items: list.items, Scores: list.base, Features: list.features}, nil
}

func (s *scorer) explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, shortlist, error) {
	fail := func(err error) (*models.Attribution, shortlist, error) {
		return nil, shortlist{}, fmt.Errorf("explain rerank: %w", err)
	}
	why, err := s.whole.Explain(ctx, q, items)
	if err != nil {
		return fail(err)
	}
	d := s.desks.Get().(*desk)
	defer s.desks.Put(d)
	neural := models.NewAttribution(len(items), []models.Source{{Kind: "neural", Ref: "correction"}})
	var list shortlist
	var fault error
	err = s.each(ctx, []models.Query{*q}, d, func(_ int, _ []float32, l shortlist) {
		var row []float64
		list = l
		if row, fault = s.corrections(q, l, d); fault != nil {
			return
		}
		of := make(map[int32]float64, len(row))
		for j, c := range row {
			of[l.items[j]] = c
		}
		for i, item := range items {
			neural.Scores[i], neural.Values[i] = of[item], of[item]
		}
	})
	if err = errors.Join(err, fault); err != nil {
		return fail(err)
	}
	return models.Sum([]float64{1, 1}, []*models.Attribution{why, neural}), list, nil
}

// Published returns what turns a Shortlist and a context into scores; see docs/contracts.md.
func (s *scorer) Published(version string) (json.RawMessage, error) {
	return json.Marshal(s.model.published(version))
}
