package content

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/models"
)

type scorer struct {
	hyper   *Hyper
	prior   *prior
	nf      int // features
	ids     []string
	items   *vectors
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
	fs, xs := s.items.item(item)
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
		fs, xs := s.items.item(item)
		for i, f := range fs {
			dst[f] += share * float64(xs[i])
		}
	})
}

// Explain gives one reason for each item of the history that has a feature in common, one for each attribute level of the subject, and
// one, of kind "bias", for what is expected of everybody. It is exact but for rounding.
func (s *scorer) Explain(ctx context.Context, q *models.Query, items []int32) ([]models.Explanation, error) {
	profile := make([]float64, s.nf)
	if err := s.profile(profile, q); err != nil {
		return nil, fmt.Errorf("explain content: %w", err)
	}
	out := make([]models.Explanation, len(items))
	target := make([]float64, s.nf) // x of the item explained, dense
	for i, item := range items {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("explain content: %w", err)
		}
		if item < 0 || int(item) >= len(s.ids) {
			return nil, fmt.Errorf("explain content: item %d of a catalog of %d", item, len(s.ids))
		}
		fs, xs := s.items.item(item)
		for j, f := range fs {
			target[f] = float64(xs[j])
		}
		var reasons []models.Reason
		err := s.terms(q, func(row int, share float64) {
			var v float64
			w := s.prior.row(row, s.nf)
			for _, f := range fs {
				v += float64(w[f]) * target[f]
			}
			r := models.Reason{Kind: "bias", Ref: "everybody", Contribution: share * v}
			if row > 0 {
				a := s.prior.levels[row-1]
				r.Kind, r.Ref = "attribute", a.column+"="+a.level
			}
			reasons = append(reasons, r)
		}, func(j int32, share float64) {
			reasons = append(reasons, models.Reason{Kind: "event", Ref: s.ids[j], Contribution: share * s.dot(target, j)})
		})
		if err != nil {
			return nil, fmt.Errorf("explain content: %w", err)
		}
		for _, f := range fs {
			target[f] = 0
		}
		out[i] = models.NewExplanation(s.dot(profile, item), reasons)
	}
	return out, nil
}
