package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

var (
	errSource = errors.New("the source broke")
	errOut    = errors.New("the output broke")
)

func faultChecks() []check {
	return []check{
		{"errors/of-the-source", sourceFails},
		{"errors/of-columns", wrongColumns},
		{"errors/of-the-output", outputFails},
		{"errors/of-the-plan", wrongPlan},
	}
}

// mustFail builds and returns an error unless the build fails with is (or a message that holds says) and puts nothing out.
func mustFail(ctx context.Context, eng features.Engine, t task, events features.Source, is error, says string) error {
	puts := 0
	keep := func(string, *table.Batch) error { puts++; return nil }
	p := features.Plan{
		Views: t.views, Interval: t.interval, Schema: t.events.schema, Events: events, State: keep, Tile: keep,
		Out: func(features.View, *table.Batch) error { puts++; return nil },
	}
	_, err := eng.Build(ctx, p)
	switch {
	case err == nil:
		return errors.New("no error")
	case puts > 0:
		return fmt.Errorf("%d batches were put out by a build that failed", puts)
	case is != nil && !errors.Is(err, is):
		return fmt.Errorf("error %q does not wrap %q", err, is)
	case !strings.Contains(err.Error(), says):
		return fmt.Errorf("error %q does not say %s", err, says)
	}
	return nil
}

// sourceFails: an error of the source, of one split before its first batch, in its middle or at its end, and of the context, comes back as it is.
func sourceFails(ctx context.Context, eng features.Engine) error {
	t := task{views: mixed(0), interval: lastDay(theEnd), events: world{seed: 105, rows: 200}.generate()}
	broken := func(context.Context, table.Interval) ([]features.Split, error) { return nil, errSource }
	if err := mustFail(ctx, eng, t, broken, errSource, ""); err != nil {
		return fmt.Errorf("the source can't be listed: %w", err)
	}
	for _, at := range []int{1, 2, 17, 40} {
		src := &source{events: t.events, shape: shape{splits: 5, batch: 5}, calls: func(batches int) error {
			if batches == at {
				return errSource
			}
			return nil
		}}
		if err := mustFail(ctx, eng, t, src.list, errSource, ""); err != nil {
			return fmt.Errorf("batch %d of many can't be read: %w", at, err)
		}
	}
	last := oneSplit(func(yield func(*table.Batch, error) bool) {
		if yield(t.events.whole(), nil) {
			yield(nil, errSource)
		}
	})
	if err := mustFail(ctx, eng, t, last, errSource, ""); err != nil {
		return fmt.Errorf("a split fails at its end: %w", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	src := &source{events: t.events, shape: shape{batch: 10}}
	if err := mustFail(canceled, eng, t, src.list, context.Canceled, ""); err != nil {
		return fmt.Errorf("canceled: %w", err)
	}
	midway, stop := context.WithCancel(ctx)
	src = &source{events: t.events, shape: shape{splits: 3, batch: 10}, calls: func(batches int) error {
		if batches == 4 {
			stop()
		}
		return nil
	}}
	defer stop()
	if err := mustFail(midway, eng, t, src.list, context.Canceled, ""); err != nil {
		return fmt.Errorf("canceled midway: %w", err)
	}
	return nil
}

// wrongColumns: columns that are missing, or of a type that can't be read, are named.
func wrongColumns(ctx context.Context, eng features.Engine) error {
	t := task{views: mixed(0), interval: lastDay(theEnd), events: world{seed: 105, rows: 60}.generate()}
	type wrong struct {
		name   string
		events events
		says   string
	}
	var cases []wrong
	for _, c := range []string{"time", "kind", "subject", "item", "value", "device"} {
		cases = append(cases, wrong{"no column " + c, t.events.without(c), fmt.Sprintf("%q", c)})
	}
	for _, r := range retypings {
		cases = append(cases, wrong{r.column + " of another type", t.events.retyped(r), fmt.Sprintf("%q", r.column)})
	}
	for _, c := range cases {
		src := &source{events: c.events, shape: shape{batch: 10}}
		if err := mustFail(ctx, eng, t, src.list, nil, c.says); err != nil { // the plan's schema is that of the right events
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	// A type that changes from batch to batch.
	flags := t.events.retyped(retyping{"flag", table.Float64, 1.5})
	changing := oneSplit(func(yield func(*table.Batch, error) bool) {
		if yield(t.events.whole(), nil) {
			yield(flags.whole(), nil)
		}
	})
	if err := mustFail(ctx, eng, t, changing, nil, `"flag"`); err != nil {
		return fmt.Errorf("a type changes: %w", err)
	}
	// Columns that are shorter than the batch, or whose codes point nowhere.
	for name, c := range map[string]struct {
		column string
		broken func(c *table.Column)
	}{
		"no values":          {"value", func(c *table.Column) { *c = table.Column{} }},
		"few marks of nulls": {"device", func(c *table.Column) { c.Valid = make([]bool, 3) }},
		"no such code": {"item", func(c *table.Column) {
			*c = table.Column{Code: slices.Repeat([]int32{2}, len(c.Str)), Dict: []string{"a", "b"}}
		}},
		"codes below zero": {"kind", func(c *table.Column) {
			*c = table.Column{Code: slices.Repeat([]int32{-1}, len(c.Str)), Dict: []string{"buy"}}
		}},
	} {
		src := oneSplit(func(yield func(*table.Batch, error) bool) {
			b := t.events.whole()
			c.broken(b.Col(c.column))
			yield(b, nil)
		})
		if err := mustFail(ctx, eng, t, src, nil, fmt.Sprintf("%q", c.column)); err != nil {
			return fmt.Errorf("column %s, %s: %w", c.column, name, err)
		}
	}
	return wrongUses(ctx, eng, t)
}

// retyping makes a column one of another type, all of whose values are one.
type retyping struct {
	column string
	typ    table.Type
	x      any
}

// retypings are columns of types that the plan's schema, or what every events table has, does not say.
var retypings = []retyping{
	{"value", table.String, "two"},
	{"subject", table.String, "s"},
	{"item", table.Int64, int64(5)},
	{"time", table.Float64, 1.5},
	{"quantity", table.String, "3"},
	{"device", table.Float64, 3.0},
	{"flag", table.Time, int64(3)},
}

func (e events) retyped(r retyping) events {
	out := events{schema: slices.Clone(e.schema)}
	i := e.schema.Index(r.column)
	out.schema[i].Type = r.typ
	for _, row := range e.rows {
		row = slices.Clone(row)
		row[i] = r.x
		out.rows = append(out.rows, row)
	}
	return out
}

// misuse is a view of one feature that can't be computed from a column of its type.
type misuse struct {
	view   features.View
	column string
}

func (m misuse) String() string {
	return fmt.Sprintf("%s of %s by %s", m.view.Features[0].Op, m.column, m.view.Key)
}

func misuses() (all []misuse) {
	for _, c := range []struct {
		feature features.Feature
		key     string
		column  string
	}{
		{features.Feature{Op: features.Sum, Column: "device"}, features.KeySubject, "device"},
		{features.Feature{Op: features.Quantile, Column: "due", Quantile: 0.5}, features.KeySubject, "due"},
		{features.Feature{Op: features.First, Column: "due"}, features.KeySubject, "due"},
		{features.Feature{Op: features.Top, Column: "due", N: 3}, features.KeySubject, "due"},
		{features.Feature{Op: features.Sequence, Column: "due", N: 3}, features.KeySubject, "due"},
		{features.Feature{Op: features.First, Column: "created"}, features.KeySubject, "created"},
		{features.Feature{Op: features.Last, Column: "created"}, features.KeySubject, "created"},
		{features.Feature{Op: features.Top, Column: "created", N: 3}, features.KeySubject, "created"},
		{features.Feature{Op: features.Sequence, Column: "created", N: 3}, features.KeySubject, "created"},
		{features.Feature{Op: features.Decayed, Column: "device", HalfLife: day}, features.KeySubject, "device"},
		{features.Feature{Op: features.ShareOf, Column: "quantity", Share: []string{"3"}}, features.KeySubject, "quantity"},
		{features.Feature{Op: features.Count, Where: []features.Condition{{Column: "quantity", In: []string{"3"}}}}, features.KeySubject, "quantity"},
		{features.Feature{Op: features.Count, Where: []features.Condition{{Column: "device", Min: ptr(3)}}}, features.KeySubject, "device"},
		{features.Feature{Op: features.Count}, "price", "price"},
		{features.Feature{Op: features.Count}, "subject+price", "price"},
	} {
		c.feature.Name = "f"
		all = append(all, misuse{features.View{Name: "v", Key: c.key, Windows: []time.Duration{day}, Features: []features.Feature{c.feature}}, c.column})
	}
	return all
}

// wrongUses: features whose column holds what they can't be computed from, by the plan's schema.
func wrongUses(ctx context.Context, eng features.Engine, t task) error {
	for _, m := range misuses() {
		t.views = []features.View{m.view}
		src := &source{events: t.events}
		if err := mustFail(ctx, eng, t, src.list, nil, fmt.Sprintf("%q", m.column)); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
	return nil
}

// outputFails: errors of Out, State and Tile come back as they are.
func outputFails(ctx context.Context, eng features.Engine) error {
	t := task{views: mixed(0), interval: lastDay(theEnd), events: world{seed: 105, rows: 60}.generate()}
	good := func(string, *table.Batch) error { return nil }
	bad := func(string, *table.Batch) error { return errOut }
	for i, outs := range [][3]func(string, *table.Batch) error{{bad, nil, nil}, {bad, good, good}, {good, bad, good}, {good, good, bad}, {good, bad, nil}} {
		src := &source{events: t.events, shape: shape{batch: 10}}
		_, err := eng.Build(ctx, features.Plan{
			Views: t.views, Interval: t.interval, Schema: t.events.schema, Events: src.list, State: outs[1], Tile: outs[2],
			Out: func(v features.View, b *table.Batch) error { return outs[0](v.Name, b) },
		})
		if !errors.Is(err, errOut) {
			return fmt.Errorf("case %d: error %v does not wrap %q", i, err, errOut)
		}
	}
	return nil
}

// wrongPlan: a view that is not valid is named, and no event is read.
func wrongPlan(ctx context.Context, eng features.Engine) error {
	t := task{views: mixed(0), interval: lastDay(theEnd), events: world{seed: 105, rows: 60}.generate()}
	t.views[1].Windows = nil
	src := &source{events: t.events}
	if err := mustFail(ctx, eng, t, src.list, nil, t.views[1].Name); err != nil {
		return err
	}
	if len(src.asked) > 0 {
		return fmt.Errorf("the source was asked for %v", src.asked)
	}
	return nil
}
