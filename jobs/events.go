package jobs

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// A day is the committed events of one ingest unit.
type day struct {
	iv       table.Interval
	key      string
	manifest table.Manifest
}

// permitted yields the events of days that lie in w and that d lets through, counting every row in funnel (which may be nil).
// This is the only way in which steps after ingest read events: today's decisions and retention are applied here, to every read.
func permitted(ctx context.Context, b storage.Bucket, days []day, w table.Interval, d *policy.Decisions, oldest int64, columns []string, funnel policy.Funnel) iter.Seq2[*table.Batch, error] {
	start, end := table.Micros(w.Start), table.Micros(w.End)
	return func(yield func(*table.Batch, error) bool) {
		for _, dy := range days {
			if !dy.iv.Start.Before(w.End) || !w.Start.Before(dy.iv.End) || dy.manifest.Rows == 0 {
				continue
			}
			for batch, err := range table.Read(ctx, b, dy.manifest, table.ReadOptions{Columns: columns}) {
				if err != nil {
					yield(nil, fmt.Errorf("events of %s: %w", dy.iv, err))
					return
				}
				subjects, times := batch.Col("subject").Int, batch.Col("time").Int
				keep := 0
				for i := range batch.N {
					if times[i] < start || times[i] >= end {
						continue
					}
					reason := d.Judge(policy.Subject(uint64(subjects[i])), times[i], oldest)
					if funnel != nil {
						funnel[reason]++
					}
					if reason != policy.Kept {
						continue
					}
					if keep != i {
						move(batch, keep, i)
					}
					keep++
				}
				truncate(batch, keep)
				if keep > 0 && !yield(batch, nil) {
					return
				}
			}
		}
	}
}

// move copies row from to row to.
func move(b *table.Batch, to, from int) {
	for c := range b.Cols {
		col := &b.Cols[c]
		switch {
		case col.Int != nil:
			col.Int[to] = col.Int[from]
		case col.Float != nil:
			col.Float[to] = col.Float[from]
		case col.Str != nil:
			col.Str[to] = col.Str[from]
		}
		if col.Valid != nil {
			col.Valid[to] = col.Valid[from]
		}
	}
}

func truncate(b *table.Batch, n int) {
	b.N = n
	for c := range b.Cols {
		col := &b.Cols[c]
		col.Int, col.Float, col.Str, col.Valid = cut(col.Int, n), cut(col.Float, n), cut(col.Str, n), cut(col.Valid, n)
	}
}

func cut[T any](s []T, n int) []T {
	if s == nil {
		return nil
	}
	return s[:n]
}

// eventColumns are the columns that models learn from.
var eventColumns = []string{"subject", "item", "time", "kind"}

// logBuilder turns batches of permitted events into a models.EventLog.
type logBuilder struct {
	index   map[string]int32 // item id → position in the catalog
	kinds   map[string]uint8
	weights []float32 // by kind
	context func(batch *table.Batch, row int) models.Context
	events  []models.Event
}

func newLogBuilder(c *models.Catalog, kinds []string, weights map[string]float64) (*logBuilder, error) {
	if len(kinds) > math.MaxUint8 {
		return nil, fmt.Errorf("%d kinds of event: at most 255 can be told apart; map them to fewer kinds at the source", len(kinds))
	}
	b := &logBuilder{index: make(map[string]int32, len(c.IDs)), kinds: map[string]uint8{}}
	for i, id := range c.IDs {
		b.index[id] = int32(i)
	}
	for i, k := range kinds {
		b.kinds[k] = uint8(i)
		w, ok := weights[k]
		if !ok {
			w = 1
		}
		b.weights = append(b.weights, float32(w))
	}
	return b, nil
}

// add appends the events of a batch; events of a kind whose weight is zero are left out.
func (b *logBuilder) add(batch *table.Batch) error {
	subjects, items, times, kinds := batch.Col("subject"), batch.Col("item"), batch.Col("time"), batch.Col("kind")
	for i := range batch.N {
		item, ok := b.index[items.Str[i]]
		if !ok {
			return fmt.Errorf("an event names item %q, which the catalog made of the same events lacks", items.Str[i])
		}
		kind, ok := b.kinds[kinds.Str[i]]
		if !ok {
			return fmt.Errorf("an event has kind %q, which the training set does not know", kinds.Str[i])
		}
		if b.weights[kind] <= 0 {
			continue
		}
		e := models.Event{Subject: uint64(subjects.Int[i]), Time: times.Int[i], Item: item, Kind: kind, Weight: b.weights[kind]}
		if b.context != nil {
			e.Context = b.context(batch, i)
		}
		b.events = append(b.events, e)
	}
	return nil
}
