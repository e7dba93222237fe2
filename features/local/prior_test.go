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
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// eventsWithin are the events of b in an interval, as a split.
func eventsWithin(b *table.Batch, w table.Interval) []features.Split {
	part := &table.Batch{Schema: b.Schema, Cols: make([]table.Column, len(b.Cols))}
	for i, at := range b.Col("time").Int {
		if at < w.Start.UnixMicro() || at >= w.End.UnixMicro() {
			continue
		}
		part.N++
		for j, c := range b.Cols {
			to := &part.Cols[j]
			if to.Valid = append(to.Valid, c.Valid[i]); c.Str != nil {
				to.Str = append(to.Str, c.Str[i])
			} else {
				to.Int = append(to.Int, c.Int[i])
			}
		}
	}
	return joinSource(part)
}

// buildPrior builds views of events as of end, going on from a prior and keeping the state where they are given, and returns the rows of an entity and two counts, in order.
func buildPrior(t *testing.T, views []features.View, events *table.Batch, end time.Time, prior *features.Prior, state func(string, *table.Batch) error) (rows []string, stats features.Stats) {
	t.Helper()
	rows, _, stats = buildAnew(t, views, events, end, prior, state)
	return rows, stats
}

// buildAnew is buildPrior, and returns the rows that were taken back as well.
func buildAnew(t *testing.T, views []features.View, events *table.Batch, end time.Time, prior *features.Prior, state func(string, *table.Batch) error) (rows, void []string, stats features.Stats) {
	t.Helper()
	stats, err := Engine{}.Build(t.Context(), features.Plan{
		Views: views, Schema: events.Schema, Interval: table.Interval{Start: end.Add(-joinDay), End: end}, Prior: prior, State: state,
		Events: func(_ context.Context, w table.Interval) ([]features.Split, error) {
			return eventsWithin(events, w), nil
		},
		Anew: func() error { void, rows = append(void, rows...), nil; return nil },
		Out: func(_ features.View, b *table.Batch) error {
			for i := range b.N {
				rows = append(rows, fmt.Sprint(b.Cols[0].Int[i], b.Cols[1].Int[i], b.Cols[2].Int[i]))
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	return rows, void, stats
}

// A state that lacks events of one entity, which are to be taken from it, is found out when others have been put out: they are taken back, and all events read.
func TestPriorThatFailsLate(t *testing.T) {
	events := meetings(2000, func(i int) string { return fmt.Sprint(i) })
	views := []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{joinDay, 30 * joinDay}, Features: []features.Feature{{Name: "n", Op: features.Count}}}}
	then := joinEnd.Add(-joinDay)
	leaves := func(i int) bool {
		at := time.UnixMicro(events.Cols[2].Int[i])
		return events.Cols[0].Valid[i] && !at.Before(then.Add(-30*joinDay)) && at.Before(joinEnd.Add(-30*joinDay))
	}
	last := -1 // of the entity that is put out last
	for i := range events.N {
		if p := func(i int) uint64 { return hashKey([]uint64{uint64(events.Cols[0].Int[i])}) }; leaves(i) && (last < 0 || p(i) > p(last)) {
			last = i
		}
	}
	lacking := *events
	lacking.Cols = slices.Clone(events.Cols)
	lacking.Cols[2].Int = slices.Clone(events.Cols[2].Int)
	for i := range events.N {
		if events.Cols[0].Int[i] == events.Cols[0].Int[last] {
			lacking.Cols[2].Int[i] = joinEnd.Add(-100 * joinDay).UnixMicro()
		}
	}
	want, _ := buildPrior(t, views, events, joinEnd, nil, nil)
	var state []features.Split
	buildPrior(t, views, &lacking, then, nil, func(_ string, b *table.Batch) error {
		state = append(state, joinSource(pieceOf(b))...)
		return nil
	})
	got, void, stats := buildAnew(t, views, events, joinEnd, &features.Prior{End: then, State: map[string][]features.Split{features.KeySubject: state}}, nil)
	if len(void) == 0 || stats.Prior != nil || !slices.Equal(got, want) {
		t.Errorf("%d rows were taken back, went on from %v; %d rows, want %d", len(void), stats.Prior, len(got), len(want))
	}
	_, err := Engine{}.Build(t.Context(), features.Plan{Views: views, Schema: events.Schema, Interval: table.Interval{Start: then, End: joinEnd}, Prior: &features.Prior{End: then}})
	if err == nil || !strings.Contains(err.Error(), "no Anew") {
		t.Errorf("a plan with a prior and without Anew: %v", err)
	}
}

// inPieces yields the batches of splits in pieces of a few rows, all in the same memory, as readers do. change may spoil one, by its number.
func inPieces(splits []features.Split, rows int, change func(n int, b *table.Batch)) []features.Split {
	var out []features.Split
	for _, split := range splits {
		out = append(out, features.Split{Read: func(ctx context.Context, columns []string) iter.Seq2[*table.Batch, error] {
			return func(yield func(*table.Batch, error) bool) {
				for b := range split.Read(ctx, columns) {
					piece := &table.Batch{Schema: b.Schema, Cols: make([]table.Column, len(b.Cols))}
					for n, at := 0, 0; at < b.N; n, at = n+1, at+rows {
						to := min(at+rows, b.N)
						piece.N = to - at
						for i, c := range b.Cols {
							p := &piece.Cols[i]
							if p.Valid = append(p.Valid[:0], c.Valid[at:to]...); c.Str != nil {
								p.Str = append(p.Str[:0], c.Str[at:to]...)
							} else {
								p.Int = append(p.Int[:0], c.Int[at:to]...)
							}
						}
						change(n, piece)
						if !yield(piece, nil) {
							return
						}
						for i := range piece.Cols {
							clear(piece.Cols[i].Int)
							clear(piece.Cols[i].Str)
							clear(piece.Cols[i].Valid)
						}
					}
				}
			}
		}})
	}
	return out
}

// Where a night has fewer splits than processors, partners take batches while the next are read into the memory of these: rows are the same. An error of one of them
// ends the build.
func TestPartners(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	events := meetings(20_000, func(i int) string { return fmt.Sprint(i) })
	views := []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{joinDay, 30 * joinDay}, Features: []features.Feature{{Name: "n", Op: features.Count}}}}
	want, _ := buildPrior(t, views, events, joinEnd, nil, nil)
	var state []features.Split
	buildPrior(t, views, events, joinEnd.Add(-joinDay), nil, func(_ string, b *table.Batch) error {
		state = append(state, joinSource(pieceOf(b))...)
		return nil
	})
	for _, spoiled := range []int{-1, 0, 1, 7} {
		var rows []string
		stats, err := Engine{}.Build(t.Context(), features.Plan{
			Views: views, Schema: events.Schema, Interval: table.Interval{Start: joinEnd.Add(-joinDay), End: joinEnd},
			Prior: &features.Prior{End: joinEnd.Add(-joinDay), State: map[string][]features.Split{features.KeySubject: state}},
			Events: func(_ context.Context, w table.Interval) ([]features.Split, error) {
				return inPieces(eventsWithin(events, w), 50, func(n int, b *table.Batch) {
					if n == spoiled {
						b.Cols[0].Int = b.Cols[0].Int[:3]
					}
				}), nil
			},
			Anew: func() error { return errors.New("taken back") },
			Out: func(_ features.View, b *table.Batch) error {
				for i := range b.N {
					rows = append(rows, fmt.Sprint(b.Cols[0].Int[i], b.Cols[1].Int[i], b.Cols[2].Int[i]))
				}
				return nil
			},
		})
		slices.Sort(rows)
		switch {
		case spoiled >= 0:
			if err == nil || !strings.Contains(err.Error(), `column "subject"`) {
				t.Errorf("batch %d has a short column: error %v", spoiled, err)
			}
		case err != nil || stats.Prior == nil || !slices.Equal(rows, want):
			t.Errorf("went on from %v, error %v; %d rows, want %d", stats.Prior, err, len(rows), len(want))
		}
	}
}

// pieceOf is a copy of a batch of states, of which nothing is valid when the call ends that it came with.
func pieceOf(b *table.Batch) *table.Batch {
	c := &table.Batch{Schema: b.Schema, N: b.N, Cols: []table.Column{{Int: slices.Clone(b.Cols[0].Int)}, {}}}
	for _, text := range b.Cols[1].Str {
		c.Cols[1].Str = append(c.Cols[1].Str, strings.Clone(text))
	}
	return c
}

// A table of states or tiles always has pieces, so one without a file is not whole: all events are read, or those of the tile, in place of a wrong number.
func TestPriorTablesWithoutFiles(t *testing.T) {
	events := meetings(2000, func(i int) string { return fmt.Sprint(i) })
	views := []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{joinDay, 30 * joinDay}, Features: []features.Feature{{Name: "n", Op: features.Count}}}}
	build := func(end time.Time, prior *features.Prior, state func(string, *table.Batch) error) ([]string, features.Stats) {
		t.Helper()
		return buildPrior(t, views, events, end, prior, state)
	}
	want, _ := build(joinEnd, nil, nil)
	var state []features.Split
	build(joinEnd.Add(-joinDay), nil, func(_ string, b *table.Batch) error {
		state = append(state, joinSource(pieceOf(b))...)
		return nil
	})
	for what, c := range map[string]struct {
		state  []features.Split
		tile   func(string, table.Interval) ([]features.Split, bool)
		goesOn bool
	}{
		"all is there": {state, nil, true},
		"no state":     {[]features.Split{}, nil, false},
		"no tile":      {state, func(string, table.Interval) ([]features.Split, bool) { return nil, true }, true},
	} {
		got, stats := build(joinEnd, &features.Prior{End: joinEnd.Add(-joinDay), State: map[string][]features.Split{features.KeySubject: c.state}, Tile: c.tile}, nil)
		if !slices.Equal(got, want) || (stats.Prior != nil) != c.goesOn {
			t.Errorf("%s: went on from %v, rows %v, want %v", what, stats.Prior, got[:3], want[:3])
		}
	}
}

// A prior of which there is more to read than of events is declined, and one that is cheaper, or whose size nobody says, is gone on from: the rows are the same.
func TestPriorIsDeclinedByCost(t *testing.T) {
	events := meetings(2000, func(i int) string { return fmt.Sprint(i) })
	views := []features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{joinDay, 30 * joinDay}, Features: []features.Feature{{Name: "n", Op: features.Distinct, Column: features.KeyItem}}}}
	build := func(end time.Time, prior *features.Prior, state func(string, *table.Batch) error) ([]string, bool) {
		t.Helper()
		rows, stats := buildPrior(t, views, events, end, prior, state)
		return rows, stats.Prior != nil
	}
	var state []features.Split
	build(joinEnd.Add(-joinDay), nil, func(_ string, b *table.Batch) error {
		state = append(state, joinSource(pieceOf(b))...)
		return nil
	})
	want, _ := build(joinEnd, nil, nil)
	keep := func(string, *table.Batch) error { return nil }
	const million = 1_000_000
	for _, c := range []struct {
		bytes, events int64
		kept, goesOn  bool
	}{
		{dearPrior * million, million, false, true},
		{dearPrior*million + dearPrior, million, false, false},
		{dearPriorKept * million, million, true, true},
		{dearPriorKept*million + dearPriorKept, million, true, false},
		{cheapPrior, 1, false, true},
		{cheapPrior + 1, 1, false, false},
		{dearPriorKept * million, 0, false, true}, // nobody says how many events there are
	} {
		var sink func(string, *table.Batch) error
		if c.kept {
			sink = keep
		}
		sized := slices.Clone(state)
		sized[0].Bytes = c.bytes
		rows, goesOn := build(joinEnd, &features.Prior{End: joinEnd.Add(-joinDay), State: map[string][]features.Split{features.KeySubject: sized}, Events: c.events}, sink)
		if goesOn != c.goesOn || !slices.Equal(rows, want) {
			t.Errorf("a state of %d bytes, %d events, kept %v: gone on from %v; %d rows, want %d", c.bytes, c.events, c.kept, goesOn, len(rows), len(want))
		}
	}
}

// Lists of minima stand in one array, in which they move to grow: what they hold is what they held apart, and the places that they left take no more than all that
// they hold and have room for.
func TestListsMoveToGrow(t *testing.T) {
	const slots, each, more = 100, 8, 40
	from := joinEnd.UnixMicro()
	fresh := func() *extremes {
		k := &extremes{keep: keep{op: features.Min}}
		k.room(slots)
		return k
	}
	k, all, want := fresh(), make([]uint32, slots), make([]aggregate.Extreme, slots)
	random := rand.New(rand.NewPCG(1, 2))
	add := func(k *extremes, slot uint32, i int64, value float64) {
		k.add(slot, 0, math.Float64bits(value), from+i)
		want[slot].Add(from+i, value)
	}
	for slot := range uint32(slots) {
		all[slot] = slot
		for i := range int64(each) {
			add(k, slot, i, float64(i))
		}
	}
	again := fresh()
	if rest, err := again.decode(0, slots, k.append(nil, all, from), from); err != nil || len(rest) > 0 {
		t.Fatal(rest, err)
	}
	read := again.bytes()
	for i := range int64(slots * more) {
		slot := uint32(i) % slots
		value := float64(each + i/slots) // rises with time: all are kept
		if slot%4 == 0 {
			value = random.Float64() * 10
		}
		add(again, slot, each+i, value)
	}
	again.done(slots)
	held := 0
	for slot := range again.lists {
		if got := again.of(&again.lists[slot]); !slices.Equal(got, want[slot]) {
			t.Fatalf("list %d is %v, want %v", slot, got, want[slot])
		}
		held += int(again.lists[slot].room)
	}
	if now := again.bytes(); now <= read || now != 24*int64(cap(again.lists))+16*int64(cap(again.events)) || len(again.events) > 2*held {
		t.Errorf("%d bytes, %d as read; %d places for lists that have room for %d", now, read, len(again.events), held)
	}
}

// The entities of a state come in the order of their places, so the table has one for each before the first comes: in one that grows as they come, each would stand
// behind all before it, and 300,000 took 40 seconds.
func TestRoomForStates(t *testing.T) {
	const total = 100_000
	all := entities{words: 1, long: []int{}}
	keys := make([]uint64, total)
	for i := range keys {
		keys[i] = uint64(i)
	}
	if err := all.find(keys, 1, nil, make([]uint64, total), make([]uint32, total)); err != nil {
		t.Fatal(err)
	}
	var order pieces
	order.order(&all, slices.Repeat([]uint64{1}, all.n))
	for i, slot := range order.slots {
		keys[i] = all.keys[slot]
	}

	p, err := compile([]features.View{{Name: "v", Key: features.KeySubject, Windows: []time.Duration{joinDay}, Features: []features.Feature{{Name: "n", Op: features.Count}}}},
		table.Schema{{Name: features.KeySubject, Type: table.Int64}}, joinEnd, use{timed: true})
	if err != nil {
		t.Fatal(err)
	}
	pt := newPartition(p, p.groups[0])
	pt.expect(total)
	places, hashes := len(pt.index), make([]uint64, pieceRows)
	for lo := 0; lo < total; lo += pieceRows {
		part := piece{keys: keys[lo:min(total, lo+pieceRows)], total: total}
		part.rows = len(part.keys)
		if fresh, err := pt.fill(&part, hashes); err != nil || !fresh {
			t.Fatal("an entity stands twice", err)
		}
	}
	if pt.n != total || places < total || len(pt.index) != places {
		t.Errorf("%d entities, %d places at first and %d at last, for %d", pt.n, places, len(pt.index), total)
	}
}
