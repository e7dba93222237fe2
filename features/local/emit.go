package local

import (
	"cmp"
	"context"
	"slices"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// batchRows is how many rows of a view are put out at a time.
const batchRows = 8192

// entity is one row to be put out: where its state stands.
type entity struct {
	key   uint64
	shard uint32
	slot  uint32
}

// emit puts out the rows of view number i, sorted by entity, and returns their number.
func emit(ctx context.Context, v *viewProgram, rd *reader, shards []*shard, i int, out func(features.View, *table.Batch) error) (int64, error) {
	var rows []entity
	for s, sh := range shards {
		for slot, key := range sh.views[i].keys {
			rows = append(rows, entity{key: key, shard: uint32(s), slot: uint32(slot)})
		}
	}
	names := rd.dict(v.Key).names // empty for subjects
	if v.Key == features.KeyItem {
		slices.SortFunc(rows, func(a, b entity) int { return cmp.Compare(names[a.key], names[b.key]) })
	} else {
		slices.SortFunc(rows, func(a, b entity) int { return cmp.Compare(a.key, b.key) })
	}

	total := int64(len(rows))
	b := newBatch(v.Schema(nil), min(batchRows, len(rows)))
	for first := true; first || len(rows) > 0; first = false {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n := min(batchRows, len(rows))
		fill(b, v, shards, i, rows[:n], names)
		if err := out(v.View, b.Head(n)); err != nil {
			return 0, err
		}
		rows = rows[n:]
	}
	return total, nil
}

// buffer is a batch of fixed capacity, filled again and again.
type buffer struct{ table.Batch }

func newBatch(schema table.Schema, rows int) *buffer {
	b := &buffer{table.Batch{Schema: schema, Cols: make([]table.Column, len(schema))}}
	for i, f := range schema {
		c := &b.Cols[i]
		c.Valid = make([]bool, rows)
		switch f.Type {
		case table.Float64:
			c.Float = make([]float64, rows)
		case table.String:
			c.Str = make([]string, rows)
		default:
			c.Int = make([]int64, rows)
		}
	}
	return b
}

// Head returns the first n rows, with Valid nil where no value is null.
func (b *buffer) Head(n int) *table.Batch {
	head := &table.Batch{Schema: b.Schema, N: n, Cols: make([]table.Column, len(b.Cols))}
	for i, c := range b.Cols {
		switch {
		case c.Float != nil:
			c.Float = c.Float[:n]
		case c.Str != nil:
			c.Str = c.Str[:n]
		default:
			c.Int = c.Int[:n]
		}
		if c.Valid = c.Valid[:n]; !slices.Contains(c.Valid, false) {
			c.Valid = nil
		}
		head.Cols[i] = c
	}
	return head
}

// fill writes the rows to the head of the buffer. The slot of a null is zero.
func fill(b *buffer, v *viewProgram, shards []*shard, view int, rows []entity, names []string) {
	for i := range b.Cols {
		c := &b.Cols[i]
		clear(c.Float)
		for j := range rows {
			c.Valid[j] = true
		}
	}
	windows := len(v.windows)
	for j, e := range rows {
		if v.Key == features.KeyItem {
			b.Cols[0].Str[j] = names[e.key]
		} else {
			b.Cols[0].Int[j] = int64(e.key)
		}
		for f, acc := range shards[e.shard].views[view].feats {
			acc.put(b.Cols[1+f*windows:][:windows], j, e.slot)
		}
	}
}
