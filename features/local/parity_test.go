package local_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

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

// The number of workers, and a budget, change no bit of rows, states and tiles: text ids, of which some are longer than two words, pairs, and a
// subject that has a tenth of all events.
func TestParity(t *testing.T) {
	views := append(views(),
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
	events := eachBatch(crowd(20_000, 1500, 300, 1000), func(_ int, b *table.Batch) error {
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
