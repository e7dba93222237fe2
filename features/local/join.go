package local

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/storage/table"
)

// joinCells is how many results a block of examples has at most: 256 MiB of numbers.
const joinCells = 1 << 25

// maxMoment bounds the times of examples, so that times can be computed with: 73,000 years before and after 1970.
const maxMoment = 1 << 61

// Join computes views as of each example's moment, as features.JoinPlan says. It takes examples in blocks of as many as have joinCells results,
// and reads the events once for each block, those of the block's keys and windows alone: it holds them, 8 bytes a word that a feature needs, and
// the results. Examples that are sorted by time, or lie in files by day, make blocks of short spans, for which Plan.Events lists few
// files.
//
// The events of an entity are then swept once for each feature and window while its examples pass in the order of their moments: an event is added when it
// becomes visible, and taken away when it leaves the window. That costs O(events · (features · windows + log events) + examples · features · windows), whatever
// the windows hold. The result is what Build gives, to the bit.
//
// Stats.RowsIn counts the events of a block's span, for each block anew; RowsOut of each view the examples that have its key and a time.
func (Engine) Join(ctx context.Context, p features.JoinPlan) (features.Stats, error) {
	stats, err := runJoin(ctx, p, joinCells)
	if err != nil {
		return stats, fmt.Errorf("join features: %w", err)
	}
	return stats, nil
}

func runJoin(ctx context.Context, p features.JoinPlan, cells int) (features.Stats, error) {
	stats := features.Stats{RowsOut: map[string]int64{}}
	j, err := compileJoin(p)
	if err != nil {
		return stats, err
	}
	rows := max(1, cells/len(j.out))
	b := newBlock(j)
	flush := func() error {
		if b.n == 0 {
			return nil
		}
		if err := b.join(ctx, &stats); err != nil {
			return err
		}
		if err := b.emit(ctx); err != nil {
			return err
		}
		b = newBlock(j)
		return nil
	}
	need := make([]string, len(p.ExampleSchema))
	for i, f := range p.ExampleSchema {
		need[i] = f.Name
	}
	for _, split := range p.Examples {
		for batch, err := range split.Read(ctx, need) {
			if err != nil {
				return stats, fmt.Errorf("read examples: %w", err)
			}
			if err := ctx.Err(); err != nil {
				return stats, err
			}
			for lo := 0; lo < batch.N; {
				hi := min(batch.N, lo+min(runRows, rows-b.n))
				if err := b.take(batch, lo, hi); err != nil {
					return stats, fmt.Errorf("read examples: %w", err)
				}
				lo = hi
				if b.n < rows {
					continue
				}
				if err := flush(); err != nil {
					return stats, err
				}
			}
		}
	}
	return stats, flush()
}

// joinProgram is a join in the form that it runs.
type joinProgram struct {
	features.JoinPlan
	events   *program     // lanes, predicates and groups of the events
	examples *program     // the keys of the examples
	keys     []*group     // of examples, parallel to groups
	groups   []*joinGroup // of events
	texts    []int        // columns of events whose text is put out: positions in events.columns
	created  int          // position in events.columns; -1: there is none
	need     []int        // positions in events.columns, sorted
	longest  int64        // the longest window and hop together, µs
	out      table.Schema
	features int // columns before those of features in out
	moment   int // of out: the examples' time
}

// joinGroup is all views of one key.
type joinGroup struct {
	*group
	views []joinView
	texts []int // positions in joinProgram.texts of what its records carry, after the lanes
}

// A record of a join is some words: where its entity stands, its time, when it became known, the mask, lanes, texts.
const (
	slotWord = iota
	timeWord
	knownWord
	maskWord
)

func (g *joinGroup) recordWords() int { return maskWord + g.mask + len(g.lanes) + len(g.texts) }

type joinView struct {
	features.View
	hop      int64   // µs; 0: none
	windows  []int64 // µs, ascending
	features []joinFeature
	at       int // the first column of out
}

type joinFeature struct {
	features.Feature
	pred int
	part int        // ShareOf: the predicate of the numerator
	lane int        // position in program.lanes of what may be refused; -1: none
	word int        // of the value in a record; -1: none
	text int        // position in joinProgram.texts; -1: none
	kind table.Type // of the value
}

// compileJoin checks a plan and turns it into a program.
func compileJoin(p features.JoinPlan) (*joinProgram, error) {
	if err := features.Validate(p.Views); err != nil {
		return nil, err
	}
	j := &joinProgram{JoinPlan: p, events: &program{schema: p.Schema}, examples: &program{schema: p.ExampleSchema}, created: -1, features: len(p.ExampleSchema)}
	j.moment = p.ExampleSchema.Index("time")
	if j.moment < 0 || p.ExampleSchema[j.moment].Type != table.Time {
		return nil, fmt.Errorf("the examples have no column \"time\" of type %s: name their moment so", table.Time)
	}
	j.events.column("time", "every view", table.Time)
	j.examples.column("time", "every view", table.Time)
	if p.Schema.Index("created") >= 0 {
		j.created = j.events.column("created", "every join", table.Time)
	}
	j.out = slices.Clone(p.ExampleSchema)
	byKey := map[string]int{}
	for _, v := range p.Views {
		at, ok := byKey[v.Key]
		if !ok {
			at = len(j.groups)
			byKey[v.Key] = at
			if err := j.group(v); err != nil {
				return nil, err
			}
		}
		j.view(j.groups[at], v)
	}
	names := map[string]bool{}
	for _, f := range j.out {
		if names[f.Name] {
			return nil, fmt.Errorf("two columns of the join are named %q: rename the examples' one", f.Name)
		}
		names[f.Name] = true
	}
	for _, g := range j.groups {
		j.events.layout(g.group)
		g.place()
		j.need = append(j.need, g.needs...)
	}
	j.need = append(j.need, timeColumn)
	j.need = append(j.need, j.texts...)
	if j.created >= 0 {
		j.need = append(j.need, j.created)
	}
	slices.Sort(j.need)
	j.need = slices.Compact(j.need)
	return j, nil
}

// group adds the group of a view's key, for events and for examples.
func (j *joinProgram) group(v features.View) error {
	for _, k := range v.Keys() {
		i := j.ExampleSchema.Index(k)
		if i < 0 {
			return fmt.Errorf("the examples have no column %q, which is a key of view %q", k, v.Name)
		}
		if have, want := j.ExampleSchema[i].Type, features.TypeOf(j.Schema, k); have != want {
			return fmt.Errorf("column %q of the examples has type %s, that of the events %s", k, have, want)
		}
	}
	j.groups = append(j.groups, &joinGroup{group: j.events.group(v)})
	j.keys = append(j.keys, j.examples.group(v))
	return nil
}

// view compiles a view into its group.
func (j *joinProgram) view(g *joinGroup, v features.View) {
	jv := joinView{View: v, hop: v.Hop.Microseconds(), at: len(j.out)}
	for _, w := range v.SortedWindows() {
		jv.windows = append(jv.windows, w.Microseconds())
	}
	j.longest = max(j.longest, jv.windows[len(jv.windows)-1]+jv.hop)
	for _, f := range v.Features {
		jv.features = append(jv.features, j.feature(g, v, f))
		for _, w := range v.SortedWindows() {
			j.out = append(j.out, table.Field{Name: features.JoinColumn(v.Name, features.ColumnName(f.Name, w)), Type: f.Type(j.Schema)})
		}
	}
	g.views = append(g.views, jv)
}

func (j *joinProgram) feature(g *joinGroup, v features.View, f features.Feature) joinFeature {
	jf := joinFeature{Feature: f, lane: -1, text: -1}
	p, reader := j.events, v.Name+"."+f.Name
	tests := p.tests(f, reader)
	column := f.Column
	switch f.Op {
	case features.Count, features.Recency:
	case features.ShareOf:
		if column == "" {
			column = "kind"
		}
		col := p.column(column, reader, table.String)
		part := test{column: col}
		for _, s := range f.Share {
			part.in = append(part.in, p.columns[col].number(s))
		}
		jf.part = g.pred(append(slices.Clip(tests), part), -1)
		if f.Column != "" {
			tests = append(slices.Clip(tests), test{column: col})
		}
	case features.Sum, features.Mean, features.Decayed, features.Min, features.Max, features.Quantile:
		jf.lane = p.valueLane(f, reader)
	case features.Distinct, features.ApproxDistinct:
		jf.kind = features.TypeOf(j.Schema, column)
		jf.lane = p.lane(lane{form: identity, column: p.column(column, reader)})
	case features.First, features.Last, features.Top, features.Sequence:
		if column == "" {
			column = features.KeyItem
		}
		jf.kind = features.TypeOf(j.Schema, column)
		col := p.column(column, reader)
		switch {
		case jf.kind == table.String:
			tests = append(slices.Clip(tests), test{column: col})
			jf.text = slices.Index(j.texts, col)
			if jf.text < 0 {
				jf.text = len(j.texts)
				j.texts = append(j.texts, col)
			}
			if !slices.Contains(g.texts, jf.text) {
				g.texts = append(g.texts, jf.text)
			}
		case f.Op == features.First || f.Op == features.Last:
			jf.lane, jf.kind = p.lane(lane{form: number, column: col}), table.Float64
		default:
			jf.lane = p.lane(lane{form: identity, column: col})
		}
	}
	jf.pred = g.pred(tests, jf.lane)
	g.carry(jf.lane)
	return jf
}

// place says where features find their values in records, now that the group's lanes are known.
func (g *joinGroup) place() {
	for i := range g.views {
		for k := range g.views[i].features {
			f := &g.views[i].features[k]
			f.word = -1
			if f.lane >= 0 {
				f.word = maskWord + g.mask + slices.Index(g.lanes, f.lane)
			} else if f.text >= 0 {
				f.word = maskWord + g.mask + len(g.lanes) + slices.Index(g.texts, f.text)
			}
		}
	}
}

// asOf returns the moment as of which an example at t sees the view, µs: t, or the last hop at or before it.
func (v *joinView) asOf(anchor, t int64) int64 {
	if v.hop == 0 {
		return t
	}
	since := t - anchor
	steps := since / v.hop
	if since%v.hop < 0 {
		steps--
	}
	return anchor + steps*v.hop
}

// visible returns from when on examples see an event of time t that became known at a time.
func (v *joinView) visible(anchor, t, known int64) int64 {
	from := t + 1
	if v.hop != 0 {
		from = v.asOf(anchor, t) + v.hop
	}
	return max(from, known+1)
}

// block is a number of examples, their events, and their results.
type block struct {
	*joinProgram
	n        int
	cols     []table.Column // of out
	lo, hi   int64          // the moments, µs; hi < lo: none
	read     *reader        // of the examples
	entities []entities     // of each group: the keys of the examples
	slots    [][]uint32     // of each group: by example, noSlot for one that has no key or no time
}

const noSlot = ^uint32(0)

func newBlock(j *joinProgram) *block {
	b := &block{joinProgram: j, lo: maxTime, hi: minTime, cols: make([]table.Column, len(j.out)), slots: make([][]uint32, len(j.groups))}
	b.read = newReader(j.examples, &columnTypes{types: make([]table.Type, len(j.examples.columns))})
	for _, g := range j.keys {
		b.entities = append(b.entities, entities{words: len(g.keys), texts: g.texts})
	}
	return b
}

// take adds rows of a batch of examples.
func (b *block) take(batch *table.Batch, lo, hi int) error {
	need := []int{timeColumn}
	for _, g := range b.keys {
		need = append(need, g.keys...)
	}
	if err := b.read.batch(batch, need); err != nil {
		return err
	}
	for i, f := range b.ExampleSchema {
		at := batch.Schema.Index(f.Name)
		if at < 0 || at >= len(batch.Cols) || batch.Schema[at].Type != f.Type {
			return fmt.Errorf("a batch has no column %q of type %s, which the examples' schema names", f.Name, f.Type)
		}
		if err := appendRows(&b.cols[i], &batch.Cols[at], f, b.n, lo, hi, batch.N); err != nil {
			return err
		}
	}
	b.read.start(lo, hi)
	times := &b.cols[b.moment]
	for i := b.n; i < b.n+hi-lo; i++ {
		t := times.Int[i]
		if times.Null(i) {
			continue
		}
		if t < -maxMoment || t > maxMoment {
			return fmt.Errorf("an example has the time %d µs, more than 73,000 years from 1970: mend it, or leave it without a time", t)
		}
		b.lo, b.hi = min(b.lo, t), max(b.hi, t)
	}
	for i, g := range b.keys {
		if err := b.keysOf(i, g, hi-lo); err != nil {
			return err
		}
	}
	b.n += hi - lo
	return nil
}

// keysOf gives the next n examples the slots of their keys in one group.
func (b *block) keysOf(at int, g *group, n int) error {
	var (
		words []uint64
		texts []string
		rows  []int
	)
	times := &b.cols[b.moment]
	for i := range n {
		b.slots[at] = append(b.slots[at], noSlot)
		if times.Null(b.n+i) || !keyed(b.read, g, i) {
			continue
		}
		words, texts = appendKey(words, texts, b.read, g, i)
		rows = append(rows, b.n+i)
	}
	slots := make([]uint32, len(rows))
	if err := b.entities[at].find(words, len(g.keys), texts, make([]uint64, len(rows)), slots); err != nil {
		return err
	}
	for i, row := range rows {
		b.slots[at][row] = slots[i]
	}
	return nil
}

// keyed reports whether row i of the reader's run has the group's key.
func keyed(r *reader, g *group, i int) bool {
	for _, l := range g.idents {
		if d := r.lane(l); d.bad != nil && d.bad[i] != usable {
			return false
		}
	}
	return true
}

// appendKey appends the key of row i of the reader's run.
func appendKey(words []uint64, texts []string, r *reader, g *group, i int) ([]uint64, []string) {
	for k, l := range g.idents {
		words = append(words, r.lane(l).words[i])
		if g.isText(k) {
			texts = append(texts, textAt(&r.cols[g.keys[k]], r.lo+i))
		}
	}
	return words, texts
}

func textAt(c *table.Column, row int) string {
	if c.Code != nil {
		return c.Dict[c.Code[row]]
	}
	return c.Str[row]
}

// appendRows appends rows [lo, hi) of a column of n rows to dst, which has have.
func appendRows(dst, src *table.Column, f table.Field, have, lo, hi, n int) error {
	short := fmt.Errorf("column %q has too few values in a batch of %d rows: the source is broken", f.Name, n)
	if src.Valid != nil && len(src.Valid) != n {
		return short
	}
	switch {
	case f.Type == table.Float64:
		if len(src.Float) != n {
			return short
		}
		dst.Float = append(dst.Float, src.Float[lo:hi]...)
	case f.Type != table.String && f.Type != table.Bytes:
		if len(src.Int) != n {
			return short
		}
		dst.Int = append(dst.Int, src.Int[lo:hi]...)
	case src.Code != nil:
		if len(src.Code) != n {
			return short
		}
		for i, code := range src.Code[lo:hi] {
			s := ""
			if !src.Null(lo + i) {
				if uint(code) >= uint(len(src.Dict)) {
					return fmt.Errorf("column %q has a code beyond its dictionary of %d values: the source is broken", f.Name, len(src.Dict))
				}
				s = src.Dict[code]
			}
			dst.Str = append(dst.Str, s)
		}
	default:
		if len(src.Str) != n {
			return short
		}
		dst.Str = append(dst.Str, src.Str[lo:hi]...)
	}
	if src.Valid == nil && dst.Valid == nil {
		return nil
	}
	for len(dst.Valid) < have {
		dst.Valid = append(dst.Valid, true)
	}
	if src.Valid == nil {
		for range hi - lo {
			dst.Valid = append(dst.Valid, true)
		}
		return nil
	}
	dst.Valid = append(dst.Valid, src.Valid[lo:hi]...)
	return nil
}

// lookup returns the slot of a key, which it does not add.
func (e *entities) lookup(key []uint64, texts []string) uint32 {
	if e.n == 0 {
		return noSlot
	}
	h := hashKey(key)
	for at := place(h, len(e.index)); e.index[at] != 0; {
		if x := e.index[at]; x>>32 == h&(1<<32-1) {
			slot := uint32(x) - 1
			if slices.Equal(e.keys[int(slot)*e.words:][:e.words], key) && e.sameTexts(slot, texts, 0) {
				return slot
			}
		}
		if at++; at == len(e.index) {
			at = 0
		}
	}
	return noSlot
}

// join computes the block's results.
func (b *block) join(ctx context.Context, stats *features.Stats) error {
	for i := b.joinProgram.features; i < len(b.out); i++ {
		c := &b.cols[i]
		c.Valid = make([]bool, b.n)
		switch b.out[i].Type {
		case table.Float64:
			c.Float = make([]float64, b.n)
		case table.String:
			c.Str = make([]string, b.n)
		default:
			c.Int = make([]int64, b.n)
		}
	}
	if b.hi < b.lo {
		return nil // no example has a moment
	}
	for i, g := range b.groups {
		for _, s := range b.slots[i] {
			if s == noSlot {
				continue
			}
			for _, v := range g.views {
				stats.RowsOut[v.Name]++
			}
		}
	}
	found, err := b.scan(ctx, stats)
	if err != nil {
		return err
	}
	return b.sweepAll(ctx, found, stats)
}

// sweepAll sweeps the entities of all groups, partitions of them side by side.
func (b *block) sweepAll(ctx context.Context, found *joinEvents, stats *features.Stats) error {
	rows := make([]examplesOf, len(b.groups))
	for i := range b.groups {
		rows[i] = bySlot(b.slots[i], b.entities[i].n)
	}
	var (
		mu   sync.Mutex
		next atomic.Int64
		wait sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			s := newSweep(b, found)
			for ctx.Err() == nil {
				task := int(next.Add(1)) - 1
				if task >= len(b.groups)*joinPartitions {
					break
				}
				s.partition(task/joinPartitions, task%joinPartitions, rows[task/joinPartitions])
			}
			mu.Lock()
			defer mu.Unlock()
			for what, n := range s.refused {
				addRefused(stats, what, n)
			}
		})
	}
	wait.Wait()
	return ctx.Err()
}

func addRefused(stats *features.Stats, what string, n int64) {
	if n == 0 {
		return
	}
	if stats.Refused == nil {
		stats.Refused = map[string]int64{}
	}
	stats.Refused[what] += n
}

// examplesOf lists the examples of each slot.
type examplesOf struct {
	rows []int32
	ends []int32 // by slot
}

func bySlot(slots []uint32, n int) examplesOf {
	e := examplesOf{ends: make([]int32, n+1)}
	for _, s := range slots {
		if s != noSlot {
			e.ends[s+1]++
		}
	}
	for i := range n {
		e.ends[i+1] += e.ends[i]
	}
	e.rows = make([]int32, e.ends[n])
	at := slices.Clone(e.ends)
	for row, s := range slots {
		if s != noSlot {
			e.rows[at[s]] = int32(row)
			at[s]++
		}
	}
	return e
}

func (e *examplesOf) of(slot int) []int32 { return e.rows[e.ends[slot]:e.ends[slot+1]] }

// emit puts the block's rows out.
func (b *block) emit(ctx context.Context) error {
	for lo := 0; lo < b.n; lo += batchRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(b.n, lo+batchRows)
		out := &table.Batch{Schema: b.out, N: hi - lo, Cols: make([]table.Column, len(b.cols))}
		for i, c := range b.cols {
			switch {
			case c.Float != nil:
				c.Float = c.Float[lo:hi]
			case c.Str != nil:
				c.Str = c.Str[lo:hi]
			default:
				c.Int = c.Int[lo:hi]
			}
			if c.Valid != nil {
				if c.Valid = c.Valid[lo:hi]; !slices.Contains(c.Valid, false) {
					c.Valid = nil
				}
			}
			out.Cols[i] = c
		}
		if err := b.Out(out); err != nil {
			return err
		}
	}
	return nil
}

// window is the span of the events that the block's examples may see.
func (b *block) window() table.Interval {
	return table.Interval{Start: time.UnixMicro(b.lo - b.longest).UTC(), End: time.UnixMicro(b.hi).UTC()}
}

// decayOf returns the decay of a Decayed feature.
func (f *joinFeature) decayOf() aggregate.Decay {
	return aggregate.Decay{HalfLife: f.HalfLife.Microseconds()}
}
