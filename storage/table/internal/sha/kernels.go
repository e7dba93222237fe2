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
