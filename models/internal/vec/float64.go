package vec

import "math"

// Cholesky64 overwrites the lower triangle of a (n×n, symmetric positive definite, only the lower triangle is read) with L, where
// A = L·Lᵀ, in float64 and unblocked: for explanations and for rows that float32 cannot factor. It reports false, with a in an
// undefined state, if A is not positive definite or holds a NaN. O(n³/6) multiply-adds.
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

// CholeskySolve64 overwrites each row b of the m×n matrix b with the solution x of L·Lᵀ·x = b, for the L that Cholesky64 left in l. A
// row's bits do not depend on the other rows. O(m·n²).
func CholeskySolve64(l []float64, n int, b []float64, m int) {
	for m >= 4 { // four rows share each element of L, and their sums do not wait for one another
		solve4(l, n, b[:n], b[n:][:n], b[2*n:][:n], b[3*n:][:n])
		b, m = b[4*n:], m-4
	}
	for ; m > 0; m-- {
		solve4(l, n, b[:n], nil, nil, nil)
		b = b[n:]
	}
}

// solve4 solves for four rows, or for b0 alone if the others are nil.
func solve4(l []float64, n int, b0, b1, b2, b3 []float64) {
	if b1 == nil {
		rest := make([]float64, 3*n)
		b1, b2, b3 = rest[:n], rest[n:2*n], rest[2*n:]
	}
	for i := range n {
		row := l[i*n:][:i+1]
		x0, x1, x2, x3 := b0[:len(row)], b1[:len(row)], b2[:len(row)], b3[:len(row)]
		var s0, s1, s2, s3 float64
		for j, v := range row[:i] {
			s0 += float64(v * x0[j])
			s1 += float64(v * x1[j])
			s2 += float64(v * x2[j])
			s3 += float64(v * x3[j])
		}
		x0[i], x1[i], x2[i], x3[i] = (x0[i]-s0)/row[i], (x1[i]-s1)/row[i], (x2[i]-s2)/row[i], (x3[i]-s3)/row[i]
	}
	for i := n - 1; i >= 0; i-- {
		row := l[i*n:][:i+1]
		x0, x1, x2, x3 := b0[:len(row)], b1[:len(row)], b2[:len(row)], b3[:len(row)]
		v0, v1, v2, v3 := x0[i]/row[i], x1[i]/row[i], x2[i]/row[i], x3[i]/row[i]
		x0[i], x1[i], x2[i], x3[i] = v0, v1, v2, v3
		for j, v := range row[:i] {
			x0[j] -= float64(v0 * v)
			x1[j] -= float64(v1 * v)
			x2[j] -= float64(v2 * v)
			x3[j] -= float64(v3 * v)
		}
	}
}

// MulNT64 sets dst = A·Bᵀ in float64: A is m×k, B is n×k, dst is m×n, all without gaps. Each element is a sum in ascending order.
// O(m·n·k).
func MulNT64(dst, a, b []float64, m, n, k int) {
	for i := range m {
		ai, row := a[i*k:][:k], dst[i*n:][:n]
		j := 0
		for ; j+4 <= n; j += 4 {
			b0, b1, b2, b3 := b[j*k:][:k], b[(j+1)*k:][:k], b[(j+2)*k:][:k], b[(j+3)*k:][:k]
			var s0, s1, s2, s3 float64
			for l, v := range ai {
				s0 += float64(v * b0[l])
				s1 += float64(v * b1[l])
				s2 += float64(v * b2[l])
				s3 += float64(v * b3[l])
			}
			row[j], row[j+1], row[j+2], row[j+3] = s0, s1, s2, s3
		}
		for ; j < n; j++ {
			row[j] = dotF64(ai, b[j*k:][:k])
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
