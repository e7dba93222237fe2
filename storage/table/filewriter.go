package table

import (
	"fmt"
	"io"
)

// FileWriter writes rows as one Parquet file that others read, in the order in which they come. It holds one row group of 131,072 rows in memory.
// What it writes is no committed table: it has no manifest, and nothing verifies it.
type FileWriter struct {
	to io.Writer
	f  *fileEncoder
	r  *rows
}

// NewFileWriter returns a writer of rows with this schema to w, which stays open.
func NewFileWriter(w io.Writer, s Schema) (*FileWriter, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	f, err := newFileEncoder(s, "")
	return &FileWriter{w, f, newRows(s)}, err
}

// Append adds rows, which have the writer's schema.
func (f *FileWriter) Append(b *Batch) error {
	if err := f.r.add(b, all(b)); err != nil {
		return err
	}
	if f.r.n < defaultRowGroup {
		return nil
	}
	return f.group()
}

func (f *FileWriter) group() error {
	f.f.group(f.r, 0, f.r.n)
	f.r = newRows(f.r.schema)
	return f.write()
}

// write writes what is encoded.
func (f *FileWriter) write() error {
	n, err := f.to.Write(f.f.buf)
	f.f.written += int64(n)
	f.f.buf = f.f.buf[:0]
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

// Close writes the rows that are left, and the footer.
func (f *FileWriter) Close() error {
	if f.r.n > 0 {
		if err := f.group(); err != nil {
			return err
		}
	}
	f.f.footer()
	return f.write()
}
