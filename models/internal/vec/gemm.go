package vec

// GemmNT sets dst = A·Bᵀ: A is m×k with row stride lda, B is n×k with row stride k, dst is m×n with row stride ldd. O(m·n·k).
func GemmNT(dst []float32, ldd int, a []float32, lda int, b []float32, m, n, k int) {
	if m == 0 || n == 0 {
		return
	}
	// A strip of B's rows stays in cache while all rows of A pass over it.
	const strip = 64
	for j0 := 0; j0 < n; j0 += strip {
		j1 := min(j0+strip, n)
		i := 0
		for ; i+3 <= m; i += 3 {
			ai := a[i*lda:]
			d0, d1, d2 := dst[i*ldd:], dst[(i+1)*ldd:], dst[(i+2)*ldd:]
			j := j0
			for ; j+2 <= j1; j += 2 {
				d0[j], d0[j+1], d1[j], d1[j+1], d2[j], d2[j+1] = dot3x2(k, ai, lda, b[j*k:], k)
			}
			if j < j1 {
				bj := b[j*k:][:k]
				d0[j], d1[j], d2[j] = Dot(ai[:k], bj), Dot(ai[lda:][:k], bj), Dot(ai[2*lda:][:k], bj)
			}
		}
		// One or two rows are left over: the roles of A and B change places.
		if i < m {
			ai, second := a[i*lda:], 0
			d0, d1 := dst[i*ldd:], dst[i*ldd:]
			if i+1 < m {
				second, d1 = lda, dst[(i+1)*ldd:]
			}
			j := j0
			for ; j+3 <= j1; j += 3 {
				d0[j], d1[j], d0[j+1], d1[j+1], d0[j+2], d1[j+2] = dot3x2(k, b[j*k:], k, ai, second)
			}
			for ; j < j1; j++ {
				d0[j], d1[j] = Dot(b[j*k:][:k], ai[:k]), Dot(b[j*k:][:k], ai[second:][:k])
			}
		}
	}
}
