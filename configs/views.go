package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage/table"
)

// operator is how an operator is written: which arguments it takes, and an example. A column alone may stand for {column: …}.
type operator struct {
	takes   []string
	example string
}

// operators are all of them.
var operators = map[features.Op]operator{
	features.Count:          {[]string{"kind", "where"}, "{count: {kind: view}}"},
	features.Sum:            {[]string{"column", "kind", "where", "weights"}, "{sum: value}"},
	features.Mean:           {[]string{"column", "kind", "where"}, "{mean: {column: value, kind: buy}}"},
	features.Min:            {[]string{"column", "kind", "where"}, "{min: value}"},
	features.Max:            {[]string{"column", "kind", "where"}, "{max: value}"},
	features.First:          {[]string{"column", "kind", "where"}, "{first: device}"},
	features.Last:           {[]string{"column", "kind", "where"}, "{last: device}"},
	features.Distinct:       {[]string{"column", "kind", "where"}, "{distinct: item}"},
	features.ApproxDistinct: {[]string{"column", "kind", "where"}, "{approx_distinct: item}"},
	features.Decayed:        {[]string{"half_life", "column", "kind", "where", "weights"}, "{decayed: {half_life: 7d}}"},
	features.Recency:        {[]string{"kind", "where"}, "{recency: {kind: buy}}"},
	features.ShareOf:        {[]string{"kind", "of", "is", "where"}, "{share: {of: device, is: [app]}}"},
	features.Top:            {[]string{"column", "n", "kind", "where"}, "{top: {column: device, n: 3}}"},
	features.Quantile:       {[]string{"column", "q", "kind", "where"}, "{quantile: {column: value, q: 0.9}}"},
	features.Sequence:       {[]string{"n", "column", "kind", "where"}, "{sequence: {n: 20}}"},
}

func (f *Feature) decode(d *decoder, n ast.Node, path string) {
	ps, ok := d.pairs(n, path)
	if !ok {
		return
	}
	if len(ps) != 1 {
		d.fault(line(n), path, "as {count: {kind: view}}", "want exactly one operator")
		return
	}
	f.Op = keyOf(ps[0])
	op, known := operators[features.Op(f.Op)]
	at := join(path, f.Op)
	if !known {
		names := make([]string, len(features.Ops))
		for i, o := range features.Ops {
			names[i] = string(o)
		}
		hint := "one of " + strings.Join(names, ", ")
		if f.Op == "median" {
			hint = "as {quantile: {column: value, q: 0.5}}"
		} else if near := nearest(f.Op, names); near != "" {
			hint = "did you mean " + near + "?"
		}
		d.fault(line(ps[0].Key), path, hint, "unknown operator %q", f.Op)
		return
	}
	switch v := ps[0].Value.(type) {
	case *ast.StringNode:
		if !slices.Contains(op.takes, "column") {
			d.fault(line(v), path, "as "+op.example, "%s takes no column, has %q", f.Op, v.Value)
			return
		}
		f.Column, _ = d.scalar(v, at)
		d.lines[at] = line(v)
	case *ast.NullNode:
	default:
		d.into(v, reflect.ValueOf(&f.arguments).Elem(), at)
		if d.broken[at] {
			return
		}
		ps, _ := d.pairs(v, at)
		for _, p := range ps {
			if k := keyOf(p); !slices.Contains(op.takes, k) && !d.broken[join(at, k)] {
				d.fault(line(p.Key), join(at, k), "as "+op.example+"; it takes "+strings.Join(op.takes, ", "), "%s takes no %s", f.Op, k)
			}
		}
		f.share(d, v, at)
		f.weigh(d, v, at)
	}
}

// share refuses half of what a share says.
func (f *Feature) share(d *decoder, n ast.Node, at string) {
	if f.Of != "" && len(f.Is) == 0 && d.intact(at) {
		d.fault(line(n), at, "as {share: {of: "+f.Of+", is: [app]}}", "says of which column, and not which of its values count")
	}
}

// weigh settles which column the explicit weights multiply: one, that all of them name.
func (f *Feature) weigh(d *decoder, n ast.Node, at string) {
	if len(f.Weights) == 0 || !d.intact(at) {
		return
	}
	if f.Column != "" {
		d.fault(line(n), at+".column", "as {sum: {weights: {view: 1, buy: "+f.Column+"}}}", "the weights say which kinds count with %s: leave this out", f.Column)
		return
	}
	for _, k := range sortedKeys(f.Weights) {
		switch c := f.Weights[k].Column; {
		case c == "" || c == f.Column:
		case f.Column == "":
			f.Column = c
		default:
			d.fault(line(n), at+".weights."+k, "make two features of it", "multiplies %s, and another weight multiplies %s", c, f.Column)
		}
	}
}

// oneOrMore reads a single value or a list.
type oneOrMore []string

func (o *oneOrMore) decode(d *decoder, n ast.Node, path string) {
	if _, ok := n.(*ast.SequenceNode); ok {
		var s []string
		d.into(n, reflect.ValueOf(&s).Elem(), path)
		*o = s
		return
	}
	if s, ok := d.scalar(n, path); ok {
		*o = oneOrMore{s}
	}
}

// decode reads a number (each event counts so much), the name of a column (each event counts with its value), or {column: factor}.
func (w *weight) decode(d *decoder, n ast.Node, path string) {
	switch v := n.(type) {
	case *ast.StringNode:
		w.Times, w.Column = 1, v.Value
		return
	case *ast.MappingNode, *ast.MappingValueNode:
		ps, _ := d.pairs(n, path)
		if len(ps) != 1 {
			d.fault(line(n), path, "as value, or {value: 0.5}", "want the one column that the weight multiplies")
			return
		}
		w.Column = keyOf(ps[0])
		d.into(ps[0].Value, reflect.ValueOf(&w.Times).Elem(), join(path, w.Column))
		return
	}
	s, ok := d.scalar(n, path)
	if !ok {
		return
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !features.Computable(x) {
		d.fault(line(n), path, "a number, value, or {value: 0.5}", "%s is no weight", found(path, s))
	}
	w.Times = x
}

// decode reads a value or a list of values, or a mapping.
func (c *condition) decode(d *decoder, n ast.Node, path string) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		d.structInto(n, reflect.ValueOf(c).Elem(), path)
	default:
		c.In.decode(d, n, path)
	}
}

func (e *excluded) decode(d *decoder, n ast.Node, path string) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		d.structInto(n, reflect.ValueOf(e).Elem(), path)
	default:
		e.In.decode(d, n, path)
	}
}

// conditions are what c says of a column: each that is said holds.
func (c condition) conditions(column string) (out []features.Condition) {
	if len(c.In) > 0 {
		out = append(out, features.Condition{Column: column, In: c.In})
	}
	if c.Min != nil || c.Max != nil {
		out = append(out, features.Condition{Column: column, Min: c.Min, Max: c.Max})
	}
	if c.Not != nil {
		not := condition{In: c.Not.In, Min: c.Not.Min, Max: c.Not.Max}.conditions(column)
		for i := range not {
			not[i].Not = true
		}
		out = append(out, not...)
	}
	if len(out) == 0 {
		out = append(out, features.Condition{Column: column}) // which the check of views tells
	}
	return out
}

// view is what the engine takes of a declared view.
func (p *Project) view(name string) features.View {
	v := p.Views[name]
	out := features.View{Name: name, Key: strings.Join(v.Key, features.KeyAnd), Windows: v.Windows, Hop: v.Hop}
	for _, f := range sortedKeys(v.Features) {
		out.Features = append(out.Features, v.Features[f].feature(f))
	}
	return out
}

func (f Feature) feature(name string) features.Feature {
	out := features.Feature{Name: name, Op: features.Op(f.Op), Column: f.Column, Kinds: f.Kind, HalfLife: f.HalfLife, N: f.N, Quantile: f.Q}
	if out.Op == features.ShareOf {
		if len(f.Is) == 0 {
			out.Kinds, out.Share = nil, f.Kind // {share: {kind: buy}}: of all events
		} else {
			out.Share = f.Is
			if f.Of != event.ColKind {
				out.Column = f.Of
			}
		}
	}
	for _, c := range sortedKeys(f.Where) {
		out.Where = append(out.Where, f.Where[c].conditions(c)...)
	}
	for _, k := range sortedKeys(f.Weights) {
		w := f.Weights[k]
		if out.Weights == nil {
			out.Weights = map[string]float64{}
		}
		out.Weights[k] = w.Times
		if w.Column != "" {
			out.Explicit = append(out.Explicit, k)
		}
	}
	return out
}

// checkViews reports what is wrong with the views by themselves: their shape, and columns that are not declared or hold something else.
func (p *Project) checkViews() {
	events := p.contextSchema()
	for _, name := range sortedKeys(p.Views) {
		v, ok := p.readable(name)
		if !ok {
			continue
		}
		path := "views." + name
		p.each(path, v.Validate())
		for _, c := range v.Keys() {
			if c == "" || p.declared(path+".key", c) && features.TypeOf(events, c) != table.Float64 {
				continue
			}
			if features.TypeOf(events, c) == table.Float64 && c != "value" {
				p.dec.at(path+".key", "leave it out of sources.events.numbers if it holds names", "column %q holds numbers, and entities are named", c)
			}
		}
		for _, f := range v.Features {
			p.checkFeature(path+".features."+f.Name, f, events)
		}
	}
}

// readable is the view with those of its features that could be read; false if nothing is left to say of it that does not follow from what could not.
func (p *Project) readable(name string) (features.View, bool) {
	path := "views." + name
	if p.dec.broken[path] {
		return features.View{}, false
	}
	for _, part := range []string{".key", ".windows", ".hop"} {
		if !p.dec.intact(path + part) {
			return features.View{}, false
		}
	}
	v := p.view(name)
	all := len(v.Features)
	v.Features = slices.DeleteFunc(v.Features, func(f features.Feature) bool { return !p.dec.intact(path + ".features." + f.Name) })
	return v, !p.dec.broken[path+".features"] && (all == 0 || len(v.Features) > 0)
}

// contextSchema is the part of the events' schema that the project file declares.
func (p *Project) contextSchema() table.Schema {
	var s table.Schema
	for _, c := range sortedKeys(p.Sources.Events.Columns) {
		t := table.String
		if slices.Contains(p.Sources.Events.Numbers, c) {
			t = table.Float64
		}
		s = append(s, table.Field{Name: c, Type: t})
	}
	return s
}

// declared reports whether events have a column, and at path that they do not.
func (p *Project) declared(path, column string) bool {
	if slices.Contains(eventColumns, column) || p.Sources.Events.Columns[column] != "" {
		return true
	}
	p.dec.at(path, p.known("sources.events.columns", column, append(sortedKeys(p.Sources.Events.Columns), eventColumns...)), "no event column %q is declared", column)
	return false
}

// checkFeature refuses columns that do not hold what the operator, or a condition, wants. What holds of every events table is the check of package
// features: here stands what the project file declares.
func (p *Project) checkFeature(path string, f features.Feature, events table.Schema) {
	const numbers, names = "list it in sources.events.numbers if it holds numbers", "leave it out of sources.events.numbers if it holds names"
	context := func(c string) (table.Type, bool) { return features.TypeOf(events, c), events.Index(c) >= 0 }
	if f.Column != "" && p.declared(path, f.Column) {
		switch t, ok := context(f.Column); f.Op {
		case features.Sum, features.Mean, features.Min, features.Max, features.Quantile, features.Decayed:
			if ok && t == table.String {
				p.dec.at(path, numbers, "%s needs a column of numbers, %q holds names", f.Op, f.Column)
			}
		case features.ShareOf:
			hint := ""
			if ok {
				hint = names
			}
			if t != table.String {
				p.dec.at(path, hint, "share counts names, and %q holds none", f.Column)
			}
		}
	}
	if kinds := p.kinds(); kinds != nil {
		for _, kind := range f.NamedKinds() {
			if !slices.Contains(kinds, kind) {
				p.dec.at(path, p.known("sources.events.kinds", kind, kinds), "no event has the kind %q", kind)
			}
		}
	}
	told := map[string]bool{}
	for _, c := range f.Where {
		if c.Column == "" || told[c.Column] || !p.declared(path, c.Column) {
			told[c.Column] = true
			continue
		}
		switch t, ok := context(c.Column); {
		case ok && len(c.In) > 0 && t != table.String:
			p.dec.at(path, fmt.Sprintf("as %s: {min: 1, max: 5}; %s", c.Column, names), "the condition on %q names values, and the column holds numbers", c.Column)
		case ok && (c.Min != nil || c.Max != nil) && t == table.String:
			p.dec.at(path, numbers, "the condition on %q is a range, and the column holds names", c.Column)
		}
	}
}

// jobViews are the names of the views that a job builds: those that it publishes, then the others, each once.
func (j Job) jobViews() []string {
	out := slices.Clone(j.Publish.Features)
	for _, v := range j.Build.Views {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// checkJobViews refuses views that are not declared, or that the job's purpose may not make, and those that the online store could not be asked for.
func (p *Project) checkJobViews(name string, j Job) {
	d, path := p.dec, "jobs."+name
	for _, list := range []struct {
		key   string
		views []string
	}{{".publish.features", j.Publish.Features}, {".build.views", j.Build.Views}} {
		for i, v := range list.views {
			switch _, ok := p.Views[v]; {
			case !ok:
				p.undeclared(path+list.key, "views", "view", v, sortedKeys(p.Views))
			case slices.Contains(list.views[:i], v):
				d.at(path+list.key, "", "view %q is named twice", v)
			}
		}
	}
	for _, v := range j.Publish.Features {
		if _, ok := p.Views[v]; !ok || !d.intact("views."+v) {
			continue
		}
		if key := p.view(v).Key; key != features.KeySubject && key != features.KeyItem && key != "" {
			d.at(path+".publish.features", "name it under build: {views: ["+v+"]}, or key it by subject or item", "view %q is keyed by %s, and the online store is asked by subject or by item", v, strings.Join(p.Views[v].Key, " and "))
		}
	}
}

// checkReads refuses a job that makes a view over a column that its purpose does not read.
func (p *Project) checkReads(name string, j Job) {
	pu := p.purpose(j.Purpose.Train)
	for i, v := range j.jobViews() {
		if _, ok := p.Views[v]; !ok {
			continue
		}
		view, ok := p.readable(v)
		if !ok {
			continue
		}
		path := "jobs." + name + ".publish.features"
		if i >= len(j.Publish.Features) {
			path = "jobs." + name + ".build.views"
		}
		for _, c := range view.Columns() {
			if !slices.Contains([]string{"", "subject", "item", "time"}, c) && !pu.Allows("events", c) {
				p.dec.at(path, fmt.Sprintf("add %s to its reads.events, or leave it out of the view", c), "view %q uses column %q, which purpose %q does not read", v, c, pu.Name)
			}
		}
	}
}
