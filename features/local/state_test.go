package local

import (
	"bytes"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// everything is a view with each operator, and a partition that holds states of it.
func everything(t testing.TB) (*program, *partition) {
	day := 24 * time.Hour
	v := features.View{Name: "v", Key: "subject+item", Windows: []time.Duration{day, 7 * day}, Features: features.Sorted([]features.Feature{
		{Name: "approx", Op: features.ApproxDistinct, Column: "device"},
		{Name: "decayed", Op: features.Decayed, HalfLife: day},
		{Name: "distinct", Op: features.Distinct, Column: "device"},
		{Name: "first", Op: features.First, Column: "device"},
		{Name: "last", Op: features.Last, Column: "value"},
		{Name: "max", Op: features.Max, Column: "value"},
		{Name: "mean", Op: features.Mean, Column: "value"},
		{Name: "min", Op: features.Min, Column: "value"},
		{Name: "n", Op: features.Count},
		{Name: "quantile", Op: features.Quantile, Column: "value", Quantile: 0.5},
		{Name: "recency", Op: features.Recency},
		{Name: "sequence", Op: features.Sequence, Column: "device", N: 3},
		{Name: "share", Op: features.ShareOf, Share: []string{"buy"}},
		{Name: "top", Op: features.Top, Column: "device", N: 2},
	})}
	if err := v.Validate(); err != nil {
		t.Fatal(err)
	}
	end := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)
	p, err := compile([]features.View{v}, table.Schema{{Name: "device", Type: table.String}}, end, use{timed: true, tile: true})
	if err != nil {
		t.Fatal(err)
	}
	pt := newPartition(p, p.groups[0])
	pt.begin()
	var slots [1]uint32
	if err := pt.find([]uint64{1, 2, 3 << 56}, 3, []string{""}, make([]uint64, 1), slots[:]); err != nil {
		t.Fatal(err)
	}
	pt.classes[0].room(pt.n)
	return p, pt
}

// encoded returns the state of the partition's only slot.
func encoded(p *program, pt *partition) []byte {
	c := &pt.classes[0]
	c.done(pt.n)
	var members []gathered
	for i := range c.members {
		members = append(members, c.members[i].gather(pt.n))
	}
	return c.appendState(nil, 0, p.end, members)
}

// Whatever bytes stand in a state, reading it ends without a panic; what it takes it writes again as it was, but for what is past all windows.
func FuzzState(f *testing.F) {
	p, pt := everything(f)
	f.Add([]byte{})
	f.Add(encoded(p, pt))
	c := &pt.classes[0]
	var d bucketData
	d.counts = []uint64{3}
	for range c.counters[1:] {
		d.counts = append(d.counts, 2)
	}
	for i := range c.sums {
		var s aggregate.Exact
		s.Add(1e300 * float64(i+1))
		s.Add(3)
		d.sums = append(d.sums, s)
	}
	d.tallies = make([][]aggregate.Tally[int64], len(c.keepers))
	for i, k := range c.keepers {
		switch k := k.(type) {
		case *tallied:
			word := int64(7)
			if k.values.isText() {
				word = int64(k.values.dict.code("phone"))
			}
			d.tallies[i] = []aggregate.Tally[int64]{{Key: word, N: 2}}
		case timedKeeper:
			k.add(0, 0, 0, p.end-5)
		}
	}
	if err := c.addBucket(0, 1, &d, 1); err != nil {
		f.Fatal(err)
	}
	c.members[0].addMembers(0, []aggregate.Member{{ID: 5, Time: p.end - 9}}, newScratch(8))
	state := encoded(p, pt)
	f.Add(state)
	if _, fresh := everything(f); fresh.classes[0].readState(0, state, p.end, &d, new(aggregate.Members), newScratch(8)) != nil || !bytes.Equal(encoded(p, fresh), state) {
		f.Fatal("a state does not come back as it was")
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		_, fresh := everything(t)
		var d bucketData
		var set aggregate.Members
		if fresh.classes[0].readState(0, src, p.end, &d, &set, newScratch(8)) != nil {
			return
		}
		first := encoded(p, fresh)
		_, again := everything(t)
		if err := again.classes[0].readState(0, first, p.end, &d, &set, newScratch(8)); err != nil {
			t.Fatalf("%x is written as %x, which is no state: %v", src, first, err)
		}
		if second := encoded(p, again); !bytes.Equal(first, second) {
			t.Fatalf("%x, then %x", first, second)
		}
	})
}

// What is left in a bucket without events shows that a prior state was not of the events that were taken from it.
func TestSettle(t *testing.T) {
	_, pt := everything(t)
	c := &pt.classes[0]
	if !c.settle(pt.n) {
		t.Fatal("an empty state is not settled")
	}
	tally := func(c *classState, n int64) {
		for _, k := range c.keepers {
			if k, ok := k.(*tallied); ok {
				k.t.add(0, 1, 7, n)
				return
			}
		}
	}
	for what, spoil := range map[string]func(c *classState){
		"a counter": func(c *classState) { c.words[c.cells+c.counters[1].word] |= 1 << c.counters[1].shift },
		"a sum":     func(c *classState) { c.words[c.cells+c.sums[0].word] = 1 },
		"a tally":   func(c *classState) { tally(c, 1) },
	} {
		_, pt := everything(t)
		c := &pt.classes[0]
		spoil(c)
		if c.settle(pt.n) {
			t.Errorf("%s is left, and the state is settled", what)
		}
		c.words[c.cells+c.counters[0].word]++
		if !c.settle(pt.n) {
			t.Errorf("%s stands beside an event, and the state is not settled", what)
		}
	}
	tally(c, 1)
	if tally(c, -1); !c.settle(pt.n) {
		t.Error("a tally that came to zero is left")
	}
}
