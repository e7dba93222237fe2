package importer

import (
	"bytes"
	"context"
	"fmt"
	"path"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"

	"github.com/rapport-ml/rapport/storage"
)

// The files' rows. Times are microseconds, taken for UTC. In an optional column an empty string or a nil pointer is null.

type eventRow struct {
	HouseholdID string   `parquet:"household_id,dict"`
	ProductID   string   `parquet:"product_id,dict"`
	Time        int64    `parquet:"ts,timestamp(microsecond)"`
	Kind        string   `parquet:"kind,dict"`
	Quantity    *int64   `parquet:"quantity,optional"`
	Amount      *float64 `parquet:"amount,optional"`
	Store       string   `parquet:"store,dict,optional"`
}

type itemRow struct {
	ProductID    string `parquet:"product_id"`
	Department   string `parquet:"department,dict,optional"`
	Category     string `parquet:"category,dict,optional"`
	ProductType  string `parquet:"product_type,dict,optional"`
	Brand        string `parquet:"brand,dict,optional"`
	Manufacturer string `parquet:"manufacturer,dict,optional"`
}

type cohortRow struct {
	HouseholdID   string `parquet:"household_id"`
	Age           string `parquet:"age,dict,optional"`
	Income        string `parquet:"income,dict,optional"`
	HomeOwnership string `parquet:"home_ownership,dict,optional"`
	MaritalStatus string `parquet:"marital_status,dict,optional"`
	HouseholdSize string `parquet:"household_size,dict,optional"`
	HouseholdComp string `parquet:"household_comp,dict,optional"`
	Kids          string `parquet:"kids,dict,optional"`
}

type consentRow struct {
	Subject   string `parquet:"subject"`
	Purpose   string `parquet:"purpose,dict"`
	State     string `parquet:"state,dict"`
	Effective int64  `parquet:"effective_at,timestamp(microsecond)"`
	Recorded  int64  `parquet:"recorded_at,timestamp(microsecond)"`
	Expires   int64  `parquet:"expires_at,timestamp(microsecond),optional"` // 0 is null: never
	Source    string `parquet:"source,dict"`
	RecordID  string `parquet:"record_id"`
}

// output is where files go, and how many went.
type output struct {
	bucket storage.Bucket
	prefix string
	files  int
	bytes  int64
}

// writeRows puts the rows as one Parquet file.
func writeRows[T any](ctx context.Context, out *output, name string, rows []T) error {
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[T](&buf, parquet.Compression(&snappy.Codec{}), parquet.CreatedBy("rapport-import", "1", "-"))
	if _, err := w.Write(rows); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if _, err := out.bucket.Put(ctx, path.Join(out.prefix, name), storage.Bytes(buf.Bytes()), storage.Cond{}); err != nil {
		return err
	}
	out.files++
	out.bytes += int64(buf.Len())
	return nil
}
