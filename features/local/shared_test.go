package local

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// mirrored are views of two keys that count each other's entities: under the same conditions and windows, and under others.
func mirrored() []features.View {
	buys := []string{"buy"}
	one, two := []time.Duration{joinDay}, []time.Duration{joinDay, 30 * joinDay}
	count := func(column string) []features.Feature {
		return []features.Feature{
			{Name: "all", Op: features.Distinct, Column: column},
			{Name: "buys", Op: features.Distinct, Column: column, Kinds: buys},
			{Name: "n", Op: features.Count},
		}
	}
	return []features.View{
		{Name: "a", Key: features.KeyItem, Windows: two, Features: count(features.KeySubject)},
		{Name: "b", Key: features.KeySubject, Windows: two, Features: count(features.KeyItem)},
		{Name: "c", Key: features.KeyItem, Windows: one, Features: count("shop")},
		{Name: "d", Key: "shop", Windows: one, Features: count(features.KeyItem)},
		{Name: "e", Key: features.KeySubject, Windows: one, Features: count("shop")},
	}
}

// meetings are n events of people, items and shops, of which some lack one.
func meetings(n int, item func(i int) string) *table.Batch {
	rng := rand.New(rand.NewPCG(8, 9))
	b := &table.Batch{N: n, Schema: table.Schema{
		{Name: "subject", Type: table.Int64},
		{Name: "item", Type: table.String},
		{Name: "time", Type: table.Time},
		{Name: "kind", Type: table.String},
		{Name: "shop", Type: table.Int64},
	}, Cols: make([]table.Column, 5)}
	for i := range b.Cols {
		b.Cols[i].Valid = make([]bool, n)
	}
	for i := range n {
		b.Cols[0].Int = append(b.Cols[0].Int, rng.Int64N(40)*0x123456789ab)
		b.Cols[1].Str = append(b.Cols[1].Str, item(rng.IntN(60)))
		b.Cols[2].Int = append(b.Cols[2].Int, joinEnd.UnixMicro()-1-rng.Int64N(int64(33*joinDay/time.Microsecond)))
		b.Cols[3].Str = append(b.Cols[3].Str, []string{"view", "buy"}[rng.IntN(2)])
		b.Cols[4].Int = append(b.Cols[4].Int, rng.Int64N(7)-3)
		for j := range b.Cols {
			b.Cols[j].Valid[i] = j == 2 || rng.IntN(9) > 0
		}
	}
	return b
}

// builtRows are the rows of all views, in order. A split is a tenth of the events.
func builtRows(t *testing.T, b *table.Batch, budget int64) (rows []string, stats features.Stats) {
	t.Helper()
	var splits []features.Split
	for i := range 10 {
		lo, hi := b.N*i/10, b.N*(i+1)/10
		part := &table.Batch{N: hi - lo, Schema: b.Schema}
		for _, c := range b.Cols {
			p := table.Column{Valid: c.Valid[lo:hi]}
			if c.Str != nil {
				p.Str = c.Str[lo:hi]
			} else {
				p.Int = c.Int[lo:hi]
			}
			part.Cols = append(part.Cols, p)
		}
		splits = append(splits, joinSource(part)...)
	}
	var mu sync.Mutex
	stats, err := Engine{}.Build(t.Context(), features.Plan{
		Views: mirrored(), Schema: b.Schema, Interval: table.Interval{Start: joinEnd.Add(-joinDay), End: joinEnd}, Budget: budget, Spill: t.TempDir(),
		Events: func(context.Context, table.Interval) ([]features.Split, error) { return splits, nil },
		Out: func(v features.View, b *table.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range b.N {
				row := v.Name
				for _, c := range b.Cols {
					if c.Str != nil {
						row += fmt.Sprintf(" %q", c.Str[i])
					} else {
						row += fmt.Sprint(" ", c.Int[i])
					}
				}
				rows = append(rows, row)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	return rows, stats
}

// expectedRows counts with maps.
func expectedRows(b *table.Batch) (rows []string) {
	type entity struct{ view, key string }
	sets := map[entity]map[string]bool{} // of each, what it met: feature, window, value
	for _, v := range mirrored() {
		key, other := b.Schema.Index(v.Key), b.Schema.Index(v.Features[0].Column)
		cell := func(column, i int) string {
			if c := b.Cols[column]; c.Str != nil {
				return fmt.Sprintf("%q", c.Str[i])
			}
			return fmt.Sprint(b.Cols[column].Int[i])
		}
		for i := range b.N {
			for w, window := range v.Windows {
				if b.Cols[key].Valid[i] && b.Cols[2].Int[i] >= joinEnd.Add(-window).UnixMicro() {
					e := entity{v.Name, cell(key, i)}
					if sets[e] == nil {
						sets[e] = map[string]bool{}
					}
					sets[e][fmt.Sprint("n", w, " ", i)] = true
					if b.Cols[other].Valid[i] {
						sets[e][fmt.Sprint("all", w, " ", cell(other, i))] = true
						if b.Cols[3].Valid[i] && b.Cols[3].Str[i] == "buy" {
							sets[e][fmt.Sprint("buys", w, " ", cell(other, i))] = true
						}
					}
				}
			}
		}
	}
	for _, v := range mirrored() {
		for e, set := range sets {
			if e.view != v.Name {
				continue
			}
			counts := map[string]int{}
			for x := range set {
				var what, of string
				_, _ = fmt.Sscan(x, &what, &of)
				counts[what]++
			}
			row := e.view + " " + e.key
			for _, f := range []string{"all", "buys", "n"} {
				for w := range v.Windows {
					row += fmt.Sprint(" ", counts[fmt.Sprint(f, w)])
				}
			}
			rows = append(rows, row)
		}
	}
	slices.Sort(rows)
	return rows
}

// What two keys count of each other is one set of pairs, in the group that holds it, and right for both: whatever is null, spilled, or shared three times.
func TestSharedPairs(t *testing.T) {
	b := meetings(4000, func(i int) string {
		return fmt.Sprint("item ", i, []string{"", " with a name that is longer than two words"}[i%2])
	})
	p, err := compile(mirrored(), b.Schema, joinEnd, use{})
	if err != nil {
		t.Fatal(err)
	}
	held, shared := 0, 0
	for _, g := range p.groups {
		for _, c := range g.classes {
			for _, x := range c.members {
				if x.holds {
					held++
				} else if x.shared != nil {
					shared++
				}
			}
		}
	}
	if held != 4 || shared != 4 { // subjects and items, items and shops, each of all events and of those that are bought
		t.Errorf("%d sets are held and %d shared, want 4 and 4", held, shared)
	}
	want := expectedRows(b)
	for _, budget := range []int64{0, 1, 60_000, 150_000} {
		got, stats := builtRows(t, b, budget)
		if !slices.Equal(got, want) {
			t.Errorf("budget %d: other rows than maps count: %v, want %v", budget, got[:min(9, len(got))], want[:min(9, len(want))])
		}
		if budget == 1 && stats.Spilled == 0 {
			t.Error("nothing was spilled")
		}
	}
}

// alike is one of two texts with the same hash. They are easily made: XXH3 multiplies two words of the text, each mixed with one of its secret's, and 0 times
// any is 0.
func alike(i int) string {
	return "\xb8\xfe\x6c\x39\x23\xa4\x4b\xbe" + fmt.Sprintf("%08d", i%2) + "and sixteen more"
}

// Texts with the same hash are told apart as entities.
func TestTextsWithOneHash(t *testing.T) {
	if aggregate.HashString(alike(0)) != aggregate.HashString(alike(1)) {
		t.Fatal("the texts have different hashes: find others")
	}
	b := meetings(2000, func(i int) string {
		if i < 2 {
			return alike(i)
		}
		return fmt.Sprint("item ", i)
	})
	for _, budget := range []int64{0, 1} {
		got, _ := builtRows(t, b, budget)
		// Of subjects and shops the two are one value, as Distinct says of its hashes; as entities of their own they are two.
		of := func(rows []string, view string) (out []string) {
			for _, r := range rows {
				if r[:1] == view {
					out = append(out, r)
				}
			}
			return out
		}
		for _, view := range []string{"a", "c"} {
			if g, w := of(got, view), of(expectedRows(b), view); !slices.Equal(g, w) {
				t.Errorf("budget %d, view %s: %v, want %v", budget, view, g[:min(3, len(g))], w[:min(3, len(w))])
			}
		}
	}
}

// Where keys with one hash are met among what was spilled, when rows have been put out already, these are taken back, or else the build fails.
func TestTextsWithOneHashSpilled(t *testing.T) {
	const n, subjects, items = 60_000, 3000, 2500
	views := []features.View{
		{Name: "a", Key: features.KeyItem, Windows: []time.Duration{joinDay}, Features: []features.Feature{{Name: "d", Op: features.Distinct, Column: features.KeySubject}}},
		{Name: "b", Key: features.KeySubject, Windows: []time.Duration{joinDay}, Features: []features.Feature{{Name: "d", Op: features.Distinct, Column: features.KeyItem}}},
	}
	b := &table.Batch{N: n, Schema: table.Schema{{Name: "subject", Type: table.Int64}, {Name: "item", Type: table.String}, {Name: "time", Type: table.Time}}, Cols: make([]table.Column, 3)}
	for i := range n {
		name := fmt.Sprint("item ", i%items)
		if k := i % items; k < 2 {
			name = alike(k)
		}
		b.Cols[0].Int = append(b.Cols[0].Int, int64(i%subjects)*0x123456789ab)
		b.Cols[1].Str = append(b.Cols[1].Str, name)
		b.Cols[2].Int = append(b.Cols[2].Int, joinEnd.UnixMicro()-1-int64(i))
	}
	rows := map[string]int{}
	anew := 0
	p := features.Plan{
		Views: views, Schema: b.Schema, Interval: table.Interval{Start: joinEnd.Add(-joinDay), End: joinEnd}, Budget: 2 << 20, Spill: t.TempDir(),
		Events: func(context.Context, table.Interval) ([]features.Split, error) { return joinSource(b), nil },
		Out: func(v features.View, of *table.Batch) error {
			rows[v.Name] += of.N
			return nil
		},
		Anew: func() error {
			anew++
			clear(rows)
			return nil
		},
	}
	stats, err := Engine{}.Build(t.Context(), p)
	if err != nil || anew != 1 || stats.Spilled == 0 {
		t.Fatalf("%d times anew, %d bytes spilled, %v", anew, stats.Spilled, err)
	}
	if rows["a"] != items || rows["b"] != subjects || stats.RowsOut["b"] != subjects {
		t.Errorf("rows by view %v, counted %v, want %d items and %d subjects", rows, stats.RowsOut, items, subjects)
	}
	p.Anew = nil
	if _, err := (Engine{}).Build(t.Context(), p); err == nil || errors.Is(err, errAlike) {
		t.Errorf("error %v of what can't be taken back", err)
	}
}

// Numbers are dense, the same for the same value, and different for others, whoever asks first.
func TestNumbering(t *testing.T) {
	const values, workers = 5000, 4
	var n numbering
	if _, ok := n.known(7); ok {
		t.Error("a value has a number that nobody asked for")
	}
	var got [workers][values]uint32
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var seen lately
			for i := range 3 * values {
				v := (i*7 + w*1000) % values
				got[w][v] = seen.number(&n, uint64(v)<<33)
			}
		})
	}
	wg.Wait()
	taken := make([]bool, values)
	for v := range values {
		k, ok := n.known(uint64(v) << 33)
		if !ok || int(k) >= values || taken[k] {
			t.Fatalf("value %d has number %d, %v", v, k, ok)
		}
		taken[k] = true
		for w := range workers {
			if got[w][v] != k {
				t.Fatalf("value %d has number %d, and for worker %d it had %d", v, k, w, got[w][v])
			}
		}
	}
	if n.size.Load() < 12*values {
		t.Errorf("%d values take %d bytes", values, n.size.Load())
	}
}

// Numbers of entities can't be spilled: where they would take much of the budget, pairs are not shared, and are spilled like all else.
func TestNumbersBeyondTheBudget(t *testing.T) {
	const n, subjects = 200_000, 500
	views := []features.View{
		{Name: "a", Key: features.KeyItem, Windows: []time.Duration{joinDay}, Features: []features.Feature{{Name: "d", Op: features.Distinct, Column: features.KeySubject}}},
		{Name: "b", Key: features.KeySubject, Windows: []time.Duration{joinDay}, Features: []features.Feature{{Name: "d", Op: features.Distinct, Column: features.KeyItem}}},
	}
	b := &table.Batch{N: n, Schema: table.Schema{{Name: "subject", Type: table.Int64}, {Name: "item", Type: table.Int64}, {Name: "time", Type: table.Time}}, Cols: make([]table.Column, 3)}
	for i := range n {
		for j, x := range []int64{int64(i % subjects), int64(i) * 77_777, joinEnd.UnixMicro() - 1 - int64(i)} {
			b.Cols[j].Int = append(b.Cols[j].Int, x)
		}
	}
	const budget = 4 << 20
	rows := map[string]int{}
	stats, err := Engine{}.Build(t.Context(), features.Plan{
		Views: views, Schema: b.Schema, Interval: table.Interval{Start: joinEnd.Add(-joinDay), End: joinEnd}, Budget: budget, Spill: t.TempDir(),
		Events: func(context.Context, table.Interval) ([]features.Split, error) { return joinSource(b), nil },
		Out: func(v features.View, rowsOf *table.Batch) error {
			for i := range rowsOf.N {
				rows[v.Name]++
				if got, want := rowsOf.Cols[1].Int[i], map[string]int64{"a": 1, "b": n / subjects}[v.Name]; got != want {
					t.Errorf("view %s: %d met %d, want %d", v.Name, rowsOf.Cols[0].Int[i], got, want)
				}
			}
			return nil
		},
	})
	if err != nil || rows["a"] != n || rows["b"] != subjects {
		t.Fatalf("%v rows, error %v", rows, err)
	}
	if stats.Peak > 2*share(budget) || stats.Spilled == 0 {
		t.Errorf("%d bytes are held, of %d, and %d spilled", stats.Peak, share(budget), stats.Spilled)
	}
}
