//go:build !purego

package sha

import "golang.org/x/sys/cpu"

// available reports whether this machine runs kernels, whether it would choose them or not.
func available(level int) bool {
	x := &cpu.X86
	return level == portable || x.HasAVX2 && (level == avx2 || x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL)
}
