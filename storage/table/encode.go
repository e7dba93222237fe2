package table

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"unsafe"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// compressions are the codecs of WriteOptions.
var compressions = map[string]compress.Compression{
	"": compress.Codecs.Zstd, "zstd": compress.Codecs.Zstd, "snappy": compress.Codecs.Snappy, "none": compress.Codecs.Uncompressed,
}

// sumsKey names the entry of a footer that holds the CRC-32C of each column chunk, eight hexadecimal digits each, row group by row group.
const sumsKey = "rapport.crc32c"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxDictionary is the size in bytes of a dictionary beyond which the rest of a row group stands without one.
const maxDictionary = 16 << 20

// maxStatistic is the size in bytes of the longest value that stands in statistics. arrow-go miscounts a chunk's bytes where the header of a page,
// which holds up to four of them, is longer than 4096.
const maxStatistic = 512

// encode writes r as one Parquet file, and returns how many of its last bytes are the footer: row groups, statistics, dictionaries for text. Every column is optional.
// Equal rows in equal order give equal bytes for one version of the library: nothing in the file depends on time, host or concurrency.
func encode(r *rows, o WriteOptions) (body []byte, footer int, err error) {
	root, err := parquetSchema(r.schema)
	if err != nil {
		return nil, 0, err
	}
	props := []parquet.WriterProperty{
		parquet.WithCompression(compressions[o.Codec]),
		parquet.WithCompressionLevel(1), // layoutOf leaves little to a codec that looks harder
		parquet.WithDictionaryDefault(false),
		parquet.WithDictionaryPageSizeLimit(maxDictionary),
		parquet.WithStats(true),
		parquet.WithMaxStatsSize(maxStatistic),
	}
	set := new(wordSet)
	for i, f := range r.schema {
		path := parquet.ColumnPath{f.Name}
		if l := layoutOf(&r.cols[i], f.Type, r.n, set); l.dictionary {
			props = append(props, parquet.WithDictionaryPath(path, true))
		} else {
			props = append(props, parquet.WithEncodingPath(path, l.encoding))
		}
	}
	var buf bytes.Buffer
	w, err := file.NewParquetWriterWithError(&buf, root, file.WithWriterProps(parquet.NewWriterProperties(props...)))
	if err != nil {
		return nil, 0, err
	}
	var sums []byte
	for from := 0; from < r.n; from += o.RowGroup {
		if sums, err = encodeGroup(w, &buf, r, from, min(from+o.RowGroup, r.n), sums); err != nil {
			return nil, 0, err
		}
	}
	if err := w.AppendKeyValueMetadata(sumsKey, hex.EncodeToString(sums)); err != nil {
		return nil, 0, err
	}
	end := buf.Len()
	if err := w.Close(); err != nil {
		return nil, 0, err
	}
	return buf.Bytes(), buf.Len() - end, nil
}

func parquetSchema(s Schema) (*schema.GroupNode, error) {
	var fields schema.FieldList
	for _, f := range s {
		var (
			logical  schema.LogicalType = schema.NoLogicalType{}
			physical parquet.Type
		)
		switch f.Type {
		case Int64:
			physical = parquet.Types.Int64
		case Time:
			physical = parquet.Types.Int64
			logical = schema.NewTimestampLogicalType(true, schema.TimeUnitMicros)
		case Float64:
			physical = parquet.Types.Double
		case String:
			physical = parquet.Types.ByteArray
			logical = schema.StringLogicalType{}
		case Bytes:
			physical = parquet.Types.ByteArray
		case Bool:
			physical = parquet.Types.Boolean
		}
		node, err := schema.NewPrimitiveNodeLogical(f.Name, parquet.Repetitions.Optional, logical, physical, -1, -1)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		fields = append(fields, node)
	}
	return schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
}

// encodeGroup writes rows [from, to) as one row group, through w to buf, and appends the checksums of its column chunks to sums.
func encodeGroup(w *file.Writer, buf *bytes.Buffer, r *rows, from, to int, sums []byte) ([]byte, error) {
	g, err := w.AppendRowGroupChecked()
	if err != nil {
		return nil, err
	}
	n := to - from
	ones, some := slices.Repeat([]int16{1}, n), []int16(nil)
	for i, f := range r.schema {
		at := buf.Len()
		cw, err := g.NextColumn()
		if err != nil {
			return nil, err
		}
		c := &r.cols[i]
		levels := ones
		var valid []bool
		if c.Valid != nil && slices.Contains(c.Valid[from:to], false) {
			valid = c.Valid[from:to]
			some = resized(some, n)
			levels = some
			for k, v := range valid {
				levels[k] = 0
				if v {
					levels[k] = 1
				}
			}
		}
		switch f.Type {
		case Float64:
			_, err = cw.(*file.Float64ColumnChunkWriter).WriteBatch(present(c.Float[from:to], valid), levels, nil)
		case String, Bytes:
			_, err = cw.(*file.ByteArrayColumnChunkWriter).WriteBatch(
				converted(c.Str[from:to], valid, func(s string) parquet.ByteArray { return unsafe.Slice(unsafe.StringData(s), len(s)) }), levels, nil)
		case Bool:
			_, err = cw.(*file.BooleanColumnChunkWriter).WriteBatch(converted(c.Int[from:to], valid, func(v int64) bool { return v != 0 }), levels, nil)
		default:
			_, err = cw.(*file.Int64ColumnChunkWriter).WriteBatch(present(c.Int[from:to], valid), levels, nil)
		}
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		if err := cw.Close(); err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		sums = binary.BigEndian.AppendUint32(sums, crc32.Checksum(buf.Bytes()[at:], castagnoli))
	}
	return sums, g.Close()
}

// present returns the values that are not null, which are what Parquet stores: v itself if all are (valid is nil).
func present[T any](v []T, valid []bool) []T {
	if valid == nil {
		return v
	}
	return converted(v, valid, func(v T) T { return v })
}

// converted is present with each value as another type.
func converted[T, P any](v []T, valid []bool, conv func(T) P) []P {
	out := make([]P, 0, len(v))
	for i, x := range v {
		if valid == nil || valid[i] {
			out = append(out, conv(x))
		}
	}
	return out
}
