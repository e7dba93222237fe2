package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/storage/table"
)

// scan is one pass over the splits of a build: workers take the next split, turn its rows into records, and add them to the partitions.
type scan struct {
	prog   *program
	moves  *moves
	parts  [][]*partition // by group
	types  columnTypes
	budget *budget

	mu      sync.Mutex
	stats   tally
	err     error
	nextOne atomic.Int64

	// Where there are fewer splits than processors, these take records from the workers: regions that are full, and regions to be filled.
	full, empty chan handed
}

// handed are records of a partition that a worker left to another goroutine.
type handed struct {
	records
	part *partition
}

// tally is what a worker counts.
type tally struct {
	rows, outside, timeless int64
	keyless                 []int64   // by view
	refused                 [][]int64 // by view and feature
}

func newTally(p *program) tally {
	t := tally{keyless: make([]int64, len(p.views)), refused: make([][]int64, len(p.views))}
	for i, v := range p.views {
		t.refused[i] = make([]int64, len(v.features))
	}
	return t
}

func (t *tally) merge(o *tally) {
	t.rows += o.rows
	t.outside += o.outside
	t.timeless += o.timeless
	for i, n := range o.keyless {
		t.keyless[i] += n
		for j, n := range o.refused[i] {
			t.refused[i][j] += n
		}
	}
}

// run reads the splits, side by side, and adds them by the moves. It returns the first error; all workers have ended when it returns.
func (s *scan) run(ctx context.Context, splits []task, m *moves) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.moves = m
	s.nextOne.Store(0)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil && s.err == nil {
			s.err = err
			cancel()
		}
	}
	var workers, helpers sync.WaitGroup
	most := max(1, min(runtime.GOMAXPROCS(0), len(splits)))
	idle := runtime.GOMAXPROCS(0) - most
	if idle > 0 && len(splits) > 0 && !m.leave { // where records are gathered there is little to hand over
		s.full, s.empty = make(chan handed, 2*idle), make(chan handed, 4*idle)
		for range idle {
			helpers.Go(func() { s.help(failed) })
		}
	}
	for i := range most {
		w := newWorker(s)
		for k := i; m.leave && k < idle; k += most {
			w.partners = append(w.partners, newWorker(s))
		}
		workers.Go(func() {
			err := w.work(inner, splits)
			s.mu.Lock()
			s.stats.merge(&w.tally)
			s.mu.Unlock()
			failed(err)
		})
	}
	workers.Wait()
	if s.full != nil {
		close(s.full)
		helpers.Wait()
		s.full, s.empty = nil, nil
	}
	if err := ctx.Err(); err != nil || s.err != nil {
		return cmp.Or(err, s.err)
	}
	return s.countPairs()
}

// help adds the records that workers hand over until there are no more. An error is told at once, lest workers read on for nothing; after it records are taken
// and left out.
func (s *scan) help(failed func(error)) {
	scratch := newScratch(s.mostRows())
	var err error
	for h := range s.full {
		if err == nil {
			if err = h.part.add(s.moves, &h.records, scratch, s.budget); err != nil {
				failed(err)
			}
		}
		clear(h.texts)
		select {
		case s.empty <- h:
		default:
		}
	}
}

// handOver leaves a copy of records to a goroutine that has nothing to do; false if there is none.
func (s *scan) handOver(to *partition, r *records) bool {
	if len(s.full) == cap(s.full) { // of a nil channel as well
		return false
	}
	var h handed
	select {
	case h = <-s.empty:
	default:
	}
	h.part, h.n = to, r.n
	h.words, h.texts = append(h.words[:0], r.words...), append(h.texts[:0], r.texts...)
	select {
	case s.full <- h:
		return true
	default:
		return false
	}
}

// eachPartition calls f with all partitions, side by side, and returns the first error.
func (s *scan) eachPartition(f func(*partition) error) error {
	var all []*partition
	for _, parts := range s.parts {
		all = append(all, parts...)
	}
	var g errgroup.Group
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return nil
				}
				if err := f(all[i]); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// worker reads splits.
type worker struct {
	*scan
	tally
	read    *reader
	groups  []scatter
	scratch *scratch
	move    []int16 // of the run's rows
	oneMove int     // of all rows of the split, if times need not be read
	byTime  bool    // they must be
	lo, hi  int64   // the span of which the split is read
	active  []bool  // by group: the split has rows for it

	partners []*worker // who take batches of its splits, where these are fewer than processors
}

func newWorker(s *scan) *worker {
	w := &worker{scan: s, tally: newTally(s.prog), read: newReader(s.prog, &s.types), active: make([]bool, len(s.prog.groups))}
	for i, g := range s.prog.groups {
		w.groups = append(w.groups, newScatter(s.prog, g, s.parts[i]))
	}
	w.scratch = newScratch(s.mostRows())
	return w
}

// work takes splits until there is none left, then adds what is still gathered.
func (w *worker) work(ctx context.Context, splits []task) error {
	for {
		i := int(w.nextOne.Add(1)) - 1
		if i >= len(splits) {
			break
		}
		if err := w.split(ctx, &splits[i]); err != nil {
			return err
		}
	}
	for _, p := range w.partners {
		if err := p.flushAll(); err != nil {
			return err
		}
		w.tally.merge(&p.tally)
	}
	return w.flushAll()
}

// flushAll adds what is still gathered.
func (w *worker) flushAll() error {
	for i := range w.groups {
		if err := w.groups[i].flushAll(w); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) split(ctx context.Context, s *task) error {
	w.oneMove, w.byTime = 0, true
	w.lo, w.hi = s.lo, s.hi
	if move, ok := w.moves.oneMove(s.Times, s.lo, s.hi); ok {
		if move == outside {
			return nil
		}
		w.oneMove, w.byTime = move, false
	}
	var need []int
	for i, g := range w.prog.groups {
		w.active[i] = w.byTime || slices.ContainsFunc(g.classes, func(c *class) bool { return w.moves.of[c.number].moves(w.oneMove) })
		if w.active[i] {
			need = append(need, g.needs...)
		}
	}
	if w.byTime {
		need = append(need, timeColumn)
	}
	slices.Sort(need)
	need = slices.Compact(need)
	columns := make([]string, len(need))
	for i, c := range need {
		columns[i] = w.prog.columns[c].name
	}
	take, done := w.share(need)
	for b, err := range s.Read(ctx, columns) {
		if err == nil {
			err = ctx.Err()
		} else {
			err = fmt.Errorf("read events: %w", err)
		}
		if err == nil {
			err = take(b)
		}
		if err == nil && w.budget.crowded() {
			err = errCrowded
		}
		if err != nil {
			return cmp.Or(done(), err)
		}
	}
	return done()
}

// share returns what takes batches of a split, and what waits until all that were taken are gathered. Partners have copies of batches, while the worker reads the next
// ones; it has those itself for which they have no time.
func (w *worker) share(need []int) (take func(*table.Batch) error, done func() error) {
	if len(w.partners) == 0 {
		return func(b *table.Batch) error { return w.batch(b, need) }, func() error { return nil }
	}
	var all errgroup.Group
	var failed atomic.Bool
	const each = 2 // batches of a partner: one that it is at, and the next one
	full, empty := make(chan *table.Batch, each*len(w.partners)), make(chan *table.Batch, each*len(w.partners))
	for range cap(empty) {
		empty <- &table.Batch{}
	}
	for _, p := range w.partners {
		p.oneMove, p.byTime, p.lo, p.hi = w.oneMove, w.byTime, w.lo, w.hi
		copy(p.active, w.active)
		all.Go(func() (err error) {
			for b := range full {
				if err == nil {
					err = p.batch(b, need)
					failed.Store(failed.Load() || err != nil)
				}
				empty <- b
			}
			return err
		})
	}
	take = func(b *table.Batch) error {
		if failed.Load() {
			return errPartner
		}
		select {
		case c := <-empty:
			copyBatch(c, b)
			full <- c // which has room for all that there are
			return nil
		default:
			return w.batch(b, need)
		}
	}
	return take, func() error {
		close(full)
		return all.Wait()
	}
}

// errPartner ends a split of which a partner tells the error.
var errPartner = errors.New("a partner has failed")

// copyBatch makes to a copy of a batch. Dictionaries and texts are not changed by who reads them.
func copyBatch(to, b *table.Batch) {
	to.Schema, to.N, to.Cols = b.Schema, b.N, slices.Grow(to.Cols[:0], len(b.Cols))[:len(b.Cols)]
	for i := range b.Cols {
		x, c := &to.Cols[i], &b.Cols[i]
		x.Int, x.Float, x.Str, x.Valid = refilled(x.Int, c.Int), refilled(x.Float, c.Float), refilled(x.Str, c.Str), refilled(x.Valid, c.Valid)
		x.Code, x.Dict = refilled(x.Code, c.Code), c.Dict
	}
}

// refilled is a copy of from in the memory of to; nil if that is.
func refilled[T any](to, from []T) []T {
	if from == nil {
		return nil
	}
	return append(to[:0], from...)
}

// batch takes the runs of a batch.
func (w *worker) batch(b *table.Batch, need []int) error {
	if err := w.read.batch(b, need); err != nil {
		return err
	}
	for lo := 0; lo < b.N; lo += runRows {
		w.read.start(lo, min(b.N, lo+runRows))
		w.chooseMoves()
		for i := range w.groups {
			if !w.active[i] {
				continue
			}
			if err := w.groups[i].run(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// chooseMoves sets w.move to the move of each row of the run, and counts the rows.
func (w *worker) chooseMoves() {
	n := w.read.hi - w.read.lo
	if cap(w.move) < n {
		w.move = make([]int16, max(n, runRows))
	}
	w.move = w.move[:n]
	if !w.byTime {
		w.rows += int64(n)
		for i := range w.move {
			w.move[i] = int16(w.oneMove)
		}
		return
	}
	col := &w.read.cols[timeColumn]
	move, lo, hi := 0, int64(0), int64(0)
	out := int64(0)
	for i, t := range col.Int[w.read.lo:w.read.hi] {
		if t < lo || t >= hi {
			move, lo, hi = w.moveAt(t)
		}
		w.move[i] = int16(move)
		if move == outside {
			out++
		}
	}
	if col.Valid != nil {
		for i, ok := range col.Valid[w.read.lo:w.read.hi] {
			if ok {
				continue
			}
			w.timeless++
			if w.move[i] == outside {
				out--
			}
			w.move[i] = outside
			n--
		}
	}
	w.outside += out
	w.rows += int64(n) - out
}

// moveAt returns the move of an event of the split at t, and the span in which it is the same.
func (w *worker) moveAt(t int64) (move int, lo, hi int64) {
	switch {
	case t < w.lo:
		return outside, minTime, w.lo
	case t >= w.hi:
		return outside, w.hi, maxTime
	}
	move, lo, hi = w.moves.at(t)
	return move, max(lo, w.lo), min(hi, w.hi)
}
