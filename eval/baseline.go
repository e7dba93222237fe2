package eval

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/models"
)

// Weighted is one part of a Blend.
type Weighted struct {
	Scorer models.Scorer
	Weight float64 // > 0
}

// Blend ranks by Σ weight · scaled score, where each part's scores are first brought to [0, 1] within each query, as scores of different models
// share no unit. It makes the baseline that any recommender of repeat purchases has to beat: personal frequency, blended with popularity for what a
// person never bought. A part that gives all items one score adds nothing.
// items is the size of the catalog.
func Blend(items int, parts ...Weighted) models.Scorer { return &blend{items: items, parts: parts} }

type blend struct {
	items   int
	parts   []Weighted
	scratch sync.Pool // *[]float32
}

// Score implements models.Scorer.
func (b *blend) Score(ctx context.Context, q []models.Query, dst []float32) error {
	n := len(q) * b.items
	if len(dst) != n {
		return fmt.Errorf("blend: room for %d scores, want %d × %d", len(dst), len(q), b.items)
	}
	buf, _ := b.scratch.Get().(*[]float32)
	if buf == nil || cap(*buf) < n {
		buf = new([]float32)
		*buf = make([]float32, n)
	}
	defer b.scratch.Put(buf)
	part := (*buf)[:n]
	clear(dst)
	for _, p := range b.parts {
		if err := p.Scorer.Score(ctx, q, part); err != nil {
			return err
		}
		for i := range q {
			row := i * b.items
			addScaled(dst[row:row+b.items], part[row:row+b.items], p.Weight)
		}
	}
	return nil
}

// addScaled adds weight·(x − min)/(max − min) to dst. If x holds a NaN or an infinity so does dst, and ranking reports it.
func addScaled(dst, x []float32, weight float64) {
	lo, hi := slices.Min(x), slices.Max(x)
	if lo == hi {
		return
	}
	scale := weight / (float64(hi) - float64(lo))
	for i, v := range x {
		dst[i] += float32((float64(v) - float64(lo)) * scale)
	}
}
