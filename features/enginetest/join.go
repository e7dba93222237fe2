package enginetest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// join is views as of many moments. The examples' first column is an id, by which rows are told apart.
type join struct {
	views    []features.View
	events   events
	examples events
	anchor   time.Time
	want     tableOf // of scripts
	read     *events // what the source holds in place of events; nil: events

	shape                                // of the events
	exampleShape shape                   // of the examples
	calls        func(batches int) error // before each batch of events
}

// table returns the table that the join gives, without rows.
func (j join) table() tableOf {
	t := tableOf{view: "joined", keys: 1, schema: append(table.Schema(nil), j.examples.schema...), ops: make([]features.Op, len(j.examples.schema))}
	for _, v := range j.views {
		for i, f := range newTable(v, j.events.schema).schema[len(v.Keys()):] {
			t.schema = append(t.schema, table.Field{Name: features.JoinColumn(v.Name, f.Name), Type: f.Type})
			t.ops = append(t.ops, v.Features[i/len(v.Windows)].Op)
		}
	}
	return t
}

// oracle joins by the definition: for each example and view, the events of its entity that it may see.
func (j join) oracle() tableOf {
	t := j.table()
	created := j.events.schema.Index("created")
	for _, x := range j.examples.rows {
		moment, timed := x[j.examples.schema.Index("time")].(int64)
		row := append([]any(nil), x...)
		for _, v := range j.views {
			key := j.examples.key(v, x)
			var seen [][]any
			for _, e := range j.events.rows {
				known := cellAt(e, created)
				if k := j.events.key(v, e); e[colTime] != nil && k != nil && key != nil && compareCells(k, key) == 0 && (known == nil || known.(int64) < moment) {
					seen = append(seen, e)
				}
			}
			for _, f := range v.Features {
				values := j.events.valuesOf(f, seen)
				for _, w := range v.SortedWindows() {
					if key == nil || !timed {
						row = append(row, nil)
						continue
					}
					row = append(row, j.events.cell(f, values, j.asOf(v, moment), w))
				}
			}
		}
		t.rows = append(t.rows, row)
	}
	if err := t.sort(); err != nil {
		panic("enginetest: the oracle's own join: " + err.Error())
	}
	return t
}

// asOf is the moment as of which an example sees a view: its own, or the last hop at or before it.
func (j join) asOf(v features.View, moment int64) time.Time {
	t := time.UnixMicro(moment).UTC()
	if v.Hop == 0 {
		return t
	}
	since := t.Sub(j.anchor)
	steps := since / v.Hop
	if since%v.Hop < 0 {
		steps--
	}
	return j.anchor.Add(steps * v.Hop)
}

// run joins with an engine, and checks the form of what it puts out.
func (j join) run(ctx context.Context, eng features.Engine) (tableOf, error) {
	src := &source{events: j.events, shape: j.shape, calls: j.calls}
	if j.read != nil {
		src.events = *j.read
	}
	examples := &source{events: j.examples, shape: j.exampleShape}
	splits, err := examples.list(ctx, table.Interval{})
	if err != nil {
		return tableOf{}, err
	}
	t := j.table()
	rows := events{schema: t.schema}
	var inside atomic.Bool
	_, err = eng.Join(ctx, features.JoinPlan{
		Views: j.views, Schema: j.events.schema, Anchor: j.anchor, Events: src.list, Examples: splits, ExampleSchema: j.examples.schema,
		Out: func(b *table.Batch) error {
			if !inside.CompareAndSwap(false, true) {
				return fmt.Errorf("two calls of Out overlap")
			}
			defer inside.Store(false)
			if !slices.Equal(b.Schema, t.schema) {
				return fmt.Errorf("schema %v, want %v", b.Schema, t.schema)
			}
			if err := rows.add(b); err != nil {
				return err
			}
			spoil(b)
			return nil
		},
	})
	t.rows = rows.rows
	if err != nil {
		return t, err
	}
	delete(src.columns, "created")
	if err := (built{columns: src.columns}).onlyNamedColumns(j.views); err != nil {
		return t, err
	}
	return t, t.sort()
}
