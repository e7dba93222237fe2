package enginetest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// build runs the engine on the events in batches of at most size, checks the form of what it puts out, and returns its tables.
func build(ctx context.Context, eng features.Engine, views []features.View, end time.Time, e events, size int) (result, error) {
	c := collector{views: views}
	stats, err := eng.Build(ctx, features.Plan{
		Views:    views,
		Interval: table.Interval{Start: end.Add(-24 * time.Hour), End: end},
		Events:   e.source(size),
		Out:      c.out,
	})
	if err != nil {
		return result{}, err
	}
	if len(c.tables) != len(views) {
		return result{}, fmt.Errorf("the engine put out %d views of %d: a view without rows is one empty batch", len(c.tables), len(views))
	}
	for _, t := range c.tables {
		slices.SortFunc(t.rows, func(a, b []any) int { return compareKeys(a[0], b[0]) })
		for i := 1; i < len(t.rows); i++ {
			if compareKeys(t.rows[i-1][0], t.rows[i][0]) == 0 {
				return result{}, fmt.Errorf("view %s: entity %v is put out twice", t.view, t.rows[i][0])
			}
		}
		if got := stats.RowsOut[t.view]; got != int64(len(t.rows)) {
			return result{}, fmt.Errorf("view %s: RowsOut says %d, put out %d", t.view, got, len(t.rows))
		}
	}
	return result{tables: c.tables, stats: stats}, nil
}

// collector is a Plan.Out that keeps the rows and checks the contract of Out.
type collector struct {
	views  []features.View
	tables []tableOf
}

func (c *collector) out(v features.View, b *table.Batch) error {
	if n := len(c.tables); n == 0 || c.tables[n-1].view != v.Name {
		if n >= len(c.views) || c.views[n].Name != v.Name {
			return fmt.Errorf("view %s is put out as number %d: views come in the order of the plan, each once", v.Name, n)
		}
		c.tables = append(c.tables, tableOf{view: v.Name, schema: v.Schema(nil)})
	}
	t := &c.tables[len(c.tables)-1]
	if got, want := fmt.Sprint(b.Schema), fmt.Sprint(t.schema); got != want {
		return fmt.Errorf("view %s: schema %s, want %s", v.Name, got, want)
	}
	for i := range b.N {
		row := make([]any, len(t.schema))
		for j, f := range t.schema {
			x, err := cellOf(&b.Cols[j], f.Type, i, b.N)
			if err != nil {
				return fmt.Errorf("view %s, column %s: %w", v.Name, f.Name, err)
			}
			row[j] = x
		}
		if row[0] == nil {
			return fmt.Errorf("view %s: an entity is null", v.Name)
		}
		t.rows = append(t.rows, row)
	}
	spoil(b)
	return nil
}

func cellOf(c *table.Column, t table.Type, i, n int) (any, error) {
	var x, zero any
	switch t {
	case table.Float64:
		if len(c.Float) != n {
			return nil, fmt.Errorf("%d values in a batch of %d rows", len(c.Float), n)
		}
		x, zero = c.Float[i], 0.0
	case table.String:
		if len(c.Str) != n {
			return nil, fmt.Errorf("%d values in a batch of %d rows", len(c.Str), n)
		}
		x, zero = c.Str[i], ""
	default:
		if len(c.Int) != n {
			return nil, fmt.Errorf("%d values in a batch of %d rows", len(c.Int), n)
		}
		x, zero = c.Int[i], int64(0)
	}
	if !c.Null(i) {
		return x, nil
	}
	if x != zero {
		return nil, fmt.Errorf("the slot of a null holds %v, not zero", x)
	}
	return nil, nil
}

// agree compares two results: integers and strings exactly, floats to a relative tolerance (0: to the bit).
func agree(got, want result, tolerance float64) error {
	for i, w := range want.tables {
		g := got.tables[i]
		if len(g.rows) != len(w.rows) {
			return fmt.Errorf("view %s: %d rows, want %d", w.view, len(g.rows), len(w.rows))
		}
		for r := range w.rows {
			for c, f := range w.schema {
				if !same(g.rows[r][c], w.rows[r][c], tolerance) {
					return fmt.Errorf("view %s, row %d, %s: %v, want %v", w.view, r, f.Name, show(g.rows[r][c]), show(w.rows[r][c]))
				}
			}
		}
	}
	gs, ws := got.stats, want.stats
	if gs.RowsIn != ws.RowsIn || gs.RowsOutside != ws.RowsOutside {
		return fmt.Errorf("stats: %d rows in, %d outside; want %d and %d", gs.RowsIn, gs.RowsOutside, ws.RowsIn, ws.RowsOutside)
	}
	if !maps.Equal(gs.Refused, ws.Refused) {
		return fmt.Errorf("stats: refused %v, want %v", gs.Refused, ws.Refused)
	}
	return nil
}

func same(got, want any, tolerance float64) bool {
	g, ok := got.(float64)
	w, both := want.(float64)
	if !ok || !both {
		return got == want
	}
	return math.Float64bits(g) == math.Float64bits(w) || math.Abs(g-w) <= tolerance*math.Abs(w)
}

// show prints a cell with all its bits.
func show(x any) string {
	switch x := x.(type) {
	case nil:
		return "null"
	case float64:
		return fmt.Sprintf("%v (%#x)", x, math.Float64bits(x))
	}
	return fmt.Sprint(x)
}
