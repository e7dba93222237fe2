package table

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/compress"
)

// compressions are the codecs of WriteOptions.
var compressions = map[string]compress.Compression{
	"": compress.Codecs.Zstd, "text": compress.Codecs.Zstd, // where it saves an eighth or more
	"zstd": compress.Codecs.Zstd, "snappy": compress.Codecs.Snappy, "none": compress.Codecs.Uncompressed,
}

// sumsKey names the entry of a footer that holds the CRC-32C of each column chunk, eight hexadecimal digits each, row group by row group.
const sumsKey = "rapport.crc32c"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxDictionary is the size in bytes of a dictionary beyond which a column chunk stands without one.
const maxDictionary = 16 << 20

// maxStatistic is the size in bytes of the longest value that stands in statistics.
const maxStatistic = 512

// encode writes r as one Parquet file, and returns how many of its last bytes are the footer: row groups, statistics, checksums. Every column is optional.
// Equal rows in equal order give equal bytes for one version of the codec's library: nothing in the file depends on time, host or concurrency. Its memory is
// borrowed.
func encode(r *rows, o WriteOptions) (body []byte, footer int, err error) {
	f, err := newFileEncoder(r.schema, o.Codec)
	if err != nil {
		return nil, 0, err
	}
	f.checked = true
	f.buf = append(borrowBytes(sizeAtMost(r, f.chunk.codec != nil && !f.textOnly))[:0], f.buf...)
	for from := 0; from < r.n; from += o.RowGroup {
		f.grow(from, r.n)
		f.group(r, from, min(from+o.RowGroup, r.n))
	}
	end := len(f.buf)
	f.footer()
	return f.buf, len(f.buf) - end, nil
}

// sizeAtMost is about the most that rows take as they are encoded: memory that is not written to costs nothing, and a slice that grows is copied over and over.
func sizeAtMost(r *rows, packed bool) (n int) {
	for i, f := range r.schema {
		switch c := &r.cols[i]; {
		case f.Type == Bool:
			n += r.n / 8
		case f.Type != String && f.Type != Bytes:
			n += 8 * r.n
		default:
			for _, s := range c.Str {
				n += 4 + len(s)
			}
		}
	}
	if packed {
		n /= 2
	}
	return n + 256*len(r.schema) + 4096
}

// fileEncoder encodes a file: its row groups one after another, then the footer.
type fileEncoder struct {
	schema   Schema
	chunk    *chunkEncoder // until the footer
	layouts  []layout      // of columns, from the first row group on
	groups   []groupMeta
	checked  bool // the footer has checksums
	textOnly bool // numbers stand without the codec
	sums     []byte
	buf      []byte // what is encoded
	written  int64  // bytes of the file that are not in buf any more
}

// groupMeta is what a footer says of a row group.
type groupMeta struct {
	rows   int
	chunks []chunkMeta
}

func newFileEncoder(s Schema, codec string) (*fileEncoder, error) {
	c := compressions[codec]
	f := &fileEncoder{schema: s, layouts: make([]layout, len(s)), buf: []byte(magic), chunk: borrowEncoder()}
	if c == compress.Codecs.Uncompressed {
		return f, nil
	}
	var err error
	f.chunk.codec, err = compress.GetCodec(c)
	f.chunk.number, f.chunk.choosy, f.textOnly = int(c), codec == "" || codec == "text", codec == "text"
	return f, err
}

// group encodes rows [from, to) as one row group. The rows that come first, 131,072 at most, say how all of a column stand.
func (f *fileEncoder) group(r *rows, from, to int) {
	g := groupMeta{rows: to - from, chunks: make([]chunkMeta, len(f.schema))}
	first := len(f.groups) == 0
	for k, field := range f.schema {
		c, e := &r.cols[k], f.chunk
		e.coded, e.bare = false, f.textOnly && field.Type != String && field.Type != Bytes
		sample := min(r.n, layoutSample)
		if first && to != sample {
			v, _ := e.present(c, field.Type, 0, sample)
			f.layouts[k] = e.layoutOf(v, field.Type)
			e.coded = false // those codes are of other rows
		}
		v, valid := e.present(c, field.Type, from, to)
		if first && to == sample {
			f.layouts[k] = e.layoutOf(v, field.Type)
		}
		at := len(f.buf)
		f.buf, g.chunks[k] = e.encode(f.buf, v, valid, to-from, field.Type, f.layouts[k])
		g.chunks[k].at += f.written
		g.chunks[k].data += f.written
		f.sums = binary.BigEndian.AppendUint32(f.sums, crc32.Checksum(f.buf[at:], castagnoli))
	}
	f.groups = append(f.groups, g)
}

// grow makes room for all of n rows, judging by those that are encoded, when what is left does not hold another row group: a slice that grows with each of
// them is copied four times over.
func (f *fileEncoder) grow(done, n int) {
	if have := len(f.buf); done > 0 && cap(f.buf)-have < have/(done/f.groups[0].rows) {
		left := int(float64(have) / float64(done) * float64(n-done))
		f.buf = slices.Grow(f.buf, left+left/16+4096)
	}
}

// Numbers of the format, beside those of page.go.
const (
	physicalBool   = 0
	physicalInt64  = 2
	physicalDouble = 5
	physicalBytes  = 6

	repetitionRequired = 0
	repetitionOptional = 1

	convertedUTF8   = 0
	convertedMicros = 10
	logicalString   = 1
	logicalTime     = 8
	unitMicros      = 2
)

var physicalOf = [...]int{Int64: physicalInt64, Time: physicalInt64, Float64: physicalDouble, String: physicalBytes, Bool: physicalBool, Bytes: physicalBytes}

// createdBy is the writer's name for itself, in the form that readers look for.
const createdBy = "rapport version 2.0.0"

// footer appends the footer, after which nothing more is encoded.
func (f *fileEncoder) footer() {
	f.chunk.giveBack()
	f.chunk = nil
	var rows int64
	for _, g := range f.groups {
		rows += int64(g.rows)
	}
	w := &thriftWriter{b: f.buf}
	at := len(w.b)
	w.begin()
	w.i32(1, 2) // the version of the format that has these encodings
	w.list(2, thriftStruct, 1+len(f.schema))
	w.begin()
	w.i32(3, repetitionRequired)
	w.text(4, "schema")
	w.i32(5, len(f.schema))
	w.end()
	for _, field := range f.schema {
		w.column(field)
	}
	w.i64(3, rows)
	w.list(4, thriftStruct, len(f.groups))
	for i := range f.groups {
		f.rowGroup(w, i)
	}
	if f.checked {
		w.list(5, thriftStruct, 1)
		w.begin()
		w.text(1, sumsKey)
		w.text(2, hex.EncodeToString(f.sums))
		w.end()
	}
	w.text(6, createdBy)
	w.list(7, thriftStruct, len(f.schema)) // the order that statistics mean: that of each type
	for range f.schema {
		w.begin()
		w.empty(1)
		w.end()
	}
	w.end()
	f.buf = binary.LittleEndian.AppendUint32(w.b, uint32(len(w.b)-at))
	f.buf = append(f.buf, magic...)
}

// column writes an element of the schema.
func (w *thriftWriter) column(f Field) {
	w.begin()
	w.i32(1, physicalOf[f.Type])
	w.i32(3, repetitionOptional)
	w.text(4, f.Name)
	switch f.Type {
	case String:
		w.i32(6, convertedUTF8)
		w.structure(10)
		w.empty(logicalString)
		w.end()
	case Time:
		w.i32(6, convertedMicros)
		w.structure(10)
		w.structure(logicalTime)
		w.field(1, thriftTrue) // in UTC
		w.structure(2)
		w.empty(unitMicros)
		w.end()
		w.end()
		w.end()
	}
	w.end()
}

// rowGroup writes what the footer says of a row group.
func (f *fileEncoder) rowGroup(w *thriftWriter, i int) {
	g := &f.groups[i]
	var size, unpacked int64
	w.begin()
	w.list(1, thriftStruct, len(g.chunks))
	for k := range g.chunks {
		m := &g.chunks[k]
		size, unpacked = size+m.size, unpacked+m.unpacked
		w.begin()
		w.i64(2, m.at)
		w.structure(3)
		m.write(w, f.schema[k])
		w.end()
		w.end()
	}
	w.i64(2, unpacked)
	w.i64(3, int64(g.rows))
	w.i64(5, g.chunks[0].at)
	w.i64(6, size)
	if i <= 1<<15-1 {
		w.i16(7, i)
	}
	w.end()
}

// write writes the fields of what the footer says of a column chunk.
func (m *chunkMeta) write(w *thriftWriter, f Field) {
	coded := m.layout == encodingDictionary
	w.i32(1, physicalOf[f.Type])
	encodings := []int{int(m.layout), encodingRLE}
	if coded {
		encodings = append(encodings, encodingPlain)
	}
	w.list(2, thriftI32, len(encodings))
	for _, e := range encodings {
		w.b = binary.AppendVarint(w.b, int64(e))
	}
	w.list(3, thriftBinary, 1)
	w.string(f.Name)
	w.i32(4, m.codec)
	w.i64(5, int64(m.values))
	w.i64(6, m.unpacked)
	w.i64(7, m.size)
	w.i64(9, m.data)
	if coded {
		w.i64(11, m.at)
	}
	w.structure(12)
	w.i64(3, int64(m.nulls))
	if m.least != nil {
		w.text(5, string(m.most))
		w.text(6, string(m.least))
	}
	w.end()
	stats := func(kind, encoding, pages int) {
		w.begin()
		w.i32(1, kind)
		w.i32(2, encoding)
		w.i32(3, pages)
		w.end()
	}
	if coded {
		w.list(13, thriftStruct, 2)
		stats(pageDictionary, encodingPlain, 1)
	} else {
		w.list(13, thriftStruct, 1)
	}
	stats(pageData, int(m.layout), m.pages)
}
