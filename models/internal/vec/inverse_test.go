package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestInvertSPDAgainstFloat64(t *testing.T) { atLevels(t, invertSPDAgainstFloat64) }

func invertSPDAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	for _, n := range append(sizes, 255, 256, 257) {
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
	for _, n := range []int{1, 5, 16, 65, 130} {
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
