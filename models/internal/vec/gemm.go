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
		for ; i+4 <= m; i += 4 {
			ai := a[i*lda:]
			d0, d1, d2, d3 := dst[i*ldd:], dst[(i+1)*ldd:], dst[(i+2)*ldd:], dst[(i+3)*ldd:]
			j := j0
			for ; j+2 <= j1; j += 2 {
				d0[j], d0[j+1], d1[j], d1[j+1], d2[j], d2[j+1], d3[j], d3[j+1] = dot4x2(k, ai, lda, b[j*k:], k)
			}
			for ; j < j1; j++ {
				bj := b[j*k:][:k]
				d0[j], d1[j] = Dot(ai[:k], bj), Dot(ai[lda:][:k], bj)
				d2[j], d3[j] = Dot(ai[2*lda:][:k], bj), Dot(ai[3*lda:][:k], bj)
			}
		}
		// Rows left over: the roles of A and B change places, so that a single query still runs at the speed of the tile.
		for ; i < m; i++ {
			ai, di := a[i*lda:][:k], dst[i*ldd:]
			j := j0
			for ; j+4 <= j1; j += 4 {
				di[j], _, di[j+1], _, di[j+2], _, di[j+3], _ = dot4x2(k, b[j*k:], k, ai, 0)
			}
			for ; j < j1; j++ {
				di[j] = Dot(b[j*k:][:k], ai)
			}
		}
	}
}
