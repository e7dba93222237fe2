package local_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/storage/table"
)

// shelf keeps what builds put out for later ones.
type shelf map[string][]*table.Batch

func (s shelf) sink(prefix string) func(string, *table.Batch) error {
	return func(key string, b *table.Batch) error {
		kept := &table.Batch{Schema: b.Schema, N: b.N}
		for _, c := range b.Cols {
			kept.Cols = append(kept.Cols, table.Column{Int: slices.Clone(c.Int), Str: slices.Clone(c.Str)})
			for i, text := range kept.Cols[len(kept.Cols)-1].Str {
				kept.Cols[len(kept.Cols)-1].Str[i] = strings.Clone(text)
			}
		}
		s[prefix+key] = append(s[prefix+key], kept)
		return nil
	}
}

func (s shelf) splits(name string) []features.Split {
	return []features.Split{{Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] {
		return func(yield func(*table.Batch, error) bool) {
			for _, b := range s[name] {
				if !yield(b, nil) {
					return
				}
			}
		}
	}}}
}

// additiveViews are the six views of a nightly run: with a decayed count in place of the distinct one.
func additiveViews() []features.View {
	views := sixViews()
	for i := range views {
		for j, f := range views[i].Features {
			if f.Op == features.Distinct {
				views[i].Features[j] = features.Feature{Name: f.Name, Op: features.Decayed, HalfLife: 7 * day}
			}
		}
	}
	return views
}

func BenchmarkNightly(b *testing.B) {
	const rows = 3_000_000
	views := additiveViews()
	events := dataset(rows, rows/200, 10_000, false)
	within := func(ctx context.Context, w table.Interval) ([]features.Split, error) {
		all, err := events(ctx, w)
		return slices.DeleteFunc(all, func(s features.Split) bool { return !s.Times.Start.Before(w.End) || !w.Start.Before(s.Times.End) }), err
	}
	kept := shelf{}
	build := func(at time.Time, prior *features.Prior, state bool) {
		plan := features.Plan{
			Views: views, Interval: table.Interval{Start: at.Add(-day), End: at}, Schema: benchSchema(false), Events: within, Prior: prior,
			Out:  func(features.View, *table.Batch) error { return nil },
			Anew: func() error { return errors.New("begun anew") },
		}
		if state {
			plan.State, plan.Tile = kept.sink("state "), kept.sink("tile "+at.String()+" ")
		}
		stats, err := local.Engine{}.Build(b.Context(), plan)
		if err != nil || (stats.Prior != nil) != (prior != nil) {
			b.Fatalf("error %v, stats %+v", err, stats)
		}
	}
	for _, w := range []int{89, 27, 6, 0} {
		for name := range kept {
			if name[:5] == "state" {
				delete(kept, name)
			}
		}
		build(end.Add(-day*time.Duration(w+1)), nil, true)
	}
	prior := &features.Prior{End: end.Add(-day), State: map[string][]features.Split{}, Tile: func(key string, w table.Interval) ([]features.Split, bool) {
		name := "tile " + w.End.String() + " " + key
		_, ok := kept[name]
		return kept.splits(name), ok
	}}
	for _, key := range features.Keys(views) {
		prior.State[key] = kept.splits("state " + key)
	}
	b.Run(fmt.Sprintf("rows=%d/from=all", rows), func(b *testing.B) {
		for b.Loop() {
			build(end, nil, false)
		}
	})
	b.Run(fmt.Sprintf("rows=%d/from=prior", rows), func(b *testing.B) {
		for b.Loop() {
			build(end, prior, false)
		}
	})
}
