package local

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

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
	shift := uint(8*low) & 63
	head := byte(width | low<<lowShift)
	marks := (len(words) + 7) / 8
	if size := marks + some*width; size < len(words)*width {
		dst, room := extend(append(dst, head|sparseWord), size)
		putSparse(room[:marks], room[marks:], words, shift, width)
		return dst
	}
	dst, room := extend(append(dst, head), len(words)*width)
	if width == 8 {
		for i, x := range words {
			binary.LittleEndian.PutUint64(room[8*i:], x)
		}
		return dst
	}
	for i, x := range words {
		binary.LittleEndian.PutUint64(room[i*width:], x>>shift)
	}
	return dst
}

// extend returns dst with n bytes more, and these and 8 behind them as room: words are written whole, each over what the one before has too much.
func extend(dst []byte, n int) (extended, room []byte) {
	at := len(dst)
	dst = slices.Grow(dst, n+8)
	return dst[:at+n], dst[at : at+n+8]
}

// putSparse writes a bit for each word that is not 0, and the low bytes of those, shifted.
func putSparse(marks, room []byte, words []uint64, shift uint, width int) {
	at := 0
	for i := range marks {
		mark := uint64(0)
		for k, x := range words[8*i : min(8*i+8, len(words))] {
			binary.LittleEndian.PutUint64(room[at:], x>>shift)
			some := (x | -x) >> 63
			mark |= some << k
			at += width & -int(some)
		}
		marks[i] = byte(mark)
	}
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
		all, n := readSparse(dst, src[:marks], src[marks:], 8*low, width)
		if n < 0 {
			return 0, nil, aggregate.ErrDamaged
		}
		return all, src[marks+n:], nil
	}
	n := len(dst) * width
	if len(src) < n {
		return 0, nil, aggregate.ErrDamaged
	}
	rest = src[n:]
	if width == 8 {
		for i := range dst {
			dst[i] = binary.LittleEndian.Uint64(src[8*i:])
			all |= dst[i]
		}
		return all, rest, nil
	}
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

// readSparse reads the words that have a bit in marks, and returns how many bytes these took; −1 if src has fewer.
func readSparse(dst []uint64, marks, src []byte, low, width int) (all uint64, n int) {
	shift, mask := uint(low)&63, uint64(math.MaxUint64)>>(64-8*width)
	at, i := 0, 0
	for ; i < len(dst) && at+8 <= len(src); i++ { // without a branch that depends on a mark
		some := uint64(marks[i/8]>>(i%8)) & 1
		x := binary.LittleEndian.Uint64(src[at:]) & mask << shift & -some
		dst[i] = x
		all |= x
		at += width & -int(some)
	}
	for ; i < len(dst); i++ {
		if dst[i] = 0; marks[i/8]>>(i%8)&1 == 0 {
			continue
		}
		if len(src)-at < width {
			return 0, -1
		}
		dst[i] = readWord(src[at:], width) << shift
		all |= dst[i]
		at += width
	}
	return all, at
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
