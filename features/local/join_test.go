package local

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

var joinEnd = time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)

const joinDay = 24 * time.Hour

// joinSource makes splits of batches, for events and for examples.
func joinSource(batches ...*table.Batch) []features.Split {
	var splits []features.Split
	for _, b := range batches {
		splits = append(splits, features.Split{Read: func(context.Context, []string) iter.Seq2[*table.Batch, error] {
			return func(yield func(*table.Batch, error) bool) { yield(b, nil) }
		}})
	}
	return splits
}

var joinSchema = table.Schema{
	{Name: "subject", Type: table.Int64},
	{Name: "item", Type: table.String},
	{Name: "time", Type: table.Time},
	{Name: "kind", Type: table.String},
	{Name: "value", Type: table.Float64},
	{Name: "created", Type: table.Time},
}

// joinBatches are events of 60 days, a tenth of them of subject 0, some known days late.
func joinBatches(rows, subjects int) []*table.Batch {
	rng := rand.New(rand.NewPCG(3, 4))
	var batches []*table.Batch
	for lo := 0; lo < rows; lo += 1000 {
		n := min(1000, rows-lo)
		b := &table.Batch{Schema: joinSchema, N: n, Cols: []table.Column{
			{Int: make([]int64, n)},
			{Str: make([]string, n)},
			{Int: make([]int64, n)},
			{Code: make([]int32, n), Dict: []string{"view", "cart", "buy"}},
			{Float: make([]float64, n)},
			{Int: make([]int64, n), Valid: make([]bool, n)},
		}}
		for i := range n {
			if rng.IntN(10) > 0 {
				b.Cols[0].Int[i] = int64(rng.IntN(subjects))
			}
			b.Cols[1].Str[i] = fmt.Sprintf("i%d", rng.IntN(50))
			b.Cols[2].Int[i] = joinEnd.UnixMicro() - rng.Int64N(60*joinDay.Microseconds())
			b.Cols[3].Code[i] = int32(rng.IntN(3))
			b.Cols[4].Float[i] = float64(rng.IntN(10000)) / 100
			if b.Cols[5].Valid[i] = rng.IntN(2) == 0; b.Cols[5].Valid[i] {
				b.Cols[5].Int[i] = b.Cols[2].Int[i] + rng.Int64N(2*joinDay.Microseconds())
			}
		}
		batches = append(batches, b)
	}
	return batches
}

var exampleSchema = table.Schema{{Name: "id", Type: table.Int64}, {Name: "time", Type: table.Time}, {Name: "subject", Type: table.Int64}, {Name: "item", Type: table.String}}

func exampleBatch(rows, subjects int) *table.Batch {
	rng := rand.New(rand.NewPCG(5, 6))
	b := &table.Batch{Schema: exampleSchema, N: rows, Cols: []table.Column{
		{Int: make([]int64, rows)}, {Int: make([]int64, rows)}, {Int: make([]int64, rows)}, {Str: make([]string, rows)},
	}}
	for i := range rows {
		b.Cols[0].Int[i] = int64(i)
		b.Cols[1].Int[i] = joinEnd.UnixMicro() - rng.Int64N(30*joinDay.Microseconds())
		if rng.IntN(10) > 0 {
			b.Cols[2].Int[i] = int64(rng.IntN(subjects))
		}
		b.Cols[3].Str[i] = fmt.Sprintf("i%d", rng.IntN(50))
	}
	return b
}

func joinViews() []features.View {
	windows := []time.Duration{joinDay, 7 * joinDay, 28 * joinDay}
	return []features.View{
		{Name: "activity", Key: "subject", Windows: windows, Features: []features.Feature{
			{Name: "approx", Op: features.ApproxDistinct, Column: "item"},
			{Name: "decayed", Op: features.Decayed, Column: "value", HalfLife: 3 * time.Hour},
			{Name: "distinct", Op: features.Distinct, Column: "item"},
			{Name: "median", Op: features.Quantile, Column: "value", Quantile: 0.5},
			{Name: "most", Op: features.Max, Column: "value"},
			{Name: "sequence", Op: features.Sequence, Column: "item", N: 5},
			{Name: "spend", Op: features.Sum, Column: "value", Kinds: []string{"buy"}},
			{Name: "top", Op: features.Top, Column: "item", N: 3},
		}},
		{Name: "demand", Key: "item", Windows: windows[:2], Hop: 6 * time.Hour, Features: []features.Feature{
			{Name: "buys", Op: features.Count, Kinds: []string{"buy"}},
			{Name: "first", Op: features.First, Column: "kind"},
		}},
	}
}

// joined returns the rows of a join as text.
func joined(t *testing.T, p features.JoinPlan, cells int) ([]string, features.Stats) {
	t.Helper()
	var rows []string
	p.Out = func(b *table.Batch) error {
		for i := range b.N {
			var row []any
			for c, f := range b.Schema {
				col := &b.Cols[c]
				switch {
				case col.Null(i):
					row = append(row, nil)
				case f.Type == table.Float64:
					row = append(row, math.Float64bits(col.Float[i]))
				case f.Type == table.String:
					row = append(row, col.Str[i])
				default:
					row = append(row, col.Int[i])
				}
			}
			rows = append(rows, fmt.Sprint(row...))
		}
		return nil
	}
	stats, err := runJoin(t.Context(), p, cells)
	if err != nil {
		t.Fatal(err)
	}
	return rows, stats
}

func joinPlan(events, examples, subjects int) features.JoinPlan {
	batches := joinBatches(events, subjects)
	return features.JoinPlan{
		Views: joinViews(), Schema: joinSchema, Anchor: joinEnd,
		Events:   func(context.Context, table.Interval) ([]features.Split, error) { return joinSource(batches...), nil },
		Examples: joinSource(exampleBatch(examples, subjects)), ExampleSchema: exampleSchema,
	}
}

// However many examples are in a block, and however many workers there are, the rows are the same to the bit.
func TestJoinBlocks(t *testing.T) {
	p := joinPlan(3000, 150, 40)
	want, stats := joined(t, p, joinCells)
	if len(want) != 150 || stats.RowsOut["activity"] != 150 || stats.RowsOut["demand"] != 150 || stats.RowsIn+stats.RowsOutside != 3000 || stats.Peak < 150*8*29 {
		t.Fatalf("%d rows, %+v", len(want), stats)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 3} {
		runtime.GOMAXPROCS(procs)
		for _, cells := range []int{1, 100, 2000} {
			if cells == 1 && procs > 1 {
				continue // a block each example, once
			}
			got, _ := joined(t, p, cells)
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("%d cells a block, %d workers: row %d is %s, want %s", cells, procs, i, got[i], want[i])
				}
			}
		}
	}
}

// Blocks ask for no more time than their examples see, and leave out splits that lie elsewhere.
func TestJoinReadsItsSpanAlone(t *testing.T) {
	p := joinPlan(100, 1, 5)
	at := p.Examples[0]
	var asked table.Interval
	read := 0
	split := func(from, to time.Time) features.Split {
		return features.Split{Times: table.Interval{Start: from, End: to}, Read: func(_ context.Context, columns []string) iter.Seq2[*table.Batch, error] {
			if want := []string{"created", "item", "kind", "subject", "time", "value"}; !slices.Equal(slices.Sorted(slices.Values(columns)), want) {
				t.Errorf("columns %q, want %q", columns, want)
			}
			read++
			return func(func(*table.Batch, error) bool) {}
		}}
	}
	p.Events = func(_ context.Context, w table.Interval) ([]features.Split, error) {
		asked = w
		return []features.Split{split(w.Start.Add(-joinDay), w.Start), split(w.End, w.End.Add(joinDay)), split(w.Start.Add(-joinDay), w.Start.Add(time.Microsecond))}, nil
	}
	joined(t, p, joinCells)
	moment := int64(0)
	for b := range at.Read(t.Context(), nil) {
		moment = b.Cols[1].Int[0]
	}
	if !asked.End.Equal(time.UnixMicro(moment)) || asked.End.Sub(asked.Start) != 28*joinDay {
		t.Errorf("asked for %s, the example is at %s", asked, time.UnixMicro(moment).UTC())
	}
	if read != 1 {
		t.Errorf("%d splits read, want the one that overlaps", read)
	}
}

func TestJoinRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*features.JoinPlan)
		want   string
	}{
		"a broken view": {func(p *features.JoinPlan) { p.Views = []features.View{{Name: "v"}} }, `view "v"`},
		"no time": {func(p *features.JoinPlan) {
			p.ExampleSchema = slices.DeleteFunc(slices.Clone(exampleSchema), func(f table.Field) bool { return f.Name == "time" })
		}, `no column "time"`},
		"no key":                {func(p *features.JoinPlan) { p.ExampleSchema = exampleSchema[:2] }, `no column "subject", which is a key of view "activity"`},
		"a key of another type": {func(p *features.JoinPlan) { p.Schema = slices.Clone(joinSchema); p.Schema[0].Type = table.String }, `column "subject" of the examples has type int64, that of the events string`},
		"an anchor of ages":     {func(p *features.JoinPlan) { p.Anchor = time.Unix(1<<60, 0) }, "the anchor"},
		"a name taken": {func(p *features.JoinPlan) {
			p.ExampleSchema = append(slices.Clone(exampleSchema), table.Field{Name: "demand__buys_1d", Type: table.Int64})
		}, `two columns of the join are named "demand__buys_1d"`},
		"a batch without a column": {func(p *features.JoinPlan) {
			p.ExampleSchema = append(slices.Clone(exampleSchema), table.Field{Name: "label", Type: table.Bool})
		}, `no column "label"`},
		"a moment of ages": {func(p *features.JoinPlan) {
			b := exampleBatch(3, 3)
			b.Cols[1].Int[2] = math.MinInt64
			p.Examples = joinSource(b)
		}, "more than 73,000 years"},
		"short columns": {func(p *features.JoinPlan) {
			b := exampleBatch(3, 3)
			b.Cols[0].Int = b.Cols[0].Int[:2]
			p.Examples = joinSource(b)
		}, `column "id" has too few values`},
		"events without a column": {func(p *features.JoinPlan) {
			p.Events = func(context.Context, table.Interval) ([]features.Split, error) {
				return joinSource(exampleBatch(3, 3)), nil
			}
		}, `no column "created"`},
		"events that fail": {func(p *features.JoinPlan) {
			p.Events = func(context.Context, table.Interval) ([]features.Split, error) { return nil, errors.New("gone") }
		}, "read events: gone"},
	} {
		p := joinPlan(10, 10, 5)
		p.Out = func(*table.Batch) error { t.Errorf("%s: rows are put out", name); return nil }
		c.change(&p)
		if _, err := (Engine{}).Join(t.Context(), p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	none := joinPlan(10, 10, 5)
	none.Views = nil
	none.Events = func(context.Context, table.Interval) ([]features.Split, error) {
		return nil, errors.New("no view asks for events")
	}
	if rows, _ := joined(t, none, joinCells); len(rows) != 10 {
		t.Errorf("no views: %d rows, want the examples", len(rows))
	}
	p := joinPlan(10, 10, 5)
	full := errors.New("full")
	p.Out = func(*table.Batch) error { return full }
	if _, err := (Engine{}).Join(t.Context(), p); !errors.Is(err, full) {
		t.Errorf("Out fails: error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.Events = func(context.Context, table.Interval) ([]features.Split, error) { cancel(); return nil, nil }
	if _, err := (Engine{}).Join(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
}

// A join costs what its events and examples are, not their product: one subject has a tenth of both.
func BenchmarkJoin(b *testing.B) {
	for _, n := range []int{50_000, 200_000} {
		p := joinPlan(n, n/4, n/20)
		p.Out = func(*table.Batch) error { return nil }
		b.Run(fmt.Sprintf("events=%d/examples=%d", n, n/4), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Engine{}).Join(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "M-events/s")
		})
	}
}
