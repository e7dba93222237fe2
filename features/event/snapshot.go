package event

import (
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// snapshotShards keeps an erasure from rewriting all of a snapshot of records about people.
const snapshotShards = 8

// snapshotChunk is how many records are handed to a writer at once.
const snapshotChunk = 8192

// newSnapshot stages a table of records about people under prefix, by subject in so many shards.
func newSnapshot(b storage.Bucket, prefix string, schema table.Schema, sortBy []string, shards int) *table.Writer {
	return table.NewWriter(b, prefix, schema, table.WriteOptions{Shards: shards, ShardBy: "subject", SortBy: sortBy})
}

// storeSnapshot writes records about people as one table under prefix. add appends a record to the columns of the schema.
func storeSnapshot[R any](ctx context.Context, b storage.Bucket, prefix, what string, schema table.Schema, sortBy []string, records []R, add func(cols []table.Column, r R)) (table.Manifest, error) {
	w := newSnapshot(b, prefix, schema, sortBy, snapshotShards)
	for chunk := range slices.Chunk(records, snapshotChunk) {
		cols := make([]table.Column, len(schema))
		for _, r := range chunk {
			add(cols, r)
		}
		if err := w.Append(&table.Batch{Schema: schema, N: len(chunk), Cols: cols}); err != nil {
			return table.Manifest{}, fmt.Errorf("store %s: %w", what, err)
		}
	}
	m, err := w.Finish(ctx)
	if err != nil {
		return table.Manifest{}, fmt.Errorf("store %s: %w", what, err)
	}
	return m, nil
}

// loadSnapshot reads what storeSnapshot wrote, in the order of compare. of makes the record of a row.
func loadSnapshot[R any](ctx context.Context, b storage.Bucket, m table.Manifest, what string, compare func(a, b R) int, of func(cols []table.Column, row int) R) ([]R, error) {
	out := make([]R, 0, m.Rows)
	for rows, err := range table.Read(ctx, b, m, table.ReadOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", what, err)
		}
		for i := range rows.N {
			out = append(out, of(rows.Cols, i))
		}
	}
	slices.SortFunc(out, compare)
	return out, nil
}
