package local

import (
	"errors"
	"fmt"
	"math"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"

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
	group   *group
	timed   bool // as use.timed
	columns bool // as use.columns

	mu    sync.Mutex
	idle  sync.Cond // the queue is empty, nobody adds
	busy  bool
	queue []*records

	entities
	classes []classState
	size    int64 // bytes, as of the last records

	// Once the build is beyond its budget, these are the records that came since.
	chunks []chunk
	coded  []byte
	// In a build that goes on from a prior one, these are the records that came so far.
	gathered []records
}

// classState is the state of one class for the entities of a partition.
type classState struct {
	*class
	words   []uint64                   // stride a slot
	columns bool                       // a cell of all slots stands together, not all cells of a slot
	along   int                        // words from a slot's cell to that of the next slot
	across  int                        // words from a slot's cell to its next cell; of columns, for how many slots there is room
	rests   map[uint32]*features.Total // what did not fit into a sum, by the place of its first word
	members []pairs
	counts  [][]uint32 // of members, by slot and bucket, once they are counted; nil where another group holds the pairs
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
	pt := &partition{group: g, timed: p.use.timed, columns: p.use.columns, entities: entities{words: len(g.key), texts: g.texts, long: g.longWords()}}
	pt.idle.L = &pt.mu
	return pt
}

// begin makes the states of a partition that gets its first records.
func (pt *partition) begin() {
	if pt.classes != nil {
		return
	}
	pt.classes = make([]classState, 0, len(pt.group.classes))
	for _, c := range pt.group.classes {
		state := classState{class: c, columns: pt.columns, along: c.stride(), across: 1, members: make([]pairs, len(c.members))}
		if pt.columns {
			state.along, state.across = 1, 0
		}
		for i := range c.members {
			state.members[i] = newPairs(len(c.windows), pt.timed)
		}
		for _, k := range c.keeps {
			state.keepers = append(state.keepers, newKeeper(k, len(c.windows)))
		}
		pt.classes = append(pt.classes, state)
	}
}

// inherit begins a partition, which has nothing yet, in the memory of another one of its group, of whose states nobody has any more use.
func (pt *partition) inherit(from *partition) {
	pt.begin()
	e := &from.entities
	pt.index, pt.keys, pt.text = e.index[:0], e.keys[:0], e.text[:0]
	for i := range pt.classes {
		c, old := &pt.classes[i], &from.classes[i]
		c.words = old.words[:0]
		for j, k := range old.keepers {
			if k, ok := k.(*extremes); ok {
				to := c.keepers[j].(*extremes)
				to.lists, to.events = k.lists[:0], k.events[:0]
			}
		}
	}
	from.entities, from.classes = entities{}, nil
}

// queued is how many batches of records may wait for a partition that another worker is at. A worker that finds more waits.
const queued = 8

// add adds records, or leaves a copy of them to the worker that is at the partition.
func (pt *partition) add(m *moves, r *records, s *scratch, bg *budget) error {
	pt.mu.Lock()
	for pt.busy && len(pt.queue) >= queued {
		pt.idle.Wait()
	}
	if pt.busy {
		pt.queue = append(pt.queue, &records{n: r.n, words: slices.Clone(r.words), texts: slices.Clone(r.texts)})
		pt.mu.Unlock()
		return nil
	}
	pt.busy = true
	pt.mu.Unlock()
	err := pt.take(m, r, s, bg)
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
		err = pt.take(m, r, s, bg)
	}
}

// take adds records to the states, or spills them.
func (pt *partition) take(m *moves, r *records, s *scratch, bg *budget) error {
	switch beyond := bg.beyond(); {
	case m.leave && !beyond:
		pt.gather(r)
		bg.grown(pt)
		return nil
	case !m.leave && (!beyond || !bg.spills(pt.group)):
		err := pt.aggregate(m, r, s)
		bg.grown(pt)
		return err
	}
	pt.coded = appendRecords(pt.coded[:0], r)
	c, err := bg.spill.write(pt.coded)
	pt.chunks = append(pt.chunks, c)
	return err
}

// gatherWords is how many words of records stand together, if that is enough for those that come at once.
const gatherWords = 2048

// gather keeps a copy of records.
func (pt *partition) gather(r *records) {
	last := len(pt.gathered) - 1
	if last < 0 || cap(pt.gathered[last].words)-len(pt.gathered[last].words) < len(r.words) {
		pt.gathered = append(pt.gathered, records{words: make([]uint64, 0, max(gatherWords, len(r.words)))})
		last++
	}
	to := &pt.gathered[last]
	to.n, to.words, to.texts = to.n+r.n, append(to.words, r.words...), append(to.texts, r.texts...)
}

// expected is about how many bytes the partition will hold when the records that were spilled are added. Of most records, which belong to an entity that
// others belong to as well, less is held than is spilled; of entities of one record it may be several times that, which merge leaves room for.
func (pt *partition) expected() int64 {
	n := pt.size
	for _, c := range pt.chunks {
		n += int64(c.n)
	}
	return n
}

// unspill adds the records that were spilled.
func (pt *partition) unspill(m *moves, s *scratch, bg *budget) (err error) {
	var r records
	for _, c := range pt.chunks {
		if pt.coded, err = bg.spill.read(c, pt.coded); err != nil {
			return err
		}
		decodeRecords(pt.coded, pt.group, &r)
		if err := pt.aggregate(m, &r, s); err != nil {
			return err
		}
		bg.grown(pt)
	}
	pt.chunks, pt.coded = nil, nil
	return nil
}

// release gives the partition's memory back.
func (pt *partition) release(bg *budget) {
	bg.held.Add(-pt.size)
	pt.group.held.Add(-pt.size)
	pt.size, pt.entities, pt.classes, pt.gathered = 0, entities{}, nil, nil
}

// aggregate adds records to the states of all classes.
func (pt *partition) aggregate(m *moves, r *records, s *scratch) error {
	pt.begin()
	slots := s.slots[:r.n]
	if err := pt.find(r.words, pt.group.words, r.texts, s.hashes, slots); err != nil {
		return err
	}
	for i := range pt.classes {
		c := &pt.classes[i]
		if pt.n*c.stride() > math.MaxUint32 {
			return errFull
		}
		if !c.columns {
			stream(c.words, r.n) // before it grows: a page that is read before it is written to is made twice
		}
		c.room(pt.n)
		if err := c.add(pt.group, m, r, slots, s); err != nil {
			return err
		}
	}
	return nil
}

// room makes room for n slots.
func (c *classState) room(n int) {
	for _, k := range c.keepers {
		k.room(n)
	}
	if c.columns {
		if n > c.across {
			c.widen(n + n/4)
		}
		return
	}
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
}

// widen makes columns of room for n slots, or as many as can be addressed.
func (c *classState) widen(n int) {
	n = min(n, math.MaxUint32/c.stride())
	var words []uint64
	if size := n * c.stride(); c.across == 0 && cap(c.words) >= size {
		words = c.words[:size] // of another partition
		clear(words)
	} else {
		words = make([]uint64, size)
	}
	for i := range c.stride() {
		copy(words[i*n:], c.words[i*c.across:][:c.across])
	}
	rests := map[uint32]*features.Total{}
	for at, rest := range c.rests {
		rests[at/uint32(c.across)*uint32(n)+at%uint32(c.across)] = rest
	}
	if c.words, c.across = words, n; c.rests != nil {
		c.rests = rests
	}
}

// cell is the words from a cell of the first slot on.
func (c *classState) cell(cell int) []uint64 { return c.words[min(cell*c.across, len(c.words)):] }

// place is where a cell of a slot stands.
func (c *classState) place(slot uint32, cell int) int { return int(slot)*c.along + cell*c.across }

// errInconsistent says that a prior state is not of the events that are taken from it.
var errInconsistent = errors.New("the prior state is not of these events")

// add moves the events of the records.
func (c *classState) add(g *group, m *moves, r *records, slots []uint32, s *scratch) error {
	change := &m.of[c.number]
	in := c.choose(g, change.to, r, slots, s)
	if err := c.enter(g, r.words, in); err != nil {
		return err
	}
	c.addTimed(g, m, r.words, in, s)
	if m.leave {
		if err := c.leave(g, r.words, c.choose(g, change.from, r, slots, s)); err != nil {
			return err
		}
	}
	if c.buckets > len(c.windows) {
		return c.enter(g, r.words, c.choose(g, change.tile, r, slots, s))
	}
	return nil
}

// chosen are the records that go into, or come from, a bucket of a class.
type chosen struct {
	rows    []uint32 // where the record stands
	cells   []uint32 // where the bucket's words stand
	slots   []uint32
	buckets []uint8
}

// choose lists the records whose move is in a bucket.
func (c *classState) choose(g *group, bucket []int8, r *records, slots []uint32, s *scratch) chosen {
	along, bucketAt, maskAt, k := uint32(c.along), uint32(c.cells*c.across), uint32(len(g.key)), uint32(g.words)
	in := chosen{rows: s.rows, cells: s.cells, slots: s.kept, buckets: s.bucket}
	n, row := 0, uint32(0)
	for _, slot := range slots {
		b := bucket[r.words[row+maskAt]>>maskBits]
		in.rows[n], in.cells[n], in.slots[n], in.buckets[n] = row, slot*along+uint32(b)*bucketAt, slot, uint8(b)
		if b >= 0 {
			n++
		}
		row += k
	}
	return chosen{rows: in.rows[:n], cells: in.cells[:n], slots: in.slots[:n], buckets: in.buckets[:n]}
}

// enter adds events to the states that are kept by bucket.
func (c *classState) enter(g *group, recs []uint64, in chosen) error {
	words := c.words
	// The first counter counts all events: as long as it has not come to its end no other has.
	full := false
	for _, at := range in.cells {
		words[at]++
		full = full || uint32(words[at]) == 0
	}
	if full {
		return fmt.Errorf("an entity has 2^32 events or more in one window: build shorter windows")
	}
	for _, x := range c.counters[1:] {
		c.count(x, recs, g, in.rows, in.cells)
	}
	for _, x := range c.sums {
		c.sum(x, recs, g, in.rows, in.cells, 0)
	}
	for _, x := range c.peaks {
		c.peak(x, recs, g, in.rows, in.cells)
	}
	for i, x := range c.keeps {
		if t, ok := c.keepers[i].(*tallied); ok {
			c.addTallied(t, x, recs, g, in, 1)
		}
	}
	return nil
}

// leave takes events from the states that are kept by bucket.
func (c *classState) leave(g *group, recs []uint64, in chosen) error {
	for _, x := range c.counters {
		if !c.uncount(x, recs, g, in) {
			return errInconsistent
		}
	}
	for _, x := range c.sums {
		c.sum(x, recs, g, in.rows, in.cells, 1<<63)
	}
	for i, x := range c.keeps {
		if t, ok := c.keepers[i].(*tallied); ok {
			if !c.addTallied(t, x, recs, g, in, -1) {
				return errInconsistent
			}
		}
	}
	return nil
}

// addTimed adds the events among in that are new to the states that tell times.
func (c *classState) addTimed(g *group, m *moves, recs []uint64, in chosen, s *scratch) {
	if len(c.newest)+len(c.class.members)+len(c.keeps) == 0 {
		return
	}
	if m.leave { // not all of them are new
		n, maskAt := 0, uint32(len(g.key))
		for i, row := range in.rows {
			if m.fresh[recs[row+maskAt]>>maskBits] {
				in.rows[n], in.slots[n], in.buckets[n] = row, in.slots[i], in.buckets[i]
				n++
			}
		}
		in = chosen{rows: in.rows[:n], slots: in.slots[:n], buckets: in.buckets[:n]}
	}
	for _, x := range c.newest {
		c.latest(x, recs, g, in.rows, in.slots)
	}
	for i, x := range c.keeps {
		if k, ok := c.keepers[i].(timedKeeper); ok {
			c.addKept(k, x, recs, g, in)
		}
	}
	for i, x := range c.class.members {
		if x.shared == nil || x.holds {
			c.member(&c.members[i], x, recs, g, in.rows, in.slots, in.buckets, s)
		}
	}
}

// bit returns where a predicate stands in a record: its word, and the bit's position there. always is a bit that every record has set.
func (g *group) bit(pred int) (word uint32, shift uint) {
	if pred == always {
		return uint32(len(g.key)), predBits
	}
	return uint32(len(g.key) + pred/predBits), uint(pred % predBits)
}

// laneAt returns where a lane stands in a record.
func (g *group) laneAt(lane int) uint32 { return uint32(len(g.key) + g.mask + lane) }

func (c *classState) count(x counter, recs []uint64, g *group, rows, cells []uint32) {
	word, bit := g.bit(x.pred)
	at, shift := uint32(x.word*c.across), uint(x.shift)&63
	words := c.words
	cells = cells[:len(rows)]
	for i, row := range rows {
		words[cells[i]+at] += recs[row+word] >> (bit & 63) & 1 << shift
	}
}

// uncount is the inverse of count; false if a counter would fall below zero.
func (c *classState) uncount(x counter, recs []uint64, g *group, in chosen) bool {
	word, bit := g.bit(x.pred)
	at, shift := uint32(x.word*c.across), uint(x.shift)&63
	for i, row := range in.rows {
		n := recs[row+word] >> (bit & 63) & 1
		p := &c.words[in.cells[i]+at]
		if uint64(uint32(*p>>shift)) < n {
			return false
		}
		*p -= n << shift
	}
	return true
}

// sum adds a lane; with sign 1<<63 it takes it away.
func (c *classState) sum(x summer, recs []uint64, g *group, rows, cells []uint32, sign uint64) {
	word, bit := g.bit(x.pred)
	lane, at, across := g.laneAt(x.lane), uint32(x.word*c.across), uint32(c.across)
	words := c.words
	cells = cells[:len(rows)]
	for i, row := range rows {
		v := math.Float64frombits((recs[row+lane] ^ sign) & -(recs[row+word] >> (bit & 63) & 1)) // 0 for an event that does not pass
		hi, lo := &words[cells[i]+at], &words[cells[i]+at+across]
		s := aggregate.Sum{Hi: math.Float64frombits(*hi), Lo: math.Float64frombits(*lo)}
		rest := s.Add(v)
		*hi, *lo = math.Float64bits(s.Hi), math.Float64bits(s.Lo)
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
	lane, at := g.laneAt(x.lane), uint32(x.word*c.across)
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
	lane, along, at := g.laneAt(x.lane), uint32(c.along), uint32((c.wholeAt()+x.word)*c.across)
	words := c.words
	for i, row := range rows {
		v := orderedTime(recs[row+lane]) & -(recs[row+word] >> (bit & 63) & 1)
		p := &words[slots[i]*along+at]
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

func (c *classState) addKept(to timedKeeper, x keep, recs []uint64, g *group, in chosen) {
	word, bit := g.bit(x.pred)
	lane, time := g.laneAt(x.lane), g.laneAt(x.time)
	for i, row := range in.rows {
		if recs[row+word]>>(bit&63)&1 != 0 {
			to.add(in.slots[i], in.buckets[i], recs[row+lane], int64(recs[row+time]))
		}
	}
}

// addTallied counts n, 1 or −1, for each event that passes; false if a count would fall below zero.
func (c *classState) addTallied(to *tallied, x keep, recs []uint64, g *group, in chosen, n int64) bool {
	word, bit := g.bit(x.pred)
	lane := g.laneAt(x.lane)
	for i, row := range in.rows {
		if recs[row+word]>>(bit&63)&1 != 0 && !to.t.add(in.slots[i], in.buckets[i], to.word(recs[row+lane]), n) {
			return false
		}
	}
	return true
}

// bytes is what the partition holds in memory.
func (pt *partition) bytes() int64 {
	n := pt.entities.bytes()
	for i := range pt.gathered {
		n += int64(8*cap(pt.gathered[i].words) + 16*cap(pt.gathered[i].texts))
	}
	for i := range pt.classes {
		c := &pt.classes[i]
		n += int64(8*cap(c.words)) + 200*int64(len(c.rests))
		for j := range c.members {
			n += c.members[j].bytes()
		}
		for _, x := range c.counts {
			n += int64(4 * cap(x))
		}
		for _, k := range c.keepers {
			n += k.bytes()
		}
	}
	return n
}

// besides is about what regions, readers and the program itself take, in bytes.
const besides = 64 << 20

// share is how much of a plan's budget states may hold: what is besides takes its part, and the collector lets lie about, in percent of what is held,
// what it is set to, and has some more in pieces that are too small.
func share(budget int64) int64 {
	if budget <= 0 {
		return 0
	}
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	percent := min(s[0].Value.Uint64(), 100) // more if it is off, which is not ours to make up for
	left := budget - min(budget/2, besides)
	return max(1, int64(0.85*float64(left)/(1+float64(percent)/100)))
}

// budget is what a build may hold in memory, and what it does beyond.
type budget struct {
	// limit is how many bytes of states are held (share). 0: none.
	limit  int64
	groups int // of the build
	held   atomic.Int64
	peak   atomic.Int64
	spill  spill
	// Of the build:
	dicts   []*dictionary
	numbers []*numbering
}

// spills reports whether records of a group go to the file, once the build is beyond its budget: not those of one that holds so little that this would help
// nobody. There always is one whose records do.
func (b *budget) spills(g *group) bool {
	return g.held.Load() >= min(b.limit/16, (b.limit-b.texts())/int64(b.groups))
}

func (b *budget) beyond() bool { return b.limit > 0 && b.held.Load()+b.texts() > b.limit }

// texts is what dictionaries and numberings hold. They are in memory until the build ends: states hold numbers.
func (b *budget) texts() (n int64) {
	for _, d := range b.dicts {
		n += d.size.Load()
	}
	for _, t := range b.numbers {
		n += t.size.Load()
	}
	return n
}

// crowded reports whether numberings, which can't be spilled, take too much of the budget.
func (b *budget) crowded() bool {
	n := int64(0)
	for _, t := range b.numbers {
		n += t.size.Load()
	}
	return b.limit > 0 && n > b.limit/4
}

// grown accounts for what a partition holds now.
func (b *budget) grown(pt *partition) {
	size := pt.bytes()
	pt.group.held.Add(size - pt.size)
	b.hold(size - pt.size)
	pt.size = size
}

// hold accounts for so many bytes more.
func (b *budget) hold(more int64) {
	held := b.held.Add(more) + b.texts()
	for {
		was := b.peak.Load()
		if held <= was || b.peak.CompareAndSwap(was, held) {
			return
		}
	}
}

// small reports whether a buffer of some bytes is too much for the budget.
func (b *budget) small(bytes int) bool { return b.limit > 0 && int64(bytes) > b.limit/16 }
