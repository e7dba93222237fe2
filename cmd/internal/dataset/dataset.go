// Package dataset writes, and reads back, the raw Parquet files that a project starts from, as a company's exporter would: what synth invents and what
// importer converts.
package dataset

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"sync"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"

	"github.com/rapport-ml/rapport/storage"
)

// ConsentRow is a row of a consent file. Times are in µs since the epoch; Expires 0 is null: never.
type ConsentRow struct {
	Subject   string `parquet:"subject"`
	Purpose   string `parquet:"purpose,dict"`
	State     string `parquet:"state,dict"`
	Effective int64  `parquet:"effective_at,timestamp(microsecond)"`
	Recorded  int64  `parquet:"recorded_at,timestamp(microsecond)"`
	Expires   int64  `parquet:"expires_at,timestamp(microsecond),optional"`
	Source    string `parquet:"source,dict"`
	RecordID  string `parquet:"record_id"`
}

// Output is where files go, and how many went. It is safe for concurrent use.
type Output struct {
	Bucket storage.Bucket
	Prefix string
	Writer string // name of the program in the files

	mu    sync.Mutex
	files int
	bytes int64
}

// Written returns the number of files and bytes so far.
func (o *Output) Written() (files int, bytes int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.files, o.bytes
}

// Write puts the rows as one Parquet file (snappy), replacing what stands there.
func Write[T any](ctx context.Context, out *Output, name string, rows []T) error {
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[T](&buf, parquet.Compression(&snappy.Codec{}), parquet.CreatedBy(out.Writer, "1", "-"))
	if _, err := w.Write(rows); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if _, err := out.Bucket.Put(ctx, path.Join(out.Prefix, name), storage.Bytes(buf.Bytes()), storage.Cond{}); err != nil {
		return err
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	out.files++
	out.bytes += int64(buf.Len())
	return nil
}
