package jobs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
	"github.com/rapport-ml/rapport/storage/online"
)

// relatedLists writes the lists that stand beside items: of each kind that a part of the model can make, without what is excluded. Pairs that few
// subjects have in common are in none of them (models.Relater).
func (f *filler) relatedLists(ctx context.Context, m models.Model, s models.Scorer) error {
	k := f.job.Model.Lists.Related
	if k == 0 {
		return nil
	}
	parts := []models.Part{{Name: m.Name(), Weight: 1, Scorer: s}}
	if c, ok := m.(models.Composite); ok {
		var err error
		if parts, err = c.BindParts(ctx, f.d.Catalog, f.d.SubjectColumns()); err != nil {
			return err
		}
	}
	makers := models.Relaters(parts)
	if len(makers) == 0 {
		return fmt.Errorf("related lists: no part of the model makes any: add als or ease to its parts, or leave out lists.related")
	}
	excluded := f.d.untold()
	if f.rules != nil {
		excluded = f.rules.Without(excluded)
	}
	const chunk = 1024
	for _, kind := range slices.Sorted(maps.Keys(makers)) {
		for from := 0; from < f.d.Catalog.Len(); from += chunk {
			entries := make([]online.Entry, min(chunk, f.d.Catalog.Len()-from))
			g, gctx := errgroup.WithContext(ctx)
			g.SetLimit(runtime.GOMAXPROCS(0))
			for i := range entries {
				g.Go(func() (err error) {
					entries[i], err = f.related(gctx, makers[kind], kind, int32(from+i), k, excluded)
					return err
				})
			}
			if err := g.Wait(); err != nil {
				return err
			}
			entries = slices.DeleteFunc(entries, func(e online.Entry) bool { return e.Key == "" })
			if err := f.put(ctx, entries...); err != nil {
				return err
			}
		}
	}
	return nil
}

// related makes the entry of one item, or none where it has no such list.
func (f *filler) related(ctx context.Context, maker models.Relater, kind string, item int32, k int, excluded []int32) (online.Entry, error) {
	if _, out := slices.BinarySearch(excluded, item); out {
		return online.Entry{}, nil
	}
	n := min(k+len(excluded), f.d.Catalog.Len())
	items, scores := make([]int32, n), make([]float32, n)
	n, err := maker.Related(ctx, kind, item, items, scores)
	if err != nil {
		return online.Entry{}, err
	}
	kept := 0
	for i := range n {
		if _, out := slices.BinarySearch(excluded, items[i]); !out && kept < k {
			items[kept], scores[kept] = items[i], scores[i]
			kept++
		}
	}
	if kept == 0 {
		return online.Entry{}, nil
	}
	l := f.list(items[:kept], scores[:kept])
	id := f.d.Catalog.IDs[item]
	l.ID = listID(f.v, online.RelatedKey(kind, id))
	return online.RelatedEntry(kind, id, l)
}

// unprofiledBy writes, for each value of the columns that the project names, a list not based on profiling: of an item attribute the items with the
// value, ranked as the list of everybody is; of a context column the items that the most people took in that context.
func (f *filler) unprofiledBy(ctx context.Context, k int) error {
	for _, column := range f.job.Model.Lists.UnprofiledBy {
		var err error
		switch {
		case f.d.Catalog.Attrs.Cat(column) != nil:
			err = f.unprofiledByAttribute(ctx, column, k)
		case slices.Contains(f.job.textColumns(), column):
			err = f.unprofiledByContext(ctx, column, k)
		default:
			err = fmt.Errorf("it is neither a category of the items nor a context column of the events that the purpose reads")
		}
		if err != nil {
			return fmt.Errorf("lists not based on profiling by %s: %w", column, err)
		}
	}
	return nil
}

func (f *filler) unprofiledByAttribute(ctx context.Context, column string, k int) error {
	s, err := f.baseline(ctx, f.d, f.job.Baselines[0], f.d.Cuts.End)
	if err != nil {
		return err
	}
	rules := f.rules
	if rules != nil {
		rules = rules.Within(column) // else a limit of how many of one level a page may hold would end the list there
	}
	col := f.d.Catalog.Attrs.Cat(column)
	of := make([][]int32, len(col.Levels))
	for i, l := range col.Values {
		if l >= 0 {
			of[l] = append(of[l], int32(i))
		}
	}
	for l, level := range col.Levels {
		if err := f.unprofiledOf(ctx, s, rules, column, level, of[l], k); err != nil {
			return err
		}
	}
	return nil
}

// took is one subject's having taken an item in a context.
type took struct {
	subject     uint64
	level, item int32
}

// unprofiledByContext counts people, not events, and shows no item that fewer than models.MinSubjects took in the context. Memory is 16 bytes a
// permitted event of the training window, and 4 bytes an item of the catalog.
func (f *filler) unprofiledByContext(ctx context.Context, column string, k int) error {
	levels := map[string]int32{}
	var all []took
	for b, err := range f.events(ctx, f.plan.training, []string{event.ColSubject, event.ColItem, event.ColTime, event.ColKind, column}, nil) {
		if err != nil {
			return err
		}
		items, kinds, values := b.Col(event.ColItem), b.Col(event.ColKind), b.Col(column)
		for i := range b.N {
			if values.Null(i) || values.Str[i] == "" || f.weightOf(kinds.Str[i]) <= 0 {
				continue
			}
			item, ok := f.d.Catalog.Lookup(items.Str[i])
			if !ok {
				continue
			}
			l, ok := levels[values.Str[i]]
			if !ok {
				l = int32(len(levels))
				levels[values.Str[i]] = l
			}
			all = append(all, took{uint64(b.Col(event.ColSubject).Int[i]), l, item})
		}
	}
	slices.SortFunc(all, func(a, b took) int {
		return cmp.Or(cmp.Compare(a.level, b.level), cmp.Compare(a.item, b.item), cmp.Compare(a.subject, b.subject))
	})
	all = slices.Compact(all)
	people := make(counted, f.d.Catalog.Len()) // of one level, by item
	for _, level := range slices.Sorted(maps.Keys(levels)) {
		clear(people)
		from, _ := slices.BinarySearchFunc(all, levels[level], func(t took, l int32) int { return cmp.Compare(t.level, l) })
		for _, t := range all[from:] {
			if t.level != levels[level] {
				break
			}
			people[t.item]++
		}
		var items []int32
		for i, n := range people {
			if n >= models.MinSubjects {
				items = append(items, int32(i))
			}
		}
		if err := f.unprofiledOf(ctx, people, f.rules, column, level, items, k); err != nil {
			return err
		}
	}
	return nil
}

// weightOf is how much an event of a kind counts.
func (f *filler) weightOf(kind string) float64 {
	if w, ok := f.job.Model.Weights[kind]; ok {
		return w
	}
	return 1
}

// counted scores items by fixed numbers.
type counted []float32

// Score implements models.Scorer.
func (c counted) Score(_ context.Context, q []models.Query, dst []float32) error {
	for i := range q {
		copy(dst[i*len(c):], c)
	}
	return nil
}

// unprofiledOf writes the list of nobody in particular among items, if any may stand in it.
func (f *filler) unprofiledOf(ctx context.Context, s models.Scorer, rules *lists.Stage, column, level string, items []int32, k int) error {
	if len(items) == 0 {
		return nil
	}
	q := []models.Query{{At: f.d.Cuts.End, K: k, Subject: make([]string, len(f.d.SubjectColumns())), Candidates: items, Exclude: f.d.untold()}}
	r, err := f.ranked(ctx, rules, s, q)
	if err != nil {
		return err
	}
	found, scores := r.Query(0)
	if len(found) == 0 {
		return nil
	}
	l := f.list(found, scores)
	l.ID = listID(f.v, online.UnprofiledByKey(column, level))
	f.told(&l, r, 0)
	e, err := online.UnprofiledByEntry(column, level, l)
	if err != nil {
		return err
	}
	return f.put(ctx, e)
}

// titles writes what people call the items, where the project names an attribute that says so.
func (f *filler) titles(ctx context.Context) error {
	return f.putItems(ctx, func(item int32, id string) (online.Entry, error) {
		if int(item) >= len(f.d.titles) || f.d.titles[item] == "" {
			return online.Entry{}, nil
		}
		return online.TitleEntry(id, f.d.titles[item])
	})
}
