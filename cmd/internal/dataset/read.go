package dataset

import (
	"bytes"
	"context"
	"fmt"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/storage"
)

// Read reads the rows of one file.
func Read[T any](ctx context.Context, b storage.Bucket, key string) ([]T, error) {
	body, _, err := storage.ReadAll(ctx, b, key)
	if err != nil {
		return nil, err
	}
	rows, err := parquet.Read[T](bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return rows, nil
}

// Each calls f for each row of the files under a prefix, in the order of their names.
func Each[T any](ctx context.Context, b storage.Bucket, prefix string, f func(T)) error {
	for info, err := range b.List(ctx, prefix, storage.ListOpt{}) {
		if err != nil {
			return err
		}
		rows, err := Read[T](ctx, b, info.Key)
		if err != nil {
			return err
		}
		for _, row := range rows {
			f(row)
		}
	}
	return nil
}
