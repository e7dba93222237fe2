package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

func joinChecks() (cs []check) {
	for i, op := range features.Ops {
		j := newJoin(uint64(600+i), viewsOf(i, op), 200, 25)
		cs = append(cs, check{"join/" + string(op), j.check})
	}
	for i := range 4 {
		j := newJoin(uint64(620+i), mixed(i), 300, 40)
		for v := range j.views {
			j.views[v].Hop = []time.Duration{0, time.Hour, day, 7*time.Hour + time.Second}[(v+i)%4]
		}
		if j.shape, j.exampleShape = (shape{seed: uint64(i), splits: 1 + i, batch: 50, coded: i%2 == 0, zoned: i == 2, exactly: i == 1}), (shape{seed: 1, splits: 3 - i%3, batch: 7, coded: i%2 == 1}); i == 3 {
			j.daily = time.UTC
		}
		cs = append(cs, check{fmt.Sprintf("join/hops-and-shapes-%d", i), j.check})
	}
	known := newJoin(630, mixed(1), 300, 40)
	known.events = known.events.without("created")
	none, nobody := newJoin(631, mixed(2), 100, 0), newJoin(632, mixed(3), 0, 10)
	return append(cs,
		check{"join/no-created-time", known.check},
		check{"join/no-examples", none.check},
		check{"join/no-events", nobody.check},
		check{"join/any-order", joinInAnyOrder},
		check{"join/one-moment-is-a-build", joinIsBuild},
		check{"join/errors", joinFails},
		check{"join/errors-of-columns", joinOfWrongColumns},
	)
}

// newJoin makes events and examples: of the events' entities and of others, at the moments at which something changes, and a microsecond beside them.
func newJoin(seed uint64, views []features.View, rows, examples int) join {
	rng := rand.New(rand.NewPCG(seed, 0x901e))
	j := join{views: views, anchor: theEnd.Add(3 * time.Hour), events: world{seed: seed, rows: rows, months: true}.generate()}
	j.examples.schema = table.Schema{{Name: "id", Type: table.Int64}, {Name: "note", Type: table.String}}
	columns := []string{"time"}
	for _, v := range views {
		columns = append(columns, v.Keys()...)
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	for _, c := range columns {
		j.examples.schema = append(j.examples.schema, table.Field{Name: c, Type: features.TypeOf(j.events.schema, c)})
	}
	for id := range examples {
		row := []any{int64(id), []any{"a", nil, ""}[id%3]}
		var like []any // the event whose entities the example has
		if len(j.events.rows) > 0 {
			like = j.events.rows[rng.IntN(len(j.events.rows))]
		}
		for _, c := range columns {
			var x any
			if like != nil && rng.IntN(15) > 0 {
				x = like[j.events.schema.Index(c)]
			}
			if c == "time" {
				x = j.moment(rng, like)
			}
			row = append(row, x)
		}
		j.examples.rows = append(j.examples.rows, row)
	}
	return j
}

// moment is when an example is: near the time at which an event happens, becomes known, or leaves a window; or anywhere.
func (j join) moment(rng *rand.Rand, like []any) any {
	at := theEnd.Add(-time.Duration(rng.Int64N(int64(10 * day)))).UnixMicro()
	if like == nil {
		return at
	}
	if t, ok := like[j.events.schema.Index([]string{"time", "created"}[rng.IntN(2)])].(int64); ok && t > 0 && t < 1<<52 {
		at = t
	}
	at += int64([]time.Duration{0, time.Hour, day, 7 * day, 30 * day}[rng.IntN(5)] / time.Microsecond)
	return at + rng.Int64N(3) - 1
}

func (j join) check(ctx context.Context, eng features.Engine) error {
	got, err := j.run(ctx, eng)
	if err != nil {
		return err
	}
	return agreeTables([]tableOf{got}, []tableOf{j.oracle()}, false)
}

// joinInAnyOrder: cut, ordered and worked on otherwise, the same events and examples give the same bits.
func joinInAnyOrder(ctx context.Context, eng features.Engine) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	j := newJoin(641, append(viewsOfOneKey(), mixed(1)...), 300, 60)
	rng := rand.New(rand.NewPCG(641, 1))
	var first tableOf
	for i, sh := range shapes(641) {
		runtime.GOMAXPROCS([]int{1, 2, 3, 8}[i%4])
		j.shape, j.exampleShape = sh, shape{seed: uint64(i), splits: 1 + i%3, batch: 9 * i, coded: i%2 == 0}
		got, err := j.run(ctx, eng)
		if err != nil {
			return err
		}
		if i == 0 {
			first = got
		}
		if err := agreeTables([]tableOf{got}, []tableOf{first}, true); err != nil {
			return fmt.Errorf("in shape %d against the first: %w", i, err)
		}
		j.events, j.examples = j.events.shuffled(rng), j.examples.shuffled(rng)
	}
	return agreeTables([]tableOf{first}, []tableOf{j.oracle()}, false)
}

// joinIsBuild: where all is known at once and all examples are at one moment, a join says what a build as of then says.
func joinIsBuild(ctx context.Context, eng features.Engine) error {
	j := newJoin(640, mixed(0)[:1], 300, 0)
	j.events = j.events.without("created")
	b, err := build(ctx, eng, task{views: j.views, interval: lastDay(theEnd), events: j.events})
	if err != nil {
		return err
	}
	want := j.table()
	for i, row := range b.tables[0].rows {
		example := []any{int64(i), nil, row[0], theEnd.UnixMicro()}
		j.examples.rows = append(j.examples.rows, example)
		want.rows = append(want.rows, append(slices.Clone(example), row[1:]...))
	}
	got, err := j.run(ctx, eng)
	if err != nil {
		return err
	}
	return agreeTables([]tableOf{got}, []tableOf{want}, true)
}

// joinFails: errors of the source, the examples, the output and the context come back as they are; columns that are missing are named.
func joinFails(ctx context.Context, eng features.Engine) error {
	j := newJoin(650, mixed(0), 100, 20)
	j.shape = shape{splits: 2, batch: 10}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	plan := func(change func(*features.JoinPlan)) features.JoinPlan {
		src, examples := &source{events: j.events, shape: j.shape}, &source{events: j.examples, shape: j.shape}
		splits, err := examples.list(ctx, table.Interval{})
		if err != nil {
			panic("enginetest: " + err.Error()) // a source without calls has no errors
		}
		p := features.JoinPlan{
			Views: j.views, Schema: j.events.schema, Anchor: j.anchor, Events: src.list, Examples: splits, ExampleSchema: j.examples.schema,
			Out: func(*table.Batch) error { return nil },
		}
		change(&p)
		return p
	}
	broken := oneSplit(func(yield func(*table.Batch, error) bool) { yield(nil, errSource) })
	lacks := func(column string) func(*features.JoinPlan) {
		return func(p *features.JoinPlan) {
			src := &source{events: j.examples.without(column), shape: j.shape}
			p.Examples, _ = src.list(ctx, table.Interval{})
			p.ExampleSchema = src.events.schema
		}
	}
	for _, c := range []struct {
		name   string
		ctx    context.Context
		change func(*features.JoinPlan)
		is     error
		says   string
	}{
		{"the source fails", ctx, func(p *features.JoinPlan) { p.Events = broken }, errSource, ""},
		{"the examples fail", ctx, func(p *features.JoinPlan) { p.Examples, _ = broken(ctx, table.Interval{}) }, errSource, ""},
		{"the output fails", ctx, func(p *features.JoinPlan) { p.Out = func(*table.Batch) error { return errOut } }, errOut, ""},
		{"canceled", canceled, func(*features.JoinPlan) {}, context.Canceled, ""},
		{"an invalid view", ctx, func(p *features.JoinPlan) { p.Views = []features.View{{Name: "broken"}} }, nil, "broken"},
		{"examples without a time", ctx, lacks("time"), nil, `"time"`},
		{"examples without a key", ctx, lacks("item"), nil, `"item"`},
		{"events without a column", ctx, func(p *features.JoinPlan) {
			p.Events = (&source{events: j.events.without("value"), shape: j.shape}).list
		}, nil, `"value"`},
	} {
		_, err := eng.Join(c.ctx, plan(c.change))
		switch {
		case err == nil:
			return fmt.Errorf("%s: no error", c.name)
		case c.is != nil && !errors.Is(err, c.is):
			return fmt.Errorf("%s: error %q does not wrap %q", c.name, err, c.is)
		case !strings.Contains(err.Error(), c.says):
			return fmt.Errorf("%s: error %q does not say %s", c.name, err, c.says)
		}
	}
	return nil
}

// joinOfWrongColumns: what a build refuses of columns, a join does: events of types that the plan does not say, and features that can't be computed
// from their column, be the column in the plan's schema or not.
func joinOfWrongColumns(ctx context.Context, eng features.Engine) error {
	must := func(j join, column string) error {
		switch _, err := j.run(ctx, eng); {
		case err == nil:
			return errors.New("no error")
		case !strings.Contains(err.Error(), fmt.Sprintf("%q", column)):
			return fmt.Errorf("error %q does not name %q", err, column)
		}
		return nil
	}
	for _, m := range misuses() {
		if err := must(newJoin(660, []features.View{m.view}, 30, 3), m.column); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
	j := newJoin(661, mixed(0), 60, 5)
	for _, r := range retypings {
		j.read = new(j.events.retyped(r))
		if err := must(j, r.column); err != nil {
			return fmt.Errorf("column %s of type %s: %w", r.column, r.typ, err)
		}
	}
	// Columns that the plan's schema does not name are text to it, and come as numbers.
	for _, f := range []features.Feature{
		{Op: features.ApproxDistinct, Column: "quantity"},
		{Op: features.Top, Column: "quantity", N: 3},
		{Op: features.Sequence, Column: "quantity", N: 3},
		{Op: features.First, Column: "quantity"},
		{Op: features.Last, Column: "quantity"},
	} {
		f.Name = "f"
		j := newJoin(662, []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{day}, Features: []features.Feature{f}}}, 60, 5)
		j.read = new(j.events)
		j.events = j.events.without("quantity")
		if err := must(j, "quantity"); err != nil {
			return fmt.Errorf("%s of a column that is not in the schema: %w", f.Op, err)
		}
	}
	return nil
}
