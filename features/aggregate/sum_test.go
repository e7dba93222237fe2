package aggregate

import (
	"bytes"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/features"
)

// bigSum sums without rounding (float64 spans 2,098 bits) and rounds once.
func bigSum(xs []float64) float64 {
	total := new(big.Float).SetPrec(2300)
	for _, x := range xs {
		total.Add(total, new(big.Float).SetPrec(2300).SetFloat64(x))
	}
	f, _ := total.Float64()
	return f + 0
}

// terms are n floats of one of many kinds: prices, wide ranges, cancelling pairs, subnormals, the largest.
func terms(rng *rand.Rand, n int) []float64 {
	xs := make([]float64, n)
	kind := rng.IntN(6)
	for i := range xs {
		switch kind {
		case 0:
			xs[i] = float64(rng.IntN(100_000)) / 100
		case 1:
			xs[i] = math.Ldexp(rng.Float64()-0.5, rng.IntN(1800)-900)
		case 2:
			if xs[i] = math.Ldexp(rng.Float64(), rng.IntN(200)); i%2 == 1 {
				xs[i] = -xs[i-1]
			}
		case 3:
			xs[i] = math.Ldexp(float64(rng.IntN(1<<20)), -1074+rng.IntN(40))
		case 4:
			xs[i] = features.MaxValue * (1 - 2*float64(rng.IntN(2)))
		case 5: // ties and what decides them
			xs[i] = []float64{1, 0x1p-53, 0x1p-53, 0x1p-106, -0x1p-160, 3}[rng.IntN(6)]
		}
	}
	return xs
}

func total(xs []float64) float64 {
	var t features.Total
	for _, x := range xs {
		t.Add(x)
	}
	return t.Result()
}

func exactOf(xs []float64) *Exact {
	s := &Exact{}
	for _, x := range xs {
		s.Add(x)
	}
	return s
}

// An Exact is the exact sum rounded once, whatever the order, as is features.Total; parts merge and subtract without a trace.
func TestExactEqualsBigFloatAndTotal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		xs := terms(rng, 1+rng.IntN(40))
		want := bigSum(xs)
		if got := total(xs); got != want {
			t.Fatalf("Total of %v: %v, want %v", xs, got, want)
		}
		all := exactOf(xs)
		if got := all.Result(); got != want || math.Signbit(got) != math.Signbit(want) {
			t.Fatalf("sum of %v: %v, want %v", xs, got, want)
		}
		bytesOf := all.Append(nil)
		rng.Shuffle(len(xs), func(i, j int) { xs[i], xs[j] = xs[j], xs[i] })
		cut := rng.IntN(len(xs) + 1)
		a, b := exactOf(xs[:cut]), exactOf(xs[cut:])
		before := a.Append(nil)
		a.Merge(b)
		if got := a.Append(nil); !bytes.Equal(got, bytesOf) {
			t.Fatalf("merged %v: %x, want %x", xs, got, bytesOf)
		}
		a.Subtract(b)
		if got := a.Append(nil); !bytes.Equal(got, before) {
			t.Fatalf("merged and subtracted %v: %x, want %x", xs, got, before)
		}
		a.Subtract(exactOf(xs[:cut]))
		if !a.Zero() || !bytes.Equal(a.Append(nil), []byte{0}) {
			t.Fatalf("all of %v subtracted leaves %v", xs, a.Result())
		}
		got, rest, err := DecodeSum(append(bytesOf, 7))
		if err != nil || len(rest) != 1 || got.Result() != want || !bytes.Equal(got.Append(nil), bytesOf) {
			t.Fatalf("decoded %v: %v, %d bytes left, %v", xs, got, len(rest), err)
		}
	}
}

// The hot form loses nothing: what it hands back and what it holds are the sum, and prices leave no rest.
func TestSumRest(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	var s Sum
	var xs []float64
	for range 100_000 {
		x := float64(rng.IntN(100_000)) / 100
		xs = append(xs, x)
		if rest := s.Add(x); rest != 0 {
			t.Fatalf("prices leave a rest of %g", rest)
		}
	}
	if got, want := s.Result(), bigSum(xs); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (Sum{Hi: 1, Lo: -1}).Result(); math.Signbit(got) {
		t.Error("−0")
	}
	one := Sum{}
	for _, x := range []float64{1, 0x1p-60} {
		if one.Add(x) != 0 {
			t.Fatal("two floats don't fit into two")
		}
	}
	if rest := one.Add(0x1p-200); rest != 0x1p-200 {
		t.Errorf("rest %g, want what does not fit", rest)
	}
	if got, want := AppendSum(nil, one), exactOf([]float64{0x1p-60, 1}).Append(nil); !slices.Equal(got, want) || len(got) != 17 {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestScaleIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for range 300 {
		xs := make([]float64, 20)
		for i := range xs {
			xs[i] = math.Ldexp(rng.Float64()-0.5, rng.IntN(600)-300)
		}
		exp := rng.IntN(600) - 300
		s := exactOf(xs)
		s.Scale(exp)
		for i := range xs {
			xs[i] = math.Ldexp(xs[i], exp)
		}
		if !bytes.Equal(s.Append(nil), exactOf(xs).Append(nil)) {
			t.Fatalf("scaled by 2^%d: %v, want %v", exp, s.Result(), bigSum(xs))
		}
	}
}

func FuzzDecodeSum(f *testing.F) {
	f.Add(exactOf([]float64{1, 0x1p-60, 0x1p-200}).Append(nil))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f})
	f.Add([]byte{40})
	f.Fuzz(func(t *testing.T, src []byte) {
		s, rest, err := DecodeSum(src)
		if err != nil {
			return
		}
		again, left, err := DecodeSum(s.Append(nil))
		if err != nil || len(left) != 0 || again.Result() != s.Result() || math.IsNaN(s.Result()) || len(rest) >= len(src) {
			t.Fatalf("%x: %v, then %v, %v", src, s, again, err)
		}
	})
}
