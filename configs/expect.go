package configs

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/rapport-ml/rapport/features/expect"
)

// actions are what a missed expectation may do.
var actions = []string{string(expect.Warn), string(expect.Fail)}

// defaultMost is the multiple of the usual events above which an interval is flagged; defaultBad the share of rows that may be left out for a
// column with rules.
const (
	defaultMost = 2.0
	defaultBad  = 0.01
)

func (x *ExpectShare) decode(d *decoder, n ast.Node, path string) {
	scalarOr(d, n, path, &x.Most, x)
}

func (x *ExpectDuplicates) decode(d *decoder, n ast.Node, path string) {
	scalarOr(d, n, path, &x.Most, x)
}

func (x *ExpectFresh) decode(d *decoder, n ast.Node, path string) {
	scalarOr(d, n, path, &x.Within, x)
}

// scalarOr reads a single value as short, or a mapping as whole.
func scalarOr(d *decoder, n ast.Node, path string, short, whole any) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.NullNode:
		d.structInto(n, reflect.ValueOf(whole).Elem(), path)
	default:
		d.into(n, reflect.ValueOf(short).Elem(), path)
	}
}

// where names a key and its line, for those who read a verdict.
func (p *Project) where(path string) string {
	line := 0
	for at := path; at != "" && line == 0; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		line = p.dec.lines[at]
	}
	return fmt.Sprintf("%s, %s:%d", path, filepath.Base(p.dec.file), line)
}

// expected is what is expected of a source, with defaults filled in.
func (p *Project) expected(source string, x *Expect) expect.Set {
	path := "sources." + source + ".expect"
	action := func(given string, otherwise expect.Action) expect.Action {
		return cmp.Or(expect.Action(given), otherwise)
	}
	share := func(key string, x *ExpectShare) *expect.Share {
		if x == nil || x.Most == nil {
			return nil
		}
		return &expect.Share{Most: *x.Most, OnMiss: action(x.OnMiss, expect.Fail), Where: p.where(path + "." + key)}
	}
	s := expect.Set{Name: source}
	if source == "events" {
		s.Volume = expect.Volume{Most: defaultMost, OnLeast: expect.Fail, OnMost: expect.Warn}
	}
	if x == nil {
		return s
	}
	if v := x.Volume; v != nil {
		s.Volume.Where = p.where(path + ".volume")
		s.Volume.OnLeast, s.Volume.OnMost = action(v.OnLeast, expect.Fail), action(v.OnMost, expect.Warn)
		if v.Least != nil {
			s.Volume.Least = *v.Least
		}
		if v.Most != nil {
			s.Volume.Most = *v.Most
		}
	}
	if f := x.Fresh; f != nil {
		s.Fresh = &expect.Fresh{Within: f.Within, OnMiss: action(f.OnMiss, expect.Fail), Where: p.where(path + ".fresh")}
	}
	if x.Schema != "" {
		s.Schema = &expect.Schema{OnMiss: expect.Action(x.Schema), Where: p.where(path + ".schema")}
	}
	if d := x.Duplicates; d != nil {
		s.Duplicates = &expect.Duplicates{Share: expect.Share{Most: 1, OnMiss: action(d.OnMiss, expect.Warn), Where: p.where(path + ".duplicates")}, Drop: d.Drop}
		if d.Most != nil {
			s.Duplicates.Most = *d.Most
		}
	}
	s.Bad = share("bad", x.Bad)
	for _, name := range sortedKeys(x.Columns) {
		if s.Columns == nil {
			s.Columns = map[string]expect.Column{}
		}
		c, key := x.Columns[name], "columns."+name
		col := expect.Column{
			Rule:  expect.Rule{Required: c.Required, Min: c.Min, Max: c.Max, Known: c.Known},
			Nulls: share(key+".nulls", c.Nulls), Bad: share(key+".bad", c.Bad),
		}
		if rule := c.Required || c.Min != nil || c.Max != nil || c.Known != nil; rule && c.Bad == nil {
			col.Bad = &expect.Share{Most: defaultBad, OnMiss: expect.Fail, Where: p.where(path + "." + key)}
		}
		s.Columns[name] = col
	}
	return s
}

// checkExpect reports what is wrong with what is expected of the sources.
func (p *Project) checkExpect() {
	e := p.Sources.Events
	p.checkSet("events", e.Expect, e.Numbers)
	if x := e.Expect; x != nil && x.Volume != nil && x.Volume.Least != nil {
		for _, name := range sortedKeys(p.Jobs) {
			if path := "jobs." + name + ".min_volume"; p.dec.lines[path] > 0 {
				p.dec.at(path, "leave one of them out: they say the same", "sources.events.expect.volume.least is given too")
			}
		}
	}
	for _, s := range []struct {
		name string
		a    *Attributes
	}{{"items", p.Sources.Items}, {"subjects", p.Sources.Subjects}, {"cohorts", p.Sources.Cohorts}} {
		if s.a != nil {
			p.checkSet(s.name, s.a.Expect, s.a.Numbers)
		}
	}
	if c := p.Sources.Consent; c != nil && c.Expect != nil {
		p.checkSet("consent", c.Expect, nil)
		for _, x := range []struct {
			key   string
			given bool
		}{{"columns", c.Expect.Columns != nil}, {"bad", c.Expect.Bad != nil}} {
			if x.given {
				p.dec.at("sources.consent.expect."+x.key, "expect a volume, how fresh it is, a schema, or duplicates", "no consent record is left out: it may be a withdrawal")
			}
		}
	}
}

func (p *Project) checkSet(source string, x *Expect, numbers []string) {
	if x == nil {
		return
	}
	d, path := p.dec, "sources."+source+".expect"
	action := func(key, given string) {
		if given != "" {
			oneOf(d, path+"."+key, given, actions...)
		}
	}
	share := func(key string, s *ExpectShare) {
		if s == nil {
			return
		}
		if action(key+".on_miss", s.OnMiss); s.Most == nil {
			d.at(path+"."+key, "a share of rows, as 0.01, or {most: 0.01, on_miss: warn}", "says no share")
		}
	}
	action("schema", x.Schema)
	if v := x.Volume; v != nil {
		action("volume.on_least", v.OnLeast)
		action("volume.on_most", v.OnMost)
	}
	if f := x.Fresh; f != nil {
		action("fresh.on_miss", f.OnMiss)
	}
	if u := x.Duplicates; u != nil {
		if action("duplicates.on_miss", u.OnMiss); u.Most == nil && !u.Drop {
			d.at(path+".duplicates", "a share of rows, as 0.01, or {drop: true}", "says no share")
		}
		if u.Drop && source != "events" {
			d.at(path+".duplicates.drop", "leave it out: of rows with one key the last is taken", "is of events")
		}
	}
	share("bad", x.Bad)
	for _, name := range sortedKeys(x.Columns) {
		share("columns."+name+".nulls", x.Columns[name].Nulls)
		share("columns."+name+".bad", x.Columns[name].Bad)
		p.checkExpectedColumn(source, name)
	}
	err := p.expected(source, x).Validate(func(column string) bool {
		return source == "events" && column == "value" || slices.Contains(numbers, column)
	})
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) {
		return
	}
	for _, e := range all.Unwrap() {
		var problem *expect.Problem
		if errors.As(e, &problem) {
			d.at(path+"."+problem.Key, "", "%s", problem.Says)
		}
	}
}

// checkExpectedColumn wants a column that is read: nothing can be said of others.
func (p *Project) checkExpectedColumn(source, name string) {
	path := "sources." + source + ".expect.columns." + name
	switch {
	case source == "consent":
		return
	case source == "events" && slices.Contains([]string{"subject", "item", "time"}, name):
		p.dec.at(path, "leave it out", "every event has its %s, or is left out", name)
		return
	case source == "events" && name == "kind":
		p.dec.at(path, "kinds names those that are known, unknown_kinds bounds the others", "kinds are expected by sources.events.kinds")
		return
	}
	if read := p.reads(source); !slices.Contains(read, name) {
		p.dec.at(path, p.known("reads."+source+" of a purpose", name, read), "no purpose reads it, so nothing can be said of it")
	}
}
