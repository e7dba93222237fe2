package local

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// block is a number of examples, their events, and their results.
type block struct {
	*joinProgram
	n        int
	cols     []table.Column // of out
	lo, hi   int64          // the moments, µs; hi < lo: none
	read     *reader        // of the examples
	entities []entities     // of each group: the keys of the examples
	slots    [][]uint32     // of each group: by example, noSlot for one that has no key or no time
}

const noSlot = ^uint32(0)

func newBlock(j *joinProgram) *block {
	b := &block{joinProgram: j, lo: maxTime, hi: minTime, cols: make([]table.Column, len(j.out)), slots: make([][]uint32, len(j.groups))}
	b.read = newReader(j.examples, &columnTypes{types: make([]table.Type, len(j.examples.columns))})
	for _, g := range j.keys {
		b.entities = append(b.entities, entities{words: len(g.keys), texts: g.texts})
	}
	return b
}

// take adds rows of a batch of examples.
func (b *block) take(batch *table.Batch, lo, hi int) error {
	need := []int{timeColumn}
	for _, g := range b.keys {
		need = append(need, g.keys...)
	}
	if err := b.read.batch(batch, need); err != nil {
		return err
	}
	for i, f := range b.ExampleSchema {
		at := batch.Schema.Index(f.Name)
		if at < 0 || at >= len(batch.Cols) || batch.Schema[at].Type != f.Type {
			return fmt.Errorf("a batch has no column %q of type %s, which the examples' schema names", f.Name, f.Type)
		}
		if err := appendRows(&b.cols[i], &batch.Cols[at], f, b.n, lo, hi, batch.N); err != nil {
			return err
		}
	}
	b.read.start(lo, hi)
	times := &b.cols[b.moment]
	for i := b.n; i < b.n+hi-lo; i++ {
		t := times.Int[i]
		if times.Null(i) {
			continue
		}
		if t < -maxMoment || t > maxMoment {
			return fmt.Errorf("an example has the time %d µs, more than 73,000 years from 1970: mend it, or leave it without a time", t)
		}
		b.lo, b.hi = min(b.lo, t), max(b.hi, t)
	}
	for i, g := range b.keys {
		if err := b.keysOf(i, g, hi-lo); err != nil {
			return err
		}
	}
	b.n += hi - lo
	return nil
}

// keysOf gives the next n examples the slots of their keys in one group.
func (b *block) keysOf(at int, g *group, n int) error {
	var (
		words []uint64
		texts []string
		rows  []int
	)
	times := &b.cols[b.moment]
	for i := range n {
		b.slots[at] = append(b.slots[at], noSlot)
		if times.Null(b.n+i) || !keyed(b.read, g, i) {
			continue
		}
		words, texts = appendKey(words, texts, b.read, g, i)
		rows = append(rows, b.n+i)
	}
	slots := make([]uint32, len(rows))
	if err := b.entities[at].find(words, len(g.keys), texts, make([]uint64, len(rows)), slots); err != nil {
		return err
	}
	for i, row := range rows {
		b.slots[at][row] = slots[i]
	}
	return nil
}

// keyed reports whether row i of the reader's run has the group's key.
func keyed(r *reader, g *group, i int) bool {
	for _, l := range g.idents {
		if d := r.lane(l); d.bad != nil && d.bad[i] != usable {
			return false
		}
	}
	return true
}

// appendKey appends the key of row i of the reader's run.
func appendKey(words []uint64, texts []string, r *reader, g *group, i int) ([]uint64, []string) {
	for k, l := range g.idents {
		words = append(words, r.lane(l).words[i])
		if g.isText(k) {
			texts = append(texts, textAt(&r.cols[g.keys[k]], r.lo+i))
		}
	}
	return words, texts
}

func textAt(c *table.Column, row int) string {
	if c.Code != nil {
		return c.Dict[c.Code[row]]
	}
	return c.Str[row]
}

// appendRows appends rows [lo, hi) of a column of n rows to dst, which has have.
func appendRows(dst, src *table.Column, f table.Field, have, lo, hi, n int) error {
	short := fmt.Errorf("column %q has too few values in a batch of %d rows: the source is broken", f.Name, n)
	if src.Valid != nil && len(src.Valid) != n {
		return short
	}
	switch {
	case f.Type == table.Float64:
		if len(src.Float) != n {
			return short
		}
		dst.Float = append(dst.Float, src.Float[lo:hi]...)
	case f.Type != table.String && f.Type != table.Bytes:
		if len(src.Int) != n {
			return short
		}
		dst.Int = append(dst.Int, src.Int[lo:hi]...)
	case src.Code != nil:
		if len(src.Code) != n {
			return short
		}
		for i, code := range src.Code[lo:hi] {
			s := ""
			if !src.Null(lo + i) {
				if uint(code) >= uint(len(src.Dict)) {
					return fmt.Errorf("column %q has a code beyond its dictionary of %d values: the source is broken", f.Name, len(src.Dict))
				}
				s = src.Dict[code]
			}
			dst.Str = append(dst.Str, s)
		}
	default:
		if len(src.Str) != n {
			return short
		}
		dst.Str = append(dst.Str, src.Str[lo:hi]...)
	}
	if src.Valid == nil && dst.Valid == nil {
		return nil
	}
	for len(dst.Valid) < have {
		dst.Valid = append(dst.Valid, true)
	}
	if src.Valid == nil {
		for range hi - lo {
			dst.Valid = append(dst.Valid, true)
		}
		return nil
	}
	dst.Valid = append(dst.Valid, src.Valid[lo:hi]...)
	return nil
}

// lookup returns the slot of a key, which it does not add.
func (e *entities) lookup(key []uint64, texts []string) uint32 {
	if e.n == 0 {
		return noSlot
	}
	_, slot := e.seek(hashKey(key), key, texts, 0)
	return slot
}

// join computes the block's results.
func (b *block) join(ctx context.Context, stats *features.Stats) error {
	for i := b.joinProgram.features; i < len(b.out); i++ {
		c := &b.cols[i]
		c.Valid = make([]bool, b.n)
		switch b.out[i].Type {
		case table.Float64:
			c.Float = make([]float64, b.n)
		case table.String:
			c.Str = make([]string, b.n)
		default:
			c.Int = make([]int64, b.n)
		}
	}
	if b.hi < b.lo || len(b.groups) == 0 {
		return nil // no example has a moment, or nothing is asked for
	}
	for i, g := range b.groups {
		for _, s := range b.slots[i] {
			if s == noSlot {
				continue
			}
			for _, v := range g.views {
				stats.RowsOut[v.Name]++
			}
		}
	}
	found, err := b.scan(ctx, stats)
	if err != nil {
		return err
	}
	events := found.bytes()
	err = b.sweepAll(ctx, found, stats)
	stats.Peak = max(stats.Peak, b.bytes()+events) // texts are there now
	return err
}

// sweepAll sweeps the entities of all groups, partitions of them side by side.
func (b *block) sweepAll(ctx context.Context, found *joinEvents, stats *features.Stats) error {
	rows := make([]examplesOf, len(b.groups))
	for i := range b.groups {
		rows[i] = bySlot(b.slots[i], b.entities[i].n)
	}
	var (
		mu   sync.Mutex
		next atomic.Int64
		wait sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			s := newSweep(b, found)
			for ctx.Err() == nil {
				task := int(next.Add(1)) - 1
				if task >= len(b.groups)*joinPartitions {
					break
				}
				s.partition(task/joinPartitions, task%joinPartitions, rows[task/joinPartitions])
			}
			mu.Lock()
			defer mu.Unlock()
			for what, n := range s.refused {
				addRefused(stats, what, n)
			}
		})
	}
	wait.Wait()
	return ctx.Err()
}

// bytes is what the block holds in memory. Texts count in full, even where rows share them.
func (b *block) bytes() int64 {
	n := int64(0)
	for i, f := range b.out {
		size := 9
		if f.Type == table.String || f.Type == table.Bytes {
			size = 17
		}
		n += int64(size) * int64(cap(b.cols[i].Int)+cap(b.cols[i].Float)+cap(b.cols[i].Str))
		for _, s := range b.cols[i].Str {
			n += int64(len(s))
		}
	}
	for i := range b.entities {
		n += b.entities[i].bytes() + 4*int64(cap(b.slots[i]))
	}
	return n
}

func addRefused(stats *features.Stats, what string, n int64) {
	if n == 0 {
		return
	}
	if stats.Refused == nil {
		stats.Refused = map[string]int64{}
	}
	stats.Refused[what] += n
}

// examplesOf lists the examples of each slot.
type examplesOf struct {
	rows []int32
	ends []int32 // by slot
}

func bySlot(slots []uint32, n int) examplesOf {
	e := examplesOf{ends: make([]int32, n+1)}
	for _, s := range slots {
		if s != noSlot {
			e.ends[s+1]++
		}
	}
	for i := range n {
		e.ends[i+1] += e.ends[i]
	}
	e.rows = make([]int32, e.ends[n])
	at := slices.Clone(e.ends)
	for row, s := range slots {
		if s != noSlot {
			e.rows[at[s]] = int32(row)
			at[s]++
		}
	}
	return e
}

func (e *examplesOf) of(slot int) []int32 { return e.rows[e.ends[slot]:e.ends[slot+1]] }

// emit puts the block's rows out.
func (b *block) emit(ctx context.Context) error {
	for lo := 0; lo < b.n; lo += batchRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(b.n, lo+batchRows)
		out := &table.Batch{Schema: b.out, N: hi - lo, Cols: make([]table.Column, len(b.cols))}
		for i, c := range b.cols {
			switch {
			case c.Float != nil:
				c.Float = c.Float[lo:hi]
			case c.Str != nil:
				c.Str = c.Str[lo:hi]
			default:
				c.Int = c.Int[lo:hi]
			}
			if c.Valid != nil {
				if c.Valid = c.Valid[lo:hi]; !slices.Contains(c.Valid, false) {
					c.Valid = nil
				}
			}
			out.Cols[i] = c
		}
		if err := b.Out(out); err != nil {
			return err
		}
	}
	return nil
}

// window is the span of the events that the block's examples may see.
func (b *block) window() table.Interval {
	return table.Interval{Start: time.UnixMicro(b.lo - b.longest).UTC(), End: time.UnixMicro(b.hi).UTC()}
}
