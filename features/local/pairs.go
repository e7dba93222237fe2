package local

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/rapport-ml/rapport/features/aggregate"
)

// pairs holds, for each entity of a partition and each value that it had, what is known of their last event: the shortest bucket that holds one,
// or, if a later build is to go on from it, the time. Open-addressed tables of words without pointers:
//
//	shelves  4 bytes a pair, as long as all values are below 2^20 to 2^26, by the number of buckets (shelfLimit)
//	narrow  8 bytes a pair, as long as all values are below 2^32: value << 32 | mark
//	wide    value and mark apart, 12 bytes a pair, and the time, if asked for
//
// A mark is (slot + 1) << 6 | bucket; 0 is a free place.
type pairs struct {
	n          int
	bucketBits int // that buckets take in a shelf
	shelves    []shelf
	held       int64 // bytes of their words
	narrow     []uint64
	ids        []uint64
	marks      []uint32
	times      []int64 // of a timed table alone, which is always wide
	timed      bool
}

// newPairs returns an empty table for some buckets, or for times.
func newPairs(buckets int, timed bool) pairs {
	return pairs{bucketBits: bits.Len(uint(buckets - 1)), timed: timed}
}

const (
	bucketBits = 6
	maxSlot    = 1<<(32-bucketBits) - 2
)

func hashPair(slot uint32, id uint64) uint64 {
	h := (id ^ uint64(slot)<<40 ^ uint64(slot)) * 0x9e3779b97f4a7c15
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return h ^ h>>32
}

// spread scales a hash to [0, n).
func spread(h uint64, n int) int {
	hi, _ := bits.Mul64(h, uint64(n))
	return int(hi)
}

// add adds the pairs of slots and ids, with their buckets or times; places is scratch.
func (t *pairs) add(slots []uint32, ids []uint64, buckets []uint8, times []int64, places []uint32) {
	if !t.timed && t.ids == nil {
		most := uint64(0)
		for _, id := range ids {
			most = max(most, id)
		}
		switch {
		case t.narrow == nil && most < shelfLimit(t.bucketBits):
			t.addShelved(slots, ids, buckets)
			return
		case most <= math.MaxUint32:
			t.unshelve()
			t.room(len(slots))
			t.addNarrow(slots, ids, buckets, places)
			return
		}
		t.widen()
	}
	t.room(len(slots))
	n := len(t.ids)
	touched := uint32(0)
	for i, slot := range slots {
		at := spread(hashPair(slot, ids[i]), n)
		places[i] = uint32(at)
		touched += t.marks[at]
	}
	sink(uint64(touched))
	for i, slot := range slots {
		at, id := int(places[i]), ids[i]
		mark := (slot + 1) << bucketBits
		for {
			m := t.marks[at]
			if m == 0 {
				t.n++
				t.ids[at] = id
				if t.timed {
					t.marks[at], t.times[at] = mark, times[i]
				} else {
					t.marks[at] = mark | uint32(buckets[i])
				}
				break
			}
			if m>>bucketBits == slot+1 && t.ids[at] == id {
				if t.timed {
					t.times[at] = max(t.times[at], times[i])
				} else {
					t.marks[at] = min(m, mark|uint32(buckets[i]))
				}
				break
			}
			if at++; at == n {
				at = 0
			}
		}
	}
}

// unshelve turns shelves into a narrow table.
func (t *pairs) unshelve() {
	if t.narrow != nil {
		return
	}
	t.narrow = make([]uint64, t.n*6/5+8)
	t.eachShelved(func(slot uint32, id uint64, bucket uint8) {
		t.placeNarrow(id<<32 | uint64(slot+1)<<bucketBits | uint64(bucket))
	})
	t.shelves, t.held = nil, 0
}

// placeNarrow puts a pair that the table does not hold into a free place.
func (t *pairs) placeNarrow(x uint64) {
	at := spread(hashPair(uint32(x)>>bucketBits-1, x>>32), len(t.narrow))
	for t.narrow[at] != 0 {
		if at++; at == len(t.narrow) {
			at = 0
		}
	}
	t.narrow[at] = x
}

func (t *pairs) addNarrow(slots []uint32, ids []uint64, buckets []uint8, places []uint32) {
	n := len(t.narrow)
	touched := uint64(0)
	for i, slot := range slots {
		at := spread(hashPair(slot, ids[i]), n)
		places[i] = uint32(at)
		touched += t.narrow[at]
	}
	sink(touched)
	for i, slot := range slots {
		at := int(places[i])
		x := ids[i]<<32 | uint64(slot+1)<<bucketBits | uint64(buckets[i])
		for {
			y := t.narrow[at]
			if y == 0 {
				t.n++
				t.narrow[at] = x
				break
			}
			if (x^y)>>bucketBits == 0 {
				t.narrow[at] = min(x, y)
				break
			}
			if at++; at == n {
				at = 0
			}
		}
	}
}

// room makes room for more pairs, at a load of at most 5/6.
func (t *pairs) room(more int) {
	size := max(len(t.narrow), len(t.ids))
	if need := (t.n + more) * 6; need > size*5 {
		t.resize(max(need/5+8, size*3/2))
	}
}

func (t *pairs) resize(size int) {
	if !t.timed && t.ids == nil {
		old := t.narrow
		t.narrow = make([]uint64, size)
		for _, x := range old {
			if x != 0 {
				t.placeNarrow(x)
			}
		}
		return
	}
	old := *t
	t.wide(size)
	for i, m := range old.marks {
		if m == 0 {
			continue
		}
		at := t.place(m, old.ids[i])
		if t.timed {
			t.times[at] = old.times[i]
		}
	}
}

func (t *pairs) wide(size int) {
	t.ids, t.marks = make([]uint64, size), make([]uint32, size)
	if t.timed {
		t.times = make([]int64, size)
	}
}

// place puts a pair that the table does not hold into a free place.
func (t *pairs) place(mark uint32, id uint64) int {
	at := spread(hashPair(mark>>bucketBits-1, id), len(t.ids))
	for t.marks[at] != 0 {
		if at++; at == len(t.ids) {
			at = 0
		}
	}
	t.ids[at], t.marks[at] = id, mark
	return at
}

// widen turns any table into a wide one.
func (t *pairs) widen() {
	old := *t
	t.shelves, t.held, t.narrow = nil, 0, nil
	t.wide(t.n*6/5 + 8)
	old.each(func(slot uint32, id uint64, bucket uint8, _ int64) {
		t.place((slot+1)<<bucketBits|uint32(bucket), id)
	})
}

// each calls f with every pair: its bucket, or its time if the table is timed.
func (t *pairs) each(f func(slot uint32, id uint64, bucket uint8, time int64)) {
	t.eachShelved(func(slot uint32, id uint64, bucket uint8) { f(slot, id, bucket, 0) })
	for _, x := range t.narrow {
		if x != 0 {
			f(uint32(x)>>bucketBits-1, x>>32, uint8(x&(1<<bucketBits-1)), 0)
		}
	}
	for i, m := range t.marks {
		if m == 0 {
			continue
		}
		time := int64(0)
		if t.timed {
			time = t.times[i]
		}
		f(m>>bucketBits-1, t.ids[i], uint8(m&(1<<bucketBits-1)), time)
	}
}

func (t *pairs) bytes() int64 {
	return int64(32*cap(t.shelves)+8*cap(t.narrow)+8*cap(t.ids)+4*cap(t.marks)+8*cap(t.times)) + t.held
}

// addMembers adds an entity's values, with their last times, to a timed table.
func (t *pairs) addMembers(slot uint32, set []aggregate.Member, s *scratch) {
	for len(set) > 0 {
		n := min(len(set), len(s.ids))
		for i, m := range set[:n] {
			s.slotsOf[i], s.ids[i], s.times[i] = slot, m.ID, m.Time
		}
		t.add(s.slotsOf[:n], s.ids[:n], nil, s.times[:n], s.places)
		set = set[n:]
	}
}

// gathered is a timed table sorted by slot.
type gathered struct {
	t      *pairs
	starts []uint32
	order  []uint32
	set    aggregate.Members
}

// gather sorts the pairs by slot. Nothing may be added afterwards.
func (t *pairs) gather(slots int) gathered {
	g := gathered{t: t}
	g.starts, g.order = marksBySlot(t.marks, t.n, slots)
	return g
}

// marksBySlot sorts the places of n marks by their slots, of which there are so many: those of a slot stand in order[starts[slot]:starts[slot+1]].
func marksBySlot(marks []uint32, n, slots int) (starts, order []uint32) {
	starts, order = make([]uint32, slots+1), make([]uint32, n)
	for _, m := range marks {
		if m != 0 {
			starts[m>>bucketBits]++ // the slot after the mark's
		}
	}
	for i := range slots {
		starts[i+1] += starts[i]
	}
	next := slices.Clone(starts)
	for i, m := range marks {
		if m != 0 {
			slot := m>>bucketBits - 1
			order[next[slot]] = uint32(i)
			next[slot]++
		}
	}
	return starts, order
}

// append writes the members of a slot that have an event at or after from.
func (g *gathered) append(dst []byte, slot uint32, from int64) []byte {
	g.set = g.set[:0]
	for _, i := range g.order[g.starts[slot]:g.starts[slot+1]] {
		if t := g.t.times[i]; t >= from {
			g.set = append(g.set, aggregate.Member{ID: g.t.ids[i], Time: t})
		}
	}
	slices.SortFunc(g.set, func(a, b aggregate.Member) int { return cmp.Compare(a.ID, b.ID) })
	return g.set.Append(dst)
}
