package enginetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

func orderChecks() []check {
	return []check{
		{"order/permuted-and-split", anyOrder},
		{"order/states", anyOrderOfStates},
		{"order/processors", anyProcs},
		{"order/skewed-key", skewedKey},
		{"time/no-event-at-or-after-the-end", noFuture},
		{"time/every-event-twice", everyEventTwice},
		{"time/calendar-edges", calendarEdges},
		{"text/any-bytes", anyBytes},
		{"read/source-is-asked-once", askedOnce},
		{"read/only-the-columns-of-views", onlyColumns},
		{"read/no-split-that-lies-outside", noSplitOutside},
		{"read/no-time-where-the-split-says-it", noTime},
	}
}

// shapes are ways to cut and write the same events.
func shapes(seed uint64) []shape {
	return []shape{
		{seed: seed, batch: 64},
		{seed: seed + 1, batch: 1, coded: true},
		{seed: seed + 2, splits: 7, batch: 7, zoned: true},
		{seed: seed + 3, splits: 5, coded: true, zoned: true},
		{seed: seed + 4, splits: 3, batch: 1 << 20, coded: true, daily: time.UTC},
		{seed: seed + 5, splits: 2, batch: 500},
	}
}

// anyOrder: permuted, split and written otherwise, the same events give the same bits.
func anyOrder(ctx context.Context, eng features.Engine) error { return sameInAnyOrder(ctx, eng, false) }

// anyOrderOfStates: and the same states and tiles, which are committed as the tables are.
func anyOrderOfStates(ctx context.Context, eng features.Engine) error {
	return sameInAnyOrder(ctx, eng, true)
}

func sameInAnyOrder(ctx context.Context, eng features.Engine, states bool) error {
	t := task{views: mixed(1), interval: lastDay(theEnd), events: world{seed: 100, rows: 350, months: true}.generate(), keep: states}
	var first built
	for i, sh := range shapes(100) {
		t.shape = sh
		got, err := build(ctx, eng, t)
		if err != nil {
			return err
		}
		if i == 0 {
			first = got
		}
		if err := agreeBuilt(got, first); err != nil {
			return fmt.Errorf("in shape %d against the first: %w", i, err)
		}
		t.events = t.events.shuffled(rand.New(rand.NewPCG(100, uint64(i))))
	}
	return nil
}

// agreeBuilt compares all that two builds put out, to the bit.
func agreeBuilt(got, want built) error {
	if err := agree(got.result, want.result, true); err != nil {
		return err
	}
	if err := agreeTables(got.state, want.state, true); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := agreeTables(got.tile, want.tile, true); err != nil {
		return fmt.Errorf("tile: %w", err)
	}
	return nil
}

// anyProcs: the number of processors changes no bit.
func anyProcs(ctx context.Context, eng features.Engine) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	t := task{views: mixed(2), interval: lastDay(theEnd), events: world{seed: 101, rows: 300, months: true}.generate(), shape: shape{seed: 101, splits: 6, batch: 20, coded: true}}
	var first built
	for i, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		got, err := build(ctx, eng, t)
		if err != nil {
			return err
		}
		if i == 0 {
			first = got
		}
		if err := agree(got.result, first.result, true); err != nil {
			return fmt.Errorf("GOMAXPROCS %d against 1: %w", procs, err)
		}
	}
	return nil
}

// skewedKey: one subject has half of many events, which come from splits side by side; counts are known.
func skewedKey(ctx context.Context, eng features.Engine) error {
	const rows, others = 30_000, 997
	e := newEvents()
	wantCount, wantSum := map[int64]int64{}, map[int64]float64{}
	for i := range int64(rows) {
		subject := int64(5_000_000_000)
		if i%2 == 1 {
			subject = i * 7919 % others
		}
		e.rows = append(e.rows, []any{subject, fmt.Sprint("item-", i%11), theEnd.UnixMicro() - 1 - i*1000, "view", float64(i % 64)})
		wantCount[subject]++
		wantSum[subject] += float64(i % 64) // small whole numbers: exact
	}
	views := []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{day}, Features: []features.Feature{
		{Name: "items", Op: features.Distinct, Column: "item"},
		{Name: "n", Op: features.Count},
		{Name: "sum", Op: features.Sum, Column: "value"},
	}}}
	got, err := build(ctx, eng, task{views: views, interval: lastDay(theEnd), events: e, shape: shape{seed: 3, splits: 7, batch: 512}})
	if err != nil {
		return err
	}
	if n := len(got.tables[0].rows); n != len(wantCount) {
		return fmt.Errorf("%d rows, want %d", n, len(wantCount))
	}
	for _, row := range got.tables[0].rows {
		s := row[0].(int64)
		if row[2] != wantCount[s] || row[3] != wantSum[s] || row[1] != min(11, wantCount[s]) {
			return fmt.Errorf("subject %d: %v items in %v events, sum %v; want %v, %v, %v", s, row[1], row[2], row[3], min(11, wantCount[s]), wantCount[s], wantSum[s])
		}
	}
	return nil
}

// noFuture is invariant 3: no event at or after the interval's end affects a feature.
func noFuture(ctx context.Context, eng features.Engine) error {
	t := task{views: mixed(3), interval: lastDay(theEnd), events: world{seed: 102, rows: 300, months: true}.generate(), shape: shape{seed: 102, splits: 3, batch: 100}}
	want, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	end := theEnd.UnixMicro()
	past := t.events.rows
	var future [][]any
	for i, at := range []int64{end, end + 1, end + 1000, end + int64(time.Hour/time.Microsecond), math.MaxInt64} {
		for j, x := range []any{nil, 1e280, math.NaN(), -5.0} {
			row := append([]any(nil), past[(i*7+j)%len(past)]...) // subjects and items of the past, and a new one
			if j == 3 {
				row[colSubject], row[colItem] = int64(424242), "item-of-the-future"
			}
			row[colTime], row[colValue] = at, x
			future = append(future, row)
		}
	}
	t.events = t.events.with(future...)
	got, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	want.stats.RowsOutside += int64(len(future))
	return agree(got.result, want.result, true)
}

// everyEventTwice: a duplicate counts. Counts and sums double; means, extremes, distinct counts, recencies and shares stay.
func everyEventTwice(ctx context.Context, eng features.Engine) error {
	views := viewsOf(3, features.Count, features.Sum, features.Mean, features.Min, features.Max, features.First, features.Last,
		features.Distinct, features.ApproxDistinct, features.Decayed, features.Recency, features.ShareOf, features.Top)
	t := task{views: views, interval: lastDay(theEnd), events: world{seed: 103, rows: 200, months: true}.generate(), shape: shape{seed: 103, splits: 2, batch: 100}}
	want, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	t.events = t.events.with(t.events.rows...)
	got, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	for _, table := range want.tables {
		for _, row := range table.rows {
			for i, op := range table.ops {
				switch x := row[i].(type) {
				case int64:
					if op == features.Count {
						row[i] = 2 * x
					}
				case float64:
					if op == features.Sum || op == features.Decayed {
						row[i] = 2 * x
					}
				}
			}
		}
	}
	want.stats.RowsIn *= 2
	want.stats.RowsOutside *= 2
	for what := range want.stats.Refused {
		want.stats.Refused[what] *= 2
	}
	return agree(got.result, want.result, false) // the last division of a doubled mean may round otherwise
}

// calendarEdges: intervals of a calendar whose clocks change, or stand at three quarters of an hour. A window is a span of time all the same.
func calendarEdges(ctx context.Context, eng features.Engine) error {
	ends, err := localMidnights()
	if err != nil {
		return err
	}
	for i, end := range ends {
		t := task{
			views: mixed(i), interval: table.Interval{Start: ends[max(0, i-1)], End: end},
			events: world{seed: 300 + uint64(i), rows: 120, ends: ends, windows: []time.Duration{day, 7 * day}}.generate(),
			shape:  shape{seed: uint64(i), splits: 2, batch: 50, daily: end.Location()},
		}
		if t.interval.Start.Equal(end) {
			t.interval.Start = end.Add(-23 * time.Hour)
		}
		got, err := build(ctx, eng, t)
		if err != nil {
			return err
		}
		if err := agree(got.result, oracle(t.views, end, t.events), false); err != nil {
			return fmt.Errorf("as of %s: %w", end, err)
		}
	}
	return nil
}

// localMidnights are ends of days on which clocks change, and of a day at +05:45.
func localMidnights() (ends []time.Time, err error) {
	for _, d := range []struct {
		zone  string
		month time.Month
		day   int
	}{{"Europe/Berlin", 3, 29}, {"Europe/Berlin", 3, 30}, {"Europe/Berlin", 10, 25}, {"Europe/Berlin", 10, 26}, {"Asia/Kathmandu", 11, 2}} {
		loc, err := time.LoadLocation(d.zone)
		if err != nil {
			return nil, err
		}
		ends = append(ends, time.Date(2026, d.month, d.day, 0, 0, 0, 0, loc))
	}
	return ends, nil
}

// anyBytes: lists are valid JSON and UTF-8 whatever is in a text, and keys are told apart by their bytes.
func anyBytes(ctx context.Context, eng features.Engine) error {
	texts := []string{"", " ", "\x00", "a\nb\t\"c\"\\", "\u2028\u2029", "é", "e\u0301", "\xff", "\xff\xfe", "\xc3", "a\xc3b", "𝄞", "</script>", "null", "[1]", "long " + strings.Repeat("x", 5000)}
	e := newEvents(table.Field{Name: "device", Type: table.String})
	for i := range int64(150) {
		text := texts[i*7%int64(len(texts))]
		e.rows = append(e.rows, []any{i % 3, text, theEnd.UnixMicro() - 1 - i%40, "view", 1.0, texts[i*i%int64(len(texts))]})
	}
	fs := []features.Feature{
		{Name: "last", Op: features.Sequence, Column: "device", N: 20},
		{Name: "n", Op: features.Count, Where: []features.Condition{{Column: "device", In: []string{"\xff", "é", "null"}}}},
		{Name: "texts", Op: features.Distinct, Column: "device"},
		{Name: "top", Op: features.Top, Column: "device", N: 20},
	}
	views := []features.View{
		{Name: "by_subject", Key: features.KeySubject, Windows: []time.Duration{day}, Features: fs},
		{Name: "by_text", Key: features.KeyItem, Windows: []time.Duration{day}, Features: fs},
		{Name: "by_texts", Key: "item+device", Windows: []time.Duration{day}, Features: fs[1:2]},
	}
	for i, coded := range []bool{false, true} {
		got, err := build(ctx, eng, task{views: views, interval: lastDay(theEnd), events: e, shape: shape{seed: 9, splits: 1 + i, batch: 40, coded: coded}})
		if err != nil {
			return err
		}
		if err := agree(got.result, oracle(views, theEnd, e), false); err != nil {
			return err
		}
	}
	return nil
}

// askedOnce: the source is asked once, for the longest window of all views.
func askedOnce(ctx context.Context, eng features.Engine) error {
	t := task{views: mixed(0), interval: lastDay(theEnd), events: world{seed: 104, rows: 100}.generate(), shape: shape{batch: 100}}
	got, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	want := table.Interval{Start: theEnd.Add(-features.RetentionNeeded(t.views)), End: theEnd}
	if len(got.asked) != 1 || !got.asked[0].Start.Equal(want.Start) || !got.asked[0].End.Equal(want.End) {
		return fmt.Errorf("the source was asked for %v, want once %v", got.asked, want)
	}
	return nil
}

// onlyColumns: views that need little are given little. That no other column is ever asked for, build checks in each case.
func onlyColumns(ctx context.Context, eng features.Engine) error {
	views := []features.View{{Name: "v", Key: "device", Windows: []time.Duration{7 * day}, Features: []features.Feature{{Name: "n", Op: features.Count}}}}
	t := task{views: views, interval: lastDay(theEnd), events: world{seed: 106, rows: 100}.generate(), shape: shape{batch: 30}}
	got, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	if len(got.columns) != 2 || !got.columns["device"] || !got.columns["time"] {
		return fmt.Errorf("columns %v were asked for, want device and time", got.columns)
	}
	return agree(got.result, oracle(views, theEnd, t.events), false)
}

// noSplitOutside: of splits whose times lie outside of the longest window nothing is read, not even the first row. Which were read, build checks.
func noSplitOutside(ctx context.Context, eng features.Engine) error {
	t := task{views: viewsOf(0, features.Count, features.Last), interval: lastDay(theEnd), events: world{seed: 108, rows: 200, months: true}.generate()}
	for i := range t.views {
		t.views[i].Windows = []time.Duration{day, 3*day + time.Hour}
	}
	t.shape = shape{seed: 108, splits: 2, batch: 20, daily: time.UTC, listAll: true}
	got, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	return agree(got.result, oracle(t.views, theEnd, t.events), false)
}

// noTime: where a split says that its times lie in one bucket of every view, and no feature needs times, they are not asked for.
func noTime(ctx context.Context, eng features.Engine) error {
	views := viewsOf(1, features.Count, features.Sum, features.Mean, features.ShareOf, features.Top, features.Quantile)
	for i := range views {
		views[i].Windows = []time.Duration{7 * day, day, 3 * day}
	}
	e := world{seed: 107, rows: 300, windows: []time.Duration{2 * day, 5 * day}}.generate()
	kept := events{schema: e.schema}
	for _, row := range e.rows {
		if t, ok := row[colTime].(int64); ok && t >= theEnd.Add(-7*day).UnixMicro() && t < theEnd.UnixMicro() {
			kept.rows = append(kept.rows, row)
		}
	}
	t := task{views: views, interval: lastDay(theEnd), events: kept, shape: shape{seed: 1, splits: 2, batch: 64, coded: true, daily: time.UTC}}
	got, err := build(ctx, eng, t)
	if err != nil {
		return err
	}
	if err := agree(got.result, oracle(views, theEnd, t.events), false); err != nil {
		return err
	}
	if got.columns["time"] {
		return fmt.Errorf("times were asked for, of splits of one day each, with windows of whole days")
	}
	return nil
}
