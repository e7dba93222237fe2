package local

import (
	"math"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// accumulator is the state of one feature for the entities of one shard: a cell for each slot and bucket. Cells of one slot merge exactly, so
// window b is the merge of buckets 0…b.
type accumulator interface {
	// grow makes room for slots [0, n).
	grow(n int)
	// add adds the selected rows that pass the feature's filter.
	add(c *chunk, s *selection)
	// put writes the slot's value of every window, shortest first, to the row of the window's column.
	put(dst []table.Column, row int, slot uint32)
	// refusals is the number of values refused.
	refusals() int64
}

func newAccumulator(f featureProgram, windows int) accumulator {
	in := input{featureProgram: f}
	switch f.Op {
	case features.Count:
		return &counter{input: in, n: cells[int64]{per: windows}}
	case features.Sum, features.Mean, features.Decayed:
		return &summer{input: in, n: cells[int64]{per: windows}, sum: cells[features.Total]{per: windows}}
	case features.Min, features.Max:
		e := &extreme{input: in, sign: 1, best: cells[float64]{per: windows, empty: math.Inf(1)}}
		if f.Op == features.Max {
			e.sign = -1
		}
		return e
	case features.Distinct:
		return &distinct{input: in, n: cells[int64]{per: windows}, seen: map[member]uint8{}}
	case features.Recency:
		return &recency{input: in, age: cells[int64]{per: windows, empty: math.MaxInt64}}
	case features.ShareOf:
		return &sharer{input: in, part: cells[int64]{per: windows}, all: cells[int64]{per: windows}}
	}
	panic("local: operator " + string(f.Op) + " passed validation but has no accumulator")
}

// cells holds one value for each slot and bucket, per values a slot, in one flat slice.
type cells[T any] struct {
	per   int
	empty T
	v     []T
}

func (c *cells[T]) grow(slots int) {
	for len(c.v) < slots*c.per {
		c.v = append(c.v, c.empty)
	}
}

func (c *cells[T]) at(slot uint32, bucket uint8) *T { return &c.v[int(slot)*c.per+int(bucket)] }

func (c *cells[T]) of(slot uint32) []T { return c.v[int(slot)*c.per : (int(slot)+1)*c.per] }

// input is what the accumulators share: the feature, and the values refused.
type input struct {
	featureProgram
	bad int64
}

func (in *input) refusals() int64 { return in.bad }

// passes reports whether a row passes the feature's filter.
func (in *input) passes(c *chunk, row int32) bool { return in.pass == nil || in.pass[c.kind[row]] }

// usable reports whether a row that passes the filter has a value, and counts a refused one.
func (in *input) usable(d *laneData, row int32) bool {
	if d.state[row] == refused {
		in.bad++
	}
	return d.state[row] == usable
}

// counter is Count.
type counter struct {
	input
	n cells[int64]
}

func (a *counter) grow(n int) { a.n.grow(n) }

func (a *counter) add(c *chunk, s *selection) {
	for i, row := range s.rows {
		if a.passes(c, row) {
			*a.n.at(s.slots[i], s.buckets[i])++
		}
	}
}

func (a *counter) put(dst []table.Column, row int, slot uint32) {
	n := int64(0)
	for b, x := range a.n.of(slot) {
		n += x
		dst[b].Int[row] = n
	}
}

// summer is Sum, Mean and Decayed.
type summer struct {
	input
	n   cells[int64] // terms; kept for Mean alone
	sum cells[features.Total]
}

func (a *summer) grow(n int) {
	a.sum.grow(n)
	if a.Op == features.Mean {
		a.n.grow(n)
	}
}

func (a *summer) add(c *chunk, s *selection) {
	for i, row := range s.rows {
		if !a.passes(c, row) {
			continue
		}
		x := 1.0
		if a.lane >= 0 {
			d := &c.lanes[a.lane]
			if !a.usable(d, row) {
				continue
			}
			x = d.num[row]
		}
		switch a.Op {
		case features.Mean:
			*a.n.at(s.slots[i], s.buckets[i])++
		case features.Decayed:
			x = float64(x * math.Exp2(-float64(c.age[row])/a.halfLife)) // the conversion forbids fusing with the sum
		}
		a.sum.at(s.slots[i], s.buckets[i]).Add(x)
	}
}

func (a *summer) put(dst []table.Column, row int, slot uint32) {
	var total features.Total
	n := int64(0)
	sums := a.sum.of(slot)
	for b := range sums {
		total.Merge(&sums[b])
		x := total.Result()
		if a.Op == features.Mean {
			if n += *a.n.at(slot, uint8(b)); n == 0 {
				setNull(&dst[b], row)
				continue
			}
			x /= float64(n)
		}
		dst[b].Float[row] = x
	}
}

// extreme is Min (sign 1) and Max (sign −1, over negated values). An empty cell is +Inf, which no value is.
type extreme struct {
	input
	sign float64
	best cells[float64]
}

func (a *extreme) grow(n int) { a.best.grow(n) }

func (a *extreme) add(c *chunk, s *selection) {
	d := &c.lanes[a.lane]
	for i, row := range s.rows {
		if a.passes(c, row) && a.usable(d, row) {
			p := a.best.at(s.slots[i], s.buckets[i])
			*p = min(*p, a.sign*d.num[row])
		}
	}
}

func (a *extreme) put(dst []table.Column, row int, slot uint32) {
	best := math.Inf(1)
	for b, x := range a.best.of(slot) {
		if best = min(best, x); math.IsInf(best, 1) {
			setNull(&dst[b], row)
			continue
		}
		dst[b].Float[row] = a.sign*best + 0 // −0 becomes 0
	}
}

// distinct is Distinct: for each entity and value, the shortest window that holds one.
type distinct struct {
	input
	n    cells[int64] // values whose shortest window is the bucket
	seen map[member]uint8
}

type member struct {
	slot uint32
	id   uint64
}

func (a *distinct) grow(n int) { a.n.grow(n) }

func (a *distinct) add(c *chunk, s *selection) {
	d := &c.lanes[a.lane]
	for i, row := range s.rows {
		if !a.passes(c, row) || !a.usable(d, row) {
			continue
		}
		m, b := member{s.slots[i], d.id[row]}, s.buckets[i]
		was, ok := a.seen[m]
		if ok && was <= b {
			continue
		}
		if ok {
			*a.n.at(m.slot, was)--
		}
		a.seen[m] = b
		*a.n.at(m.slot, b)++
	}
}

func (a *distinct) put(dst []table.Column, row int, slot uint32) {
	n := int64(0)
	for b, x := range a.n.of(slot) {
		n += x
		dst[b].Int[row] = n
	}
}

// recency is Recency: the smallest age in µs.
type recency struct {
	input
	age cells[int64]
}

func (a *recency) grow(n int) { a.age.grow(n) }

func (a *recency) add(c *chunk, s *selection) {
	for i, row := range s.rows {
		if a.passes(c, row) {
			p := a.age.at(s.slots[i], s.buckets[i])
			*p = min(*p, c.age[row])
		}
	}
}

func (a *recency) put(dst []table.Column, row int, slot uint32) {
	age := int64(math.MaxInt64)
	for b, x := range a.age.of(slot) {
		if age = min(age, x); age == math.MaxInt64 {
			setNull(&dst[b], row)
			continue
		}
		dst[b].Float[row] = float64(age) / 1e6
	}
}

// sharer is ShareOf.
type sharer struct {
	input
	part, all cells[int64]
}

func (a *sharer) grow(n int) {
	a.part.grow(n)
	a.all.grow(n)
}

func (a *sharer) add(c *chunk, s *selection) {
	for i, row := range s.rows {
		if !a.passes(c, row) {
			continue
		}
		*a.all.at(s.slots[i], s.buckets[i])++
		if a.share[c.kind[row]] {
			*a.part.at(s.slots[i], s.buckets[i])++
		}
	}
}

func (a *sharer) put(dst []table.Column, row int, slot uint32) {
	part, all := int64(0), int64(0)
	for b, x := range a.all.of(slot) {
		all += x
		part += *a.part.at(slot, uint8(b))
		if all == 0 {
			setNull(&dst[b], row)
			continue
		}
		dst[b].Float[row] = float64(part) / float64(all)
	}
}

func setNull(c *table.Column, row int) { c.Valid[row] = false }
