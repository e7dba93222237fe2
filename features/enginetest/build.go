package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// task is one build: what is asked of the engine, and in which shape.
type task struct {
	views    []features.View
	interval table.Interval // its end is as of when
	events   events
	shape
	prior  *features.Prior
	keep   bool // ask for states and tiles
	budget int64
	calls  func(batches int) error // called before each batch of events
}

// built is what a build gave, and what it asked for.
type built struct {
	result
	state, tile []tableOf // by key; nil without keep
	asked       []table.Interval
	columns     map[string]bool
}

// lastDay is the day that ends at end.
func lastDay(end time.Time) table.Interval { return table.Interval{Start: end.Add(-day), End: end} }

// build runs the engine on a task and checks the form of all that it puts out, that it reads no split that lies outside, asks for no column that no
// view names, and leaves no file behind.
func build(ctx context.Context, eng features.Engine, t task) (built, error) {
	src := &source{events: t.events, shape: t.shape, calls: t.calls}
	schema := t.events.schema
	var inside atomic.Bool
	out := newSink(&inside)
	for _, v := range t.views {
		out.wanted = append(out.wanted, newTable(v, schema))
	}
	p := features.Plan{
		Views: t.views, Interval: t.interval, Schema: schema, Events: src.list, Prior: t.prior, Budget: t.budget,
		Out: func(v features.View, b *table.Batch) error { return out.put(v.Name, b) },
	}
	state, tile := newSink(&inside), newSink(&inside)
	p.Whole = func(kind features.TableKind, name string) error { return []*sink{out, state, tile}[kind].whole(name) }
	p.Anew = func() error {
		if t.prior == nil {
			return errors.New("the engine begins anew, and had nothing that it could go on from")
		}
		for _, s := range []*sink{out, state, tile} {
			clear(s.tables)
			clear(s.ended)
		}
		return nil
	}
	for _, key := range features.Keys(t.views) {
		kept := tableOf{view: key, keys: 1, schema: features.StateSchema()}
		state.wanted, tile.wanted = append(state.wanted, kept), append(tile.wanted, kept)
	}
	if t.keep {
		p.State, p.Tile = state.put, tile.put
	}
	folder, err := os.MkdirTemp("", "enginetest-")
	if err != nil {
		return built{}, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // what an engine leaves there is an error of its own
	p.Spill = folder

	stats, err := eng.Build(ctx, p)
	b := built{result: result{stats: stats}, asked: src.asked, columns: src.columns}
	if left, dirErr := os.ReadDir(folder); dirErr != nil || len(left) > 0 {
		return b, fmt.Errorf("%d files are left in the spill folder after a build that returned %v", len(left), errors.Join(err, dirErr))
	}
	if err != nil {
		return b, err
	}
	if src.fault != nil {
		return b, src.fault
	}
	b.stats.RowsOutside += src.outside // the oracle counts all rows that there are
	sinks := []*sink{out}
	if t.keep {
		sinks = append(sinks, state, tile)
	}
	for i, s := range sinks {
		tables, err := s.finish()
		if err != nil {
			return b, err
		}
		*[]*[]tableOf{&b.tables, &b.state, &b.tile}[i] = tables
	}
	for _, t := range b.tables {
		if got := stats.RowsOut[t.view]; got != int64(len(t.rows)) {
			return b, fmt.Errorf("view %s: RowsOut says %d, put out %d", t.view, got, len(t.rows))
		}
	}
	return b, b.onlyNamedColumns(t.views)
}

// onlyNamedColumns checks that nothing was read that no view needs.
func (b built) onlyNamedColumns(views []features.View) error {
	named := map[string]bool{"time": true}
	for _, v := range views {
		for _, c := range v.Columns() {
			named[c] = true
		}
	}
	for c := range b.columns {
		if !named[c] {
			return fmt.Errorf("column %q was asked for, which no view names", c)
		}
	}
	return nil
}

// sink is a Plan.Out, State or Tile that keeps the rows and checks the contract.
type sink struct {
	wanted []tableOf    // without rows, in their order
	inside *atomic.Bool // of the sinks of one build
	tables map[string]*tableOf
	ended  map[string]bool // that all of its rows have come
}

func newSink(inside *atomic.Bool) *sink {
	return &sink{inside: inside, tables: map[string]*tableOf{}, ended: map[string]bool{}}
}

// enter begins a call that says something of a table, or refuses it.
func (s *sink) enter(name string) error {
	if !s.inside.CompareAndSwap(false, true) {
		return fmt.Errorf("view %s: two calls overlap", name)
	}
	if s.ended[name] {
		s.inside.Store(false)
		return fmt.Errorf("view %s: more is said of a table that had all of its rows", name)
	}
	return nil
}

// whole takes it that a table has all of its rows.
func (s *sink) whole(name string) error {
	if err := s.enter(name); err != nil {
		return err
	}
	defer s.inside.Store(false)
	if s.tables[name] == nil {
		return fmt.Errorf("view %s: a table has all of its rows of which no batch came", name)
	}
	s.ended[name] = true
	return nil
}

// put takes rows of the table of a view, or of the views of a key.
func (s *sink) put(name string, b *table.Batch) error {
	if err := s.enter(name); err != nil {
		return err
	}
	defer s.inside.Store(false)
	t := s.tables[name]
	if t == nil {
		at := slices.IndexFunc(s.wanted, func(t tableOf) bool { return t.view == name })
		if at < 0 {
			return fmt.Errorf("view %s is put out, which nobody asked for", name)
		}
		first := s.wanted[at]
		t = &first
		s.tables[name] = t
	}
	if !slices.Equal(b.Schema, t.schema) {
		return fmt.Errorf("view %s: schema %v, want %v", name, b.Schema, t.schema)
	}
	for i := range b.Cols { // texts of states are valid during the call alone
		for j, s := range b.Cols[i].Str {
			b.Cols[i].Str[j] = strings.Clone(s)
		}
	}
	rows := events{schema: t.schema}
	if err := rows.add(b); err != nil {
		return fmt.Errorf("view %s: %w", name, err)
	}
	for _, row := range rows.rows {
		for i, x := range row {
			if f, ok := x.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0) || f == 0 && math.Signbit(f)) {
				return fmt.Errorf("view %s, %s: %v is no value of a feature", name, t.schema[i].Name, f)
			}
		}
	}
	t.rows = append(t.rows, rows.rows...)
	spoil(b)
	return nil
}

// finish checks that all views came, and returns them in their order, their rows sorted.
func (s *sink) finish() (tables []tableOf, err error) {
	for _, w := range s.wanted {
		t := s.tables[w.view]
		if t == nil {
			return nil, fmt.Errorf("the engine put out no batch of %s: a table without rows is one empty batch", w.view)
		}
		if !s.ended[w.view] {
			return nil, fmt.Errorf("the engine did not say that the table of %s has all of its rows", w.view)
		}
		if err := t.sort(); err != nil {
			return nil, err
		}
		tables = append(tables, *t)
	}
	return tables, nil
}

// agree compares two results, values and facts. With exact, floats and lists must be the same to the bit; without, got is an engine's and want is the
// oracle's or a script's.
func agree(got, want result, exact bool) error {
	if err := agreeTables(got.tables, want.tables, exact); err != nil {
		return err
	}
	gs, ws := got.stats, want.stats
	if gs.RowsIn != ws.RowsIn || gs.RowsOutside != ws.RowsOutside {
		return fmt.Errorf("stats: %d rows in, %d outside; want %d and %d", gs.RowsIn, gs.RowsOutside, ws.RowsIn, ws.RowsOutside)
	}
	for what := range union(gs.Refused, ws.Refused) {
		if gs.Refused[what] != ws.Refused[what] {
			return fmt.Errorf("stats: %d refused as %q, want %d", gs.Refused[what], what, ws.Refused[what])
		}
	}
	for what, n := range gs.Refused {
		if n == 0 {
			return fmt.Errorf("stats: none refused as %q, which is said", what)
		}
	}
	return nil
}

func union(a, b map[string]int64) map[string]bool {
	u := map[string]bool{}
	for k := range a {
		u[k] = true
	}
	for k := range b {
		u[k] = true
	}
	return u
}

func agreeTables(got, want []tableOf, exact bool) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d tables, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		for r := range max(len(g.rows), len(w.rows)) {
			if r >= len(g.rows) || r >= len(w.rows) || compareCells(g.rows[r][:w.keys], w.rows[r][:w.keys]) != 0 {
				return fmt.Errorf("view %s: %d rows, want %d; row %d is of %s, want %s", w.view, len(g.rows), len(w.rows), r, g.entity(r), w.entity(r))
			}
			for c, f := range w.schema[w.keys:] {
				x, y := g.rows[r][w.keys+c], w.rows[r][w.keys+c]
				if x == y || !exact && close(w.ops[w.keys+c], x, y) {
					continue
				}
				return fmt.Errorf("view %s, entity %s, %s: %s, want %s", w.view, w.entity(r), f.Name, show(x), show(y))
			}
		}
	}
	return nil
}

// entity prints the key of a row.
func (t tableOf) entity(row int) string {
	if row >= len(t.rows) {
		return "nobody"
	}
	return fmt.Sprintf("%v", t.rows[row][:t.keys])
}

// The tolerances, relative but for few.
const (
	tolerance = 1e-12 // exact operators
	quantiles = 0.01
	estimates = 0.06 // of approx_distinct, about 3.7 standard errors,
	few       = 3    // or by so many
)

// close reports whether an engine's value is as near to the wanted one as the operator promises.
func close(op features.Op, got, want any) bool {
	if d, ok := got.(decayed); ok {
		got = d.sum // the oracle against a script
	}
	if got == want {
		return true
	}
	switch w := want.(type) {
	case decayed:
		g, ok := got.(float64)
		return ok && math.Abs(g-w.sum) <= tolerance*w.magnitude
	case float64:
		g, ok := got.(float64)
		slack := tolerance * math.Abs(w)
		if op == features.Quantile {
			slack += quantiles * math.Abs(w)
		}
		return ok && math.Abs(g-w) <= slack
	case int64:
		g, ok := got.(int64)
		return ok && op == features.ApproxDistinct && math.Abs(float64(g-w)) <= max(few, estimates*float64(w))
	case string:
		g, ok := got.(string)
		return ok && (op == features.Top || op == features.Sequence) && sameList(g, w)
	}
	return false
}

// show prints a cell with all its bits.
func show(x any) string {
	switch x := x.(type) {
	case nil:
		return "null"
	case float64:
		return fmt.Sprintf("%v (%#x)", x, math.Float64bits(x))
	case string:
		if len(x) > 100 {
			return fmt.Sprintf("%.100q… of %d bytes", x, len(x))
		}
		return fmt.Sprintf("%q", x)
	case decayed:
		return fmt.Sprintf("%v, terms of %v in all", x.sum, x.magnitude)
	}
	return fmt.Sprint(x)
}
