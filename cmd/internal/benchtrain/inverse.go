package main

import (
	"context"
	"fmt"
	"math"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/models/modelstest/kernels"
)

func init() {
	kind("inverse", invert)
}

// inverseTask is an inversion in a process of its own.
type inverseTask struct {
	N    int    `json:"n"`
	Seed uint64 `json:"seed"`
}

type inverseFacts struct {
	benchmark.Measured
	Before int64     `json:"before"` // peak resident bytes before the matrix was made
	Answer []float64 `json:"answer"`
}

func invert(_ context.Context, t inverseTask) (f inverseFacts, err error) {
	_, f.Before = benchmark.Usage()
	n := t.N
	a := make([]float32, n*n)
	fill(a, t.Seed)
	for i := range n { // the lower triangle, as the peer has it, is our upper one
		for j := range i {
			a[j*n+i] = a[i*n+j] / float32(math.Sqrt(float64(n)))
		}
		a[i*n+i] += 4
	}
	ok := false
	f.Measured = timed(func() { ok = kernels.Invert(a, n) })
	if !ok {
		return f, fmt.Errorf("a matrix of %d rows is refused", n)
	}
	f.Answer = []float64{float64(a[0]), float64(a[(n-1)*n]), float64(a[n*n-1])}
	return f, nil
}

// inverse inverts a matrix of 10,000 items on both sides, in turn.
func (b *bench) inverse(ctx context.Context) error {
	n := 10_000
	if b.CI {
		n = 300
	}
	peer, err := b.openblas(ctx)
	if err != nil {
		return err
	}
	var ours, theirs, oursCPU, theirsCPU, share []float64
	for range min(b.repeats, 3) {
		facts, err := peer.run(ctx, peerTask{Do: "inverse", N: n, Repeats: 1, Seed: 7})
		if err != nil {
			return err
		}
		var own inverseFacts
		if err := delegate(ctx, "inverse", inverseTask{N: n, Seed: 7}, &own); err != nil {
			return err
		}
		if err := same("inverse", own.Answer, facts.Answer); err != nil {
			return err
		}
		theirs, theirsCPU = append(theirs, facts.Seconds[0]), append(theirsCPU, facts.CPU[0])
		ours, oursCPU = append(ours, own.Seconds), append(oursCPU, own.CPU)
		share = append(share, float64(own.RSS-own.Before)/(4*float64(n)*float64(n)))
	}
	flop := math.Pow(float64(n), 3) * 1e-9
	b.Say("inverse", "n=%d: %.2f s (%.0f GFLOP/s), OpenBLAS's potrf and potri %.2f s (%.0f); by processor time %.2f s, %.2f s: %.2f of it",
		n, benchmark.Median(ours), flop/benchmark.Median(ours), benchmark.Median(theirs), flop/benchmark.Median(theirs), benchmark.Median(oursCPU), benchmark.Median(theirsCPU), benchmark.Median(theirsCPU)/benchmark.Median(oursCPU))
	b.Say("inverse", "memory at most %.2f of the matrix", benchmark.Median(share))
	b.AtLeast("train_ease_of_openblas", benchmark.Median(theirs)/benchmark.Median(ours), .90)
	b.AtMost("train_ease_kernel_memory", benchmark.Median(share), 1.3)
	return nil
}
