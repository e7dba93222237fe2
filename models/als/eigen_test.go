package als

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// Vᵀ·diag(values)·V gives the matrix back, V is orthogonal, values descend, and nothing depends on the number of processors.
func TestEigen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 8))
	for _, d := range []int{1, 2, 3, 4, 7, 16, 33, 70} {
		for name, draw := range map[string]func(i, j int) float64{
			"full":     func(int, int) float64 { return r.NormFloat64() },
			"zero":     func(int, int) float64 { return 0 },
			"diagonal": func(i, j int) float64 { return max(0, float64(3-4*abs(i-j))) * float64(i%3) },
			"one":      func(int, int) float64 { return 1 },
			"huge":     func(i, j int) float64 { return 1e30 / float64(i+j+1) },
			"tiny":     func(i, j int) float64 { return 1e-30 / float64(i+j+1) },
		} {
			a, size := make([]float64, d*d), 0.
			for i := range d {
				for j := range i + 1 {
					a[i*d+j] = draw(i, j)
					a[j*d+i] = a[i*d+j]
					size = max(size, math.Abs(a[i*d+j]))
				}
			}
			before := slices.Clone(a)
			values, v, ok := eigen(a, d)
			if !ok {
				t.Fatalf("%s d=%d: not decomposed", name, d)
			}
			if !slices.Equal(a, before) {
				t.Errorf("%s d=%d: the matrix was overwritten", name, d)
			}
			for i := range d {
				if i > 0 && values[i] > values[i-1] {
					t.Errorf("%s d=%d: values ascend at %d", name, d, i)
				}
				for j := range d {
					var back, unit float64
					for k := range d {
						back += v[k*d+i] * values[k] * v[k*d+j]
						unit += v[i*d+k] * v[j*d+k]
					}
					if math.Abs(back-a[i*d+j]) > 1e-13*float64(d)*size {
						t.Fatalf("%s d=%d: element %d,%d is %g, was %g", name, d, i, j, back, a[i*d+j])
					}
					if i == j {
						unit--
					}
					if math.Abs(unit) > 1e-13*float64(d) {
						t.Fatalf("%s d=%d: rows %d and %d are %g from orthonormal", name, d, i, j, unit)
					}
				}
			}
			old := runtime.GOMAXPROCS(3)
			_, again, _ := eigen(a, d)
			runtime.GOMAXPROCS(old)
			if !slices.Equal(again, v) {
				t.Errorf("%s d=%d: other vectors at another GOMAXPROCS", name, d)
			}
		}
	}
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		a := make([]float64, 16)
		a[6], a[9] = x, x
		if _, _, ok := eigen(a, 4); ok {
			t.Errorf("a matrix with %g is decomposed", x)
		}
	}
}

func abs(i int) int { return max(i, -i) }

func BenchmarkEigen(b *testing.B) {
	for _, d := range []int{64, 128, 512} {
		r, a := rand.New(rand.NewPCG(1, 8)), make([]float64, d*d)
		for i := range d {
			for j := range i + 1 {
				a[i*d+j] = r.NormFloat64()
				a[j*d+i] = a[i*d+j]
			}
		}
		b.Run("d="+string(rune('0'+d/100))+string(rune('0'+d/10%10))+string(rune('0'+d%10)), func(b *testing.B) {
			for b.Loop() {
				eigen(a, d)
			}
		})
	}
}
