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
