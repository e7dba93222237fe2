package local

import (
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// buffer is a batch of fixed capacity, filled again and again. The slot of a null is zero.
type buffer struct {
	table.Batch
	top      table.Batch // what head returned
	rows     int         // of its capacity
	slots    []uint32    // of the rows
	some     []uint64    // by slot: not 0 if it has a row
	sets     [][]uint32
	bytes    []byte
	ends     []int
	none     []bool          // by column: no value is null, whatever Valid says
	sums     []aggregate.Sum // scratch, by row: what windows so far add up to
	windowed []float64       // by window and row: what they come to
	summed   int             // which sum of the class that is; −1: none
	counts   [2][]int64      // likewise
	pieces   pieces
}

func newBuffer(schema table.Schema, rows int) *buffer {
	b := &buffer{rows: rows, Batch: table.Batch{Schema: schema, Cols: make([]table.Column, len(schema))}, none: make([]bool, len(schema))}
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

// head returns the first n rows, with Valid nil where no value is null. They are those of the next call as well.
func (b *buffer) head(n int) *table.Batch {
	head := &b.top
	head.Schema, head.N, head.Cols = b.Schema, n, append(head.Cols[:0], b.Cols...)
	for i := range head.Cols {
		switch c := &head.Cols[i]; {
		case c.Float != nil:
			c.Float = c.Float[:n]
		case c.Str != nil:
			c.Str = c.Str[:n]
		default:
			c.Int = c.Int[:n]
		}
		if c := &head.Cols[i]; b.none[i] || !slices.Contains(c.Valid[:n], false) {
			c.Valid = nil
		} else {
			c.Valid = c.Valid[:n]
		}
	}
	return head
}

// viewSheet is the table of a view.
func viewSheet(p *program, v *viewProgram) *sheet {
	sh := &sheet{what: fmt.Sprintf("view %q", v.Name), view: v, group: v.group, schema: v.Schema(p.schema)}
	sh.rows = func(pt *partition, _ int, b *buffer, out func(*table.Batch) error) error {
		if pt.n == 0 {
			return nil
		}
		c := &pt.classes[v.classNo]
		b.sets = pt.countsOf(c, v, p.end)
		for _, f := range v.features {
			if f.keep >= 0 {
				c.keepers[f.keep].done(pt.n)
			}
		}
		b.some = c.addSome(zeroed(b.some, pt.n))
		for slot := 0; slot < pt.n; {
			b.slots = b.slots[:0]
			for ; slot < pt.n && len(b.slots) < len(b.Cols[0].Valid); slot++ {
				if b.some[slot] != 0 {
					b.slots = append(b.slots, uint32(slot))
				}
			}
			if len(b.slots) == 0 {
				continue
			}
			pt.putKeys(b)
			at := len(pt.group.keys)
			b.summed = -1
			for i := range v.features {
				b.put(c, &v.features[i], p.end, at)
				at += len(c.windows)
			}
			if err := out(b.head(len(b.slots))); err != nil {
				return err
			}
		}
		return nil
	}
	return sh
}

// stateSheet is the table of a group's running state.
func stateSheet(p *program, g *group) *sheet {
	sh := &sheet{what: fmt.Sprintf("state of the views by %s", p.keyOf(g)), group: g, schema: features.StateSchema()}
	seed := seedOf(p, g, p.end, p.end)
	sh.rows = func(pt *partition, number int, b *buffer, out func(*table.Batch) error) error {
		w := &b.pieces
		pt.begin()
		w.members = w.members[:0]
		for i := range pt.classes {
			w.members = append(w.members, pt.classes[i].finished(pt.n))
		}
		b.some = zeroed(b.some, pt.n)
		for i := range pt.classes {
			b.some = pt.classes[i].addSome(b.some)
		}
		w.order(&pt.entities, b.some)
		return b.putPieces(pt, number, seed, func(dst []byte, class int, slots []uint32) []byte {
			return pt.classes[class].appendState(dst, slots, p.end, w.members[class], w.col[:len(slots)], w.low[:len(slots)])
		}, out)
	}
	return sh
}

// tileSheet is the table of a group's tile, of the events of [start, p.end). A class whose windows don't hold all of it has none.
func tileSheet(p *program, g *group, start int64) *sheet {
	sh := &sheet{what: fmt.Sprintf("tile of the views by %s", p.keyOf(g)), group: g, schema: features.StateSchema()}
	seed := seedOf(p, g, start, p.end)
	sh.rows = func(pt *partition, number int, b *buffer, out func(*table.Batch) error) error {
		w := &b.pieces
		pt.begin()
		b.some = zeroed(b.some, pt.n)
		for i := range pt.classes {
			c := &pt.classes[i]
			c.done(pt.n)
			if at := c.tileBucket(p.end - start); at >= 0 {
				c.addEvents(b.some, int(at))
			}
		}
		w.order(&pt.entities, b.some)
		return b.putPieces(pt, number, seed, func(dst []byte, class int, slots []uint32) []byte {
			c := &pt.classes[class]
			if at := c.tileBucket(p.end - start); at >= 0 {
				dst = c.appendBucket(dst, slots, int(at), start, w.col[:len(slots)], w.low[:len(slots)])
			}
			return dst
		}, out)
	}
	return sh
}

// putPieces puts out the pieces of a partition, each as a batch of one row.
func (b *buffer) putPieces(pt *partition, number int, seed uint64, section func(dst []byte, class int, slots []uint32) []byte, out func(*table.Batch) error) error {
	b.none[0], b.none[1] = true, true
	return b.pieces.put(pt, number, seed, section, func(part int64, piece string) error {
		b.Cols[0].Int[0], b.Cols[1].Str[0] = part, piece
		return out(b.head(1))
	})
}

func (c *classState) done(slots int) {
	for _, k := range c.keepers {
		k.done(slots)
	}
}

// finished makes the keepers of a class ready to be read, and returns what its slots have in each table of members.
func (c *classState) finished(slots int) []gathered {
	c.done(slots)
	var sets []gathered
	for i := range c.members {
		sets = append(sets, c.members[i].gather(slots))
	}
	return sets
}

// count0 is the number of a slot's events in a bucket.
func (c *classState) count0(slot uint32, bucket int) uint32 {
	return uint32(c.words[c.place(slot, bucket*c.cells)])
}

// addSome makes what it has of each slot not 0 that has events in one of the windows.
func (c *classState) addSome(to []uint64) []uint64 {
	for w := range c.windows {
		c.addEvents(to, w)
	}
	return to
}

// addEvents makes what it has of each slot not 0 that has events in a bucket.
func (c *classState) addEvents(to []uint64, bucket int) {
	words, along := c.cell(bucket*c.cells), c.along
	for slot := range to {
		to[slot] |= uint64(uint32(words[slot*along]))
	}
}

// zeroed returns n zeros, in the memory of s if that is enough.
func zeroed(s []uint64, n int) []uint64 {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// putKeys writes the keys of the buffer's rows.
func (pt *partition) putKeys(b *buffer) {
	text, word := 0, 0
	for i := range pt.group.keys {
		col := &b.Cols[i]
		b.none[i] = true
		if !pt.group.isText(i) {
			out, stride := col.Int[:len(b.slots)], pt.entities.words
			for j, slot := range b.slots {
				out[j] = int64(pt.keys[int(slot)*stride+word])
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

// counterOf reads a counter of a slot's bucket.
func (c *classState) counterOf(x counter, slot uint32, bucket int) int64 {
	return int64(uint32(c.words[c.place(slot, bucket*c.cells+x.word)] >> x.shift))
}

// put writes a feature's values to the columns of its windows, shortest first, which begin at a position. All rows of a window come before the next
// window's, which add to them.
func (b *buffer) put(c *classState, f *featureProgram, end int64, at int) {
	dst, n := b.Cols[at:][:len(c.windows)], len(b.slots)
	full := f.keep < 0 && (f.Op == features.Count || f.Op == features.Distinct || f.Op == features.Sum || f.Op == features.Decayed)
	for w := range dst {
		if b.none[at+w] = full; full {
			continue
		}
		for i := range dst[w].Valid[:n] {
			dst[w].Valid[i] = true
		}
	}
	if f.keep >= 0 {
		b.putKept(c, f, end, dst)
		return
	}
	switch f.Op {
	case features.Count:
		for w := range dst {
			out := dst[w].Int[:n]
			if clear(out); w > 0 {
				copy(out, dst[w-1].Int)
			}
			c.addCounts(out, c.counters[f.count], w, b.slots)
		}
	case features.Distinct:
		set := b.sets[f.members]
		for i, slot := range b.slots {
			sum := int64(0)
			for w, x := range set[int(slot)*len(dst):][:len(dst)] {
				sum += int64(x)
				dst[w].Int[i] = sum
			}
		}
	case features.ShareOf:
		part, all := b.zeros(0), b.zeros(1)
		for w := range dst {
			c.addCounts(part, c.counters[f.part], w, b.slots)
			c.addCounts(all, c.counters[f.count], w, b.slots)
			putRatios(&dst[w], part, all)
		}
	case features.Sum, features.Mean, features.Decayed:
		b.putSums(c, f, dst)
	case features.Min, features.Max:
		b.putPeaks(c, f, dst)
	case features.Recency:
		for w := range dst {
			start, out := end-c.windows[w], dst[w].Float[:n]
			for i, slot := range b.slots {
				last := int64(orderedTime(c.words[c.place(slot, c.wholeAt()+c.newest[f.newest].word)]))
				if out[i] = float64(end-last) / 1e6; last < start {
					out[i], dst[w].Valid[i] = 0, false
				}
			}
		}
	}
}

// zeros returns scratch of a number for each row, of two that there are.
func (b *buffer) zeros(which int) []int64 {
	s := &b.counts[which]
	*s = slices.Grow((*s)[:0], len(b.slots))[:len(b.slots)]
	clear(*s)
	return *s
}

// addCounts adds a counter of one bucket of some slots.
func (c *classState) addCounts(to []int64, x counter, bucket int, slots []uint32) {
	along, at, shift := c.along, (bucket*c.cells+x.word)*c.across, x.shift&63
	to = to[:len(slots)]
	if col := c.run(bucket*c.cells+x.word, slots); col != nil {
		for i, w := range col[:len(to)] {
			to[i] += int64(uint32(w >> shift))
		}
		return
	}
	for i, slot := range slots {
		to[i] += int64(uint32(c.words[int(slot)*along+at] >> shift))
	}
}

// run returns a cell's words of some slots, which ascend, if they stand one after another, as they do where a night has columns and loses nobody; else nil.
func (c *classState) run(cell int, slots []uint32) []uint64 {
	n := len(slots)
	if c.along != 1 || n == 0 || int(slots[n-1]-slots[0]) != n-1 {
		return nil
	}
	return c.cell(cell)[slots[0]:][:n]
}

// putRatios writes part / all, null where that is 0 / 0.
func putRatios(dst *table.Column, part, all []int64) {
	out, valid := dst.Float[:len(all)], dst.Valid[:len(all)]
	for i, n := range all {
		if n == 0 {
			out[i], valid[i] = 0, false
			continue
		}
		out[i] = float64(part[i]) / float64(n)
	}
}

// putKept writes what a keeper has.
func (b *buffer) putKept(c *classState, f *featureProgram, end int64, dst []table.Column) {
	starts, n := make([]int64, len(c.windows)), len(b.slots)
	for w, length := range c.windows {
		starts[w] = end - length
		clear(dst[w].Float[:min(n, len(dst[w].Float))])
		clear(dst[w].Str[:min(n, len(dst[w].Str))])
		clear(dst[w].Int[:min(n, len(dst[w].Int))])
	}
	for i, slot := range b.slots {
		c.keepers[f.keep].put(f, slot, starts, dst, i)
	}
}

// putPeaks writes the smallest or the largest values.
func (b *buffer) putPeaks(c *classState, f *featureProgram, dst []table.Column) {
	word, flip := c.peaks[f.peak].word, uint64(0)
	if f.Op == features.Min {
		flip = math.MaxUint64
	}
	for i, slot := range b.slots {
		best := uint64(0)
		for w := range dst {
			if best = max(best, c.words[c.place(slot, w*c.cells+word)]); best == 0 {
				dst[w].Float[i], dst[w].Valid[i] = 0, false
				continue
			}
			dst[w].Float[i] = unordered(best ^ flip)
		}
	}
}

// putSums writes sums, means or decayed sums: of pairs of floats, or where these don't hold a sum with what is kept beside.
func (b *buffer) putSums(c *classState, f *featureProgram, dst []table.Column) {
	n := len(b.slots)
	if len(c.rests) > 0 || !b.addSums(c, f.sum) {
		for i, slot := range b.slots {
			c.putSum(f, slot, dst, i)
		}
		return
	}
	counts := b.zeros(0)
	for w := range dst {
		out, sums := dst[w].Float[:n], b.windowed[w*n:][:n]
		switch f.Op {
		case features.Mean:
			c.addCounts(counts, c.counters[f.count], w, b.slots)
			for i, n := range counts {
				if n == 0 {
					out[i], dst[w].Valid[i] = 0, false
					continue
				}
				out[i] = sums[i] / float64(n)
			}
		case features.Decayed:
			for i, x := range sums {
				out[i] = float64(x*f.scale)*f.decay + 0
			}
		default:
			copy(out, sums)
		}
	}
}

// addSums makes b.windowed a sum of the buffer's rows over each window, if it is not that of the feature before. False if pairs of floats don't hold one.
func (b *buffer) addSums(c *classState, sum int) bool {
	if b.summed == sum {
		return true
	}
	n := len(b.slots)
	b.sums, b.windowed = slices.Grow(b.sums[:0], n)[:n], slices.Grow(b.windowed[:0], n*len(c.windows))[:n*len(c.windows)]
	b.summed = -1
	for w := range c.windows {
		cell := w*c.cells + c.class.sums[sum].word
		out, sums, high, low, along := b.windowed[w*n:][:n], b.sums, c.cell(cell), c.cell(cell+1), c.along
		if hi, lo := c.run(cell, b.slots), c.run(cell+1, b.slots); hi != nil {
			if !addRun(sums, out, hi, lo, w == 0) {
				return false
			}
			continue
		}
		for i, slot := range b.slots {
			at := int(slot) * along
			s := aggregate.Sum{Hi: math.Float64frombits(high[at]), Lo: math.Float64frombits(low[at])}
			if w > 0 {
				part := s
				if s = sums[i]; s.Add(part.Hi) != 0 || s.Add(part.Lo) != 0 {
					return false
				}
			}
			sums[i], out[i] = s, s.Result()
		}
	}
	b.summed = sum
	return true
}

// addRun adds sums, of which these are the words, to sums, or if first it sets them, and out to what they come to. False if pairs of floats don't hold one.
func addRun(sums []aggregate.Sum, out []float64, hi, lo []uint64, first bool) bool {
	n := len(sums)
	hi, lo, out = hi[:n], lo[:n], out[:n]
	if first {
		for i := range sums {
			s := aggregate.Sum{Hi: math.Float64frombits(hi[i]), Lo: math.Float64frombits(lo[i])}
			sums[i], out[i] = s, s.Result()
		}
		return true
	}
	left := uint64(0) // the bits of rests
	for i, s := range sums {
		rest, restOfLow := s.Add(math.Float64frombits(hi[i])), s.Add(math.Float64frombits(lo[i]))
		left |= math.Float64bits(rest) | math.Float64bits(restOfLow)
		sums[i], out[i] = s, s.Result()
	}
	return left<<1 == 0 // but for signs of zeros
}

// putSum writes a sum, a mean or a decayed sum of a slot, of which more than pairs of floats may be kept.
func (c *classState) putSum(f *featureProgram, slot uint32, dst []table.Column, row int) {
	var (
		sum  aggregate.Sum
		all  aggregate.Exact // once a sum has a rest
		wide bool
		n    int64
	)
	for b := range dst {
		w := c.place(slot, b*c.cells+c.sums[f.sum].word)
		part := c.sumAt(w)
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
			if n += c.counterOf(c.counters[f.count], slot, b); n == 0 {
				dst[b].Float[row], dst[b].Valid[row] = 0, false
				continue
			}
			x /= float64(n)
		case features.Decayed:
			x = float64(x*f.scale)*f.decay + 0
		}
		dst[b].Float[row] = x
	}
}
