package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/ease"
)

func init() {
	kind("easefit", doFitEASE)
}

// easeTask is one fit.
type easeTask struct {
	Path  string `json:"path"`
	World world  `json:"world"`
	Items int    `json:"items"`
}

// easeFacts are what it took.
type easeFacts struct {
	benchmark.Measured
	Memory   int64 `json:"memory"`   // peak bytes beyond the data set's
	Artifact int64 `json:"artifact"` // bytes
}

func doFitEASE(ctx context.Context, t easeTask) (*easeFacts, error) {
	m, err := t.World.read(t.Path)
	if err != nil {
		return nil, err
	}
	d := m.dataset()
	debug.FreeOSMemory()
	before, err := resident()
	if err != nil {
		return nil, err
	}
	h := ease.Defaults()
	h.Items = t.Items
	clock := benchmark.Start()
	model, err := (&ease.Trainer{Hyper: h}).Train(ctx, d, d.Cuts.Test, 1)
	if err != nil {
		return nil, err
	}
	facts := &easeFacts{Measured: clock.Stop()}
	facts.Memory = facts.RSS - before
	runtime.KeepAlive(d)
	files, _, err := models.Encode(model)
	if err != nil {
		return nil, err
	}
	for _, body := range files {
		facts.Artifact += int64(len(body))
	}
	return facts, nil
}

// fitEASE measures one fit in a process of its own. The bound is 1.3 matrices of float32: the Gram matrix becomes the inverse, and X, the pairs
// that are common enough, and the model must fit into what is left.
func fitEASE(b *bench, ctx context.Context) error {
	w, items := movielens20M, 10_000
	if b.CI {
		w, items = small, 500
	}
	path, err := b.ensure(w)
	if err != nil {
		return err
	}
	var facts easeFacts
	if err := delegate(ctx, "easefit", easeTask{path, w, items}, &facts); err != nil {
		return err
	}
	matrix := int64(items) * int64(items) * 4
	b.Say("easefit", "%d of %d items inverted together, %d pairs: %.1f s (%.1f s of processor time)", items, w.Items, w.Pairs, facts.Seconds, facts.CPU)
	b.Say("", "peak %.0f MB beyond the data set, the matrix %.0f MB: %.3f; artifact %.0f MB", mb(facts.Memory), mb(matrix), float64(facts.Memory)/float64(matrix), mb(facts.Artifact))
	b.AtMost("train_ease_memory", float64(facts.Memory)/float64(matrix), 1.3)
	return nil
}
