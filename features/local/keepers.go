package local

import (
	"math"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/features/local/internal/words"
	"github.com/rapport-ml/rapport/storage/table"
)

// keep is an accumulator whose states differ in size from entity to entity.
type keep struct {
	op     features.Op
	pred   int
	lane   int // of the value, among the group's lanes
	time   int // of the time; −1 if it takes none
	n      int
	values values
	// First: whether the earliest event of each hour is kept, which is what outlives a build, and whether that of each bucket is, which is needed
	// where a window starts within an hour.
	hours, cells bool
}

// keeper holds the states of one keep for the entities of a partition.
type keeper interface {
	// room makes room for slots [0, n).
	room(n int)
	// done prepares for put and encode; nothing is added afterwards.
	done(slots int)
	// put writes a slot's values, of each window the one that starts at the same position of starts, to a row of its column.
	put(f *featureProgram, slot uint32, starts []int64, dst []table.Column, row int)
	bytes() int64
}

// timedKeeper is a keeper whose states tell times: events only come.
type timedKeeper interface {
	keeper
	add(slot uint32, bucket uint8, word uint64, time int64)
	// append writes what a window that starts at or after from needs of some slots; decode reads it into as many from first on, which have no events
	// yet, and returns the bytes behind it.
	append(dst []byte, slots []uint32, from int64) []byte
	decode(first uint32, rows int, src []byte, from int64) ([]byte, error)
}

// lists is a timedKeeper whose states are written one after another.
type lists interface {
	appendOne(dst []byte, slot uint32, from int64) []byte
	decodeOne(slot uint32, src []byte) ([]byte, error)
}

func appendEach(dst []byte, k lists, slots []uint32, from int64) []byte {
	for _, slot := range slots {
		dst = k.appendOne(dst, slot, from)
	}
	return dst
}

func decodeEach(k lists, first uint32, rows int, src []byte) (_ []byte, err error) {
	for i := range rows {
		if src, err = k.decodeOne(first+uint32(i), src); err != nil {
			return nil, err
		}
	}
	return src, nil
}

func newKeeper(k keep, windows int) keeper {
	switch k.op {
	case features.Top, features.Quantile:
		return &tallied{keep: k}
	case features.First:
		return &firsts{keep: k, windows: windows}
	case features.Last, features.Sequence:
		return &recents{keep: k}
	case features.ApproxDistinct:
		return &registers{keep: k}
	case features.Min, features.Max:
		return &extremes{keep: k}
	}
	panic("local: operator " + string(k.op) + " passed validation but has no keeper")
}

// tallied is Top and Quantile.
type tallied struct {
	keep
	t    tallies
	list []aggregate.Tally[int64]
	bins []aggregate.Tally[int32]
	json []byte
}

func (k *tallied) room(int) {}

// word returns by what a value is counted: itself, or its bin.
func (k *tallied) word(word uint64) int64 {
	if k.op == features.Quantile {
		return int64(aggregate.Bin(math.Float64frombits(word)))
	}
	return int64(word)
}

// append writes the counts of one bucket, by value.
func (k *tallied) append(dst []byte, slot uint32, bucket int) []byte {
	k.list = k.list[:0]
	k.t.of(slot, func(b int, x aggregate.Tally[int64]) {
		if b == bucket && x.N != 0 {
			k.list = append(k.list, x)
		}
	})
	switch {
	case k.op == features.Quantile:
		return appendTallies(dst, k.list, func(word int64) int32 { return int32(word) })
	case k.values.isText():
		return appendTallies(dst, k.list, k.values.text)
	case k.values.typ == table.Float64:
		return appendTallies(dst, k.list, k.values.float)
	}
	return appendTallies(dst, k.list, func(word int64) int64 { return word })
}

// settle checks that no value counts in a bucket without events.
func (k *tallied) settle(c *classState) bool {
	for i, m := range k.t.marks {
		if m == 0 || k.t.count[i] == 0 {
			continue
		}
		slot, bucket := int(m>>bucketBits-1), int(m&(1<<bucketBits-1))
		if c.count0(uint32(slot), bucket) == 0 {
			return false
		}
	}
	return true
}

func appendTallies[K aggregate.Key](dst []byte, words []aggregate.Tally[int64], key func(int64) K) []byte {
	list := make(aggregate.Tallies[K], len(words))
	for i, x := range words {
		list[i] = aggregate.Tally[K]{Key: key(x.Key), N: x.N}
	}
	_ = list.Normalize() // no count is below zero
	return list.Append(dst)
}

// decode reads what append wrote, and returns the bytes behind it.
func (k *tallied) decode(src []byte) ([]aggregate.Tally[int64], []byte, error) {
	switch {
	case k.op == features.Quantile:
		return decodeTallies(src, func(bin int32) int64 { return int64(bin) })
	case k.values.isText():
		return decodeTallies(src, func(s string) int64 { return int64(k.values.dict.code(s)) })
	case k.values.typ == table.Float64:
		return decodeTallies(src, func(x float64) int64 { return int64(math.Float64bits(x)) })
	}
	return decodeTallies(src, func(x int64) int64 { return x })
}

func decodeTallies[K aggregate.Key](src []byte, word func(K) int64) ([]aggregate.Tally[int64], []byte, error) {
	list, rest, err := aggregate.DecodeTallies[K](nil, src)
	words := make([]aggregate.Tally[int64], len(list))
	for i, x := range list {
		words[i] = aggregate.Tally[int64]{Key: word(x.Key), N: x.N}
	}
	return words, rest, err
}

func (k *tallied) done(slots int) { k.t.gather(slots) }

func (k *tallied) bytes() int64 { return k.t.bytes() }

func (k *tallied) put(f *featureProgram, slot uint32, _ []int64, dst []table.Column, row int) {
	for b := range dst {
		k.list, k.bins = k.list[:0], k.bins[:0]
		k.t.of(slot, func(bucket int, x aggregate.Tally[int64]) {
			if bucket > b || x.N == 0 {
				return
			}
			if k.op == features.Quantile {
				k.bins = append(k.bins, aggregate.Tally[int32]{Key: int32(x.Key), N: x.N})
			} else {
				k.list = append(k.list, x)
			}
		})
		if len(k.list)+len(k.bins) == 0 {
			dst[b].Valid[row] = false
			continue
		}
		if k.op == features.Quantile {
			bins := aggregate.Tallies[int32](k.bins)
			_ = bins.Normalize() // no count is below zero here
			dst[b].Float[row], _ = aggregate.Quantile(bins, f.Quantile)
			continue
		}
		words := aggregate.Tallies[int64](k.list)
		_ = words.Normalize()
		dst[b].Str[row] = k.top(words)
	}
}

// top returns the result of Top, from the counts by word.
func (k *tallied) top(words aggregate.Tallies[int64]) string {
	switch k.values.typ {
	case table.String:
		list := make([]aggregate.Tally[string], len(words))
		for i, x := range words {
			list[i] = aggregate.Tally[string]{Key: k.values.text(x.Key), N: x.N}
		}
		k.json = aggregate.AppendTop(k.json[:0], list, k.n, aggregate.AppendJSONString)
	case table.Float64:
		list := make([]aggregate.Tally[float64], len(words))
		for i, x := range words {
			list[i] = aggregate.Tally[float64]{Key: k.values.float(x.Key), N: x.N}
		}
		k.json = aggregate.AppendTop(k.json[:0], list, k.n, aggregate.AppendJSONNumber)
	default:
		k.json = aggregate.AppendTop(k.json[:0], words, k.n, k.values.json)
	}
	return string(k.json)
}

// firsts is First: of each bucket, or of each hour, the earliest event.
type firsts struct {
	keep
	windows int
	buckets []aggregate.Event[int64] // by slot and bucket; noTime: none
	lists   []aggregate.Firsts[int64]
	held    int64
}

// noTime stands for no event: the last microsecond that there is, which no window holds.
const noTime = maxTime

func (k *firsts) room(n int) {
	for k.cells && len(k.buckets) < n*k.windows {
		k.buckets = append(k.buckets, aggregate.Event[int64]{Time: noTime})
	}
	for k.hours && len(k.lists) < n {
		k.lists = append(k.lists, nil)
	}
}

func (k *firsts) add(slot uint32, bucket uint8, word uint64, t int64) {
	e := aggregate.Event[int64]{Time: t, Value: int64(word)}
	if k.cells {
		k.earlier(&k.buckets[int(slot)*k.windows+int(bucket)], e)
	}
	if k.hours {
		was := cap(k.lists[slot])
		k.lists[slot].Add(e, aggregate.Hour, k.values.compare)
		k.held += 16 * int64(cap(k.lists[slot])-was)
	}
}

// earlier sets to to e if that comes before it.
func (k *firsts) earlier(to *aggregate.Event[int64], e aggregate.Event[int64]) {
	if e.Time < to.Time || e.Time == to.Time && e.Time != noTime && k.values.compare(e.Value, to.Value) < 0 {
		*to = e
	}
}

func (k *firsts) done(int) {}

func (k *firsts) put(_ *featureProgram, slot uint32, starts []int64, dst []table.Column, row int) {
	best := aggregate.Event[int64]{Time: noTime}
	for b := range dst {
		if k.cells {
			k.earlier(&best, k.buckets[int(slot)*k.windows+b])
		} else if e, ok := k.lists[slot].Result(starts[b]); ok {
			best = e
		}
		if best.Time == noTime {
			dst[b].Valid[row] = false
			continue
		}
		k.values.put(&dst[b], row, best.Value)
	}
}

func (k *firsts) append(dst []byte, slots []uint32, from int64) []byte {
	return appendEach(dst, k, slots, from)
}

func (k *firsts) decode(first uint32, rows int, src []byte, _ int64) ([]byte, error) {
	return decodeEach(k, first, rows, src)
}

func (k *firsts) appendOne(dst []byte, slot uint32, from int64) []byte {
	k.lists[slot].Cut(from)
	return k.values.append(dst, k.lists[slot])
}

func (k *firsts) decodeOne(slot uint32, src []byte) (rest []byte, err error) {
	k.lists[slot], rest, err = k.values.decode(src, true)
	k.held += 16 * int64(len(k.lists[slot]))
	return rest, err
}

func (k *firsts) bytes() int64 { return 16*int64(cap(k.buckets)) + 24*int64(cap(k.lists)) + k.held }

// recents is Last and Sequence: the newest n events.
type recents struct {
	keep
	lists []aggregate.Recents[int64]
	held  int64
	json  []byte
}

func (k *recents) room(n int) {
	for len(k.lists) < n {
		k.lists = append(k.lists, nil)
	}
}

func (k *recents) add(slot uint32, _ uint8, word uint64, t int64) {
	was := cap(k.lists[slot])
	k.lists[slot].Add(aggregate.Event[int64]{Time: t, Value: int64(word)}, k.n, k.values.compare)
	k.held += 16 * int64(cap(k.lists[slot])-was)
}

func (k *recents) done(int) {}

func (k *recents) put(_ *featureProgram, slot uint32, starts []int64, dst []table.Column, row int) {
	for b := range dst {
		list := k.lists[slot].Result(starts[b])
		switch {
		case len(list) == 0:
			dst[b].Valid[row] = false
		case k.op == features.Last:
			k.values.put(&dst[b], row, list[len(list)-1].Value)
		default:
			k.json = aggregate.AppendSequence(k.json[:0], list, k.values.json)
			dst[b].Str[row] = string(k.json)
		}
	}
}

func (k *recents) append(dst []byte, slots []uint32, from int64) []byte {
	return appendEach(dst, k, slots, from)
}

func (k *recents) decode(first uint32, rows int, src []byte, _ int64) ([]byte, error) {
	return decodeEach(k, first, rows, src)
}

func (k *recents) appendOne(dst []byte, slot uint32, from int64) []byte {
	return k.values.append(dst, k.lists[slot].Result(from))
}

func (k *recents) decodeOne(slot uint32, src []byte) (rest []byte, err error) {
	k.lists[slot], rest, err = k.values.decode(src, false)
	if err == nil && len(k.lists[slot]) > k.n {
		err = aggregate.ErrDamaged
	}
	k.held += 16 * int64(len(k.lists[slot]))
	return rest, err
}

func (k *recents) bytes() int64 { return 24*int64(cap(k.lists)) + k.held }

// registers is ApproxDistinct.
type registers struct {
	keep
	lists []rankedList
	held  int64
}

// rankedList is a state of which the first sorted entries are in order; the rest are as they came. So adding costs O(log n) in the mean.
type rankedList struct {
	list   aggregate.Registers
	sorted int
}

func (k *registers) room(n int) {
	for len(k.lists) < n {
		k.lists = append(k.lists, rankedList{})
	}
}

func (k *registers) add(slot uint32, _ uint8, word uint64, t int64) {
	if k.values.typ != table.String {
		word = aggregate.HashBits(word)
	}
	l := &k.lists[slot]
	was := cap(l.list)
	register, rank := aggregate.Register(word)
	l.list = append(l.list, aggregate.Ranked{Time: t, Register: register, Rank: rank})
	if len(l.list) >= 2*l.sorted+64 {
		l.normalize()
	}
	k.held += 16 * int64(cap(l.list)-was)
}

func (l *rankedList) normalize() {
	l.list.Normalize()
	l.sorted = len(l.list)
}

func (k *registers) done(int) {
	for i := range k.lists {
		k.lists[i].normalize()
	}
}

func (k *registers) put(_ *featureProgram, slot uint32, starts []int64, dst []table.Column, row int) {
	for b := range dst {
		dst[b].Int[row] = k.lists[slot].list.Result(starts[b])
	}
}

func (k *registers) append(dst []byte, slots []uint32, from int64) []byte {
	return appendEach(dst, k, slots, from)
}

func (k *registers) decode(first uint32, rows int, src []byte, _ int64) ([]byte, error) {
	return decodeEach(k, first, rows, src)
}

func (k *registers) appendOne(dst []byte, slot uint32, from int64) []byte {
	k.lists[slot].list.Cut(from)
	return k.lists[slot].list.Append(dst)
}

func (k *registers) decodeOne(slot uint32, src []byte) ([]byte, error) {
	list, rest, err := aggregate.DecodeRegisters(nil, src)
	k.lists[slot] = rankedList{list: list, sorted: len(list)}
	k.held += 16 * int64(len(list))
	return rest, err
}

func (k *registers) bytes() int64 { return 32*int64(cap(k.lists)) + k.held }

// extremes is Min and Max where states tell times.
type extremes struct {
	keep
	lists  []extremeList
	events aggregate.Extreme // of all lists, and of places that lists have left to grow
}

// extremeColumns is scratch for what pieces hold of extremes: lengths, times, values. A build has thousands of keepers, of which a few are at work.
var extremeColumns = sync.Pool{New: func() any { return new([3][]uint64) }}

// extremeList is a state, of Max: of the negative values, by where it stands among the events. Its first sorted entries are in order; the rest are as
// they came, so that many late events cost O(log n) each.
type extremeList struct {
	at              int
	n, room, sorted uint32
}

const (
	shortList = 32 // how many entries may be moved for one that comes late
	spareRoom = 2  // for how many entries a list that is read has room
)

// of returns the entries of a list; there is room for more behind them.
func (k *extremes) of(l *extremeList) aggregate.Extreme {
	return k.events[l.at:][:l.n:l.room]
}

// grow gives a list room for one entry more at least: in its place if it is the last, or else in a new one.
func (k *extremes) grow(l *extremeList) {
	more := int(l.room) + spareRoom
	if l.at+int(l.room) != len(k.events) {
		at := len(k.events)
		k.events = append(k.events, k.of(l)...)
		l.at, more = at, more+int(l.room-l.n)
	}
	k.events = slices.Grow(k.events, more)[:len(k.events)+more]
	l.room = uint32(len(k.events) - l.at)
}

func (k *extremes) normalize(l *extremeList) {
	if l.sorted < l.n {
		list := k.of(l)
		list.Normalize()
		l.n = uint32(len(list))
		l.sorted = l.n
	}
}

func (k *extremes) room(n int) {
	if more := n - len(k.lists); more > 0 {
		k.lists = append(k.lists, make([]extremeList, more)...)
	}
}

func (k *extremes) sign() float64 {
	if k.op == features.Max {
		return -1
	}
	return 1
}

func (k *extremes) add(slot uint32, _ uint8, word uint64, t int64) {
	l, value := &k.lists[slot], k.sign()*math.Float64frombits(word)+0
	if least, ok := k.of(l)[:l.sorted].Result(t); ok && least <= value {
		return
	}
	if l.n == l.room {
		k.grow(l)
	}
	list := k.of(l) // which has room for the entry, and stays where it is
	if n := len(list); int(l.sorted) == n && (n < shortList || list[n-1].Time <= t) {
		list.Add(t, value)
		l.n = uint32(len(list))
		l.sorted = l.n
		return
	}
	k.events[l.at+len(list)] = aggregate.Event[float64]{Time: t, Value: value}
	if l.n++; l.n >= 2*l.sorted {
		k.normalize(l)
	}
}

func (k *extremes) done(int) {
	for i := range k.lists {
		k.normalize(&k.lists[i])
	}
}

func (k *extremes) put(_ *featureProgram, slot uint32, starts []int64, dst []table.Column, row int) {
	list := k.of(&k.lists[slot])
	at, sign := len(list), k.sign()
	for b := range dst {
		for at > 0 && list[at-1].Time >= starts[b] {
			at--
		}
		if at < len(list) {
			dst[b].Float[row] = sign*list[at].Value + 0
		} else {
			dst[b].Valid[row] = false
		}
	}
}

// append writes the number of entries, and columns: of each slot how many there are; of each entry how long it was after from, and the value.
func (k *extremes) append(dst []byte, slots []uint32, from int64) []byte {
	cols := extremeColumns.Get().(*[3][]uint64)
	defer extremeColumns.Put(cols)
	for i := range cols {
		cols[i] = cols[i][:0]
	}
	for _, slot := range slots {
		list := k.of(&k.lists[slot])
		for len(list) > 0 && list[0].Time < from {
			list = list[1:]
		}
		cols[0] = append(cols[0], uint64(len(list)))
		for _, e := range list {
			cols[1] = append(cols[1], uint64(e.Time-from))
			cols[2] = append(cols[2], math.Float64bits(e.Value))
		}
	}
	dst = aggregate.AppendUint(dst, uint64(len(cols[1])))
	for _, col := range cols {
		dst = words.Append(dst, col)
	}
	return dst
}

func (k *extremes) decode(first uint32, rows int, src []byte, from int64) ([]byte, error) {
	n, src, err := aggregate.DecodeUint(src)
	if err != nil || n > uint64(rows+len(src)) { // all times of a list but the first take a byte at least
		return nil, aggregate.ErrDamaged
	}
	cols := extremeColumns.Get().(*[3][]uint64)
	defer extremeColumns.Put(cols)
	for i, size := range []int{rows, int(n), int(n)} {
		cols[i] = slices.Grow(cols[i][:0], size)[:size]
		if _, src, err = words.Read(cols[i], src); err != nil {
			return nil, err
		}
	}
	at, more := len(k.events), int(n)+spareRoom*rows
	k.events = slices.Grow(k.events, more)[:at+more]
	times, values := cols[1], cols[2]
	for i, size := range cols[0] {
		if size > uint64(len(times)) {
			return nil, aggregate.ErrDamaged
		}
		list := k.events[at:][:size]
		for j, t := range times[:size] {
			e := aggregate.Event[float64]{Time: from + int64(t), Value: math.Float64frombits(values[j])}
			if e.Time < from || !features.Computable(e.Value) || j > 0 && (e.Time <= list[j-1].Time || e.Value <= list[j-1].Value) {
				return nil, aggregate.ErrDamaged
			}
			list[j] = e
		}
		k.lists[int(first)+i] = extremeList{at: at, n: uint32(size), room: uint32(size) + spareRoom, sorted: uint32(size)}
		times, values, at = times[size:], values[size:], at+int(size)+spareRoom
	}
	if len(times) > 0 {
		return nil, aggregate.ErrDamaged
	}
	return src, nil
}

func (k *extremes) bytes() int64 { return 24*int64(cap(k.lists)) + 16*int64(cap(k.events)) }
