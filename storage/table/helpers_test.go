package table

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/rapport-ml/rapport/storage"
)

// put stores body at key and returns its Info.
func put(t testing.TB, b storage.Bucket, key string, body []byte) storage.Info {
	t.Helper()
	info, err := b.Put(context.Background(), key, storage.Bytes(body), storage.Cond{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// rawColumn is a column of a raw file under test: its node and how the values of rows [from, to) are written.
type rawColumn struct {
	node   schema.Node
	write  func(w file.ColumnChunkWriter, from, to int) error
	leaves []func(w file.ColumnChunkWriter, from, to int) error // of a struct or a list, in place of write
}

// values makes a rawColumn of typed values; a nil null means that none is.
func values[T any](node schema.Node, v []T, null func(i int) bool) rawColumn {
	return rawColumn{node: node, write: func(w file.ColumnChunkWriter, from, to int) error {
		var levels []int16
		dense := v[from:to]
		if node.RepetitionType() == parquet.Repetitions.Optional {
			dense = nil
			for i := from; i < to; i++ {
				if null != nil && null(i) {
					levels = append(levels, 0)
					continue
				}
				levels = append(levels, 1)
				dense = append(dense, v[i])
			}
		}
		_, err := w.(interface {
			WriteBatch(values []T, def, rep []int16) (int64, error)
		}).WriteBatch(dense, levels, nil)
		return err
	}}
}

// rawParquet writes a file of rows in row groups of group rows.
func rawParquet(t testing.TB, rows, group int, columns []rawColumn, props ...parquet.WriterProperty) []byte {
	t.Helper()
	var fields schema.FieldList
	for _, c := range columns {
		fields = append(fields, c.node)
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := file.NewParquetWriter(&buf, root, file.WithWriterProps(parquet.NewWriterProperties(props...)))
	for from := 0; from < rows; from += group {
		g, err := w.AppendRowGroupChecked()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range columns {
			if c.write != nil {
				c.leaves = append(c.leaves, c.write)
			}
			for _, write := range c.leaves {
				cw, err := g.NextColumn()
				if err != nil {
					t.Fatal(err)
				}
				if err := write(cw, from, min(from+group, rows)); err != nil {
					t.Fatal(err)
				}
				if err := cw.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// node makes a primitive node; l may be nil.
func node(t testing.TB, name string, rep parquet.Repetition, l schema.LogicalType, physical parquet.Type, length int) schema.Node {
	t.Helper()
	if l == nil {
		l = schema.NoLogicalType{}
	}
	n, err := schema.NewPrimitiveNodeLogical(name, rep, l, physical, length, -1)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var (
	required = parquet.Repetitions.Required
	optional = parquet.Repetitions.Optional
)

// collect copies all rows of a sequence into one batch.
func collect(seq iter.Seq2[*Batch, error]) (*Batch, error) {
	var all *rows
	for b, err := range seq {
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = newRows(b.Schema)
		}
		if err := all.add(b, selection{n: b.N}); err != nil {
			return nil, err
		}
	}
	if all == nil {
		return &Batch{}, nil
	}
	return all.batch(), nil
}

// cell prints one value so that equal values, and only those, print alike.
func cell(b *Batch, col, row int) string {
	c := &b.Cols[col]
	if c.Null(row) {
		return "null"
	}
	switch b.Schema[col].Type {
	case Float64:
		return fmt.Sprintf("%v/%x", c.Float[row], math.Float64bits(c.Float[row]))
	case String, Bytes:
		return fmt.Sprintf("%q", c.Text(row))
	}
	return fmt.Sprint(c.Int[row])
}

// lines prints a batch, a row a line.
func lines(b *Batch) []string {
	out := make([]string, b.N)
	for i := range out {
		for c := range b.Cols {
			out[i] += cell(b, c, i) + " "
		}
	}
	return out
}

var testSchema = Schema{{"subject", Int64}, {"at", Time}, {"item", String}, {"value", Float64}, {"flag", Bool}}

// randomBatch makes n rows with nulls, ties and awkward values.
func randomBatch(r *rand.Rand, n int) *Batch {
	texts := []string{"", "\x00", "a", "a\x00", "a\x00b", "ä", "item-1", "item-2"}
	floats := []float64{math.NaN(), math.Float64frombits(0xfff8000000000001), 0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), 1.5, -2, 5e-324}
	b := newBatch(testSchema)
	b.resize(n)
	for c := range b.Cols {
		col := &b.Cols[c]
		if c > 0 && r.IntN(3) > 0 {
			col.Valid = make([]bool, n)
			for i := range n {
				col.Valid[i] = r.IntN(4) > 0
			}
		}
		for i := range n {
			switch b.Schema[c].Type {
			case Float64:
				col.Float[i] = floats[r.IntN(len(floats))]
			case String:
				col.Str[i] = texts[r.IntN(len(texts))]
			case Bool:
				col.Int[i] = r.Int64N(2)
			case Time:
				col.Int[i] = r.Int64N(5)
			default:
				col.Int[i] = int64(r.Uint64N(8) << 61)
			}
		}
	}
	return b
}

// pickRows returns the given rows of b.
func pickRows(b *Batch, rows []int) *Batch {
	out := newRows(b.Schema)
	pick := make([]int32, len(rows))
	for i, r := range rows {
		pick[i] = int32(r)
	}
	if err := out.add(b, selection{n: len(pick), pick: pick}); err != nil {
		panic(err)
	}
	return out.batch()
}

// manifestOf is a manifest of one part, body, that no Writer has made.
func manifestOf(t testing.TB, key string, body []byte, s Schema, rows int64) Manifest {
	t.Helper()
	sum := sha256.Sum256(body)
	return Manifest{Schema: s, Rows: rows, Shards: 1, Parts: []Part{{Object: key, Rows: rows, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}}}
}
