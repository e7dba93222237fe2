package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// tolerance is how far apart two floats may be that are equal, relative to the larger.
const tolerance = 1e-9

// compare finds each row of the peer's answer, VIEW.parquet in a folder, in ours, and compares all their cells: integers, text and nulls exactly,
// floats within the tolerance. It returns the number of cells that were compared.
func (a *answer) compare(ctx context.Context, views []features.View, events table.Schema, folder string) (cells int64, err error) {
	b, err := storage.Open(ctx, "file:"+folder, storage.Options{})
	if err != nil {
		return 0, err
	}
	for _, v := range views {
		n, err := compareView(ctx, b, v, v.Schema(events), a.batches[v.Name])
		if err != nil {
			return 0, fmt.Errorf("compared with %s: view %q: %w", filepath.Base(folder), v.Name, err)
		}
		cells += n
	}
	return cells, nil
}

// place is where a row stands.
type place struct{ batch, row int32 }

func compareView(ctx context.Context, b storage.Bucket, v features.View, schema table.Schema, ours []*table.Batch) (cells int64, err error) {
	numbers, names := map[int64]place{}, map[string]place{}
	rows := 0
	for i, o := range ours {
		for j := range o.N {
			if p := (place{int32(i), int32(j)}); schema[0].Type == table.String {
				names[o.Cols[0].Str[j]] = p
			} else {
				numbers[o.Cols[0].Int[j]] = p
			}
		}
		rows += o.N
	}
	if len(numbers)+len(names) != rows {
		return 0, fmt.Errorf("we have %d rows for %d entities", rows, len(numbers)+len(names))
	}
	wants := make([]table.Want, len(schema))
	for i, f := range schema {
		wants[i] = table.Want{Name: f.Name, Type: f.Type}
	}
	seen := 0
	for t, err := range table.Scan(ctx, b, storage.Info{Key: v.Name + ".parquet"}, table.ScanOptions{Columns: wants}) {
		if err != nil {
			return 0, err
		}
		for j := range t.N {
			var p place
			var ok bool
			if schema[0].Type == table.String {
				p, ok = names[t.Cols[0].Str[j]]
				delete(names, t.Cols[0].Str[j])
			} else {
				p, ok = numbers[t.Cols[0].Int[j]]
				delete(numbers, t.Cols[0].Int[j])
			}
			if !ok {
				return 0, fmt.Errorf("row %d of the peer is of an entity that we have no row of, or that it has a second row of", seen)
			}
			seen++
			for c := 1; c < len(schema); c++ {
				if our, their, equal := sameCell(schema[c].Type, &ours[p.batch].Cols[c], int(p.row), &t.Cols[c], j); !equal {
					return 0, fmt.Errorf("row %d of the peer, column %q: %s, and ours is %s", seen-1, schema[c].Name, their, our)
				}
			}
			cells += int64(len(schema))
		}
	}
	if seen != rows {
		return 0, fmt.Errorf("the peer has %d rows and we have %d", seen, rows)
	}
	return cells, nil
}

func sameCell(t table.Type, a *table.Column, i int, b *table.Column, j int) (our, their string, equal bool) {
	our, their = "null", "null"
	if a.Null(i) && b.Null(j) {
		return our, their, true
	}
	show := func(c *table.Column, i int) string {
		switch {
		case c.Null(i):
			return "null"
		case t == table.Float64:
			return fmt.Sprintf("%.17g", c.Float[i])
		case t == table.String:
			return fmt.Sprintf("%q", c.Str[i])
		}
		return fmt.Sprint(c.Int[i])
	}
	switch {
	case a.Null(i) != b.Null(j):
	case t == table.Float64:
		x, y := a.Float[i], b.Float[j]
		equal = math.Abs(x-y) <= tolerance*max(math.Abs(x), math.Abs(y))
	case t == table.String:
		equal = a.Str[i] == b.Str[j]
	default:
		equal = a.Int[i] == b.Int[j]
	}
	if equal {
		return "", "", true
	}
	return show(a, i), show(b, j), false
}
