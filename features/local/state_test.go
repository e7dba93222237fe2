package local

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// everything is a view with each operator, and a partition that holds states of it, in columns or not.
func everything(t testing.TB, columns bool) (*program, *partition) {
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
	p, err := compile([]features.View{v}, table.Schema{{Name: "device", Type: table.String}}, end, use{timed: true, tile: true, columns: columns})
	if err != nil {
		t.Fatal(err)
	}
	pt := newPartition(p, p.groups[0])
	pt.begin()
	var slots [entitiesOfEverything]uint32
	if err := pt.find([]uint64{1, 2, 3 << 56, 1, 5, 3 << 56}, 3, []string{"", ""}, make([]uint64, len(slots)), slots[:]); err != nil {
		t.Fatal(err)
	}
	pt.classes[0].room(pt.n)
	return p, pt
}

// entitiesOfEverything is how many entities its partition has.
const entitiesOfEverything = 2

// encoded returns the states of the partition's slots.
func encoded(p *program, pt *partition) []byte {
	c := &pt.classes[0]
	members := c.finished(pt.n)
	return c.appendState(nil, []uint32{0, 1}, p.end, members, make([]uint64, pt.n), make([]uint64, pt.n))
}

// readBack reads states into the slots of a partition.
func readBack(p *program, pt *partition, src []byte) error {
	var d bucketData
	var set aggregate.Members
	return pt.classes[0].readState(0, pt.n, src, p.end, &d, &set, newScratch(8))
}

// Whatever bytes stand in a state, reading it ends without a panic; what it takes it writes again as it was, but for what is past all windows. States in
// columns take the same bytes, and write the same.
func FuzzState(f *testing.F) {
	p, pt := everything(f, false)
	f.Add([]byte{})
	f.Add(encoded(p, pt))
	c := &pt.classes[0]
	var d bucketData
	d.counts = [][]uint64{{3, 1}}
	for range c.counters[1:] {
		d.counts = append(d.counts, []uint64{2, 0})
	}
	for i := range c.sums {
		var s aggregate.Exact
		for _, x := range []float64{1e300, 3, 1e-300} {
			s.Add(x * float64(i+1))
		}
		d.sums = append(d.sums, [2][]uint64{{0, math.Float64bits(0.1)}, {0, math.Float64bits(0.1 * 0x1p-60)}})
		d.apart = append(d.apart, []sumApart{{0, s}})
	}
	for _, k := range c.keepers {
		var list []tallyOf
		switch k := k.(type) {
		case *tallied:
			word := int64(7)
			if k.values.isText() {
				word = int64(k.values.dict.code("phone"))
			}
			list = []tallyOf{{0, aggregate.Tally[int64]{Key: word, N: 2}}}
		case timedKeeper:
			k.add(1, 0, 0, p.end-5)
		}
		d.tallies = append(d.tallies, list)
	}
	if err := c.setBucket(0, 1, &d); err != nil {
		f.Fatal(err)
	}
	c.words[c.wholeAt()] = orderedTime(uint64(p.end - 7))
	c.members[0].addMembers(1, []aggregate.Member{{ID: 5, Time: p.end - 9}}, newScratch(8))
	state := encoded(p, pt)
	f.Add(state)
	if len(c.rests) == 0 {
		f.Fatal("all sums are two words")
	}
	for _, columns := range []bool{false, true} {
		if _, fresh := everything(f, columns); readBack(p, fresh, state) != nil || !bytes.Equal(encoded(p, fresh), state) {
			f.Fatalf("in columns %v: a state does not come back as it was", columns)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		_, fresh := everything(t, false)
		_, inColumns := everything(t, true)
		err := readBack(p, fresh, src)
		if other := readBack(p, inColumns, src); (err == nil) != (other == nil) {
			t.Fatalf("%x: %v, and in columns %v", src, err, other)
		}
		if err != nil {
			return
		}
		first := encoded(p, fresh)
		if other := encoded(p, inColumns); !bytes.Equal(first, other) {
			t.Fatalf("%x is written as %x, and by columns as %x", src, first, other)
		}
		_, again := everything(t, false)
		if err := readBack(p, again, first); err != nil {
			t.Fatalf("%x is written as %x, which is no state: %v", src, first, err)
		}
		if second := encoded(p, again); !bytes.Equal(first, second) {
			t.Fatalf("%x, then %x", first, second)
		}
	})
}

// What is left in a bucket without events shows that a prior state was not of the events that were taken from it.
func TestSettle(t *testing.T) {
	tally := func(c *classState, n int64) {
		for _, k := range c.keepers {
			if k, ok := k.(*tallied); ok {
				k.t.add(0, 1, 7, n)
				return
			}
		}
	}
	word := func(c *classState, cell int) *uint64 { return &c.words[c.place(0, c.cells+cell)] }
	for _, columns := range []bool{false, true} {
		fresh := func() (*classState, int) {
			_, pt := everything(t, columns)
			return &pt.classes[0], pt.n
		}
		c, n := fresh()
		if !c.settle(n) {
			t.Fatal("an empty state is not settled")
		}
		for what, spoil := range map[string]func(c *classState){
			"a counter": func(c *classState) { *word(c, c.counters[1].word) |= 1 << c.counters[1].shift },
			"a sum":     func(c *classState) { *word(c, c.sums[0].word) = 1 },
			"a tally":   func(c *classState) { tally(c, 1) },
		} {
			c, n := fresh()
			spoil(c)
			if c.settle(n) {
				t.Errorf("in columns %v: %s is left, and the state is settled", columns, what)
			}
			*word(c, c.counters[0].word)++
			if !c.settle(n) {
				t.Errorf("in columns %v: %s stands beside an event, and the state is not settled", columns, what)
			}
		}
		tally(c, 1)
		if tally(c, -1); !c.settle(n) {
			t.Error("a tally that came to zero is left")
		}
	}
}
