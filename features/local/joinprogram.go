package local

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

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
	cells    int // what a row of out holds, in words of 8 bytes: of a text as many as it is likely to
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
	if !fits(p.Anchor) {
		return nil, fmt.Errorf("the anchor %s is more than 73,000 years from 1970: count hops from another moment", p.Anchor)
	}
	j.events.column("time", "every view", table.Time)
	j.examples.column("time", "every view", table.Time)
	if p.Schema.Index("created") >= 0 {
		j.created = j.events.column("created", "every join", table.Time)
	}
	j.out = slices.Clone(p.ExampleSchema)
	for _, f := range j.out {
		j.cells += cellsOf(f.Type, 1)
	}
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
	events, err := j.events.group(v)
	if err != nil {
		return err
	}
	examples, err := j.examples.group(v)
	if err != nil {
		return err
	}
	j.groups, j.keys = append(j.groups, &joinGroup{group: events}), append(j.keys, examples)
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
			j.cells += cellsOf(f.Type(j.Schema), max(1, f.N))
		}
	}
	g.views = append(g.views, jv)
}

// cellsOf is how many words of 8 bytes a result is likely to hold: 4 for each of n texts.
func cellsOf(t table.Type, n int) int {
	if t == table.String || t == table.Bytes {
		return 1 + 4*n
	}
	return 1
}

func (j *joinProgram) feature(g *joinGroup, v features.View, f features.Feature) joinFeature {
	jf := joinFeature{Feature: f, lane: -1, text: -1}
	p, reader := j.events, v.Name+"."+f.Name
	tests := p.tests(f, reader)
	column := -1
	switch f.Op {
	case features.Count, features.Recency:
	case features.ShareOf:
		column = p.column(cmp.Or(f.Column, "kind"), reader, table.String)
		part := test{column: column}
		for _, s := range f.Share {
			part.in = append(part.in, p.columns[column].number(s))
		}
		jf.part = g.pred(append(slices.Clip(tests), part), -1)
		if f.Column != "" {
			tests = append(slices.Clip(tests), test{column: column})
		}
	case features.Sum, features.Mean, features.Decayed, features.Min, features.Max, features.Quantile:
		jf.lane = p.valueLane(f, reader)
	case features.Distinct:
		jf.lane = p.lane(lane{form: identity, column: p.column(f.Column, reader)})
	case features.ApproxDistinct:
		column, jf.kind = p.aggregated(f, reader)
		jf.lane = p.lane(lane{form: identity, column: column})
	case features.First, features.Last, features.Top, features.Sequence:
		column, jf.kind = p.aggregated(f, reader)
		switch {
		case jf.kind == table.String:
			tests = append(slices.Clip(tests), test{column: column})
			jf.text = slices.Index(j.texts, column)
			if jf.text < 0 {
				jf.text = len(j.texts)
				j.texts = append(j.texts, column)
			}
			if !slices.Contains(g.texts, jf.text) {
				g.texts = append(g.texts, jf.text)
			}
		case f.Op == features.First || f.Op == features.Last:
			jf.lane = p.lane(lane{form: number, column: column})
		default:
			jf.lane = p.lane(lane{form: identity, column: column})
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
