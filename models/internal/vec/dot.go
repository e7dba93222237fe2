package vec

import "runtime"

// Class names the kernels that this process uses. Two processes of one class give the same bits for the same inputs.
// The architecture is part of it because package math and float64 code may round differently there.
func Class() string { return "portable-" + runtime.GOARCH }

// Dot returns Σ a[i]·b[i] in float32. a and b have equal length.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s float32
	for i, x := range a {
		s += float32(x * b[i])
	}
	return s
}

// Dot64 returns Σ a[i]·b[i] of float32 vectors in float64, in four interleaved partial sums. a and b have equal length.
func Dot64(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	for len(a) >= 4 {
		s0 += float64(float64(a[0]) * float64(b[0]))
		s1 += float64(float64(a[1]) * float64(b[1]))
		s2 += float64(float64(a[2]) * float64(b[2]))
		s3 += float64(float64(a[3]) * float64(b[3]))
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += float64(float64(x) * float64(b[i]))
	}
	return (s0 + s1) + (s2 + s3)
}

// Axpy adds alpha·x to dst. x and dst have equal length.
func Axpy(dst []float32, alpha float32, x []float32) {
	dst = dst[:len(x)]
	for i, v := range x {
		dst[i] += float32(alpha * v)
	}
}

// dot3x2 returns the dot products of three rows of a with two rows of b over their first n elements: cij = a_i·b_j.
// Row i of a begins at i·lda, row j of b at j·ldb. Six accumulators are what the compiler keeps in registers: 3×3 and 4×2 spill.
func dot3x2(n int, a []float32, lda int, b []float32, ldb int) (c00, c01, c10, c11, c20, c21 float32) {
	a0 := a[:n]
	a1 := a[lda:][:n]
	a2 := a[2*lda:][:n]
	b0 := b[:n]
	b1 := b[ldb:][:n]
	for k, x := range b0 {
		y := b1[k]
		u := a0[k]
		c00 += float32(u * x)
		c01 += float32(u * y)
		u = a1[k]
		c10 += float32(u * x)
		c11 += float32(u * y)
		u = a2[k]
		c20 += float32(u * x)
		c21 += float32(u * y)
	}
	return
}
