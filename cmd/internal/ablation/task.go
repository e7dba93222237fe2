package main

import (
	"context"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// task asks every subject with an event in the test window for the items of that window.
type task struct {
	items    int
	queries  []models.Query
	relevant []map[int32]bool
}

// newTask masks what a subject had before, if that is asked for; who took nothing else has no answer.
func newTask(d *models.Dataset, mask bool) *task {
	t := &task{items: d.Catalog.Len()}
	for s := range d.Events.Subjects {
		q, relevant := d.Query(s, d.Cuts.Test, k), map[int32]bool{}
		for _, item := range d.Events.SubjectBetween(s, d.Cuts.Test, d.Cuts.End).Item {
			relevant[item] = true
		}
		if mask {
			q.Exclude = slices.Clone(q.History.Item)
			slices.Sort(q.Exclude)
			q.Exclude = slices.Compact(q.Exclude)
			for _, item := range q.Exclude {
				delete(relevant, item)
			}
		}
		if len(relevant) > 0 {
			t.queries, t.relevant = append(t.queries, q), append(t.relevant, relevant)
		}
	}
	return t
}

// judge returns the nDCG@k of each query.
func (t *task) judge(ctx context.Context, s models.Scorer) ([]float64, error) {
	var r models.Ranking
	if err := models.Rank(ctx, s, t.items, t.queries, &r); err != nil {
		return nil, err
	}
	out := make([]float64, len(t.queries))
	for q := range t.queries {
		items, _ := r.Query(q)
		var dcg, ideal float64
		for rank, item := range items {
			if t.relevant[q][item] {
				dcg += 1 / math.Log2(float64(rank)+2)
			}
		}
		for rank := range min(k, len(t.relevant[q])) {
			ideal += 1 / math.Log2(float64(rank)+2)
		}
		out[q] = dcg / ideal
	}
	return out, nil
}
