package table

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
)

// rawGroup is a row group under the decoder.
type rawGroup struct {
	*file.RowGroupReader
	file  *rawFile
	index int
	bytes *sparse
}

// openGroup gives the decoder a row group of which it can read the fetched chunks alone.
func openGroup(f *rawFile, src *groupSource) (*rawGroup, error) {
	props := parquet.NewReaderProperties(memory.DefaultAllocator)
	props.BufferedStreamEnabled = true // pages are taken from the fetched chunk as they are needed, not copied as a whole
	r, err := file.NewParquetReader(src.bytes, file.WithMetadata(f.meta), file.WithReadProps(props))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return &rawGroup{r.RowGroup(src.group), f, src.group, src.bytes}, nil
}

// columnReader delivers one column of one row group.
type columnReader struct {
	read  func(dst *Column, n int) error // the next n rows; of a column in a list, the next n entries
	chunk file.ColumnChunkReader
	valid []bool // backs Column.Valid
	at    int64  // rows or entries read before
	// The levels of the entries that read has read, of a column in a list.
	def, rep []int16
}

func (r *columnReader) close() {
	if r != nil && r.chunk != nil {
		// The reader holds memory only, and reports nothing that a read has not.
		_ = guard(r.chunk.Close)
	}
}

// open starts reading the column in g.
func (c *source) open(g *rawGroup) (*columnReader, error) {
	r := &columnReader{}
	if c.missing() {
		r.read = func(dst *Column, n int) error {
			for i := range n {
				r.null(dst, i, n, c.typ)
			}
			return nil
		}
		return r, nil
	}
	if plain := c.openPlain(g); plain != nil {
		return plain, nil
	}
	chunk, err := g.Column(c.leaf)
	if err != nil {
		return nil, c.failed(g, err)
	}
	r.chunk = chunk
	switch chunk := chunk.(type) {
	case *file.BooleanColumnChunkReader:
		pump(r, c, g, chunk.ReadBatchInPage, func(dst *Column, i int, v bool) error {
			dst.Int[i] = 0
			if v {
				dst.Int[i] = 1
			}
			return nil
		}, nil)
	case *file.Int32ColumnChunkReader:
		set := c.setInteger()
		pump(r, c, g, chunk.ReadBatchInPage, func(dst *Column, i int, v int32) error { return set(dst, i, c.widen(v)) }, nil)
	case *file.Int64ColumnChunkReader:
		pump(r, c, g, chunk.ReadBatchInPage, c.setInteger(), c.setIntegers())
	case *file.Int96ColumnChunkReader:
		pump(r, c, g, chunk.ReadBatchInPage, func(dst *Column, i int, v parquet.Int96) error {
			if c.typ == String {
				dst.Str[i] = c.timeText(int96Micros(v))
				return nil
			}
			dst.Int[i] = int96Micros(v)
			return nil
		}, nil)
	case *file.Float32ColumnChunkReader:
		pump(r, c, g, chunk.ReadBatchInPage, func(dst *Column, i int, v float32) error {
			dst.Float[i] = float64(v)
			return nil
		}, nil)
	case *file.Float64ColumnChunkReader:
		pump(r, c, g, chunk.ReadBatchInPage, func(dst *Column, i int, v float64) error {
			dst.Float[i] = v
			return nil
		}, func(dst *Column, at int, v []float64) { copy(dst.Float[at:], v) })
	case *file.ByteArrayColumnChunkReader:
		set := c.setBytes()
		pump(r, c, g, chunk.ReadBatchInPage, func(dst *Column, i int, v parquet.ByteArray) error { return set(dst, i, v) }, nil)
	case *file.FixedLenByteArrayColumnChunkReader:
		set := c.setBytes()
		pump(r, c, g, chunk.ReadBatchInPage, func(dst *Column, i int, v parquet.FixedLenByteArray) error { return set(dst, i, v) }, nil)
	default:
		return nil, fmt.Errorf("%w: unknown physical type", ErrCorrupt)
	}
	return r, nil
}

// openPlain reads the column by its pages, as Read does, if it is as most writers write: numbers of 64 bits, times in UTC, or text, outside lists and
// optional structs, in pages of the first version, all of them in memory. It returns nil for everything else, which the library reads.
func (c *source) openPlain(g *rawGroup) *columnReader {
	switch physical := c.desc.PhysicalType(); {
	case c.desc.MaxRepetitionLevel() != 0 || c.desc.MaxDefinitionLevel() > 1:
		return nil
	case physical == parquet.Types.Int64 && c.setIntegers() != nil:
	case physical == parquet.Types.Double && c.typ == Float64:
	case physical == parquet.Types.ByteArray && c.kind == text && c.typ == String:
	default:
		return nil
	}
	at, err := g.file.chunk(g.index, c.leaf)
	if err != nil {
		return nil
	}
	group := g.file.meta.RowGroups[g.index]
	o := chunkOptions{typ: c.typ, required: c.desc.MaxDefinitionLevel() == 0, text: c.text}
	if o.codec, err = codecOf(int(group.Columns[c.leaf].MetaData.Codec)); err != nil {
		return nil
	}
	var pages *chunkReader
	err = guard(func() (err error) {
		pages, err = openChunk(g.bytes.loaded(at), group.NumRows, o, &c.spare)
		return err
	})
	if err != nil || !pages.known() { // what is damaged is better told by who reads everything
		return nil
	}
	convert := c.setIntegers()
	return &columnReader{read: func(dst *Column, n int) error {
		if err := pages.fill(dst, n); err != nil {
			return err
		}
		if c.typ == Time {
			convert(dst, 0, dst.Int[:n])
		}
		return nil
	}}
}

// failed tells an error of the bucket, which stays what it is, from one of the decoder.
func (c *source) failed(g *rawGroup, err error) error {
	if g.bytes.err != nil {
		return g.bytes.err
	}
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrColumn) {
		return err
	}
	return fmt.Errorf("%w: %v", ErrCorrupt, err)
}

// pageBatch is a typed reader's ReadBatchInPage: up to n rows of one page, the values that are not null in values, dense, and a
// definition level for each row.
type pageBatch[T any] func(n int64, values []T, def, rep []int16) (rows int64, present int, err error)

// emptyPages is how many pages without a row may follow each other: the decoder reports each as an end.
const emptyPages = 16

// pump makes r read rows with batch and deliver each value with set, or, if there is such a function, those of a batch without nulls with all.
func pump[T any](r *columnReader, c *source, g *rawGroup, batch pageBatch[T], set func(dst *Column, i int, v T) error, all func(dst *Column, at int, v []T)) {
	var values []T
	most := c.desc.MaxDefinitionLevel() // the level of a row that is not null; 0: no row is null
	r.read = func(dst *Column, n int) error {
		values = resized(values, n)
		if most > 0 {
			r.def = resized(r.def, n)
		}
		if c.listed() {
			r.rep = resized(r.rep, n)
		}
		for at, empty := 0, 0; at < n; {
			var def, rep []int16
			if most > 0 {
				def = r.def[at:]
			}
			if c.listed() {
				rep = r.rep[at:]
			}
			rows, present, err := batch(int64(n-at), values, def, rep)
			if err != nil || g.bytes.err != nil { // the decoder's buffer may have swallowed the bucket's error
				return c.failed(g, err)
			}
			if rows == 0 {
				if empty++; empty > emptyPages {
					return fmt.Errorf("%w: its pages end %d rows early", ErrCorrupt, n-at)
				}
				continue
			}
			if all != nil && present == int(rows) {
				all(dst, at, values[:present])
				at += int(rows)
				continue
			}
			next := 0
			for i := at; i < at+int(rows); i++ {
				if most > 0 && r.def[i] < most {
					r.null(dst, i, n, c.typ)
					continue
				}
				if next == present {
					return fmt.Errorf("%w: a page has fewer values than it says", ErrCorrupt)
				}
				switch err := set(dst, i, values[next]); {
				case err == errNull:
					r.null(dst, i, n, c.typ)
				case err != nil:
					return c.at(err, r.at+int64(i))
				}
				next++
			}
			at += int(rows)
		}
		r.at += int64(n)
		return nil
	}
}

// errNull is what a conversion returns for a value that stands for none.
var errNull = errors.New("null")

// at says in which row of its row group a value did not fit. Its message does not hold the value.
func (c *source) at(err error, row int64) error {
	if !errors.Is(err, ErrNoTime) && !errors.Is(err, ErrNoZone) {
		return err
	}
	what := "row"
	if c.listed() {
		what = "element"
	}
	hint := "say in which form times are written, as %d.%m.%Y %H:%M, or correct the producer"
	switch {
	case errors.Is(err, ErrNoZone):
		hint = "say which zone the times are in"
	case c.texts.verbs != nil:
		hint = "the declared form is another"
	}
	return fmt.Errorf("%w: %q is %s, wanted as time, and %s %d (from 0) of the row group %w: %s", ErrColumn, c.name, describe(c.desc), what, row, err, hint)
}

// null marks row i of n as null.
func (r *columnReader) null(dst *Column, i, n int, t Type) {
	if dst.Valid == nil {
		r.valid = resized(r.valid, n)
		for k := range r.valid {
			r.valid[k] = true
		}
		dst.Valid = r.valid
	}
	dst.clear(i, t)
}

// setInteger returns the conversion of INT32 and INT64 values.
func (c *source) setInteger() func(dst *Column, i int, v int64) error {
	switch {
	case c.kind == decimal && c.typ == String:
		var names interner[int64]
		return func(dst *Column, i int, v int64) error {
			s, ok := names[v]
			if !ok {
				s = decimalText(big.NewInt(v), c.scale)
				names.put(v, s)
			}
			dst.Str[i] = s
			return nil
		}
	case c.kind == decimal:
		pow := math.Pow10(int(c.scale))
		return func(dst *Column, i int, v int64) error {
			dst.Float[i] = float64(v) / pow
			return nil
		}
	case c.typ == Time:
		clock := wallClock{zone: c.zone}
		return func(dst *Column, i int, v int64) error {
			t := c.micros(v)
			if c.local && clock.zone != nil {
				t = clock.utc(t)
			}
			dst.Int[i] = t
			return nil
		}
	case c.typ == Float64:
		return func(dst *Column, i int, v int64) error {
			f, exact := float64(v), float64(v) < 1<<63 && int64(float64(v)) == v
			if c.kind == unsigned {
				f = float64(uint64(v))
				exact = f < 1<<64 && uint64(f) == uint64(v)
			}
			if !exact {
				f = math.NaN()
			}
			dst.Float[i] = f
			return nil
		}
	case c.typ == String:
		var names interner[int64]
		return func(dst *Column, i int, v int64) error {
			s, ok := names[v]
			if !ok {
				switch c.kind {
				case unsigned:
					s = strconv.FormatUint(uint64(v), 10)
				case instant, date:
					s = c.timeText(c.micros(v))
				default:
					s = strconv.FormatInt(v, 10)
				}
				names.put(v, s)
			}
			dst.Str[i] = s
			return nil
		}
	}
	return func(dst *Column, i int, v int64) error {
		if v < 0 && c.kind == unsigned {
			return fmt.Errorf("%w: it holds unsigned numbers over 2⁶³−1, which an int64 cannot; declare it as string", ErrColumn)
		}
		dst.Int[i] = v
		return nil
	}
}

// timeText is a time of the column as text, in the form that Want says.
func (c *source) timeText(micros int64) string {
	t := time.UnixMicro(micros).UTC()
	switch {
	case c.kind == date:
		return t.Format(time.DateOnly)
	case c.local:
		return t.Format("2006-01-02T15:04:05.999999")
	}
	return t.Format(time.RFC3339Nano)
}

// setIntegers returns the conversion of many INT64 values at once, or nil if there is none but setInteger.
func (c *source) setIntegers() func(dst *Column, at int, v []int64) {
	switch {
	case c.typ == Int64 && c.kind == signed:
		return func(dst *Column, at int, v []int64) { copy(dst.Int[at:], v) }
	case c.typ == Time && !c.local && c.kind != date:
		return func(dst *Column, at int, v []int64) {
			to := dst.Int[at : at+len(v)]
			for i, x := range v {
				to[i] = c.micros(x)
			}
		}
	}
	return nil
}

// setBytes returns the conversion of BYTE_ARRAY and FIXED_LEN_BYTE_ARRAY values, which are the decoder's memory and are copied.
func (c *source) setBytes() func(dst *Column, i int, v []byte) error {
	switch c.kind {
	case decimal:
		return func(dst *Column, i int, v []byte) error {
			if len(v) > maxDecimal {
				return fmt.Errorf("%w: a decimal of %d bytes", ErrCorrupt, len(v))
			}
			if c.typ == String {
				dst.Str[i] = decimalText(twosComplement(v), c.scale)
				return nil
			}
			dst.Float[i] = bigDecimal(v, c.scale)
			return nil
		}
	case half:
		return func(dst *Column, i int, v []byte) error {
			dst.Float[i] = float64(float16.FromLEBytes(v).Float32())
			return nil
		}
	case uuid:
		return func(dst *Column, i int, v []byte) error {
			if len(v) != 16 {
				return fmt.Errorf("%w: a UUID of %d bytes", ErrCorrupt, len(v))
			}
			dst.Str[i] = fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
			return nil
		}
	}
	if c.typ == Time {
		return func(dst *Column, i int, v []byte) (err error) {
			if len(v) == 0 { // writers do not agree on which of the two a missing text is
				return errNull
			}
			if len(v) > maxTimeText {
				return ErrNoTime
			}
			dst.Int[i], err = c.texts.Micros(string(v))
			return err
		}
	}
	return func(dst *Column, i int, v []byte) (err error) {
		dst.Str[i], err = c.text(v)
		return err
	}
}

// text is v as a string, the same one as long as it is remembered.
func (c *source) text(v []byte) (string, error) {
	slot := c.seen.find(v)
	if slot != nil && *slot == string(v) {
		return *slot, nil
	}
	if !utf8.Valid(v) {
		return "", fmt.Errorf("%w: it holds bytes that are not UTF-8 text; write it as UTF-8, or as hex or base64", ErrColumn)
	}
	s := string(v)
	if slot != nil {
		c.seen.put(slot, s)
	}
	return s, nil
}

// maxDecimal bounds the bytes of a decimal: twice what its 76 digits need.
const maxDecimal = 64

// maxTimeText bounds a time as text, in bytes.
const maxTimeText = 256

// twosComplement is a big-endian number in two's complement.
func twosComplement(v []byte) *big.Int {
	n := new(big.Int).SetBytes(v)
	if len(v) > 0 && v[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v))))
	}
	return n
}

// bigDecimal is the float64 nearest to a big-endian two's complement number divided by 10^scale.
func bigDecimal(v []byte, scale int32) float64 {
	q := new(big.Rat).SetFrac(twosComplement(v), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	f, _ := q.Float64()
	return f
}

// decimalText is n divided by 10^scale in its one canonical form: see Want.
func decimalText(n *big.Int, scale int32) string {
	s := new(big.Int).Abs(n).String()
	if scale > 0 {
		if short := int(scale) + 1 - len(s); short > 0 {
			s = strings.Repeat("0", short) + s
		}
		point := len(s) - int(scale)
		s = strings.TrimRight(strings.TrimRight(s[:point]+"."+s[point:], "0"), ".")
	}
	if n.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// interner keeps one string for each value, so that a value that recurs is allocated once. It forgets all when it is full.
type interner[K comparable] map[K]string

const internLimit = 1 << 16

func (m *interner[K]) put(k K, s string) {
	if *m == nil || len(*m) >= internLimit {
		*m = make(interner[K])
	}
	(*m)[k] = s
}
