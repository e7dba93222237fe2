package content

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/encode"
)

type scorer struct {
	hyper   *Hyper
	prior   *prior
	nf      int // features
	ids     []string
	items   *encode.Rows
	columns []string // of the queries' subject attributes
}

// Score costs O(features + (events + items)·columns) a query.
func (s *scorer) Score(ctx context.Context, q []models.Query, dst []float32) error {
	profile := make([]float64, s.nf)
	n := len(s.ids)
	for i := range q {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("score content: %w", err)
		}
		if err := s.profile(profile, &q[i]); err != nil {
			return fmt.Errorf("score content: query %d: %w", i, err)
		}
		row := dst[i*n : (i+1)*n]
		for item := range row {
			row[item] = float32(s.dot(profile, int32(item)))
		}
	}
	return nil
}

func (s *scorer) dot(profile []float64, item int32) float64 {
	fs, xs := s.items.Row(item)
	var sum float64
	for i, f := range fs {
		sum += profile[f] * float64(xs[i])
	}
	return sum
}

// terms calls prior for each row of the prior that applies and event for each event, with its share of the profile. The shares of the
// events and that of the prior (which is one for all of its rows) sum to 1, or are all 0.
func (s *scorer) terms(q *models.Query, prior func(row int, share float64), event func(item int32, share float64)) error {
	h, total := &q.History, s.hyper.Prior
	for j, item := range h.Item {
		if item < 0 || int(item) >= len(s.ids) {
			return fmt.Errorf("event %d has item %d of a catalog of %d", j, item, len(s.ids))
		}
		total += s.confidence(q, j)
	}
	if total == 0 {
		return nil
	}
	if share := s.hyper.Prior / total; share > 0 {
		prior(0, share)
		for _, row := range s.prior.rows(s.columns, q.Subject) {
			prior(row, share)
		}
	}
	for j, item := range h.Item {
		event(item, s.confidence(q, j)/total)
	}
	return nil
}

func (s *scorer) confidence(q *models.Query, j int) float64 {
	return float64(q.History.Weight[j]) * models.Decay(q.At-q.History.Time[j], s.hyper.HalfLife)
}

// profile overwrites dst with the profile of q.
func (s *scorer) profile(dst []float64, q *models.Query) error {
	clear(dst)
	return s.terms(q, func(row int, share float64) {
		for f, w := range s.prior.row(row, s.nf) {
			dst[f] += share * float64(w)
		}
	}, func(item int32, share float64) {
		fs, xs := s.items.Row(item)
		for i, f := range fs {
			dst[f] += share * float64(xs[i])
		}
	})
}

// Explain has one source for each item of the history (all its events together), one for each attribute level of the subject, and one,
// of kind "bias", for what is expected of everybody. It is exact but for rounding.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) (*models.Attribution, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("explain content: %w", err)
	}
	for _, item := range items {
		if item < 0 || int(item) >= len(s.ids) {
			return nil, fmt.Errorf("explain content: item %d of a catalog of %d", item, len(s.ids))
		}
	}
	// What each source adds to the profile: rows of the prior, then items of the history.
	type share struct {
		of   int32
		size float64
	}
	var rows, events []share
	err := s.terms(q, func(row int, size float64) { rows = append(rows, share{int32(row), size}) },
		func(item int32, size float64) { events = append(events, share{item, size}) })
	if err != nil {
		return nil, fmt.Errorf("explain content: %w", err)
	}
	slices.SortStableFunc(events, func(a, b share) int { return cmp.Compare(a.of, b.of) })
	n := 0
	for i, e := range events {
		if i > 0 && events[n-1].of == e.of {
			events[n-1].size += e.size
		} else {
			events[n] = e
			n++
		}
	}
	events = events[:n]
	sources := make([]models.Source, 0, len(rows)+len(events))
	for _, r := range rows {
		sources = append(sources, s.prior.source(int(r.of)))
	}
	for _, e := range events {
		sources = append(sources, models.Source{Kind: "event", Ref: s.ids[e.of]})
	}
	out := models.NewAttribution(len(items), sources)
	profile, target := make([]float64, s.nf), make([]float64, s.nf) // target is x of the item explained, dense
	if err := s.profile(profile, q); err != nil {
		return nil, fmt.Errorf("explain content: %w", err)
	}
	for i, item := range items {
		fs, xs := s.items.Row(item)
		for j, f := range fs {
			target[f] = float64(xs[j])
		}
		values := out.Row(i)
		for k, r := range rows {
			var v float64
			w := s.prior.row(int(r.of), s.nf)
			for _, f := range fs {
				v += float64(w[f]) * target[f]
			}
			values[k] = r.size * v
		}
		for k, e := range events {
			values[len(rows)+k] = e.size * s.dot(target, e.of)
		}
		for _, f := range fs {
			target[f] = 0
		}
		out.Scores[i] = s.dot(profile, item)
	}
	return out, nil
}
