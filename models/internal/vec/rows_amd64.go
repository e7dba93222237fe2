//go:build !purego

package vec

// The assembly of rows.go. Slices are not empty, and of the length that their functions say.

func dotsFMA(y, x []float32, stride int, p []float32) {
	if level == avx512 {
		dotsAVX512(&y[0], len(y), &x[0], stride, &p[0], len(p)/Lanes)
	} else {
		dotsAVX2(&y[0], len(y), &x[0], stride, &p[0], len(p)/Lanes)
	}
}

func addRowsFMA(z, x []float32, stride int, w []float32) {
	if level == avx512 {
		addRowsAVX512(&z[0], len(z)/Lanes, &x[0], stride, &w[0], len(w))
	} else {
		addRowsAVX2(&z[0], len(z)/Lanes, &x[0], stride, &w[0], len(w))
	}
}

func gatherFMA(dst []float32, stride int, x []float32, d int, col []int32, scale []float32) {
	// A thousand bytes are on their way at a time, about as many lines as a core waits for: the first rows of a short list are waited for anyway, and
	// more ahead makes them more (8 % of the time of 144 rows at d = 64; a list of a thousand takes the same).
	ahead := max(2, 256/d)
	var s *float32
	if scale != nil {
		s = &scale[0]
	}
	if level == avx512 {
		gatherAVX512(&dst[0], stride, &x[0], d/Lanes, &col[0], len(col), ahead, s)
	} else {
		gatherAVX2(&dst[0], stride, &x[0], d/Lanes, &col[0], len(col), ahead, s)
	}
}

func mulToFMA(dst, a, b []float32) {
	if level == avx512 {
		mulToAVX512(&dst[0], &a[0], &b[0], len(dst)/Lanes)
	} else {
		mulToAVX2(&dst[0], &a[0], &b[0], len(dst)/Lanes)
	}
}

func advanceFMA(w, r []float32, f float32, p, q, inverse []float32) float32 {
	if level == avx512 {
		return advanceAVX512(&w[0], &r[0], f, &p[0], &q[0], &inverse[0], len(w)/Lanes)
	}
	return advanceAVX2(&w[0], &r[0], f, &p[0], &q[0], &inverse[0], len(w)/Lanes)
}

func directFMA(p, inverse, r []float32, f float32) {
	if level == avx512 {
		directAVX512(&p[0], &inverse[0], &r[0], f, len(p)/Lanes)
	} else {
		directAVX2(&p[0], &inverse[0], &r[0], f, len(p)/Lanes)
	}
}
