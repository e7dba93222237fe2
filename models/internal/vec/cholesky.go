package vec

import "math"

// Cholesky overwrites the lower triangle of a (n×n, symmetric positive definite, only the lower triangle is read) with L, where
// A = L·Lᵀ. What lies above the diagonal is scratch. It reports false, with a in an undefined state, if A is not positive definite
// in float32 or holds a NaN. Left-looking in blocks of four columns (Golub & Van Loan, Matrix Computations, §4.2). O(n³/3).
func Cholesky(a []float32, n int) bool {
	j := 0
	for ; j+4 <= n; j += 4 {
		if j > 0 {
			subtractDiagonal(a, n, j)
		}
		if !factorDiagonal(a, n, j, j+4) {
			return false
		}
		i := j + 4
		for ; i+3 <= n; i += 3 {
			if j > 0 {
				subtract3x2(a, n, i, j)
				subtract3x2(a, n, i, j+2)
			}
			solveDiagonal(a, n, i, j)
			solveDiagonal(a, n, i+1, j)
			solveDiagonal(a, n, i+2, j)
		}
		for ; i < n; i++ {
			row := a[i*n:][:n]
			for c := j; c < j+4; c++ {
				row[c] -= Dot(row[:j], a[c*n:][:j])
			}
			solveDiagonal(a, n, i, j)
		}
	}
	for i := j; i < n; i++ {
		row := a[i*n:][:n]
		for c := j; c <= i; c++ {
			row[c] -= Dot(row[:j], a[c*n:][:j])
		}
	}
	return factorDiagonal(a, n, j, n)
}

// subtract3x2 takes L[i:i+3, :k]·L[j:j+2, :k]ᵀ from the block at (i, j), where k is j rounded down to a multiple of 4: the columns
// that are finished.
func subtract3x2(a []float32, n, i, j int) {
	c00, c01, c10, c11, c20, c21 := dot3x2(j&^3, a[i*n:], n, a[j*n:], n)
	r0, r1, r2 := a[i*n+j:][:2], a[(i+1)*n+j:][:2], a[(i+2)*n+j:][:2]
	r0[0] -= c00
	r0[1] -= c01
	r1[0] -= c10
	r1[1] -= c11
	r2[0] -= c20
	r2[1] -= c21
}

// subtractDiagonal takes L[j:j+4, :j]·L[j:j+4, :j]ᵀ from the lower triangle of the 4×4 block at (j, j).
func subtractDiagonal(a []float32, n, j int) {
	r0, r1, r2, r3 := a[j*n+j:][:4], a[(j+1)*n+j:][:4], a[(j+2)*n+j:][:4], a[(j+3)*n+j:][:4]
	c00, _, c10, c11, c20, c21 := dot3x2(j, a[j*n:], n, a[j*n:], n)
	_, c03, _, c13, c22, c23 := dot3x2(j, a[j*n:], n, a[(j+2)*n:], n)
	last := a[(j+3)*n:][:j]
	r0[0] -= c00
	r1[0] -= c10
	r1[1] -= c11
	r2[0] -= c20
	r2[1] -= c21
	r2[2] -= c22
	r3[0] -= c03
	r3[1] -= c13
	r3[2] -= c23
	r3[3] -= Dot(last, last)
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
