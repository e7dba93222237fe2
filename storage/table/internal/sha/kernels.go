package sha

// The kernels that there are. A higher level is the quicker one.
const (
	portable = iota // crypto/sha256
	avx2
	avx512 // F, DQ, BW and VL
)

// level is what this process uses, for so many messages at least: variables so that tests can compare. Nothing else changes them after the start.
var level, fewest = best()

// width is how many messages kernels take at once.
func width() int {
	if level == avx512 {
		return Lanes
	}
	return Lanes / 2
}

// Together is how many of n long messages are best hashed in one call, where other processors may hash others beside it: with half a register of AVX-512 each of
// eight takes little longer than it would alone, with AVX2 more than twice as long, and where the processor has instructions of its own a few are quicker by these.
func Together(n int) int {
	if level == portable || n < fewest {
		return 1
	}
	return Lanes / 2
}
