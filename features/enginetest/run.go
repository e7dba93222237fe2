package enginetest

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

//go:embed testdata/*.txt
var scripts embed.FS

// tolerance is how far an engine's floats may be from the oracle's, relative.
const tolerance = 1e-12

// Run checks that the engine computes what package features defines. It takes about a second, and changes GOMAXPROCS while it runs, so the
// caller must not run it in parallel with other tests.
func Run(t *testing.T, eng features.Engine) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(t.Context(), eng); err != nil {
				t.Error(err)
			}
		})
	}
}

// check is one thing an engine must do; run says how it failed.
type check struct {
	name string
	run  func(context.Context, features.Engine) error
}

func checks() []check {
	var cs []check
	files, err := fs.Glob(scripts, "testdata/*.txt")
	if err != nil || len(files) == 0 {
		panic("enginetest: the scripts are not embedded")
	}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(f, "testdata/"), ".txt")
		cs = append(cs, check{"script/" + name, func(ctx context.Context, eng features.Engine) error { return runScript(ctx, eng, f) }})
	}
	for seed := range uint64(8) {
		cs = append(cs, check{fmt.Sprintf("oracle/%d", seed), func(ctx context.Context, eng features.Engine) error {
			w := generate(seed)
			got, err := build(ctx, eng, w.views, w.end, w.events, 1+int(seed)*37)
			if err != nil {
				return err
			}
			return agree(got, oracle(w.views, w.end, w.events), tolerance)
		}})
	}
	return append(cs,
		check{"any-order-and-batches", anyOrder},
		check{"any-GOMAXPROCS", anyProcs},
		check{"no-event-at-or-after-the-end", noFuture},
		check{"every-event-twice", everyEventTwice},
		check{"source-is-asked-once", askedOnce},
		check{"errors", reportsErrors},
	)
}

func runScript(ctx context.Context, eng features.Engine, file string) error {
	text, err := scripts.ReadFile(file)
	if err != nil {
		return err
	}
	s, err := parseScript(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := agree(oracle(s.views, s.end, s.events), s.want, tolerance); err != nil {
		return fmt.Errorf("%s: the oracle disagrees with the script: %w", file, err)
	}
	for _, size := range []int{1, 2, 1000} {
		got, err := build(ctx, eng, s.views, s.end, s.events, size)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := agree(got, s.want, tolerance); err != nil {
			return fmt.Errorf("%s, batches of %d: %w", file, size, err)
		}
	}
	return nil
}

// anyOrder: permuted and split otherwise, the same events give the same bits.
func anyOrder(ctx context.Context, eng features.Engine) error {
	w := generate(100)
	want, err := build(ctx, eng, w.views, w.end, w.events, 64)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(100, 1))
	for _, size := range []int{1, 7, 500, 1 << 20} {
		p := events{schema: w.events.schema}
		for _, i := range rng.Perm(len(w.events.rows)) {
			p.rows = append(p.rows, w.events.rows[i])
		}
		got, err := build(ctx, eng, w.views, w.end, p, size)
		if err != nil {
			return err
		}
		if err := agree(got, want, 0); err != nil {
			return fmt.Errorf("permuted, batches of %d: %w", size, err)
		}
	}
	return nil
}

// anyProcs: the number of processors changes no bit.
func anyProcs(ctx context.Context, eng features.Engine) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	w := generate(101)
	var want result
	for i, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		got, err := build(ctx, eng, w.views, w.end, w.events, 50)
		if err != nil {
			return err
		}
		if i == 0 {
			want = got
		}
		if err := agree(got, want, 0); err != nil {
			return fmt.Errorf("GOMAXPROCS %d against 1: %w", procs, err)
		}
	}
	return nil
}

// noFuture is invariant 3: no event at or after the interval's end affects a feature.
func noFuture(ctx context.Context, eng features.Engine) error {
	w := generate(102)
	want, err := build(ctx, eng, w.views, w.end, w.events, 100)
	if err != nil {
		return err
	}
	end := w.end.UnixMicro()
	var future [][]any
	for i, at := range []int64{end, end + 1, end + 1000, end + int64(time.Hour/time.Microsecond), math.MaxInt64} {
		for j, x := range []any{nil, 1e280, math.NaN(), -5.0} {
			row := append([]any(nil), w.events.rows[(i*7+j)%len(w.events.rows)]...) // subjects and items of the past, and a new one
			if j == 3 {
				row[colSubject], row[colItem] = int64(424242), "item-of-the-future"
			}
			row[colTime], row[colValue] = at, x
			future = append(future, row)
		}
	}
	got, err := build(ctx, eng, w.views, w.end, w.events.with(future...), 100)
	if err != nil {
		return err
	}
	want.stats.RowsOutside += int64(len(future))
	return agree(got, want, 0)
}

// everyEventTwice: a duplicate counts. Counts and sums double; means, extremes, distinct counts, recencies and shares stay.
func everyEventTwice(ctx context.Context, eng features.Engine) error {
	w := generate(103)
	want, err := build(ctx, eng, w.views, w.end, w.events, 100)
	if err != nil {
		return err
	}
	got, err := build(ctx, eng, w.views, w.end, w.events.with(w.events.rows...), 100)
	if err != nil {
		return err
	}
	for i, v := range w.views {
		for _, row := range want.tables[i].rows {
			at := 1
			for _, f := range v.Features {
				for range v.Windows {
					switch x := row[at].(type) {
					case int64:
						if f.Op == features.Count {
							row[at] = 2 * x
						}
					case float64:
						if f.Op == features.Sum || f.Op == features.Decayed {
							row[at] = 2 * x
						}
					}
					at++
				}
			}
		}
	}
	want.stats.RowsIn *= 2
	want.stats.RowsOutside *= 2
	for what := range want.stats.Refused {
		want.stats.Refused[what] *= 2
	}
	return agree(got, want, 1e-15) // a mean of doubled sum and count is the same bits but for the last division
}

// askedOnce: the source is asked once, for the longest window of all views.
func askedOnce(ctx context.Context, eng features.Engine) error {
	w := generate(104)
	var asked []table.Interval
	inner := w.events.source(100)
	c := collector{views: w.views}
	_, err := eng.Build(ctx, features.Plan{
		Views:    w.views,
		Interval: table.Interval{Start: w.end.Add(-time.Hour), End: w.end},
		Events: func(ctx context.Context, iv table.Interval) ([]features.Split, error) {
			asked = append(asked, iv)
			return inner(ctx, iv)
		},
		Out: c.out,
	})
	if err != nil {
		return err
	}
	want := table.Interval{Start: w.end.Add(-features.RetentionNeeded(w.views)), End: w.end}
	if len(asked) != 1 || !asked[0].Start.Equal(want.Start) || !asked[0].End.Equal(want.End) {
		return fmt.Errorf("the source was asked for %v, want once %v", asked, want)
	}
	return nil
}

var (
	errSource = errors.New("the source broke")
	errOut    = errors.New("the output broke")
)

// reportsErrors: errors come back as they are, and nothing is put out of a scan that failed.
func reportsErrors(ctx context.Context, eng features.Engine) error {
	w := generate(105)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	without := func(name string) events {
		e := events{}
		drop := w.events.schema.Index(name)
		for i, f := range w.events.schema {
			if i != drop {
				e.schema = append(e.schema, f)
			}
		}
		for _, row := range w.events.rows {
			e.rows = append(e.rows, append(append([]any(nil), row[:drop]...), row[drop+1:]...))
		}
		return e
	}
	retyped := w.events.with()
	retyped.schema = append(table.Schema(nil), retyped.schema...)
	retyped.schema[colValue].Type = table.String
	retyped.rows = [][]any{{int64(1), "i", w.end.UnixMicro() - 1, "buy", "two", nil, nil, nil}}
	retypedKey := retyped
	retypedKey.schema = append(table.Schema(nil), w.events.schema...)
	retypedKey.schema[colSubject].Type = table.String
	retypedKey.rows = [][]any{{"s", "i", w.end.UnixMicro() - 1, "buy", 2.0, nil, nil, nil}}
	changing := oneSplit(func(yield func(*table.Batch, error) bool) {
		e := newEvents(w.events.schema[fixedColumns:]...)
		e.rows = w.events.rows[:1]
		first := e.batch(e.rows)
		if !yield(first, nil) {
			return
		}
		e.schema = append(table.Schema(nil), e.schema...)
		last := len(e.schema) - 1
		e.schema[last].Type = table.Float64
		row := append([]any(nil), e.rows[0]...)
		row[last] = 1.5
		yield(e.batch([][]any{row}), nil)
	})
	failing := oneSplit(func(yield func(*table.Batch, error) bool) {
		if yield(w.events.batch(w.events.rows[:10]), nil) {
			yield(nil, errSource)
		}
	})
	invalid := append([]features.View(nil), w.views...)
	invalid[0].Windows = nil

	for _, c := range []struct {
		name  string
		ctx   context.Context
		views []features.View
		src   features.Source
		is    error  // errors.Is
		says  string // a part of the message
	}{
		{"source fails", ctx, w.views, failing, errSource, ""},
		{"canceled", canceled, w.views, w.events.source(10), context.Canceled, ""},
		{"invalid view", ctx, invalid, w.events.source(10), nil, w.views[0].Name},
		{"no time column", ctx, w.views, without("time").source(10), nil, `"time"`},
		{"no kind column", ctx, w.views, without("kind").source(10), nil, `"kind"`},
		{"no subject column", ctx, w.views, without("subject").source(10), nil, `"subject"`},
		{"no context column", ctx, w.views, without("device").source(10), nil, `"device"`},
		{"numbers are strings", ctx, w.views, retyped.source(10), nil, `"value"`},
		{"subjects are strings", ctx, w.views, retypedKey.source(10), nil, `"subject"`},
		{"a type changes", ctx, w.views, changing, nil, `"flag"`},
	} {
		puts := 0
		_, err := eng.Build(c.ctx, features.Plan{
			Views: c.views, Interval: table.Interval{Start: w.end.Add(-time.Hour), End: w.end}, Events: c.src,
			Out: func(features.View, *table.Batch) error { puts++; return nil },
		})
		switch {
		case err == nil:
			return fmt.Errorf("%s: no error", c.name)
		case puts > 0:
			return fmt.Errorf("%s: %d batches were put out of a scan that failed", c.name, puts)
		case c.is != nil && !errors.Is(err, c.is):
			return fmt.Errorf("%s: error %q does not wrap %q", c.name, err, c.is)
		case !strings.Contains(err.Error(), c.says):
			return fmt.Errorf("%s: error %q does not say %s", c.name, err, c.says)
		}
	}
	_, err := eng.Build(ctx, features.Plan{
		Views: w.views, Interval: table.Interval{Start: w.end.Add(-time.Hour), End: w.end}, Events: w.events.source(10),
		Out: func(features.View, *table.Batch) error { return errOut },
	})
	if !errors.Is(err, errOut) {
		return fmt.Errorf("output fails: error %v does not wrap %q", err, errOut)
	}
	return nil
}
