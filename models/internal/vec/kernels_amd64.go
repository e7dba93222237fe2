//go:build !purego

package vec

import "golang.org/x/sys/cpu"

// best returns the quickest kernels that this processor runs, where the operating system keeps their registers.
func best() int {
	switch x := &cpu.X86; {
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasFMA && x.HasAVX2 && x.HasPOPCNT && x.HasBMI1 && x.HasBMI2:
		return avx512
	case x.HasFMA && x.HasAVX2 && x.HasPOPCNT && x.HasBMI1 && x.HasBMI2:
		return avx2
	}
	return portable
}
