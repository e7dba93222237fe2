package kernels

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

func numbers(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func dot(a, b []float32) float64 {
	var s float64
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

func TestProductAndFactors(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const m, n, k = 130, 77, 32
	a, b, c := numbers(r, m*k), numbers(r, n*k), make([]float32, m*n)
	Product(c, a, b, m, n, k)
	for i := range m {
		for j := range n {
			if want := dot(a[i*k:][:k], b[j*k:][:k]); math.Abs(float64(c[i*n+j])-want) > 1e-4 {
				t.Fatalf("element %d,%d is %g, want %g", i, j, c[i*n+j], want)
			}
		}
	}
	f := NewFactors(a, b, n, k)
	order := []int64{5, 6, 7, 3, 129}
	q := make([]models.Query, len(order))
	for i, at := range order {
		q[i].At = at
	}
	got := make([]float32, len(q)*n)
	if err := f.Score(t.Context(), q, got); err != nil {
		t.Fatal(err)
	}
	for i, at := range order {
		for j := range n {
			if got[i*n+j] != c[int(at)*n+j] {
				t.Fatalf("subject %d, item %d: %g, want %g", at, j, got[i*n+j], c[int(at)*n+j])
			}
		}
	}
}

func TestRowGrams(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	const n, d = 50, 32
	x := numbers(r, n*d)
	var lists [][]int32
	var want float64
	for length := range 300 {
		list := make([]int32, length)
		for i := range list {
			list[i] = int32(r.IntN(n))
			row := x[int(list[i])*d:][:d]
			want += dot(row, row)
		}
		lists = append(lists, list)
	}
	if got := RowGrams(x, d, lists, true); math.Abs(got-want) > 1e-5*want {
		t.Errorf("sum of the diagonals %g, want %g", got, want)
	}
	if got := RowGrams(x, d, lists, false); got != 0 { // panels of zeros
		t.Errorf("sum of nothing %g", got)
	}
}
