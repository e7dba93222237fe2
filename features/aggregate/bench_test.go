package aggregate

import (
	"cmp"
	"math/rand/v2"
	"testing"
)

// What one event costs each state, on values and times as they come: 65,536 events in order of time, of 1,000 values.
func BenchmarkAdd(b *testing.B) {
	const n = 1 << 16
	rng := rand.New(rand.NewPCG(1, 1))
	value, hash := make([]float64, n), make([]uint64, n)
	for i := range value {
		value[i] = float64(1+rng.IntN(1000)) / 100
		hash[i] = HashBits(uint64(value[i] * 100))
	}
	run := func(name string, add func(i int, t int64, x float64)) {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				add(i, int64(i)*1e6, value[i%n])
			}
		})
	}
	var (
		sum     Sum
		exact   Exact
		least   Extreme
		first   Firsts[float64]
		last    Recents[float64]
		members Members
		regs    Registers
		bins    Tallies[int32]
		decay   = Decay{HalfLife: 24 * Hour}
		rests   int
	)
	run("sum", func(_ int, _ int64, x float64) {
		if sum.Add(x) != 0 {
			rests++
		}
	})
	run("exact", func(_ int, _ int64, x float64) { exact.Add(x) })
	run("decayed", func(_ int, t int64, x float64) { exact.Add(decay.Term(x, t%(90*24*Hour), 0)) })
	run("min", func(_ int, t int64, x float64) { least.Add(t, x) })
	run("first", func(_ int, t int64, x float64) { first.Add(Event[float64]{t, x}, Hour, cmp.Compare[float64]) })
	run("sequence10", func(_ int, t int64, x float64) { last.Add(Event[float64]{t, x}, 10, cmp.Compare[float64]) })
	run("distinct", func(i int, t int64, _ float64) { members.Add(hash[i%n], t) })
	run("approx_distinct", func(i int, t int64, _ float64) { regs.Add(hash[i%n], t) })
	run("quantile", func(_ int, _ int64, x float64) {
		if bins.Add(Bin(x), 1) != nil {
			b.Fatal("below zero")
		}
	})
}
