package jobs

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// permittedWorld is events of subjects of every kind over eight days, and what policy says of each row of a window.
func permittedWorld(t *testing.T, shards int) (r reading, window table.Interval, want map[string]policy.Reason) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	at := func(d int) time.Time { return dayOf(d).Start }
	given := func(s policy.Subject, from time.Time) policy.Record {
		return policy.Record{Subject: s, Purpose: "recommend", State: policy.ConsentGiven, Effective: from, Recorded: from}
	}
	refused := given(3<<61, at(1))
	refused.State = policy.ConsentRefused
	subjects := []policy.Subject{1, 2, 3 << 61, 4 << 60, 5 << 60, 6}
	d := policy.Decide(policy.Purpose{Name: "recommend", Basis: policy.Consent}, at(9), []policy.Record{
		given(1, at(1)), given(2, at(3)), refused, given(5<<60, at(4).Add(7*time.Hour)), given(6, at(7)),
	}, []policy.Erasure{{Subject: 6, At: at(5)}})
	r = reading{bucket: storage.NewMemory(nil), decisions: d, oldest: table.Micros(at(2)) + 5e9}
	window = table.Interval{Start: at(2), End: at(6).Add(time.Hour)}
	want = map[string]policy.Reason{}

	schema := table.Schema{{Name: "subject", Type: table.Int64}, {Name: "time", Type: table.Time}, {Name: "item", Type: table.String}, {Name: "value", Type: table.Float64}}
	for n := 1; n <= 8; n++ {
		batch := &table.Batch{Schema: schema, Cols: make([]table.Column, 4)}
		for i := range 120 {
			s, tm := subjects[rng.IntN(len(subjects))], table.Micros(at(n))+rng.Int64N(24*3600*1e6)
			item, null := fmt.Sprintf("i%d-%d", n, i), rng.IntN(3) == 0
			batch.N++
			batch.Cols[0].Int = append(batch.Cols[0].Int, int64(s))
			batch.Cols[1].Int = append(batch.Cols[1].Int, tm)
			batch.Cols[2].Str = append(batch.Cols[2].Str, item)
			batch.Cols[3].Float, batch.Cols[3].Valid = append(batch.Cols[3].Float, float64(i)), append(batch.Cols[3].Valid, !null)
			if tm >= table.Micros(window.Start) && tm < table.Micros(window.End) {
				want[fmt.Sprint(s, item, null)] = d.Judge(s, tm, r.oldest)
			}
		}
		w := table.NewWriter(r.bucket, fmt.Sprint("d", n), schema, table.WriteOptions{Shards: shards, ShardBy: "subject", SortBy: []string{"subject", "time"}})
		if err := w.Append(batch); err != nil {
			t.Fatal(err)
		}
		m, err := w.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.days = append(r.days, day{iv: dayOf(n), manifest: m})
	}
	return r, window, want
}

// TestPermitted compares what is read of events with what policy says row by row: in the order of days, and in splits that are read side by
// side, with and without their times.
func TestPermitted(t *testing.T) {
	for _, shards := range []int{1, 4, 16} {
		r, window, want := permittedWorld(t, shards)
		kept, says := map[string]bool{}, policy.Funnel{}
		for row, why := range want {
			says[why]++
			if why == policy.Kept {
				kept[row] = true
			}
		}
		if len(kept) < 50 || len(says) < 4 {
			t.Fatalf("the world is too small: %v", says)
		}
		check := func(how string, got map[string]bool, batch *table.Batch) {
			t.Helper()
			s, item, value := batch.Col("subject"), batch.Col("item"), batch.Col("value")
			if len(s.Int) != batch.N || len(item.Str)+len(item.Code) != batch.N || len(value.Float) != batch.N {
				t.Fatalf("%s: a batch of %d rows has columns of %d, %d and %d", how, batch.N, len(s.Int), len(item.Str)+len(item.Code), len(value.Float))
			}
			for i := range batch.N {
				var text string
				if item.Code != nil {
					text = item.Dict[item.Code[i]]
				} else {
					text = item.Str[i]
				}
				row := fmt.Sprint(policy.Subject(uint64(s.Int[i])), text, value.Null(i))
				if got[row] || !kept[row] {
					t.Fatalf("%s: %s comes twice, or should not come", how, row)
				}
				got[row] = true
			}
		}
		got, funnel := map[string]bool{}, policy.Funnel{}
		for batch, err := range r.permitted(t.Context(), window, nil, funnel) {
			if err != nil {
				t.Fatal(err)
			}
			check("in order", got, batch)
		}
		if len(got) != len(kept) {
			t.Errorf("%d shards: %d events get through, want %d", shards, len(got), len(kept))
		}
		if !maps.Equal(funnel, says) {
			t.Errorf("%d shards: the funnel says %v, want %v", shards, funnel, says)
		}

		for _, withTimes := range []bool{false, true} {
			columns := []string{"item", "value"}
			if withTimes {
				columns = append(columns, "time")
			}
			got := map[string]bool{}
			timeless := 0
			splits := r.splits(window)
			rand.Shuffle(len(splits), func(i, j int) { splits[i], splits[j] = splits[j], splits[i] })
			for _, s := range splits {
				for batch, err := range s.Read(t.Context(), columns) {
					if err != nil {
						t.Fatal(err)
					}
					times := batch.Col("time")
					if times == nil {
						timeless++
					}
					for i := range batch.N {
						if times != nil && !s.Times.Contains(time.UnixMicro(times.Int[i])) {
							t.Fatalf("a split of %s has an event at %v", s.Times, time.UnixMicro(times.Int[i]).UTC())
						}
					}
					check("splits", got, batch)
				}
			}
			if len(got) != len(kept) {
				t.Errorf("%d shards: %d events get through in splits, want %d", shards, len(got), len(kept))
			}
			if (timeless > 0) == withTimes {
				t.Errorf("%d shards, times asked for %v: %d batches without times", shards, withTimes, timeless)
			}
		}
	}
}

// BenchmarkPermitted reads ten days of events through the sieve, as models do and as views do.
func BenchmarkPermitted(b *testing.B) {
	const days, rows, people = 10, 100_000, 40_000
	rng := rand.New(rand.NewPCG(1, 2))
	schema := table.Schema{{Name: "subject", Type: table.Int64}, {Name: "item", Type: table.String}, {Name: "time", Type: table.Time}, {Name: "kind", Type: table.String}, {Name: "value", Type: table.Float64}}
	subjects := make([]uint64, people)
	var records []policy.Record
	for i := range subjects {
		subjects[i] = rng.Uint64()
		records = append(records, policy.Record{Subject: policy.Subject(subjects[i]), Purpose: "recommend", State: policy.ConsentGiven, Effective: dayOf(0).Start, Recorded: dayOf(0).Start})
	}
	r := reading{bucket: storage.NewMemory(nil), decisions: policy.Decide(policy.Purpose{Name: "recommend", Basis: policy.Consent}, dayOf(days+1).Start, records, nil), oldest: math.MinInt64}
	for n := 1; n <= days; n++ {
		batch := &table.Batch{Schema: schema, N: rows, Cols: make([]table.Column, len(schema))}
		for range rows {
			batch.Cols[0].Int = append(batch.Cols[0].Int, int64(subjects[rng.IntN(people)]))
			batch.Cols[1].Str = append(batch.Cols[1].Str, fmt.Sprintf("item-%05d", rng.IntN(5000)))
			batch.Cols[2].Int = append(batch.Cols[2].Int, table.Micros(dayOf(n).Start)+rng.Int64N(24*3600*1e6))
			batch.Cols[3].Str = append(batch.Cols[3].Str, []string{"view", "cart", "buy"}[rng.IntN(3)])
			batch.Cols[4].Float = append(batch.Cols[4].Float, rng.Float64())
		}
		w := table.NewWriter(r.bucket, fmt.Sprint("d", n), schema, table.WriteOptions{Shards: 16, ShardBy: "subject", SortBy: []string{"subject", "time", "item", "kind"}})
		if err := w.Append(batch); err != nil {
			b.Fatal(err)
		}
		m, err := w.Finish(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		r.days = append(r.days, day{iv: dayOf(n), manifest: m})
	}
	window := table.Interval{Start: dayOf(1).Start, End: dayOf(days).End}
	run := func(name string, read func() int) {
		b.Run(fmt.Sprintf("%s/%dk", name, days*rows/1000), func(b *testing.B) {
			before := cpuSeconds(b)
			for b.Loop() {
				if n := read(); n != days*rows {
					b.Fatalf("%d rows", n)
				}
			}
			b.ReportMetric(days*rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(days*rows*float64(b.N)/(cpuSeconds(b)-before), "rows/cpu-s") // also on a machine that others use
		})
	}
	run("in-order", func() (n int) {
		for batch, err := range r.permitted(b.Context(), window, eventColumns, policy.Funnel{}) {
			if err != nil {
				b.Fatal(err)
			}
			n += batch.N
		}
		return n
	})
	run("splits", func() int {
		var n atomic.Int64
		g, ctx := errgroup.WithContext(b.Context())
		g.SetLimit(runtime.GOMAXPROCS(0))
		for _, s := range r.splits(window) {
			g.Go(func() error {
				for batch, err := range s.Read(ctx, []string{"subject", "item", "kind", "value"}) {
					if err != nil {
						return err
					}
					n.Add(int64(batch.N))
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		return int(n.Load())
	})
}

// cpuSeconds is how long this process has worked, on all processors.
func cpuSeconds(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
