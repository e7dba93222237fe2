package local

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// joinPartitions is into how many parts the entities of a group are divided, by slot: a part's records are brought together at a time.
const joinPartitions = 64

// joinEvents are the records that the workers of a scan kept.
type joinEvents struct {
	workers []*joinWorker
	texts   []joinText // parallel to joinProgram.texts
}

// joinText is the texts of one column: known by their rank among all, so that numbers are ordered as texts are.
type joinText struct {
	sorted []string
	rank   [][]uint32 // by worker and its own number of the text
}

// scan reads the events that the block's examples may see.
func (b *block) scan(ctx context.Context, stats *features.Stats) (*joinEvents, error) {
	splits, err := b.Events(ctx, b.window())
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	var (
		found = &joinEvents{}
		types = &columnTypes{types: make([]table.Type, len(b.events.columns))}
		next  atomic.Int64
		wait  sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	for range max(1, min(runtime.GOMAXPROCS(0), len(splits))) {
		w := newJoinWorker(b, types)
		found.workers = append(found.workers, w)
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(splits) {
					return
				}
				if err := w.split(inner, &splits[i]); err != nil {
					mu.Lock()
					defer mu.Unlock()
					if first == nil {
						first = err
						cancel()
					}
					return
				}
			}
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if first != nil {
		return nil, first
	}
	for _, w := range found.workers {
		stats.RowsIn += w.rows
		stats.RowsOutside += w.outside
		addRefused(stats, "time", w.timeless)
		for what, n := range w.refused {
			addRefused(stats, what, n)
		}
	}
	found.sortTexts(len(b.texts))
	return found, nil
}

// bytes is what the records hold in memory.
func (e *joinEvents) bytes() int64 {
	n := int64(0)
	for _, w := range e.workers {
		for i := range w.groups {
			for _, recs := range w.groups[i].parts {
				n += 8 * int64(cap(recs))
			}
		}
	}
	return n
}

// sortTexts ranks the texts of all workers.
func (e *joinEvents) sortTexts(columns int) {
	e.texts = make([]joinText, columns)
	for c := range e.texts {
		t := &e.texts[c]
		for _, w := range e.workers {
			t.sorted = append(t.sorted, w.texts[c].list...)
		}
		slices.Sort(t.sorted)
		t.sorted = slices.Compact(t.sorted)
		for _, w := range e.workers {
			rank := make([]uint32, len(w.texts[c].list))
			for i, s := range w.texts[c].list {
				at, _ := slices.BinarySearch(t.sorted, s)
				rank[i] = uint32(at)
			}
			t.rank = append(t.rank, rank)
			w.texts[c] = interner{}
		}
	}
}

// joinWorker reads splits and keeps the records of the examples' entities.
type joinWorker struct {
	*block
	read    *reader
	groups  []joinScatter
	texts   []interner // parallel to joinProgram.texts
	inside  []bool     // of the run's rows: the time is in the block's span
	refused map[string]int64

	rows, outside, timeless int64
}

// joinScatter is one group's part of a worker.
type joinScatter struct {
	masker *masker
	parts  [][]uint64 // records by partition of the slot
	keep   []int32    // of the run: the rows of entities that some example has
	slots  []uint32   // parallel to keep
}

func newJoinWorker(b *block, types *columnTypes) *joinWorker {
	w := &joinWorker{block: b, read: newReader(b.joinProgram.events, types), texts: make([]interner, len(b.joinProgram.texts)), refused: map[string]int64{}}
	for _, g := range b.groups {
		w.groups = append(w.groups, joinScatter{masker: newMasker(b.joinProgram.events, g.group), parts: make([][]uint64, joinPartitions)})
	}
	return w
}

func (w *joinWorker) split(ctx context.Context, s *features.Split) error {
	span := w.window()
	if (!s.Times.Start.IsZero() || !s.Times.End.IsZero()) && (!s.Times.Start.Before(span.End) || !span.Start.Before(s.Times.End)) {
		return nil
	}
	columns := make([]string, len(w.need))
	for i, c := range w.need {
		columns[i] = w.events.columns[c].name
	}
	for b, err := range s.Read(ctx, columns) {
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.read.batch(b, w.need); err != nil {
			return err
		}
		for lo := 0; lo < b.N; lo += runRows {
			w.read.start(lo, min(b.N, lo+runRows))
			w.chooseTimes()
			for i := range w.groups {
				w.group(&w.groups[i], w.joinProgram.groups[i], &w.entities[i])
			}
		}
	}
	return nil
}

// chooseTimes says which rows of the run lie in the block's span.
func (w *joinWorker) chooseTimes() {
	n := w.read.hi - w.read.lo
	w.inside = slices.Grow(w.inside[:0], n)[:n]
	col := &w.read.cols[timeColumn]
	lo, hi := w.lo-w.longest, w.hi
	for i, t := range col.Int[w.read.lo:w.read.hi] {
		switch in := t >= lo && t < hi; {
		case col.Null(w.read.lo + i):
			w.timeless++
			w.inside[i] = false
		case in:
			w.rows++
			w.inside[i] = true
		default:
			w.outside++
			w.inside[i] = false
		}
	}
}

// group keeps the run's records of one group.
func (w *joinWorker) group(s *joinScatter, g *joinGroup, known *entities) {
	s.keep, s.slots = s.keep[:0], s.slots[:0]
	var (
		key  []uint64
		text []string
	)
	for i, in := range w.inside {
		if !in || !keyed(w.read, g.group, i) {
			continue
		}
		key, text = appendKey(key[:0], text[:0], w.read, g.group, i)
		if slot := known.lookup(key, text); slot != noSlot {
			s.keep, s.slots = append(s.keep, int32(i)), append(s.slots, slot)
		}
	}
	if len(s.keep) == 0 {
		return
	}
	if s.masker.run(w.read) {
		w.countRefused(s, g)
	}
	w.copy(s, g)
}

// copy writes the records of the rows that are kept.
func (w *joinWorker) copy(s *joinScatter, g *joinGroup) {
	k := g.recordWords()
	times := w.read.cols[timeColumn].Int[w.read.lo:]
	codes := make([][]uint64, len(g.texts))
	for i, t := range g.texts {
		codes[i] = w.texts[t].of(&w.read.cols[w.joinProgram.texts[t]], w.read.lo, s.keep)
	}
	for j, row := range s.keep {
		part := &s.parts[s.slots[j]%joinPartitions]
		at := len(*part)
		*part = slices.Grow(*part, k)[:at+k]
		rec := (*part)[at:]
		rec[slotWord] = uint64(s.slots[j] / joinPartitions)
		rec[timeWord] = uint64(times[row])
		rec[knownWord] = 1 << 63 // the first moment: known at its own time
		if w.created >= 0 {
			if c := &w.read.cols[w.created]; !c.Null(w.read.lo + int(row)) {
				rec[knownWord] = uint64(min(c.Int[w.read.lo+int(row)], math.MaxInt64-1))
			}
		}
		copy(rec[maskWord:], s.masker.masks[int(row)*g.mask:][:g.mask])
		rest := rec[maskWord+g.mask:]
		for i, l := range g.lanes {
			rest[i] = w.read.lane(l).words[row]
		}
		rest = rest[len(g.lanes):]
		for i := range g.texts {
			rest[i] = codes[i][j]
		}
	}
}

// countRefused counts the values of the kept rows that are refused, by view and feature.
func (w *joinWorker) countRefused(s *joinScatter, g *joinGroup) {
	for i := range g.views {
		v := &g.views[i]
		for k := range v.features {
			f := &v.features[k]
			if f.lane < 0 || !w.read.lane(f.lane).refused {
				continue
			}
			bad, n := w.read.lane(f.lane).bad, int64(0)
			for _, row := range s.keep {
				if bad[row] == refused && has(s.masker.named[int(row)*g.mask:], f.pred) {
					n++
				}
			}
			w.refused[v.Name+"."+f.Name] += n
		}
	}
}

// interner numbers the texts of one column, for one worker, in the order of their coming.
type interner struct {
	numbers map[string]uint32
	list    []string
	dict    []string // the dictionary of which codes tells
	codes   []uint32 // by code of dict: the text's number + 1; 0: not asked for yet
	out     []uint64
}

func (t *interner) number(s string) uint32 {
	n, ok := t.numbers[s]
	if !ok {
		if t.numbers == nil {
			t.numbers = map[string]uint32{}
		}
		n = uint32(len(t.list))
		t.numbers[s] = n
		t.list = append(t.list, s)
	}
	return n
}

// of returns the numbers of the texts of some rows, counted from lo; that of a null is 0. It is valid until the next call.
func (t *interner) of(c *table.Column, lo int, rows []int32) []uint64 {
	t.out = slices.Grow(t.out[:0], len(rows))[:len(rows)]
	if c.Code != nil && len(c.Dict) > 0 && (len(t.dict) != len(c.Dict) || &t.dict[0] != &c.Dict[0]) {
		t.dict, t.codes = c.Dict, make([]uint32, len(c.Dict))
	}
	for j, row := range rows {
		i := lo + int(row)
		switch {
		case c.Null(i):
			t.out[j] = 0
		case c.Code != nil:
			code := &t.codes[c.Code[i]]
			if *code == 0 {
				*code = t.number(c.Dict[c.Code[i]]) + 1
			}
			t.out[j] = uint64(*code - 1)
		default:
			t.out[j] = uint64(t.number(c.Str[i]))
		}
	}
	return t.out
}
