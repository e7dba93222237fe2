package local

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// program is a set of views in the form that the scan runs. Work that views share is done once: a lane for each column and form, a group for each
// key, a class for each list of windows of a group, an accumulator for each thing aggregated in a class.
type program struct {
	start, end int64   // µs: the longest window of all views, and where all windows end
	edges      []int64 // all windows, µs, ascending, each once
	schema     table.Schema
	columns    []column
	lanes      []lane
	groups     []*group
	views      []viewProgram
	use        use
}

// use is what becomes of the states after the build.
type use struct {
	timed   bool  // they must tell times, since a later build goes on from them, or this one goes on from those of an earlier one
	tile    bool  // they hold a tile: the events of the interval alone
	span    int64 // of the tile, µs
	columns bool  // the build goes on from a prior one: states stand in columns, as they are read and put out

	unshared bool // each group holds its own pairs
}

// kept reports whether what each group holds is put out for later builds, or comes from an earlier one.
func (u use) kept() bool { return u.timed || u.tile }

// column is a column of the events that some view reads.
type column struct {
	name   string
	reader string       // the first view, or feature, that reads it: for errors
	types  []table.Type // that every reader takes
	// named are the values that conditions, shares and weights name. Each row is then known by the value's number: 0 null, 1 any other value,
	// 2… in the order of named.
	named   []string
	numbers map[string]uint16 // of named
	dict    *dictionary       // of a column of text whose values come out again
	// numbering is that of a key whose entities another group counts in pairs that both share.
	numbering *numbering
}

// timeColumn is the position of "time" in program.columns.
const timeColumn = 0

const (
	nullValue  = 0
	otherValue = 1
	firstNamed = 2
)

func (c *column) number(value string) uint16 {
	if n, ok := c.numbers[value]; ok {
		return n
	}
	if c.numbers == nil {
		c.numbers = map[string]uint16{}
	}
	n := uint16(firstNamed + len(c.named))
	c.named = append(c.named, value)
	c.numbers[value] = n
	return n
}

// lane is one word a row, in one of the forms in which features read a column.
type lane struct {
	form    form
	column  int // position in program.columns; -1: none (a weight alone)
	of      int // decaying: the lane of what decays; product: that of the numbers; -1: none, which is 1; ordinal: the identities
	decay   aggregate.Decay
	base    int64      // decaying: the exponent relative to which terms are kept
	kind    int        // product: the column "kind"
	weights []weighted // product: by the kind's number; other kinds do not count
	key     string     // equal lanes have equal keys
}

type form uint8

const (
	identity   form = iota // equal if and only if the values are equal (text: if their 64-bit hashes are)
	number                 // the bits of a float64
	product                // the bits of a weight, or of a weight times a number, rounded once
	decaying               // the bits of a term of a decayed sum (aggregate.Decay)
	textCode               // the number of a text in the column's dictionary
	moment                 // µs
	packedHead             // a text as a key: pack's first word
	packedTail             // and its second
	ordinal                // the number of a value in the column's numbering
)

// weighted says what an event of a kind adds: weight, or weight times the column.
type weighted struct {
	counts   bool
	weight   float64
	explicit bool
}

// group is all views of one key. They share a table of entities and the records that are scattered to it.
//
// A record is some words: the words of the key, then those of the mask, then the lanes.
type group struct {
	keys    []int // one or two, positions in program.columns
	types   []table.Type
	idents  []int // the lanes that identify the keys, one each
	key     []int // the lanes of the words of the key in records: one of a number, two of a text
	texts   int   // how many of the keys are text
	preds   []predicate
	lanes   []int // positions in program.lanes
	classes []*class
	longest int64
	views   []int        // positions in program.views
	mask    int          // words of the mask
	words   int          // of a record
	held    atomic.Int64 // bytes of the states of all its partitions
	needs   []int        // positions in program.columns, sorted: those that the group reads
}

// predicate is a bit of a record's mask: whether the event passes tests, and whether a lane has a value.
type predicate struct {
	tests []test
	lane  int // -1: none
	key   string
}

// test is a condition on one column: a set of values, any value, or a range.
type test struct {
	column int
	in     []uint16 // numbers of named values; nil: any value
	number bool     // a range of numbers
	lane   int      // of the numbers
	min    float64
	max    float64
	not    bool
}

// always is the predicate that every record passes.
const always = -1

// A word of the mask holds predBits predicates. Above them the first word has a bit that is always set, and from maskBits on the record's move.
const (
	predBits = 47
	maskBits = 48
)

// class is the views of a group with the same windows: their states stand side by side, so that an event touches them together.
//
// An entity's state is stride words: for each bucket its cells, then the cells that stand for all windows. In a build that goes on from a prior one they stand
// in columns, a cell of all entities of a partition together.
type class struct {
	number   int     // among the classes of all groups
	windows  []int64 // µs, ascending
	buckets  int     // one for each window, and that of the tile, if there is one that is not the shortest window's
	cells    int     // words of a bucket
	whole    int     // words for all windows
	counters []counter
	sums     []summer
	peaks    []peak
	newest   []newest
	members  []members
	keeps    []keep
}

func (c *class) stride() int { return c.wholeAt() + c.whole }

// wholeAt is where the words for all windows begin.
func (c *class) wholeAt() int { return c.buckets * c.cells }

// longest is the longest window.
func (c *class) longest() int64 { return c.windows[len(c.windows)-1] }

// The accumulators of a class. A word is the position of a cell in its bucket, or in the entity's words for all windows.
type (
	counter struct { // half a word: the number of events that pass
		pred, word, shift int
	}
	summer struct { // two words: the sum of a lane, as aggregate.Sum
		pred, lane, word int
		decay            aggregate.Decay // of a decaying lane
		base             int64
	}
	peak struct { // a word: the largest of a lane, or of its negative, by ordered; 0 is none
		pred, lane, word int
		min              bool
	}
	newest struct { // a word for all windows: the latest time, by orderedTime; 0 is none
		pred, lane, word int
	}
	members struct { // a table of (entity, value)
		pred, lane, time int
		value            int     // the lane, among the program's
		shared           *shared // the pairs are those of another group's members, too
		holds            bool    // in this group
	}
)

type viewProgram struct {
	features.View
	group    *group
	class    *class
	classNo  int
	features []featureProgram
}

// featureProgram says where a feature's result is found: positions in its class.
type featureProgram struct {
	features.Feature
	lane    int // of what is aggregated, for counting what is refused; -1: none
	pred    int
	count   int
	part    int
	sum     int
	peak    int
	newest  int
	members int
	keep    int
	// Decayed: the exact sum times scale, a power of two, times decay is the result (aggregate.Decay).
	scale, decay float64
}

// compile turns valid views into a program.
func compile(views []features.View, schema table.Schema, end time.Time, u use) (*program, error) {
	p := &program{end: end.UnixMicro(), schema: schema, use: u}
	p.column("time", "every view", table.Time)
	p.start = p.end - features.RetentionNeeded(views).Microseconds()
	for _, v := range views {
		for _, w := range v.Windows {
			p.edges = append(p.edges, w.Microseconds())
		}
	}
	slices.Sort(p.edges)
	p.edges = slices.Compact(p.edges)
	if len(p.edges) > maxEdges {
		return nil, fmt.Errorf("the views have %d different windows: at most %d can be built together; build them in parts", len(p.edges), maxEdges)
	}
	byKey := map[string]*group{}
	for i, v := range views {
		g := byKey[v.Key]
		if g == nil {
			var err error
			if g, err = p.group(v); err != nil {
				return nil, err
			}
			byKey[v.Key] = g
			p.groups = append(p.groups, g)
		}
		g.views = append(g.views, i)
		p.view(g, v)
	}
	p.share()
	classes := 0
	for _, g := range p.groups {
		p.layout(g)
		for _, c := range g.classes {
			c.number = classes
			classes++
		}
	}
	return p, nil
}

func (p *program) startTime() time.Time { return time.UnixMicro(p.start).UTC() }
func (p *program) endTime() time.Time   { return time.UnixMicro(p.end).UTC() }

func (p *program) group(v features.View) (*group, error) {
	g := &group{}
	for _, k := range v.Keys() {
		t := features.TypeOf(p.schema, k)
		if t == table.Float64 || t == table.Bytes {
			return nil, fmt.Errorf("view %q: column %q of type %s can't be its key: take a column of text, integers, times or bools", v.Name, k, t)
		}
		c := p.column(k, fmt.Sprintf("view %q", v.Name), t)
		g.keys = append(g.keys, c)
		g.types = append(g.types, t)
		g.idents = append(g.idents, p.lane(lane{form: identity, column: c}))
		if t == table.String {
			g.texts++
			head := p.lane(lane{form: packedHead, column: c})
			tail := p.lane(lane{form: packedTail, column: c, of: head})
			p.lanes[head].of = tail
			g.key = append(g.key, head, tail)
		} else {
			g.key = append(g.key, g.idents[len(g.idents)-1])
		}
	}
	return g, nil
}

// view compiles one view into its group.
func (p *program) view(g *group, v features.View) {
	vp := viewProgram{View: v, group: g}
	var windows []int64
	for _, w := range v.SortedWindows() {
		windows = append(windows, w.Microseconds())
	}
	g.longest = max(g.longest, windows[len(windows)-1])
	vp.classNo = slices.IndexFunc(g.classes, func(c *class) bool { return slices.Equal(c.windows, windows) })
	if vp.classNo < 0 {
		vp.classNo = len(g.classes)
		c := &class{windows: windows, buckets: len(windows)}
		if p.use.tile && !c.endsWithTile(p.use.span) {
			c.buckets++
		}
		c.counter(always) // whether there is a row
		g.classes = append(g.classes, c)
	}
	vp.class = g.classes[vp.classNo]
	for _, f := range v.Features {
		vp.features = append(vp.features, p.feature(g, vp.class, v, f))
	}
	p.views = append(p.views, vp)
}

func (p *program) feature(g *group, c *class, v features.View, f features.Feature) featureProgram {
	fp := featureProgram{Feature: f, lane: -1, keep: -1}
	reader := v.Name + "." + f.Name
	tests := p.tests(f, reader)
	switch f.Op {
	case features.Count:
		fp.pred = g.pred(tests, -1)
		fp.count = c.counter(fp.pred)
	case features.ShareOf:
		// Without a column every event that passes counts in the denominator; with one, those that have a value.
		of := f.Column
		if of == "" {
			of = "kind"
		}
		col := p.column(of, reader, table.String)
		part := test{column: col}
		for _, s := range f.Share {
			part.in = append(part.in, p.columns[col].number(s))
		}
		slices.Sort(part.in)
		if f.Column != "" {
			fp.pred = g.pred(append(slices.Clip(tests), test{column: col}), -1)
		} else {
			fp.pred = g.pred(tests, -1)
		}
		fp.count = c.counter(fp.pred)
		fp.part = c.counter(g.pred(append(slices.Clip(tests), part), -1))
	case features.Sum, features.Mean, features.Decayed:
		fp.lane = p.valueLane(f, reader)
		if f.Op == features.Decayed {
			decay := aggregate.Decay{HalfLife: f.HalfLife.Microseconds()}
			base := decay.Base(p.end - c.longest())
			fp.lane = p.lane(lane{form: decaying, column: timeColumn, of: fp.lane, decay: decay, base: base})
			last := decay.Base(p.end)
			fp.scale = math.Ldexp(1, int(base-last))
			fp.decay = decay.Result(1, last, p.end)
		}
		fp.pred = g.pred(tests, fp.lane)
		fp.sum = c.sum(fp.pred, g.carry(fp.lane), p.lanes[fp.lane])
		if f.Op == features.Mean {
			fp.count = c.counter(fp.pred)
		}
	case features.Min, features.Max:
		fp.lane = p.valueLane(f, reader)
		fp.pred = g.pred(tests, fp.lane)
		at := g.carry(fp.lane)
		if p.use.timed {
			fp.keep = c.keep(keep{op: f.Op, pred: fp.pred, lane: at, time: g.carry(p.moment())})
			break
		}
		fp.peak = c.peak(fp.pred, at, f.Op == features.Min)
	case features.Recency:
		fp.pred = g.pred(tests, -1)
		fp.newest = c.latest(fp.pred, g.carry(p.moment()))
	case features.Distinct:
		fp.lane = p.lane(lane{form: identity, column: p.column(f.Column, reader)})
		fp.pred = g.pred(tests, fp.lane)
		time := -1
		if p.use.timed {
			time = g.carry(p.moment())
		}
		fp.members = c.member(fp.pred, fp.lane, time)
	case features.Top, features.Quantile, features.First, features.Last, features.Sequence, features.ApproxDistinct:
		fp.keep = p.keep(g, c, f, tests, reader, &fp)
	}
	return fp
}

// keep adds the accumulator of a feature whose states differ in size, and returns its position.
func (p *program) keep(g *group, c *class, f features.Feature, tests []test, reader string, fp *featureProgram) int {
	col, typ := p.aggregated(f, reader)
	k := keep{op: f.Op, n: f.N, time: -1, values: values{typ: typ}}
	switch {
	case f.Op == features.Quantile, typ != table.String && (f.Op == features.First || f.Op == features.Last):
		fp.lane = p.lane(lane{form: number, column: col})
	case f.Op != features.ApproxDistinct && typ == table.String:
		if p.columns[col].dict == nil {
			p.columns[col].dict = newDictionary()
		}
		k.values.dict = p.columns[col].dict
		fp.lane = p.lane(lane{form: textCode, column: col})
	default:
		fp.lane = p.lane(lane{form: identity, column: col})
	}
	switch f.Op {
	case features.Last:
		k.n = 1
	case features.First:
		k.hours = p.use.timed
		k.cells = !k.hours || !c.onHours(p.end)
	}
	k.pred = g.pred(tests, fp.lane)
	k.lane = g.carry(fp.lane)
	if f.Op != features.Top && f.Op != features.Quantile {
		k.time = g.carry(p.moment())
	}
	fp.pred = k.pred
	return c.keep(k)
}

// aggregated returns the column of a feature whose result, or hash, is made of the values themselves, and the type as which it takes them: that
// of the column, or for what computes with them a number.
func (p *program) aggregated(f features.Feature, reader string) (column int, typ table.Type) {
	of := f.Column
	if of == "" {
		of = features.KeyItem // of a sequence
	}
	typ = features.TypeOf(p.schema, of)
	types := []table.Type{typ}
	switch f.Op {
	case features.Top, features.Sequence:
		if typ == table.Time {
			types[0] = 0 // a moment never comes out
		}
	case features.First, features.Last:
		if typ != table.String {
			typ, types = table.Float64, []table.Type{table.Float64, table.Int64, table.Bool}
		}
	case features.Quantile:
		typ, types = table.Float64, []table.Type{table.Float64, table.Int64, table.Bool}
	}
	return p.column(of, reader, types...), typ
}

// onHours reports whether all windows start on an hour of UTC, as of end.
func (c *class) onHours(end int64) bool {
	return !slices.ContainsFunc(c.windows, func(w int64) bool { return (end-w)%aggregate.Hour != 0 })
}

// moment returns the lane of times.
func (p *program) moment() int { return p.lane(lane{form: moment, column: timeColumn}) }

// valueLane returns the lane of what Sum, Mean, Min, Max and Decayed aggregate; -1 if every event is one.
func (p *program) valueLane(f features.Feature, reader string) int {
	col := -1
	if f.Column != "" {
		col = p.column(f.Column, reader, table.Float64, table.Int64, table.Bool)
	}
	if len(f.Weights) > 0 {
		kind := p.column("kind", reader, table.String)
		l := lane{form: product, column: -1, of: -1, kind: kind}
		if col >= 0 {
			l.of = p.lane(lane{form: number, column: col})
		}
		for _, k := range slices.Sorted(maps.Keys(f.Weights)) {
			n, w := int(p.columns[kind].number(k)), f.Weights[k]
			for len(l.weights) <= n {
				l.weights = append(l.weights, weighted{})
			}
			l.weights[n] = weighted{counts: true, weight: w, explicit: slices.Contains(f.Explicit, k)}
		}
		return p.lane(l)
	}
	if col < 0 {
		return -1
	}
	return p.lane(lane{form: number, column: col})
}

// tests returns the tests of a feature's filter.
func (p *program) tests(f features.Feature, reader string) []test {
	var ts []test
	in := func(column string, values []string, not bool) {
		t := test{column: p.column(column, reader, table.String), not: not}
		for _, v := range values {
			t.in = append(t.in, p.columns[t.column].number(v))
		}
		slices.Sort(t.in)
		ts = append(ts, t)
	}
	if len(f.Kinds) > 0 {
		in("kind", f.Kinds, false)
	}
	for _, c := range f.Where {
		if len(c.In) > 0 {
			in(c.Column, c.In, c.Not)
			continue
		}
		t := test{column: p.column(c.Column, reader, table.Float64, table.Int64, table.Bool), number: true, min: -features.MaxValue, max: features.MaxValue, not: c.Not}
		t.lane = p.lane(lane{form: number, column: t.column})
		if c.Min != nil {
			t.min = *c.Min
		}
		if c.Max != nil {
			t.max = *c.Max
		}
		ts = append(ts, t)
	}
	return ts
}

// column returns the position of a column, which it adds if need be, and notes which types its readers take: any if none is named.
func (p *program) column(name, reader string, types ...table.Type) int {
	if len(types) == 0 {
		types = []table.Type{table.Int64, table.Float64, table.String, table.Time, table.Bool}
	}
	for i := range p.columns {
		c := &p.columns[i]
		if c.name != name {
			continue
		}
		c.types = slices.DeleteFunc(slices.Clone(c.types), func(t table.Type) bool { return !slices.Contains(types, t) })
		if len(c.types) == 0 {
			c.types, c.reader = []table.Type{0}, reader // two readers want what no column can be: whoever meets it says so
		}
		return i
	}
	if t := features.TypeOf(p.schema, name); isFixed(name) || p.schema.Index(name) >= 0 {
		types = slices.DeleteFunc(slices.Clone(types), func(x table.Type) bool { return x != t })
		if len(types) == 0 {
			types = []table.Type{0}
		}
	}
	p.columns = append(p.columns, column{name: name, reader: reader, types: types})
	return len(p.columns) - 1
}

// isFixed reports whether every events table has the column, always of one type but where the plan's schema says otherwise.
func isFixed(name string) bool {
	switch name {
	case features.KeySubject, features.KeyItem, "time", "kind", "value":
		return true
	}
	return false
}

// lane returns the position of a lane, which it adds if need be.
func (p *program) lane(l lane) int {
	l.key = fmt.Sprint(l.form, l.column, l.of, l.decay, l.base, l.kind, l.weights)
	if i := slices.IndexFunc(p.lanes, func(x lane) bool { return x.key == l.key }); i >= 0 {
		return i
	}
	p.lanes = append(p.lanes, l)
	return len(p.lanes) - 1
}

// carry puts a lane into the group's records and returns its position among the group's lanes.
func (g *group) carry(l int) int {
	if l < 0 {
		return -1
	}
	if i := slices.Index(g.lanes, l); i >= 0 {
		return i
	}
	g.lanes = append(g.lanes, l)
	return len(g.lanes) - 1
}

// pred returns the position of a predicate, which it adds if need be.
func (g *group) pred(tests []test, lane int) int {
	if len(tests) == 0 && lane < 0 {
		return always
	}
	var b strings.Builder
	fmt.Fprint(&b, lane)
	for _, t := range tests {
		fmt.Fprintf(&b, " %v", t)
	}
	key := b.String()
	if i := slices.IndexFunc(g.preds, func(x predicate) bool { return x.key == key }); i >= 0 {
		return i
	}
	g.preds = append(g.preds, predicate{tests: tests, lane: lane, key: key})
	return len(g.preds) - 1
}
