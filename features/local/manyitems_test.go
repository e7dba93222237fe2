package local_test

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/storage/table"
)

// Ten million different items, each in one event of one of a hundred subjects: a row an item, every item counted once, and more of them than the budget holds.
func TestTenMillionItems(t *testing.T) {
	const items, subjects, batch, splits = 10_000_000, 100, 10_000, 8
	read := func(part int) func(context.Context, []string) iter.Seq2[*table.Batch, error] {
		return func(context.Context, []string) iter.Seq2[*table.Batch, error] {
			return func(yield func(*table.Batch, error) bool) {
				b := &table.Batch{N: batch, Schema: table.Schema{{Name: "subject", Type: table.Int64}, {Name: "item", Type: table.String}, {Name: "time", Type: table.Time}}, Cols: []table.Column{
					{Int: make([]int64, batch)}, {Str: make([]string, batch)}, {Int: make([]int64, batch)},
				}}
				for lo := items * part / splits; lo < items*(part+1)/splits; lo += batch {
					var text strings.Builder
					for i := range batch {
						text.WriteString(strconv.Itoa(10*items + lo + i)) // nine digits each
					}
					for i := range batch {
						b.Cols[0].Int[i], b.Cols[1].Str[i], b.Cols[2].Int[i] = int64((lo+i)%subjects), text.String()[9*i:][:9], end.UnixMicro()-1
					}
					if !yield(b, nil) {
						return
					}
				}
			}
		}
	}
	var rows, events, distinct int64
	stats, err := local.Engine{}.Build(t.Context(), features.Plan{
		Views: []features.View{
			{Name: "demand", Key: features.KeyItem, Windows: []time.Duration{day}, Features: []features.Feature{{Name: "n", Op: features.Count}}},
			{Name: "taste", Key: features.KeySubject, Windows: []time.Duration{day}, Features: []features.Feature{{Name: "items", Op: features.Distinct, Column: "item"}}},
		},
		Interval: table.Interval{Start: end.Add(-day), End: end}, Budget: 256 << 20, Spill: t.TempDir(),
		Events: func(context.Context, table.Interval) (all []features.Split, err error) {
			for part := range splits {
				all = append(all, features.Split{Rows: items / splits, Read: read(part)})
			}
			return all, nil
		},
		Out: func(v features.View, b *table.Batch) error {
			for i := range b.N {
				if n := b.Cols[1].Int[i]; v.Name == "demand" {
					rows, events = rows+1, events+n
				} else if distinct += n; n != items/subjects {
					t.Errorf("subject %d has %d items", b.Cols[0].Int[i], n)
				}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows != items || events != items || distinct != items || stats.Spilled == 0 {
		t.Errorf("%d rows of items with %d events, %d items of subjects, %d bytes spilled; want %d, and some spilled", rows, events, distinct, stats.Spilled, items)
	}
}
