package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// world is a generated case.
type world struct {
	views  []features.View
	end    time.Time
	events events
}

const day = 24 * time.Hour

// generate makes a case full of what engines get wrong: skewed keys, nulls in every column, NaN and infinities, values that cancel, events at
// the edges of windows and a microsecond beside them, ties, duplicates, events outside every window, keys above 2^63.
func generate(seed uint64) world {
	rng := rand.New(rand.NewPCG(seed, 0xfea7))
	w := world{
		end:   time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC),
		views: everyOperator(),
		events: newEvents(table.Field{Name: "device", Type: table.String}, table.Field{Name: "quantity", Type: table.Int64},
			table.Field{Name: "flag", Type: table.Bool}),
	}
	n := []int{0, 1, 2, 60, 250, 400}[min(seed, 5)]
	subjects := []int64{1, 2, 3, -1, math.MinInt64, 1 << 40, 77, 78, 79, 80}
	for range n {
		row := []any{
			subjects[int(float64(len(subjects))*math.Pow(rng.Float64(), 2.5))], // about 40 % on the first
			fmt.Sprintf("item-%d", int(30*math.Pow(rng.Float64(), 3))),
			w.end.Add(-age(rng)).UnixMicro(),
			[]string{"view", "cart", "buy", "other"}[rng.IntN(4)],
			amount(rng),
			[]string{"phone", "web", "", "tv"}[rng.IntN(4)],
			int64(rng.IntN(9) - 4),
			int64(rng.IntN(2)),
		}
		for i := range row {
			if rng.Float64() < 0.06 {
				row[i] = nil
			}
		}
		w.events.rows = append(w.events.rows, row)
		if rng.Float64() < 0.1 { // a duplicate, or a tie in time alone
			twin := append([]any(nil), row...)
			if rng.IntN(2) == 0 {
				twin[colKind], twin[colValue] = "buy", amount(rng)
			}
			w.events.rows = append(w.events.rows, twin)
		}
	}
	return w
}

// age is how long before the end an event is: often at a window's edge, or one microsecond beside it.
func age(rng *rand.Rand) time.Duration {
	switch edge := []time.Duration{0, time.Hour, day, 7 * day, 30 * day}[rng.IntN(5)]; rng.IntN(6) {
	case 0:
		return edge
	case 1:
		return edge + time.Microsecond
	case 2:
		return edge - time.Microsecond
	}
	return time.Duration(rng.Int64N(int64(31*day))).Truncate(time.Microsecond) + time.Microsecond
}

func amount(rng *rand.Rand) float64 {
	switch rng.IntN(16) {
	case 0:
		return math.NaN()
	case 1:
		return math.Inf(1 - 2*rng.IntN(2))
	case 2:
		return 1e16 * float64(1-2*rng.IntN(2)) // cancels against its negative, and swallows cents on the way
	case 3:
		return math.Copysign(0, -1)
	case 4:
		return -rng.Float64() * 1e-9
	case 5:
		return 2 * features.MaxValue
	}
	return float64(rng.IntN(10000)) / 100
}

// everyOperator are views that use each operator with and without a filter, on every type of column, with one window and with many.
func everyOperator() []features.View {
	return []features.View{
		{Name: "activity", Key: features.KeySubject, Windows: []time.Duration{7 * day, time.Hour, day}, Features: []features.Feature{
			{Name: "all", Op: features.Count},
			{Name: "basket", Op: features.Sum, Column: "quantity"},
			{Name: "buys", Op: features.Count, Kinds: []string{"buy"}},
			{Name: "conversion", Op: features.ShareOf, Share: []string{"buy", "cart"}},
			{Name: "devices", Op: features.Distinct, Column: "device"},
			{Name: "flagged", Op: features.Mean, Column: "flag"},
			{Name: "idle", Op: features.Recency},
			{Name: "items", Op: features.Distinct, Column: "item"},
			{Name: "mean", Op: features.Mean, Column: "value"},
			{Name: "most", Op: features.Max, Column: "value"},
			{Name: "prices", Op: features.Distinct, Column: "value"},
			{Name: "recent", Op: features.Decayed, HalfLife: 36 * time.Hour},
			{Name: "recent_spend", Op: features.Decayed, Column: "value", HalfLife: 7 * day, Kinds: []string{"buy", "cart"}},
			{Name: "spend", Op: features.Sum, Column: "value", Kinds: []string{"buy"}},
		}},
		{Name: "demand", Key: features.KeyItem, Windows: []time.Duration{30 * day, day}, Features: []features.Feature{
			{Name: "buyers", Op: features.Distinct, Column: "subject", Kinds: []string{"buy"}},
			{Name: "cart_share", Op: features.ShareOf, Kinds: []string{"view", "cart"}, Share: []string{"cart"}},
			{Name: "kinds", Op: features.Distinct, Column: "kind"},
			{Name: "last_buy", Op: features.Recency, Kinds: []string{"buy"}},
			{Name: "least", Op: features.Min, Column: "quantity"},
			{Name: "lowest", Op: features.Min, Column: "value"},
			{Name: "moments", Op: features.Distinct, Column: "time"},
		}},
		{Name: "month", Key: features.KeySubject, Windows: []time.Duration{30 * day}, Features: []features.Feature{
			{Name: "n", Op: features.Count},
		}},
	}
}
