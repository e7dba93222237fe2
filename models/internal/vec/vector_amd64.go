//go:build !purego

package vec

// The assembly of dot.go and top.go. Slices are not empty, and of the length that their functions say.

func dotChain(a, b []float32) float32 { return dotFMA(&a[0], &b[0], len(a)) }

func axpyFMA(dst []float32, alpha float32, x []float32) {
	if level == avx512 {
		axpyAVX512(&dst[0], alpha, &x[0], len(x))
	} else {
		axpyAVX2(&dst[0], alpha, &x[0], len(x))
	}
}

func scaleFMA(dst []float32, alpha float32, x []float32) {
	if level == avx512 {
		scaleAVX512(&dst[0], alpha, &x[0], len(x))
	} else {
		scaleAVX2(&dst[0], alpha, &x[0], len(x))
	}
}

func aboveFMA(at []int32, value, x []float32, groups int, limit float32, first int32) (done, found int, finite bool) {
	var odd int
	if level == avx512 {
		done, found, odd = aboveAVX512(&at[0], &value[0], len(value), &x[0], groups, limit, first)
	} else {
		done, found, odd = aboveAVX2(&at[0], &value[0], len(value), &x[0], groups, limit, first)
	}
	return done, found, odd == 0
}

func countFMA(keys []int64, limit int64) int {
	if level == avx512 {
		return countAVX512(&keys[0], len(keys)/8, limit)
	}
	return countAVX2(&keys[0], len(keys)/8, limit)
}
