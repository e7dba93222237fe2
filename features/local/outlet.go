package local

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// batchRows is how many rows of a view are put out at a time, at most.
const batchRows = 8192

// sheet is one table that a build puts out: the rows of a view, or the states or tiles of a group.
type sheet struct {
	what   string       // it is, for errors
	view   *viewProgram // nil: of states or tiles
	group  *group
	schema table.Schema
	// rows puts out those of a partition, which has this number among those of the group.
	rows func(pt *partition, number int, b *buffer, out func(*table.Batch) error) error
	out  func(*table.Batch) error
	end  func() error // nil: nobody asks when it has all rows

	total int64     // rows
	spare sync.Pool // of *copied
}

// outlet puts out all tables of a build, partition by partition: of one that is complete the rows of all tables that are made of it, while it stands in the
// processor's cache, and then its memory is free. Batches are filled side by side; the receiver is called by one goroutine at a time. Who finds it called leaves
// a copy of a batch to that one, and goes on.
type outlet struct {
	ctx    context.Context
	scan   *scan
	sheets []*sheet

	mu    sync.Mutex
	idle  sync.Cond // the queue is shorter, or nobody hands over
	busy  bool      // somebody hands over, who takes what is queued as well
	queue []*copied
	first error // what the receiver said
	some  bool  // it was called
}

// copied is a copy of a batch of a sheet.
type copied struct {
	sheet *sheet
	rows  table.Batch
	text  []byte // of a piece
}

func newOutlet(ctx context.Context, s *scan, p features.Plan) *outlet {
	o := &outlet{ctx: ctx, scan: s, sheets: s.sheets(p)}
	o.idle.L = &o.mu
	return o
}

// began reports whether anything has been put out.
func (o *outlet) began() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.some
}

// left is how many batches may wait for the receiver. Who finds more waits as well.
const left = 16

// give hands a batch over, now or soon.
func (o *outlet) give(sh *sheet, rows *table.Batch) error {
	var c *copied
	o.mu.Lock()
	for o.busy && o.first == nil && (c == nil || len(o.queue) >= left) {
		if c != nil {
			o.idle.Wait()
			continue
		}
		o.mu.Unlock()
		c = sh.copy(rows)
		o.mu.Lock()
	}
	if err := cmp.Or(o.ctx.Err(), o.first); err != nil {
		o.mu.Unlock()
		return err
	}
	if o.busy {
		o.queue = append(o.queue, c)
		o.mu.Unlock()
		return nil
	}
	o.busy, o.some = true, true
	o.mu.Unlock()
	if c != nil {
		sh.spare.Put(c)
	}
	err := sh.hand(rows)
	for {
		o.mu.Lock()
		if o.first = err; err != nil || len(o.queue) == 0 {
			o.busy, o.queue = false, nil
			o.idle.Broadcast()
			o.mu.Unlock()
			return err
		}
		c, o.queue = o.queue[0], o.queue[1:]
		if len(o.queue) <= left/2 { // who waits is not woken for one
			o.idle.Broadcast()
		}
		o.mu.Unlock()
		err = c.sheet.hand(&c.rows)
		c.sheet.spare.Put(c)
	}
}

// hand calls the receiver.
func (sh *sheet) hand(rows *table.Batch) error {
	sh.total += int64(rows.N)
	if err := sh.out(rows); err != nil {
		return fmt.Errorf("%s: %w", sh.what, err)
	}
	return nil
}

// copy copies a batch. Texts of a view are made for it, and may be kept; those of pieces stand in memory that is used again.
func (sh *sheet) copy(rows *table.Batch) *copied {
	c, _ := sh.spare.Get().(*copied)
	if c == nil {
		c = &copied{sheet: sh}
	}
	copyBatch(&c.rows, rows)
	if sh.view == nil && rows.N == 1 { // pieces come one by one
		text := c.rows.Cols[1].Str
		c.text = append(c.text[:0], text[0]...)
		text[0] = unsafe.String(unsafe.SliceData(c.text), len(c.text))
	}
	return c
}

// whole ends the tables of a group: with an empty batch of each that has no rows.
func (o *outlet) whole(g *group) error {
	for _, sh := range slices.Backward(o.sheets) { // what is quickly encoded, and waits for the store, goes ahead of views
		if sh.group != g {
			continue
		}
		if sh.total == 0 {
			if err := o.give(sh, newBuffer(sh.schema, 0).head(0)); err != nil {
				return err
			}
		}
		if sh.end == nil {
			continue
		}
		if err := sh.end(); err != nil {
			return fmt.Errorf("%s: %w", sh.what, err)
		}
	}
	return nil
}

// count counts the rows of views.
func (o *outlet) count(stats *features.Stats) {
	for _, sh := range o.sheets {
		if sh.view != nil {
			stats.RowsOut[sh.view.Name] = sh.total
		}
	}
}

// all puts out all partitions of a build from all events: of each group those in memory, and then, as they are completed, those that were spilled.
func (o *outlet) all() error {
	for _, i := range o.scan.prog.byRank() { // who holds pairs comes before who counts them too
		var whole, spilled []int
		for number, pt := range o.scan.parts[i] {
			if len(pt.chunks) > 0 {
				spilled = append(spilled, number)
			} else {
				whole = append(whole, number)
			}
		}
		err := o.each(i, whole, runtime.GOMAXPROCS(0), func(*taker, *partition) error { return nil })
		if err == nil {
			err = o.each(i, spilled, o.scan.mergers(i, spilled), func(t *taker, pt *partition) error { return t.merge(pt) })
		}
		if err == nil {
			err = o.whole(o.scan.prog.groups[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// taker is what a goroutine needs to complete partitions of a group, one after another, and to put them out.
type taker struct {
	*scan
	scratch *scratch
	loader  loader
	buffers []*buffer  // by sheet
	last    *partition // whose memory is that of the next one
}

// each completes partitions of a group, which have these numbers, side by side, puts them out and gives their memory back.
func (o *outlet) each(group int, numbers []int, workers int, complete func(*taker, *partition) error) error {
	var all errgroup.Group
	var next atomic.Int64
	for range min(workers, len(numbers)) {
		t := &taker{scan: o.scan, scratch: newScratch(o.scan.mostRows()), loader: newLoader(), buffers: make([]*buffer, len(o.sheets))}
		all.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(numbers) {
					if t.last != nil {
						t.last.release(t.budget)
					}
					return nil
				}
				pt := o.scan.parts[group][numbers[i]]
				err := cmp.Or(o.ctx.Err(), complete(t, pt))
				if err == nil {
					err = o.put(t, pt, numbers[i])
				}
				if err != nil {
					next.Store(int64(len(numbers)))
					return err
				}
				if pt != t.last {
					pt.release(o.scan.budget)
				}
			}
		})
	}
	return all.Wait()
}

// put puts out the rows of a partition, of all tables.
func (o *outlet) put(t *taker, pt *partition, number int) error {
	for i, sh := range o.sheets {
		if sh.group != pt.group {
			continue
		}
		need, room := min(batchRows, pt.n), min(batchRows, pt.n+pt.n/4)
		if sh.view == nil {
			need, room = 1, 1 // piece by piece
		}
		b := t.buffers[i]
		if b == nil || b.rows < need {
			b = newBuffer(sh.schema, room)
			t.buffers[i] = b
		}
		if err := sh.rows(pt, number, b, func(rows *table.Batch) error { return o.give(sh, rows) }); err != nil {
			return err
		}
	}
	return nil
}
