package table

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/parquet/compress"
)

// maxPage bounds the bytes of a page, as it announces them.
const maxPage = 256 << 20

// Types of a page, and encodings of its values, as the format numbers them: those that Writer makes.
const (
	pageData       = 0
	pageDictionary = 2

	encodingPlain       = 0
	encodingDictionary1 = 2 // the name that dictionary pages, and older data pages, have for it
	encodingRLE         = 3
	encodingDelta       = 5
	encodingLengths     = 6
	encodingDictionary  = 8
)

// page is a page as it stands in a column chunk.
type page struct {
	kind     int
	size     int // bytes, decompressed
	values   int // rows, or entries of a dictionary
	encoding int
	levels   int // the encoding of the levels
	body     []byte
}

// pagesOf cuts a column chunk of a number of rows into its pages, and its dictionary if it has one. It decodes the headers alone.
func pagesOf(chunk []byte, rows int64) (dict *page, data []page, err error) {
	left := rows
	for left > 0 {
		p, n, err := pageHeader(chunk)
		if err != nil {
			return nil, nil, err
		}
		chunk = chunk[n+len(p.body):]
		switch {
		case p.kind == pageDictionary && dict == nil && data == nil:
			dict = &p
		case p.kind == pageData && p.levels == encodingRLE && p.values > 0 && int64(p.values) <= left:
			data = append(data, p)
			left -= int64(p.values)
		default:
			return nil, nil, fmt.Errorf("%w: a page of type %d with %d values, levels in encoding %d and %d rows to come makes no sense", ErrCorrupt, p.kind, p.values, p.levels, left)
		}
	}
	return dict, data, nil
}

// pageHeader reads the header that b begins with, of n bytes, and cuts out the page behind it.
func pageHeader(b []byte) (p page, n int, err error) {
	w := thriftWalk{b: b}
	var body int64
	p.kind, p.levels = -1, encodingRLE
	bounded := func(v int64) int {
		if v < 0 || v > maxPage {
			w.fail("a page announces %d bytes or values", v)
			return 0
		}
		return int(v)
	}
	w.fields(func(id uint64, typ byte) bool {
		switch {
		case typ <= thriftI64 && typ > thriftByte && id == 1:
			p.kind = bounded(w.zigzag())
		case typ <= thriftI64 && typ > thriftByte && id == 2:
			p.size = bounded(w.zigzag())
		case typ <= thriftI64 && typ > thriftByte && id == 3:
			body = w.zigzag()
		case typ == thriftStruct && (id == 5 || id == 7): // of a page of data, of a dictionary: alike as far as they go
			w.fields(func(id uint64, typ byte) bool {
				if typ <= thriftByte || typ > thriftI64 {
					return false
				}
				switch id {
				case 1:
					p.values = bounded(w.zigzag())
				case 2:
					p.encoding = bounded(w.zigzag())
				case 3:
					p.levels = bounded(w.zigzag())
				default:
					return false
				}
				return true
			})
		default:
			return false
		}
		return true
	})
	if w.err != nil {
		return p, 0, fmt.Errorf("%w: the header of a page: %v", ErrCorrupt, w.err)
	}
	if body < 0 || body > int64(len(w.b)) {
		return p, 0, fmt.Errorf("%w: a page announces %d bytes, %d are there", ErrCorrupt, body, len(w.b))
	}
	p.body = w.b[:body:body]
	return p, len(b) - len(w.b), nil
}

// decompress returns the page's bytes, in buf's memory if they fit and the page is compressed.
func (p *page) decompress(codec compress.Codec, buf []byte) ([]byte, error) {
	if codec == nil {
		if len(p.body) != p.size {
			return nil, fmt.Errorf("%w: a page has %d bytes where it announces %d", ErrCorrupt, len(p.body), p.size)
		}
		return p.body, nil
	}
	if p.size == 0 {
		return nil, nil
	}
	return unpacked(codec, buf, p.body, p.size)
}

// cutLevels takes the definition levels off a page of n rows, and returns which rows are not null: nil if all are.
func cutLevels(raw []byte, n int, valid []bool) (rest []byte, present []bool, values int, err error) {
	if len(raw) < 4 {
		return nil, nil, 0, errShort
	}
	size := binary.LittleEndian.Uint32(raw)
	if uint64(size) > uint64(len(raw)-4) {
		return nil, nil, 0, errShort
	}
	levels, rest := raw[4:4+size], raw[4+size:]
	if h, k := binary.Uvarint(levels); k > 0 && h&1 == 0 && h>>1 >= uint64(n) && k < len(levels) && levels[k] == 1 {
		return rest, nil, n, nil // one run holds them all
	}
	if n > max(cap(valid), unseen) && !holdRuns(levels, 1, n) {
		return nil, nil, 0, errShort
	}
	valid = resized(valid, n)
	for at := 0; at < n; {
		h, k := binary.Uvarint(levels)
		if k <= 0 {
			return nil, nil, 0, errShort
		}
		levels = levels[k:]
		run := min(h>>1, 1<<40)
		if h&1 == 0 {
			if len(levels) == 0 || levels[0] > 1 {
				return nil, nil, 0, errShort
			}
			to := at + int(min(run, uint64(n-at)))
			for i := at; i < to; i++ {
				valid[i] = levels[0] == 1
			}
			if levels[0] == 1 {
				values += to - at
			}
			levels, at = levels[1:], to
			continue
		}
		if run > uint64(len(levels)) {
			return nil, nil, 0, errShort
		}
		to := at + int(min(8*run, uint64(n-at)))
		for i := at; i < to; i++ {
			one := levels[(i-at)>>3] >> ((i - at) & 7) & 1
			valid[i] = one == 1
			values += int(one)
		}
		levels, at = levels[run:], to
	}
	if values == n {
		return rest, nil, n, nil
	}
	return rest, valid, values, nil
}

var errShort = fmt.Errorf("%w: a page is cut off, or its levels or indexes are damaged", ErrCorrupt)

// unseen is for how many values memory is made without a look at what the bytes of their page can hold.
const unseen = 1 << 16

// holdRuns reports whether runs of numbers of a width in bits, each of one repeated or of numbers packed, hold n of them.
func holdRuns(src []byte, width uint, n int) bool {
	for left := uint64(n); left > 0; {
		h, k := binary.Uvarint(src)
		if k <= 0 {
			return false
		}
		run := min(h>>1, 1<<40)
		size := uint64(width+7) / 8
		if h&1 == 1 {
			size, run = run*uint64(width), 8*run
		}
		if src = src[k:]; size > uint64(len(src)) {
			return false
		}
		src = src[size:]
		left -= min(run, left)
	}
	return true
}

// indexes reads n indexes of a dictionary of a size, in dst's memory if they fit.
func indexes(dst []int32, src []byte, n, size int) ([]int32, error) {
	if n > max(cap(dst), unseen) && (len(src) == 0 || src[0] > 32 || !holdRuns(src[1:], uint(src[0]), n)) {
		return nil, errShort
	}
	dst = resized(dst, n)
	return dst, unpackIndexes(dst, src, size)
}

// unpackIndexes reads len(dst) indexes of a dictionary of a size: a byte with their width in bits, then runs, each of one index repeated or
// of indexes packed.
func unpackIndexes(dst []int32, src []byte, size int) error {
	if len(dst) == 0 {
		return nil
	}
	if len(src) == 0 || src[0] > 32 {
		return errShort
	}
	width := uint(src[0])
	src = src[1:]
	var most uint32
	for len(dst) > 0 {
		h, k := binary.Uvarint(src)
		if k <= 0 {
			return errShort
		}
		src = src[k:]
		run := min(h>>1, 1<<40)
		if h&1 == 0 {
			size := int(width+7) / 8
			if len(src) < size {
				return errShort
			}
			var v uint32
			for i := range size {
				v |= uint32(src[i]) << (8 * i)
			}
			src = src[size:]
			k := min(run, uint64(len(dst)))
			if k > 0 {
				most = max(most, v)
			}
			for i := range dst[:k] {
				dst[i] = int32(v)
			}
			dst = dst[k:]
			continue
		}
		if run*uint64(width) > uint64(len(src)) {
			return errShort
		}
		packed := src[:run*uint64(width)]
		src = src[len(packed):]
		k = int(min(8*run, uint64(len(dst))))
		most = max(most, unpack32(dst[:k], packed, width))
		dst = dst[k:]
	}
	if uint64(most) >= uint64(size) {
		return fmt.Errorf("%w: a page asks for entry %d of a dictionary of %d", ErrCorrupt, most, size)
	}
	return nil
}

// unpack32 reads packed numbers of a width in bits, at most 32, the lowest bits first, and returns the largest. src holds them all.
func unpack32(dst []int32, src []byte, width uint) (most uint32) {
	mask := uint64(1)<<width - 1
	safe := 0 // of how many a load of 8 bytes stays within src
	if len(src) >= 8 && width > 0 {
		safe = min(len(dst), int((uint(len(src)-8)*8)/width)+1)
	}
	var bit uint
	for i := range dst[:safe] {
		v := uint32(binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) & mask)
		dst[i] = int32(v)
		most = max(most, v)
		bit += width
	}
	for i := safe; i < len(dst); i++ {
		var last [8]byte
		copy(last[:], src[min(int(bit>>3), len(src)):])
		v := uint32(binary.LittleEndian.Uint64(last[:]) >> (bit & 7) & mask)
		dst[i] = int32(v)
		most = max(most, v)
		bit += width
	}
	return most
}

// Bounds of DELTA_BINARY_PACKED: what Writer's library makes of it, and room beyond.
const (
	maxDeltaBlock = 1 << 16
	maxMiniBlocks = 1 << 10
)

// unpackDeltas reads n numbers in DELTA_BINARY_PACKED and returns what stands behind them: the first one, then blocks of differences, each
// with the least of them and the rest packed above it.
func unpackDeltas(dst []int64, src []byte, n int) (out []int64, rest []byte, err error) {
	r := thriftWalk{b: src} // the same numbers of variable length
	block, minis, count, first := r.uvarint(), r.uvarint(), r.uvarint(), r.zigzag()
	if r.err != nil || count != uint64(n) || block == 0 || block > maxDeltaBlock || block%128 != 0 || minis == 0 || minis > maxMiniBlocks || block%minis != 0 || block/minis%32 != 0 {
		return nil, nil, fmt.Errorf("%w: a page of differences has blocks of %d in %d parts, and %d values where %d are wanted", ErrCorrupt, block, minis, count, n)
	}
	// A block takes a byte for the least difference and one for the width of each part, whatever it holds.
	if n > 0 && (uint64(n-1)+block-1)/block > uint64(len(r.b))/(1+minis) {
		return nil, nil, errShort
	}
	out = resized(dst, n)
	if n == 0 {
		return out, r.b, nil
	}
	each := int(block / minis)
	out[0] = first
	last := first
	for to := out[1:]; len(to) > 0; {
		least := r.zigzag()
		if r.err != nil || uint64(len(r.b)) < minis {
			return nil, nil, errShort
		}
		widths := r.b[:minis]
		src := r.b[minis:]
		for _, width := range widths {
			if len(to) == 0 {
				break // widths of parts that are not there mean nothing
			}
			size := each * int(width) / 8
			if width > 64 || size > len(src) {
				return nil, nil, errShort
			}
			k := min(each, len(to))
			last = unpackSums(to[:k], src, uint(width), least, last)
			to, src = to[k:], src[size:]
		}
		r.b = src
	}
	return out, r.b, nil
}

// unpackSums sets dst to the running sums, from last, of packed numbers of a width in bits, each with least added, and returns the last of them.
func unpackSums(dst []int64, src []byte, width uint, least, last int64) int64 {
	if width == 0 {
		for i := range dst {
			last += least
			dst[i] = last
		}
		return last
	}
	mask := ^uint64(0) >> (64 - width)
	safe := 0
	if len(src) >= 9 {
		safe = min(len(dst), int((uint(len(src)-9)*8)/width)+1)
	}
	var bit uint
	if width <= 57 {
		for i := range dst[:safe] {
			last += int64(binary.LittleEndian.Uint64(src[bit>>3:])>>(bit&7)&mask) + least
			dst[i] = last
			bit += width
		}
	} else {
		for i := range dst[:safe] {
			at, low := bit>>3, bit&7
			v := binary.LittleEndian.Uint64(src[at:])>>low | uint64(src[at+8])<<(64-low)
			last += int64(v&mask) + least
			dst[i] = last
			bit += width
		}
	}
	for i := safe; i < len(dst); i++ {
		var end [16]byte
		at, low := int(bit>>3), bit&7
		copy(end[:], src[min(at, len(src)):])
		v := binary.LittleEndian.Uint64(end[:])>>low | uint64(end[8])<<(64-low)
		last += int64(v&mask) + least
		dst[i] = last
		bit += width
	}
	return last
}

// dictionaryText reads the n values of a dictionary of text, each by a function, or, without one, into strings that share one allocation.
func dictionaryText(raw []byte, n int, each func([]byte) (string, error)) ([]string, error) {
	if n > len(raw)/4 { // what the length of a text takes
		return nil, errShort
	}
	out := make([]string, n)
	if each != nil {
		for i := range out {
			size, ok := textSize(raw)
			if !ok {
				return nil, errShort
			}
			var err error
			if out[i], err = each(raw[4 : 4+size]); err != nil {
				return nil, err
			}
			raw = raw[4+size:]
		}
		return out, nil
	}
	text := string(raw)
	for i := range out {
		size, ok := textSize(text)
		if !ok {
			return nil, errShort
		}
		out[i], text = text[4:4+size], text[4+size:]
	}
	return out, nil
}

// textSize is the length of the text that s begins with, behind its four bytes.
func textSize[T string | []byte](s T) (int, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
	return int(n), uint64(n) <= uint64(len(s)-4)
}
