package table

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/apache/arrow-go/v18/parquet/compress"
)

// Pages are cut after so many rows, or so many bytes of text: a reader holds one of them, unpacked.
const (
	pageRows = defaultRowGroup
	pageText = 1 << 20
)

// dense are values of a column that are not null, which are what Parquet stores: text or words.
type dense struct {
	words []uint64 // integers, and the bits of floats
	text  []string
}

func (v dense) len() int { return len(v.words) + len(v.text) }

// size is how many bytes the values take as they are, or a little more.
func (v dense) size(t Type) int {
	if t == Bool {
		return len(v.words)/8 + 64
	}
	n := 64 + 8*len(v.words) + 4*len(v.text)
	for _, s := range v.text {
		n += len(s)
	}
	return n
}

// wordsOf is the memory of a column of numbers, as words.
func (c *Column) wordsOf(t Type) []uint64 {
	if t == Float64 {
		return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(c.Float))), len(c.Float))
	}
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(c.Int))), len(c.Int))
}

// chunkEncoder encodes column chunks, one after another, in memory that they share.
type chunkEncoder struct {
	codec  compress.Codec // nil: none
	choosy bool           // a chunk of which the codec saves little stands without it
	bare   bool           // the chunk stands without the codec
	number int            // the codec's, in a footer

	coded bool // codes and a dictionary are those of the values that were looked at last
	codes []int32
	words words
	texts texts

	some   dense  // that are not null, of a chunk with nulls
	raw    []byte // the pages of a chunk, before the codec
	packed []byte // and behind it
	pages  []rawPage
	levels []int32
	sizes  []uint64 // of texts
	header thriftWriter
}

// rawPage is a page in raw, and in packed.
type rawPage struct {
	kind, encoding, values int
	raw, packed            int // where it ends
}

// chunkMeta is what a footer says of a column chunk.
type chunkMeta struct {
	codec          int
	layout         layout
	values, nulls  int   // values with nulls
	at, data       int64 // where its first page, and its first one of data, stand in the file
	size, unpacked int64 // bytes with the headers of pages
	pages          int   // of data
	least, most    []byte
}

// present returns the values of rows [from, to) that are not null, and which rows have one: nil if all do.
func (e *chunkEncoder) present(c *Column, t Type, from, to int) (v dense, valid []bool) {
	if c.Valid != nil {
		if valid = c.Valid[from:to]; !slices.Contains(valid, false) {
			valid = nil
		}
	}
	if t == String || t == Bytes {
		if v.text = c.Str[from:to]; valid != nil {
			e.some.text = kept(e.some.text, v.text, valid)
			v.text = e.some.text
		}
		return v, valid
	}
	if v.words = c.wordsOf(t)[from:to]; valid != nil {
		e.some.words = kept(e.some.words, v.words, valid)
		v.words = e.some.words
	}
	return v, valid
}

// kept is those of v that are valid, in dst's memory if they fit.
func kept[T any](dst, v []T, valid []bool) []T {
	dst = resized(dst, len(v))
	n := 0
	for i, ok := range valid {
		dst[n] = v[i]
		if ok {
			n++
		}
	}
	return dst[:n]
}

// code makes codes of v and their dictionary; it gives up where more than most values are different, or where the dictionary would be too large.
func (e *chunkEncoder) code(v dense, t Type, most int) (ok bool) {
	if t == String {
		e.codes, ok = e.texts.code(e.codes, v.text, most, maxDictionary)
		return ok
	}
	e.codes, ok = e.words.code(e.codes, v.words, min(most, maxDictionary/8))
	return ok
}

// encode appends a chunk of n rows of a column to a file.
func (e *chunkEncoder) encode(file []byte, v dense, valid []bool, n int, t Type, l layout) ([]byte, chunkMeta) {
	if l == encodingDictionary && !e.coded && !e.code(v, t, max(v.len()*3/4, 256)) {
		if l = encodingPlain; t == String {
			l = encodingLengths
		}
	}
	m := chunkMeta{layout: l, values: n, nulls: n - v.len()}
	if e.codec == nil && l == encodingPlain && v.text != nil && valid == nil {
		m.least, m.most = bounds(v, t)
		return e.asItIs(file, v.text, m)
	}
	e.raw, e.pages = slices.Grow(e.raw[:0], v.size(t)), e.pages[:0]
	width := uint(0)
	switch {
	case l != encodingDictionary:
		m.least, m.most = bounds(v, t)
	case t == String:
		m.least, m.most = bounds(dense{text: e.texts.dict}, t)
		e.raw = appendTexts(e.raw, e.texts.dict)
		width = e.dictionary(len(e.texts.dict))
	default:
		m.least, m.most = bounds(dense{words: e.words.dict}, t)
		e.raw = appendWords(e.raw, e.words.dict)
		width = e.dictionary(len(e.words.dict))
	}
	m.pages = e.data(v, valid, n, t, l, width)
	m.codec = e.pack()
	return e.write(file, m)
}

// dictionary ends the page of a dictionary of n entries, and returns the width of its codes in bits.
func (e *chunkEncoder) dictionary(n int) uint {
	e.pages = append(e.pages, rawPage{kind: pageDictionary, encoding: encodingPlain, values: n, raw: len(e.raw)})
	return uint(max(1, bits.Len(uint(max(n, 1)-1))))
}

// data encodes the values as pages of data, and returns how many these are.
func (e *chunkEncoder) data(v dense, valid []bool, n int, t Type, l layout, width uint) (pages int) {
	codes := e.codes
	for row, at := 0, 0; row < n; pages++ {
		to, end := min(row+pageRows, n), at
		switch {
		case l != encodingDictionary && v.text != nil:
			to, end = textPage(v.text, valid, row, to, at)
		case valid == nil:
			end = at + to - row
		default:
			for _, ok := range valid[row:to] {
				if ok {
					end++
				}
			}
		}
		e.level(valid, row, to)
		switch {
		case l == encodingDictionary:
			e.raw = appendRuns(append(e.raw, byte(width)), codes[at:end], width)
		case l == encodingDelta:
			e.raw = appendDeltas(e.raw, v.words[at:end])
		case l == encodingLengths:
			text := v.text[at:end]
			e.sizes = resized(e.sizes, len(text))
			for i, s := range text {
				e.sizes[i] = uint64(len(s))
			}
			e.raw = appendDeltas(e.raw, e.sizes)
			for _, s := range text {
				e.raw = append(e.raw, s...)
			}
		case v.text != nil:
			e.raw = appendTexts(e.raw, v.text[at:end])
		case t == Bool:
			e.raw = appendPacked(e.raw, v.words[at:end], 1)
		default:
			e.raw = appendWords(e.raw, v.words[at:end])
		}
		e.pages = append(e.pages, rawPage{kind: pageData, encoding: int(l), values: to - row, raw: len(e.raw)})
		row, at = to, end
	}
	return pages
}

// textPage is where a page ends that begins at a row, and at a value, of text: one row at least.
func textPage(text []string, valid []bool, row, most, at int) (to, end int) {
	size := 0
	for to, end = row, at; to < most; to++ {
		if valid != nil && !valid[to] {
			continue
		}
		if size += len(text[end]); size > pageText && to > row {
			break
		}
		end++
	}
	return to, end
}

// level appends the definition levels of rows [from, to): which of them have a value.
func (e *chunkEncoder) level(valid []bool, from, to int) {
	at := len(e.raw)
	e.raw = append(e.raw, 0, 0, 0, 0) // of how many bytes they are
	if valid == nil {
		e.raw = append(binary.AppendUvarint(e.raw, uint64(to-from)<<1), 1)
	} else {
		e.levels = resized(e.levels, to-from)
		for i, ok := range valid[from:to] {
			e.levels[i] = 0
			if ok {
				e.levels[i] = 1
			}
		}
		e.raw = appendRuns(e.raw, e.levels, 1)
	}
	binary.LittleEndian.PutUint32(e.raw[at:], uint32(len(e.raw)-at-4))
}

// What a codec is tried on, of a long chunk: so many bytes from the middle of its pages.
const trialBytes = 16 << 10

// worth reports whether a codec made enough of so many bytes that undoing it is worth a reader's while.
func worth(packed, raw int) bool { return packed <= raw-raw/8 }

// pack compresses the pages, and returns the codec's number: where the codec was not asked for by name, that of none if compressing saves little, as with what
// is packed already.
func (e *chunkEncoder) pack() int {
	none := func() int {
		for i := range e.pages {
			e.pages[i].packed = e.pages[i].raw
		}
		return 0
	}
	switch {
	case e.codec == nil || e.bare:
		return none()
	case e.choosy && len(e.raw) > 4*trialBytes:
		at := (len(e.raw) - trialBytes) / 2
		if e.packed = e.codec.EncodeLevel(e.packed[:0], e.raw[at:at+trialBytes], 1); !worth(len(e.packed), trialBytes) {
			return none()
		}
	}
	e.packed = slices.Grow(e.packed[:0], int(e.codec.CompressBound(int64(len(e.raw)+1)))+64*len(e.pages))
	from := 0
	for i := range e.pages {
		p := &e.pages[i]
		at := len(e.packed)
		// A codec makes what does not fit somewhere else.
		out := e.codec.EncodeLevel(e.packed[at:cap(e.packed)], e.raw[from:p.raw], 1)
		e.packed = append(e.packed, out...)
		p.packed, from = len(e.packed), p.raw
	}
	if e.choosy && !worth(len(e.packed), len(e.raw)) {
		return none()
	}
	return e.number
}

// asItIs appends pages of text, none of it null, to a file: what no codec packs goes there at once.
func (e *chunkEncoder) asItIs(file []byte, text []string, m chunkMeta) ([]byte, chunkMeta) {
	m.at = int64(len(file))
	m.data = m.at
	for row := 0; row < len(text); m.pages++ {
		to, _ := textPage(text, nil, row, min(row+pageRows, len(text)), row)
		e.raw = e.raw[:0]
		e.level(nil, row, to)
		size := len(e.raw)
		for _, s := range text[row:to] {
			size += 4 + len(s)
		}
		file = append(file, e.headerOf(rawPage{kind: pageData, encoding: encodingPlain, values: to - row}, size, size)...)
		file = appendTexts(append(file, e.raw...), text[row:to])
		row = to
	}
	m.size = int64(len(file)) - m.at
	m.unpacked = m.size
	return file, m
}

// headerOf is the header of a page of so many bytes, before the codec and behind it.
func (e *chunkEncoder) headerOf(p rawPage, raw, packed int) []byte {
	w := &e.header
	w.b = w.b[:0]
	w.begin()
	w.i32(1, p.kind)
	w.i32(2, raw)
	w.i32(3, packed)
	if p.kind == pageDictionary {
		w.structure(7)
		w.i32(1, p.values)
		w.i32(2, p.encoding)
	} else {
		w.structure(5)
		w.i32(1, p.values)
		w.i32(2, p.encoding)
		w.i32(3, encodingRLE)
		w.i32(4, encodingRLE)
	}
	w.end()
	w.end()
	return w.b
}

// write appends the pages with their headers to a file, and fills in where they stand.
func (e *chunkEncoder) write(file []byte, m chunkMeta) ([]byte, chunkMeta) {
	bodies := e.raw
	if m.codec != 0 {
		bodies = e.packed
	}
	m.at = int64(len(file))
	m.data = m.at
	raw, packed := 0, 0
	for i, p := range e.pages {
		header := e.headerOf(p, p.raw-raw, p.packed-packed)
		file = append(file, header...)
		file = append(file, bodies[packed:p.packed]...)
		m.unpacked += int64(len(header) + p.raw - raw)
		raw, packed = p.raw, p.packed
		if i == 0 && p.kind == pageDictionary {
			m.data = int64(len(file))
		}
	}
	m.size = int64(len(file)) - m.at
	return file, m
}

// bounds are the least and the greatest of values as statistics have them: without NaN, both zeros where there is one, and none where a text is too long.
func bounds(v dense, t Type) (least, most []byte) {
	if v.len() == 0 {
		return nil, nil
	}
	switch t {
	case String, Bytes:
		low, high := v.text[0], v.text[0]
		for _, s := range v.text {
			if s < low {
				low = s
			} else if s > high {
				high = s
			}
		}
		if len(low) > maxStatistic || len(high) > maxStatistic {
			return nil, nil
		}
		return []byte(low), []byte(high)
	case Float64:
		low, high := math.Inf(1), math.Inf(-1)
		for _, w := range v.words {
			x := math.Float64frombits(w)
			if x < low {
				low = x
			}
			if x > high {
				high = x
			}
		}
		if low > high { // NaN alone
			return nil, nil
		}
		if low == 0 {
			low = math.Copysign(0, -1)
		}
		return wordBytes(math.Float64bits(low)), wordBytes(math.Float64bits(high))
	}
	low, high := int64(v.words[0]), int64(v.words[0])
	for _, w := range v.words {
		low, high = min(low, int64(w)), max(high, int64(w))
	}
	if t == Bool {
		return []byte{byte(low)}, []byte{byte(high)}
	}
	return wordBytes(uint64(low)), wordBytes(uint64(high))
}

func wordBytes(w uint64) []byte { return binary.LittleEndian.AppendUint64(nil, w) }
