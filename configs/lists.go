package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/models/lists"
)

// exclusions are what entries of conditions name.
func exclusions(entries []map[string]condition) (out []lists.Exclusion) {
	for _, entry := range entries {
		e := lists.Exclusion{}
		for _, column := range sortedKeys(entry) {
			for _, c := range entry[column].conditions(column) {
				e = append(e, lists.Condition{Column: column, In: c.In, Min: c.Min, Max: c.Max, Not: c.Not})
			}
		}
		out = append(out, e)
	}
	return out
}

// rules are the list rules that a model declares.
func (l Lists) rules() *lists.Rules {
	r := &lists.Rules{Exclude: exclusions(l.Exclude)}
	for _, column := range sortedKeys(l.AtMost) {
		r.AtMost = append(r.AtMost, lists.Limit{Column: column, Most: l.AtMost[column]})
	}
	for _, column := range sortedKeys(l.AtLeast) {
		f := l.AtLeast[column]
		r.AtLeast = append(r.AtLeast, lists.Floor{Column: column, In: f.Of, Share: f.Share})
	}
	if d := l.Diversity; d != nil {
		r.Diversity = &lists.Diversity{By: d.By, Weight: d.Weight}
	}
	if c := l.Calibrate; c != nil {
		r.Calibrate = &lists.Calibrate{By: c.By, Weight: c.Weight}
	}
	if f := l.Fresh; f != nil {
		r.Fresh = &lists.Fresh{Age: f.Age, Share: f.Share, Since: f.Since}
	}
	return r
}

// columns are the item attributes that lists need.
func (l Lists) columns() []string {
	out := l.rules().Columns()
	for _, c := range []string{l.Broad, l.Title} {
		if c != "" && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// Which parts of a model have what lists may ask for.
var (
	partsRelating    = []string{"als", "ease", "next"} // make lists beside items
	partsWithVectors = []string{"als"}
)

// checkLists reports what is wrong with the lists of a model of such parts.
func (p *Project) checkLists(path string, l Lists, parts map[string]bool) {
	lacks := func(of []string) bool { return !slices.ContainsFunc(of, func(name string) bool { return parts[name] }) }
	if l.K < 1 || l.K > 1000 {
		p.dec.at(path+".k", "", "%d is not between 1 and 1000", l.K)
	}
	oneOf(p.dec, path+".seen", l.Seen, "auto", "keep", "mask")
	if l.Related < 0 || l.Related > 1000 {
		p.dec.at(path+".related", "", "%d is not between 0 and 1000", l.Related)
	}
	for _, w := range []struct {
		key   string
		value *float64
	}{{"less", l.Less}, {"prefer_new", l.PreferNew}} {
		if v := w.value; v != nil && !(*v > 0 && *v <= 1) {
			p.dec.at(path+"."+w.key, "as 0.5", "%g is not above 0 and at most 1", *v)
		} else if v != nil && p.Sources.Preferences == nil {
			p.dec.at(path+"."+w.key, "declare sources.preferences, or leave it out", "nobody is asked for preferences")
		}
	}
	if l.Related > 0 && lacks(partsRelating) {
		p.dec.at(path+".related", "add one of "+strings.Join(partsRelating, ", ")+" to the parts", "no part of the model makes lists beside items")
	}
	if l.Diversity != nil && slices.Contains(l.Diversity.By, lists.Vectors) && lacks(partsWithVectors) {
		p.dec.at(path+".diversity.by", "name attributes, or add "+strings.Join(partsWithVectors, ", ")+" to the parts", "no part of the model has vectors of items")
	}
	for i, c := range l.UnprofiledBy {
		switch {
		case slices.Contains(l.UnprofiledBy[:i], c):
			p.dec.at(path+".unprofiled_by", "", "names %q twice", c)
		case c == l.Title:
			p.dec.at(path+".unprofiled_by", "", "names %q, which holds titles: each item would have a list of its own", c)
		}
	}
	r := l.rules()
	p.eachRule(path, r.Validate())
	for _, c := range l.columns() {
		if p.Sources.Items == nil {
			p.dec.at(path, "declare sources.items", "rules name the item attribute %q, and no items are declared", c)
			return
		}
	}
	wants := func(at, column string, number bool) {
		if column == "" || column == lists.Vectors {
			return
		}
		switch declared := slices.Contains(p.Sources.Items.Numbers, column); {
		case declared == number:
		case declared:
			p.dec.at(at, "name a category, or a range in exclude", "wants the values of %q, which holds numbers", column)
		default:
			p.dec.at(at, "name it under sources.items.numbers", "is a range of %q, which holds no numbers", column)
		}
	}
	for i, e := range r.Exclude {
		for _, c := range e {
			if ranged := c.Min != nil || c.Max != nil; ranged || len(c.In) > 0 {
				wants(fmt.Sprintf("%s.exclude[%d].%s", path, i, c.Column), c.Column, ranged)
			}
		}
	}
	for _, c := range r.AtMost {
		wants(path+".at_most."+c.Column, c.Column, false)
	}
	for _, f := range r.AtLeast {
		wants(path+".at_least."+f.Column, f.Column, false)
	}
	if r.Diversity != nil {
		for _, c := range r.Diversity.By {
			wants(path+".diversity.by", c, false)
		}
	}
	if r.Calibrate != nil {
		wants(path+".calibrate.by", r.Calibrate.By, false)
	}
	if r.Fresh != nil {
		wants(path+".fresh.since", r.Fresh.Since, false)
	}
	wants(path+".broad", l.Broad, false)
	wants(path+".title", l.Title, false)
	if l.Title != "" && (l.Title == l.Broad || slices.Contains(r.Columns(), l.Title)) {
		p.dec.at(path+".title", "name another attribute", "a rule reads %q, and titles are taken away from what rules and models see", l.Title)
	}
}

// eachRule reports every fault of list rules where it stands.
func (p *Project) eachRule(path string, err error) {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		for _, e := range many.Unwrap() {
			p.eachRule(path, e)
		}
		return
	}
	var f *lists.Fault
	if errors.As(err, &f) {
		problem, at := strings.TrimSpace(f.Problem), whereItStands(path, f.Key)
		if rest, zero := strings.CutPrefix(problem, "is 0, and must"); zero && p.dec.lines[at] == 0 {
			problem = "is missing: it must" + rest
		}
		p.dec.at(at, "", "%s", problem)
	}
}

// checkListReads refuses a job whose lists have rules on attributes that its purpose does not read.
func (p *Project) checkListReads(name string, j Job) {
	pu := p.purpose(j.Purpose.Train)
	for _, c := range p.Models[j.Train.Model].Lists.UnprofiledBy {
		attribute := pu.Allows("items", c) && p.Sources.Items != nil && !slices.Contains(p.Sources.Items.Numbers, c)
		context := pu.Allows("events", c) && p.Sources.Events.Columns[c] != "" && !slices.Contains(p.Sources.Events.Numbers, c)
		if !attribute && !context {
			p.dec.at("models."+j.Train.Model+".lists.unprofiled_by", "name a category of the items or a context column", "%q is neither of what purpose %q reads", c, pu.Name)
		}
	}
	for _, c := range p.Models[j.Train.Model].Lists.named() {
		if pu.Allows("items", c.column) {
			continue
		}
		hint := "add it to purposes." + pu.Name + ".reads.items, or leave the rule out"
		if near := nearest(c.column, pu.Reads["items"]); near != "" {
			hint = "did you mean " + near + "?"
		}
		p.dec.at("models."+j.Train.Model+".lists."+c.key, hint, "names the item attribute %q, which purpose %q of job %s does not read", c.column, pu.Name, name)
	}
}

// namedColumn is an item attribute, and the key under lists: that names it.
type namedColumn struct{ key, column string }

// named are the item attributes that lists need, each where it stands.
func (l Lists) named() (out []namedColumn) {
	add := func(key, column string) {
		if column != "" && column != lists.Vectors {
			out = append(out, namedColumn{key, column})
		}
	}
	for i, entry := range l.Exclude {
		for _, column := range sortedKeys(entry) {
			add(fmt.Sprintf("exclude[%d].%s", i, column), column)
		}
	}
	for _, column := range sortedKeys(l.AtMost) {
		add("at_most."+column, column)
	}
	for _, column := range sortedKeys(l.AtLeast) {
		add("at_least."+column, column)
	}
	if d := l.Diversity; d != nil {
		for _, column := range d.By {
			add("diversity.by", column)
		}
	}
	if c := l.Calibrate; c != nil {
		add("calibrate.by", c.By)
	}
	if f := l.Fresh; f != nil {
		add("fresh.since", f.Since)
	}
	add("broad", l.Broad)
	add("title", l.Title)
	return out
}
