package local

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// progress is how a build goes on from a prior one.
type progress struct {
	start int64 // as of when the prior build was
	moves *moves
	spans []span // whose events are read, ascending
	tiles []tile // that are read in place of events
	gone  []bool // by class number: its longest window holds no event of the prior state, which is not read then
}

type span struct{ lo, hi int64 }

// tile is a span of one group that moves as a whole in some of its classes.
type tile struct {
	group  int
	span   span
	moves  []tileMove // by class
	splits []features.Split
}

type tileMove struct{ from, to int8 }

// A prior is declined as dearer than all events by the bytes of its states and tiles for each of these. Of six views with exact distinct, whose states are 22 bytes an
// event, all events took 535 ns each; going on took 16 ns a byte, and 32 where the state was kept again, which all events then paid for too, with 27.
const (
	dearPrior     = 32      // bytes an event, in a build that keeps no state
	dearPriorKept = 96      // and in one that does
	cheapPrior    = 1 << 24 // bytes that are never dear
)

// dear reports whether going on from the prior costs more than to read all events.
func (p *program) dear(pr *progress, prior *features.Prior, kept bool) bool {
	bytes, limit := int64(0), int64(dearPrior)
	if kept {
		limit = dearPriorKept
	}
	for _, g := range p.groups {
		if pr.reads(g) {
			bytes += sizeOf(prior.State[p.keyOf(g)])
		}
	}
	for i := range pr.tiles {
		bytes += sizeOf(pr.tiles[i].splits)
	}
	return prior.Events > 0 && bytes > cheapPrior && bytes/limit > prior.Events
}

func sizeOf(splits []features.Split) (n int64) {
	for _, x := range splits {
		n += x.Bytes
	}
	return n
}

// reads reports whether the states of a group are read.
func (pr *progress) reads(g *group) bool {
	return slices.ContainsFunc(g.classes, func(c *class) bool { return !pr.gone[c.number] })
}

// plan finds what has to be read to go on from a prior build; nil if the build had better read all events, or must.
func (p *program) plan(prior *features.Prior, tileStart int64) *progress {
	if !fits(prior.End) {
		return nil
	}
	pr := &progress{start: prior.End.UnixMicro()}
	if pr.start > p.end || p.use.tile && pr.start > tileStart {
		return nil
	}
	type part struct {
		span
		class    *class
		from, to int8
		tile     bool
	}
	var parts []part
	for number, g := range p.groups {
		if len(prior.State[p.keyOf(g)]) == 0 {
			return nil
		}
		tiles := map[span]*tile{} // nil: there is none
		for at, c := range g.classes {
			for _, k := range c.keeps {
				if k.op == features.First && k.cells {
					return nil // the state knows hours, the windows start within one
				}
			}
			cuts := []int64{pr.start, p.end}
			gone := p.end-pr.start >= c.longest()
			pr.gone = append(pr.gone, gone) // classes are numbered in this order
			for _, w := range c.windows {
				if cuts = append(cuts, p.end-w); !gone {
					cuts = append(cuts, pr.start-w)
				}
			}
			if p.use.tile {
				cuts = append(cuts, tileStart)
			}
			slices.Sort(cuts)
			cuts = slices.Compact(cuts)
			for j, lo := range cuts[:len(cuts)-1] {
				if lo < pr.start && gone {
					continue
				}
				x := part{span: span{lo, cuts[j+1]}, class: c, from: c.bucket(pr.start, lo), to: c.bucket(p.end, lo)}
				x.tile = p.use.tile && lo >= tileStart && c.ownTile(p.end-tileStart) >= 0
				if x.from == x.to && !x.tile {
					continue
				}
				if lo < pr.start && c.tileBucket(x.hi-x.lo) >= 0 && prior.Tile != nil {
					t, asked := tiles[x.span]
					if !asked {
						t = p.tileOf(prior, number, x.span)
						tiles[x.span] = t
					}
					if t != nil {
						t.moves[at] = tileMove{x.from, x.to}
						continue
					}
				}
				parts = append(parts, x)
			}
		}
		for _, t := range tiles {
			if t != nil {
				pr.tiles = append(pr.tiles, *t)
			}
		}
	}
	var cuts []int64
	for _, x := range parts {
		cuts = append(cuts, x.lo, x.hi)
	}
	slices.Sort(cuts)
	if cuts = slices.Compact(cuts); len(cuts) > maxMoves {
		return nil
	}
	m := newMoves(p, cuts)
	m.leave = true
	for _, x := range parts {
		for i := slices.Index(m.cuts, x.lo); m.cuts[i] < x.hi; i++ {
			m.of[x.class.number].from[i], m.of[x.class.number].to[i] = x.from, x.to
			if x.tile {
				m.of[x.class.number].tile[i] = int8(len(x.class.windows))
			}
		}
	}
	pr.moves = m
	length := int64(0)
	for i := range m.fresh {
		m.fresh[i] = m.cuts[i] >= pr.start
		if !m.active(i) {
			continue
		}
		length += m.cuts[i+1] - m.cuts[i]
		if n := len(pr.spans); n > 0 && pr.spans[n-1].hi == m.cuts[i] {
			pr.spans[n-1].hi = m.cuts[i+1]
		} else {
			pr.spans = append(pr.spans, span{m.cuts[i], m.cuts[i+1]})
		}
	}
	if length > (p.end-p.start)/2 {
		return nil
	}
	return pr
}

// keyOf returns the key of a group's views.
func (p *program) keyOf(g *group) string { return p.views[g.views[0]].Key }

// tileOf returns the tile of a group over a span, which moves nothing yet; nil if none was kept.
func (p *program) tileOf(prior *features.Prior, group int, x span) *tile {
	g := p.groups[group]
	splits, ok := prior.Tile(p.keyOf(g), table.Interval{Start: time.UnixMicro(x.lo).UTC(), End: time.UnixMicro(x.hi).UTC()})
	if !ok || len(splits) == 0 { // a tile of no events has pieces too: the table is not whole
		return nil
	}
	return &tile{group: group, span: x, moves: slices.Repeat([]tileMove{{outside, outside}}, len(g.classes)), splits: splits}
}

// goOn builds the states from a prior build's. The error is errInconsistent, or aggregate.ErrDamaged, if the prior state is of no use.
func (s *scan) goOn(ctx context.Context, p features.Plan, pr *progress) (states int64, err error) {
	var tasks []task
	for _, x := range pr.spans {
		splits, err := p.Events(ctx, table.Interval{Start: time.UnixMicro(x.lo).UTC(), End: time.UnixMicro(x.hi).UTC()})
		if err != nil {
			return 0, fmt.Errorf("read events: %w", err)
		}
		for _, split := range splits {
			tasks = append(tasks, task{Split: split, lo: x.lo, hi: x.hi})
		}
	}
	var loads []load
	for i, g := range s.prog.groups {
		if !pr.reads(g) {
			continue
		}
		x := load{group: i, seed: seedOf(s.prog, g, pr.start, pr.start), whole: newWhole()}
		x.add = func(pt *partition, l *loader) error { return l.addStates(pt, pr) }
		for _, x.split = range p.Prior.State[s.prog.keyOf(g)] {
			loads = append(loads, x)
		}
	}
	states, err = s.load(ctx, loads)
	if err != nil {
		return states, err
	}
	loads = loads[:0]
	for i := range pr.tiles {
		t := &pr.tiles[i]
		x := load{group: t.group, seed: seedOf(s.prog, s.prog.groups[t.group], t.span.lo, t.span.hi), whole: newWhole()}
		x.add = func(pt *partition, l *loader) error { return l.addTile(pt, t) }
		for _, x.split = range t.splits {
			loads = append(loads, x)
		}
	}
	tiles, err := s.load(ctx, loads)
	for _, parts := range s.parts {
		for _, pt := range parts {
			for i := range pt.classes { // a class may lack entities that another one of the key has
				pt.classes[i].room(pt.n)
			}
			s.budget.grown(pt)
		}
	}
	if err == nil {
		err = s.run(ctx, tasks, pr.moves)
	}
	if err == nil {
		err = s.eachPartition((*partition).settled)
	}
	return states + tiles, err
}

// settled checks that nothing is left in buckets that have no events; else the error is errInconsistent.
func (pt *partition) settled() error {
	for i := range pt.classes {
		if !pt.classes[i].settle(pt.n) {
			return errInconsistent
		}
	}
	return nil
}

// load is a split of a table of states or tiles, and what a piece does.
type load struct {
	group int
	split features.Split
	seed  uint64
	whole *whole // of the table
	add   func(pt *partition, l *loader) error
}

// loader reads loads, for one goroutine.
type loader struct {
	scan    *scan
	scratch *scratch
	piece   piece
	col     []uint64
	bucket  bucketData
	set     aggregate.Members
	rows    int64
}

// load reads tables of states or tiles, side by side, and returns the number of their entities.
func (s *scan) load(ctx context.Context, loads []load) (rows int64, err error) {
	slices.SortStableFunc(loads, func(a, b load) int { return cmp.Compare(b.split.Bytes, a.split.Bytes) }) // the longest first, lest one be left at the end
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu   sync.Mutex
		next atomic.Int64
		wait sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), len(loads)) {
		wait.Go(func() {
			l := &loader{scan: s, scratch: newScratch(pieceRows), col: make([]uint64, pieceRows)}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(loads) {
					break
				}
				if e := l.read(inner, &loads[i], &mu); e != nil {
					mu.Lock()
					if err == nil {
						err = e
					}
					mu.Unlock()
					cancel()
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			rows += l.rows
		})
	}
	wait.Wait()
	if e := ctx.Err(); e != nil {
		return rows, e
	}
	for i := range loads {
		if err == nil && !loads[i].whole.complete() {
			err = fmt.Errorf("read the state of the views by %s: some of it is missing: %w", s.prog.keyOf(s.prog.groups[loads[i].group]), aggregate.ErrDamaged)
		}
	}
	return rows, err
}

// read adds a split to its partitions. mu guards what all splits of a table share.
func (l *loader) read(ctx context.Context, x *load, mu *sync.Mutex) error {
	schema := features.StateSchema()
	g := l.scan.prog.groups[x.group]
	wrap := func(err error) error {
		return fmt.Errorf("read the state of the views by %s: %w", l.scan.prog.keyOf(g), err)
	}
	for b, err := range x.split.Read(ctx, []string{features.PartColumn, features.StateColumn}) {
		if err != nil {
			return wrap(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		parts, states, err := pieceColumns(b, schema)
		if err != nil {
			return wrap(err)
		}
		for i, part := range parts.Int {
			text := rowText(states, i)
			body, err := open(unsafe.Slice(unsafe.StringData(text), len(text)), x.seed, part) // nobody writes to it
			if err == nil {
				err = l.piece.read(g, part, body, l.col)
			}
			if err == nil {
				mu.Lock()
				if !x.whole.add(part, &l.piece) {
					err = aggregate.ErrDamaged
				}
				mu.Unlock()
			}
			if err == nil && l.piece.rows > 0 {
				err = l.addTo(l.scan.parts[x.group][l.piece.partition], x)
			}
			if err != nil {
				return wrap(err)
			}
			l.rows += int64(l.piece.rows)
		}
	}
	return nil
}

// addTo adds the piece to its partition.
func (l *loader) addTo(pt *partition, x *load) error {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if total := min(l.piece.total, mostAhead); pt.n == 0 {
		pt.reserve(total + total/8 + 2*pieceRows) // and for those that tiles and events bring, which come many at a time
		pt.keys = make([]uint64, 0, (total+total/8)*pt.words)
	}
	pt.begin()
	if err := x.add(pt, l); err != nil {
		return err
	}
	if l.scan.budget.limit > 0 {
		if l.scan.budget.grown(pt); l.scan.budget.beyond() {
			return errBeyond
		}
	}
	return nil
}

// mostAhead is for how many entities of a partition room is made before they come. They come in the order of their places: in a table that has not a place for
// each of them, those that came would stand close together, and each look behind all others. It is far beyond what a partition of a machine's memory holds.
const mostAhead = 1 << 22

// room makes room for what the partition holds of each of its entities.
func (pt *partition) room() error {
	for i := range pt.classes {
		c := &pt.classes[i]
		if pt.n*c.stride() > math.MaxUint32 {
			return errFull
		}
		c.room(pt.n)
	}
	return nil
}

// addStates adds a piece of states, whose entities must be new.
func (l *loader) addStates(pt *partition, pr *progress) error {
	first := uint32(pt.n)
	for i := range pt.classes {
		if c := &pt.classes[i]; c.words == nil {
			c.widen(min(l.piece.total, mostAhead)*9/8 + 8)
		}
	}
	fresh, err := pt.fill(&l.piece, l.scratch.hashes)
	if err == nil && !fresh {
		err = errInconsistent // an entity stands twice
	}
	if err == nil {
		err = pt.room()
	}
	if err != nil {
		return err
	}
	for i := range pt.classes {
		c := &pt.classes[i]
		if pr.gone[c.number] {
			continue // and sums that decay so far would not be exact
		}
		if err := c.readState(first, l.piece.rows, l.piece.sections[i], pr.start, &l.bucket, &l.set, l.scratch); err != nil {
			return err
		}
	}
	return nil
}

// addTile moves the events of a piece of a tile.
func (l *loader) addTile(pt *partition, t *tile) error {
	slots := l.scratch.slots[:l.piece.rows]
	if !pt.walk(l.piece.keys, slots) {
		if err := pt.find(l.piece.keys, pt.words, l.piece.texts, l.scratch.hashes, slots); err != nil {
			return err
		}
	}
	if err := pt.room(); err != nil {
		return err
	}
	for i, m := range t.moves {
		if m.from < 0 && m.to < 0 {
			continue
		}
		if err := pt.classes[i].readTile(slots, l.piece.sections[i], t.span.lo, m.from, m.to, &l.bucket); err != nil {
			return err
		}
	}
	return nil
}

// rowText returns a row of a column of text.
func rowText(c *table.Column, row int) string {
	if c.Code == nil {
		return c.Str[row]
	}
	if code := c.Code[row]; uint(code) < uint(len(c.Dict)) {
		return c.Dict[code]
	}
	return ""
}
