package local

import (
	"fmt"
	"math"
	"sync"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
)

// Entities are spread over partitions by the top bits of their key's hash. Records of one partition are gathered and added many at a time.
const (
	partitionBits = 8
	partitions    = 1 << partitionBits
)

// partition is the state of the entities of one group whose keys hash to it. One worker at a time adds records; others leave theirs in the queue.
type partition struct {
	group *group

	mu    sync.Mutex
	idle  sync.Cond // the queue is empty, nobody adds
	busy  bool
	queue []*records

	entities
	classes []classState
}

// classState is the state of one class for the entities of a partition.
type classState struct {
	*class
	words   []uint64                   // stride a slot
	rests   map[uint32]*features.Total // what did not fit into a sum, by the place of its first word
	members []pairs
	keepers []keeper
}

// records are rows on their way to a partition: words a row, and the texts of their keys.
type records struct {
	n     int
	words []uint64
	texts []string
}

// scratch is what a worker needs to add records.
type scratch struct {
	hashes []uint64
	slots  []uint32
	rows   []uint32 // of a class: where the record stands
	cells  []uint32 // of a class: where the bucket's words stand
	kept   []uint32 // of a class: the slot
	bucket []uint8  // of a class
	// Of a table of members: what passes.
	slotsOf   []uint32
	ids       []uint64
	bucketsOf []uint8
	times     []int64
	places    []uint32
}

func newScratch(rows int) *scratch {
	u32 := func() []uint32 { return make([]uint32, rows) }
	return &scratch{
		hashes: make([]uint64, rows), slots: u32(), rows: u32(), cells: u32(), kept: u32(), bucket: make([]uint8, rows), slotsOf: u32(),
		ids: make([]uint64, rows), bucketsOf: make([]uint8, rows), times: make([]int64, rows), places: u32(),
	}
}

func newPartition(p *program, g *group) *partition {
	pt := &partition{group: g, entities: entities{words: len(g.keys), texts: g.texts}}
	pt.idle.L = &pt.mu
	for _, c := range g.classes {
		pt.classes = append(pt.classes, classState{class: c, members: make([]pairs, len(c.members))})
		state := &pt.classes[len(pt.classes)-1]
		for i := range c.members {
			state.members[i].timed = p.timed
		}
		for _, k := range c.keeps {
			state.keepers = append(state.keepers, newKeeper(p, k, len(c.windows)))
		}
	}
	return pt
}

// queued is how many batches of records may wait for a partition that another worker is at. A worker that finds more waits.
const queued = 8

// add adds records, or leaves a copy of them to the worker that is at the partition.
func (pt *partition) add(m *moves, r *records, s *scratch) error {
	pt.mu.Lock()
	for pt.busy && len(pt.queue) >= queued {
		pt.idle.Wait()
	}
	if pt.busy {
		pt.queue = append(pt.queue, &records{n: r.n, words: append([]uint64(nil), r.words...), texts: append([]string(nil), r.texts...)})
		pt.mu.Unlock()
		return nil
	}
	pt.busy = true
	pt.mu.Unlock()
	err := pt.aggregate(m, r, s)
	for {
		pt.mu.Lock()
		if len(pt.queue) == 0 || err != nil {
			pt.busy, pt.queue = false, nil
			pt.idle.Broadcast()
			pt.mu.Unlock()
			return err
		}
		r, pt.queue = pt.queue[0], pt.queue[1:]
		pt.idle.Signal()
		pt.mu.Unlock()
		err = pt.aggregate(m, r, s)
	}
}

// aggregate adds records to the states of all classes.
func (pt *partition) aggregate(m *moves, r *records, s *scratch) error {
	slots := s.slots[:r.n]
	if err := pt.find(r.words, pt.group.words, r.texts, s.hashes, slots); err != nil {
		return err
	}
	for i := range pt.classes {
		c := &pt.classes[i]
		c.room(pt.n)
		if err := c.add(pt.group, m, r, slots, s); err != nil {
			return err
		}
	}
	return nil
}

// room makes room for n slots.
func (c *classState) room(n int) {
	need := n * c.stride()
	if need <= len(c.words) {
		return
	}
	if need > cap(c.words) {
		grown := make([]uint64, len(c.words), need+need/4)
		copy(grown, c.words)
		c.words = grown
	}
	c.words = c.words[:need]
	for _, k := range c.keepers {
		k.room(n)
	}
}

// add adds the records that one of the class's windows holds.
func (c *classState) add(g *group, m *moves, r *records, slots []uint32, s *scratch) error {
	stride, maskAt, k := uint32(c.stride()), uint32(len(g.keys)), uint32(g.words)
	to := m.to[c.number]
	rows, cells, kept, buckets := s.rows, s.cells, s.kept, s.bucket
	n, row := 0, uint32(0)
	for _, slot := range slots {
		b := to[r.words[row+maskAt]>>maskBits]
		rows[n], cells[n], kept[n], buckets[n] = row, slot*stride+uint32(b)*uint32(c.cells), slot, uint8(b)
		if b >= 0 {
			n++
		}
		row += k
	}
	rows, cells, kept, buckets = rows[:n], cells[:n], kept[:n], buckets[:n]
	words := c.words
	// The first counter counts all events: as long as it has not come to its end no other has.
	full := false
	for _, at := range cells {
		words[at]++
		full = full || uint32(words[at]) == 0
	}
	if full {
		return fmt.Errorf("an entity has 2^32 events or more in one window: build shorter windows")
	}
	for _, x := range c.counters[1:] {
		c.count(x, r.words, g, rows, cells)
	}
	for _, x := range c.sums {
		c.sum(x, r.words, g, rows, cells)
	}
	for _, x := range c.peaks {
		c.peak(x, r.words, g, rows, cells)
	}
	for _, x := range c.newest {
		c.latest(x, r.words, g, rows, kept)
	}
	for i, x := range c.keeps {
		c.addKept(c.keepers[i], x, r.words, g, rows, kept, buckets)
	}
	for i, x := range c.class.members {
		c.member(&c.members[i], x, r.words, g, rows, kept, buckets, s)
	}
	return nil
}

// bit returns where a predicate stands in a record: its word, and the bit's position there. always is a bit that every record has set.
func (g *group) bit(pred int) (word uint32, shift uint) {
	if pred == always {
		return uint32(len(g.keys)), predBits
	}
	return uint32(len(g.keys) + pred/predBits), uint(pred % predBits)
}

// laneAt returns where a lane stands in a record.
func (g *group) laneAt(lane int) uint32 { return uint32(len(g.keys) + g.mask + lane) }

func (c *classState) count(x counter, recs []uint64, g *group, rows, cells []uint32) {
	word, bit := g.bit(x.pred)
	at, shift := uint32(x.word), uint(x.shift)&63
	words := c.words
	cells = cells[:len(rows)]
	for i, row := range rows {
		words[cells[i]+at] += recs[row+word] >> (bit & 63) & 1 << shift
	}
}

func (c *classState) sum(x summer, recs []uint64, g *group, rows, cells []uint32) {
	word, bit := g.bit(x.pred)
	lane, at := g.laneAt(x.lane), uint32(x.word)
	words := c.words
	cells = cells[:len(rows)]
	for i, row := range rows {
		v := math.Float64frombits(recs[row+lane] & -(recs[row+word] >> (bit & 63) & 1)) // 0 for an event that does not pass
		w := words[cells[i]+at:][:2]
		s := aggregate.Sum{Hi: math.Float64frombits(w[0]), Lo: math.Float64frombits(w[1])}
		rest := s.Add(v)
		w[0], w[1] = math.Float64bits(s.Hi), math.Float64bits(s.Lo)
		if rest != 0 {
			c.rest(cells[i] + at).Add(rest)
		}
	}
}

// rest returns what is kept beside the sum at a place.
func (c *classState) rest(at uint32) *features.Total {
	if c.rests == nil {
		c.rests = map[uint32]*features.Total{}
	}
	t := c.rests[at]
	if t == nil {
		t = &features.Total{}
		c.rests[at] = t
	}
	return t
}

// ordered maps the bits of a float64 to a number that is ordered as the floats are, above zero for all but NaN.
func ordered(bits uint64) uint64 { return bits ^ (uint64(int64(bits)>>63) | 1<<63) }

// unordered is the inverse of ordered.
func unordered(x uint64) float64 {
	return math.Float64frombits(x ^ (uint64(int64(^x)>>63) | 1<<63))
}

// orderedTime maps a time to a number that is ordered as times are, above zero for all but the first microsecond that there is.
func orderedTime(t uint64) uint64 { return t ^ 1<<63 }

func (c *classState) peak(x peak, recs []uint64, g *group, rows, cells []uint32) {
	word, bit := g.bit(x.pred)
	lane, at := g.laneAt(x.lane), uint32(x.word)
	flip := uint64(0)
	if x.min {
		flip = math.MaxUint64
	}
	words := c.words
	cells = cells[:len(rows)]
	for i, row := range rows {
		v := (ordered(recs[row+lane]) ^ flip) & -(recs[row+word] >> (bit & 63) & 1)
		p := &words[cells[i]+at]
		*p = max(*p, v)
	}
}

func (c *classState) latest(x newest, recs []uint64, g *group, rows, slots []uint32) {
	word, bit := g.bit(x.pred)
	lane, stride, at := g.laneAt(x.lane), uint32(c.stride()), uint32(len(c.windows)*c.cells+x.word)
	words := c.words
	for i, row := range rows {
		v := orderedTime(recs[row+lane]) & -(recs[row+word] >> (bit & 63) & 1)
		p := &words[slots[i]*stride+at]
		*p = max(*p, v)
	}
}

func (c *classState) member(t *pairs, x members, recs []uint64, g *group, rows, kept []uint32, buckets []uint8, s *scratch) {
	word, bit := g.bit(x.pred)
	lane := g.laneAt(x.lane)
	slots, ids, passed, times := s.slotsOf[:0], s.ids[:0], s.bucketsOf[:0], s.times[:0]
	for i, row := range rows {
		if recs[row+word]>>(bit&63)&1 == 0 {
			continue
		}
		slots = append(slots, kept[i])
		ids = append(ids, recs[row+lane])
		passed = append(passed, buckets[i])
		if t.timed {
			times = append(times, int64(recs[row+g.laneAt(x.time)]))
		}
	}
	t.add(slots, ids, passed, times, s.places)
}

func (c *classState) addKept(to keeper, x keep, recs []uint64, g *group, rows, kept []uint32, buckets []uint8) {
	word, bit := g.bit(x.pred)
	lane, time := g.laneAt(x.lane), g.laneAt(x.time)
	for i, row := range rows {
		if recs[row+word]>>(bit&63)&1 == 0 {
			continue
		}
		t := int64(0)
		if x.time >= 0 {
			t = int64(recs[row+time])
		}
		to.add(kept[i], buckets[i], recs[row+lane], t)
	}
}

// bytes is what the partition holds in memory.
func (pt *partition) bytes() int64 {
	n := pt.entities.bytes()
	for i := range pt.classes {
		c := &pt.classes[i]
		n += int64(8*cap(c.words)) + 200*int64(len(c.rests))
		for j := range c.members {
			n += c.members[j].bytes()
		}
		for _, k := range c.keepers {
			n += k.bytes()
		}
	}
	return n
}
