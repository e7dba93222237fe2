//go:build !purego

package vec

// mulTileFMA is mulTile in assembly.
func mulTileFMA(how int, c []float32, ldc, strips, n int, a []float32, ai, ak int, b []float32, bs, bk int) {
	if level == avx512 {
		switch strips {
		case 1:
			tile16AVX512(how, &c[0], ldc, n, &a[0], ai, ak, &b[0], bs, bk)
		case 2:
			tile32AVX512(how, &c[0], ldc, n, &a[0], ai, ak, &b[0], bs, bk)
		default:
			tile48AVX512(how, &c[0], ldc, n, &a[0], ai, ak, &b[0], bs, bk)
		}
		return
	}
	switch strips {
	case 1:
		tile16AVX2(how, &c[0], ldc, n, &a[0], ai, ak, &b[0], bs, bk)
	case 2:
		tile32AVX2(how, &c[0], ldc, n, &a[0], ai, ak, &b[0], bs, bk)
	default:
		tile48AVX2(how, &c[0], ldc, n, &a[0], ai, ak, &b[0], bs, bk)
	}
}

// solveRowsFMA is solveRows in assembly.
func solveRowsFMA(c []float32, ldc, strips int, f *factors) {
	if level == avx512 {
		solveAVX512(&c[0], ldc, strips, &f.u[0], &f.inverse[0])
	} else {
		solveAVX2(&c[0], ldc, strips, &f.u[0], &f.inverse[0])
	}
}
