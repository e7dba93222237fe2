package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/rapport-ml/rapport/storage/table"
)

// events is a table of events, row by row: a cell is nil (null), int64 (Int64, Time, Bool), float64 or string, by the column's type.
// Columns 0–4 are subject, item, time, kind, value. Examples of a join, states and tiles are held in the same way, with columns of their own.
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

// without returns the events without one column.
func (e events) without(column string) events {
	drop := e.schema.Index(column)
	out := events{schema: slices.Delete(slices.Clone(e.schema), drop, drop+1)}
	for _, row := range e.rows {
		out.rows = append(out.rows, slices.Delete(slices.Clone(row), drop, drop+1))
	}
	return out
}

// shuffled returns the events in another order.
func (e events) shuffled(rng *rand.Rand) events {
	out := events{schema: e.schema, rows: slices.Clone(e.rows)}
	rng.Shuffle(len(out.rows), func(i, j int) { out.rows[i], out.rows[j] = out.rows[j], out.rows[i] })
	return out
}

// batch returns rows as a batch of the given columns of the schema, by position.
func (e events) batch(rows [][]any, columns []int) *table.Batch {
	b := &table.Batch{N: len(rows), Cols: make([]table.Column, len(columns))}
	for i, from := range columns {
		f := e.schema[from]
		b.Schema = append(b.Schema, f)
		c := &b.Cols[i]
		switch f.Type {
		case table.Float64:
			c.Float = make([]float64, len(rows))
		case table.String, table.Bytes:
			c.Str = make([]string, len(rows))
		default:
			c.Int = make([]int64, len(rows))
		}
		for j, row := range rows {
			switch x := row[from].(type) {
			case nil:
				if c.Valid == nil {
					c.Valid = slices.Repeat([]bool{true}, len(rows))
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

// whole returns all rows and columns as one batch.
func (e events) whole() *table.Batch {
	columns := make([]int, len(e.schema))
	for i := range columns {
		columns[i] = i
	}
	return e.batch(e.rows, columns)
}

// add appends the rows of a batch, which has the schema's columns in its order.
func (e *events) add(b *table.Batch) error {
	for i := range b.N {
		row := make([]any, len(e.schema))
		for j, f := range e.schema {
			x, err := cellOf(&b.Cols[j], f.Type, i, b.N)
			if err != nil {
				return fmt.Errorf("column %q: %w", f.Name, err)
			}
			row[j] = x
		}
		e.rows = append(e.rows, row)
	}
	return nil
}

// cellOf returns row i of a column in a batch of n rows, nil for a null, whose slot must be zero.
func cellOf(c *table.Column, t table.Type, i, n int) (any, error) {
	var (
		x, zero any
		have    int
	)
	switch t {
	case table.Float64:
		if have = len(c.Float); i < have {
			x, zero = c.Float[i], 0.0
		}
	case table.String, table.Bytes:
		if have = len(c.Str); i < have {
			x, zero = c.Str[i], ""
		} else if c.Code != nil {
			if have = len(c.Code); i < have {
				x, zero = int64(c.Code[i]), int64(0)
			}
			if i < have && !c.Null(i) {
				if code := int(c.Code[i]); code < 0 || code >= len(c.Dict) {
					return nil, fmt.Errorf("code %d in a dictionary of %d values", code, len(c.Dict))
				}
				x = c.Dict[c.Code[i]]
			}
		}
	default:
		if have = len(c.Int); i < have {
			x, zero = c.Int[i], int64(0)
		}
	}
	if have != n || c.Valid != nil && len(c.Valid) != n {
		return nil, fmt.Errorf("%d values in a batch of %d rows", have, n)
	}
	if !c.Null(i) {
		return x, nil
	}
	if x != zero {
		return nil, fmt.Errorf("the slot of a null holds %v, not zero", x)
	}
	return nil, nil
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
		for j := range c.Code {
			c.Code[j] = -77
		}
		clear(c.Valid)
	}
	b.N = 0
}
