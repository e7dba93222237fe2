package local

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// Columns of words in a block: what all of them have in common in zeros is left out, and nothing else is done, so that a column is read about as fast
// as it is copied.
//
//	0                  all words are 0
//	w | l<<4           w bytes of each, behind l bytes of zeros: words >> 8·l, little-endian
//	w | l<<4 | 1<<7    a bit for each word that is not 0, least bit first; then w bytes of each of those
const (
	widthMask  = 1<<4 - 1
	lowShift   = 4
	lowMask    = 1<<3 - 1
	sparseWord = 1 << 7
)

// appendWords appends a column.
func appendWords(dst []byte, words []uint64) []byte {
	all, some := uint64(0), 0
	for _, x := range words {
		all |= x
		some += int((x | -x) >> 63)
	}
	if all == 0 {
		return append(dst, 0)
	}
	low := bits.TrailingZeros64(all) / 8
	width := (bits.Len64(all)+7)/8 - low
	head := byte(width | low<<lowShift)
	if marks := (len(words) + 7) / 8; marks+some*width < len(words)*width {
		dst = append(dst, head|sparseWord)
		at := len(dst)
		dst = append(dst, make([]byte, marks)...)
		for i, x := range words {
			if x != 0 {
				dst[at+i/8] |= 1 << (i % 8)
				dst = appendWord(dst, x>>(8*low), width)
			}
		}
		return dst
	}
	dst = append(dst, head)
	if width == 8 {
		for _, x := range words {
			dst = binary.LittleEndian.AppendUint64(dst, x)
		}
		return dst
	}
	for _, x := range words {
		dst = appendWord(dst, x>>(8*low), width)
	}
	return dst
}

// appendWord appends the low bytes of a word.
func appendWord(dst []byte, x uint64, width int) []byte {
	return binary.LittleEndian.AppendUint64(dst, x)[:len(dst)+width]
}

// readWords reads what appendWords wrote of so many words as dst has, and returns the bytes behind it. All is every bit that is set in one of them.
func readWords(dst []uint64, src []byte) (all uint64, rest []byte, err error) {
	if len(src) == 0 {
		return 0, nil, aggregate.ErrDamaged
	}
	head := int(src[0])
	src = src[1:]
	if head == 0 {
		clear(dst)
		return 0, src, nil
	}
	width, low := head&widthMask, head>>lowShift&lowMask
	if width == 0 || width+low > 8 {
		return 0, nil, aggregate.ErrDamaged
	}
	if head&sparseWord != 0 {
		marks := (len(dst) + 7) / 8
		if len(src) < marks {
			return 0, nil, aggregate.ErrDamaged
		}
		mark := src[:marks]
		src = src[marks:]
		for i := range dst {
			dst[i] = 0
			if mark[i/8]>>(i%8)&1 == 0 {
				continue
			}
			if len(src) < width {
				return 0, nil, aggregate.ErrDamaged
			}
			dst[i] = readWord(src, width) << (8 * low)
			all |= dst[i]
			src = src[width:]
		}
		return all, src, nil
	}
	n := len(dst) * width
	if len(src) < n {
		return 0, nil, aggregate.ErrDamaged
	}
	rest = src[n:]
	mask := uint64(math.MaxUint64) >> (64 - 8*width)
	shift := uint(8*low) & 63
	whole := min(len(dst), max(0, (len(src)-8)/width+1)) // words behind which there are 8 bytes to be read at once
	if len(src) < 8 {
		whole = 0
	}
	at := 0
	for i := range dst[:whole] {
		x := binary.LittleEndian.Uint64(src[at:]) & mask << shift
		dst[i] = x
		all |= x
		at += width
	}
	for i := whole; i < len(dst); i++ {
		dst[i] = readWord(src[at:], width) << shift
		all |= dst[i]
		at += width
	}
	return all, rest, nil
}

// readWord reads a word of some bytes.
func readWord(src []byte, width int) uint64 {
	if len(src) >= 8 {
		return binary.LittleEndian.Uint64(src) & (math.MaxUint64 >> (64 - 8*width))
	}
	x := uint64(0)
	for i, b := range src[:width] {
		x |= uint64(b) << (8 * i)
	}
	return x
}
