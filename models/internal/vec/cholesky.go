package vec

import "math"

// Cholesky overwrites the lower triangle of a (n×n, symmetric positive definite, only the lower triangle is read) with L, where
// A = L·Lᵀ. What lies above the diagonal is left alone. It reports false, with a in an undefined state, if A is not positive definite
// in float32 or holds a NaN. Left-looking in 4×4 blocks (Golub & Van Loan, Matrix Computations, §4.2). O(n³/3).
func Cholesky(a []float32, n int) bool {
	j := 0
	for ; j+4 <= n; j += 4 {
		for i := j; i+4 <= n; i += 4 {
			subtract4x4(a, n, i, j)
			if i == j {
				if !factorDiagonal(a, n, j, j+4) {
					return false
				}
				continue
			}
			for r := i; r < i+4; r++ {
				solveDiagonal(a, n, r, j)
			}
		}
		for r := n &^ 3; r < n; r++ {
			row := a[r*n:][:n]
			for c := j; c < j+4; c++ {
				row[c] -= Dot(row[:j], a[c*n:][:j])
			}
			solveDiagonal(a, n, r, j)
		}
	}
	for r := j; r < n; r++ {
		row := a[r*n:][:n]
		for c := j; c <= r; c++ {
			row[c] -= Dot(row[:j], a[c*n:][:j])
		}
	}
	return factorDiagonal(a, n, j, n)
}

// subtract4x4 takes L[i:i+4, :j]·L[j:j+4, :j]ᵀ from the block at (i, j).
func subtract4x4(a []float32, n, i, j int) {
	if j == 0 {
		return
	}
	for c := j; c < j+4; c += 2 {
		c00, c01, c10, c11, c20, c21, c30, c31 := dot4x2(j, a[i*n:], n, a[c*n:], n)
		r0, r1, r2, r3 := a[i*n+c:][:2], a[(i+1)*n+c:][:2], a[(i+2)*n+c:][:2], a[(i+3)*n+c:][:2]
		r0[0] -= c00
		r0[1] -= c01
		r1[0] -= c10
		r1[1] -= c11
		r2[0] -= c20
		r2[1] -= c21
		r3[0] -= c30
		r3[1] -= c31
	}
}

// factorDiagonal factors the block [lo, hi)² in place, its updates from columns before lo already subtracted.
func factorDiagonal(a []float32, n, lo, hi int) bool {
	for r := lo; r < hi; r++ {
		row := a[r*n:][:n]
		for c := lo; c < r; c++ {
			row[c] = (row[c] - Dot(row[lo:c], a[c*n+lo:][:c-lo])) / a[c*n+c]
		}
		v := row[r] - Dot(row[lo:r], row[lo:r])
		if !(v > 0) || math.IsInf(float64(v), 1) {
			return false
		}
		row[r] = float32(math.Sqrt(float64(v)))
	}
	return true
}

// solveDiagonal finishes L[r, j:j+4] against the factored diagonal block at j.
func solveDiagonal(a []float32, n, r, j int) {
	row := a[r*n+j:][:4]
	d0, d1, d2, d3 := a[j*n+j:][:1], a[(j+1)*n+j:][:2], a[(j+2)*n+j:][:3], a[(j+3)*n+j:][:4]
	x0 := row[0] / d0[0]
	x1 := (row[1] - float32(x0*d1[0])) / d1[1]
	x2 := (row[2] - float32(x0*d2[0]) - float32(x1*d2[1])) / d2[2]
	x3 := (row[3] - float32(x0*d3[0]) - float32(x1*d3[1]) - float32(x2*d3[2])) / d3[3]
	row[0], row[1], row[2], row[3] = x0, x1, x2, x3
}

// CholeskySolve overwrites b (n) with the solution x of L·Lᵀ·x = b, for the L that Cholesky left in l. O(n²).
func CholeskySolve(l []float32, n int, b []float32) {
	b = b[:n]
	for i := range b {
		row := l[i*n:][:i+1]
		b[i] = (b[i] - Dot(row[:i], b[:i])) / row[i]
	}
	for i := n - 1; i >= 0; i-- {
		row := l[i*n:][:i+1]
		x := b[i] / row[i]
		b[i] = x
		Axpy(b[:i], -x, row[:i])
	}
}

// Cholesky64 is Cholesky in float64, unblocked: for explanations and for rows that float32 cannot factor.
func Cholesky64(a []float64, n int) bool {
	for i := range n {
		row := a[i*n:][:n]
		for j := range i {
			row[j] = (row[j] - dotF64(row[:j], a[j*n:][:j])) / a[j*n+j]
		}
		v := row[i] - dotF64(row[:i], row[:i])
		if !(v > 0) || math.IsInf(v, 1) {
			return false
		}
		row[i] = math.Sqrt(v)
	}
	return true
}

// CholeskySolve64 is CholeskySolve in float64.
func CholeskySolve64(l []float64, n int, b []float64) {
	b = b[:n]
	for i := range b {
		row := l[i*n:][:i+1]
		b[i] = (b[i] - dotF64(row[:i], b[:i])) / row[i]
	}
	for i := n - 1; i >= 0; i-- {
		row := l[i*n:][:i+1]
		x := b[i] / row[i]
		b[i] = x
		for j := range i {
			b[j] -= float64(x * row[j])
		}
	}
}

func dotF64(a, b []float64) float64 {
	b = b[:len(a)]
	var s float64
	for i, x := range a {
		s += float64(x * b[i])
	}
	return s
}
