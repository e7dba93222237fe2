package enginetest

import (
	"context"
	"fmt"
	"iter"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// events is a table of events, row by row: a cell is nil (null), int64 (Int64, Time, Bool), float64 or string, by the column's type.
// Columns 0–4 are subject, item, time, kind, value.
type events struct {
	schema table.Schema
	rows   [][]any
}

// The positions of the columns that every event has.
const (
	colSubject = iota
	colItem
	colTime
	colKind
	colValue
	fixedColumns
)

func newEvents(context ...table.Field) events {
	return events{schema: append(table.Schema{
		{Name: "subject", Type: table.Int64},
		{Name: "item", Type: table.String},
		{Name: "time", Type: table.Time},
		{Name: "kind", Type: table.String},
		{Name: "value", Type: table.Float64},
	}, context...)}
}

// with returns the events followed by more rows; neither input changes.
func (e events) with(rows ...[]any) events {
	return events{schema: e.schema, rows: append(e.rows[:len(e.rows):len(e.rows)], rows...)}
}

// source is the rows as one split, in batches of at most size, whatever window is asked for.
func (e events) source(size int) features.Source {
	return oneSplit(func(yield func(*table.Batch, error) bool) {
		for lo := 0; lo < len(e.rows); lo += size {
			b := e.batch(e.rows[lo:min(lo+size, len(e.rows))])
			if !yield(b, nil) {
				return
			}
			spoil(b)
		}
	})
}

// oneSplit is a source of one split, which yields the batches of read.
func oneSplit(read iter.Seq2[*table.Batch, error]) features.Source {
	return func(context.Context, table.Interval) ([]features.Split, error) {
		return []features.Split{{Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] { return read }}}, nil
	}
}

// spoil overwrites a batch, as its owner may after the callback: an engine that kept a slice of it computes nonsense.
func spoil(b *table.Batch) {
	for i := range b.Cols {
		c := &b.Cols[i]
		for j := range c.Int {
			c.Int[j] = -77
		}
		for j := range c.Float {
			c.Float[j] = -77
		}
		for j := range c.Str {
			c.Str[j] = "spoilt"
		}
		clear(c.Valid)
	}
	b.N = 0
}

func (e events) batch(rows [][]any) *table.Batch {
	b := &table.Batch{Schema: e.schema, N: len(rows), Cols: make([]table.Column, len(e.schema))}
	for i, f := range e.schema {
		c := &b.Cols[i]
		switch f.Type {
		case table.Float64:
			c.Float = make([]float64, len(rows))
		case table.String:
			c.Str = make([]string, len(rows))
		default:
			c.Int = make([]int64, len(rows))
		}
		for j, row := range rows {
			switch x := row[i].(type) {
			case nil:
				if c.Valid == nil {
					c.Valid = make([]bool, len(rows))
					for k := range c.Valid {
						c.Valid[k] = true
					}
				}
				c.Valid[j] = false
			case int64:
				c.Int[j] = x
			case float64:
				c.Float[j] = x
			case string:
				c.Str[j] = x
			default:
				panic(fmt.Sprintf("enginetest: cell of type %T", x))
			}
		}
	}
	return b
}
