package vec

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

func TestInvertSPDAgainstFloat64(t *testing.T) { atLevels(t, invertSPDAgainstFloat64) }

func invertSPDAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	for _, n := range append(slices.Clone(sizes), 239, 240, 241, 288, 500) {
		a := spd(r, n)
		got := make([]float32, n*n)
		for i := range n {
			for j := range n {
				got[i*n+j] = float32(a[i*n+j])
				if j < i { // must never be read
					got[i*n+j] = float32(math.NaN())
				}
			}
		}
		if !InvertSPD(got, n) {
			t.Fatalf("n=%d: refused", n)
		}
		l, want := a, make([]float64, n*n)
		if !Cholesky64(l, n) {
			t.Fatal("the test's own matrix is bad")
		}
		for i := range n {
			want[i*n+i] = 1
		}
		CholeskySolve64(l, n, want, n)
		largest := 0.0
		for _, v := range want {
			largest = max(largest, math.Abs(v))
		}
		for i := range got {
			if !(math.Abs(float64(got[i])-want[i]) <= 1e-5*largest) {
				t.Fatalf("n=%d: element %d,%d is %g, want %g", n, i/n, i%n, got[i], want[i])
			}
		}
	}
}

func TestInvertSPDRefuses(t *testing.T) { atLevels(t, invertSPDRefuses) }

func invertSPDRefuses(t *testing.T) {
	for _, n := range []int{1, 5, 16, 65, 130, 500} {
		for _, bad := range []float64{0, -1, math.NaN(), math.Inf(1)} {
			for _, at := range []int{0, n / 2, n - 1} {
				a := make([]float32, n*n)
				for i := range n {
					a[i*n+i] = 1
				}
				a[at*n+at] = float32(bad)
				if InvertSPD(a, n) {
					t.Errorf("n=%d: took %g at %d", n, bad, at)
				}
			}
		}
	}
}

// The same bits at any GOMAXPROCS, over several blocks and areas, and with AVX2 and AVX-512.
func TestInvertSPDIsOfItsClass(t *testing.T) {
	defer func(old int) { level = old }(level)
	r := rand.New(rand.NewPCG(14, 1))
	const n = 1100
	before := make([]float32, n*n)
	for i := range n {
		for j := i; j < n; j++ {
			before[i*n+j] = (r.Float32() - .5) / 16
		}
		before[i*n+i] = 2 + r.Float32()
	}
	var first []float32
	for l := max(portable, min(avx2, best())); l <= best(); l++ {
		level = l
		for _, procs := range []int{1, 2, 3, 8} {
			old := runtime.GOMAXPROCS(procs)
			got := slices.Clone(before)
			ok := InvertSPD(got, n)
			runtime.GOMAXPROCS(old)
			if !ok {
				t.Fatal("refused")
			}
			if first == nil {
				first = got
			} else if !sameBits(got, first) {
				t.Errorf("%s: other bits at GOMAXPROCS %d", levels[l], procs)
			}
		}
	}
	// A·A⁻¹ = I, for a few columns.
	for _, j := range []int{0, 47, 48, 700, n - 1} {
		for i := range n {
			var s float64
			for k := range n {
				s += float64(before[min(i, k)*n+max(i, k)]) * float64(first[k*n+j])
			}
			if i == j {
				s--
			}
			if math.Abs(s) > 1e-4 {
				t.Fatalf("A·A⁻¹ differs from the identity by %g at %d,%d", s, i, j)
			}
		}
	}
}

func BenchmarkInvertSPD(b *testing.B) {
	n := 2000
	r := rand.New(rand.NewPCG(1, 1))
	before, a := make([]float32, n*n), make([]float32, n*n)
	for i := range n {
		for j := i; j < n; j++ {
			before[i*n+j] = (r.Float32() - .5) / 16
		}
		before[i*n+i] = 4
	}
	b.ReportAllocs()
	for b.Loop() {
		copy(a, before)
		if !InvertSPD(a, n) {
			b.Fatal("refused")
		}
	}
	gflops(b, float64(n)*float64(n)*float64(n))
}
