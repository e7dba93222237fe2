// Package kernels lets benchmarks outside of models run its kernels, which are internal.
//
// # Design
//
// Thin on purpose: a function is a kernel on all cores, or on one where it says so, in the way that the models call it. What times them and sets
// them beside a peer is cmd/internal/benchtrain.
package kernels

import (
	"context"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// Name returns which kernels this process uses and their class.
func Name() string { return vec.Kernels() + " (" + vec.Class() + ")" }

// Gram sets dst (d×d) to XᵀX of x (n×d).
func Gram(dst []float64, x []float32, n, d int) { vec.Gram(dst, x, n, d) }

// RowGrams computes Σ f·fᵀ over the rows of fixed (…×d, d a multiple of 16) that each list names, as a solver does for each of its rows: they
// are gathered into a panel of at most vec.PanelWidth, and multiplied out. With gather false the panel's rows are those of the last list and
// nothing is gathered. The sum of all diagonals is returned, so that nothing is left out. On all cores.
func RowGrams(fixed []float32, d int, lists [][]int32, gather bool) float64 {
	type memory struct{ panel, c, ones []float32 }
	const chunks = 256
	sums := make([]float64, chunks)
	vec.Chunks(chunks, func() memory {
		m := memory{make([]float32, vec.PanelWidth*vec.Pitch(d)), make([]float32, d*d), make([]float32, vec.PanelWidth)}
		for i := range m.ones {
			m.ones[i] = 1
		}
		return m
	}, func(m memory, chunk int) {
		lo, hi := vec.Span(len(lists), chunks, chunk)
		for _, list := range lists[lo:hi] {
			clear(m.c)
			for len(list) > 0 {
				n := min(len(list), vec.PanelWidth)
				if gather {
					vec.Gather(m.panel, vec.Pitch(d), fixed, d, list[:n], m.ones[:n])
				}
				vec.Syrk(m.c, d, m.panel, n, d, vec.Pitch(d))
				list = list[n:]
			}
			for i := range d {
				sums[chunk] += float64(m.c[i*d+i])
			}
		}
	})
	var total float64
	for _, s := range sums {
		total += s
	}
	return total
}

// Product sets c (m×n) to A·Bᵀ of a (m×k) and b (n×k).
func Product(c, a, b []float32, m, n, k int) {
	const rows = 64
	packed := vec.Pack(b, n, k)
	vec.Chunks((m+rows-1)/rows, func() struct{} { return struct{}{} }, func(_ struct{}, chunk int) {
		lo, hi := chunk*rows, min(m, (chunk+1)*rows)
		packed.MulNT(c[lo*n:], n, a[lo*k:], k, hi-lo)
	})
}

// Invert is vec.InvertSPD.
func Invert(a []float32, n int) bool { return vec.InvertSPD(a, n) }

// Factors scores queries by the product of factors, subject At of a query with each item: a models.Scorer without a fold-in.
type Factors struct {
	d, items int
	subjects []float32
	packed   *vec.Packed
}

// NewFactors keeps subjects (…×d) and a copy of items (n×d).
func NewFactors(subjects, items []float32, n, d int) *Factors {
	return &Factors{d: d, items: n, subjects: subjects, packed: vec.Pack(items, n, d)}
}

// Score implements models.Scorer.
func (f *Factors) Score(_ context.Context, q []models.Query, dst []float32) error {
	f.multiply(dst, q, 0, f.items)
	return nil
}

// multiply sets dst to the scores of items [lo, hi).
func (f *Factors) multiply(dst []float32, q []models.Query, lo, hi int) {
	part := f.packed.Part(lo, hi)
	for i := 0; i < len(q); {
		// Subjects that follow one another need no copy.
		n := 1
		for i+n < len(q) && q[i+n].At == q[i].At+int64(n) {
			n++
		}
		part.MulNT(dst[i*(hi-lo):], hi-lo, f.subjects[int(q[i].At)*f.d:], f.d, n)
		i += n
	}
}

// ScoreTiles implements models.TileScorer.
func (f *Factors) ScoreTiles(_ context.Context, q []models.Query, tile func(first, width int, scores []float32) error) error {
	const width = 1008 // 21 of the widest tiles: with as many rows as Rank asks for, a quarter of a core's second cache
	scores := make([]float32, len(q)*width)
	for lo := 0; lo < f.items; lo += width {
		hi := min(f.items, lo+width)
		f.multiply(scores, q, lo, hi)
		if err := tile(lo, hi-lo, scores); err != nil {
			return err
		}
	}
	return nil
}
