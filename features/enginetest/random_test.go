package enginetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/storage/table"
)

// Views, events and ends that nobody thought of: each end is built within a budget and compared with the definitions, and each from the one before,
// tiles being lost, and compared with all events, states too.
func TestRandomViews(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // one processor takes other ways
	seeds := []uint64{
		38, 145, 296, 305, 462, // two keys of two words were taken for one
		6557, 14080, 14199, 16954, 22301, 22390, 23317, 23488, // what a state held, and where, was left to the order of a map
	}
	for seed := range uint64(25) {
		seeds = append(seeds, 1000+seed)
	}
	for _, seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			if err := randomViews(t.Context(), local.Engine{}, seed); err != nil {
				t.Error(err)
			}
		})
	}
}

func randomViews(ctx context.Context, eng features.Engine, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0x7a9d))
	c := chain{
		seed: seed, views: someViews(rng), ends: someEnds(rng), states: true, budget: oneOf[int64](rng, 0, 0, 0, 200_000),
		lost: func(int) bool { return rng.IntN(4) == 0 },
	}
	w := world{seed: seed, rows: oneOf(rng, 5, 100, 300, 1000), ends: c.ends, windows: []time.Duration{time.Hour}, months: rng.IntN(2) == 0}
	for _, v := range c.views {
		w.windows = append(w.windows, v.Windows...)
	}
	e := w.generate()
	e.harden(rng)
	for i, end := range c.ends {
		t := task{views: c.views, interval: lastDay(end), events: e, budget: oneOf[int64](rng, 0, 1, 20_000, 200_000)}
		t.shape = shape{seed: rng.Uint64(), splits: rng.IntN(6), batch: oneOf(rng, 1, 7, 64, 500), coded: rng.IntN(2) == 0, zoned: rng.IntN(2) == 0}
		got, err := build(ctx, eng, t)
		if err == nil {
			err = agree(got.result, oracle(c.views, end, e), false)
		}
		if err != nil {
			return fmt.Errorf("end %d, budget %d: %w", i, t.budget, err)
		}
	}
	return c.over(ctx, eng, e)
}

func oneOf[T any](rng *rand.Rand, xs ...T) T { return xs[rng.IntN(len(xs))] }

// someViews are one to four views of any keys, windows and operators, of one operator or of all.
func someViews(rng *rand.Rand) (views []features.View) {
	keys := []string{"subject", "item", "subject+item", "item+subject", "device", "device+item", "kind+device", "big", "big+item", "big+due", "subject+due", "due", "created"}
	windows := []time.Duration{time.Second, time.Hour, 5 * time.Hour, day, 36 * time.Hour, 3 * day, 7 * day, 10*day + time.Second, 30 * day, 365 * day}
	additive := []features.Op{features.Count, features.Sum, features.Mean, features.Decayed, features.ShareOf, features.Distinct}
	for i := range 1 + rng.IntN(4) {
		v := features.View{Name: fmt.Sprint("v", i), Key: oneOf(rng, keys...)}
		for range 1 + rng.IntN(3) {
			v.Windows = append(v.Windows, oneOf(rng, windows...))
		}
		slices.Sort(v.Windows)
		v.Windows = slices.Compact(v.Windows)
		ops := oneOf(rng, features.Ops, additive, []features.Op{oneOf(rng, features.Ops...)})
		for range 1 + rng.IntN(8) {
			f := oneOf(rng, featuresOf(oneOf(rng, ops...))...)
			if f.Op == features.Distinct && rng.IntN(2) == 0 {
				f.Column = oneOf(rng, "subject", "item")
			}
			if !slices.ContainsFunc(v.Features, func(g features.Feature) bool { return g.Name == f.Name }) {
				v.Features = append(v.Features, f)
			}
		}
		v.Features = features.Sorted(v.Features)
		views = append(views, v)
	}
	if features.Validate(views) != nil {
		return someViews(rng) // a half-life that is too short for a window, or the distinct values of a key
	}
	return views
}

// someEnds are nights, or hours, of which some come early, late, or much later.
func someEnds(rng *rand.Rand) []time.Time {
	step := oneOf(rng, day, day, time.Hour, 37*time.Minute)
	ends := []time.Time{theEnd}
	for range 2 + rng.IntN(4) {
		next := step
		if rng.IntN(4) == 0 {
			next = oneOf(rng, time.Microsecond, time.Hour, 23*time.Hour, 2*day, 20*day)
		}
		ends = append(ends, ends[len(ends)-1].Add(next))
	}
	return ends
}

// harden overwrites what is not null of keys, column by column or not at all, by what is hard to tell apart.
func (e events) harden(rng *rand.Rand) {
	for _, column := range []string{"subject", "item", "device", "big", "due"} {
		at := e.schema.Index(column)
		hard := hardInt
		if e.schema[at].Type == table.String {
			hard = hardText
		}
		if rng.IntN(3) == 0 {
			continue
		}
		for _, row := range e.rows {
			if row[at] != nil {
				row[at] = hard(rng)
			}
		}
	}
}

// hardText is one of few or of many texts of one, two and three words: they share their beginnings, and have zeros at their ends.
func hardText(rng *rand.Rand) any {
	stem := strings.Repeat(oneOf(rng, "a", "0", "\x00", "\xff"), oneOf(rng, 0, 6, 7, 8, 13, 14, 15))
	return stem + oneOf(rng, "", "\x00", "b", strconv.Itoa(rng.IntN(300)))
}

// hardInt is at the ends of the integers or of 32 bits, one bit, a small number, or any.
func hardInt(rng *rand.Rand) any {
	return oneOf[int64](rng, math.MinInt64, math.MaxInt64, -1, 1<<32-1, 1<<31, 1<<rng.IntN(63), int64(math.Pow(300, rng.Float64())), int64(rng.Uint64()))
}
