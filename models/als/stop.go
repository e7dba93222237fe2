package als

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// With Hyper.Patience, training stops where it no longer improves. Where the data set has a validation window that lies before the end of
// training, the number of epochs is rehearsed: a model learns from the events before the window, and its mean nDCG@stopList on the
// window after each epoch says which epoch was the best; then the model proper makes as many from all events. The rehearsal has the d and λ of
// the model proper and no warm start, which may know the window. Else, or where too few subjects came back in the window, an epoch improves if it
// lowers the objective by leastGain of it.
const (
	stopList   = 10
	leastAsked = 20
	mostAsked  = 2000 // subjects of the window, evenly spaced
	leastGain  = 1e-3
)

// watch is told of the model after each epoch, which is still being trained, and says whether that was the last.
type watch func(ctx context.Context, m *Model, objective float64) (enough bool, err error)

// plateau stops after `patience` epochs in a row that hardly lowered the objective.
func plateau(patience int) watch {
	best, idle := math.Inf(1), 0
	return func(_ context.Context, _ *Model, objective float64) (bool, error) {
		if idle++; objective < best*(1-leastGain) || math.IsInf(best, 1) {
			idle = 0
		}
		best = min(best, objective)
		return idle >= patience, nil
	}
}

// rehearse returns how many epochs were the best for the window [d.Cuts.Validation, until), or 0 where there is no such window or too few
// to ask in it. Of equal epochs the first is the best.
func (t *Trainer) rehearse(ctx context.Context, d *models.Dataset, until int64, seed uint64, h Hyper) (int, error) {
	cut := d.Cuts.Validation
	if cut <= d.Cuts.Base || cut >= until {
		return 0, nil
	}
	asks, relevant := questions(d, cut, until)
	if len(asks) < leastAsked {
		return 0, nil
	}
	figure, epochs, epoch := math.Inf(-1), 0, 0
	p, err := collect(d, cut, &h)
	if err != nil {
		return 0, err
	}
	_, err = learn(ctx, d, p, cut, seed, h, nil, func(ctx context.Context, m *Model, _ float64) (bool, error) {
		epoch++
		now, err := ndcg(ctx, m, d, asks, relevant)
		if err != nil {
			return false, err
		}
		if now > figure {
			figure, epochs = now, epoch
		}
		return epoch-epochs >= h.Patience, nil
	})
	if err != nil {
		return 0, fmt.Errorf("rehearsal on the events before the validation window: %w", err)
	}
	return epochs, nil
}

// questions returns the queries, at cut, of subjects with a history who chose something in [cut, until), and what they chose, ascending.
func questions(d *models.Dataset, cut, until int64) (asks []models.Query, relevant [][]int32) {
	for s := range d.Events.Subjects {
		q := d.Query(s, cut, stopList)
		chosen := models.Distinct(d.Events.SubjectBetween(s, cut, until).Item)
		if q.History.Len() == 0 || len(chosen) == 0 {
			continue
		}
		if d.MaskSeen {
			q.Exclude = models.Distinct(q.History.Item)
			chosen = slices.DeleteFunc(chosen, func(i int32) bool { _, seen := slices.BinarySearch(q.Exclude, i); return seen })
			if len(chosen) == 0 {
				continue
			}
		}
		asks, relevant = append(asks, q), append(relevant, chosen)
	}
	if len(asks) <= mostAsked {
		return asks, relevant
	}
	for k := range mostAsked { // from places at or after k
		from := k * len(asks) / mostAsked
		asks[k], relevant[k] = asks[from], relevant[from]
	}
	return asks[:mostAsked], relevant[:mostAsked]
}

// ndcg is the mean nDCG@stopList of the model's lists.
func ndcg(ctx context.Context, m *Model, d *models.Dataset, asks []models.Query, relevant [][]int32) (float64, error) {
	s, err := m.Bind(ctx, d.Catalog, d.SubjectColumns())
	if err != nil {
		return 0, err
	}
	var lists models.Ranking
	if err := models.Rank(ctx, s, d.Catalog.Len(), asks, &lists); err != nil {
		return 0, err
	}
	var sum float64
	for q, want := range relevant {
		items, _ := lists.Query(q)
		sum += models.NDCG(items, want, stopList)
	}
	return sum / float64(len(asks)), nil
}
