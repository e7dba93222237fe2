package als

import (
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models/internal/vec"
)

// eigen decomposes a symmetric matrix, a = Vᵀ·diag(values)·V: row j of V (vectors, d×d) is the eigenvector of values[j]; values descend. It
// works in float64, by Householder tridiagonalization and QL with implicit shifts (Golub & Van Loan, Matrix Computations, §8.3), and gives
// the same bits at any GOMAXPROCS. It reports false if a holds a NaN or an infinity. O(d³), of which the largest part, that of the vectors,
// runs on all cores. a is left as it is.
func eigen(a []float64, d int) (values, vectors []float64, ok bool) {
	t := tridiagonal(slices.Clone(a), d)
	turns, ok := t.diagonalize()
	if !ok {
		return nil, nil, false
	}
	order := make([]int, d)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case t.diag[i] > t.diag[j]:
			return -1
		case t.diag[i] < t.diag[j]:
			return 1
		}
		return 0
	})
	rows := t.vectors(turns)
	values, vectors = make([]float64, d), make([]float64, 0, d*d)
	for k, i := range order {
		values[k] = t.diag[i]
		vectors = append(vectors, rows[i*d:][:d]...)
	}
	return values, vectors, true
}

// band is a symmetric tridiagonal matrix T with what made it: A = Q·T·Qᵀ, where Q is the product of reflections I − scale·v·vᵀ, the first
// leftmost. Reflection k leaves the first k+1 elements alone.
type band struct {
	d         int
	diag, off []float64 // off[i] couples i and i+1
	mirror    []float64 // d×d: row k holds v from element k+1 on
	scale     []float64
}

// tridiagonal overwrites a.
func tridiagonal(a []float64, d int) *band {
	t := &band{d: d, diag: make([]float64, d), off: make([]float64, d), mirror: make([]float64, d*d), scale: make([]float64, d)}
	p := make([]float64, d)
	for k := 0; k+2 < d; k++ {
		// v mirrors column k below the diagonal, which is its row as well, onto the first axis of what is left.
		v := t.mirror[k*d+k+1 : (k+1)*d]
		copy(v, a[k*d+k+1:(k+1)*d])
		norm := math.Sqrt(dotF64(v, v))
		t.off[k] = norm
		if norm == 0 {
			continue
		}
		if v[0] > 0 {
			t.off[k] = -norm
		}
		v[0] -= t.off[k]
		t.scale[k] = 2 / dotF64(v, v)
		// (I − s·v·vᵀ)·B·(I − s·v·vᵀ) = B − v·wᵀ − w·vᵀ with p = s·B·v, w = p − (s/2)(p·v)·v.
		w := p[k+1:]
		for i := range w {
			w[i] = t.scale[k] * dotF64(a[(k+1+i)*d+k+1:(k+2+i)*d], v)
		}
		half := t.scale[k] / 2 * dotF64(w, v)
		for i := range w {
			w[i] -= half * v[i]
		}
		for i := range w {
			row, x, y := a[(k+1+i)*d+k+1:(k+2+i)*d], v[i], w[i]
			for j := range row {
				row[j] -= x*w[j] + y*v[j]
			}
		}
	}
	for i := range d {
		t.diag[i] = a[i*d+i]
	}
	if d >= 2 {
		t.off[d-2] = a[(d-2)*d+d-1]
	}
	return t
}

// turn is a rotation of rows i and i+1.
type turn struct {
	i    int
	c, s float64
}

// diagonalize overwrites diag with the eigenvalues and returns the rotations that did it.
func (t *band) diagonalize() ([]turn, bool) {
	const rounds = 80 // two are usual
	var turns []turn
	d, e := t.diag, t.off
	for l := range d {
		for round := 0; ; round++ {
			m := l
			for ; m+1 < len(d); m++ {
				if size := math.Abs(d[m]) + math.Abs(d[m+1]); math.Abs(e[m]) <= 0x1p-52*size {
					break
				}
			}
			if m == l {
				break
			}
			if round == rounds {
				return nil, false
			}
			g := (d[l+1] - d[l]) / (2 * e[l])
			g = d[m] - d[l] + e[l]/(g+math.Copysign(math.Hypot(g, 1), g))
			s, c, p := 1., 1., 0.
			i := m - 1
			for ; i >= l; i-- {
				f, b := s*e[i], c*e[i]
				r := math.Hypot(f, g)
				e[i+1] = r
				if r == 0 { // it falls apart here
					d[i+1] -= p
					e[m] = 0
					break
				}
				s, c = f/r, g/r
				g = d[i+1] - p
				r = (d[i]-g)*s + 2*c*b
				p = s * r
				d[i+1] = g + p
				g = c*r - b
				turns = append(turns, turn{i, c, s})
			}
			if i >= l {
				continue
			}
			d[l] -= p
			e[l] = g
			e[m] = 0
		}
		if math.IsNaN(d[l]) || math.IsInf(d[l], 0) {
			return nil, false
		}
	}
	return turns, true
}

// vectors returns the eigenvectors of A, a row each: the turns applied to Qᵀ. Columns do not depend on each other, so they are shared out.
func (t *band) vectors(turns []turn) []float64 {
	const width = 32
	d := t.d
	rows := make([]float64, d*d)
	for i := range d {
		rows[i*d+i] = 1
	}
	// Qᵀ = … H₂·H₁·H₀, and a row of Q is H₀·H₁·H₂ … applied to an axis: column j of Qᵀ.
	chunks := (d + width - 1) / width
	vec.Chunks(chunks, func() []float64 { return make([]float64, d*width) }, func(block []float64, chunk int) {
		lo, hi := chunk*width, min(chunk*width+width, d)
		n := hi - lo
		block = block[:d*n]
		for i := range d {
			copy(block[i*n:][:n], rows[i*d+lo:])
		}
		t.reflect(block, n)
		for _, r := range turns {
			x, y := block[r.i*n:][:n], block[(r.i+1)*n:][:n]
			for j, f := range y {
				y[j] = r.s*x[j] + r.c*f
				x[j] = r.c*x[j] - r.s*f
			}
		}
		for i := range d {
			copy(rows[i*d+lo:][:n], block[i*n:][:n])
		}
	})
	return rows
}

// reflect multiplies a block of n columns with Qᵀ from the left.
func (t *band) reflect(block []float64, n int) {
	sum := make([]float64, n)
	for k := 0; k+2 < t.d; k++ {
		v := t.mirror[k*t.d+k+1 : (k+1)*t.d]
		clear(sum)
		for i, x := range v {
			for j, b := range block[(k+1+i)*n:][:n] {
				sum[j] += x * b
			}
		}
		for i, x := range v {
			row, f := block[(k+1+i)*n:][:n], t.scale[k]*x
			for j := range row {
				row[j] -= f * sum[j]
			}
		}
	}
}

func dotF64(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += x * b[i]
	}
	return s0 + s1 + (s2 + s3)
}
