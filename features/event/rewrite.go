package event

import (
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// RewriteWithout writes the successor of a table without the rows of the given subjects: the primitive of erasure and purge. column is
// the Int64 column that holds subject numbers. Only shards that hold such a row are written anew, under prefix; all other parts stay
// where they are and stand in the returned manifest as before. removed counts the rows left out; if it is 0, m is returned and nothing was
// written. All shards are read, since the new digest is over all rows. The caller commits the manifest and then deletes the
// parts of m that it no longer names.
func RewriteWithout(ctx context.Context, b storage.Bucket, m table.Manifest, prefix, column string, subjects map[policy.Subject]bool) (next table.Manifest, removed int64, err error) {
	fail := func(err error) (table.Manifest, int64, error) {
		return table.Manifest{}, 0, fmt.Errorf("rewrite table %.12s without %d subjects: %w", m.Digest, len(subjects), err)
	}
	i := m.Schema.Index(column)
	switch {
	case i < 0 || m.Schema[i].Type != table.Int64:
		return fail(fmt.Errorf("it has no integer column %q", column))
	case m.Ordered:
		return fail(fmt.Errorf("the order of its rows is part of it: build it again"))
	}
	holds, err := shardsHolding(ctx, b, m, column, subjects)
	if err != nil {
		return fail(err)
	}
	if len(holds) == 0 {
		return m, 0, nil
	}
	o := table.WriteOptions{Shards: m.Shards, SortBy: m.Keys}
	if m.Shards > 1 {
		o.ShardBy = column
	}
	w := table.NewWriter(b, prefix, m.Schema, o)
	digest := table.NewDigester(m.Schema)
	next = m
	next.Parts = nil
	for _, p := range m.Parts {
		if !slices.Contains(holds, p.Shard) {
			next.Parts = append(next.Parts, p)
		}
		for batch, err := range table.Read(ctx, b, only(m, p), table.ReadOptions{}) {
			if err != nil {
				return fail(err)
			}
			if slices.Contains(holds, p.Shard) {
				var n int64
				if batch, n = without(batch, i, subjects); n > 0 {
					removed += n
				}
				if err := w.Append(batch); err != nil {
					return fail(err)
				}
			}
			if err := digest.Add(batch); err != nil {
				return fail(err)
			}
		}
	}
	rewritten, err := w.Finish(ctx)
	if err != nil {
		return fail(err)
	}
	next.Parts = append(next.Parts, rewritten.Parts...)
	slices.SortStableFunc(next.Parts, func(a, b table.Part) int { return a.Shard - b.Shard })
	next.Digest, next.Rows = digest.Sum(), digest.Rows()
	return next, removed, nil
}

// only is the manifest of one part of m.
func only(m table.Manifest, p table.Part) table.Manifest {
	m.Parts, m.Rows = []table.Part{p}, p.Rows
	return m
}

// shardsHolding finds the shards with a row of one of the subjects. It reads one column of the shards that may.
func shardsHolding(ctx context.Context, b storage.Bucket, m table.Manifest, column string, subjects map[policy.Subject]bool) ([]int, error) {
	may := map[int]bool{}
	for s := range subjects {
		may[table.ShardOf(uint64(s), max(1, m.Shards))] = true
	}
	var holds []int
	for _, p := range m.Parts {
		if !may[p.Shard] || slices.Contains(holds, p.Shard) {
			continue
		}
		for batch, err := range table.Read(ctx, b, only(m, p), table.ReadOptions{Columns: []string{column}}) {
			if err != nil {
				return nil, err
			}
			c := &batch.Cols[0]
			for i := range batch.N {
				if !c.Null(i) && subjects[policy.Subject(c.Int[i])] {
					holds = append(holds, p.Shard)
					break
				}
			}
			if slices.Contains(holds, p.Shard) {
				break
			}
		}
	}
	return holds, nil
}

// without returns the rows of b whose subject, in column at, is none of the given, and how many others there were.
func without(b *table.Batch, at int, subjects map[policy.Subject]bool) (*table.Batch, int64) {
	var keep []int
	for i := range b.N {
		if c := &b.Cols[at]; c.Null(i) || !subjects[policy.Subject(c.Int[i])] {
			keep = append(keep, i)
		}
	}
	return rowsAt(b, keep), int64(b.N - len(keep))
}

// RowsOf returns the rows of b whose subject, in the Int64 column at, is s.
func RowsOf(b *table.Batch, at int, s policy.Subject) *table.Batch {
	var keep []int
	for i := range b.N {
		if c := &b.Cols[at]; !c.Null(i) && policy.Subject(c.Int[i]) == s {
			keep = append(keep, i)
		}
	}
	return rowsAt(b, keep)
}

// rowsAt returns some rows of b.
func rowsAt(b *table.Batch, keep []int) *table.Batch {
	if len(keep) == b.N {
		return b
	}
	out := &table.Batch{Schema: b.Schema, N: len(keep), Cols: make([]table.Column, len(b.Cols))}
	for j := range b.Cols {
		from, to := &b.Cols[j], &out.Cols[j]
		to.Int, to.Float, to.Str, to.Valid = pick(from.Int, keep), pick(from.Float, keep), pick(from.Str, keep), pick(from.Valid, keep)
	}
	return out
}

func pick[T any](v []T, rows []int) []T {
	if v == nil {
		return nil
	}
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = v[r]
	}
	return out
}
