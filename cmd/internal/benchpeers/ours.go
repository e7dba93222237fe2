package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/benchpeers/peers"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/als"
)

// task is one training of our als, in a process of its own as each peer's.
type task struct {
	Matrix string    `json:"matrix"`
	Hyper  als.Hyper `json:"hyper"`
	Seed   uint64    `json:"seed"`
	Fold   []int     `json:"fold"` // rows whose vectors are wanted
}

// outcome is what it gave.
type outcome struct {
	benchmark.Measured           // up to the end of the last epoch
	Related            float64   `json:"related"`   // seconds of what follows: the neighbours of related lists
	Epochs             []float64 `json:"epochs"`    // seconds of each
	Objective          []float64 `json:"objective"` // after each
	Folded             []float32 `json:"folded"`
	Items              []float32 `json:"items"`
}

// ours delegates a task to a child process.
func ours(ctx context.Context, t task) (*outcome, error) {
	var o outcome
	if err := benchmark.Delegate(ctx, t, &o, "-child"); err != nil {
		return nil, fmt.Errorf("train als: %w", err)
	}
	return &o, nil
}

// work is the child's side.
func work(ctx context.Context, in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	m, err := peers.ReadMatrix(t.Matrix)
	if err != nil {
		return err
	}
	o, err := train(ctx, dataset(m), t)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(o)
}

// dataset is m as events of weight 1 at one time, so that every confidence is 1.
func dataset(m *peers.Matrix) *models.Dataset {
	n := len(m.Col)
	d := &models.Dataset{
		Catalog: &models.Catalog{IDs: make([]string, m.Items)}, Kinds: []string{"had"}, Cuts: models.Cuts{Rerank: 2, Validation: 2, Test: 2, End: 2},
		Events: models.EventLog{
			Subjects: make([]uint64, m.Subjects()), Off: make([]int, len(m.Off)), Item: m.Col,
			Time: make([]int64, n), Kind: make([]uint8, n), Weight: make([]float32, n),
		},
	}
	for i := range d.Catalog.IDs {
		d.Catalog.IDs[i] = fmt.Sprintf("%09d", i)
	}
	for s := range d.Events.Subjects {
		d.Events.Subjects[s] = uint64(s)
	}
	for s, o := range m.Off {
		d.Events.Off[s] = int(o)
	}
	for e := range n {
		d.Events.Time[e], d.Events.Weight[e] = 1, 1
	}
	return d
}

// train trains als and takes the time of the fit and of each epoch.
func train(ctx context.Context, d *models.Dataset, t task) (*outcome, error) {
	o := &outcome{}
	clock := benchmark.Start()
	var last time.Time
	trainer := als.Trainer{Hyper: t.Hyper, Progress: func(_ int, objective float64) {
		now := time.Now()
		o.Objective = append(o.Objective, objective)
		if !last.IsZero() { // the first epoch's time holds what the fit prepares: it is left out
			o.Epochs = append(o.Epochs, now.Sub(last).Seconds())
		}
		last = now
		o.Measured = clock.Stop()
	}}
	model, err := trainer.Train(ctx, d, d.Cuts.End, t.Seed)
	if err != nil {
		return nil, err
	}
	o.Related = clock.Stop().Seconds - o.Seconds
	scorer, err := model.Bind(ctx, d.Catalog, nil)
	if err != nil {
		return nil, err
	}
	f, ok := scorer.(models.FolderIn)
	if !ok {
		return nil, errors.New("als folds no subject in")
	}
	dim := f.Dim()
	o.Items = make([]float32, len(d.Catalog.IDs)*dim)
	for i := range d.Catalog.IDs {
		copy(o.Items[i*dim:][:dim], f.ItemVector(int32(i)))
	}
	o.Folded = make([]float32, len(t.Fold)*dim)
	for k, s := range t.Fold {
		q := d.Query(s, d.Cuts.End, 0)
		if err := f.FoldIn(ctx, &q, o.Folded[k*dim:][:dim]); err != nil {
			return nil, err
		}
	}
	return o, nil
}
