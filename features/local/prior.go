package local

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"

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
	moved []int8 // by class number: the bucket into which all that the shortest window held goes, outside if none; noBucket: it does not go as a whole
}

// noBucket stands for a bucket that does not move as a whole.
const noBucket = -2

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
			pr.gone, pr.moved = append(pr.gone, gone), append(pr.moved, noBucket) // classes are numbered in this order
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
				if x.from == 0 && x.span == (span{pr.start - c.windows[0], pr.start}) && !c.tallies() {
					pr.moved[c.number] = x.to
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

// goOn builds the states from a prior build's and puts them out. The pieces of all tables are read, and the records of all events gathered, by partition; then each
// partition is made as a whole, in memory that it hands on to the next one: nothing of it is looked at twice with much in between. It returns how many
// entities it has read. The error is errInconsistent, or aggregate.ErrDamaged, if the prior state is of no use.
func (s *scan) goOn(ctx context.Context, p features.Plan, pr *progress, o *outlet) (entities int64, err error) {
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
	tables := s.keptTables(p.Prior, pr)
	both, inner := errgroup.WithContext(ctx)
	both.Go(func() error { return s.fetch(inner, tables) })
	both.Go(func() error { return s.run(inner, tasks, pr.moves) })
	if err := both.Wait(); err != nil {
		return 0, cmp.Or(ctx.Err(), err)
	}
	for _, t := range tables {
		entities += t.whole.entities()
	}
	for group := range s.prog.groups {
		var of []*kept
		for _, t := range tables {
			if t.group == group {
				of = append(of, t)
			}
		}
		numbers := make([]int, partitions)
		for i := range numbers {
			numbers[i] = i
		}
		err := o.each(group, numbers, runtime.GOMAXPROCS(0), func(t *taker, pt *partition) error { return t.goOn(pt, of, pr) })
		if err == nil {
			err = o.whole(s.prog.groups[group])
		}
		if err != nil {
			return entities, err
		}
	}
	return entities, nil
}

// kept is a table of states, or if tile is not nil of a tile, that a prior build kept of a group.
type kept struct {
	group  int
	tile   *tile
	splits []features.Split
	seed   uint64

	mu     sync.Mutex
	whole  *whole
	pieces [partitions][]keptPiece
}

// keptPiece is a row of such a table.
type keptPiece struct {
	part int64
	body string      // without its check
	loan *table.Loan // of its memory
}

// keptTables lists the tables that are read, of each group its states first.
func (s *scan) keptTables(prior *features.Prior, pr *progress) (all []*kept) {
	for i, g := range s.prog.groups {
		if pr.reads(g) {
			all = append(all, &kept{group: i, splits: prior.State[s.prog.keyOf(g)], seed: seedOf(s.prog, g, pr.start, pr.start), whole: newWhole()})
		}
	}
	for i := range pr.tiles {
		t := &pr.tiles[i]
		all = append(all, &kept{group: t.group, tile: t, splits: t.splits, seed: seedOf(s.prog, s.prog.groups[t.group], t.span.lo, t.span.hi), whole: newWhole()})
	}
	return all
}

// fetch reads tables that were kept, side by side, and checks that each is whole and what was written.
func (s *scan) fetch(ctx context.Context, tables []*kept) error {
	type load struct {
		*kept
		split features.Split
	}
	var loads []load
	for _, t := range tables {
		for _, split := range t.splits {
			loads = append(loads, load{t, split})
		}
	}
	slices.SortStableFunc(loads, func(a, b load) int { return cmp.Compare(b.split.Bytes, a.split.Bytes) }) // the longest first, lest one be left at the end
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(runtime.GOMAXPROCS(0))
	wrap := func(t *kept, err error) error {
		return fmt.Errorf("read the state of the views by %s: %w", s.prog.keyOf(s.prog.groups[t.group]), err)
	}
	for _, x := range loads {
		all.Go(func() error {
			if err := x.read(ctx, x.split, s.budget); err != nil {
				return wrap(x.kept, err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for _, t := range tables {
		if !t.whole.complete() {
			return wrap(t, fmt.Errorf("some of it is missing: %w", aggregate.ErrDamaged))
		}
	}
	return nil
}

// read takes the pieces of a split. Their texts are not copied: they are kept until their partition is made.
func (t *kept) read(ctx context.Context, split features.Split, bg *budget) error {
	schema := features.StateSchema()
	for b, err := range split.Read(ctx, []string{features.PartColumn, features.StateColumn}) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		parts, states, err := pieceColumns(b, schema)
		if err != nil {
			return err
		}
		size := int64(0)
		for i, part := range parts.Int {
			text := rowText(states, i)
			body, err := open(unsafe.Slice(unsafe.StringData(text), len(text)), t.seed, part) // nobody writes to it
			if err != nil {
				return err
			}
			b.Loan.Keep()
			if err := t.take(keptPiece{part, text[:len(body)], b.Loan}); err != nil {
				return err
			}
			size += int64(len(text))
		}
		if bg.hold(size); bg.beyond() {
			return errBeyond
		}
	}
	return nil
}

// take adds a piece to those of its partition.
func (t *kept) take(p keptPiece) error {
	total, rows, _, err := pieceHead([]byte(p.body[:min(len(p.body), headBytes)]))
	if err != nil {
		return err
	}
	number := int(uint64(p.part) >> partShift)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.whole.add(p.part, number, total, rows) {
		return aggregate.ErrDamaged
	}
	t.pieces[number] = append(t.pieces[number], p)
	return nil
}

// goOn makes a partition: what tables of its group say of it, and the records of events that were gathered.
func (t *taker) goOn(pt *partition, tables []*kept, pr *progress) error {
	l := &t.loader
	if t.last != nil && t.last.group == pt.group {
		pt.inherit(t.last)
		t.last.release(t.budget)
	}
	t.last = pt
	number := slices.Index(t.scan.parts[slices.Index(t.scan.prog.groups, pt.group)], pt)
	for _, x := range tables {
		pieces := x.pieces[number]
		x.pieces[number] = nil
		slices.SortFunc(pieces, func(a, b keptPiece) int { return cmp.Compare(uint64(a.part), uint64(b.part)) })
		for _, piece := range pieces {
			err := l.piece.read(pt.group, piece.part, unsafe.Slice(unsafe.StringData(piece.body), len(piece.body)), l.col)
			if err == nil && l.piece.rows > 0 {
				err = l.add(pt, x.tile, pr)
			}
			if err != nil {
				return fmt.Errorf("read the state of the views by %s: %w", t.prog.keyOf(pt.group), err)
			}
			t.budget.hold(-int64(len(piece.body)) - checkBytes)
			piece.loan.GiveBack()
		}
	}
	pt.begin()
	if err := pt.room(); err != nil {
		return err
	}
	t.budget.grown(pt)
	gathered := pt.gathered
	pt.gathered = nil
	for i := range gathered {
		if err := pt.aggregate(t.moves, &gathered[i], t.scratch); err != nil {
			return err
		}
	}
	if err := pt.unspill(t.moves, t.scratch, t.budget); err != nil {
		return err
	}
	t.budget.grown(pt)
	return pt.settled()
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

// loader reads pieces, for one goroutine.
type loader struct {
	scratch *scratch
	piece   piece
	col     []uint64
	bucket  bucketData
	set     aggregate.Members
}

func newLoader() loader {
	return loader{scratch: newScratch(pieceRows), col: make([]uint64, pieceRows)}
}

// add adds the piece to its partition: of states, or of a tile.
func (l *loader) add(pt *partition, t *tile, pr *progress) error {
	pt.begin()
	if pt.n == 0 {
		pt.expect(l.piece.total)
	}
	if t != nil {
		return l.addTile(pt, t)
	}
	return l.addStates(pt, pr)
}

// expect makes room for so many entities, and for those that tiles and events bring, which come many at a time.
func (e *entities) expect(total int) {
	total = min(total, mostAhead)
	e.reserve(total + total/8 + 2*pieceRows)
	e.keys = slices.Grow(e.keys[:0], (total+total/8)*e.words)
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
		if c := &pt.classes[i]; c.across == 0 && c.columns {
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
		if to := pr.moved[c.number]; to != noBucket {
			if err := c.moveShortest(int(first), int(first)+l.piece.rows, int(to)); err != nil {
				return err
			}
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
