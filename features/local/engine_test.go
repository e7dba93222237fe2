package local_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/enginetest"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/storage/table"
)

func TestEngine(t *testing.T) { enginetest.Run(t, local.Engine{}) }

var end = time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// crowd is a source of n events in four splits: event i is of subject (i·7919) mod subjects and item i mod items, one minute apart, going back from the end.
func crowd(n, subjects, items, batch int) features.Source {
	return func(context.Context, table.Interval) ([]features.Split, error) {
		names := make([]string, items)
		for i := range names {
			names[i] = fmt.Sprintf("item-%06d", i)
		}
		var splits []features.Split
		for part := range 4 {
			first, last := n*part/4, n*(part+1)/4
			splits = append(splits, features.Split{Rows: int64(last - first), Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] {
				return func(yield func(*table.Batch, error) bool) {
					for lo := first; lo < last; lo += batch {
						if !yield(crowdBatch(lo, min(batch, last-lo), subjects, names), nil) {
							return
						}
					}
				}
			}})
		}
		return splits, nil
	}
}

func crowdBatch(lo, size, subjects int, names []string) *table.Batch {
	b := &table.Batch{N: size, Schema: table.Schema{
		{Name: "subject", Type: table.Int64},
		{Name: "item", Type: table.String},
		{Name: "time", Type: table.Time},
		{Name: "kind", Type: table.String},
		{Name: "value", Type: table.Float64},
	}, Cols: []table.Column{
		{Int: make([]int64, size)}, {Str: make([]string, size)}, {Int: make([]int64, size)}, {Str: make([]string, size)}, {Float: make([]float64, size)},
	}}
	for i := range size {
		e := lo + i
		b.Cols[0].Int[i] = int64(e * 7919 % subjects)
		b.Cols[1].Str[i] = names[e%len(names)]
		b.Cols[2].Int[i] = end.UnixMicro() - int64(e+1)*int64(time.Minute/time.Microsecond)%int64(80*day/time.Microsecond) - 1
		b.Cols[3].Str[i] = []string{"view", "view", "view", "cart", "buy"}[e%5]
		b.Cols[4].Float[i] = float64(e%1000) / 100
	}
	return b
}

func views() []features.View {
	return []features.View{
		{Name: "activity", Key: features.KeySubject, Windows: []time.Duration{day, 7 * day, 90 * day}, Features: []features.Feature{
			{Name: "recent", Op: features.Decayed, HalfLife: 7 * day},
			{Name: "spend", Op: features.Sum, Column: "value", Kinds: []string{"buy"}},
			{Name: "views", Op: features.Count, Kinds: []string{"view"}},
		}},
		{Name: "demand", Key: features.KeyItem, Windows: []time.Duration{day, 28 * day}, Features: []features.Feature{
			{Name: "buyers", Op: features.Distinct, Column: "subject"},
			{Name: "conversion", Op: features.ShareOf, Share: []string{"buy"}},
		}},
	}
}

// More rows than one batch puts out: all of them, each once, with the right counts.
func TestManyRowsComeInSeveralBatches(t *testing.T) {
	const subjects, events = 20011, 60033 // three events each
	seen, batches := map[int64]bool{}, 0
	stats, err := local.Engine{}.Build(t.Context(), features.Plan{
		Views:    []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{90 * day}, Features: []features.Feature{{Name: "n", Op: features.Count}}}},
		Interval: table.Interval{Start: end.Add(-day), End: end},
		Events:   crowd(events, subjects, 10, 4096),
		Out: func(_ features.View, b *table.Batch) error {
			batches++
			for i := range b.N {
				subject := b.Cols[0].Int[i]
				if seen[subject] || subject < 0 || subject >= subjects || b.Cols[1].Int[i] != 3 {
					t.Fatalf("subject %d with %d events, seen before: %v", subject, b.Cols[1].Int[i], seen[subject])
				}
				seen[subject] = true
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != subjects || batches < 2 || stats.RowsOut["v"] != subjects || stats.RowsIn != events {
		t.Errorf("%d rows in %d batches, stats %+v", len(seen), batches, stats)
	}
}

// eachBatch is a source whose batches, numbered from 1 in each split, go through f; its error takes a batch's place.
func eachBatch(src features.Source, f func(n int, b *table.Batch) error) features.Source {
	return func(ctx context.Context, w table.Interval) ([]features.Split, error) {
		splits, err := src(ctx, w)
		for i := range splits {
			read := splits[i].Read
			splits[i].Read = func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
				return func(yield func(*table.Batch, error) bool) {
					n := 0
					for b := range read(ctx, columns) {
						n++
						if err := f(n, b); err != nil {
							yield(nil, err)
							return
						}
						if !yield(b, nil) {
							return
						}
					}
				}
			}
		}
		return splits, err
	}
}

// A source that breaks in the middle leaves no worker behind: a blocked one would be a deadlock of the test's bubble.
func TestNoWorkerIsLeftBehind(t *testing.T) {
	broken := errors.New("broken")
	for i := range 5 {
		synctest.Test(t, func(t *testing.T) {
			_, err := local.Engine{}.Build(t.Context(), features.Plan{
				Views: views(), Interval: table.Interval{Start: end.Add(-day), End: end},
				Events: eachBatch(crowd(10000, 100, 10, 500), func(n int, _ *table.Batch) error {
					if n > i {
						return broken
					}
					return nil
				}),
				Out: func(features.View, *table.Batch) error { t.Error("put out"); return nil },
			})
			if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "build features as of 2026-03-08T00:00:00Z: read events: ") {
				t.Fatalf("error %v", err)
			}
		})
	}
}

// One Engine may build several plans at once.
func TestConcurrentBuilds(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			rows := int64(0)
			stats, err := local.Engine{}.Build(t.Context(), features.Plan{
				Views: views(), Interval: table.Interval{Start: end.Add(-day), End: end}, Events: crowd(5000, 300, 40, 700),
				Out: func(_ features.View, b *table.Batch) error { rows += int64(b.N); return nil },
			})
			if err != nil || rows != 340 || stats.RowsOut["activity"] != 300 || stats.RowsOut["demand"] != 40 {
				t.Errorf("%d rows, stats %+v, error %v", rows, stats, err)
			}
		})
	}
	wg.Wait()
}

func TestPlanFaults(t *testing.T) {
	read := func(context.Context, table.Interval) ([]features.Split, error) {
		t.Error("the source was asked")
		return nil, nil
	}
	for name, p := range map[string]struct {
		plan features.Plan
		want string // "": no error, and nothing to do
	}{
		"no views":         {features.Plan{Interval: table.Interval{End: end}}, ""},
		"no end":           {features.Plan{Views: views()}, "interval's end"},
		"end between µs":   {features.Plan{Views: views(), Interval: table.Interval{End: end.Add(time.Nanosecond)}}, "whole microsecond"},
		"two of one name":  {features.Plan{Views: append(views(), views()[0]), Interval: table.Interval{End: end}}, `view "activity": a second view`},
		"view without key": {features.Plan{Views: []features.View{{Name: "v"}}, Interval: table.Interval{End: end}}, `view "v": key ""`},
	} {
		p.plan.Events, p.plan.Out = read, func(features.View, *table.Batch) error { t.Error("put out"); return nil }
		_, err := local.Engine{}.Build(t.Context(), p.plan)
		if p.want == "" && err != nil || p.want != "" && (err == nil || !strings.Contains(err.Error(), p.want)) {
			t.Errorf("%s: error %v, want %q", name, err, p.want)
		}
	}
}

// A batch whose columns are shorter than it says is an error, not a panic.
func TestBrokenBatches(t *testing.T) {
	for i, name := range []string{"subject", "item", "time", "kind", "value"} {
		for how, broken := range map[string]func(c *table.Column){
			"no values":   func(c *table.Column) { *c = table.Column{} },
			"short Valid": func(c *table.Column) { c.Valid = make([]bool, 3) },
		} {
			_, err := local.Engine{}.Build(t.Context(), features.Plan{
				Views: views(), Interval: table.Interval{Start: end.Add(-day), End: end},
				Events: eachBatch(crowd(100, 10, 10, 100), func(_ int, b *table.Batch) error {
					broken(&b.Cols[i])
					return nil
				}),
				Out: func(features.View, *table.Batch) error { return nil },
			})
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("column %q", name)) {
				t.Errorf("column %s, %s: error %v", name, how, err)
			}
		}
	}
}
