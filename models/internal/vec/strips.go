package vec

// What the inverse does to its strips of 48 columns. AVX-512 does it in assembly of its own, which fetches what comes next into a cache; what other
// kernels do in its place gives the same bits.

// takeStrips takes the product of the first eight columns of a and the 48 of b, n rows of strips, from an 8×48 tile of c (row stride ldc). n is a
// multiple of 48. What ahead begins with is needed soon.
func takeStrips(c []float32, ldc, n int, a, b, ahead []float32) {
	if level != avx512 {
		mulTile(subtract, c, ldc, 3, n, a, 1, sweepCols, b, tileCols, sweepCols)
		return
	}
	_, _, _ = c[(tileRows-1)*ldc+sweepCols-1], a[(n-1)*sweepCols+tileRows-1], b[n*sweepCols-1]
	takeStripsFMA(c, ldc, n/sweepCols, a, b, ahead)
}

// lay copies `rows` rows of cols ≤ 48 elements (row stride lds) to a strip, zeros beside them.
func lay(strip, src []float32, lds, rows, cols int) {
	if level == avx512 && cols == sweepCols {
		_, _ = strip[rows*sweepCols-1], src[(rows-1)*lds+sweepCols-1]
		layFMA(strip, src, lds, rows)
		return
	}
	for r := range rows {
		row := strip[r*sweepCols:][:sweepCols]
		copy(row, src[r*lds:][:cols])
		clear(row[cols:])
	}
}

// turn sets rows×cols elements of dst (row stride ldd), both at most 16, to the transpose of those of src (row stride lds). Sixteen rows of ahead
// (row stride lda) are soon read or written.
func turn(dst []float32, ldd int, src []float32, lds, rows, cols int, ahead []float32, lda int) {
	if level == avx512 && rows == tileCols && cols == tileCols {
		_, _ = dst[(tileCols-1)*ldd+tileCols-1], src[(tileCols-1)*lds+tileCols-1]
		turnFMA(dst, ldd, src, lds, ahead, lda)
		return
	}
	for r := range rows {
		for c := range cols {
			dst[r*ldd+c] = src[c*lds+r]
		}
	}
}

// mirrorBlock negates 16×16 elements of the upper triangle of a (n×n) from row i and column j on, and copies them to the lower one.
func mirrorBlock(a []float32, n, i, j int) {
	if level == avx512 && i < j && j+tileCols <= n {
		mirrorFMA(a[j*n+i:], a[i*n+j:], n)
		return
	}
	for c := j; c < min(n, j+tileCols); c++ {
		for r := i; r < min(c+1, i+tileCols); r++ {
			v := -a[r*n+c]
			a[r*n+c], a[c*n+r] = v, v
		}
	}
}
