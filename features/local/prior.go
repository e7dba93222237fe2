package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	gone  []bool // by view: its longest window holds no event of the prior state, which is not read then
}

type span struct{ lo, hi int64 }

// tile is a span of one view that moves as a whole.
type tile struct {
	view     int
	span     span
	from, to int8
	splits   []features.Split
}

// plan finds what has to be read to go on from a prior build; nil if the build had better read all events, or must.
func (p *program) plan(prior *features.Prior, tileStart int64) *progress {
	if !fits(prior.End) {
		return nil
	}
	pr := &progress{start: prior.End.UnixMicro(), gone: make([]bool, len(p.views))}
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
	for i := range p.views {
		v := &p.views[i]
		if prior.State[v.Name] == nil {
			return nil
		}
		for _, k := range v.class.keeps {
			if k.op == features.First && k.cells {
				return nil // the state knows hours, the windows start within one
			}
		}
		cuts := []int64{pr.start, p.end}
		pr.gone[i] = p.end-pr.start >= v.class.longest()
		for _, w := range v.class.windows {
			if cuts = append(cuts, p.end-w); !pr.gone[i] {
				cuts = append(cuts, pr.start-w)
			}
		}
		if p.use.tile {
			cuts = append(cuts, tileStart)
		}
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		for j, lo := range cuts[:len(cuts)-1] {
			if lo < pr.start && pr.gone[i] {
				continue
			}
			x := part{span: span{lo, cuts[j+1]}, class: v.class, from: v.class.bucket(pr.start, lo), to: v.class.bucket(p.end, lo)}
			x.tile = p.use.tile && lo >= tileStart && v.class.tileBucket(p.end-tileStart) >= 0
			if x.from == x.to && !x.tile {
				continue
			}
			if lo < pr.start && v.class.tileBucket(x.hi-x.lo) >= 0 && prior.Tile != nil {
				iv := table.Interval{Start: time.UnixMicro(x.lo).UTC(), End: time.UnixMicro(x.hi).UTC()}
				if splits, ok := prior.Tile(v.Name, iv); ok {
					pr.tiles = append(pr.tiles, tile{view: i, span: x.span, from: x.from, to: x.to, splits: splits})
					continue
				}
			}
			parts = append(parts, x)
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
	for i := range s.prog.views {
		if pr.gone[i] {
			continue // and sums that decay so far would not be exact
		}
		v := &s.prog.views[i]
		seed := seedOf(s.prog, v.View, pr.start, pr.start)
		for _, split := range p.Prior.State[v.Name] {
			loads = append(loads, load{view: v, split: split, seed: seed, row: func(c *classState, slot uint32, row []byte, l *loader) error {
				return c.readState(slot, row, pr.start, &l.bucket, &l.set, l.scratch)
			}})
		}
	}
	states, err = s.load(ctx, loads)
	if err != nil {
		return states, err
	}
	loads = loads[:0]
	for _, t := range pr.tiles {
		v := &s.prog.views[t.view]
		seed := seedOf(s.prog, v.View, t.span.lo, t.span.hi)
		for _, split := range t.splits {
			loads = append(loads, load{view: v, split: split, seed: seed, row: func(c *classState, slot uint32, row []byte, l *loader) error {
				rest, err := c.readBucket(&l.bucket, row, t.span.lo)
				if err == nil && len(rest) > 0 {
					err = aggregate.ErrDamaged
				}
				if err == nil && t.to >= 0 {
					err = c.addBucket(slot, int(t.to), &l.bucket, 1)
				}
				if err == nil && t.from >= 0 {
					err = c.addBucket(slot, int(t.from), &l.bucket, -1)
				}
				return err
			}})
		}
	}
	tiles, err := s.load(ctx, loads)
	for _, parts := range s.parts {
		for _, pt := range parts {
			for i := range pt.classes { // a view may lack entities that another one of the key has
				pt.classes[i].room(pt.n)
			}
			s.budget.grown(pt)
		}
	}
	if err == nil {
		err = s.run(ctx, tasks, pr.moves)
	}
	if err == nil && !s.settled() {
		err = errInconsistent
	}
	return states + tiles, err
}

// settled reports whether nothing is left in buckets that have no events.
func (s *scan) settled() bool {
	for _, parts := range s.parts {
		for _, pt := range parts {
			for i := range pt.classes {
				if !pt.classes[i].settle(pt.n) {
					return false
				}
			}
		}
	}
	return true
}

// load is a split of a table of states or tiles, and what a row does.
type load struct {
	view  *viewProgram
	split features.Split
	seed  uint64
	row   func(c *classState, slot uint32, row []byte, l *loader) error
}

// loader reads loads, for one goroutine. Rows of a batch are added partition by partition, so that the machine waits for many places of memory at a time.
type loader struct {
	scan    *scan
	first   int // the partition that is the first to be added to: loaders keep out of each other's way
	scratch *scratch
	bucket  bucketData
	set     aggregate.Members
	row     []byte
	rows    int64

	// Of some rows of a batch, by partition:
	order []uint32 // which row of the batch
	keys  []uint64 // words a row
	texts []string // of the keys
	ends  [partitions]int
	// The same in the batch's order.
	words []uint64
	parts []uint8
}

// load reads tables of states or tiles, side by side, and returns the number of their rows.
func (s *scan) load(ctx context.Context, loads []load) (rows int64, err error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu   sync.Mutex
		next atomic.Int64
		wait sync.WaitGroup
	)
	workers := min(runtime.GOMAXPROCS(0), len(loads))
	for w := range workers {
		wait.Go(func() {
			l := &loader{scan: s, first: w * partitions / workers, scratch: newScratch(loadRows)}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(loads) {
					break
				}
				if e := l.read(inner, &loads[i]); e != nil {
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
	return rows, err
}

// loadRows is how many rows of a state, or values of a set, are added at a time.
const loadRows = 8192

func (l *loader) read(ctx context.Context, x *load) error {
	schema := x.view.StateSchema(l.scan.prog.schema)
	columns := make([]string, len(schema))
	for i, f := range schema {
		columns[i] = f.Name
	}
	for b, err := range x.split.Read(ctx, columns) {
		if err != nil {
			return fmt.Errorf("read the state of view %q: %w", x.view.Name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		cols := make([]*table.Column, len(schema))
		for i, f := range schema {
			at := b.Schema.Index(f.Name)
			if at < 0 || at >= len(b.Cols) || b.Schema[at].Type != f.Type || b.Cols[at].Valid != nil && slices.Contains(b.Cols[at].Valid, false) {
				return fmt.Errorf("read the state of view %q: column %q: %w", x.view.Name, f.Name, aggregate.ErrDamaged)
			}
			cols[i] = &b.Cols[at]
			if n := max(len(cols[i].Int), len(cols[i].Str), len(cols[i].Code)); n != b.N {
				return fmt.Errorf("read the state of view %q: column %q: %w", x.view.Name, f.Name, aggregate.ErrDamaged)
			}
		}
		for lo := 0; lo < b.N; lo += loadRows {
			if err := l.add(x, cols, lo, min(lo+loadRows, b.N)); err != nil {
				if errors.Is(err, aggregate.ErrDamaged) || errors.Is(err, errInconsistent) {
					return fmt.Errorf("read the state of view %q: %w", x.view.Name, err)
				}
				return err
			}
		}
	}
	return nil
}

// add adds rows [lo, hi) of a batch to their partitions.
func (l *loader) add(x *load, cols []*table.Column, lo, hi int) error {
	l.arrange(x.view.group, cols, lo, hi)
	parts := l.scan.partsOf(x.view)
	for i := range partitions {
		p := (l.first + i) % partitions
		start := 0
		if p > 0 {
			start = l.ends[p-1]
		}
		if start == l.ends[p] {
			continue
		}
		if err := l.addTo(parts[p], x, cols[len(cols)-1], start, l.ends[p]); err != nil {
			return err
		}
	}
	l.rows += int64(hi - lo)
	if l.scan.budget.beyond() {
		return errBeyond
	}
	return nil
}

// arrange lists rows [lo, hi) by partition, with their keys.
func (l *loader) arrange(g *group, cols []*table.Column, lo, hi int) {
	n, k, t := hi-lo, len(g.key), g.texts
	l.words, l.keys = slices.Grow(l.words[:0], n*k)[:n*k], slices.Grow(l.keys[:0], n*k)[:n*k]
	l.parts, l.order = slices.Grow(l.parts[:0], n)[:n], slices.Grow(l.order[:0], n)[:n]
	l.texts = slices.Grow(l.texts[:0], n*t)[:n*t]
	word := 0
	for i := range g.keys {
		if !g.isText(i) {
			for j, x := range cols[i].Int[lo:hi] {
				l.words[j*k+word] = uint64(x)
			}
			word++
			continue
		}
		for j := range n {
			p := packText(rowText(cols[i], lo+j))
			l.words[j*k+word], l.words[j*k+word+1] = p.head, p.tail
		}
		word += 2
	}
	clear(l.ends[:])
	for j := range n {
		p := hashKey(l.words[j*k:][:k]) >> (64 - partitionBits)
		l.parts[j] = uint8(p)
		l.ends[p]++
	}
	at := 0
	for p, n := range l.ends {
		l.ends[p] = at // where it begins, till its rows are there
		at += n
	}
	for j, p := range l.parts {
		to := l.ends[p]
		l.ends[p]++
		l.order[to] = uint32(lo + j)
		copy(l.keys[to*k:][:k], l.words[j*k:])
		text := 0
		for i := range g.keys {
			if g.isText(i) {
				l.texts[to*t+text] = rowText(cols[i], lo+j)
				text++
			}
		}
	}
}

// addTo adds rows [lo, hi) of l.order to their partition.
func (l *loader) addTo(pt *partition, x *load, data *table.Column, lo, hi int) error {
	k, t := len(x.view.group.key), x.view.group.texts
	keys, slots := l.keys[lo*k:hi*k], l.scratch.slots[:hi-lo]
	pt.mu.Lock()
	defer pt.mu.Unlock()
	if err := pt.find(keys, k, l.texts[lo*t:hi*t], l.scratch.hashes, slots); err != nil {
		return err
	}
	pt.begin()
	c := &pt.classes[x.view.classNo]
	stride := c.stride()
	if pt.n*stride > math.MaxUint32 {
		return errFull
	}
	c.room(pt.n)
	touched := uint64(0)
	for i, slot := range slots {
		if text := rowText(data, int(l.order[lo+i])); text != "" {
			touched += uint64(text[0]) + uint64(text[len(text)-1])
		}
		for at := 0; at < stride; at += 8 {
			touched += c.words[int(slot)*stride+at]
		}
	}
	sink(touched)
	for i, slot := range slots {
		l.row = append(l.row[:0], rowText(data, int(l.order[lo+i]))...)
		row, err := open(l.row, x.seed, keys[i*k:][:k])
		if err == nil {
			err = x.row(c, slot, row, l)
		}
		if err != nil {
			return err
		}
	}
	if l.scan.budget.limit > 0 {
		l.scan.budget.grown(pt)
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
