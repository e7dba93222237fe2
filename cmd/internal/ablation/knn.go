package main

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// The baseline's constants.
const (
	neighbours = 50
	shrinkage  = 10 // subjects
)

// knn is item-kNN: score(i) = Σ_j∈history sim(j, i), j's neighbours being the items of the greatest n_ji/√(n_j·n_i)·n_ji/(n_ji + shrinkage).
type knn struct {
	near [][]models.Scored // of each item of the catalog
}

// nearest counts pairs, all of them: it is a yardstick and holds what no artifact may.
func nearest(ctx context.Context, d *models.Dataset) (models.Scorer, error) {
	n := d.Catalog.Len()
	chosen, by := make([][]int32, len(d.Events.Subjects)), make([][]int32, n)
	for s := range chosen {
		items := slices.Clone(d.Events.SubjectBetween(s, d.Cuts.Base, d.Cuts.Test).Item)
		slices.Sort(items)
		chosen[s] = slices.Compact(items)
		for _, i := range chosen[s] {
			by[i] = append(by[i], int32(s))
		}
	}
	x, both := &knn{near: make([][]models.Scored, n)}, make([]int, n)
	for j := range by {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		clear(both)
		for _, s := range by[j] {
			for _, i := range chosen[s] {
				both[i]++
			}
		}
		both[j] = 0
		for i, c := range both {
			if c > 0 {
				sim := float64(c) / math.Sqrt(float64(len(by[i]))*float64(len(by[j]))) * float64(c) / float64(c+shrinkage)
				x.near[j] = append(x.near[j], models.Scored{Item: int32(i), Score: float32(sim)})
			}
		}
		slices.SortFunc(x.near[j], func(a, b models.Scored) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
		})
		x.near[j] = slices.Clone(x.near[j][:min(neighbours, len(x.near[j]))])
	}
	return x, nil
}

// Score adds up the neighbours of the items of each history, each item once.
func (x *knn) Score(ctx context.Context, q []models.Query, dst []float32) error {
	clear(dst)
	for i := range q {
		if err := ctx.Err(); err != nil {
			return err
		}
		items := slices.Clone(q[i].History.Item)
		slices.Sort(items)
		for _, j := range slices.Compact(items) {
			for _, s := range x.near[j] {
				dst[i*len(x.near)+int(s.Item)] += s.Score
			}
		}
	}
	return nil
}
