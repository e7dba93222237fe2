//go:build !amd64 || purego

package vec

// There is no assembly here: level is portable, and nothing below is called.

func best() int { return portable }

const absent = "vec: there is no assembly in this build"

func mulTileFMA(how int, c []float32, ldc, strips, n int, a []float32, ai, ak int, b []float32, bs, bk int) {
	panic(absent)
}

func solveRowsFMA(c []float32, ldc, strips int, f *factors) { panic(absent) }

func dotChain(a, b []float32) float32 { panic(absent) }

func axpyFMA(dst []float32, alpha float32, x []float32) { panic(absent) }

func scaleFMA(dst []float32, alpha float32, x []float32) { panic(absent) }

func aboveFMA(at []int32, value, x []float32, groups int, limit float32, first int32) (done, found int, finite bool) {
	panic(absent)
}

func countFMA(keys []int64, limit int64) int { panic(absent) }

func takeStripsFMA(c []float32, ldc, laps int, a, b, ahead []float32) { panic(absent) }

func layFMA(strip, src []float32, lds, rows int) { panic(absent) }

func turnFMA(dst []float32, ldd int, src []float32, lds int, ahead []float32, lda int) {
	panic(absent)
}

func mirrorFMA(lower, upper []float32, ld int) { panic(absent) }
