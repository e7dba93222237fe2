package aggregate

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestRegister(t *testing.T) {
	for _, c := range []struct {
		hash     uint64
		register uint16
		rank     uint8
	}{{0, 0, 53}, {1, 0, 52}, {math.MaxUint64, 4095, 1}, {0x123<<52 | 1<<51, 0x123, 1}, {0x800<<52 | 1<<40, 0x800, 12}} {
		if register, rank := Register(c.hash); register != c.register || rank != c.rank {
			t.Errorf("%#x: register %d, rank %d, want %d and %d", c.hash, register, rank, c.register, c.rank)
		}
	}
}

// Over many seeds the root of the mean squared error is that of the theory, 1.04/√4096 = 1.63 %, with no bias, at every size; few values are counted right.
func TestEstimateError(t *testing.T) {
	const seeds = 60
	for _, n := range []int{1, 2, 10, 100, 1000, 4096, 10_000, 20_000, 100_000} {
		bias, square := 0.0, 0.0
		for seed := range uint64(seeds) {
			var largest [RegisterNum]uint8
			for i := range n {
				register, rank := Register(HashBits(seed<<32 + uint64(i)))
				largest[register] = max(largest[register], rank)
			}
			var c Ranks
			for _, rank := range largest {
				c[rank]++
			}
			e := float64(c.Estimate())/float64(n) - 1
			bias += e / seeds
			square += e * e / seeds
		}
		rms := math.Sqrt(square)
		t.Logf("n = %d: bias %+.3f %%, error %.3f %%", n, 100*bias, 100*rms)
		// The bounds allow for 60 seeds: three standard errors of the mean, and of the spread.
		if math.Abs(bias) > 3*0.0163/math.Sqrt(seeds) || rms > 0.0163*1.3 || n <= 2 && rms > 0 {
			t.Errorf("n = %d: bias %+.3f %%, error %.3f %%", n, 100*bias, 100*rms)
		}
	}
}

func TestEstimateEnds(t *testing.T) {
	if n := (&Ranks{0: RegisterNum}).Estimate(); n != 0 {
		t.Errorf("no values: %d", n)
	}
	if n := (&Ranks{MaxRank: RegisterNum}).Estimate(); n < math.MaxInt64/2 {
		t.Errorf("all registers full: %d", n)
	}
}

// A sliding state of a long run holds a few entries a register, and answers for its last windows as a fresh one does.
func TestRegistersOfALongRun(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	var all, late Registers
	const n, from = 200_000, 150_000
	for i := range int64(n) {
		h := rng.Uint64()
		all.Add(h, i)
		if i >= from {
			late.Add(h, i)
		}
	}
	if len(all) > 6*RegisterNum {
		t.Errorf("%d entries", len(all))
	}
	if a, b := all.Result(from), late.Result(0); a != b || math.Abs(float64(a)/(n-from)-1) > 3*0.0163 {
		t.Errorf("of the last %d values: %d, alone %d", n-from, a, b)
	}
	encoded := all.Append(nil)
	if perEntry := len(encoded) / len(all); perEntry > 7 {
		t.Errorf("%d bytes an entry", perEntry)
	}
	all.Cut(from)
	if a, b := all.Result(0), late.Result(0); a != b {
		t.Errorf("after a cut %d, want %d", a, b)
	}
}

func BenchmarkEstimate(b *testing.B) {
	var s Registers
	for i := range uint64(10_000) {
		s.Add(HashBits(i), int64(i))
	}
	for b.Loop() {
		s.Result(0)
	}
}
