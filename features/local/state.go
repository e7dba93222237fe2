package local

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/zeebo/xxh3"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
)

// A row of a state is, after the entity's key, for each bucket its cells, then what tells times:
//
//	bucket  the number of events; if that is not 0: the other counters, the sums (aggregate.Exact), the counts by value (aggregate.Tallies)
//	timed   the latest times (0, or 1 and the time), the lists of keepers, the members (aggregate.Members)
//	check   8 bytes: a hash of all of this, the key, the view, and the end as of which it is
//
// A row of a tile is one bucket and the check. What of a state no window needs any more is left out, and sums are written as the exact
// number that they are, so equal events give equal bytes.

// stateFormat is part of every check: it changes with the encoding.
const stateFormat = 1

// seedOf returns what the checks of a view's states as of an end, or of its tiles of a span, begin with: a hash of the view, the types of the
// columns that it reads and puts out, and the span.
func seedOf(p *program, v features.View, start, end int64) uint64 {
	text, err := json.Marshal(v)
	if err != nil {
		text = fmt.Appendf(nil, "%v", v) // no float of a valid view is NaN
	}
	text = fmt.Appendf(text, "%d %d %d %v", stateFormat, start, end, v.Schema(p.schema))
	for _, c := range v.Columns() {
		text = fmt.Appendf(text, " %s", features.TypeOf(p.schema, c))
	}
	return xxh3.Hash(text)
}

// check returns the check of a row.
func check(seed uint64, key []uint64, row []byte) uint64 {
	return aggregate.HashBits(xxh3.Hash(row)+seed) ^ hashKey(key)
}

// seal appends the check of what was appended to dst from at on.
func seal(dst []byte, at int, seed uint64, key []uint64) []byte {
	return binary.LittleEndian.AppendUint64(dst, check(seed, key, dst[at:]))
}

// open returns a row without its check, if it is what was written.
func open(row []byte, seed uint64, key []uint64) ([]byte, error) {
	n := len(row) - 8
	if n < 0 || binary.LittleEndian.Uint64(row[n:]) != check(seed, key, row[:n]) {
		return nil, aggregate.ErrDamaged
	}
	return row[:n], nil
}

// appendBucket writes a bucket of a slot. Sums that decay are written relative to the base of the time from.
func (c *classState) appendBucket(dst []byte, slot uint32, bucket int, from int64) []byte {
	at := int(slot)*c.stride() + bucket*c.cells
	cells := c.words[at:][:c.cells]
	n := c.counters[0].of(cells)
	if dst = aggregate.AppendUint(dst, uint64(n)); n == 0 {
		return dst
	}
	for _, x := range c.counters[1:] {
		dst = aggregate.AppendUint(dst, uint64(x.of(cells)))
	}
	for _, x := range c.sums {
		shift := x.shift(from)
		if shift == 0 && len(c.rests) == 0 {
			dst = aggregate.AppendSum(dst, aggregate.Sum{Hi: math.Float64frombits(cells[x.word]), Lo: math.Float64frombits(cells[x.word+1])})
			continue
		}
		s := c.exact(at + x.word)
		s.Scale(shift)
		dst = s.Append(dst)
	}
	for _, k := range c.keepers {
		if t, ok := k.(*tallied); ok {
			dst = t.append(dst, slot, bucket)
		}
	}
	return dst
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
	s.MergeSum(aggregate.Sum{Hi: math.Float64frombits(c.words[at]), Lo: math.Float64frombits(c.words[at+1])}, c.rests[uint32(at)])
	return s
}

// bucketData is a bucket that was read.
type bucketData struct {
	counts  []uint64 // of the class's counters
	sums    []aggregate.Exact
	tallies [][]aggregate.Tally[int64] // of the class's keepers
}

// readBucket reads what appendBucket wrote, from being the same, and returns the bytes behind it.
func (c *classState) readBucket(d *bucketData, src []byte, from int64) (rest []byte, err error) {
	d.counts, d.sums, d.tallies = d.counts[:0], d.sums[:0], d.tallies[:0]
	for i := range c.counters {
		var n uint64
		if len(src) > 0 && src[0] < 1<<7 { // nearly always
			n, src = uint64(src[0]), src[1:]
		} else if n, src, err = aggregate.DecodeUint(src); err != nil {
			return nil, err
		}
		if i == 0 && n == 0 {
			return src, nil
		}
		if n > math.MaxUint32 || i > 0 && n > d.counts[0] {
			return nil, aggregate.ErrDamaged
		}
		d.counts = append(d.counts, n)
	}
	for _, x := range c.sums {
		s, rest, err := aggregate.DecodeSum(src)
		if err != nil {
			return nil, err
		}
		if shift := x.shift(from); shift != 0 {
			s.Scale(-shift)
		}
		d.sums, src = append(d.sums, s), rest
	}
	for _, k := range c.keepers {
		t, ok := k.(*tallied)
		if !ok {
			d.tallies = append(d.tallies, nil)
			continue
		}
		list, rest, err := t.decode(src)
		if err != nil {
			return nil, err
		}
		d.tallies, src = append(d.tallies, list), rest
	}
	return src, nil
}

// addBucket adds a bucket that was read to a slot's; with sign −1 it takes it away.
func (c *classState) addBucket(slot uint32, bucket int, d *bucketData, sign int64) error {
	if len(d.counts) == 0 {
		return nil
	}
	at := int(slot)*c.stride() + bucket*c.cells
	fresh := sign > 0 && c.counters[0].of(c.words[at:]) == 0
	for i, x := range c.counters {
		n := x.of(c.words[at:]) + sign*int64(d.counts[i])
		if n < 0 || n > math.MaxUint32 {
			return errInconsistent
		}
		p := &c.words[at+x.word]
		*p = *p&^(math.MaxUint32<<x.shift) | uint64(n)<<x.shift
	}
	for i, x := range c.sums {
		if fresh && len(d.sums[i].Rest.Partials()) == 0 && c.words[at+x.word]|c.words[at+x.word+1] == 0 {
			c.words[at+x.word], c.words[at+x.word+1] = math.Float64bits(d.sums[i].Hi), math.Float64bits(d.sums[i].Lo)
			continue
		}
		s := aggregate.Exact{Sum: aggregate.Sum{Hi: math.Float64frombits(c.words[at+x.word]), Lo: math.Float64frombits(c.words[at+x.word+1])}}
		if sign > 0 {
			s.Merge(&d.sums[i])
		} else {
			s.Subtract(&d.sums[i])
		}
		c.words[at+x.word], c.words[at+x.word+1] = math.Float64bits(s.Hi), math.Float64bits(s.Lo)
		if len(s.Rest.Partials()) > 0 {
			c.rest(uint32(at + x.word)).Merge(&s.Rest)
		}
	}
	for i, k := range c.keepers {
		if t, ok := k.(*tallied); ok {
			for _, x := range d.tallies[i] {
				if !t.t.add(slot, uint8(bucket), x.Key, sign*x.N) {
					return errInconsistent
				}
			}
		}
	}
	return nil
}

// appendState writes the state of a slot as of end.
func (c *classState) appendState(dst []byte, slot uint32, end int64, members []gathered) []byte {
	from := end - c.longest()
	for b := range c.windows {
		dst = c.appendBucket(dst, slot, b, from)
	}
	whole := c.words[int(slot)*c.stride()+c.wholeAt():]
	for _, x := range c.newest {
		if t := int64(orderedTime(whole[x.word])); whole[x.word] != 0 && t >= from {
			dst = aggregate.AppendInt(aggregate.AppendUint(dst, 1), t)
		} else {
			dst = aggregate.AppendUint(dst, 0)
		}
	}
	for _, k := range c.keepers {
		if t, ok := k.(timedKeeper); ok {
			dst = t.append(dst, slot, from)
		}
	}
	for i := range members {
		dst = members[i].append(dst, slot, from)
	}
	return dst
}

// readState reads into a slot what appendState wrote as of end. The slot must have no events yet.
func (c *classState) readState(slot uint32, src []byte, end int64, d *bucketData, set *aggregate.Members, s *scratch) (err error) {
	from, some := end-c.longest(), false
	at := int(slot) * c.stride()
	for b := range c.windows {
		if c.counters[0].of(c.words[at+b*c.cells:]) != 0 {
			return errInconsistent // the entity stands twice
		}
		if src, err = c.readBucket(d, src, from); err != nil {
			return err
		}
		some = some || len(d.counts) > 0
		if err = c.addBucket(slot, b, d, 1); err != nil {
			return err
		}
	}
	for _, x := range c.newest {
		var has uint64
		if has, src, err = aggregate.DecodeUint(src); err != nil {
			return err
		}
		if has != 0 {
			var t int64
			if t, src, err = aggregate.DecodeInt(src); err != nil {
				return err
			}
			c.words[at+c.wholeAt()+x.word] = orderedTime(uint64(t))
		}
	}
	for _, k := range c.keepers {
		if t, ok := k.(timedKeeper); ok {
			if src, err = t.decode(slot, src); err != nil {
				return err
			}
		}
	}
	for i := range c.members {
		if *set, src, err = aggregate.DecodeMembers(*set, src); err != nil {
			return err
		}
		c.members[i].addMembers(slot, *set, s)
	}
	if len(src) > 0 || !some {
		return aggregate.ErrDamaged
	}
	return nil
}

// settle checks, after events have left buckets, that nothing is left in one that has none; false if the prior state was not of the same events.
func (c *classState) settle(slots int) bool {
	for slot := range slots {
		for b := range c.windows {
			at := slot*c.stride() + b*c.cells
			if c.counters[0].of(c.words[at:]) != 0 {
				continue
			}
			for _, x := range c.counters {
				if x.of(c.words[at:]) != 0 {
					return false
				}
			}
			for _, x := range c.sums {
				if s := c.exact(at + x.word); !s.Zero() {
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
