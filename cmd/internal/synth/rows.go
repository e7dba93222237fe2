package synth

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

// The files' rows. Times are microseconds in UTC. An optional column holds null where the field is its zero value.

type eventRow struct {
	UserID  string  `parquet:"user_id,dict"`
	SKU     string  `parquet:"sku,dict"`
	Time    int64   `parquet:"ts,timestamp(microsecond)"`
	Action  string  `parquet:"action,dict"`
	Amount  float64 `parquet:"amount,optional"`
	Device  string  `parquet:"device,dict"`
	Channel string  `parquet:"channel,dict,optional"`
}

type itemRow struct {
	SKU       string  `parquet:"sku"`
	Category  string  `parquet:"category,dict"`
	Brand     string  `parquet:"brand,dict"`
	Price     float64 `parquet:"price"`
	Published int64   `parquet:"published,timestamp(microsecond)"`
}

type subjectRow struct {
	UserID  string `parquet:"user_id"`
	Region  string `parquet:"region,dict"`
	AgeBand string `parquet:"age_band,dict"`
}

type cohortRow struct {
	UserID  string `parquet:"user_id"`
	Gender  string `parquet:"gender,dict,optional"`
	AgeBand string `parquet:"age_band,dict,optional"`
}

type consentRow struct {
	Subject   string `parquet:"subject"`
	Purpose   string `parquet:"purpose,dict"`
	State     string `parquet:"state,dict"`
	Effective int64  `parquet:"effective_at,timestamp(microsecond)"`
	Recorded  int64  `parquet:"recorded_at,timestamp(microsecond)"`
	Expires   int64  `parquet:"expires_at,timestamp(microsecond),optional"`
	Source    string `parquet:"source,dict"`
	RecordID  string `parquet:"record_id"`
}

// output is where files go, and how many went.
type output struct {
	bucket storage.Bucket
	prefix string

	mu    sync.Mutex
	files int
	bytes int64
}

// writeRows puts the rows as one Parquet file.
func writeRows[T any](ctx context.Context, out *output, name string, rows []T) error {
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[T](&buf, parquet.Compression(&snappy.Codec{}), parquet.CreatedBy("rapport-synth", "1", "-"))
	if _, err := w.Write(rows); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if _, err := out.bucket.Put(ctx, path.Join(out.prefix, name), storage.Bytes(buf.Bytes()), storage.Cond{}); err != nil {
		return err
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	out.files++
	out.bytes += int64(buf.Len())
	return nil
}
