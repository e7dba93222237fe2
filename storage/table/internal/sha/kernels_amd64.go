//go:build !purego

package sha

import "golang.org/x/sys/cpu"

// best returns the quickest kernels that this processor runs, where the operating system keeps their registers.
func best() int {
	switch x := &cpu.X86; {
	case !x.HasAVX2 || shaInstructions():
		return portable
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL:
		return avx512
	}
	return avx2
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
