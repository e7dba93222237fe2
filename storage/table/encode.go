package table

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// compressions are the codecs of WriteOptions.
var compressions = map[string]compress.Compression{"": compress.Codecs.Zstd, "zstd": compress.Codecs.Zstd, "snappy": compress.Codecs.Snappy}

// encode writes r as one Parquet file: row groups, statistics, dictionaries for text. Every column is optional.
// Equal rows in equal order give equal bytes for one version of the library: nothing in the file depends on time, host or concurrency.
func encode(r *rows, o WriteOptions) ([]byte, error) {
	root, err := parquetSchema(r.schema)
	if err != nil {
		return nil, err
	}
	props := []parquet.WriterProperty{
		parquet.WithCompression(compressions[o.Codec]),
		parquet.WithDictionaryDefault(false),
		parquet.WithStats(true),
	}
	for _, f := range r.schema {
		if f.Type == String {
			props = append(props, parquet.WithDictionaryPath(parquet.ColumnPath{f.Name}, true))
		}
	}
	var buf bytes.Buffer
	w, err := file.NewParquetWriterWithError(&buf, root, file.WithWriterProps(parquet.NewWriterProperties(props...)))
	if err != nil {
		return nil, err
	}
	for from := 0; from < r.n; from += o.RowGroup {
		if err := encodeGroup(w, r, from, min(from+o.RowGroup, r.n)); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
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

// encodeGroup writes rows [from, to) as one row group.
func encodeGroup(w *file.Writer, r *rows, from, to int) error {
	g, err := w.AppendRowGroupChecked()
	if err != nil {
		return err
	}
	levels := make([]int16, to-from)
	for i, f := range r.schema {
		cw, err := g.NextColumn()
		if err != nil {
			return err
		}
		c := &r.cols[i]
		for k := range levels {
			levels[k] = 1
			if c.Null(from + k) {
				levels[k] = 0
			}
		}
		switch f.Type {
		case Float64:
			_, err = cw.(*file.Float64ColumnChunkWriter).WriteBatch(present(c.Float[from:to], levels, same), levels, nil)
		case String, Bytes:
			_, err = cw.(*file.ByteArrayColumnChunkWriter).WriteBatch(
				present(c.Str[from:to], levels, func(s string) parquet.ByteArray { return parquet.ByteArray(s) }), levels, nil)
		case Bool:
			_, err = cw.(*file.BooleanColumnChunkWriter).WriteBatch(
				present(c.Int[from:to], levels, func(v int64) bool { return v != 0 }), levels, nil)
		default:
			_, err = cw.(*file.Int64ColumnChunkWriter).WriteBatch(present(c.Int[from:to], levels, same), levels, nil)
		}
		if err != nil {
			return fmt.Errorf("column %q: %w", f.Name, err)
		}
		if err := cw.Close(); err != nil {
			return fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	return g.Close()
}

// present converts the values whose level says that they are not null: Parquet stores these alone.
func present[T, P any](v []T, levels []int16, conv func(T) P) []P {
	out := make([]P, 0, len(v))
	for i, x := range v {
		if levels[i] == 1 {
			out = append(out, conv(x))
		}
	}
	return out
}

func same[T any](v T) T { return v }
