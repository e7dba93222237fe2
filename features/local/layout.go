package local

import (
	"slices"

	"github.com/rapport-ml/rapport/storage/table"
)

// layout fixes the group's records, now that all its views are known.
func (p *program) layout(g *group) {
	for _, c := range g.classes {
		for i := range c.members {
			if x := &c.members[i]; x.shared == nil || x.holds {
				x.lane = g.carry(x.value)
			}
		}
	}
	g.mask = max(1, (len(g.preds)+predBits-1)/predBits)
	g.words = len(g.key) + g.mask + len(g.lanes)
	need := slices.Clone(g.keys)
	var lanes func(l int)
	lanes = func(l int) {
		if l < 0 {
			return
		}
		x := p.lanes[l]
		if x.form == decaying || x.form == product {
			lanes(x.of)
		}
		if x.form == product {
			need = append(need, x.kind)
		}
		if x.column >= 0 {
			need = append(need, x.column)
		}
	}
	for _, l := range g.lanes {
		lanes(l)
	}
	for _, pr := range g.preds {
		lanes(pr.lane)
		for _, t := range pr.tests {
			need = append(need, t.column)
		}
	}
	slices.Sort(need)
	g.needs = slices.Compact(need)
}

// The positions of accumulators in a class; equal ones are one.

func (c *class) counter(pred int) int {
	if i := slices.IndexFunc(c.counters, func(x counter) bool { return x.pred == pred }); i >= 0 {
		return i
	}
	x := counter{pred: pred, word: c.cells}
	if n := len(c.counters); n%2 == 1 {
		x.word, x.shift = c.counters[n-1].word, 32
	} else {
		c.cells++
	}
	c.counters = append(c.counters, x)
	return len(c.counters) - 1
}

func (c *class) sum(pred, lane int, of lane) int {
	if i := slices.IndexFunc(c.sums, func(x summer) bool { return x.pred == pred && x.lane == lane }); i >= 0 {
		return i
	}
	c.sums = append(c.sums, summer{pred: pred, lane: lane, word: c.cells, decay: of.decay, base: of.base})
	c.cells += 2
	return len(c.sums) - 1
}

func (c *class) peak(pred, lane int, least bool) int {
	x := peak{pred: pred, lane: lane, word: c.cells, min: least}
	if i := slices.IndexFunc(c.peaks, func(y peak) bool { return y.pred == pred && y.lane == lane && y.min == least }); i >= 0 {
		return i
	}
	c.peaks = append(c.peaks, x)
	c.cells++
	return len(c.peaks) - 1
}

func (c *class) latest(pred, lane int) int {
	if i := slices.IndexFunc(c.newest, func(x newest) bool { return x.pred == pred }); i >= 0 {
		return i
	}
	c.newest = append(c.newest, newest{pred: pred, lane: lane, word: c.whole})
	c.whole++
	return len(c.newest) - 1
}

func (c *class) member(pred, value, time int) int {
	x := members{pred: pred, value: value, time: time}
	if i := slices.Index(c.members, x); i >= 0 {
		return i
	}
	c.members = append(c.members, x)
	return len(c.members) - 1
}

func (g *group) isText(key int) bool { return g.types[key] == table.String }

func (c *class) keep(k keep) int {
	if i := slices.IndexFunc(c.keeps, func(x keep) bool {
		return x.op == k.op && x.pred == k.pred && x.lane == k.lane && x.n == k.n
	}); i >= 0 {
		return i
	}
	c.keeps = append(c.keeps, k)
	return len(c.keeps) - 1
}

// longWords returns for each text of the key the position of its second word.
func (g *group) longWords() []int {
	long := []int{}
	at := 0
	for i := range g.keys {
		at++
		if g.isText(i) {
			long = append(long, at)
			at++
		}
	}
	return long
}

// headOf returns the lane of the first word of a key column of text.
func (g *group) headOf(i int) int {
	at := 0
	for j := range i {
		at++
		if g.isText(j) {
			at++
		}
	}
	return g.key[at]
}
