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

// appendWords appends a column of up to pieceRows words, or of more.
func appendWords(dst []byte, words []uint64) []byte {
	var room [pieceRows / 64]uint64
	marks, all, some := room[:], uint64(0), 0
	if n := (len(words) + 63) / 64; n > len(marks) {
		marks = make([]uint64, n)
	}
	for i := range (len(words) + 63) / 64 {
		mark, bitsOf := survey(words[64*i : min(64*i+64, len(words))])
		all |= bitsOf
		marks[i] = mark
		some += bits.OnesCount64(mark)
	}
	if all == 0 {
		return append(dst, 0)
	}
	low := bits.TrailingZeros64(all) / 8
	width := (bits.Len64(all)+7)/8 - low
	shift := uint(8*low) & 63
	head := byte(width | low<<lowShift)
	size := (len(words) + 7) / 8
	if size+some*width < len(words)*width {
		dst, room := extend(append(dst, head|sparseWord), size+some*width)
		putSparse(room, size, marks, words, shift, width)
		return dst
	}
	dst, out := extend(append(dst, head), len(words)*width)
	switch width {
	case 1:
		for i, x := range words {
			out[i] = byte(x >> shift)
		}
	case 8:
		for i, x := range words {
			binary.LittleEndian.PutUint64(out[8*i:8*i+8:8*i+8], x)
		}
	default:
		at := 0
		for _, x := range words {
			binary.LittleEndian.PutUint64(out[at:], x>>shift)
			at += width
		}
	}
	return dst
}

// survey returns a bit for each of up to 64 words that is not 0, and every bit that is set in one of them.
func survey(words []uint64) (mark, all uint64) {
	k := 0
	for ; len(words) >= 8; words = words[8:] { // whose bits don't wait for one another
		a, b, c, d, e, f, g, h := words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7]
		all |= a | b | c | d | e | f | g | h
		mark |= (some(a) | some(b)<<1 | some(c)<<2 | some(d)<<3 | some(e)<<4 | some(f)<<5 | some(g)<<6 | some(h)<<7) << (k & 63)
		k += 8
	}
	for _, x := range words {
		all |= x
		mark |= some(x) << (k & 63)
		k++
	}
	return mark, all
}

// some is 1, or of 0 it is 0.
func some(x uint64) uint64 { return (x | -x) >> 63 }

// extend returns dst with n bytes more, and these and 8 behind them as room: words are written whole, each over what the one before has too much.
func extend(dst []byte, n int) (extended, room []byte) {
	at := len(dst)
	dst = slices.Grow(dst, n+8)
	return dst[:at+n], dst[at : at+n+8]
}

// putSparse writes the marks, so many bytes, and the low bytes of the words that have one, shifted.
func putSparse(room []byte, size int, marks, words []uint64, shift uint, width int) {
	out, at := room[size:], 0
	for i := 0; 8*i < size; i++ {
		mark := marks[i]
		if left := size - 8*i; left >= 8 {
			binary.LittleEndian.PutUint64(room[8*i:], mark)
		} else {
			for k := range left {
				room[8*i+k] = byte(mark >> (8 * k))
			}
		}
		for of := words[64*i:]; mark != 0; mark &= mark - 1 {
			binary.LittleEndian.PutUint64(out[at:], of[bits.TrailingZeros64(mark)]>>shift)
			at += width
		}
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
	switch width {
	case 1:
		shift := uint(8*low) & 63
		for i, b := range src[:len(dst)] {
			dst[i] = uint64(b) << shift
			all |= uint64(b)
		}
		return all << shift, rest, nil
	case 8:
		for i := range dst {
			x := binary.LittleEndian.Uint64(src[8*i : 8*i+8 : 8*i+8])
			dst[i] = x
			all |= x
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
	clear(dst)
	at := 0
	for i := 0; 8*i < len(marks); i++ {
		mark := uint64(0)
		if left := marks[8*i:]; len(left) >= 8 {
			mark = binary.LittleEndian.Uint64(left)
		} else {
			for k, b := range left {
				mark |= uint64(b) << (8 * k)
			}
		}
		to := dst[64*i:]
		if len(to) < 64 {
			mark &= 1<<len(to) - 1
		}
		if more := bits.OnesCount64(mark)*width + 8; at+more > len(src) {
			for ; mark != 0; mark &= mark - 1 {
				if len(src)-at < width {
					return 0, -1
				}
				x := readWord(src[at:], width) << shift
				to[bits.TrailingZeros64(mark)] = x
				all |= x
				at += width
			}
			continue
		}
		for ; mark != 0; mark &= mark - 1 {
			x := binary.LittleEndian.Uint64(src[at:]) & mask << shift
			to[bits.TrailingZeros64(mark)] = x
			all |= x
			at += width
		}
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
