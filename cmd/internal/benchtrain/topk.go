package main

import (
	"context"
	"fmt"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/modelstest/kernels"
)

// topk ranks the whole catalog for every subject. The bare product is made in pieces of as many subjects as memory for their scores allows, on
// both sides.
func (b *bench) topk(ctx context.Context) error {
	subjects, items, piece, best := 138_493, 26_744, 4096, 100
	if b.CI {
		subjects, items, piece = 700, 900, 700
	}
	peer, err := b.openblas(ctx)
	if err != nil {
		return err
	}
	for _, d := range []int{64, 128} {
		users, things, scores := make([]float32, subjects*d), make([]float32, items*d), make([]float32, piece*items)
		fill(users, 5)
		fill(things, 6)
		queries := make([]models.Query, subjects)
		for i := range queries {
			queries[i].At, queries[i].K = int64(i), best
		}
		var theirs, bare, ours, theirsCPU, bareCPU, oursCPU []float64
		for range min(b.repeats, 3) {
			pieces := float64(subjects) / float64(piece)
			facts, err := peer.run(ctx, peerTask{Do: "gemm", M: piece, N: items, K: d, Repeats: 3, Seed: 5})
			if err != nil {
				return err
			}
			theirs, theirsCPU = append(theirs, pieces*benchmark.Median(facts.Seconds)), append(theirsCPU, pieces*benchmark.Median(facts.CPU))
			m := timed(func() { kernels.Product(scores, users, things, piece, items, d) })
			bare, bareCPU = append(bare, pieces*m.Seconds), append(bareCPU, pieces*m.CPU)
			var out models.Ranking
			m = timed(func() { err = models.Rank(ctx, kernels.NewFactors(users, things, items, d), items, queries, &out) })
			if err != nil {
				return err
			}
			ours, oursCPU = append(ours, m.Seconds), append(oursCPU, m.CPU)
			if err := topOf(&out, scores, piece, items, best); err != nil {
				return err
			}
		}
		b.Say("topk", "d=%d: the best %d of %d items for %d subjects %.1f s; a bare sgemm %.1f s in OpenBLAS, %.1f s in ours: %.2f and %.2f of it (by processor time %.2f and %.2f)",
			d, best, items, subjects, benchmark.Median(ours), benchmark.Median(theirs), benchmark.Median(bare), benchmark.Median(theirs)/benchmark.Median(ours), benchmark.Median(bare)/benchmark.Median(ours),
			benchmark.Median(theirsCPU)/benchmark.Median(oursCPU), benchmark.Median(bareCPU)/benchmark.Median(oursCPU))
		b.AtLeast(fmt.Sprintf("train_topk_%d_of_sgemm", d), benchmark.Median(theirs)/benchmark.Median(ours), .75)
	}
	return nil
}

// topOf checks lists of the first subjects against their scores: the right number, and nothing left out that is better than their last.
func topOf(out *models.Ranking, scores []float32, subjects, items, best int) error {
	for s := 0; s < subjects; s += 1 + subjects/50 {
		list, values := out.Query(s)
		if len(list) != min(best, items) {
			return fmt.Errorf("subject %d has %d items", s, len(list))
		}
		row := scores[s*items:][:items]
		better := 0
		for i, v := range row {
			last := list[len(list)-1]
			if v > row[last] || v == row[last] && int32(i) <= last {
				better++
			}
		}
		if better != len(list) {
			return fmt.Errorf("subject %d: %d items are at least as good as the last of %d", s, better, len(list))
		}
		for k, i := range list {
			if values[k] != row[i] {
				return fmt.Errorf("subject %d, item %d: score %g, want %g", s, i, values[k], row[i])
			}
		}
	}
	return nil
}
