package table

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

const (
	magic          = "PAR1"
	magicEncrypted = "PARE"
	tailSize       = 8             // u32 footer length, magic
	maxFooter      = 64 << 20      // bytes
	maxSchema      = 1 << 14       // nodes of a schema
	maxNesting     = 64            // structs in structs of a footer; the format needs 7
	maxGroups      = 4 * maxLevels // that a column stands in: a list is three
	maxPath        = 8 << 10       // bytes of a column's name, with those of the groups that it stands in
)

// rawFile is the footer of a Parquet file that somebody else wrote.
type rawFile struct {
	*object
	meta *metadata.FileMetaData
	body int64 // bytes before the footer: no column chunk ends behind it
}

// openFile reads and checks a footer: two small reads, 8 bytes and then exactly the footer.
func openFile(ctx context.Context, o *object) (*rawFile, error) {
	f, err := openFooter(ctx, o)
	if errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("read %s: %w", o.info.Key, err)
	}
	return f, err
}

func openFooter(ctx context.Context, o *object) (*rawFile, error) {
	size := o.info.Size
	if size < int64(len(magic))+tailSize {
		return nil, fmt.Errorf("%w: %d bytes are no Parquet file; was it cut off?", ErrCorrupt, size)
	}
	tail, err := o.read(ctx, size-tailSize, tailSize)
	if err != nil {
		return nil, err
	}
	switch string(tail[4:]) {
	case magic:
	case magicEncrypted:
		return nil, fmt.Errorf("%w: its footer is encrypted, which rapport does not read; write it without encryption", ErrCorrupt)
	default:
		return nil, fmt.Errorf("%w: it does not end as a Parquet file does; it is another format, or was cut off", ErrCorrupt)
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	body := size - tailSize - n
	if n == 0 || n > maxFooter || body < int64(len(magic)) {
		return nil, fmt.Errorf("%w: it announces a footer of %d bytes in a file of %d", ErrCorrupt, n, size)
	}
	raw, err := o.read(ctx, body, n)
	if err != nil {
		return nil, err
	}
	return parseFooter(o, raw, body)
}

// parseFooter decodes and checks a footer, which stands at byte body of o.
func parseFooter(o *object, raw []byte, body int64) (*rawFile, error) {
	f := &rawFile{object: o, body: body}
	err := guard(func() (err error) {
		if err := checkThrift(raw); err != nil {
			return fmt.Errorf("%w: its footer: %v", ErrCorrupt, err)
		}
		f.meta, err = metadata.NewFileMetaData(raw, nil)
		if err != nil {
			return fmt.Errorf("%w: its footer: %v", ErrCorrupt, err)
		}
		f.meta.SetSourceFileSize(o.info.Size)
		return f.check()
	})
	return f, err
}

// check says why the footer contradicts itself or the object's size.
func (f *rawFile) check() error {
	if f.meta.IsSetEncryptionAlgorithm() {
		return fmt.Errorf("%w: it is encrypted, which rapport does not read; write it without encryption", ErrCorrupt)
	}
	var rows int64
	for i, g := range f.meta.RowGroups {
		if len(g.Columns) != f.meta.Schema.NumColumns() || g.NumRows < 0 {
			return fmt.Errorf("%w: row group %d has %d columns and %d rows, the schema %d columns", ErrCorrupt, i, len(g.Columns), g.NumRows, f.meta.Schema.NumColumns())
		}
		for k, c := range g.Columns {
			if c == nil || c.MetaData == nil {
				return fmt.Errorf("%w: row group %d says nothing of column %d", ErrCorrupt, i, k)
			}
		}
		rows += g.NumRows
	}
	if rows != f.meta.NumRows {
		return fmt.Errorf("%w: its row groups have %d rows, its footer says %d", ErrCorrupt, rows, f.meta.NumRows)
	}
	return nil
}

// legacyPadding is what the decoder may read behind a chunk of parquet-mr ≤ 1.2.8, which left its dictionary header out of the size
// (PARQUET-816): such a file's reads are this much longer.
const legacyPadding = 100

// chunk returns where the bytes of one column of one row group stand.
func (f *rawFile) chunk(group, leaf int) (span, error) {
	c := f.meta.RowGroups[group].Columns[leaf]
	m := c.MetaData
	s := span{off: m.DataPageOffset, n: m.TotalCompressedSize}
	if d := m.DictionaryPageOffset; d != nil && *d > 0 && *d < s.off {
		s.off = *d
	}
	if s.off < int64(len(magic)) || s.n < 0 || s.off > f.body || s.n > f.body-s.off || m.DataPageOffset > s.end() {
		return s, fmt.Errorf("%w: column %q stands at bytes %d+%d of %d", ErrCorrupt, f.meta.Schema.Column(leaf).Path(), s.off, s.n, f.body)
	}
	if c.GetFilePath() != "" {
		return s, fmt.Errorf("%w: column %q stands in another file (%.80q), which rapport does not follow", ErrCorrupt, f.meta.Schema.Column(leaf).Path(), c.GetFilePath())
	}
	if rows := f.meta.RowGroups[group].NumRows; f.meta.Schema.Column(leaf).MaxRepetitionLevel() == 0 && m.NumValues != rows {
		return s, fmt.Errorf("%w: column %q has %d values for %d rows", ErrCorrupt, f.meta.Schema.Column(leaf).Path(), m.NumValues, rows)
	}
	if f.meta.WriterVersion().LessThan(metadata.Parquet816FixedVersion) {
		s.n += min(legacyPadding, f.body-s.end())
	}
	return s, nil
}

// checkThrift walks a struct of Thrift's compact protocol without building it, and refuses any list, string or nesting that the bytes
// cannot hold: the decoder that follows allocates by what the bytes announce. It also bounds the schema (field 2 of a footer): its nodes, how deep they
// stand, and how long the names of columns are with all that they stand in, for the decoder writes out each of them.
func checkThrift(b []byte) error {
	w := thriftWalk{b: b}
	w.structure(0)
	return w.err
}

type thriftWalk struct {
	b   []byte
	err error

	schema   bool // in the elements of the schema, which stand parents first:
	name     int  // bytes of the name of the one that has been read,
	children int64
	open     []schemaLevel // and the groups that it stands in
}

// schemaLevel is a group of the schema, of which so many members are to come.
type schemaLevel struct {
	left int64
	path int // bytes of its name and of those that it stands in
}

// node puts the element of the schema that has been read into its place.
func (w *thriftWalk) node() {
	path := w.name + 1
	if n := len(w.open); n > 0 {
		path += w.open[n-1].path
		w.open[n-1].left--
	}
	if w.children > 0 {
		w.open = append(w.open, schemaLevel{w.children, path})
	}
	if path > maxPath || len(w.open) > maxGroups {
		w.fail("columns that stand more than %d groups deep, or have names of more than %d bytes with those", maxGroups, maxPath)
	}
	for n := len(w.open); n > 0 && w.open[n-1].left == 0; n = len(w.open) {
		w.open = w.open[:n-1]
	}
	w.name, w.children = 0, 0
}

func (w *thriftWalk) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
	w.b = nil
}

func (w *thriftWalk) uvarint() uint64 {
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		w.fail("it ends in a number")
		return 0
	}
	w.b = w.b[n:]
	return v
}

// zigzag reads a signed number.
func (w *thriftWalk) zigzag() int64 {
	v := w.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (w *thriftWalk) skip(n uint64) {
	if n > uint64(len(w.b)) {
		w.fail("%d bytes announced, %d there", n, len(w.b))
		return
	}
	w.b = w.b[n:]
}

func (w *thriftWalk) byte() byte {
	if len(w.b) == 0 {
		w.fail("it ends early")
		return 0
	}
	c := w.b[0]
	w.b = w.b[1:]
	return c
}

func (w *thriftWalk) structure(depth int) {
	if depth > maxNesting {
		w.fail("structs nested deeper than %d", maxNesting)
	}
	w.fields(func(id uint64, typ byte) bool {
		w.value(typ, depth, id)
		return true
	})
}

// fields walks a struct: read is called for each field and reports whether it has read its value, which is skipped otherwise.
func (w *thriftWalk) fields(read func(id uint64, typ byte) bool) {
	var id uint64
	for w.err == nil {
		h := w.byte()
		typ := h & 0x0f
		if typ == 0 {
			return
		}
		if delta := uint64(h >> 4); delta != 0 {
			id += delta
		} else {
			id = uint64(w.zigzag())
		}
		if !read(id, typ) {
			w.value(typ, 1, id)
		}
	}
}

// Types of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftStruct = 12
)

func (w *thriftWalk) value(typ byte, depth int, id uint64) {
	switch {
	case typ == thriftTrue || typ == thriftFalse: // the value stands in the type
	case typ == thriftByte:
		w.skip(1)
	case typ <= thriftI64:
		v := w.zigzag()
		if w.schema && depth == 2 && id == 5 {
			w.children = v
		}
	case typ == thriftDouble:
		w.skip(8)
	case typ == thriftBinary:
		n := w.uvarint()
		if w.skip(n); w.err == nil && w.schema && depth == 2 && id == 4 {
			w.name = int(n)
		}
	case typ == thriftList || typ == thriftSet:
		h := w.byte()
		n := uint64(h >> 4)
		if n == 15 {
			n = w.uvarint()
		}
		if depth == 0 && id == 2 && n > maxSchema {
			w.fail("a schema of %d nodes: at most %d", n, maxSchema)
		}
		w.schema = w.schema || depth == 0 && id == 2
		w.elements(n, h&0x0f, depth)
		w.schema = w.schema && depth > 0
	case typ == thriftStruct:
		w.structure(depth + 1)
	default: // a map: no part of a footer has one
		w.fail("unknown field type %d", typ)
	}
}

func (w *thriftWalk) elements(n uint64, typ byte, depth int) {
	if n > uint64(len(w.b)) { // each takes a byte at least
		w.fail("a list of %d elements in %d bytes", n, len(w.b))
	}
	for i := uint64(0); i < n && w.err == nil; i++ {
		if typ == thriftTrue || typ == thriftFalse {
			w.skip(1)
			continue
		}
		if depth > maxNesting {
			w.fail("lists nested deeper than %d", maxNesting)
		}
		w.value(typ, depth+1, 0)
		if w.schema && depth == 0 {
			w.node()
		}
	}
}
