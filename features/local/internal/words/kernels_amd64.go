//go:build !purego

package words

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// best returns the quickest kernels that this processor runs, where the operating system keeps their registers.
func best() int {
	x := &cpu.X86
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VBMI && x.HasPOPCNT && x.HasBMI2 {
		return avx512
	}
	return portable
}

// Each of these is the loop of its name (words.go), which says what is asked for. Kernels write up to 64 bytes behind that, of which there must be room,
// and read nothing else.

func survey(marks, words []uint64) (all uint64, some int) {
	if level == portable {
		return surveyLoop(marks, words)
	}
	return surveyAVX512(unsafe.SliceData(marks), unsafe.SliceData(words), len(words))
}

func pack(out []byte, words []uint64, low, width int) {
	if level == portable {
		packLoop(out, words, low, width)
		return
	}
	packAVX512(unsafe.SliceData(out), unsafe.SliceData(words), len(words), low, width)
}

func packSparse(out []byte, marks, words []uint64, low, width int) {
	if level == portable {
		packSparseLoop(out, marks, words, low, width)
		return
	}
	packSparseAVX512(unsafe.SliceData(out), unsafe.SliceData(words), unsafe.SliceData(marks), len(words), low, width)
}

func unpack(dst []uint64, src []byte, low, width int) (all uint64) {
	if level == portable {
		return unpackLoop(dst, src, low, width)
	}
	return unpackAVX512(unsafe.SliceData(dst), unsafe.SliceData(src), len(dst), low, width)
}

func unpackSparse(dst []uint64, marks, src []byte, low, width int) (all uint64) {
	if level == portable {
		return unpackSparseLoop(dst, marks, src, low, width)
	}
	return unpackSparseAVX512(unsafe.SliceData(dst), unsafe.SliceData(marks), unsafe.SliceData(src), len(dst), low, width)
}
