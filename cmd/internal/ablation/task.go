package main

import (
	"context"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// task asks every subject with an event in the test window for the items of that window.
type task struct {
	items    int
	queries  []models.Query
	relevant [][]int32 // ascending
}

// newTask masks what a subject had before, if that is asked for; who took nothing else has no answer.
func newTask(d *models.Dataset, mask bool) *task {
	t := &task{items: d.Catalog.Len()}
	for s := range d.Events.Subjects {
		q, relevant := d.Query(s, d.Cuts.Test, k), models.Distinct(d.Events.SubjectBetween(s, d.Cuts.Test, d.Cuts.End).Item)
		if mask {
			q.Exclude = models.Distinct(q.History.Item)
			relevant = slices.DeleteFunc(relevant, func(i int32) bool { _, had := slices.BinarySearch(q.Exclude, i); return had })
		}
		if len(relevant) > 0 {
			t.queries, t.relevant = append(t.queries, q), append(t.relevant, relevant)
		}
	}
	return t
}

// amongShown is t with, of each query, only what was put before its subject in the test window to be ranked: which of it is chosen says what people
// like, whatever decides what they are shown. Who chose nothing or all of it has no answer.
func (t *task) amongShown(d *models.Dataset) *task {
	out := &task{items: t.items}
	for i, q := range t.queries {
		s, _ := slices.BinarySearch(d.Events.Subjects, q.Draw)
		q.Candidates = models.Distinct(d.ShownBetween(s, d.Cuts.Test, d.Cuts.End).Item)
		relevant := slices.DeleteFunc(slices.Clone(t.relevant[i]), func(item int32) bool {
			_, shown := slices.BinarySearch(q.Candidates, item)
			return !shown
		})
		if len(relevant) > 0 && len(relevant) < len(q.Candidates) {
			out.queries, out.relevant = append(out.queries, q), append(out.relevant, relevant)
		}
	}
	return out
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
		out[q] = models.NDCG(items, t.relevant[q], k)
	}
	return out, nil
}
