package local

import (
	"math"
)

// shard holds the entities of all views whose key hashes to it. One worker owns it.
type shard struct {
	index int
	prog  *program
	views []viewShard
}

// viewShard is one view's part of a shard. An entity is known by its slot, the order of its coming.
type viewShard struct {
	prog    *viewProgram
	slots   map[uint64]uint32
	keys    []uint64 // by slot
	feats   []accumulator
	keyless int64
	sel     selection
}

// selection lists the rows of a chunk that count for one view and shard: where each stands in the chunk, and where it is added.
type selection struct {
	rows    []int32
	slots   []uint32
	buckets []uint8 // the shortest window that holds the event
}

func newShard(p *program, index int) *shard {
	s := &shard{index: index, prog: p, views: make([]viewShard, len(p.views))}
	for i := range p.views {
		v := &p.views[i]
		vs := viewShard{prog: v, slots: map[uint64]uint32{}}
		for _, f := range v.features {
			vs.feats = append(vs.feats, newAccumulator(f, len(v.windows)))
		}
		s.views[i] = vs
	}
	return s
}

// add adds the shard's rows of a chunk to every view.
func (s *shard) add(c *chunk) {
	for i := range s.views {
		v := &s.views[i]
		v.choose(c, c.rows[v.prog.key][s.index], &c.lanes[s.prog.keys[v.prog.key]])
		for _, f := range v.feats {
			f.grow(len(v.keys))
			f.add(c, &v.sel)
		}
	}
}

// choose sets v.sel to the rows within the view's longest window, and gives new entities their slots.
func (v *viewShard) choose(c *chunk, rows []int32, key *laneData) {
	s := &v.sel
	s.rows, s.slots, s.buckets = s.rows[:0], s.slots[:0], s.buckets[:0]
	longest := v.prog.windows[len(v.prog.windows)-1]
	for _, row := range rows {
		age := c.age[row]
		if age > longest {
			continue
		}
		if key.state[row] != usable {
			v.keyless++
			continue
		}
		id := key.id[row]
		slot, ok := v.slots[id]
		if !ok {
			if len(v.keys) == math.MaxUint32 {
				panic("local: more than 2^32 entities in one shard") // 2^32 slots of 8 bytes and more come first
			}
			slot = uint32(len(v.keys))
			v.slots[id] = slot
			v.keys = append(v.keys, id)
		}
		bucket := uint8(0)
		for age > v.prog.windows[bucket] {
			bucket++
		}
		s.rows, s.slots, s.buckets = append(s.rows, row), append(s.slots, slot), append(s.buckets, bucket)
	}
}

// countRefused adds the shard's counts of refused keys and values to n, named as in features.Stats.
func (s *shard) countRefused(n map[string]int64) {
	for i := range s.views {
		v := &s.views[i]
		n[v.prog.Name] += v.keyless
		for j, f := range v.feats {
			n[v.prog.Name+"."+v.prog.features[j].Name] += f.refusals()
		}
	}
}
