package table

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// chunkReader delivers one column of one row group of a part. Its memory is one page, decompressed.
type chunkReader struct {
	chunkOptions
	dict  *page
	pages []page // to come
	spare *spare

	// The page at hand: its rows, and those of them that have been read. Values stand for rows that are not null alone.
	rows, row, next int
	valid           []bool // nil if no row is null
	form            form
	plain           []byte  // values that stand as they are
	shared          string  // those of them that are text, if these share their memory
	at              int     // where the next text stands
	deltas          []int64 // values of formDelta; lengths of formLengths
	codes           []int32 // of formCode
	ints            []int64 // the dictionary of the chunk
	floats          []float64
	words           []string
}

// chunkOptions say what a column chunk is and how it is wanted.
type chunkOptions struct {
	typ          Type
	codec        compress.Codec               // nil: none
	required     bool                         // no row can be null: pages have no levels
	dictionaries bool                         // text is wanted as codes where it stands as such
	lasting      bool                         // nobody writes to the chunk's bytes any more: texts may stand in them
	text         func([]byte) (string, error) // makes the string of a text; nil: those of a page, a dictionary or a lasting chunk share their memory
}

// form is how the values of a page stand in memory.
type form uint8

const (
	formPlain   form = iota + 1
	formDelta        // integers, decoded
	formLengths      // text whose lengths stand apart
	formCode         // of the chunk's dictionary
)

// spare is memory that the chunks of a column use one after another.
type spare struct {
	raw    []byte
	deltas []int64
	codes  []int32
	levels []bool
	// These back the slices of a batch.
	valid []bool
	code  []int32
	text  []string
}

// openChunk starts reading the bytes of a column chunk.
func openChunk(chunk []byte, rows int64, o chunkOptions, s *spare) (*chunkReader, error) {
	r := &chunkReader{chunkOptions: o, spare: s}
	r.dictionaries = r.dictionaries && r.typ == String
	dict, pages, err := pagesOf(chunk, rows)
	if err != nil {
		return nil, err
	}
	r.dict, r.pages = dict, pages
	if dict == nil {
		return r, nil
	}
	if dict.encoding != encodingPlain && dict.encoding != encodingDictionary1 {
		return nil, fmt.Errorf("%w: a dictionary in encoding %d", ErrCorrupt, dict.encoding)
	}
	raw, err := dict.decompress(r.codec, s.raw)
	if err != nil {
		return nil, err
	}
	switch r.typ {
	case String, Bytes:
		r.words, err = dictionaryText(raw, dict.values, r.text)
	case Float64:
		if len(raw)/8 < dict.values {
			return nil, errShort
		}
		r.floats = make([]float64, dict.values)
		floatsOf(r.floats, raw)
	case Bool:
		return nil, fmt.Errorf("%w: a dictionary of truth values", ErrCorrupt)
	default:
		if len(raw)/8 < dict.values {
			return nil, errShort
		}
		r.ints = make([]int64, dict.values)
		intsOf(r.ints, raw)
	}
	if r.codec != nil {
		s.raw = raw
	}
	return r, err
}

// coded reports whether the page is one of a dictionary.
func (p *page) coded() bool {
	return p.encoding == encodingDictionary || p.encoding == encodingDictionary1
}

// run is how many of the next n rows can be delivered in one batch, and whether as codes: a batch has codes or text, not both.
func (r *chunkReader) run(n int) (rows int, codes bool) {
	if !r.dictionaries {
		return n, false
	}
	pages := r.pages
	left := r.rows - r.row
	if left > 0 {
		codes = r.form == formCode
	} else if len(pages) > 0 {
		codes = pages[0].coded()
	}
	for i := range pages {
		if left >= n || pages[i].coded() != codes {
			break
		}
		left += pages[i].values
	}
	return min(n, left), codes
}

// fill writes the next n rows to dst, whose slices are of that length.
func (r *chunkReader) fill(dst *Column, n int) error {
	for at := 0; at < n; {
		if r.row == r.rows {
			if err := r.nextPage(); err != nil {
				return err
			}
			continue
		}
		k := min(n-at, r.rows-r.row)
		if r.valid == nil {
			if err := r.values(dst, at, at+k); err != nil {
				return err
			}
		} else if err := r.sparse(dst, at, k, n); err != nil {
			return err
		}
		if dst.Valid != nil && r.valid == nil {
			for i := at; i < at+k; i++ {
				dst.Valid[i] = true
			}
		}
		r.row += k
		at += k
	}
	return nil
}

// sparse delivers k rows, of which some are null, to dst at a place of n.
func (r *chunkReader) sparse(dst *Column, at, k, n int) error {
	if dst.Valid == nil {
		r.spare.valid = resized(r.spare.valid, n)
		dst.Valid = r.spare.valid
		for i := range at {
			dst.Valid[i] = true
		}
	}
	valid := r.valid[r.row : r.row+k]
	copy(dst.Valid[at:], valid)
	if r.form == formCode && (r.typ == Float64 || r.typ == Int64 || r.typ == Time) {
		dict := Column{Int: r.ints, Float: r.floats}
		r.next += spread(dst.wordsOf(r.typ)[at:at+k], dict.wordsOf(r.typ), r.codes[r.next:], valid)
		return nil
	}
	for i := 0; i < k; {
		j := i
		for j < k && valid[j] {
			j++
		}
		if err := r.values(dst, at+i, at+j); err != nil {
			return err
		}
		for ; j < k && !valid[j]; j++ {
			dst.zero(at+j, r.typ)
		}
		i = j
	}
	return nil
}

// zero clears the slot of row i.
func (c *Column) zero(i int, t Type) {
	switch {
	case c.Code != nil:
		c.Code[i] = 0
	case t == Float64:
		c.Float[i] = 0
	case t == String || t == Bytes:
		c.Str[i] = ""
	default:
		c.Int[i] = 0
	}
}

// values delivers the next values of the page, none of them null, to rows [from, to) of dst.
func (r *chunkReader) values(dst *Column, from, to int) error {
	n := to - from
	if n == 0 {
		return nil
	}
	next := r.next
	r.next += n
	switch r.typ {
	case Float64:
		if r.form == formCode {
			gather(dst.Float[from:to], r.floats, r.codes[next:])
		} else {
			floatsOf(dst.Float[from:to], r.plain[8*next:])
		}
	case String, Bytes:
		switch {
		case dst.Code != nil:
			copy(dst.Code[from:to], r.codes[next:])
		case r.form == formCode:
			gather(dst.Str[from:to], r.words, r.codes[next:])
		case r.form == formLengths && r.text == nil:
			r.at = cut(dst.Str[from:to], r.shared, r.at, r.deltas[next:])
		case r.form == formLengths:
			for i, n := range r.deltas[next : next+to-from] {
				var err error
				if dst.Str[from+i], err = r.text(r.plain[r.at : r.at+int(n)]); err != nil {
					return err
				}
				r.at += int(n)
			}
		default:
			return r.texts(dst.Str[from:to])
		}
	case Bool:
		for i := range dst.Int[from:to] {
			dst.Int[from+i] = int64(r.plain[(next+i)>>3]>>((next+i)&7)) & 1
		}
	default:
		switch r.form {
		case formCode:
			gather(dst.Int[from:to], r.ints, r.codes[next:])
		case formDelta:
			copy(dst.Int[from:to], r.deltas[next:])
		default:
			intsOf(dst.Int[from:to], r.plain[8*next:])
		}
	}
	return nil
}

// texts delivers the next texts of a page that has them as they are.
func (r *chunkReader) texts(dst []string) error {
	if r.text != nil {
		for i := range dst {
			v := r.plain[r.at:]
			n, ok := textSize(v)
			if !ok {
				return errShort
			}
			var err error
			if dst[i], err = r.text(v[4 : 4+n]); err != nil {
				return err
			}
			r.at += 4 + n
		}
		return nil
	}
	text := r.shared[r.at:]
	for i := range dst {
		n, ok := textSize(text)
		if !ok {
			return errShort
		}
		dst[i] = text[4 : 4+n]
		text = text[4+n:]
	}
	r.at = len(r.shared) - len(text)
	return nil
}

// cut cuts text from at on into dst by its lengths, which add up to no more than it has, and returns where the next one begins.
func cut(dst []string, text string, at int, lengths []int64) int {
	for i, n := range lengths[:len(dst)] {
		dst[i] = text[at : at+int(n)]
		at += int(n)
	}
	return at
}

// gather sets dst to the values of dict at codes, which lie within it.
func gather[T any](dst, dict []T, codes []int32) {
	codes = codes[:len(dst)]
	for i, c := range codes {
		dst[i] = dict[c]
	}
}

// spread sets dst to the values of dict at codes, which lie within it, one for each row that is valid, and to zero where none is; it returns how many codes that
// took. No branch depends on whether a row is valid, which a processor cannot foretell.
func spread(dst, dict []uint64, codes []int32, valid []bool) (used int) {
	if len(codes) == 0 {
		clear(dst)
		return 0
	}
	last := len(codes) - 1
	valid = valid[:len(dst)]
	for i := range dst {
		one := 0
		if valid[i] {
			one = 1
		}
		dst[i] = dict[codes[min(used, last)]] & -uint64(one)
		used += one
	}
	return used
}

// intsOf reads len(dst) integers of src.
func intsOf(dst []int64, src []byte) {
	src = src[:8*len(dst)]
	for i := range dst {
		dst[i] = int64(binary.LittleEndian.Uint64(src[8*i:]))
	}
}

// floatsOf reads len(dst) floats of src.
func floatsOf(dst []float64, src []byte) {
	src = src[:8*len(dst)]
	for i := range dst {
		dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
	}
}

// nextPage decodes the next page as far as all its values need it at once.
func (r *chunkReader) nextPage() error {
	if len(r.pages) == 0 {
		return fmt.Errorf("%w: its pages end early", ErrCorrupt)
	}
	p, s := &r.pages[0], r.spare
	r.pages = r.pages[1:]
	raw, err := p.decompress(r.codec, s.raw)
	if err != nil {
		return err
	}
	if r.codec != nil {
		s.raw = raw
	}
	rest, valid, n := raw, []bool(nil), p.values
	if !r.required {
		if rest, valid, n, err = cutLevels(raw, p.values, s.levels); err != nil {
			return err
		}
	}
	if valid != nil {
		s.levels = valid
	}
	r.rows, r.row, r.next, r.valid = p.values, 0, 0, valid
	switch {
	case p.coded() && r.dict != nil:
		r.form = formCode
		s.codes, err = indexes(s.codes, rest, n, r.dict.values)
		r.codes = s.codes
		return err
	case p.encoding == encodingDelta && (r.typ == Int64 || r.typ == Time):
		r.form = formDelta
		s.deltas, _, err = unpackDeltas(s.deltas, rest, n)
		r.deltas = s.deltas
		return err
	case p.encoding == encodingLengths && (r.typ == String || r.typ == Bytes):
		r.form = formLengths
		s.deltas, rest, err = unpackDeltas(s.deltas, rest, n)
		if err != nil {
			return err
		}
		left := int64(len(rest))
		for _, n := range s.deltas {
			if n < 0 || n > left {
				return errShort
			}
			left -= n
		}
		r.deltas = s.deltas
		r.texted(rest)
		return nil
	case p.encoding != encodingPlain:
		return fmt.Errorf("%w: a page in encoding %d", ErrCorrupt, p.encoding)
	}
	r.form, r.plain = formPlain, rest
	need := 0
	switch r.typ {
	case String, Bytes:
		r.texted(rest)
	case Bool:
		need = (n + 7) / 8
	default:
		need = 8 * n
	}
	if len(rest) < need {
		return errShort
	}
	return nil
}

// texted begins to deliver the texts of a page.
func (r *chunkReader) texted(values []byte) {
	r.plain, r.at = values, 0
	switch {
	case r.text != nil:
	case r.lasting && r.codec == nil:
		r.shared = unsafe.String(unsafe.SliceData(values), len(values))
	default:
		r.shared = string(values)
	}
}

// maxPlainValues bounds the values of a page of a raw file: a run-length page of a few bytes may say that it has billions, which the library, that
// decodes a batch at a time, reads without memory for them all. Writers put some 20,000 rows into a page. (A part has no more rows than its manifest says.)
const maxPlainValues = 1 << 20

// known reports whether all pages stand in encodings that are read, and none is so long that the library had better read it.
func (r *chunkReader) known() bool {
	for i := range r.pages {
		switch p := &r.pages[i]; {
		case p.values > maxPlainValues:
			return false
		case p.encoding == encodingPlain || p.coded() && r.dict != nil:
		case p.encoding == encodingDelta && (r.typ == Int64 || r.typ == Time):
		case p.encoding == encodingLengths && (r.typ == String || r.typ == Bytes):
		default:
			return false
		}
	}
	return true
}

// codecs are those that parts are written with, by their number in a footer.
var codecs = map[int]compress.Compression{1: compress.Codecs.Snappy, 6: compress.Codecs.Zstd}

// codecOf returns the codec of a number, nil for none.
func codecOf(number int) (compress.Codec, error) {
	if number == 0 {
		return nil, nil
	}
	c, ok := codecs[number]
	if !ok {
		return nil, fmt.Errorf("%w: compressed with codec %d", ErrCorrupt, number)
	}
	return compress.GetCodec(c)
}

var partKind = [...]parquet.Type{
	Int64: parquet.Types.Int64, Time: parquet.Types.Int64, Float64: parquet.Types.Double, String: parquet.Types.ByteArray, Bool: parquet.Types.Boolean, Bytes: parquet.Types.ByteArray,
}
