package local

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/features/local/internal/words"
)

// What a piece (piece.go) says of the entities of one class is, for each bucket, then of what tells times:
//
//	bucket  columns: the number of events, the other counters, and of each sum its two words, as the exact number that it is; behind those of a sum the
//	        rows of which two words don't hold it, with the sum (aggregate.Exact). Then for each row that has events the counts by value (aggregate.Tallies).
//	timed   a column of each latest time; then, the lists of each keeper, and row by row the members of each set (aggregate.Members)
//
// Of a tile it is one bucket. What of a state no window needs any more is left out, and sums are written as the exact number that they are, so equal
// events give equal bytes.

// stateFormat is part of every check: it changes with the encoding.
const stateFormat = 2

// seedOf returns what the checks of a group's states as of an end, or of its tiles of a span, begin with: a hash of its views, the types of the
// columns that they read and put out, and the span.
func seedOf(p *program, g *group, start, end int64) uint64 {
	text := fmt.Appendf(nil, "%d %d %d %d %d", stateFormat, partitions, pieceRows, start, end)
	for _, i := range g.views {
		v := p.views[i].View
		body, err := json.Marshal(v)
		if err != nil {
			body = fmt.Appendf(nil, "%v", v) // no float of a valid view is NaN
		}
		text = fmt.Appendf(text, " %s %v", body, v.Schema(p.schema))
		for _, c := range v.Columns() {
			text = fmt.Appendf(text, " %s", features.TypeOf(p.schema, c))
		}
	}
	return xxh3.Hash(text)
}

// sumAt and setSum read and write the two words of a sum, the first of which stands at a place.
func (c *classState) sumAt(at int) aggregate.Sum {
	return aggregate.Sum{Hi: math.Float64frombits(c.words[at]), Lo: math.Float64frombits(c.words[at+c.across])}
}

func (c *classState) setSum(at int, s aggregate.Sum) {
	c.words[at], c.words[at+c.across] = math.Float64bits(s.Hi), math.Float64bits(s.Lo)
}

// appendBucket writes a bucket of some slots. Sums that decay are written relative to the base of the time from. col and low are scratch of as many words.
func (c *classState) appendBucket(dst []byte, slots []uint32, bucket int, from int64, col, low []uint64) []byte {
	first, along := bucket*c.cells, c.along
	for _, x := range c.counters {
		cell, shift := c.cell(first+x.word), x.shift&63
		for i, slot := range slots {
			col[i] = uint64(uint32(cell[int(slot)*along] >> shift))
		}
		dst = words.Append(dst, col)
	}
	for _, x := range c.sums {
		scale := math.Ldexp(1, x.shift(from))
		high, rest := c.cell(first+x.word), c.cell(first+x.word+1)
		for i, slot := range slots {
			hi, lo := canonical(math.Float64frombits(high[int(slot)*along]), math.Float64frombits(rest[int(slot)*along]))
			col[i], low[i] = math.Float64bits(hi*scale+0), math.Float64bits(lo*scale+0)
		}
		dst = c.appendSums(dst, slots, first+x.word, x.shift(from), col, low)
	}
	for _, k := range c.keepers {
		if t, ok := k.(*tallied); ok {
			for _, slot := range slots {
				if c.count0(slot, bucket) != 0 {
					dst = t.append(dst, slot, bucket)
				}
			}
		}
	}
	return dst
}

// appendSums writes the two columns of a sum, and apart from them the sums of which more is kept beside.
func (c *classState) appendSums(dst []byte, slots []uint32, cell, shift int, col, low []uint64) []byte {
	var apart []byte
	n := uint64(0)
	if len(c.rests) > 0 {
		for i, slot := range slots {
			place := c.place(slot, cell)
			rest := c.rests[uint32(place)]
			if rest == nil || len(rest.Partials()) == 0 {
				continue
			}
			s := c.exact(place)
			s.Scale(shift)
			body := s.Append(nil)
			if s, _, err := aggregate.DecodeSum(body); err == nil && len(s.Rest.Partials()) == 0 {
				hi, lo := canonical(s.Hi, s.Lo)
				col[i], low[i] = math.Float64bits(hi), math.Float64bits(lo)
				continue
			}
			col[i], low[i] = 0, 0
			apart = append(aggregate.AppendUint(apart, uint64(i)), body...)
			n++
		}
	}
	dst = words.Append(words.Append(dst, col), low)
	return append(aggregate.AppendUint(dst, n), apart...)
}

// canonical returns the sum of two floats as the rounded sum and what is left of it: equal sums are equal floats.
func canonical(hi, lo float64) (rounded, left float64) {
	rounded = hi + lo
	y := rounded - hi
	return rounded + 0, (hi - (rounded - y)) + (lo - y) + 0
}

// shift is the power of two by which a sum that decays is multiplied to be relative to the base of the time from.
func (x summer) shift(from int64) int {
	if x.decay.HalfLife == 0 {
		return 0
	}
	return int(x.base - x.decay.Base(from))
}

// exact returns the sum at a place, with what is kept beside it.
func (c *classState) exact(at int) aggregate.Exact {
	s := aggregate.Exact{}
	s.MergeSum(c.sumAt(at), c.rests[uint32(at)])
	return s
}

// bucketData is a bucket that was read, of some rows: columns, nil where all words are 0.
type bucketData struct {
	counts  [][]uint64    // by counter
	sums    [][2][]uint64 // by sum
	apart   [][]sumApart  // by sum
	tallies [][]tallyOf   // by keeper
	room    []uint64      // of the columns
	used    int           // words of room
}

// sumApart is a sum that two words don't hold.
type sumApart struct {
	row int
	sum aggregate.Exact
}

// tallyOf is a count by value of a row.
type tallyOf struct {
	row int
	aggregate.Tally[int64]
}

// reset makes the data of no rows, for buckets of the class.
func (d *bucketData) reset(c *classState, rows int) {
	d.counts, d.sums, d.tallies, d.used = d.counts[:0], d.sums[:0], d.tallies[:0], 0
	if need := rows * (len(c.counters) + 2*len(c.sums)); len(d.room) < need {
		d.room = make([]uint64, need)
	}
	for len(d.apart) < len(c.sums) {
		d.apart = append(d.apart, nil)
	}
	for i := range d.apart {
		d.apart[i] = d.apart[i][:0]
	}
}

// column reads a column of so many rows to where it belongs, or if that is nil to the room; nil if all of it is 0.
func (d *bucketData) column(rows int, to []uint64, src []byte) (col []uint64, all uint64, rest []byte, err error) {
	if col = to; to == nil {
		col = d.room[d.used:]
	}
	col = col[:rows]
	if all, rest, err = words.Read(col, src); all == 0 {
		return nil, 0, rest, err
	}
	if to == nil {
		d.used += rows
	}
	return col, all, rest, err
}

// maxSum is the largest magnitude of a sum of fewer than 2^62 values.
const maxSum = features.MaxValue * (1 << 62)

// readBucket reads what appendBucket wrote of so many rows, from being the same, and returns the bytes behind it. Columns that setBucket would
// copy as they are come to where to, which may be nil, says that a cell of them stands.
func (c *classState) readBucket(d *bucketData, rows int, src []byte, from int64, to func(cell int) []uint64) (rest []byte, err error) {
	d.reset(c, rows)
	place := func(cell int) []uint64 {
		if to == nil {
			return nil
		}
		return to(cell)
	}
	for i, x := range c.counters {
		var col, own []uint64
		var all uint64
		if x.shift == 0 {
			own = place(x.word)
		}
		if col, all, src, err = d.column(rows, own, src); err != nil {
			return nil, err
		}
		if d.counts = append(d.counts, col); col == nil {
			continue
		}
		if all > math.MaxUint32 || i > 0 && d.counts[0] == nil {
			return nil, aggregate.ErrDamaged
		}
		for j, n := range d.counts[0] {
			if col[j] > n {
				return nil, aggregate.ErrDamaged
			}
		}
	}
	for i, x := range c.sums {
		var pair [2][]uint64
		for k := range pair {
			if pair[k], _, src, err = d.column(rows, place(x.word+k), src); err != nil {
				return nil, err
			}
		}
		if d.sums = append(d.sums, pair); !scaleSums(pair, math.Ldexp(1, -x.shift(from))) {
			return nil, aggregate.ErrDamaged
		}
		var n uint64
		if n, src, err = aggregate.DecodeUint(src); err != nil {
			return nil, err
		}
		for next := 0; n > 0; n-- {
			var row uint64
			if row, src, err = aggregate.DecodeUint(src); err != nil {
				return nil, err
			}
			s := sumApart{row: int(row)}
			if s.sum, src, err = aggregate.DecodeSum(src); err != nil {
				return nil, err
			}
			if row >= uint64(rows) || s.row < next {
				return nil, aggregate.ErrDamaged
			}
			s.sum.Scale(-x.shift(from))
			d.apart[i], next = append(d.apart[i], s), s.row+1
		}
	}
	for _, k := range c.keepers {
		t, ok := k.(*tallied)
		if !ok {
			d.tallies = append(d.tallies, nil)
			continue
		}
		var all []tallyOf
		for row := range rows {
			if d.counts[0] == nil || d.counts[0][row] == 0 {
				continue
			}
			var list []aggregate.Tally[int64]
			if list, src, err = t.decode(src); err != nil {
				return nil, err
			}
			for _, x := range list {
				all = append(all, tallyOf{row, x})
			}
		}
		d.tallies = append(d.tallies, all)
	}
	return src, nil
}

// scaleSums multiplies the sums of two columns by a power of two; false if some are no sums.
func scaleSums(pair [2][]uint64, scale float64) bool {
	if pair[0] == nil {
		return pair[1] == nil
	}
	for i, hi := range pair[0] {
		if !(math.Abs(math.Float64frombits(hi)) <= maxSum) {
			return false
		}
		if scale != 1 {
			pair[0][i] = math.Float64bits(math.Float64frombits(hi) * scale)
		}
	}
	for i, w := range pair[1] {
		lo, hi := math.Float64frombits(w)*scale, math.Float64frombits(pair[0][i])
		if hi+lo != hi {
			return false
		}
		pair[1][i] = math.Float64bits(lo)
	}
	return true
}

// setBucket puts a bucket that was read into that of slots first, first+1, …, which have no events yet; of columns what is not there already.
func (c *classState) setBucket(first uint32, bucket int, d *bucketData) error {
	along := c.along
	for i, x := range c.counters {
		words, shift := c.words[c.place(first, bucket*c.cells+x.word):], x.shift&63
		if same(d.counts[i], words) {
			continue
		}
		for j, n := range d.counts[i] {
			words[j*along] |= n << shift
		}
	}
	for i, x := range c.sums {
		for k, col := range d.sums[i] {
			words := c.words[c.place(first, bucket*c.cells+x.word+k):]
			if same(col, words) {
				continue
			}
			for j, w := range col {
				words[j*along] = w
			}
		}
		for _, s := range d.apart[i] {
			c.addSum(c.place(first+uint32(s.row), bucket*c.cells+x.word), &s.sum, 1)
		}
	}
	for i, list := range d.tallies {
		for _, x := range list {
			if !c.keepers[i].(*tallied).t.add(first+uint32(x.row), uint8(bucket), x.Key, x.N) {
				return errInconsistent
			}
		}
	}
	return nil
}

// same reports whether two columns begin at one place in memory.
func same(a, b []uint64) bool { return len(a) > 0 && &a[0] == &b[0] }

// addBucket adds a bucket that was read to that of some slots; with sign −1 it takes it away.
func (c *classState) addBucket(slots []uint32, bucket int, d *bucketData, sign int64) error {
	first, along := bucket*c.cells, c.along
	for i, x := range c.counters {
		words, shift := c.cell(first+x.word), x.shift&63
		for j, n := range d.counts[i] {
			p := &words[int(slots[j])*along]
			sum := int64(uint32(*p>>shift)) + sign*int64(n)
			if uint64(sum) > math.MaxUint32 {
				return errInconsistent
			}
			*p = *p&^(math.MaxUint32<<shift) | uint64(sum)<<shift
		}
	}
	minus := uint64(sign) & (1 << 63)
	for i, x := range c.sums {
		at := (first + x.word) * c.across
		low := d.sums[i][1]
		for j, v := range d.sums[i][0] {
			if v == 0 { // and so is the low word
				continue
			}
			place := int(slots[j])*along + at
			s := c.sumAt(place)
			rest, restOfLow := s.Add(math.Float64frombits(v^minus)), 0.0
			if low != nil {
				restOfLow = s.Add(math.Float64frombits(low[j] ^ minus))
			}
			c.setSum(place, s)
			if rest != 0 {
				c.rest(uint32(place)).Add(rest)
			}
			if restOfLow != 0 {
				c.rest(uint32(place)).Add(restOfLow)
			}
		}
		for _, s := range d.apart[i] {
			c.addSum(int(slots[s.row])*along+at, &s.sum, sign)
		}
	}
	for i, list := range d.tallies {
		for _, x := range list {
			if !c.keepers[i].(*tallied).t.add(slots[x.row], uint8(bucket), x.Key, sign*x.N) {
				return errInconsistent
			}
		}
	}
	return nil
}

// tallies reports whether the class counts values by bucket.
func (c *class) tallies() bool {
	return slices.ContainsFunc(c.keeps, func(k keep) bool { return k.op == features.Top || k.op == features.Quantile })
}

// moveShortest moves what slots [from, to) have in the bucket of the shortest window to another bucket; outside: nowhere.
func (c *classState) moveShortest(from, to, bucket int) error {
	column := func(cell int) []uint64 { return c.cell(cell)[from:to] }
	for _, x := range c.counters {
		shift := x.shift & 63
		if bucket < 0 {
			break
		}
		in := column(bucket*c.cells + x.word)
		for i, w := range column(x.word) {
			sum := in[i]>>shift&math.MaxUint32 + w>>shift&math.MaxUint32
			if sum > math.MaxUint32 {
				return errInconsistent
			}
			in[i] = in[i]&^(math.MaxUint32<<shift) | sum<<shift
		}
	}
	for _, x := range c.sums {
		if bucket < 0 {
			break
		}
		cell := bucket*c.cells + x.word
		hi, lo := column(cell), column(cell+1)
		low := column(x.word + 1)
		for i, w := range column(x.word) {
			if w|low[i] == 0 {
				continue
			}
			s := aggregate.Sum{Hi: math.Float64frombits(hi[i]), Lo: math.Float64frombits(lo[i])}
			rest := s.Add(math.Float64frombits(w))
			restOfLow := s.Add(math.Float64frombits(low[i]))
			hi[i], lo[i] = math.Float64bits(s.Hi), math.Float64bits(s.Lo)
			if rest != 0 {
				c.rest(uint32(cell*c.across + from + i)).Add(rest)
			}
			if restOfLow != 0 {
				c.rest(uint32(cell*c.across + from + i)).Add(restOfLow)
			}
		}
		for at, rest := range c.rests {
			if at := int(at) - x.word*c.across; at >= from && at < to {
				c.rest(uint32(cell*c.across + at)).Merge(rest)
			}
		}
	}
	for cell := range c.cells {
		clear(column(cell))
	}
	for at := range c.rests {
		if slot := int(at) % c.across; int(at) < c.cells*c.across && slot >= from && slot < to {
			delete(c.rests, at)
		}
	}
	return nil
}

// addSum adds a sum to that at a place; with sign −1 it takes it away.
func (c *classState) addSum(at int, x *aggregate.Exact, sign int64) {
	s := aggregate.Exact{Sum: c.sumAt(at)}
	if sign > 0 {
		s.Merge(x)
	} else {
		s.Subtract(x)
	}
	c.setSum(at, s.Sum)
	if len(s.Rest.Partials()) > 0 {
		c.rest(uint32(at)).Merge(&s.Rest)
	}
}

// appendState writes the states of some slots as of end. col and low are scratch of as many words.
func (c *classState) appendState(dst []byte, slots []uint32, end int64, members []gathered, col, low []uint64) []byte {
	from := end - c.longest()
	for b := range c.windows {
		dst = c.appendBucket(dst, slots, b, from, col, low)
	}
	for _, x := range c.newest {
		for i, slot := range slots {
			w := c.words[c.place(slot, c.wholeAt()+x.word)]
			if col[i] = 0; w != 0 && int64(orderedTime(w)) >= from {
				col[i] = orderedTime(w) - uint64(from) + 1
			}
		}
		dst = words.Append(dst, col)
	}
	for _, k := range c.keepers {
		if t, ok := k.(timedKeeper); ok {
			dst = t.append(dst, slots, from)
		}
	}
	for i := range members {
		for _, slot := range slots {
			dst = members[i].append(dst, slot, from)
		}
	}
	return dst
}

// readState reads what appendState wrote of some entities as of end into as many slots from first on, which must have no events yet.
func (c *classState) readState(first uint32, rows int, src []byte, end int64, d *bucketData, set *aggregate.Members, s *scratch) (err error) {
	from := end - c.longest()
	for b := range c.windows {
		var to func(int) []uint64
		if c.columns {
			to = func(cell int) []uint64 { return c.words[c.place(first, b*c.cells+cell):] }
		}
		if src, err = c.readBucket(d, rows, src, from, to); err != nil {
			return err
		}
		if err = c.setBucket(first, b, d); err != nil {
			return err
		}
	}
	for _, x := range c.newest {
		d.reset(c, rows)
		var col []uint64
		if col, _, src, err = d.column(rows, nil, src); err != nil {
			return err
		}
		words, along := c.words[c.place(first, c.wholeAt()+x.word):], c.along
		for i, w := range col {
			if w != 0 {
				words[i*along] = orderedTime(w - 1 + uint64(from))
			}
		}
	}
	for _, k := range c.keepers {
		if t, ok := k.(timedKeeper); ok {
			if src, err = t.decode(first, rows, src, from); err != nil {
				return err
			}
		}
	}
	for i := range c.members {
		for row := range rows {
			if *set, src, err = aggregate.DecodeMembers(*set, src); err != nil {
				return err
			}
			c.members[i].addMembers(first+uint32(row), *set, s)
		}
	}
	if len(src) > 0 {
		return aggregate.ErrDamaged
	}
	return nil
}

// readTile reads what appendBucket wrote of a tile that begins at start, and moves it from a bucket of some slots, and to another.
func (c *classState) readTile(slots []uint32, src []byte, start int64, from, to int8, d *bucketData) error {
	rest, err := c.readBucket(d, len(slots), src, start, nil)
	if err == nil && len(rest) > 0 {
		err = aggregate.ErrDamaged
	}
	if err == nil && to >= 0 {
		err = c.addBucket(slots, int(to), d, 1)
	}
	if err == nil && from >= 0 {
		err = c.addBucket(slots, int(from), d, -1)
	}
	return err
}

// settle checks, after events have left buckets, that nothing is left in one that has none; false if the prior state was not of the same events.
func (c *classState) settle(slots int) bool {
	for b := range c.windows {
		for slot := range uint32(slots) {
			if c.count0(slot, b) != 0 {
				continue
			}
			for _, x := range c.counters {
				if c.counterOf(x, slot, b) != 0 {
					return false
				}
			}
			for _, x := range c.sums {
				at := c.place(slot, b*c.cells+x.word)
				if c.words[at]|c.words[at+c.across] == 0 && len(c.rests) == 0 {
					continue
				}
				if s := c.exact(at); !s.Zero() {
					return false
				}
			}
		}
	}
	for _, k := range c.keepers {
		if t, ok := k.(*tallied); ok && !t.settle(c) {
			return false
		}
	}
	return true
}
