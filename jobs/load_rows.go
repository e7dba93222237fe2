package jobs

import (
	"context"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

func (f *filler) itemVectors(ctx context.Context, folder models.FolderIn) error {
	untold := f.d.untold()
	return f.putItems(ctx, func(item int32, id string) (online.Entry, error) {
		v := folder.ItemVector(item)
		if _, out := slices.BinarySearch(untold, item); v == nil || out {
			return online.Entry{}, nil
		}
		return online.ItemVectorEntry(id, v)
	})
}

// putItems writes the entry that entry makes for each item of the catalog; one without a key stands for none.
func (f *filler) putItems(ctx context.Context, entry func(item int32, id string) (online.Entry, error)) error {
	var entries []online.Entry
	for i, id := range f.d.Catalog.IDs {
		e, err := entry(int32(i), id)
		if err != nil {
			return err
		}
		if e.Key == "" {
			continue
		}
		if entries = append(entries, e); len(entries) == 1024 {
			if err := f.put(ctx, entries...); err != nil {
				return err
			}
			entries = entries[:0]
		}
	}
	return f.put(ctx, entries...)
}

// features writes the rows of the views that the job publishes.
func (f *filler) features(ctx context.Context) error {
	if len(f.job.Published) == 0 {
		return nil
	}
	c, _, err := f.tables.Lookup(ctx, f.plan.build.key)
	if err != nil {
		return fmt.Errorf("views: %w", err)
	}
	for _, v := range f.job.Published {
		for b, err := range table.Read(ctx, f.Bucket, c.Outputs[v.Name], table.ReadOptions{}) {
			if err != nil {
				return fmt.Errorf("view %s: %w", v.Name, err)
			}
			entries, err := f.featureEntries(v, b)
			if err != nil {
				return fmt.Errorf("view %s: %w", v.Name, err)
			}
			if err := f.put(ctx, entries...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *filler) featureEntries(v features.View, b *table.Batch) ([]online.Entry, error) {
	key := b.Col(features.EntityColumn)
	var out []online.Entry
	for i := range b.N {
		row := online.Features{AsOf: f.iv.End, Values: online.FeatureValues{}}
		for c, field := range b.Schema {
			if field.Name != features.EntityColumn {
				row.Values[field.Name] = value(&b.Cols[c], field.Type, i)
			}
		}
		var e online.Entry
		var err error
		if v.Key == features.KeySubject {
			subject := policy.Subject(uint64(key.Int[i]))
			name := f.online[subject]
			if name == "" {
				continue // erased since the view was built
			}
			e, err = online.SubjectFeaturesEntry(v.Name, name, row, f.plan.trainingDecisions.Expires(subject))
		} else {
			e, err = online.ItemFeaturesEntry(v.Name, key.Str[i], row)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// value is one cell as the online store has it.
func value(c *table.Column, t table.Type, i int) any {
	switch {
	case c.Null(i):
		return nil
	case t == table.Float64:
		return c.Float[i]
	case t == table.String:
		return c.Str[i]
	case t == table.Bool:
		return c.Int[i] != 0
	}
	return c.Int[i]
}
