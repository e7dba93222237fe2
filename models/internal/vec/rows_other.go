//go:build !amd64 || purego

package vec

// There is no assembly here, and nothing below is called (kernels_other.go).

func dotsFMA(y, x []float32, stride int, p []float32) { panic(absent) }

func addRowsFMA(z, x []float32, stride int, w []float32) { panic(absent) }

func gatherFMA(dst []float32, stride int, x []float32, d int, col []int32, scale []float32) {
	panic(absent)
}

func mulToFMA(dst, a, b []float32) { panic(absent) }

func advanceFMA(w, r []float32, f float32, p, q, inverse []float32) float32 { panic(absent) }

func directFMA(p, inverse, r []float32, f float32) { panic(absent) }
