package local

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// batchRows is how many rows of a view are put out at a time, at most.
const batchRows = 8192

// sheet is one table that a build puts out: the rows of a view, its state, or its tile.
type sheet struct {
	view   *viewProgram
	schema table.Schema
	// has reports whether a slot has a row; fill writes the rows of the buffer's slots behind their keys.
	has  func(c *classState, slot int) bool
	fill func(pt *partition, c *classState, b *buffer)
	// begin prepares a partition.
	begin func(pt *partition, c *classState, b *buffer)
	out   func(features.View, *table.Batch) error
	what  string // it is, for errors
	last  bool   // no later sheet is made of the same partitions

	// The rows that merge wrote to the spill file.
	mu     sync.Mutex
	chunks []chunk
	total  int64
}

// emit puts out a sheet, and returns the number of its rows. Batches are filled side by side, partition by partition; out is called by one
// goroutine at a time. Partitions of which it is the last are released one by one: whoever keeps the rows needs the memory.
func emit(ctx context.Context, sh *sheet, parts []*partition, bg *budget, out func(features.View, *table.Batch) error) (int64, error) {
	var (
		mu    sync.Mutex // of out, total and first
		total int64
		first error
		next  atomic.Int64
		wait  sync.WaitGroup
	)
	most := rowsOf(parts)
	work := func() error {
		b := newBuffer(sh.schema, most)
		for {
			i := int(next.Add(1)) - 1
			if i >= len(parts) {
				return nil
			}
			err := parts[i].rows(sh, b, func(rows *table.Batch) error {
				mu.Lock()
				defer mu.Unlock()
				if err := ctx.Err(); err != nil {
					return err
				}
				if first != nil {
					return first
				}
				total += int64(rows.N)
				first = out(sh.view.View, rows)
				return first
			})
			if err != nil {
				return err
			}
			if sh.last {
				parts[i].release(bg)
			}
		}
	}
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			if err := work(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
			}
		})
	}
	wait.Wait()
	return total, first
}

// buffer is a batch of fixed capacity, filled again and again. The slot of a null is zero.
type buffer struct {
	table.Batch
	slots   []uint32 // of the rows
	sets    [][]uint32
	members []gathered
	bytes   []byte
	ends    []int
}

// rowsOf is how many rows a buffer has for some partitions.
func rowsOf(parts []*partition) int {
	most := 0
	for _, pt := range parts {
		most = max(most, pt.n)
	}
	return min(batchRows, most)
}

func newBuffer(schema table.Schema, rows int) *buffer {
	b := &buffer{Batch: table.Batch{Schema: schema, Cols: make([]table.Column, len(schema))}}
	for i, f := range schema {
		c := &b.Cols[i]
		c.Valid = make([]bool, rows)
		switch f.Type {
		case table.Float64:
			c.Float = make([]float64, rows)
		case table.String, table.Bytes:
			c.Str = make([]string, rows)
		default:
			c.Int = make([]int64, rows)
		}
	}
	return b
}

// head returns the first n rows, with Valid nil where no value is null.
func (b *buffer) head(n int) *table.Batch {
	head := &table.Batch{Schema: b.Schema, N: n, Cols: make([]table.Column, len(b.Cols))}
	for i, c := range b.Cols {
		switch {
		case c.Float != nil:
			c.Float = c.Float[:n]
		case c.Str != nil:
			c.Str = c.Str[:n]
		default:
			c.Int = c.Int[:n]
		}
		if c.Valid = c.Valid[:n]; !slices.Contains(c.Valid, false) {
			c.Valid = nil
		}
		head.Cols[i] = c
	}
	return head
}

// rows fills the buffer with the sheet's rows of the partition, and hands it to out as often as it is full.
func (pt *partition) rows(sh *sheet, b *buffer, out func(*table.Batch) error) error {
	if pt.n == 0 {
		return nil
	}
	c := &pt.classes[sh.view.classNo]
	sh.begin(pt, c, b)
	for slot := 0; slot < pt.n; {
		b.slots = b.slots[:0]
		for ; slot < pt.n && len(b.slots) < len(b.Cols[0].Valid); slot++ {
			if sh.has(c, slot) {
				b.slots = append(b.slots, uint32(slot))
			}
		}
		n := len(b.slots)
		if n == 0 {
			continue
		}
		for i := range b.Cols {
			col := &b.Cols[i]
			clear(col.Float[:min(n, len(col.Float))])
			clear(col.Str[:min(n, len(col.Str))])
			clear(col.Int[:min(n, len(col.Int))])
			for j := range n {
				col.Valid[j] = true
			}
		}
		pt.putKeys(b)
		sh.fill(pt, c, b)
		if err := out(b.head(n)); err != nil {
			return err
		}
	}
	return nil
}

// some reports whether a slot has events in one of the windows.
func (c *classState) some(slot int) bool {
	at := slot * c.stride()
	for w := range c.windows {
		if uint32(c.words[at+w*c.cells]) != 0 {
			return true
		}
	}
	return false
}

// viewSheet is the table of a view.
func viewSheet(p *program, v *viewProgram) *sheet {
	return &sheet{
		view: v, schema: v.Schema(p.schema), has: (*classState).some,
		begin: func(pt *partition, c *classState, b *buffer) {
			b.sets = pt.countsOf(c, v, p.end)
			for _, f := range v.features {
				if f.keep >= 0 {
					c.keepers[f.keep].done(pt.n)
				}
			}
		},
		fill: func(pt *partition, c *classState, b *buffer) {
			at := len(pt.group.keys)
			for i := range v.features {
				c.put(&v.features[i], p.end, b.slots, b.sets, b.Cols[at:][:len(c.windows)])
				at += len(c.windows)
			}
		},
	}
}

// stateSheet is the table of a view's running state.
func stateSheet(p *program, v *viewProgram) *sheet {
	seed := seedOf(p, v.View, p.end, p.end)
	return &sheet{
		view: v, schema: v.StateSchema(p.schema), has: (*classState).some,
		begin: func(pt *partition, c *classState, b *buffer) {
			c.done(pt.n)
			b.members = b.members[:0]
			for i := range c.members {
				b.members = append(b.members, c.members[i].gather(pt.n))
			}
		},
		fill: func(pt *partition, c *classState, b *buffer) {
			b.encode(pt, seed, func(dst []byte, slot uint32) []byte { return c.appendState(dst, slot, p.end, b.members) })
		},
	}
}

// tileSheet is the table of a view's tile, of the events of [start, p.end).
func tileSheet(p *program, v *viewProgram, start int64) *sheet {
	seed := seedOf(p, v.View, start, p.end)
	bucket := v.class.tileBucket(p.end - start)
	return &sheet{
		view: v, schema: v.StateSchema(p.schema),
		has: func(c *classState, slot int) bool {
			return bucket >= 0 && uint32(c.words[slot*c.stride()+int(bucket)*c.cells]) != 0
		},
		begin: func(pt *partition, c *classState, _ *buffer) { c.done(pt.n) },
		fill: func(pt *partition, c *classState, b *buffer) {
			b.encode(pt, seed, func(dst []byte, slot uint32) []byte { return c.appendBucket(dst, slot, int(bucket), start) })
		},
	}
}

func (c *classState) done(slots int) {
	for _, k := range c.keepers {
		k.done(slots)
	}
}

// encode writes the last column: for each row what row appends, and its check.
func (b *buffer) encode(pt *partition, seed uint64, row func(dst []byte, slot uint32) []byte) {
	b.bytes, b.ends = b.bytes[:0], b.ends[:0]
	for _, slot := range b.slots {
		at := len(b.bytes)
		b.bytes = seal(row(b.bytes, slot), at, seed, pt.keys[int(slot)*pt.entities.words:][:pt.entities.words])
		b.ends = append(b.ends, len(b.bytes))
	}
	b.cut(&b.Cols[len(b.Cols)-1])
}

// putKeys writes the keys of the buffer's rows.
func (pt *partition) putKeys(b *buffer) {
	text, word := 0, 0
	for i := range pt.group.keys {
		col := &b.Cols[i]
		if !pt.group.isText(i) {
			for j, slot := range b.slots {
				col.Int[j] = int64(pt.keys[int(slot)*pt.entities.words+word])
			}
			word++
			continue
		}
		b.bytes, b.ends = b.bytes[:0], b.ends[:0]
		for _, slot := range b.slots {
			b.bytes = pt.appendText(b.bytes, slot, text)
			b.ends = append(b.ends, len(b.bytes))
		}
		b.cut(col)
		word += 2
		text++
	}
}

// cut makes the column's texts of b.bytes, each up to its end: parts of one string.
func (b *buffer) cut(col *table.Column) {
	all, at := string(b.bytes), 0
	for j, end := range b.ends {
		col.Str[j], at = all[at:end], end
	}
}

// countsOf returns, for each table of members that the view reads, the number of values by slot and bucket.
func (pt *partition) countsOf(c *classState, v *viewProgram, end int64) [][]uint32 {
	counts := make([][]uint32, len(c.members))
	for _, f := range v.features {
		if f.Op != features.Distinct || counts[f.members] != nil {
			continue
		}
		x := c.class.members[f.members]
		switch {
		case pt.timed:
			counts[f.members] = c.countTimed(&c.members[f.members], pt.n, end)
		case x.shared != nil && !x.holds:
			counts[f.members] = x.shared.countsOf(pt)
		default:
			counts[f.members] = c.counts[f.members]
		}
	}
	return counts
}

// countTimed counts the pairs of a timed table by slot and bucket, as of end.
func (c *classState) countTimed(t *pairs, slots int, end int64) []uint32 {
	n := make([]uint32, slots*len(c.windows))
	t.each(func(slot uint32, _ uint64, _ uint8, time int64) {
		if b := c.bucket(end, time); b >= 0 {
			n[int(slot)*len(c.windows)+int(b)]++
		}
	})
	return n
}

// of reads a counter.
func (x counter) of(cells []uint64) int64 { return int64(uint32(cells[x.word] >> x.shift)) }

// put writes a feature's values of some slots: dst are the columns of its windows, shortest first.
func (c *classState) put(f *featureProgram, end int64, slots []uint32, sets [][]uint32, dst []table.Column) {
	stride := c.stride()
	starts := make([]int64, len(c.windows))
	for b, w := range c.windows {
		starts[b] = end - w
	}
	for row, slot := range slots {
		if f.keep >= 0 {
			c.keepers[f.keep].put(f, slot, starts, dst, row)
			continue
		}
		state := c.words[int(slot)*stride:][:stride]
		switch f.Op {
		case features.Count:
			n := int64(0)
			for b := range dst {
				n += c.counters[f.count].of(state[b*c.cells:])
				dst[b].Int[row] = n
			}
		case features.Distinct:
			n := int64(0)
			for b, x := range sets[f.members][int(slot)*len(dst):][:len(dst)] {
				n += int64(x)
				dst[b].Int[row] = n
			}
		case features.ShareOf:
			part, all := int64(0), int64(0)
			for b := range dst {
				part += c.counters[f.part].of(state[b*c.cells:])
				all += c.counters[f.count].of(state[b*c.cells:])
				if all == 0 {
					dst[b].Valid[row] = false
					continue
				}
				dst[b].Float[row] = float64(part) / float64(all)
			}
		case features.Sum, features.Mean, features.Decayed:
			c.putSum(f, int(slot)*stride, dst, row)
		case features.Min, features.Max:
			best := uint64(0)
			flip := uint64(0)
			if f.Op == features.Min {
				flip = math.MaxUint64
			}
			for b := range dst {
				if best = max(best, state[b*c.cells+c.peaks[f.peak].word]); best == 0 {
					dst[b].Valid[row] = false
					continue
				}
				dst[b].Float[row] = unordered(best ^ flip)
			}
		case features.Recency:
			last := int64(orderedTime(state[c.wholeAt()+c.newest[f.newest].word]))
			for b := range dst {
				if last < starts[b] {
					dst[b].Valid[row] = false
					continue
				}
				dst[b].Float[row] = float64(end-last) / 1e6
			}
		}
	}
}

// putSum writes a sum, a mean or a decayed sum of the entity whose state begins at a word.
func (c *classState) putSum(f *featureProgram, at int, dst []table.Column, row int) {
	var (
		sum  aggregate.Sum
		all  aggregate.Exact // once a sum has a rest
		wide bool
		n    int64
	)
	for b := range dst {
		cells := at + b*c.cells
		w := cells + c.sums[f.sum].word
		part := aggregate.Sum{Hi: math.Float64frombits(c.words[w]), Lo: math.Float64frombits(c.words[w+1])}
		if !wide {
			was := sum
			if sum.Add(part.Hi) != 0 || sum.Add(part.Lo) != 0 || len(c.rests) > 0 {
				wide = true
				all.MergeSum(was, nil)
			}
		}
		x := 0.0
		if wide {
			all.MergeSum(part, c.rests[uint32(w)])
			x = all.Result()
		} else {
			x = sum.Result()
		}
		switch f.Op {
		case features.Mean:
			if n += c.counters[f.count].of(c.words[cells:]); n == 0 {
				dst[b].Valid[row] = false
				continue
			}
			x /= float64(n)
		case features.Decayed:
			x = float64(x*f.scale)*f.decay + 0
		}
		dst[b].Float[row] = x
	}
}
