package enginetest

import (
	"cmp"
	"context"
	"errors"
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

// onFeatures changes what is asked of each feature.
func onFeatures(change func(f *features.Feature)) mutant {
	return func(p features.Plan) features.Plan {
		p.Views = slices.Clone(p.Views)
		for i := range p.Views {
			v := &p.Views[i]
			v.Features = slices.Clone(v.Features)
			for j := range v.Features {
				change(&v.Features[j])
			}
		}
		return p
	}
}

// onValues changes the numbers that features of one operator give.
func onValues(op features.Op, change func(x float64) float64) mutant {
	return onRows(func(v features.View, b *table.Batch) {
		for i, f := range v.Features {
			if f.Op != op {
				continue
			}
			for w := range v.Windows {
				c := &b.Cols[len(v.Keys())+i*len(v.Windows)+w]
				for row := range b.N {
					switch {
					case c.Null(row):
					case c.Float != nil:
						c.Float[row] = change(c.Float[row])
					default:
						c.Int[row] = int64(change(float64(c.Int[row])))
					}
				}
			}
		}
	})
}

// onSplits changes the splits that a source lists.
func onSplits(change func(s *features.Split)) mutant {
	return func(p features.Plan) features.Plan {
		source := p.Events
		p.Events = func(ctx context.Context, w table.Interval) ([]features.Split, error) {
			splits, err := source(ctx, w)
			for i := range splits {
				change(&splits[i])
			}
			return splits, err
		}
		return p
	}
}

// askingFor asks every split for one more column.
func askingFor(column string) mutant {
	return onSplits(func(s *features.Split) {
		read := s.Read
		s.Read = func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
			return read(ctx, append(columns, column))
		}
	})
}

// joiner changes what the right engine is asked to join.
type joiner func(features.JoinPlan) features.JoinPlan

func (joiner) Build(ctx context.Context, p features.Plan) (features.Stats, error) {
	return definitions{}.Build(ctx, p)
}

func (j joiner) Join(ctx context.Context, p features.JoinPlan) (features.Stats, error) {
	return definitions{}.Join(ctx, j(p))
}

// onJoined changes the rows that a join puts out.
func onJoined(change func(b *table.Batch)) joiner {
	return func(p features.JoinPlan) features.JoinPlan {
		out := p.Out
		p.Out = func(b *table.Batch) error {
			change(b)
			return out(b)
		}
		return p
	}
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
		"ignores conditions":      {onFeatures(func(f *features.Feature) { f.Where = nil }), []string{"script/filters", "oracle/count", "oracle/top"}},
		"ignores a kind's filter": {onFeatures(func(f *features.Feature) { f.Kinds = nil }), []string{"script/operators", "oracle/recency"}},
		"takes a condition for its opposite": {onFeatures(func(f *features.Feature) {
			f.Where = slices.Clone(f.Where)
			for i := range f.Where {
				f.Where[i].Not = !f.Where[i].Not
			}
		}), []string{"script/filters", "oracle/distinct"}},
		"lets nulls pass a negation": {onColumn("device", func(c *table.Column) {
			for i := range c.Str {
				if c.Null(i) {
					c.Str[i], c.Valid[i] = "something", true
				}
			}
		}), []string{"script/filters", "oracle/distinct"}},
		"takes empty texts for nulls": {onColumn("device", func(c *table.Column) {
			for i, s := range c.Str {
				if s == "" {
					if c.Valid == nil {
						c.Valid = slices.Repeat([]bool{true}, len(c.Str))
					}
					c.Valid[i] = false
				}
			}
		}), []string{"script/share", "oracle/distinct"}},
		"multiplies no explicit kind": {onFeatures(func(f *features.Feature) {
			if f.Explicit != nil {
				f.Explicit, f.Column = nil, ""
			}
		}), []string{"script/weights", "oracle/sum", "oracle/decayed"}},
		"forgets a sign of weights": {onFeatures(func(f *features.Feature) {
			positive := map[string]float64{}
			for k, w := range f.Weights {
				positive[k] = math.Abs(w)
			}
			f.Weights = positive
		}), []string{"script/weights", "oracle/sum", "oracle/decayed"}},
		"has a half-life that is a millisecond long": {onFeatures(func(f *features.Feature) {
			if f.Op == features.Decayed {
				f.HalfLife += time.Millisecond
			}
		}), []string{"script/decayed", "oracle/decayed"}},
		"takes the first for the last": {onFeatures(func(f *features.Feature) {
			if f.Op == features.Last {
				f.Op = features.First
			}
		}), []string{"script/first-last", "oracle/last"}},
		"lists one too many": {onFeatures(func(f *features.Feature) { f.N += min(1, f.N) }), []string{"script/top", "script/first-last", "oracle/top", "oracle/sequence"}},
		"ranks quantiles too high": {onFeatures(func(f *features.Feature) {
			if f.Op == features.Quantile {
				f.Quantile = min(0.999, f.Quantile+0.1)
			}
		}), []string{"oracle/quantile"}},
		"is 1.5 % off in quantiles":     {onValues(features.Quantile, func(x float64) float64 { return x * 1.015 }), []string{"oracle/quantile"}},
		"is 10 % off in estimates":      {onValues(features.ApproxDistinct, func(x float64) float64 { return math.Ceil(x * 1.1) }), []string{"oracle/approx_distinct"}},
		"miscounts distinct by one":     {onValues(features.Distinct, func(x float64) float64 { return x + 1 }), []string{"script/distinct", "oracle/distinct"}},
		"is off by 1e-11 in decayed":    {onValues(features.Decayed, func(x float64) float64 { return x * (1 + 1e-11) }), []string{"script/decayed", "oracle/decayed"}},
		"puts out minus zero":           {onValues(features.Sum, func(x float64) float64 { return -x }), []string{"script/sums", "oracle/sum"}},
		"takes half a pair for a whole": {onColumn("item", func(c *table.Column) { c.Valid = nil }), []string{"script/keys", "oracle/count"}},
		"rounds integers": {onColumn("views", func(c *table.Column) {
			for i, x := range c.Int {
				c.Int[i] = max(-features.MaxInteger, min(features.MaxInteger, x))
			}
		}), []string{"script/integers"}},
		"keeps the first dictionary": {func() mutant {
			dicts := map[string][]string{}
			return onEvents(func(b *table.Batch) {
				for i, f := range b.Schema {
					if c := &b.Cols[i]; len(c.Dict) > 0 {
						if len(dicts[f.Name]) < len(c.Dict) {
							dicts[f.Name] = c.Dict
						}
						c.Dict = dicts[f.Name]
					}
				}
			})
		}(), []string{"oracle/mixed-3", "order/permuted-and-split"}},
		"asks for a column too many": {askingFor("price"), []string{"read/only-the-columns-of-views"}},
		"always asks for times":      {askingFor("time"), []string{"read/no-time-where-the-split-says-it"}},
		"reads what lies outside":    {onSplits(func(s *features.Split) { s.Times = table.Interval{} }), []string{"read/no-split-that-lies-outside"}},
		"reads a split twice": {mutant(func(p features.Plan) features.Plan {
			source := p.Events
			p.Events = func(ctx context.Context, w table.Interval) ([]features.Split, error) {
				splits, err := source(ctx, w)
				return append(splits, splits[:min(1, len(splits))]...), err
			}
			return p
		}), []string{"order/skewed-key", "oracle/mixed-3"}},
		"has states that depend on the order": {mutant(func(p features.Plan) features.Plan {
			if state := p.State; state != nil {
				p.State = func(key string, b *table.Batch) error {
					for i := range b.N {
						b.Cols[len(b.Cols)-1].Str[i] += strings.Repeat(" ", int(turn.Add(1)%2))
					}
					return state(key, b)
				}
			}
			return p
		}), []string{"order/states", "prior/state-bits"}},
		"puts out no tiles":            {mutant(func(p features.Plan) features.Plan { p.Tile = nil; return p }), []string{"order/states"}},
		"never goes on from a prior":   {mutant(func(p features.Plan) features.Plan { p.Prior = nil; return p }), []string{"prior/reads-little"}},
		"takes more than it asked for": {definitions{careless: true}, []string{"prior/all-whatever-is-asked"}},
		"believes a damaged state":     {definitions{trusting: true}, []string{"prior/damaged"}},
		"leaves files behind":          {definitions{messy: true}, []string{"budget/1-bytes"}},
		"spills nothing":               {mutant(func(p features.Plan) features.Plan { p.Budget = 0; return p }), []string{"budget/many-entities", "budget/no-folder"}},
		"loses a part of the state": {mutant(func(p features.Plan) features.Plan {
			if p.Prior != nil {
				prior := *p.Prior
				prior.State = map[string][]features.Split{}
				for v, splits := range p.Prior.State {
					prior.State[v] = splits[1:]
				}
				p.Prior = &prior
			}
			return p
		}), []string{"prior/daily/count", "prior/far-behind"}},
		"says another prior than it had": {mutant(func(p features.Plan) features.Plan {
			if p.Prior != nil {
				prior := *p.Prior
				prior.End = prior.End.Add(-time.Hour)
				p.Prior = &prior
			}
			return p
		}), []string{"prior/daily/max"}},
		"loses a row of what it spilled": {mutant(func(p features.Plan) features.Plan {
			if p.Budget > 0 {
				return onEvents(func(b *table.Batch) { b.N -= min(1, b.N/2) })(p)
			}
			return p
		}), []string{"budget/1-bytes", "prior/budget"}},
		"joins what was not yet known": {joiner(func(p features.JoinPlan) features.JoinPlan {
			p.Schema = slices.DeleteFunc(slices.Clone(p.Schema), func(f table.Field) bool { return f.Name == "created" })
			return p
		}), []string{"script/join", "join/count", "join/sequence"}},
		"joins without hops": {joiner(func(p features.JoinPlan) features.JoinPlan {
			p.Views = slices.Clone(p.Views)
			for i := range p.Views {
				p.Views[i].Hop = 0
			}
			return p
		}), []string{"script/join-hops", "join/hops-and-shapes-1"}},
		"counts hops from 1970": {joiner(func(p features.JoinPlan) features.JoinPlan {
			p.Anchor = time.Unix(0, 0)
			return p
		}), []string{"join/hops-and-shapes-1"}},
		"joins the present": {joiner(func(p features.JoinPlan) features.JoinPlan {
			p.Events = onReads(p.Events, func(read iter.Seq2[*table.Batch, error], yield func(*table.Batch, error) bool) {
				for b, err := range read {
					if err == nil && b.Col("time") != nil {
						for i := range b.N {
							b.Col("time").Int[i]--
						}
					}
					if !yield(b, err) {
						return
					}
				}
			})
			return p
		}), []string{"script/join", "join/count"}},
		"joins nulls as zeros": {onJoined(func(b *table.Batch) {
			for i := range b.Cols {
				b.Cols[i].Valid = nil
			}
		}), []string{"script/join", "join/max"}},
		"loses an example": {onJoined(func(b *table.Batch) {
			if b.N > 0 {
				whole := events{schema: b.Schema}
				if err := whole.add(b); err == nil {
					whole.rows = whole.rows[1:]
					*b = *whole.whole()
				}
			}
		}), []string{"script/join", "join/no-events"}},
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
		"does not say that a table is whole": {mutant(func(p features.Plan) features.Plan {
			p.Whole = func(features.TableKind, string) error { return nil }
			return p
		}), []string{"script/operators", "prior/daily/count"}},
		"takes a table for whole too early": {mutant(func(p features.Plan) features.Plan {
			out, whole := p.Out, p.Whole
			p.Whole = func(features.TableKind, string) error { return nil }
			p.Out = func(v features.View, b *table.Batch) error {
				return errors.Join(whole(features.ViewTable, v.Name), out(v, b))
			}
			return p
		}), []string{"script/operators"}},
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
