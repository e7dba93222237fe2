package words

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/rapport-ml/rapport/features/aggregate"
)

const (
	widthMask = 1<<4 - 1
	lowShift  = 4
	lowMask   = 1<<3 - 1
	sparse    = 1 << 7
)

// usual is how many words a column has at most for Append to allocate nothing but what it appends.
const usual = 1024

// Append appends a column.
func Append(dst []byte, words []uint64) []byte {
	var room [usual / 64]uint64
	marks := room[:]
	if n := (len(words) + 63) / 64; n <= len(room) {
		marks = marks[:n]
	} else {
		marks = make([]uint64, n)
	}
	all, some := survey(marks, words)
	if all == 0 {
		return append(dst, 0)
	}
	low := bits.TrailingZeros64(all) / 8
	width := (bits.Len64(all)+7)/8 - low
	head := byte(width | low<<lowShift)
	size := (len(words) + 7) / 8
	if size+some*width < len(words)*width {
		dst, out := extend(append(dst, head|sparse), size+some*width)
		for i, mark := range marks {
			binary.LittleEndian.PutUint64(out[8*i:], mark)
		}
		packSparse(out[size:], marks, words, low, width)
		return dst
	}
	dst, out := extend(append(dst, head), len(words)*width)
	pack(out, words, low, width)
	return dst
}

// behind is how many bytes a kernel may write behind those that it was asked for.
const behind = 64

// extend returns dst with n bytes more, and these and those behind them as room.
func extend(dst []byte, n int) (extended, room []byte) {
	at := len(dst)
	dst = slices.Grow(dst, n+behind)
	return dst[:at+n], dst[at : at+n+behind]
}

// Read reads what Append wrote of so many words as dst has, and returns the bytes behind it. All is every bit that is set in one of them. Other bytes are
// aggregate.ErrDamaged, or a column that Append would have written otherwise.
func Read(dst []uint64, src []byte) (all uint64, rest []byte, err error) {
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
	if head&sparse == 0 {
		n := len(dst) * width
		if len(src) < n {
			return 0, nil, aggregate.ErrDamaged
		}
		return unpack(dst, src, low, width), src[n:], nil
	}
	n := (len(dst) + 7) / 8
	if len(src) < n {
		return 0, nil, aggregate.ErrDamaged
	}
	marks, src := src[:n], src[n:]
	n = count(marks, len(dst)) * width
	if len(src) < n {
		return 0, nil, aggregate.ErrDamaged
	}
	return unpackSparse(dst, marks, src, low, width), src[n:], nil
}

// count returns how many of n words have a mark.
func count(marks []byte, n int) (some int) {
	for ; n >= 64; n -= 64 {
		some += bits.OnesCount64(binary.LittleEndian.Uint64(marks))
		marks = marks[8:]
	}
	return some + bits.OnesCount64(lastMarks(marks, n))
}

// lastMarks returns the marks of the last n words of a column, fewer than 64.
func lastMarks(marks []byte, n int) (mark uint64) {
	for k, b := range marks {
		mark |= uint64(b) << (8 * k)
	}
	return mark & (1<<n - 1)
}

// surveyLoop sets a bit in marks, which are 0, for each word that is not 0, and returns every bit that is set in one of them and how many are not 0.
func surveyLoop(marks, words []uint64) (all uint64, some int) {
	for i := range marks {
		mark, bitsOf := survey64(words[64*i : min(64*i+64, len(words))])
		marks[i] = mark
		all |= bitsOf
		some += bits.OnesCount64(mark)
	}
	return all, some
}

// survey64 returns a bit for each of up to 64 words that is not 0, and every bit that is set in one of them.
func survey64(words []uint64) (mark, all uint64) {
	k := 0
	for ; len(words) >= 8; words = words[8:] { // whose bits don't wait for one another
		a, b, c, d, e, f, g, h := words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7]
		all |= a | b | c | d | e | f | g | h
		mark |= (is(a) | is(b)<<1 | is(c)<<2 | is(d)<<3 | is(e)<<4 | is(f)<<5 | is(g)<<6 | is(h)<<7) << (k & 63)
		k += 8
	}
	for _, x := range words {
		all |= x
		mark |= is(x) << (k & 63)
		k++
	}
	return mark, all
}

// is is 1, or of 0 it is 0.
func is(x uint64) uint64 { return (x | -x) >> 63 }

// packLoop writes width bytes of each word, behind low bytes of it. Words are written whole, each over what the one before has too much: up to 8 bytes behind
// those that were asked for.
func packLoop(out []byte, words []uint64, low, width int) {
	shift := uint(8*low) & 63
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
}

// packSparseLoop is packLoop of the words that have a mark.
func packSparseLoop(out []byte, marks, words []uint64, low, width int) {
	shift, at := uint(8*low)&63, 0
	for i, mark := range marks {
		for of := words[64*i:]; mark != 0; mark &= mark - 1 {
			binary.LittleEndian.PutUint64(out[at:], of[bits.TrailingZeros64(mark)]>>shift)
			at += width
		}
	}
}

// unpackLoop reads words of width bytes, behind low zeros, and returns every bit that is set in one of them. src has them all.
func unpackLoop(dst []uint64, src []byte, low, width int) (all uint64) {
	mask, shift := uint64(math.MaxUint64)>>(64-8*width), uint(8*low)&63
	switch width {
	case 1:
		for i, b := range src[:len(dst)] {
			dst[i] = uint64(b) << shift
			all |= uint64(b)
		}
		return all << shift
	case 8:
		for i := range dst {
			x := binary.LittleEndian.Uint64(src[8*i : 8*i+8 : 8*i+8])
			dst[i] = x
			all |= x
		}
		return all
	}
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
	return all
}

// unpackSparseLoop is unpackLoop of the words that have a mark; others are 0.
func unpackSparseLoop(dst []uint64, marks, src []byte, low, width int) (all uint64) {
	mask, shift := uint64(math.MaxUint64)>>(64-8*width), uint(8*low)&63
	clear(dst)
	at := 0
	for ; len(dst) > 0; dst, marks = dst[min(64, len(dst)):], marks[min(8, len(marks)):] {
		var mark uint64
		if len(dst) >= 64 {
			mark = binary.LittleEndian.Uint64(marks)
		} else {
			mark = lastMarks(marks, len(dst))
		}
		if at+bits.OnesCount64(mark)*width+8 > len(src) {
			for ; mark != 0; mark &= mark - 1 {
				x := readWord(src[at:], width) << shift
				dst[bits.TrailingZeros64(mark)] = x
				all |= x
				at += width
			}
			continue
		}
		for ; mark != 0; mark &= mark - 1 {
			x := binary.LittleEndian.Uint64(src[at:]) & mask << shift
			dst[bits.TrailingZeros64(mark)] = x
			all |= x
			at += width
		}
	}
	return all
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
