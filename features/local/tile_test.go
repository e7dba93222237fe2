package local

import (
	"context"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// TestTileOfTheShortestWindow builds a tile that is the bucket of the shortest window, and one of the same events that has a bucket of its own: all but
// the checks, which are of other views, must be the same bytes.
func TestTileOfTheShortestWindow(t *testing.T) {
	const day = 24 * time.Hour
	end := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)
	schema := table.Schema{{Name: "subject", Type: table.Int64}, {Name: "time", Type: table.Time}, {Name: "value", Type: table.Float64}, {Name: "kind", Type: table.String}}
	events := &table.Batch{Schema: schema, N: 3000, Cols: make([]table.Column, len(schema))}
	rng := rand.New(rand.NewPCG(1, 2))
	for range events.N {
		events.Cols[0].Int = append(events.Cols[0].Int, rng.Int64N(500))
		events.Cols[1].Int = append(events.Cols[1].Int, end.UnixMicro()-1-rng.Int64N(9*day.Microseconds()))
		events.Cols[2].Float = append(events.Cols[2].Float, float64(rng.IntN(10000))/100)
		events.Cols[3].Str = append(events.Cols[3].Str, []string{"view", "buy"}[rng.IntN(2)])
	}
	tile := func(shortest time.Duration) (own bool, rows map[int64]string) {
		rows = map[int64]string{}
		p := features.Plan{
			Views: []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{shortest, 7 * day}, Features: []features.Feature{
				{Name: "buys", Op: features.Count, Kinds: []string{"buy"}},
				{Name: "middle", Op: features.Quantile, Column: "value", Quantile: 0.5},
				{Name: "recent", Op: features.Decayed, HalfLife: day},
				{Name: "sum", Op: features.Sum, Column: "value"},
			}}},
			Schema: schema, Interval: table.Interval{Start: end.Add(-day), End: end},
			Events: func(context.Context, table.Interval) ([]features.Split, error) {
				return []features.Split{{Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] {
					return func(yield func(*table.Batch, error) bool) { yield(events, nil) }
				}}}, nil
			},
			Out: func(features.View, *table.Batch) error { return nil },
			Tile: func(_ string, b *table.Batch) error {
				for i, part := range b.Cols[0].Int {
					rows[part] = strings.Clone(b.Cols[1].Str[i][:len(b.Cols[1].Str[i])-8])
				}
				return nil
			},
		}
		if _, err := (Engine{}).Build(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		prog, err := compile(p.Views, schema, end, use{tile: true, span: day.Microseconds()})
		if err != nil {
			t.Fatal(err)
		}
		c := prog.groups[0].classes[0]
		return c.buckets > len(c.windows), rows
	}
	own, want := tile(12 * time.Hour)
	if !own {
		t.Error("a tile that is no window's has no bucket")
	}
	own, got := tile(day)
	if own {
		t.Error("a tile that is the shortest window's has a bucket of its own")
	}
	if len(want) < partitions || !maps.Equal(got, want) {
		t.Errorf("%d pieces, other than the %d of a tile that has a bucket of its own", len(got), len(want))
	}
}
