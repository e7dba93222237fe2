//go:build !purego

package sha

import "golang.org/x/sys/cpu"

// best returns the quickest kernels that this processor runs, where the operating system keeps their registers, and for how many messages at least they
// are quicker than crypto/sha256: without instructions for SHA-256 for three, since fewer leave most of a register idle; with them eight lanes come to
// 1.4 of its rate if all of them are used, and AVX2 never does.
func best() (level, fewest int) {
	x := &cpu.X86
	wide := x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL
	switch own := x.HasAVX2 && shaInstructions(); {
	case !x.HasAVX2 || own && !wide:
		return portable, 0
	case own:
		return avx512, 6
	case wide:
		return avx512, 3
	}
	return avx2, 3
}

// kernel takes blocks of the first lanes into their states; others may change.
func kernel(s *state, from *[Lanes]*byte, blocks, lanes int) {
	switch {
	case level == avx512 && lanes > 8:
		blocks16AVX512((*[8][Lanes]uint32)(s), from, blocks)
	case level == avx512:
		blocks8AVX512((*[8][Lanes]uint32)(s), from, blocks)
	default:
		blocks8AVX2((*[8][Lanes]uint32)(s), from, blocks)
	}
}
