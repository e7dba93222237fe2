package vec

import "math"

// Cholesky overwrites the upper triangle of a (n×n, symmetric positive definite, only the upper triangle is read) with U, where
// A = Uᵀ·U. The rest is left alone. It reports false, with a in an undefined state, if A is not positive definite in float32 or holds a
// NaN. Left-looking in blocks of four rows (Golub & Van Loan, Matrix Computations, §4.2). O(n³/6) multiply-adds.
func Cholesky(a []float32, n int) bool {
	for i0 := 0; i0 < n; i0 += tileRows {
		rows := min(tileRows, n-i0)
		subtractFinished(a, n, i0, rows)
		if !factorRows(a, n, i0, rows) {
			return false
		}
	}
	return true
}

// subtractFinished takes U[:i0, i0:i0+rows]ᵀ·U[:i0, i0:] from the rows of a from i0 on: what the rows above, which are finished, add
// to them.
func subtractFinished(a []float32, n, i0, rows int) {
	if i0 == 0 {
		return
	}
	if n < tileCols {
		for i := i0; i < i0+rows; i++ {
			for j := i; j < n; j++ {
				var s float32
				for k := range i0 {
					s += float32(a[k*n+i] * a[k*n+j])
				}
				a[i*n+j] -= s
			}
		}
		return
	}
	// Tiles that would stick out are moved back inside, and what they compute again is left aside.
	iTile := min(i0, n-tileRows)
	var c tile
	for j0 := i0; j0 < n; j0 += tileCols {
		jTile := min(j0, n-tileCols)
		mulTile(&c, i0, a[iTile:], 1, n, a[jTile:], n)
		for i := i0; i < i0+rows; i++ {
			lo := max(i, j0)
			hi := min(j0+tileCols, n)
			if lo >= hi {
				continue
			}
			to, from := a[i*n+lo:i*n+hi], c.row(i-iTile, lo-jTile)
			for j, v := range from[:len(to)] {
				to[j] -= v
			}
		}
	}
}

// factorRows finishes rows [i0, i0+rows) of U, from which the rows above i0 are already subtracted.
func factorRows(a []float32, n, i0, rows int) bool {
	for i := i0; i < i0+rows; i++ {
		row := a[i*n+i : (i+1)*n]
		for k := i0; k < i; k++ {
			above := a[k*n+i : (k+1)*n]
			x := above[0]
			for j, v := range above[:len(row)] {
				row[j] -= float32(x * v)
			}
		}
		if !(row[0] > 0) || math.IsInf(float64(row[0]), 1) {
			return false
		}
		root := float32(math.Sqrt(float64(row[0])))
		inverse := 1 / root
		row[0] = root
		for j := range row[1:] {
			row[1+j] *= inverse
		}
	}
	return true
}

// CholeskySolve overwrites b (n) with the solution x of Uᵀ·U·x = b, for the U that Cholesky left in a. O(n²).
func CholeskySolve(u []float32, n int, b []float32) {
	b = b[:n]
	for i := range b {
		row := u[i*n+i : (i+1)*n]
		b[i] /= row[0]
		Axpy(b[i+1:], -b[i], row[1:])
	}
	for i := n - 1; i >= 0; i-- {
		row := u[i*n+i : (i+1)*n]
		b[i] = (b[i] - dot4(row[1:], b[i+1:])) / row[0]
	}
}
