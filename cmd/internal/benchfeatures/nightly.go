package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/frugal"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// nightly compares a night that goes on from the state of the night before with one that builds from all events.
func (b *bench) nightly(ctx context.Context) error {
	windows := windowsOf(b.days)
	for _, n := range []night{
		{"dense", denseShape(b.events, b.days), nightViews(windows), b.nights(), 1. / 20, 1. / 8},
		{"sparse", sparseShape(b.events, b.days), nightViews(windows), b.nights(), 1. / 2, 1. / 2},
		{"dense, exact distinct", denseShape(b.events, b.days), sixViews(windows), 1, 0, 0},
	} {
		if err := b.compareNights(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// nights is how often each side of a night is timed: one takes a fraction of a second, in which a shared machine may be half as fast.
func (b *bench) nights() int { return 2*b.repeats + 1 }

// night is one comparison: goals are at most so much of a full build's time, without writing what is made and with it; 0 is none.
type night struct {
	name          string
	shape         shape
	views         []features.View
	repeats       int
	bare, written float64
}

func (b *bench) compareNights(ctx context.Context, n night) error {
	sets, err := b.make(ctx, n.shape, layout{codec: "zstd"})
	if err != nil {
		return err
	}
	d := sets[0]
	folder, err := os.MkdirTemp(b.dir, "night-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := d.warm(); err != nil {
		return err
	}
	t := task{Kind: "eve", Data: d, Views: n.views, Folder: folder}
	eve, err := delegate(ctx, t)
	if err != nil {
		return err
	}
	name := "night " + n.name
	b.Say(name, "the eve leaves %.1f MB of state and %.1f MB of tiles", eve.Parts["state"]/1e6, eve.Parts["tiles"]/1e6)
	t.Kind = "night"
	for _, write := range []bool{false, true} {
		t.Write = write
		goal, what, target := n.bare, "without writing", "nightly_"+n.name
		if write {
			goal, what, target = n.written, "with writing", target+"_written"
		}
		var full, tiled, fullCPU, tiledCPU []float64
		var fullRSS, tiledRSS int64
		var last measured
		for range n.repeats {
			t.Prior = false
			f, err := delegate(ctx, t)
			if err != nil {
				return err
			}
			t.Prior = true
			p, err := delegate(ctx, t)
			if err != nil {
				return err
			}
			if !maps.Equal(f.Digests, p.Digests) || !maps.Equal(f.Stats.RowsOut, p.Stats.RowsOut) {
				return fmt.Errorf("%s %s: the night from a prior state has other rows than the full build: %v %v, and %v %v", name, what, p.Stats.RowsOut, p.Digests, f.Stats.RowsOut, f.Digests)
			}
			if p.Stats.Prior == nil {
				b.Say(name, "the engine did not go on from the prior state")
			}
			full, tiled = append(full, f.Seconds), append(tiled, p.Seconds)
			fullCPU, tiledCPU = append(fullCPU, f.CPU), append(tiledCPU, p.CPU)
			fullRSS, tiledRSS = max(fullRSS, f.RSS), max(tiledRSS, p.RSS)
			last = p
		}
		share := benchmark.Median(tiled) / benchmark.Median(full)
		b.Say(name, "%-15s all events %6.2f s (%s), %5.0f MB; from a prior %6.2f s (%s), %5.0f MB: 1/%.1f; it read %d events, states and tiles of %d entities",
			what, benchmark.Median(full), listed(full), float64(fullRSS)/1e6, benchmark.Median(tiled), listed(tiled), float64(tiledRSS)/1e6, 1/share, last.Rows, last.Stats.States)
		b.Say(name, "%-15s of processor time: %.2f s and %.2f s: 1/%.1f", what, benchmark.Median(fullCPU), benchmark.Median(tiledCPU), benchmark.Median(fullCPU)/benchmark.Median(tiledCPU))
		if goal > 0 {
			b.AtMost(target, share, goal)
		}
	}
	return nil
}

// kept is what the eve of a night leaves in a folder: states and tiles as tables.
type kept struct {
	End   time.Time
	State map[string]table.Manifest            // by key
	Tiles map[string]map[string]table.Manifest // by key, by the tile's interval
}

// keptFile holds it, below a task's folder; tables stand beside.
const keptFile = "kept.json"

// runEve builds the state as of the day before the last, and the tiles of the days that leave a window on the last day.
func runEve(ctx context.Context, t task) (m measured, err error) {
	b, err := storage.Open(ctx, "file:"+t.Folder, storage.Options{})
	if err != nil {
		return m, err
	}
	events, err := t.Data.source(ctx)
	if err != nil {
		return m, err
	}
	last := t.Data.day(len(t.Data.Days) - 2)
	k := kept{End: last.End, Tiles: map[string]map[string]table.Manifest{}}
	build := func(iv table.Interval, from features.Source, state, tile *tables) error {
		p := features.Plan{Views: t.Views, Interval: iv, Schema: schema(t.Data.Text, false), Events: from, Out: drop, Tile: tile.tile}
		if state != nil {
			p.State = state.state
		}
		if _, err := (local.Engine{}).Build(ctx, p); err != nil {
			return err
		}
		if err := finish(tile); err != nil {
			return err
		}
		for key, man := range tile.done {
			if k.Tiles[key] == nil {
				k.Tiles[key] = map[string]table.Manifest{}
			}
			k.Tiles[key][iv.String()] = man
		}
		return nil
	}
	state := newTables(ctx, b, "state")
	if err := build(last, events, state, newTables(ctx, b, "tile")); err != nil {
		return m, err
	}
	if err := finish(state); err != nil {
		return m, err
	}
	k.State = state.done
	for _, w := range t.Views[0].SortedWindows()[1:] {
		iv := table.Interval{Start: last.End.Add(-w), End: last.End.Add(-w + dayLong)}
		// Nothing but the events of a day is needed for its tile.
		if err := build(iv, func(ctx context.Context, _ table.Interval) ([]features.Split, error) { return events(ctx, iv) }, nil, newTables(ctx, b, "tile")); err != nil {
			return m, err
		}
	}
	m.Parts = map[string]float64{}
	for _, man := range k.State {
		m.Parts["state"] += float64(size(man))
	}
	for _, byDay := range k.Tiles {
		for _, man := range byDay {
			m.Parts["tiles"] += float64(size(man))
		}
	}
	body, err := json.Marshal(k)
	if err != nil {
		return m, err
	}
	return m, os.WriteFile(filepath.Join(t.Folder, keptFile), body, 0o644)
}

// runNight builds the views as of the last day, of all events or going on from what the eve left. A night that goes on makes its own state and
// tile for the next; a full build is the plain one, which makes rows alone.
func runNight(ctx context.Context, t task) (m measured, err error) {
	b, err := storage.Open(ctx, "file:"+t.Folder, storage.Options{})
	if err != nil {
		return m, err
	}
	events, err := t.Data.source(ctx)
	if err != nil {
		return m, err
	}
	body, err := os.ReadFile(filepath.Join(t.Folder, keptFile))
	if err != nil {
		return m, err
	}
	var k kept
	if err := json.Unmarshal(body, &k); err != nil {
		return m, err
	}
	p := features.Plan{Views: t.Views, Interval: t.Data.day(len(t.Data.Days) - 1), Schema: schema(t.Data.Text, false), Events: events, Out: drop}
	rows, state, tile := newTables(ctx, b, "rows"), newTables(ctx, b, "state"), newTables(ctx, b, "tile")
	if t.Write {
		p.Out = rows.rows
	}
	if t.Prior {
		p.Prior = k.prior(b)
		p.Anew = func() error {
			return errors.New("the prior turned out to be of no use when some of it had been put out")
		}
		p.Prior.Events = t.Data.last(len(t.Data.Days) - 1).events()
		p.State, p.Tile = dropState, dropState
		if t.Write {
			p.State, p.Tile = state.state, tile.tile
		}
	}
	clock := benchmark.Start()
	stored := newStoring(ctx)
	defer stored.in.Stop()
	p.Whole = func(kind features.TableKind, name string) error {
		stored.whole([]*tables{rows, state, tile}[kind], name)
		return nil
	}
	if m.Stats, err = (frugal.Engine{Engine: local.Engine{}}).Build(ctx, p); err != nil {
		return m, err
	}
	if err := stored.wait(); err != nil {
		return m, err
	}
	m.Measured = clock.Stop()
	m.Rows = m.Stats.RowsIn + m.Stats.RowsOutside
	m.Digests = map[string]string{}
	for v, man := range rows.done {
		m.Digests[v] = string(man.Digest)
	}
	return m, nil
}

func (k kept) prior(b storage.Bucket) *features.Prior {
	p := &features.Prior{End: k.End, State: map[string][]features.Split{}}
	for key, m := range k.State {
		p.State[key] = splits(b, m, table.Interval{})
	}
	p.Tile = func(key string, w table.Interval) ([]features.Split, bool) {
		m, ok := k.Tiles[key][w.String()]
		return splits(b, m, w), ok
	}
	return p
}

func drop(features.View, *table.Batch) error { return nil }
func dropState(string, *table.Batch) error   { return nil }

// tables writes batches, which come by turns, to a table a view, or a key. In the end they are sorted, encoded and stored side by side, as jobs do.
type tables struct {
	ctx    context.Context
	b      storage.Bucket
	prefix string
	open   map[string]*table.Writer
	done   map[string]table.Manifest // after finish
}

func newTables(ctx context.Context, b storage.Bucket, prefix string) *tables {
	return &tables{ctx: ctx, b: b, prefix: prefix, open: map[string]*table.Writer{}, done: map[string]table.Manifest{}}
}

// rows is Plan.Out.
func (t *tables) rows(v features.View, b *table.Batch) error {
	o := table.WriteOptions{SortBy: []string{b.Schema[0].Name}, Codec: "text"}
	if v.Key == features.KeySubject && b.Schema[0].Type == table.Int64 {
		o.Shards, o.ShardBy = 4, b.Schema[0].Name
	}
	return t.add(v.Name, o, b)
}

// state is Plan.State.
func (t *tables) state(key string, b *table.Batch) error { return t.pieces(key, 4, b) }

// tile is Plan.Tile.
func (t *tables) tile(key string, b *table.Batch) error { return t.pieces(key, 1, b) }

// pieces takes rows of states or tiles, in as many files as jobs write.
func (t *tables) pieces(key string, shards int, b *table.Batch) error {
	return t.add(key, table.WriteOptions{SortBy: []string{features.PartColumn}, Shards: shards, ShardBy: features.PartColumn, RowGroup: 64, Codec: "none", CopyText: true}, b)
}

func (t *tables) add(name string, o table.WriteOptions, b *table.Batch) error {
	w := t.open[name]
	if w == nil {
		w = table.NewWriter(t.b, t.prefix+"/"+name, b.Schema, o)
		t.open[name] = w
	}
	return w.Append(b)
}

// storing stores tables as jobs do: in the background, while others are made.
type storing struct {
	in   *table.Finisher
	took []func(table.Manifest)
}

func newStoring(ctx context.Context) *storing {
	return &storing{in: table.NewFinisher(ctx, 1<<30)}
}

// whole begins to store a table, if anything of it is kept.
func (s *storing) whole(t *tables, name string) {
	if w := t.open[name]; w != nil {
		s.in.Add(w)
		s.took = append(s.took, func(m table.Manifest) { t.done[name] = m })
		delete(t.open, name)
	}
}

func (s *storing) wait() error {
	stored, err := s.in.Wait()
	if err != nil {
		return err
	}
	for i, m := range stored {
		s.took[i](m)
	}
	return nil
}

// finish stores all tables.
func finish(all ...*tables) error {
	s := newStoring(all[0].ctx)
	for _, t := range all {
		for _, name := range slices.Sorted(maps.Keys(t.open)) {
			s.whole(t, name)
		}
	}
	return s.wait()
}

func size(m table.Manifest) int64 {
	n := int64(0)
	for _, p := range m.Parts {
		n += p.Size
	}
	return n
}
