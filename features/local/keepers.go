package local

import (
	"math"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
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
	key    string
}

// keeper holds the states of one keep for the entities of a partition.
type keeper interface {
	// room makes room for slots [0, n).
	room(n int)
	// add adds an event that passes.
	add(slot uint32, bucket uint8, word uint64, time int64)
	// done prepares for put and encode; nothing is added afterwards.
	done(slots int)
	// put writes a slot's values, of each window the one that starts at the same position of starts, to a row of its column.
	put(f *featureProgram, slot uint32, starts []int64, dst []table.Column, row int)
	bytes() int64
}

func newKeeper(p *program, k keep, windows int) keeper {
	switch k.op {
	case features.Top, features.Quantile:
		return &tallied{keep: k}
	case features.First:
		return &firsts{keep: k, windows: windows}
	case features.Last, features.Sequence:
		return &recents{keep: k}
	case features.ApproxDistinct:
		return &registers{keep: k}
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

func (k *tallied) add(slot uint32, bucket uint8, word uint64, _ int64) {
	k.t.add(slot, bucket, k.word(word), 1)
}

// word returns by what a value is counted: itself, or its bin.
func (k *tallied) word(word uint64) int64 {
	if k.op == features.Quantile {
		return int64(aggregate.Bin(math.Float64frombits(word)))
	}
	return int64(word)
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

// firsts is First: of each bucket the earliest event.
type firsts struct {
	keep
	windows int
	cells   []aggregate.Event[int64] // by slot and bucket; noTime: none
}

// noTime stands for no event: the last microsecond that there is, which no window holds.
const noTime = maxTime

func (k *firsts) room(n int) {
	for len(k.cells) < n*k.windows {
		k.cells = append(k.cells, aggregate.Event[int64]{Time: noTime})
	}
}

func (k *firsts) add(slot uint32, bucket uint8, word uint64, t int64) {
	k.earlier(&k.cells[int(slot)*k.windows+int(bucket)], aggregate.Event[int64]{Time: t, Value: int64(word)})
}

// earlier sets to to e if that comes before it.
func (k *firsts) earlier(to *aggregate.Event[int64], e aggregate.Event[int64]) {
	if e.Time < to.Time || e.Time == to.Time && e.Time != noTime && k.values.compare(e.Value, to.Value) < 0 {
		*to = e
	}
}

func (k *firsts) done(int) {}

func (k *firsts) put(_ *featureProgram, slot uint32, _ []int64, dst []table.Column, row int) {
	best := aggregate.Event[int64]{Time: noTime}
	for b := range dst {
		k.earlier(&best, k.cells[int(slot)*k.windows+b])
		if best.Time == noTime {
			dst[b].Valid[row] = false
			continue
		}
		k.values.put(&dst[b], row, best.Value)
	}
}

func (k *firsts) bytes() int64 { return 16 * int64(cap(k.cells)) }

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

func (k *registers) bytes() int64 { return 32*int64(cap(k.lists)) + k.held }
