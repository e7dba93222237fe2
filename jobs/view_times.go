package jobs

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// NewestEvents returns, for each of some entities of a view that is keyed by subject or by item, when the newest event was that counts in each of its
// features: by feature, within the longest window before iv's end, of the days as they are ingested now and under the job's purpose. Subjects are
// given by their canonical ids. An entity or a feature without such an event is left out. Of a view of subjects it reads their shards of each day.
func (r *Runner) NewestEvents(ctx context.Context, job *Job, view features.View, iv table.Interval, entities []string) (map[string]map[string]time.Time, error) {
	w, missing, err := r.lookingBack(ctx, job, []features.View{view}, iv, 0)
	if err != nil {
		return nil, err
	}
	if len(w.plan.committed) == 0 {
		return nil, fmt.Errorf("%w: of the days before %s none is ingested as the project file now says, %d are to be: rapport run %s --step ingest", ErrNoData, w.label, missing.Days, job.Name)
	}
	only := newChosen(view.Key, entities, w.plan.ids)
	from := w.reading()
	from.days = only.shards(from.days)
	newest := newestView(view, w.job.eventSchema())
	out := map[string]map[string]time.Time{}
	_, err = r.Engine.Build(ctx, features.Plan{
		Views: []features.View{newest}, Interval: iv, Schema: w.job.eventSchema(), Budget: r.Memory, Spill: r.Spill,
		Events: func(_ context.Context, win table.Interval) ([]features.Split, error) {
			return from.splitsOf(win, only.of), nil
		},
		Out: func(_ features.View, b *table.Batch) error {
			for i := range b.N {
				times := map[string]time.Time{}
				for c, f := range newest.Features {
					if col := &b.Cols[c+1]; !col.Null(i) {
						times[f.Name] = iv.End.Add(-time.Duration(math.Round(col.Float[i]*1e6)) * time.Microsecond)
					}
				}
				out[only.name(&b.Cols[0], i)] = times
			}
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("events of view %s: %w", view.Name, err)
	}
	return out, nil
}

// newestView has, for each feature of a view, the seconds since the newest event that counts in it.
func newestView(v features.View, events table.Schema) features.View {
	out := features.View{Name: v.Name, Key: v.Key, Windows: []time.Duration{features.RetentionNeeded([]features.View{v})}}
	for _, f := range v.Features {
		x := features.Feature{Name: f.Name, Op: features.Recency, Kinds: f.Kinds, Where: slices.Clone(f.Where)}
		if len(f.Weights) > 0 {
			x.Kinds = nil
			for k := range f.Weights {
				x.Kinds = append(x.Kinds, k)
			}
			slices.Sort(x.Kinds)
		}
		column := f.Column
		switch {
		case f.Op == features.ShareOf && column == "":
			column = event.ColKind
		case len(f.Explicit) < len(f.Weights):
			column = "" // some of the events count without a value
		}
		if c, ok := known(column, events); ok {
			x.Where = append(x.Where, c)
		}
		out.Features = append(out.Features, x)
	}
	return out
}

// known is the condition that a column has a value; false if it always has one, or none is needed.
func known(column string, events table.Schema) (features.Condition, bool) {
	switch t := features.TypeOf(events, column); {
	case column == "" || column == event.ColSubject || column == event.ColItem:
		return features.Condition{}, false
	case t == table.String:
		return features.Condition{Column: column, In: []string{"\x00"}, Not: true}, true // which no text of a source is
	default:
		least := -features.MaxValue
		return features.Condition{Column: column, Min: &least}, true
	}
}

// chosen are the entities whose events are wanted.
type chosen struct {
	key      string
	subjects map[policy.Subject]string // number → id
	items    map[string]bool
}

func newChosen(key string, entities []string, ids *event.Identities) *chosen {
	c := &chosen{key: key, subjects: map[policy.Subject]string{}, items: map[string]bool{}}
	for _, e := range entities {
		if key == features.KeyItem {
			c.items[e] = true
		} else if n, ok := ids.Find(e); ok {
			c.subjects[n] = e
		}
	}
	return c
}

func (c *chosen) name(col *table.Column, i int) string {
	if c.key == features.KeyItem {
		return col.Text(i)
	}
	return c.subjects[policy.Subject(uint64(col.Int[i]))]
}

// shards leaves the parts that may hold the entities.
func (c *chosen) shards(days []day) []day {
	if c.key == features.KeyItem {
		return days
	}
	out := slices.Clone(days)
	for i, dy := range out {
		wanted := map[int]bool{}
		for s := range c.subjects {
			wanted[table.ShardOf(uint64(s), dy.manifest.Shards)] = true
		}
		out[i].manifest.Parts = slices.DeleteFunc(slices.Clone(dy.manifest.Parts), func(p table.Part) bool { return !wanted[p.Shard] })
	}
	return out
}

// of leaves in a split the events of the entities.
func (c *chosen) of(x features.Split) features.Split {
	read := x.Read
	x.Read = func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
		return func(yield func(*table.Batch, error) bool) {
			for b, err := range read(ctx, columns) {
				if err == nil {
					col := b.Col(c.key)
					kept, from := 0, 0
					for i := range b.N {
						if c.has(col, i) {
							continue
						}
						move(b, kept, from, i)
						kept += i - from
						from = i + 1
					}
					move(b, kept, from, b.N)
					truncate(b, kept+b.N-from)
					if b.N == 0 {
						continue
					}
				}
				if !yield(b, err) || err != nil {
					return
				}
			}
		}
	}
	return x
}

func (c *chosen) has(col *table.Column, i int) bool {
	if c.key == features.KeyItem {
		return c.items[col.Text(i)]
	}
	_, ok := c.subjects[policy.Subject(uint64(col.Int[i]))]
	return ok
}
