package words

// The kernels that there are.
const (
	portable = iota // loops over words
	avx512          // F, BW, DQ, VL and VBMI
)

// level is what this process uses, a variable so that tests can compare. Nothing else changes it after the start.
var level = best()
