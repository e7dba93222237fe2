package enginetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

func priorChecks() (cs []check) {
	for i, op := range features.Ops {
		c := chain{seed: uint64(400 + i), views: withWindows(viewsOf(i, op), 3*day, time.Hour, day), ends: days(theEnd, 7), rows: 200}
		cs = append(cs, check{"prior/daily/" + string(op), c.check})
	}
	for _, c := range []struct {
		name string
		chain
	}{
		{"prior/mixed", chain{seed: 420, views: mixed(1), ends: days(theEnd, 10), rows: 400}},
		{"prior/views-of-one-key", chain{seed: 434, views: viewsOfOneKey(), ends: days(theEnd, 7), rows: 300}},
		{"prior/processors", chain{seed: 435, views: mixed(3), ends: days(theEnd, 6), rows: 300, procs: []int{3, 1, 8, 2}}},
		{"prior/windows-of-no-whole-days", chain{seed: 421, views: withWindows(mixed(2), 36*time.Hour, 5*time.Hour, 4*day+time.Second), ends: days(theEnd, 8), rows: 300}},
		{"prior/hours", chain{seed: 422, views: withWindows(mixed(3), 3*time.Hour, 13*time.Hour), ends: every(theEnd, time.Hour, 11), rows: 300}},
		{"prior/ends-within-an-hour", chain{seed: 423, views: withWindows(mixed(0), 3*time.Hour, day), ends: every(theEnd.Add(17*time.Minute), 25*time.Minute, 9), rows: 300}},
		{"prior/skipped-days", chain{seed: 424, views: mixed(1), ends: pick(days(theEnd, 14), 0, 1, 4, 5, 9, 13), rows: 400}},
		{"prior/steps-that-shrink", chain{seed: 425, views: withWindows(mixed(2), day, 3*day), ends: []time.Time{theEnd, theEnd.Add(26 * time.Hour), theEnd.Add(27 * time.Hour), theEnd.Add(27*time.Hour + time.Microsecond)}, rows: 300}},
		{"prior/far-behind", chain{seed: 426, views: withWindows(mixed(3), day, 4*day), ends: pick(days(theEnd, 20), 0, 2, 10, 19), rows: 400}},
		{"prior/a-gap-without-events", chain{seed: 427, views: withWindows(mixed(0), day, 2*day), ends: days(theEnd, 10), rows: 100, around: theEnd.Add(day)}},
		{"prior/no-tiles", chain{seed: 428, views: mixed(1), ends: days(theEnd, 7), rows: 300, lost: func(int) bool { return true }}},
		{"prior/some-tiles", chain{seed: 429, views: mixed(2), ends: days(theEnd, 10), rows: 300, lost: func(i int) bool { return i%3 == 1 }}},
		{"prior/exactly-the-window", chain{seed: 430, views: mixed(3), ends: days(theEnd, 7), rows: 300, exactly: true}},
		{"prior/all-whatever-is-asked", chain{seed: 431, views: mixed(0), ends: days(theEnd, 7), rows: 300, everything: true}},
		{"prior/budget", chain{seed: 432, views: mixed(1), ends: days(theEnd, 6), rows: 600, budget: 64 << 10}},
		{"prior/state-bits", chain{seed: 433, views: mixed(2), ends: days(theEnd, 7), rows: 400, states: true}},
	} {
		cs = append(cs, check{c.name, c.check})
	}
	return append(cs,
		check{"prior/a-thousand-half-lives", priorLongDecayed},
		check{"prior/calendar-edges", priorAtCalendarEdges},
		check{"prior/reads-little", priorReadsLittle},
		check{"prior/that-does-not-fit", priorThatDoesNotFit},
		check{"prior/damaged", priorDamaged},
		check{"prior/errors", priorFails},
	)
}

// days are n midnights, the first at start.
func days(start time.Time, n int) []time.Time { return every(start, day, n) }

func every(start time.Time, step time.Duration, n int) (ends []time.Time) {
	for i := range n {
		ends = append(ends, start.Add(time.Duration(i)*step))
	}
	return ends
}

func pick(ends []time.Time, positions ...int) (out []time.Time) {
	for _, p := range positions {
		out = append(out, ends[p])
	}
	return out
}

// withWindows returns the views with other windows, those of decayed features of few half-lives no longer than before.
func withWindows(views []features.View, windows ...time.Duration) []features.View {
	for i := range views {
		views[i].Windows = windows
	}
	return views
}

// kept is what builds have kept: the state of the last one, and the tiles of all.
type kept struct {
	end   time.Time
	state []tableOf
	tiles map[span][]tableOf
}

// span is an interval as a key.
type span struct{ start, end int64 }

func spanOfInterval(w table.Interval) span { return span{w.Start.UnixMicro(), w.End.UnixMicro()} }

// keep takes what a build kept.
func (k *kept) keep(iv table.Interval, b built) {
	if k.tiles == nil {
		k.tiles = map[span][]tableOf{}
	}
	k.end, k.state = iv.End, b.state
	k.tiles[spanOfInterval(iv)] = b.tile
}

// prior is what was kept as a later build sees it.
func (k *kept) prior(rng *rand.Rand) *features.Prior {
	if k.state == nil {
		return nil
	}
	p := &features.Prior{End: k.end, State: map[string][]features.Split{}}
	for _, t := range k.state {
		p.State[t.view] = t.splits(rng)
	}
	p.Tile = func(key string, w table.Interval) ([]features.Split, bool) {
		for _, t := range k.tiles[spanOfInterval(w)] {
			if t.view == key {
				return t.splits(rand.New(rand.NewPCG(7, uint64(w.End.Unix())))), true
			}
		}
		return nil, false
	}
	return p
}

// splits hands out a table of states as a store would: in parts.
func (t tableOf) splits(rng *rand.Rand) []features.Split {
	src := &source{events: events{schema: t.schema, rows: t.rows}, shape: shape{seed: rng.Uint64(), splits: 1 + rng.IntN(3), batch: 1 + rng.IntN(20), coded: rng.IntN(2) == 0}}
	splits, err := src.list(context.Background(), table.Interval{})
	if err != nil {
		panic("enginetest: " + err.Error()) // a source without calls has no errors
	}
	return splits
}

// chain is a history of builds, each of which goes on from the one before.
type chain struct {
	seed   uint64
	views  []features.View
	ends   []time.Time
	rows   int
	around time.Time           // all events lie near it; zero: near all ends
	lost   func(tile int) bool // which tiles are gone
	budget int64
	procs  []int // GOMAXPROCS of the builds that go on, in turn
	states bool  // compare states and tiles as well

	exactly, everything bool // how the source takes the window asked for; else by day
}

// check generates events and goes over them.
func (c chain) check(ctx context.Context, eng features.Engine) error {
	w := world{seed: c.seed, rows: c.rows, ends: c.ends, windows: append(c.views[0].SortedWindows(), time.Hour)}
	if !c.around.IsZero() {
		w.ends = []time.Time{c.around}
	}
	return c.over(ctx, eng, w.generate())
}

// over builds each end twice, from all events and from the build before, and compares to the bit.
func (c chain) over(ctx context.Context, eng features.Engine, e events) error {
	var k kept
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i, end := range c.ends {
		t := task{views: c.views, events: e, interval: table.Interval{Start: end.Add(-day), End: end}, keep: true}
		if i > 0 {
			t.interval.Start = c.ends[i-1]
		}
		t.shape = shape{seed: c.seed + uint64(i), splits: 1 + i%3, batch: 40, coded: i%2 == 0}
		full, err := build(ctx, eng, t)
		if err != nil {
			return fmt.Errorf("as of %s from all events: %w", end.Format(time.RFC3339), err)
		}
		switch t.seed++; {
		case c.exactly:
			t.exactly = true
		case !c.everything:
			t.daily = end.Location()
		}
		t.prior, t.budget = k.prior(rand.New(rand.NewPCG(c.seed, uint64(i)))), c.budget
		if len(c.procs) > 0 {
			runtime.GOMAXPROCS(c.procs[i%len(c.procs)])
		}
		got, err := build(ctx, eng, t)
		if err != nil {
			return fmt.Errorf("as of %s from the state of %s: %w", end.Format(time.RFC3339), k.end.Format(time.RFC3339), err)
		}
		if p := got.stats.Prior; p != nil && !p.Equal(k.end) {
			return fmt.Errorf("Stats.Prior says %v, the state was as of %v", p, k.end)
		}
		err = agreeTables(got.tables, full.tables, true)
		if err == nil && c.states {
			err = agreeBuilt(built{state: got.state, tile: got.tile}, built{state: full.state, tile: full.tile})
		}
		if err != nil {
			return fmt.Errorf("as of %s from the state of %s, against all events: %w", end.Format(time.RFC3339), k.end.Format(time.RFC3339), err)
		}
		if k.keep(t.interval, got); c.lost != nil && c.lost(i) {
			delete(k.tiles, spanOfInterval(t.interval))
		}
	}
	return nil
}

// priorAtCalendarEdges: days of 23 and 25 hours, and days that begin at +05:45.
func priorAtCalendarEdges(ctx context.Context, eng features.Engine) error {
	for i, z := range []struct {
		zone  string
		month time.Month
		day   int
	}{{"Europe/Berlin", 3, 26}, {"Europe/Berlin", 10, 22}, {"Asia/Kathmandu", 2, 26}} {
		loc, err := time.LoadLocation(z.zone)
		if err != nil {
			return err
		}
		var ends []time.Time
		for d := range 8 {
			ends = append(ends, time.Date(2026, z.month, z.day+d, 0, 0, 0, 0, loc))
		}
		c := chain{seed: uint64(440 + i), views: withWindows(mixed(i), day, 3*day), ends: ends, rows: 300}
		if err := c.check(ctx, eng); err != nil {
			return fmt.Errorf("%s: %w", z.zone, err)
		}
	}
	return nil
}

// priorLongDecayed: what decayed by a thousand half-lives and left its window since the state was kept leaves nothing behind, whether its entity has
// a new event, of weight zero, or none; and the state is of use for the longer window of another view.
func priorLongDecayed(ctx context.Context, eng features.Engine) error {
	views := []features.View{
		{Name: "long", Key: features.KeySubject, Windows: []time.Duration{365 * day}, Features: []features.Feature{{Name: "n", Op: features.Count}}},
		{Name: "short", Key: features.KeySubject, Windows: []time.Duration{time.Hour}, Features: []features.Feature{{Name: "warm", Op: features.Decayed, Column: "value", HalfLife: time.Hour}}},
	}
	then, now := theEnd, theEnd.Add(1050*time.Hour)
	e := newEvents()
	for i, x := range []float64{5, 1e-9, 0x1p400, -3} {
		e.rows = append(e.rows, []any{int64(i), "a", then.Add(-time.Duration(10+i) * time.Minute).UnixMicro(), "view", x})
		if i%2 == 0 {
			e.rows = append(e.rows, []any{int64(i), "a", now.Add(-time.Duration(1+i) * time.Minute).UnixMicro(), "view", 0.0})
		}
	}
	build := func(iv table.Interval, prior *features.Prior) (built, error) {
		return build(ctx, eng, task{views: views, interval: iv, events: e, keep: true, prior: prior, shape: shape{seed: 1, exactly: true}})
	}
	first, err := build(lastDay(then), nil)
	if err != nil {
		return err
	}
	want, err := build(lastDay(now), nil)
	if err != nil {
		return err
	}
	var k kept
	k.keep(lastDay(then), first)
	got, err := build(lastDay(now), k.prior(rand.New(rand.NewPCG(436, 1))))
	if err != nil {
		return err
	}
	if got.stats.Prior == nil {
		return errors.New("all events were read, and the state is of all but an eighth of the longest window")
	}
	if err := agreeTables(got.tables, want.tables, true); err != nil {
		return err
	}
	return agreeBuilt(built{state: got.state, tile: got.tile}, built{state: want.state, tile: want.tile})
}

// priorReadsLittle: on a daily chain a build goes on from the one before, and asks for the new day alone where no feature needs more.
func priorReadsLittle(ctx context.Context, eng features.Engine) error {
	views := withWindows(mixed(0), day, 7*day)
	ends := days(theEnd, 12)
	e := world{seed: 450, rows: 600, ends: ends, windows: []time.Duration{day, 7 * day}}.generate()
	var k kept
	for i, end := range ends {
		t := task{views: views, events: e, interval: lastDay(end), keep: true, prior: k.prior(rand.New(rand.NewPCG(450, 1)))}
		t.shape = shape{seed: uint64(i), splits: 2, batch: 40, daily: time.UTC}
		got, err := build(ctx, eng, t)
		if err != nil {
			return err
		}
		k.keep(t.interval, got)
		if i < 8 { // until all tiles of the longest window are there
			continue
		}
		if got.stats.Prior == nil || !got.stats.Prior.Equal(ends[i-1]) {
			return fmt.Errorf("as of %s: Stats.Prior is %v, want %v", end, got.stats.Prior, ends[i-1])
		}
		if got.stats.States == 0 {
			return fmt.Errorf("as of %s: Stats.States is 0", end)
		}
		for _, w := range got.asked {
			if w.Start.Before(ends[i-1]) || w.End.After(end) {
				return fmt.Errorf("as of %s: events of %v were asked for, of which states and tiles say all", end, w)
			}
		}
	}
	return nil
}

// twoDays builds a day with states, and returns the task of the next, to which prior may be added, and its tables from all events.
func twoDays(ctx context.Context, eng features.Engine, seed uint64) (k kept, next task, want built, err error) {
	views := withWindows(mixed(int(seed%4)), day, 7*day)
	ends := days(theEnd, 3)
	next = task{views: views, interval: lastDay(ends[1]), keep: true, shape: shape{seed: seed, splits: 2, batch: 50, daily: time.UTC}}
	next.events = world{seed: seed, rows: 250, ends: ends, windows: []time.Duration{day, 7 * day}}.generate()
	first := next
	first.interval = lastDay(ends[0])
	b, err := build(ctx, eng, first)
	if err != nil {
		return k, next, want, err
	}
	k.keep(first.interval, b)
	want, err = build(ctx, eng, next)
	return k, next, want, err
}

// priorThatDoesNotFit: a prior without a key's state, of the build's own end, and of one later: the right result all the same.
func priorThatDoesNotFit(ctx context.Context, eng features.Engine) error {
	k, t, want, err := twoDays(ctx, eng, 460)
	if err != nil {
		return err
	}
	compare := func(how string) error {
		got, err := build(ctx, eng, t)
		if err == nil {
			err = agreeTables(got.tables, want.tables, true)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", how, err)
		}
		return nil
	}
	rng := rand.New(rand.NewPCG(460, 1))
	for _, key := range features.Keys(t.views) {
		t.prior = k.prior(rng)
		delete(t.prior.State, key)
		if err := compare("without the state of the views by " + key); err != nil {
			return err
		}
	}
	t.prior = k.prior(rng)
	t.prior.Tile = nil
	if err := compare("without a way to tiles"); err != nil {
		return err
	}
	own := kept{}
	own.keep(t.interval, want)
	t.prior = own.prior(rng)
	if err := compare("the state of the same end"); err != nil {
		return err
	}
	later := t
	later.prior, later.interval = nil, lastDay(t.interval.End.Add(day))
	b, err := build(ctx, eng, later)
	if err != nil {
		return err
	}
	ahead := kept{}
	ahead.keep(later.interval, b)
	t.prior = ahead.prior(rng)
	return compare("the state of a later end")
}

// priorDamaged: a state or a tile in which bytes are changed, cut off, added or swapped between rows, or that comes twice, or not at all, never gives a wrong number.
func priorDamaged(ctx context.Context, eng features.Engine) error {
	k, t, want, err := twoDays(ctx, eng, 470)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(470, 1))
	tile := spanOfInterval(lastDay(k.end))
	keys := len(k.state)
	for round := range 2 * kinds * keys {
		key, kind := round%keys, round/keys
		broken := kept{end: k.end, state: slices.Clone(k.state), tiles: map[span][]tableOf{tile: slices.Clone(k.tiles[tile])}}
		what, victim := "state", &broken.state[key]
		if kind >= kinds {
			what, victim = "tile", &broken.tiles[tile][key]
		}
		if len(victim.rows) < 2 {
			return fmt.Errorf("key %s: %d rows in the %s: too few to break", victim.view, len(victim.rows), what)
		}
		victim.rows = slices.Clone(victim.rows)
		how := damage(rng, victim, kind%kinds)
		t.prior = broken.prior(rng)
		got, err := build(ctx, eng, t)
		if err != nil {
			continue // that is what is asked for
		}
		if err := agreeTables(got.tables, want.tables, true); err != nil {
			return fmt.Errorf("key %s, %s in the %s, and no error: %w", victim.view, how, what, err)
		}
	}
	return nil
}

// kinds is how many kinds of damage there are.
const kinds = 8

// damage changes one row of a table of states or tiles and says how.
func damage(rng *rand.Rand, t *tableOf, kind int) string {
	i := rng.IntN(len(t.rows))
	if kind == 7 {
		t.rows = slices.Delete(t.rows, i, i+1)
		return "one missing"
	}
	row := slices.Clone(t.rows[i])
	t.rows[i] = row
	at := len(row) - 1
	state := []byte(row[at].(string))
	switch kind {
	case 1:
		row[at] = string(state[:rng.IntN(len(state))])
		return "one cut off"
	case 2:
		row[at] = string(append(state, byte(rng.IntN(256))))
		return "one with a byte more"
	case 3:
		row[at] = t.rows[(i+1)%len(t.rows)][at]
		return "that of another row"
	case 4:
		row[at] = nil
		return "a null"
	case 5:
		row[0] = nil
		return "a null key"
	case 6:
		t.rows = append(t.rows, row)
		return "one twice"
	}
	p := rng.IntN(len(state))
	state[p] ^= 1 << rng.IntN(8)
	row[at] = string(state)
	return fmt.Sprintf("bit of byte %d of %d flipped", p, len(state))
}

// priorFails: a state or a tile that can't be read is an error that wraps the cause, or the right result from all events.
func priorFails(ctx context.Context, eng features.Engine) error {
	k, t, want, err := twoDays(ctx, eng, 480)
	if err != nil {
		return err
	}
	failing := func(splits []features.Split) []features.Split {
		inner := splits[0].Read
		splits[0].Read = func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
			return func(yield func(*table.Batch, error) bool) {
				for b, err := range inner(ctx, columns) {
					if !yield(b, err) {
						return
					}
					break
				}
				yield(nil, errSource)
			}
		}
		return splits
	}
	for _, key := range features.Keys(t.views) {
		t.prior = k.prior(rand.New(rand.NewPCG(480, 1)))
		t.prior.State[key] = failing(t.prior.State[key])
		got, err := build(ctx, eng, t)
		switch {
		case err == nil:
			err = agreeTables(got.tables, want.tables, true)
		case errors.Is(err, errSource):
			err = nil
		}
		if err != nil {
			return fmt.Errorf("the state of the views by %s can't be read: %w", key, err)
		}
	}
	return nil
}
