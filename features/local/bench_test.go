package local_test

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/storage/table"
)

// dataset is events of 90 days in memory, one split a day, so that a benchmark shows the engine without Parquet.
func dataset(rows, subjects, items int, text bool) features.Source {
	const days, batch = 90, 8192
	type part struct {
		batches []*table.Batch
		times   table.Interval
	}
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := []string{"view", "cart", "buy"}
	schema := benchSchema(text)
	itemNames := make([]string, items)
	for i := range itemNames {
		itemNames[i] = fmt.Sprintf("sku-%010d", i)
	}
	var parts []part
	for d := range days {
		from := end.Add(time.Duration(d-days) * day)
		p := part{times: table.Interval{Start: from, End: from.Add(day)}}
		n := rows / days
		for lo := 0; lo < n; lo += batch {
			size := min(batch, n-lo)
			b := &table.Batch{Schema: schema, N: size, Cols: make([]table.Column, len(schema))}
			b.Cols[2].Int, b.Cols[3].Code, b.Cols[3].Dict, b.Cols[4].Float = make([]int64, size), make([]int32, size), kinds, make([]float64, size)
			b.Cols[4].Valid = make([]bool, size)
			if text {
				b.Cols[0].Str, b.Cols[1].Code, b.Cols[1].Dict = make([]string, size), make([]int32, size), itemNames
			} else {
				b.Cols[0].Int, b.Cols[1].Int = make([]int64, size), make([]int64, size)
			}
			for i := range size {
				subject := int(float64(subjects) * math.Pow(rng.Float64(), 1.5))
				item := int(float64(items) * math.Pow(rng.Float64(), 3))
				if text {
					b.Cols[0].Str[i] = fmt.Sprintf("u-%010d", subject)
					b.Cols[1].Code[i] = int32(item)
				} else {
					b.Cols[0].Int[i], b.Cols[1].Int[i] = int64(subject), int64(item)
				}
				b.Cols[2].Int[i] = from.UnixMicro() + int64(lo+i)*day.Microseconds()/int64(n)
				b.Cols[3].Code[i] = int32(min(2, rng.IntN(12)/9+rng.IntN(12)/10))
				if b.Cols[4].Valid[i] = rng.IntN(5) > 0; b.Cols[4].Valid[i] {
					b.Cols[4].Float[i] = float64(rng.IntN(10000)) / 100
				}
			}
			p.batches = append(p.batches, b)
		}
		parts = append(parts, p)
	}
	return func(context.Context, table.Interval) ([]features.Split, error) {
		var splits []features.Split
		for _, p := range parts {
			splits = append(splits, features.Split{Times: p.times, Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] {
				return func(yield func(*table.Batch, error) bool) {
					for _, b := range p.batches {
						if !yield(b, nil) {
							return
						}
					}
				}
			}})
		}
		return splits, nil
	}
}

func benchSchema(text bool) table.Schema {
	id := table.Int64
	if text {
		id = table.String
	}
	return table.Schema{{Name: "subject", Type: id}, {Name: "item", Type: id}, {Name: "time", Type: table.Time}, {Name: "kind", Type: table.String}, {Name: "value", Type: table.Float64}}
}

// oneView and sixViews are what the benchmark against DuckDB builds.
func oneView() []features.View {
	return []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{90 * day}, Features: []features.Feature{
		{Name: "most", Op: features.Max, Column: "value"}, {Name: "n", Op: features.Count}, {Name: "spend", Op: features.Sum, Column: "value"},
	}}}
}

func sixViews() []features.View {
	windows := []time.Duration{day, 7 * day, 28 * day, 90 * day}
	buy := []string{"buy"}
	var views []features.View
	for _, key := range []string{features.KeySubject, features.KeyItem} {
		other := features.KeyItem
		if key == features.KeyItem {
			other = features.KeySubject
		}
		views = append(views,
			features.View{Name: key + "_activity", Key: key, Windows: windows, Features: []features.Feature{
				{Name: "buys", Op: features.Count, Kinds: buy}, {Name: "n", Op: features.Count},
			}},
			features.View{Name: key + "_spend", Key: key, Windows: windows, Features: []features.Feature{
				{Name: "mean", Op: features.Mean, Column: "value"}, {Name: "most", Op: features.Max, Column: "value"}, {Name: "sum", Op: features.Sum, Column: "value"},
			}},
			features.View{Name: key + "_taste", Key: key, Windows: windows, Features: []features.Feature{
				{Name: "buy_share", Op: features.ShareOf, Share: buy}, {Name: "others", Op: features.Distinct, Column: other},
			}})
	}
	return views
}

func BenchmarkBuild(b *testing.B) {
	const rows, subjects, items = 9_000_000, 893_000, 50_000
	for _, text := range []bool{false, true} {
		ids := map[bool]string{false: "int", true: "text"}[text]
		var events features.Source
		for name, views := range map[string][]features.View{"one": oneView(), "six": sixViews()} {
			b.Run(fmt.Sprintf("rows=9M/ids=%s/views=%s", ids, name), func(b *testing.B) {
				if events == nil {
					events = dataset(rows, subjects, items, text)
				}
				b.ReportAllocs()
				for b.Loop() {
					_, err := local.Engine{}.Build(b.Context(), features.Plan{
						Views: views, Interval: table.Interval{Start: end.Add(-day), End: end}, Schema: benchSchema(text), Events: events,
						Out: func(features.View, *table.Batch) error { return nil },
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "M-events/s")
			})
		}
	}
}
