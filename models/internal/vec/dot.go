package vec

import "runtime"

// Class names the kernels that this process uses. Two processes of one class give the same bits for the same inputs.
// The architecture is part of it because package math and float64 code may round differently there; assembly is not, as it rounds as the
// portable kernels do.
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

// dot4 is Dot in four interleaved partial sums, which do not wait for one another.
func dot4(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += float32(a[0] * b[0])
		s1 += float32(a[1] * b[1])
		s2 += float32(a[2] * b[2])
		s3 += float32(a[3] * b[3])
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += float32(x * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}
