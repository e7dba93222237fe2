package sha

// The kernels that there are. A higher level is the quicker one.
const (
	portable = iota // crypto/sha256
	avx2
	avx512 // F, DQ, BW and VL
)

// level is what this process uses, a variable so that tests can compare. Nothing else changes it after the start.
var level = best()

// width is how many messages kernels take at once.
func width() int {
	if level == avx512 {
		return Lanes
	}
	return Lanes / 2
}

// Together is how many long messages are best hashed in one call, where other processors may hash others beside it: with half a register of AVX-512 each of
// eight takes little longer than it would alone, with AVX2 more than twice as long.
func Together() int {
	if level == portable {
		return 1
	}
	return Lanes / 2
}
