package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/models/modelstest/kernels"
)

// gram times what a solver sums up for each of its rows, and once for all, in every core's processor time and by the clock. Its speed is told
// beside that of a square sgemm, the most that OpenBLAS makes of the machine.
func (b *bench) gram(ctx context.Context) error {
	size, rows, lists, length, dims := 2048, 138_493, 20_000, 144, []int{64, 128}
	if b.CI {
		size, rows, lists = 256, 3000, 300
	}
	peer, err := b.openblas(ctx)
	if err != nil {
		return err
	}
	square := peerTask{Do: "gemm", M: size, N: size, K: size, Repeats: 3, Seed: 1}
	flop := 2 * math.Pow(float64(size), 3)
	a, c, product := make([]float32, size*size), make([]float32, size*size), make([]float32, size*size)
	fill(a, 1)
	fill(c, 2)
	speeds := map[string][]float64{}
	add := func(name string, flop float64, m benchmark.Measured) {
		speeds[name] = append(speeds[name], flop/m.Seconds/1e9)
		speeds[name+" cpu"] = append(speeds[name+" cpu"], flop/m.CPU/1e9)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range b.repeats {
		// Sides take turns, so that what else the machine does falls on both.
		facts, err := peer.run(ctx, square)
		if err != nil {
			return err
		}
		for i, s := range facts.Seconds {
			add("sgemm", flop, benchmark.Measured{Seconds: s, CPU: facts.CPU[i]})
		}
		add("product", flop, timed(func() { kernels.Product(product, a, c, size, size, size) }))
		if err := same("product", []float64{float64(product[0]), float64(product[len(product)-1])}, facts.Answer); err != nil {
			return err
		}
		for _, d := range dims {
			x := make([]float32, rows*d)
			fill(x, 3)
			wanted := make([][]int32, lists)
			for i := range wanted {
				wanted[i] = make([]int32, length)
				for k := range wanted[i] {
					wanted[i][k] = int32(r.IntN(rows))
				}
			}
			sum, each := make([]float64, d*d), float64(d*(d+1))
			add(fmt.Sprintf("dense %d", d), float64(rows)*each, timed(func() { kernels.Gram(sum, x, rows, d) }))
			add(fmt.Sprintf("rows %d", d), float64(lists*length)*each, timed(func() { kernels.RowGrams(x, d, wanted, false) }))
			add(fmt.Sprintf("gathered %d", d), float64(lists*length)*each, timed(func() { kernels.RowGrams(x, d, wanted, true) }))
		}
	}
	peak, peakCPU := benchmark.Median(speeds["sgemm"]), benchmark.Median(speeds["sgemm cpu"])
	b.Say("gram", "kernels %s; OpenBLAS sgemm of %d³: %.0f GFLOP/s, %.0f a second of processor time; our product of the same: %.2f of it, %.2f",
		kernels.Name(), size, peak, peakCPU, benchmark.Median(speeds["product"])/peak, benchmark.Median(speeds["product cpu"])/peakCPU)
	least := math.Inf(1)
	for _, d := range dims {
		for _, name := range []string{"dense", "rows", "gathered"} {
			key := fmt.Sprintf("%s %d", name, d)
			share := benchmark.Median(speeds[key]) / peak
			b.Say("gram", "d=%d, %-8s %.0f GFLOP/s, %.2f of sgemm (%.2f by processor time)", d, name, benchmark.Median(speeds[key]), share, benchmark.Median(speeds[key+" cpu"])/peakCPU)
			if name == "rows" {
				least = min(least, share)
			}
		}
	}
	b.Say("gram", "rows are Gram matrices of %d gathered rows each, on %d cores; gathered adds fetching them from anywhere among %d, and dense is XᵀX of all of these: both wait for memory",
		length, runtime.GOMAXPROCS(0), rows)
	b.AtLeast("train_gram_of_sgemm", least, .60)
	return nil
}

// fill sets x to numbers in [-1, 1) from a seed, as the peer does.
func fill(x []float32, seed uint64) {
	for i := range x {
		seed = seed*6364136223846793005 + 1442695040888963407
		x[i] = float32(int32(seed>>32)) / (1 << 31)
	}
}

// timed runs f once.
func timed(f func()) benchmark.Measured {
	clock := benchmark.Start()
	f()
	return clock.Stop()
}

// same refuses answers that are more than float32's rounding apart.
func same(what string, ours, theirs []float64) error {
	if slices.EqualFunc(ours, theirs, func(a, b float64) bool { return math.Abs(a-b) <= 2e-4*(1+math.Abs(b)) }) {
		return nil
	}
	return fmt.Errorf("%s: we have %g, OpenBLAS has %g", what, ours, theirs)
}
