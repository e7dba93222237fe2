//go:build !purego

package vec

// The assembly of strips.go, for AVX-512.

func takeStripsFMA(c []float32, ldc, laps int, a, b, ahead []float32) {
	takeStripsAVX512(&c[0], ldc, laps, &a[0], &b[0], &ahead[0])
}

func layFMA(strip, src []float32, lds, rows int) { layAVX512(&strip[0], &src[0], lds, rows) }

func turnFMA(dst []float32, ldd int, src []float32, lds int, ahead []float32, lda int) {
	turnAVX512(&dst[0], ldd, &src[0], lds, &ahead[0], lda)
}

func mirrorFMA(lower, upper []float32, ld int) {
	_, _ = lower[(tileCols-1)*ld+tileCols-1], upper[(tileCols-1)*ld+tileCols-1]
	mirrorAVX512(&lower[0], &upper[0], ld)
}
