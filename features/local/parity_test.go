package local_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/storage/table"
)

// tablesOf builds a plan and returns what it puts out, as sorted lines.
func tablesOf(t *testing.T, p features.Plan) ([]string, features.Stats) {
	t.Helper()
	var lines []string
	sink := func(what string) func(name string, b *table.Batch) error {
		return func(name string, b *table.Batch) error {
			for i := range b.N {
				line := what + " " + name
				for j := range b.Cols {
					switch c := &b.Cols[j]; {
					case c.Null(i):
						line += " null"
					case c.Int != nil:
						line += fmt.Sprint(" ", c.Int[i])
					case c.Float != nil:
						line += fmt.Sprintf(" %x", c.Float[i])
					default:
						line += fmt.Sprintf(" %q", c.Str[i])
					}
				}
				lines = append(lines, line)
			}
			return nil
		}
	}
	view := sink("view")
	p.Out = func(v features.View, b *table.Batch) error { return view(v.Name, b) }
	if p.State != nil {
		p.State = sink("state")
	}
	if p.Tile != nil {
		p.Tile = sink("tile")
	}
	stats, err := local.Engine{}.Build(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines, stats
}

// manyViews keep states of all kinds, of text ids, of which some are longer than two words, pairs, and a subject that has a tenth of all events.
func manyViews() []features.View {
	return append(views(),
		features.View{Name: "pairs", Key: "subject+item", Windows: []time.Duration{7 * day, 60 * day}, Features: []features.Feature{
			{Name: "least", Op: features.Min, Column: "value"},
			{Name: "most", Op: features.Quantile, Column: "value", Quantile: 0.9},
			{Name: "path", Op: features.Sequence, Column: "kind", N: 3},
		}},
		features.View{Name: "kinds", Key: "kind", Windows: []time.Duration{90 * day}, Features: []features.Feature{
			{Name: "items", Op: features.Top, Column: "item", N: 5},
			{Name: "mean", Op: features.Mean, Column: "value"},
			{Name: "subjects", Op: features.ApproxDistinct, Column: "subject"},
		}})
}

func manyEvents() features.Source {
	return eachBatch(crowd(20_000, 1500, 300, 1000), func(_ int, b *table.Batch) error {
		for i := range b.N {
			if i%10 == 0 {
				b.Cols[0].Int[i] = 7
			}
			if i%3 == 0 {
				b.Cols[1].Str[i] += " of a longer name"
			}
		}
		return nil
	})
}

// The number of workers, and a budget, change no bit of rows, states and tiles.
func TestParity(t *testing.T) {
	views, events := manyViews(), manyEvents()
	nothing := func(string, *table.Batch) error { return nil }
	plan := features.Plan{Views: views, Interval: table.Interval{Start: end.Add(-day), End: end}, Events: events, State: nothing, Tile: nothing}
	want, _ := tablesOf(t, plan)
	if len(want) < 5_000 {
		t.Fatalf("only %d rows", len(want))
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, c := range []struct {
		procs  int
		budget int64
	}{{1, 0}, {2, 0}, {3, 0}, {8, 0}, {1, 1 << 20}, {3, 1}} {
		runtime.GOMAXPROCS(c.procs)
		p := plan
		p.Budget, p.Spill = c.budget, t.TempDir()
		got, stats := tablesOf(t, p)
		if !slices.Equal(got, want) {
			t.Errorf("%d workers, budget %d: other rows", c.procs, c.budget)
		}
		if (stats.Spilled > 0) != (c.budget > 0) || stats.Peak == 0 {
			t.Errorf("%d workers, budget %d: stats %+v", c.procs, c.budget, stats)
		}
		if left, err := os.ReadDir(p.Spill); err != nil || len(left) > 0 {
			t.Errorf("%d files are left in the folder for spill files, error %v", len(left), err)
		}
	}
}

// lent has the texts of kept batches in memory that is spoiled when the engine gives it back.
func lent(batches []*table.Batch, lent, ended *atomic.Int64) []features.Split {
	return []features.Split{{Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] {
		return func(yield func(*table.Batch, error) bool) {
			for _, b := range batches {
				var memory [][]byte
				loan := table.NewLoan(func() {
					ended.Add(1)
					for _, m := range memory {
						for i := range m {
							m[i] = 0xaa
						}
					}
				})
				lent.Add(1)
				c := &table.Batch{Schema: b.Schema, N: b.N, Cols: slices.Clone(b.Cols), Loan: loan}
				c.Cols[1].Str = nil
				for _, text := range b.Cols[1].Str {
					memory = append(memory, []byte(text))
					c.Cols[1].Str = append(c.Cols[1].Str, unsafe.String(unsafe.SliceData(memory[len(memory)-1]), len(text)))
				}
				if !yield(c, nil) {
					return
				}
				loan.Read()
			}
		}
	}}}
}

// Whoever lent the texts of states and tiles has all of them back, and the engine has nothing of them any more: rows and new states are those of all events.
func TestLentStates(t *testing.T) {
	views, events := manyViews(), manyEvents()
	nothing := func(string, *table.Batch) error { return nil }
	of := func(end time.Time) features.Plan {
		return features.Plan{Views: views, Interval: table.Interval{Start: end.Add(-day), End: end}, Events: events, State: nothing, Tile: nothing, Anew: func() error { return nil }}
	}
	want, _ := tablesOf(t, of(end))
	states := map[string][]*table.Batch{}
	tiles := map[string]map[string][]*table.Batch{}
	keep := func(to map[string][]*table.Batch) func(string, *table.Batch) error {
		return func(key string, b *table.Batch) error {
			c := &table.Batch{Schema: b.Schema, N: b.N, Cols: []table.Column{{Int: slices.Clone(b.Cols[0].Int)}, {}}}
			for _, text := range b.Cols[1].Str {
				c.Cols[1].Str = append(c.Cols[1].Str, string([]byte(text)))
			}
			to[key] = append(to[key], c)
			return nil
		}
	}
	for _, back := range []time.Duration{1, 7, 28, 60} { // the eve, and days that leave a window
		p := of(end.Add(-back * day))
		made := map[string][]*table.Batch{}
		p.Out, p.Tile = func(features.View, *table.Batch) error { return nil }, keep(made)
		if p.State = nil; back == 1 {
			p.State = keep(states)
		}
		if _, err := (local.Engine{}).Build(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		tiles[p.Interval.String()] = made
	}
	var out, back atomic.Int64
	p := of(end)
	p.Prior = &features.Prior{End: end.Add(-day), State: map[string][]features.Split{}}
	for key, b := range states {
		p.Prior.State[key] = lent(b, &out, &back)
	}
	used := false
	p.Prior.Tile = func(key string, iv table.Interval) ([]features.Split, bool) {
		made, ok := tiles[iv.String()]
		if !ok {
			return nil, false
		}
		used = true
		return lent(made[key], &out, &back), true
	}
	got, stats := tablesOf(t, p)
	if stats.Prior == nil || !used || !slices.Equal(got, want) {
		t.Errorf("went on from %v, with tiles: %v; %d lines, want the %d of all events", stats.Prior, used, len(got), len(want))
	}
	if out.Load() == 0 || back.Load() != out.Load() {
		t.Errorf("%d of %d loans were given back", back.Load(), out.Load())
	}
}
