package vec

import "math"

// Cholesky overwrites the upper triangle of a (n×n, symmetric positive definite, only the upper triangle is read) with U, where
// A = Uᵀ·U. Elements up to 15 columns left of the diagonal may be overwritten too. It reports false, with a in an undefined state, if A is not
// positive definite in float32 or holds a NaN. Left-looking in blocks of eight rows (Golub & Van Loan, Matrix Computations, §4.2). O(n³/6)
// multiply-adds.
func Cholesky(a []float32, n int) bool {
	if n < tileCols {
		return choleskySmall(a, n)
	}
	for i := 0; i < n; i += tileRows {
		var u factors
		if !choleskyRows(a, n, i, &u) {
			return false
		}
	}
	return true
}

// choleskySmall is Cholesky of a matrix that is smaller than a tile.
func choleskySmall(a []float32, n int) bool {
	for i := range n {
		row := a[i*n+i : (i+1)*n]
		if !(row[0] > 0) || math.IsInf(float64(row[0]), 1) {
			return false
		}
		root := float32(math.Sqrt(float64(row[0])))
		row[0] = root
		for j := range row[1:] {
			row[1+j] /= root
		}
		for k := i + 1; k < n; k++ {
			Axpy(a[k*n+k:(k+1)*n], -row[k-i], row[k-i:])
		}
	}
	return true
}

// choleskyRows finishes eight rows of U, or those from i on that are left, and sets u to their diagonal block; those above are finished.
func choleskyRows(a []float32, n, i int, u *factors) bool {
	// Whole strips from the diagonal's on are worked on where they are, and what is left of columns beside. If fewer than eight rows are left,
	// that is all.
	j, whole := i/tileCols*tileCols, n/tileCols*tileCols
	strips, left := (whole-j)/tileCols, n-whole
	for at := 0; at < strips; {
		w := widest(strips - at)
		c := j + at*tileCols
		mulTile(subtract, a[i*n+c:], n, w, i, a[i:], 1, n, a[c:], tileCols, n)
		at += w
	}
	var beside [tileRows * tileCols]float32
	rows := min(tileRows, n-i)
	if left > 0 {
		for r := range rows {
			copy(beside[r*tileCols:][:left], a[(i+r)*n+whole:])
		}
		mulTile(subtract, beside[:], tileCols, 1, i, a[i:], 1, n, a[whole:], tileCols, n)
	}
	diagonal, ld := a[i*n+i:], n
	if strips == 0 {
		diagonal, ld = beside[i-whole:], tileCols
	}
	if !u.factor(diagonal, rows, ld) {
		return false
	}
	if strips > 0 {
		solveRows(a[i*n+j:], n, strips, u)
	}
	if left > 0 {
		solveRows(beside[:], tileCols, 1, u)
		for r := range rows {
			copy(a[(i+r)*n+whole:][:left], beside[r*tileCols:])
		}
	}
	return true
}

// factors is U of a diagonal block of eight rows: its elements right of the diagonal, and the inverse of those on it.
type factors struct {
	u       [tileRows * tileRows]float32
	inverse [tileRows]float32
}

// factor sets f to the factor of the block at a (rows×rows, row stride lda, of which the upper triangle is read), zeros beyond `rows`.
func (f *factors) factor(a []float32, rows, lda int) bool {
	for i := range rows {
		copy(f.u[i*tileRows+i:(i+1)*tileRows], a[i*lda+i:i*lda+rows])
	}
	for i := range rows {
		row := f.u[i*tileRows:][:tileRows]
		pivot := row[i]
		if !(pivot > 0) || math.IsInf(float64(pivot), 1) {
			return false
		}
		inverse := 1 / float32(math.Sqrt(float64(pivot)))
		f.inverse[i] = inverse
		for k := i + 1; k < tileRows; k++ {
			row[k] *= inverse
		}
		for r := i + 1; r < rows; r++ {
			x, to := row[r], f.u[r*tileRows:][:tileRows]
			for k := r; k < tileRows; k++ {
				to[k] -= float32(x * row[k])
			}
		}
	}
	return true
}
