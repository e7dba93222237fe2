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
	all := checks()
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
		}), []string{"script/edges", "time/no-event-at-or-after-the-end"}},
		"drops the event at the window's start": {onColumn("time", func(c *table.Column) {
			edge := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC).Add(-7 * day).UnixMicro()
			for i, t := range c.Int {
				if t == edge {
					c.Int[i]--
				}
			}
		}), []string{"script/edges", "oracle/mixed-4"}},
		"takes nulls for zeros": {onColumn("value", func(c *table.Column) { c.Valid = nil }), []string{"script/nulls", "oracle/mixed-4"}},
		"hides NaN": {onColumn("value", func(c *table.Column) {
			for i, x := range c.Float {
				if math.IsNaN(x) {
					c.Float[i] = 0
				}
			}
		}), []string{"script/nulls", "oracle/mixed-4"}},
		"forgets what it refused": {forgetful{}, []string{"script/nulls"}},
		"loses an event a batch": {onEvents(func(b *table.Batch) {
			if b.N > 1 {
				b.N--
			}
		}), []string{"script/operators", "order/permuted-and-split"}},
		"is off in the last bits": {onRows(func(_ features.View, b *table.Batch) {
			up := turn.Add(1)%2 == 0
			column(b, func(c *table.Column) {
				for i, x := range c.Float {
					if up && x != 0 {
						c.Float[i] = math.Nextafter(x, math.Inf(1))
					}
				}
			})
		}), []string{"order/permuted-and-split"}},
		"depends on the processors": {onRows(func(_ features.View, b *table.Batch) {
			if c := b.Cols[0]; len(c.Int) > 0 && runtime.GOMAXPROCS(0) == 3 {
				c.Int[0]++
			}
		}), []string{"order/processors"}},
		"is off by one part in a billion": {onRows(func(_ features.View, b *table.Batch) {
			column(b, func(c *table.Column) {
				for i := range c.Float {
					c.Float[i] *= 1 + 1e-9
				}
			})
		}), []string{"script/operators", "oracle/mixed-4"}},
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
		}), []string{"oracle/mixed-4"}},
		"asks for too little": {mutant(func(p features.Plan) features.Plan {
			source := p.Events
			p.Events = func(ctx context.Context, w table.Interval) ([]features.Split, error) {
				w.Start = w.Start.Add(time.Second)
				return source(ctx, w)
			}
			return p
		}), []string{"read/source-is-asked-once"}},
		"keeps batches":                {stalker{}, []string{"script/operators", "oracle/mixed-4"}},
		"puts out after a broken scan": {deaf{}, []string{"errors/of-the-source"}},
		"puts out a row twice": {mutant(func(p features.Plan) features.Plan {
			out := p.Out
			p.Out = func(v features.View, b *table.Batch) error {
				again := events{schema: b.Schema}
				if err := again.add(b); err != nil {
					return err
				}
				again.rows = append(again.rows, again.rows[:min(1, len(again.rows))]...)
				return out(v, again.whole())
			}
			return p
		}), []string{"script/operators", "oracle/mixed-4"}},
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
			for _, name := range c.fails {
				i := slices.IndexFunc(all, func(c check) bool { return c.name == name })
				if i < 0 {
					t.Fatalf("no check %s", name)
				}
				if all[i].run(t.Context(), c.engine) == nil {
					t.Errorf("check %s passes", name)
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
		s.events.whole() // panics if a cell is not of its column's type
	})
}
