package table

import (
	"bytes"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
)

// FileWriter writes rows as one Parquet file that others read, in the order in which they come. It holds one row group of 131,072 rows in memory.
// What it writes is no committed table: it has no manifest, and nothing verifies it.
type FileWriter struct {
	to  io.Writer
	buf bytes.Buffer // what is encoded and not written yet
	w   *file.Writer
	r   *rows
}

// NewFileWriter returns a writer of rows with this schema to w, which stays open.
func NewFileWriter(w io.Writer, s Schema) (*FileWriter, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	root, err := parquetSchema(s)
	if err != nil {
		return nil, err
	}
	props := []parquet.WriterProperty{parquet.WithCompression(compressions[""]), parquet.WithDictionaryDefault(false), parquet.WithStats(true)}
	for _, f := range s {
		if f.Type == String {
			props = append(props, parquet.WithDictionaryPath(parquet.ColumnPath{f.Name}, true))
		}
	}
	f := &FileWriter{to: w, r: newRows(s)}
	f.w, err = file.NewParquetWriterWithError(&f.buf, root, file.WithWriterProps(parquet.NewWriterProperties(props...)))
	return f, err
}

// Append adds rows, which have the writer's schema.
func (f *FileWriter) Append(b *Batch) error {
	if err := f.r.add(b, nil); err != nil {
		return err
	}
	if f.r.n < defaultRowGroup {
		return nil
	}
	return f.group()
}

func (f *FileWriter) group() error {
	if _, err := encodeGroup(f.w, &f.buf, f.r, 0, f.r.n, nil); err != nil {
		return fmt.Errorf("encode rows: %w", err)
	}
	f.r = newRows(f.r.schema)
	_, err := f.buf.WriteTo(f.to)
	return err
}

// Close writes the rows that are left, and the footer.
func (f *FileWriter) Close() error {
	if f.r.n > 0 {
		if err := f.group(); err != nil {
			return err
		}
	}
	if err := f.w.Close(); err != nil {
		return fmt.Errorf("encode the footer: %w", err)
	}
	_, err := f.buf.WriteTo(f.to)
	return err
}
