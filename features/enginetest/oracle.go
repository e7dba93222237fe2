package enginetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// result is what a build gives: the table of each view, and the facts.
type result struct {
	tables []tableOf // in the order of the plan's views
	stats  features.Stats
}

// tableOf is one view's table, row by row, sorted by its first keys columns; cells as in events.
type tableOf struct {
	view   string
	keys   int
	schema table.Schema
	ops    []features.Op // by which operator a column was made; "" for a key
	rows   [][]any
}

func newTable(v features.View, schema table.Schema) tableOf {
	t := tableOf{view: v.Name, keys: len(v.Keys()), schema: v.Schema(schema)}
	t.ops = make([]features.Op, t.keys, len(t.schema))
	for _, f := range v.Features {
		for range v.Windows {
			t.ops = append(t.ops, f.Op)
		}
	}
	return t
}

// sort sorts the rows by key. It returns an error if a key is null, or stands twice.
func (t *tableOf) sort() error {
	for _, row := range t.rows {
		if slices.Contains(row[:t.keys], nil) {
			return fmt.Errorf("view %s: a key is null", t.view)
		}
	}
	slices.SortFunc(t.rows, func(a, b []any) int { return compareCells(a[:t.keys], b[:t.keys]) })
	for i := 1; i < len(t.rows); i++ {
		if k := t.rows[i][:t.keys]; compareCells(t.rows[i-1][:t.keys], k) == 0 {
			return fmt.Errorf("view %s: entity %v is put out twice", t.view, k)
		}
	}
	return nil
}

// compareCells orders rows of cells that are not null, column by column: numbers by size, text by its bytes.
func compareCells(a, b []any) int {
	for i := range a {
		if c := compareValues(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

// oracle computes the views from the definitions, one cell at a time, O(views · features · windows · events).
func oracle(views []features.View, end time.Time, e events) result {
	r := result{stats: features.Stats{RowsOut: map[string]int64{}, Refused: map[string]int64{}}}
	longestOfAll := features.RetentionNeeded(views)
	for _, row := range e.rows {
		switch {
		case row[colTime] == nil:
			r.stats.Refused["time"]++
		case inWindow(row, end, longestOfAll):
			r.stats.RowsIn++
		default:
			r.stats.RowsOutside++
		}
	}
	for _, v := range views {
		t := newTable(v, e.schema)
		windows := v.SortedWindows()
		longest := windows[len(windows)-1]

		entities := map[string][][]any{} // key → its events in the longest window
		keys := map[string][]any{}
		for _, row := range e.rows {
			if !inWindow(row, end, longest) {
				continue
			}
			cells := e.key(v, row)
			if cells == nil {
				r.stats.Refused[v.Name]++
				continue
			}
			name := nameOf(cells)
			keys[name] = cells
			entities[name] = append(entities[name], row)
		}
		for name, rows := range entities {
			out := keys[name]
			for _, f := range v.Features {
				values := e.valuesOf(f, rows)
				for _, w := range windows {
					out = append(out, e.cell(f, values, end, w))
				}
				r.stats.Refused[v.Name+"."+f.Name] += refusals(values)
			}
			t.rows = append(t.rows, out)
		}
		if err := t.sort(); err != nil {
			panic("enginetest: the oracle's own table: " + err.Error())
		}
		r.stats.RowsOut[v.Name] = int64(len(t.rows))
		r.tables = append(r.tables, t)
	}
	for what, n := range r.stats.Refused {
		if n == 0 {
			delete(r.stats.Refused, what)
		}
	}
	return r
}

// key returns the cells that name a row's entity, nil where one of them is null.
func (e events) key(v features.View, row []any) (cells []any) {
	for _, k := range v.Keys() {
		x := row[e.schema.Index(k)]
		if x == nil {
			return nil
		}
		cells = append(cells, x)
	}
	return cells
}

// nameOf writes a key in one way.
func nameOf(key []any) string {
	var b []byte
	for _, x := range key {
		switch x := x.(type) {
		case int64:
			b = strconv.AppendInt(append(b, ' '), x, 10)
		case string:
			b = strconv.AppendQuote(b, x)
		}
	}
	return string(b)
}

// inWindow: End−W ≤ t < End.
func inWindow(row []any, end time.Time, w time.Duration) bool {
	if row[colTime] == nil {
		return false
	}
	t := row[colTime].(int64)
	return end.Add(-w).UnixMicro() <= t && t < end.UnixMicro()
}

// passes reports whether an event passes a feature's filter.
func (e events) passes(f features.Feature, row []any) bool {
	kind, hasKind := row[colKind].(string)
	if len(f.Kinds) > 0 && !(hasKind && slices.Contains(f.Kinds, kind)) {
		return false
	}
	for _, c := range f.Where {
		switch x := row[e.schema.Index(c.Column)].(type) {
		case nil:
			return false
		case string:
			if slices.Contains(c.In, x) == c.Not {
				return false
			}
		default:
			n, ok := number(x)
			if !ok {
				return false
			}
			if in := (c.Min == nil || n >= *c.Min) && (c.Max == nil || n <= *c.Max); in == c.Not {
				return false
			}
		}
	}
	return true
}
