package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/models/als"
)

func init() {
	kind("ials", fitIALS)
}

// ialsTask is one training.
type ialsTask struct {
	Path   string `json:"path"`
	World  world  `json:"world"`
	Dim    int    `json:"dim"`
	Epochs int    `json:"epochs"`
	Solver string `json:"solver"`
}

// ialsFacts are what it took.
type ialsFacts struct {
	Seconds   []float64 `json:"seconds"`   // of each epoch but the first, which begins before the pairs are counted
	CPU       []float64 `json:"cpu"`       // processor seconds of the same
	Objective []float64 `json:"objective"` // after each epoch
	Memory    int64     `json:"memory"`    // peak bytes beyond the data set's
}

// ialsEpochs is after how many epochs objectives are compared.
const ialsEpochs = 8

func fitIALS(ctx context.Context, t ialsTask) (*ialsFacts, error) {
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
	facts := &ialsFacts{}
	clock := benchmark.Start()
	h := als.Defaults()
	h.Dim, h.Epochs, h.Solver, h.Saturation, h.MinSubjects = t.Dim, t.Epochs, t.Solver, 0, 1
	trainer := als.Trainer{Hyper: h, Progress: func(epoch int, objective float64) {
		facts.Objective = append(facts.Objective, objective)
		if took := clock.Stop(); epoch > 1 {
			facts.Seconds, facts.CPU = append(facts.Seconds, took.Seconds), append(facts.CPU, took.CPU)
		}
		clock = benchmark.Start()
	}}
	if _, err := trainer.Train(ctx, d, d.Cuts.Test, 1); err != nil {
		return nil, err
	}
	_, peak := benchmark.Usage()
	facts.Memory = peak - before
	runtime.KeepAlive(d)
	return facts, nil
}

// resident returns the bytes that the process holds, and makes them its peak from now on where the kernel allows that.
func resident() (int64, error) {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // else the peak is that of reading the pairs, a little more
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, line, ok := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(line)
	if !ok || len(fields) == 0 {
		return 0, fmt.Errorf("/proc/self/status names no VmRSS: memory is measured on Linux")
	}
	kb, err := strconv.ParseInt(fields[0], 10, 64)
	return kb * 1024, err
}

// ials trains with the solver that the rule chooses, and exactly. Speed is the median of the epochs after the first.
func ials(b *bench, ctx context.Context) error {
	w, dims, solver := movielens20M, []int{64, 128}, "auto"
	if b.CI {
		w, dims, solver = small, []int{32, 64}, "cg" // by the rule, so small a world is solved exactly
	}
	began := time.Now()
	path, err := b.ensure(w)
	if err != nil {
		return err
	}
	b.Say("ials", "%d subjects × %d items, %d pairs, seed %d (%.0f s)", w.Subjects, w.Items, w.Pairs, w.Seed, time.Since(began).Seconds())
	goals := map[int]float64{64: 2.5, 128: 6}
	for _, d := range dims {
		var fast, exact ialsFacts
		if err := delegate(ctx, "ials", ialsTask{path, w, d, ialsEpochs, solver}, &fast); err != nil {
			return err
		}
		if err := delegate(ctx, "ials", ialsTask{path, w, d, ialsEpochs, "cholesky"}, &exact); err != nil {
			return err
		}
		ratio := fast.Objective[ialsEpochs-1] / exact.Objective[ialsEpochs-1]
		if ratio > 1.02 {
			return fmt.Errorf("d=%d: objective %g after %d epochs, exact %g", d, fast.Objective[ialsEpochs-1], ialsEpochs, exact.Objective[ialsEpochs-1])
		}
		bound := w.bound(d)
		b.Say("", "d=%-4d %.3f s an epoch (%.2f s of processor time), exact %.3f s (%.2f); objective %.6g, exact %.6g: ratio %.5f", d,
			benchmark.Median(fast.Seconds), benchmark.Median(fast.CPU), benchmark.Median(exact.Seconds), benchmark.Median(exact.CPU), fast.Objective[ialsEpochs-1], exact.Objective[ialsEpochs-1], ratio)
		b.Say("", "       peak %.0f MB beyond the data set, exact %.0f MB; bound %.0f MB", mb(fast.Memory), mb(exact.Memory), mb(bound))
		b.AtMost(fmt.Sprintf("train_ials_%d_epoch_s", d), benchmark.Median(fast.Seconds), goals[d])
		b.AtMost(fmt.Sprintf("train_ials_%d_objective", d), ratio, 1.001)
		b.AtMost(fmt.Sprintf("train_ials_%d_memory", d), float64(fast.Memory)/float64(bound), 1)
	}
	return nil
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// bound is 1.4 × (CSR + CSC + factors) + 64 MB. The pairs' confidences are equal, so they take no memory in either.
func (w world) bound(d int) int64 {
	pairs := 2*4*int64(w.Pairs) + 8*int64(w.Subjects+w.Items)
	factors := 4 * int64(d) * int64(w.Subjects+w.Items)
	return (pairs+factors)*14/10 + 64e6
}
