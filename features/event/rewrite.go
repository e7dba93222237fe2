package event

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Rows tells which rows of a table are meant, by columns of integers or times.
type Rows struct {
	Says    string                       // in plain words, for errors: "of 2 subjects"
	Columns []string                     // Int64 or Time
	Are     func(values []int64) bool    // of one row, in the order of Columns; a row in which one of them is null is not meant
	May     func(shard, shards int) bool // whether a shard may hold one of them; nil: each may
}

// OfSubjects are the rows of subjects, whose numbers stand in a column by which the table is sharded.
func OfSubjects(column string, subjects map[policy.Subject]bool) Rows {
	return Rows{
		Says: fmt.Sprintf("of %d subjects", len(subjects)), Columns: []string{column},
		Are: func(values []int64) bool { return subjects[policy.Subject(values[0])] },
		May: mayHold(subjects),
	}
}

// mayHold tells which shards may hold rows of subjects.
func mayHold[T any](subjects map[policy.Subject]T) func(shard, shards int) bool {
	of := map[int]map[int]bool{} // by number of shards
	return func(shard, shards int) bool {
		if of[shards] == nil {
			of[shards] = map[int]bool{}
			for s := range subjects {
				of[shards][table.ShardOf(uint64(s), shards)] = true
			}
		}
		return of[shards][shard]
	}
}

// AndTimes are the rows of subjects whose time, in another column, is meant by at, which is asked for the subject and µs since the epoch.
// Of the subjects only the keys of the map count.
func AndTimes[T any](subjectColumn, timeColumn string, subjects map[policy.Subject]T, at func(s policy.Subject, t int64) bool) Rows {
	return Rows{
		Says: fmt.Sprintf("of some times of %d subjects", len(subjects)), Columns: []string{subjectColumn, timeColumn},
		Are: func(values []int64) bool {
			s := policy.Subject(values[0])
			_, ok := subjects[s]
			return ok && at(s, values[1])
		},
		May: mayHold(subjects),
	}
}

// AtTimes are the rows whose time (µs since the epoch) is meant by at.
func AtTimes(column, says string, at func(t int64) bool) Rows {
	return Rows{Says: says, Columns: []string{column}, Are: func(values []int64) bool { return at(values[0]) }}
}

// check says why a table can't be asked for the rows.
func (r Rows) check(m table.Manifest) error {
	for _, name := range r.Columns {
		if i := m.Schema.Index(name); i < 0 || m.Schema[i].Type != table.Int64 && m.Schema[i].Type != table.Time {
			return fmt.Errorf("it has no integer column %q", name)
		}
	}
	return nil
}

// in returns what tells of a row of a batch, its values and whether it is meant. The function is good until the next batch, the values until the next row.
func (r Rows) in(b *table.Batch) func(i int) (values []int64, meant bool) {
	cols, values := make([]*table.Column, len(r.Columns)), make([]int64, len(r.Columns))
	for j, name := range r.Columns {
		cols[j] = b.Col(name)
	}
	return func(i int) ([]int64, bool) {
		for j, c := range cols {
			if c.Null(i) {
				return nil, false
			}
			values[j] = c.Int[i]
		}
		return values, r.Are(values)
	}
}

// each yields the values of the rows of a part that are meant. They are good until the next. It reads the columns that tell.
func (r Rows) each(ctx context.Context, b storage.Bucket, m table.Manifest, p table.Part) iter.Seq2[[]int64, error] {
	return func(yield func([]int64, error) bool) {
		for batch, err := range table.Read(ctx, b, only(m, p), table.ReadOptions{Columns: r.Columns}) {
			if err != nil {
				yield(nil, err)
				return
			}
			row := r.in(batch)
			for i := range batch.N {
				if values, meant := row(i); meant && !yield(values, nil) {
					return
				}
			}
		}
	}
}

// Find yields the values, in the order of rows.Columns, of each row of a table that is meant. They are good until the next. It reads the columns
// that tell, of the shards that may hold such a row. The sequence ends after the first error.
func Find(ctx context.Context, b storage.Bucket, m table.Manifest, rows Rows) iter.Seq2[[]int64, error] {
	return func(yield func([]int64, error) bool) {
		if err := rows.check(m); err != nil {
			yield(nil, fmt.Errorf("look in table %.12s for rows %s: %w", m.Digest, rows.Says, err))
			return
		}
		for _, p := range m.Parts {
			if !rows.may(m, p.Shard) {
				continue
			}
			for values, err := range rows.each(ctx, b, m, p) {
				if err != nil {
					err = fmt.Errorf("look in table %.12s for rows %s: %w", m.Digest, rows.Says, err)
				}
				if !yield(values, err) || err != nil {
					return
				}
			}
		}
	}
}

// Count counts the rows of a table that are meant, and lists the parts of the shards that hold them: those that a successor without them does not name. It
// reads the columns that tell.
func Count(ctx context.Context, b storage.Bucket, m table.Manifest, rows Rows) (n int64, parts []table.Part, err error) {
	holds := map[int]bool{}
	for _, p := range m.Parts {
		before := n
		for _, err := range Find(ctx, b, only(m, p), rows) {
			if err != nil {
				return 0, nil, err
			}
			n++
		}
		holds[p.Shard] = holds[p.Shard] || n > before
	}
	for _, p := range m.Parts {
		if holds[p.Shard] {
			parts = append(parts, p)
		}
	}
	return n, parts, nil
}

func (r Rows) may(m table.Manifest, shard int) bool {
	return r.May == nil || r.May(shard, max(1, m.Shards))
}

// Emptied is the successor of a table without any row. The caller commits it, and then deletes the parts of m.
func Emptied(m table.Manifest) table.Manifest {
	digest := table.NewDigester(m.Schema)
	if m.Ordered {
		digest = table.NewOrderedDigester(m.Schema)
	}
	m.Parts = nil
	digest.Describe(&m)
	return m
}

// RewriteWithout writes the successor of a table without some rows: the primitive of erasure and purge. Only shards that hold such a row
// are written anew, under prefix; all other parts stay where they are and stand in the returned manifest as before. removed counts the rows
// left out; if it is 0, m is returned and nothing was written. The new digest is the old one without these rows; of a table whose manifest has no Sum all shards are read for it. The caller commits the
// manifest and then deletes the parts of m that it no longer names. column is the one by which the table is sharded.
func RewriteWithout(ctx context.Context, b storage.Bucket, m table.Manifest, prefix, column string, rows Rows) (next table.Manifest, removed int64, err error) {
	fail := func(err error) (table.Manifest, int64, error) {
		return table.Manifest{}, 0, fmt.Errorf("rewrite table %.12s without rows %s: %w", m.Digest, rows.Says, err)
	}
	if err := rows.check(m); err != nil {
		return fail(err)
	}
	if m.Ordered {
		return fail(fmt.Errorf("the order of its rows is part of it: build it again"))
	}
	holds, err := rows.shards(ctx, b, m)
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
	digest, whole := m.Digested()
	if !whole {
		digest = table.NewDigester(m.Schema)
	}
	next = m
	next.Parts = nil
	for _, p := range m.Parts {
		rewritten := slices.Contains(holds, p.Shard)
		if !rewritten {
			next.Parts = append(next.Parts, p)
			if whole {
				continue
			}
		}
		for batch, err := range table.Read(ctx, b, only(m, p), table.ReadOptions{}) {
			if err != nil {
				return fail(err)
			}
			if rewritten {
				others, meant := rows.split(batch)
				removed += int64(meant.N)
				if err := w.Append(others); err != nil {
					return fail(err)
				}
				if whole && meant.N > 0 {
					err = digest.Remove(meant)
				}
				batch = others
			}
			if !whole {
				err = digest.Add(batch)
			}
			if err != nil {
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
	digest.Describe(&next)
	return next, removed, nil
}

// only is the manifest of one part of m.
func only(m table.Manifest, p table.Part) table.Manifest {
	m.Parts, m.Rows = []table.Part{p}, p.Rows
	return m
}

// shards finds the shards that hold one of the rows. It reads the columns that tell, of the shards that may.
func (r Rows) shards(ctx context.Context, b storage.Bucket, m table.Manifest) ([]int, error) {
	var holds []int
	for _, p := range m.Parts {
		if !r.may(m, p.Shard) || slices.Contains(holds, p.Shard) {
			continue
		}
		for _, err := range r.each(ctx, b, m, p) {
			if err != nil {
				return nil, err
			}
			holds = append(holds, p.Shard)
			break
		}
	}
	return holds, nil
}

// split returns the other rows of b, and those that are meant.
func (r Rows) split(b *table.Batch) (others, meant *table.Batch) {
	var keep, take []int
	row := r.in(b)
	for i := range b.N {
		if _, is := row(i); is {
			take = append(take, i)
		} else {
			keep = append(keep, i)
		}
	}
	return rowsAt(b, keep), rowsAt(b, take)
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
