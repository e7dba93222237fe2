package vec

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCholeskySolve64OfManyRowsIsThatOfEach(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	for _, n := range []int{1, 2, 5, 16, 33} {
		l := spd(r, n)
		if !Cholesky64(l, n) {
			t.Fatalf("n=%d: refused", n)
		}
		for m := range 11 {
			b := make([]float64, m*n)
			for i := range b {
				b[i] = r.NormFloat64()
			}
			want := slices.Clone(b)
			for i := range m {
				CholeskySolve64(l, n, want[i*n:][:n], 1)
			}
			if CholeskySolve64(l, n, b, m); !slices.Equal(b, want) {
				t.Errorf("n=%d: %d rows at once have other solutions", n, m)
			}
		}
	}
}

func TestMulNT64(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	for _, m := range []int{0, 1, 3} {
		for n := range 10 {
			for _, k := range []int{0, 1, 2, 7, 32} {
				a, b, dst := make([]float64, m*k), make([]float64, n*k), make([]float64, m*n)
				for i := range a {
					a[i] = r.NormFloat64()
				}
				for i := range b {
					b[i] = r.NormFloat64()
				}
				for i := range dst {
					dst[i] = math.NaN()
				}
				MulNT64(dst, a, b, m, n, k)
				for i := range m {
					for j := range n {
						var want float64
						for l := range k {
							want += float64(a[i*k+l] * b[j*k+l])
						}
						if dst[i*n+j] != want {
							t.Fatalf("m=%d n=%d k=%d: element %d,%d = %g, want %g", m, n, k, i, j, dst[i*n+j], want)
						}
					}
				}
			}
		}
	}
}
