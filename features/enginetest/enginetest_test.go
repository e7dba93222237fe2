package enginetest

import (
	"cmp"
	"context"
	"iter"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// definitions is the oracle as an engine: slow, and right.
type definitions struct{}

func (definitions) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	if err := features.Validate(p.Views); err != nil {
		return features.Stats{}, err
	}
	var e events
	end := p.Interval.End
	splits, err := p.Events(ctx, table.Interval{Start: end.Add(-features.RetentionNeeded(p.Views)), End: end})
	if err != nil {
		return features.Stats{}, err
	}
	for _, s := range splits {
		for b, err := range s.Read(ctx, nil) {
			if err != nil {
				return features.Stats{}, err
			}
			if err := ctx.Err(); err != nil {
				return features.Stats{}, err
			}
			if err := readBatch(&e, b, p.Views); err != nil {
				return features.Stats{}, err
			}
		}
	}
	if e.schema == nil {
		e = newEvents()
	}
	r := oracle(p.Views, end, e)
	for i, t := range r.tables {
		if err := p.Out(p.Views[i], events{schema: t.schema}.batch(t.rows)); err != nil {
			return r.stats, err
		}
	}
	return r.stats, nil
}

// wrongColumn is a fault in what the source yields.
type wrongColumn struct{ name string }

func (w wrongColumn) Error() string { return `column "` + w.name + `"` }

// readBatch adds a batch's rows to e, after the checks that an engine owes.
func readBatch(e *events, b *table.Batch, views []features.View) error {
	fixed := newEvents().schema
	for _, v := range views {
		for _, name := range append(v.Columns(), "time") {
			i := b.Schema.Index(name)
			if i < 0 {
				return wrongColumn{name}
			}
			if j := fixed.Index(name); j >= 0 && fixed[j].Type != b.Schema[i].Type {
				return wrongColumn{name}
			}
		}
	}
	if e.schema == nil {
		e.schema = slices.Clone(b.Schema)
	}
	for i, f := range e.schema {
		if b.Schema[i] != f {
			return wrongColumn{f.Name}
		}
	}
	return readRows(e, b)
}

// readRows adds a batch's rows to e.
func readRows(e *events, b *table.Batch) error {
	for i := range b.N {
		row := make([]any, len(b.Cols))
		for j, f := range b.Schema {
			switch c := &b.Cols[j]; {
			case c.Null(i):
			case f.Type == table.Float64:
				row[j] = c.Float[i]
			case f.Type == table.String:
				row[j] = c.Str[i]
			default:
				row[j] = c.Int[i]
			}
		}
		e.rows = append(e.rows, row)
	}
	return nil
}

func (definitions) Join(context.Context, features.JoinPlan) (features.Stats, error) {
	return features.Stats{}, nil
}

func TestRightEnginePasses(t *testing.T) { Run(t, definitions{}) }

// mutant changes what the right engine is asked, or what it puts out.
type mutant func(features.Plan) features.Plan

func (mutant) Join(ctx context.Context, p features.JoinPlan) (features.Stats, error) {
	return definitions{}.Join(ctx, p)
}

func (m mutant) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	return definitions{}.Build(ctx, m(p))
}

// onRows changes each view's table before it is put out.
func onRows(change func(v features.View, b *table.Batch)) mutant {
	return func(p features.Plan) features.Plan {
		out := p.Out
		p.Out = func(v features.View, b *table.Batch) error {
			change(v, b)
			return out(v, b)
		}
		return p
	}
}

// onReads changes how each split of a source is read.
func onReads(source features.Source, read func(inner iter.Seq2[*table.Batch, error], yield func(*table.Batch, error) bool)) features.Source {
	return func(ctx context.Context, w table.Interval) ([]features.Split, error) {
		splits, err := source(ctx, w)
		for i, s := range splits {
			splits[i].Read = func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
				return func(yield func(*table.Batch, error) bool) { read(s.Read(ctx, columns), yield) }
			}
		}
		return splits, err
	}
}

// onEvents changes each batch of events before it is read.
func onEvents(change func(b *table.Batch)) mutant {
	return func(p features.Plan) features.Plan {
		p.Events = onReads(p.Events, func(read iter.Seq2[*table.Batch, error], yield func(*table.Batch, error) bool) {
			for b, err := range read {
				if err == nil {
					change(b)
				}
				if !yield(b, err) {
					return
				}
			}
		})
		return p
	}
}

// onColumn changes a column of each batch of events that has it.
func onColumn(name string, change func(c *table.Column)) mutant {
	return onEvents(func(b *table.Batch) {
		if c := b.Col(name); c != nil {
			change(c)
		}
	})
}

// stalker keeps a batch's slices for later, as an engine must not.
type stalker struct{ definitions }

func (stalker) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	p.Events = onReads(p.Events, func(read iter.Seq2[*table.Batch, error], yield func(*table.Batch, error) bool) {
		var kept []table.Batch
		for b, err := range read {
			if err != nil {
				yield(nil, err)
				return
			}
			kept = append(kept, *b)
		}
		for i := range kept {
			if !yield(&kept[i], nil) {
				return
			}
		}
	})
	return definitions{}.Build(ctx, p)
}

// deaf doesn't hear of the end of a scan: it puts out what it has when the source fails.
type deaf struct{ definitions }

func (deaf) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	var failure error
	p.Events = onReads(p.Events, func(read iter.Seq2[*table.Batch, error], yield func(*table.Batch, error) bool) {
		for b, err := range read {
			if failure = err; err != nil || !yield(b, nil) {
				return
			}
		}
	})
	s, err := definitions{}.Build(ctx, p)
	return s, cmp.Or(failure, err)
}

// forgetful loses the counts of what was refused.
type forgetful struct{ definitions }

func (forgetful) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	s, err := definitions{}.Build(ctx, p)
	s.Refused = nil
	return s, err
}

// A suite that can't fail proves nothing: each of these engines is wrong in one way, and the named checks must find it.
func TestWrongEnginesFail(t *testing.T) {
	var turn atomic.Int64
	column := func(b *table.Batch, f func(c *table.Column)) {
		for i := range b.Cols {
			f(&b.Cols[i])
		}
	}
	for name, c := range map[string]struct {
		engine features.Engine
		fails  []string // of the checks' names, at least these
	}{
		"counts the event at the end": {mutant(func(p features.Plan) features.Plan {
			p.Interval.End = p.Interval.End.Add(time.Microsecond)
			return p
		}), []string{"script/edges", "no-event-at-or-after-the-end"}},
		"drops the event at the window's start": {onColumn("time", func(c *table.Column) {
			edge := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC).Add(-7 * day).UnixMicro()
			for i, t := range c.Int {
				if t == edge {
					c.Int[i]--
				}
			}
		}), []string{"script/edges", "oracle/7"}},
		"takes nulls for zeros": {onColumn("value", func(c *table.Column) { c.Valid = nil }), []string{"script/nulls", "oracle/7"}},
		"hides NaN": {onColumn("value", func(c *table.Column) {
			for i, x := range c.Float {
				if math.IsNaN(x) {
					c.Float[i] = 0
				}
			}
		}), []string{"script/nulls", "oracle/7"}},
		"forgets what it refused": {forgetful{}, []string{"script/nulls"}},
		"loses an event a batch": {onEvents(func(b *table.Batch) {
			if b.N > 1 {
				b.N--
			}
		}), []string{"script/operators", "any-order-and-batches"}},
		"is off in the last bits": {onRows(func(_ features.View, b *table.Batch) {
			up := turn.Add(1)%2 == 0
			column(b, func(c *table.Column) {
				for i, x := range c.Float {
					if up && x != 0 {
						c.Float[i] = math.Nextafter(x, math.Inf(1))
					}
				}
			})
		}), []string{"any-order-and-batches"}},
		"depends on the processors": {onRows(func(_ features.View, b *table.Batch) {
			if c := b.Cols[len(b.Cols)-1]; len(c.Int) > 0 && runtime.GOMAXPROCS(0) == 3 {
				c.Int[0]++
			}
		}), []string{"any-GOMAXPROCS"}},
		"is off by one part in a billion": {onRows(func(_ features.View, b *table.Batch) {
			column(b, func(c *table.Column) {
				for i := range c.Float {
					c.Float[i] *= 1 + 1e-9
				}
			})
		}), []string{"script/operators", "oracle/7"}},
		"leaves a value under a null": {onRows(func(_ features.View, b *table.Batch) {
			column(b, func(c *table.Column) {
				for i := range c.Float {
					if c.Null(i) {
						c.Float[i] = 1
					}
				}
			})
		}), []string{"script/operators"}},
		"drops duplicates": {onColumn("time", func(c *table.Column) {
			seen := map[int64]bool{}
			for i, t := range c.Int {
				if c.Null(i) || !seen[t] {
					seen[t] = true
					continue
				}
				if c.Valid == nil {
					c.Valid = slices.Repeat([]bool{true}, len(c.Int))
				}
				c.Valid[i] = false
			}
		}), []string{"oracle/7"}},
		"asks for too little": {mutant(func(p features.Plan) features.Plan {
			source := p.Events
			p.Events = func(ctx context.Context, w table.Interval) ([]features.Split, error) {
				w.Start = w.Start.Add(time.Second)
				return source(ctx, w)
			}
			return p
		}), []string{"source-is-asked-once"}},
		"keeps batches":                {stalker{}, []string{"script/operators", "oracle/7"}},
		"puts out after a broken scan": {deaf{}, []string{"errors"}},
		"puts out a row twice": {mutant(func(p features.Plan) features.Plan {
			out := p.Out
			p.Out = func(v features.View, b *table.Batch) error {
				if b.N > 0 {
					again := events{schema: b.Schema}
					if err := readRows(&again, b); err != nil {
						return err
					}
					if err := out(v, again.batch(again.rows[:1])); err != nil {
						return err
					}
				}
				return out(v, b)
			}
			return p
		}), []string{"script/operators", "oracle/7"}},
		"skips empty views": {mutant(func(p features.Plan) features.Plan {
			out := p.Out
			p.Out = func(v features.View, b *table.Batch) error {
				if b.N == 0 {
					return nil
				}
				return out(v, b)
			}
			return p
		}), []string{"script/empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			var failed []string
			for _, check := range checks() {
				if check.run(t.Context(), c.engine) != nil {
					failed = append(failed, check.name)
				}
			}
			for _, want := range c.fails {
				if !slices.Contains(failed, want) {
					t.Errorf("check %s passes; failed: %s", want, strings.Join(failed, ", "))
				}
			}
		})
	}
}

func TestParseScriptFaults(t *testing.T) {
	const end = "end 2026-03-08T00:00:00Z\n"
	const view = "view v subject 1d\n  n count\n"
	for _, c := range []struct{ text, want string }{
		{"", "no end"},
		{"  1 a -1h buy 1", "line 1: an indented line belongs to no section"},
		{"begin", `line 1: unknown statement "begin"`},
		{"end", "line 1: end takes 1 fields"},
		{"end yesterday", "line 1: parsing time"},
		{end + "column x Blob", `line 2: column x: unknown type "Blob"`},
		{end + "view v subject 1x", "line 2: time: unknown unit"},
		{end + "view v subject 1d\n  n", "line 3: a feature is a name"},
		{end + "view v subject 1d\n  n count limit=3", `line 3: feature n: unknown option "limit"`},
		{end + view, "0 tables are expected of 1 views"},
		{end + "view v subject 1d\n  n median\nexpect v", `unknown operator "median"`},
		{"events\n  1 a -1h buy 1", "line 2: events stand below the end"},
		{end + "events\n  1 a -1h buy", "line 3: the event has 4 fields, the columns are 5"},
		{end + "events\n  x a -1h buy 1", "line 3: column subject: strconv.ParseInt"},
		{end + "events\n  1 a -1h buy 1\ncolumn d String", "line 4: column d comes after the first event"},
		{end + "expect w", `line 2: expect: no view "w" above`},
		{end + view + "expect v\n  entity n_2d", `line 5: the header is "entity n_2d", the view has "entity n_1d"`},
		{end + view + "expect v\n  entity n_1d\n  1", "line 6: the row has 1 fields, the header 2"},
		{end + view + "refused v x", "line 4: strconv.ParseInt"},
	} {
		if _, err := parseScript(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "7d": 7 * day, "-7d": -7 * day, "-1d12h": -36 * time.Hour, "1d1us": day + time.Microsecond, "-90s": -90 * time.Second,
	} {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "7", "1d-2h", "xd", "1dd", "99999999d"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q gives %v", s, got)
		}
	}
}

// Whatever the text: an error, or a script whose plan an engine can run.
func FuzzParseScript(f *testing.F) {
	for _, c := range []string{"edges", "nulls", "operators", "sums", "single"} {
		text, err := scripts.ReadFile("testdata/" + c + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScript(text)
		if err != nil {
			return
		}
		if err := features.Validate(s.views); err != nil {
			t.Errorf("a script with a faulty view was parsed: %v", err)
		}
		s.events.batch(s.events.rows) // panics if a cell is not of its column's type
	})
}
