package local

import (
	"encoding/binary"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// packed is a text as a key of two words, so that short texts are compared and kept as numbers are:
//
//	up to 15 bytes  the bytes, little-endian; the length is the last byte of tail
//	longer          a hash, and the length below a last byte of 255: equal words are not yet equal texts
type packed struct{ head, tail uint64 }

const (
	shortText = 15
	longText  = 255
)

// packText packs a text.
func packText(s string) packed {
	n := len(s)
	switch {
	case n > shortText:
		return packed{aggregate.HashString(s), longText<<56 | uint64(n)&(1<<56-1)}
	case n >= 8:
		return packed{load64(s), load64(s[n-8:])>>(8*(16-n)) | uint64(n)<<56}
	case n >= 4:
		return packed{uint64(load32(s)) | uint64(load32(s[n-4:]))<<(8*(n-4)), uint64(n) << 56}
	}
	head := uint64(0)
	for i := range n {
		head |= uint64(s[i]) << (8 * i)
	}
	return packed{head, uint64(n) << 56}
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// isLong reports whether the words of a text do not hold it.
func isLong(tail uint64) bool { return tail>>56 == longText }

// appendShort appends the text of two words that hold it.
func appendShort(dst []byte, head, tail uint64) []byte {
	n := int(tail >> 56)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, head), tail)
	return dst[:at+n]
}
