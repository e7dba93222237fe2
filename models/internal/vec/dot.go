package vec

// Dot returns Σ a[i]·b[i] in float32, in ascending order: the bits of an element of a product (Packed). a and b have equal length. Each step
// waits for the one before: it is for a few products, not for many.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	if level != portable && len(a) > 0 {
		return dotChain(a, b)
	}
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
	if level != portable && len(x) > 0 {
		axpyFMA(dst, alpha, x)
		return
	}
	for i, v := range x {
		dst[i] += float32(alpha * v)
	}
}

// scaleTo sets dst to alpha·x, of equal length.
func scaleTo(dst []float32, alpha float32, x []float32) {
	dst = dst[:len(x)]
	if level != portable && len(x) > 0 {
		scaleFMA(dst, alpha, x)
		return
	}
	for i, v := range x {
		dst[i] = alpha * v
	}
}
