package enginetest

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// definitions is the oracle as an engine: slow, and right. Its states and tiles are the events themselves.
type definitions struct {
	careless bool // a wrong one: takes all events of a split for those that it asked for
	trusting bool // a wrong one: takes every state for whole
	messy    bool // a wrong one: leaves its files behind
}

func (d definitions) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	if p.Whole == nil {
		p.Whole = func(features.TableKind, string) error { return nil }
	}
	stats := features.Stats{RowsOut: map[string]int64{}, Refused: map[string]int64{}}
	if err := errors.Join(features.Validate(p.Views), fits(p.Views, p.Schema)); err != nil {
		return stats, err
	}
	r := reader{definitions: d, ctx: ctx, events: layout(p.Schema, p.Views), views: p.Views, stats: &stats}
	window := table.Interval{Start: p.Interval.End.Add(-features.RetentionNeeded(p.Views)), End: p.Interval.End}
	r.window = window
	past := map[string]*events{} // what a prior says of the views of each key
	for _, key := range features.Keys(p.Views) {
		past[key] = &events{schema: r.events.schema}
		if usable(p) {
			window.Start = p.Prior.End
			stats.Prior = &p.Prior.End
			if err := r.states(past[key], key, p.Prior.State[key]); err != nil {
				return stats, err
			}
		}
	}
	splits, err := p.Events(ctx, window)
	if err != nil {
		return stats, err
	}
	if err := r.read(splits, window); err != nil {
		return stats, err
	}
	if err := r.spill(p); err != nil {
		return stats, err
	}
	for _, v := range p.Views {
		of := r.events.with(past[v.Key].rows...)
		res := oracle([]features.View{v}, p.Interval.End, of)
		stats.RowsOut[v.Name] = res.stats.RowsOut[v.Name]
		for what, n := range res.stats.Refused {
			stats.Refused[what] = n
		}
		for _, row := range res.tables[0].rows {
			for c, x := range row {
				if sum, ok := x.(decayed); ok {
					row[c] = sum.sum
				}
			}
		}
		if err := errors.Join(p.Out(v, events{schema: res.tables[0].schema, rows: res.tables[0].rows}.whole()), p.Whole(features.ViewTable, v.Name)); err != nil {
			return stats, err
		}
	}
	for _, key := range features.Keys(p.Views) {
		views := slices.DeleteFunc(slices.Clone(p.Views), func(v features.View) bool { return v.Key != key })
		longest := table.Interval{Start: p.Interval.End.Add(-features.RetentionNeeded(views)), End: p.Interval.End}
		if p.State != nil {
			if err := errors.Join(p.State(key, r.events.with(past[key].rows...).blobs(views, longest).whole()), p.Whole(features.StateTable, key)); err != nil {
				return stats, err
			}
		}
	}
	for _, key := range features.Keys(p.Views) {
		views := slices.DeleteFunc(slices.Clone(p.Views), func(v features.View) bool { return v.Key != key })
		if p.Tile != nil {
			if err := errors.Join(p.Tile(key, r.events.with(past[key].rows...).blobs(views, p.Interval).whole()), p.Whole(features.TileTable, key)); err != nil {
				return stats, err
			}
		}
	}
	return stats, nil
}

func (definitions) Join(ctx context.Context, p features.JoinPlan) (features.Stats, error) {
	stats := features.Stats{RowsOut: map[string]int64{}, Refused: map[string]int64{}}
	if err := errors.Join(features.Validate(p.Views), fits(p.Views, p.Schema), ctx.Err()); err != nil {
		return stats, err
	}
	examples := reader{ctx: ctx, events: events{schema: p.ExampleSchema}, stats: &stats}
	for _, v := range p.Views {
		for _, c := range append(v.Keys(), "time") {
			if p.ExampleSchema.Index(c) < 0 {
				return stats, fmt.Errorf("the examples have no column %q", c)
			}
		}
	}
	if err := examples.read(p.Examples, everything); err != nil {
		return stats, err
	}
	r := reader{ctx: ctx, events: layout(p.Schema, p.Views), views: p.Views, stats: &stats, window: everything}
	if p.Schema.Index("created") >= 0 {
		r.also = []string{"created"}
	}
	splits, err := p.Events(ctx, everything)
	if err != nil {
		return stats, err
	}
	if err := r.read(splits, everything); err != nil {
		return stats, err
	}
	t := join{views: p.Views, events: r.events, examples: examples.events, anchor: p.Anchor}.oracle()
	for _, row := range t.rows {
		for c, x := range row {
			if sum, ok := x.(decayed); ok {
				row[c] = sum.sum
			}
		}
	}
	return stats, p.Out(events{schema: t.schema, rows: t.rows}.whole())
}

var everything = table.Interval{Start: time.Unix(-1<<40, 0), End: time.Unix(1<<40, 0)}

// usable reports whether a plan's prior has all that a build needs.
func usable(p features.Plan) bool {
	if p.Prior == nil || !p.Prior.End.Before(p.Interval.End) || p.Interval.End.Sub(p.Prior.End) > features.RetentionNeeded(p.Views) {
		return false
	}
	for _, key := range features.Keys(p.Views) {
		if _, ok := p.Prior.State[key]; !ok {
			return false
		}
	}
	return true
}

// layout is an empty table of events with the columns of a schema, and those that only views name, behind the fixed ones.
func layout(schema table.Schema, views []features.View) events {
	e := newEvents()
	for _, f := range schema {
		if e.schema.Index(f.Name) < 0 {
			e.schema = append(e.schema, f)
		}
	}
	for _, v := range views {
		for _, c := range v.Columns() {
			if e.schema.Index(c) < 0 {
				e.schema = append(e.schema, table.Field{Name: c, Type: features.TypeOf(schema, c)})
			}
		}
	}
	return e
}

// fits checks that features can be computed from columns of these types.
func fits(views []features.View, schema table.Schema) error {
	is := func(column string, types ...table.Type) error {
		if !slices.Contains(types, features.TypeOf(schema, column)) {
			return wrongColumn{column}
		}
		return nil
	}
	var errs []error
	for _, v := range views {
		for _, k := range v.Keys() {
			errs = append(errs, is(k, table.Int64, table.String, table.Bool, table.Time))
		}
		for _, f := range v.Features {
			if f.Column != "" && numeric(f, schema) && f.Op != features.First && f.Op != features.Last {
				errs = append(errs, is(f.Column, table.Int64, table.Float64, table.Bool))
			}
			if f.Column != "" && (f.Op == features.First || f.Op == features.Last || f.Op == features.Top || f.Op == features.Sequence) {
				errs = append(errs, is(f.Column, table.Int64, table.Float64, table.Bool, table.String))
			}
			if f.Op == features.ShareOf && f.Column != "" {
				errs = append(errs, is(f.Column, table.String))
			}
			for _, c := range f.Where {
				if len(c.In) > 0 {
					errs = append(errs, is(c.Column, table.String))
				} else {
					errs = append(errs, is(c.Column, table.Int64, table.Float64, table.Bool))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// wrongColumn is a fault in a column.
type wrongColumn struct{ name string }

func (w wrongColumn) Error() string { return fmt.Sprintf("column %q", w.name) }

// reader reads splits into events.
type reader struct {
	definitions
	ctx    context.Context
	events events
	views  []features.View // nil: all columns are read
	also   []string
	window table.Interval // of the longest view
	stats  *features.Stats
}

// read reads the splits; events outside of within are dropped, after they were counted.
func (r *reader) read(splits []features.Split, within table.Interval) error {
	for _, s := range splits {
		if s.Times != (table.Interval{}) && !s.Times.Overlaps(within) {
			continue
		}
		columns := slices.Clone(r.also)
		for _, v := range r.views {
			columns = append(columns, v.Columns()...)
		}
		timeless := r.views != nil && r.oneBucket(s.Times) && !slices.Contains(columns, "time")
		if r.views == nil {
			for _, f := range r.events.schema {
				columns = append(columns, f.Name)
			}
		} else if !timeless {
			columns = append(columns, "time")
		}
		slices.Sort(columns)
		columns = slices.Compact(columns)
		for b, err := range s.Read(r.ctx, columns) {
			if err == nil {
				err = r.ctx.Err()
			}
			if err != nil {
				return err
			}
			if err := r.batch(b, columns, timeless, s.Times.Start, within); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneBucket reports whether no feature needs times, and all times lie between the same edges of windows.
func (r *reader) oneBucket(times table.Interval) bool {
	if times == (table.Interval{}) {
		return false
	}
	for _, v := range r.views {
		for _, f := range v.Features {
			if !slices.Contains([]features.Op{features.Count, features.Sum, features.Mean, features.ShareOf, features.Top, features.Quantile}, f.Op) {
				return false
			}
		}
		for _, w := range append(v.Windows, 0) {
			if edge := r.window.End.Add(-w); times.Start.Before(edge) && edge.Before(times.End) {
				return false
			}
		}
	}
	return true
}

func (r *reader) batch(b *table.Batch, columns []string, timeless bool, at time.Time, within table.Interval) error {
	part := events{schema: b.Schema}
	if err := part.add(b); err != nil {
		return err
	}
	from := make([]int, len(r.events.schema))
	for i, f := range r.events.schema {
		from[i] = b.Schema.Index(f.Name)
		if from[i] < 0 && slices.Contains(columns, f.Name) {
			return wrongColumn{f.Name}
		}
		if from[i] >= 0 && b.Schema[from[i]].Type != f.Type {
			return wrongColumn{f.Name}
		}
	}
	for _, row := range part.rows {
		full := make([]any, len(from))
		for i, j := range from {
			full[i] = cellAt(row, j)
		}
		if r.views == nil {
			r.events.rows = append(r.events.rows, full)
			continue
		}
		if timeless {
			full[colTime] = at.UnixMicro()
		}
		t, ok := full[colTime].(int64)
		switch in := ok && r.careless || ok && t >= within.Start.UnixMicro() && t < within.End.UnixMicro(); {
		case !ok:
			r.stats.Refused["time"]++
		case in:
			r.stats.RowsIn++
			r.events.rows = append(r.events.rows, full)
		default:
			r.stats.RowsOutside++
		}
	}
	return nil
}

// blobs is a table of the states of views of one key: of each entity its events of w, with a checksum. All are counted in the first row, so that one that lacks
// is missed.
func (e events) blobs(views []features.View, w table.Interval) events {
	of := map[string][]string{}
	needed := []int{colTime}
	for _, v := range views {
		for _, c := range v.Columns() {
			if i := e.schema.Index(c); !slices.Contains(needed, i) {
				needed = append(needed, i)
			}
		}
	}
	for _, row := range e.rows {
		key := e.key(views[0], row)
		if t, ok := row[colTime].(int64); !ok || key == nil || t < w.Start.UnixMicro() || t >= w.End.UnixMicro() {
			continue
		}
		line := make([]string, len(row))
		for _, i := range needed {
			line[i] = encode(row[i])
		}
		of[nameOf(key)] = append(of[nameOf(key)], strings.Join(line, "\t"))
	}
	bodies := []string{fmt.Sprint(len(of))}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		slices.Sort(of[name])
		bodies = append(bodies, strings.Join(of[name], "\n"))
	}
	out := events{schema: features.StateSchema()}
	for i, body := range bodies {
		out.rows = append(out.rows, []any{int64(i), sumOf(int64(i), body) + body})
	}
	return out
}

// sumOf is the checksum of a row of states.
func sumOf(part int64, body string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(fmt.Sprint(part, " ", body))))
}

func encode(x any) string {
	switch x := x.(type) {
	case int64:
		return "i" + strconv.FormatInt(x, 10)
	case float64:
		return "f" + strconv.FormatUint(math.Float64bits(x), 16)
	case string:
		return strconv.Quote(x)
	}
	return ""
}

func decode(s string) (any, error) {
	switch {
	case s == "":
		return nil, nil
	case s[0] == 'i':
		return strconv.ParseInt(s[1:], 10, 64)
	case s[0] == 'f':
		bits, err := strconv.ParseUint(s[1:], 16, 64)
		return math.Float64frombits(bits), err
	}
	return strconv.Unquote(s)
}

// states adds the events that a table of states holds.
func (r *reader) states(e *events, key string, splits []features.Split) error {
	t := reader{ctx: r.ctx, events: events{schema: features.StateSchema()}, stats: r.stats}
	if err := t.read(splits, everything); err != nil {
		return err
	}
	seen, all := map[int64]bool{}, ""
	for _, row := range t.events.rows {
		r.stats.States++
		part, ok := row[0].(int64)
		blob, both := row[1].(string)
		if seen[part] {
			return fmt.Errorf("a state of the views by %s comes twice", key)
		}
		seen[part] = true
		if !ok || !both || len(blob) < 8 || !r.trusting && blob[:8] != sumOf(part, blob[8:]) {
			return fmt.Errorf("a state of the views by %s is damaged", key)
		}
		if part == 0 {
			all = blob[8:]
			continue
		}
		for line := range strings.SplitSeq(blob[8:], "\n") {
			var cells []any
			for field := range strings.SplitSeq(line, "\t") {
				x, err := decode(field)
				if err != nil {
					return err
				}
				cells = append(cells, x)
			}
			e.rows = append(e.rows, cells)
		}
	}
	if !r.trusting && all != fmt.Sprint(len(seen)-1) {
		return fmt.Errorf("of %s entities, by %s, %d have a state", all, key, len(seen)-1)
	}
	return nil
}

// spill writes the events to a file and reads its size, where they are more than the budget allows.
func (r *reader) spill(p features.Plan) error {
	if p.Budget == 0 || int64(len(r.events.rows))*100 < p.Budget {
		return nil
	}
	f, err := os.CreateTemp(p.Spill, "events-")
	if err != nil {
		return err
	}
	for _, row := range r.events.rows {
		n, err := fmt.Fprintln(f, row...)
		if err != nil {
			return err
		}
		r.stats.Spilled += int64(n)
	}
	if r.messy {
		return f.Close()
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
