package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

const day = 24 * time.Hour

// theEnd is as of when most cases are.
var theEnd = time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)

// world is how events are generated.
type world struct {
	seed    uint64
	rows    int
	ends    []time.Time     // edges of windows that end here are where many events lie; nil: theEnd
	windows []time.Duration // whose edges
	months  bool            // events lie anywhere in the 31 days before an end, else near edges and within the windows
}

// generate makes events full of what engines get wrong: skewed keys, nulls in every column, NaN and infinities, values that cancel, integers
// that no float64 holds, events at the edges of windows and a microsecond beside them, at the ends of time, ties, duplicates, empty texts.
func (w world) generate() events {
	rng := rand.New(rand.NewPCG(w.seed, 0xfea7))
	e := newEvents(
		table.Field{Name: "device", Type: table.String},
		table.Field{Name: "quantity", Type: table.Int64},
		table.Field{Name: "flag", Type: table.Bool},
		table.Field{Name: "big", Type: table.Int64},
		table.Field{Name: "price", Type: table.Float64},
		table.Field{Name: "due", Type: table.Time},
		table.Field{Name: "created", Type: table.Time},
	)
	if w.ends == nil {
		w.ends = []time.Time{theEnd}
	}
	if w.windows == nil {
		w.windows = []time.Duration{time.Hour, day, 7 * day, 30 * day}
	}
	subjects := []int64{1, 2, 3, -1, math.MinInt64, 1 << 40, 77, 78, 79, 80}
	for range w.rows {
		at := w.ends[rng.IntN(len(w.ends))].Add(-w.age(rng)).UnixMicro()
		if rng.IntN(200) == 0 {
			at = []int64{math.MinInt64, math.MaxInt64, math.MinInt64 + 1, -1, 0}[rng.IntN(5)]
		}
		row := []any{
			subjects[int(float64(len(subjects))*math.Pow(rng.Float64(), 2.5))], // about 40 % on the first
			fmt.Sprintf("item-%d", int(30*math.Pow(rng.Float64(), 3))),
			at,
			[]string{"view", "cart", "buy", "other"}[rng.IntN(4)],
			amount(rng),
			[]string{"phone", "web", "", "tv", `a "b"\é<&>`}[rng.IntN(5)],
			int64(rng.IntN(9) - 4),
			int64(rng.IntN(2)),
			[]int64{1 << 53, -1 << 53, 1<<53 + 1, -1<<53 - 1, math.MaxInt64, math.MinInt64, 0, 5, -7, 1 << 40}[rng.IntN(10)],
			float64(rng.IntN(40)) / 4,
			theEnd.Add(time.Duration(rng.IntN(5)) * day).UnixMicro(),
			created(rng, at),
		}
		if rng.IntN(30) == 0 {
			row[colItem] = ""
		}
		for i := range row {
			if rng.Float64() < 0.06 {
				row[i] = nil
			}
		}
		e.rows = append(e.rows, row)
		if rng.Float64() < 0.12 { // a duplicate, or a tie in time alone
			twin := append([]any(nil), row...)
			if rng.IntN(3) > 0 {
				twin[colItem], twin[colKind], twin[colValue] = "item-0", "buy", amount(rng)
				twin[e.schema.Index("device")], twin[e.schema.Index("quantity")] = "web", int64(rng.IntN(3))
			}
			e.rows = append(e.rows, twin)
		}
	}
	return e
}

// age is how long before an end an event is: often at a window's edge, or one microsecond beside it.
func (w world) age(rng *rand.Rand) time.Duration {
	edge := time.Duration(0)
	if n := rng.IntN(len(w.windows) + 1); n < len(w.windows) {
		edge = w.windows[n]
	}
	switch rng.IntN(6) {
	case 0:
		return edge
	case 1:
		return edge + time.Microsecond
	case 2:
		return edge - time.Microsecond
	}
	longest := 31 * day
	if !w.months {
		longest = w.windows[rng.IntN(len(w.windows))] + time.Hour
	}
	return time.Duration(rng.Int64N(int64(longest))).Truncate(time.Microsecond) + time.Microsecond
}

// created is when an event became known: at once, later, days later, even before its time.
func created(rng *rand.Rand, at int64) any {
	switch rng.IntN(8) {
	case 0:
		return nil
	case 1:
		return at + rng.Int64N(int64(4*day/time.Microsecond))
	case 2:
		return at - 5
	case 3:
		return []int64{math.MinInt64, math.MaxInt64}[rng.IntN(2)]
	}
	return at + rng.Int64N(int64(2*time.Hour/time.Microsecond))
}

func amount(rng *rand.Rand) float64 {
	switch rng.IntN(18) {
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
	case 6:
		return []float64{features.MaxValue, -features.MaxValue, 5e-324, 0x1p-400, 0x1p-401, 0x1p400, 0x1p401}[rng.IntN(7)]
	}
	return float64(rng.IntN(10000)) / 100
}

func ptr(x float64) *float64 { return &x }

// filters are the ways in which a feature may choose its events.
var filters = []struct {
	kinds []string
	where []features.Condition
}{
	{},
	{kinds: []string{"buy", "cart"}},
	{where: []features.Condition{{Column: "device", In: []string{"phone", "web"}}}},
	{where: []features.Condition{{Column: "device", In: []string{"phone", "nothing"}, Not: true}}},
	{where: []features.Condition{{Column: "value", Min: ptr(10), Max: ptr(60.5)}}},
	{where: []features.Condition{{Column: "value", Min: ptr(10), Max: ptr(60.5), Not: true}}},
	{kinds: []string{"buy"}, where: []features.Condition{{Column: "quantity", Min: ptr(-1)}, {Column: "item", In: []string{"item-0"}, Not: true}}},
	{where: []features.Condition{{Column: "big", Max: ptr(1 << 53)}, {Column: "kind", In: []string{"view", "buy"}}}},
	{where: []features.Condition{{Column: "flag", Min: ptr(1)}}},
}

// plain are features of each operator, without a filter.
var plain = map[features.Op][]features.Feature{
	features.Count:    {{}},
	features.Recency:  {{}},
	features.Sum:      {{Column: "value"}, {Column: "quantity"}, {Column: "big"}, {Column: "flag"}, {Weights: weights}, {Column: "value", Weights: weights, Explicit: []string{"buy", "cart"}}, {Column: "big", Weights: weights, Explicit: []string{"view"}}},
	features.Mean:     {{Column: "value"}, {Column: "quantity"}, {Column: "big"}, {Column: "flag"}},
	features.Min:      {{Column: "value"}, {Column: "quantity"}, {Column: "big"}, {Column: "price"}},
	features.Max:      {{Column: "value"}, {Column: "quantity"}, {Column: "big"}, {Column: "price"}},
	features.First:    {{Column: "value"}, {Column: "device"}, {Column: "big"}, {Column: "quantity"}, {Column: "kind"}},
	features.Last:     {{Column: "value"}, {Column: "device"}, {Column: "big"}, {Column: "quantity"}, {Column: "item"}},
	features.Distinct: {{Column: "value"}, {Column: "device"}, {Column: "big"}, {Column: "quantity"}, {Column: "kind"}, {Column: "flag"}, {Column: "due"}, {Column: "time"}},
	features.ApproxDistinct: {
		{Column: "value"}, {Column: "device"}, {Column: "big"}, {Column: "due"}, {Column: "time"},
	},
	features.Decayed: {
		{HalfLife: 36 * time.Hour},
		{HalfLife: 7 * day, Column: "value"},
		{HalfLife: 100*time.Minute + time.Microsecond, Column: "quantity"},
		{HalfLife: 2000 * day, Weights: weights},
		{HalfLife: day, Column: "value", Weights: weights, Explicit: []string{"buy"}},
		{HalfLife: day, Column: "big"},
	},
	features.ShareOf:  {{Share: []string{"buy", "cart"}}, {Column: "device", Share: []string{"web", "never"}}, {Column: "item", Share: []string{"item-0"}}},
	features.Top:      {{Column: "device", N: 2}, {Column: "kind", N: 1}, {Column: "item", N: 1000}, {Column: "value", N: 3}, {Column: "big", N: 5}, {Column: "quantity", N: 2}, {Column: "flag", N: 2}},
	features.Quantile: {{Column: "value", Quantile: 0.5}, {Column: "value", Quantile: 0.95}, {Column: "quantity", Quantile: 0.25}, {Column: "big", Quantile: 0.9}, {Column: "price", Quantile: 1e-9}},
	features.Sequence: {{N: 3}, {Column: "device", N: 1}, {Column: "value", N: 5}, {Column: "kind", N: 1000}, {Column: "big", N: 4}, {Column: "flag", N: 2}},
}

var weights = map[string]float64{"view": 0.1, "buy": 3, "cart": -2.5, "other": 0}

// featuresOf are features of one operator: the plain ones, and some behind each filter. Those of share whose values no filter may exclude are left out.
func featuresOf(op features.Op) (fs []features.Feature) {
	for i, filter := range filters {
		for j, f := range plain[op] {
			if i > 0 && (i+j)%len(plain[op]) != 0 {
				continue // each filter once
			}
			f.Op, f.Kinds, f.Where = op, filter.kinds, filter.where
			if len(f.Kinds) > 0 && len(f.Weights) > 0 {
				f.Kinds = nil // a weight whose kind never passes is a fault
			}
			if f.Kinds != nil && f.Op == features.ShareOf && f.Column == "" {
				f.Share = f.Kinds[:1]
			}
			f.Name = fmt.Sprintf("%s_%d_%d", op, i, j)
			fs = append(fs, f)
		}
	}
	return features.Sorted(fs)
}

// viewsOf are views of the operators: by subject, by item, and by one of the keys that are rarer.
func viewsOf(turn int, ops ...features.Op) []features.View {
	keys := []string{"device", "subject+item", "quantity", "kind+flag", "due", "item+subject", "flag", "big", "quantity+device", "kind"}
	v := []features.View{
		{Name: "by_subject", Key: features.KeySubject, Windows: []time.Duration{7 * day, time.Hour, day}},
		{Name: "by_item", Key: features.KeyItem, Windows: []time.Duration{30 * day, day}},
		{Name: "by_rare", Key: keys[turn%len(keys)], Windows: []time.Duration{7 * day}},
	}
	for i := range v {
		for _, op := range ops {
			for _, f := range featuresOf(op) {
				if own := op == features.Distinct || op == features.ApproxDistinct; own && slices.Contains(v[i].Keys(), f.Column) {
					continue
				}
				v[i].Features = append(v[i].Features, f)
			}
		}
		v[i].Features = features.Sorted(v[i].Features)
	}
	return v
}

// mixed are views with a few features of every operator.
func mixed(turn int) []features.View {
	v := viewsOf(turn, features.Ops...)
	for i := range v {
		var some []features.Feature
		for j, f := range v[i].Features {
			if (j+3*turn)%8 == 0 {
				some = append(some, f)
			}
		}
		v[i].Features = some
	}
	return v
}
