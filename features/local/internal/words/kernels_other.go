//go:build !amd64 || purego

package words

func best() int { return portable }

func survey(marks, words []uint64) (all uint64, some int) { return surveyLoop(marks, words) }

func pack(out []byte, words []uint64, low, width int) { packLoop(out, words, low, width) }

func packSparse(out []byte, marks, words []uint64, low, width int) {
	packSparseLoop(out, marks, words, low, width)
}

func unpack(dst []uint64, src []byte, low, width int) (all uint64) {
	return unpackLoop(dst, src, low, width)
}

func unpackSparse(dst []uint64, marks, src []byte, low, width int) (all uint64) {
	return unpackSparseLoop(dst, marks, src, low, width)
}
