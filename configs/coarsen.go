package configs

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
)

// checkCoarsening reads the rules of all sources, and the hierarchies that they name.
func (p *Project) checkCoarsening() {
	p.coarse = map[string]event.Coarsenings{}
	e := p.Sources.Events
	p.coarsen("events", e.Coarsen, e.Numbers)
	for _, s := range []struct {
		set    string
		source *Attributes
	}{{"subjects", p.Sources.Subjects}, {"cohorts", p.Sources.Cohorts}} {
		if s.source != nil {
			p.coarsen(s.set, s.source.Coarsen, s.source.Numbers)
		}
	}
	if s := p.Sources.Items; s != nil && s.Coarsen != nil {
		p.dec.at("sources.items.coarsen", "leave it out", "items are things, and tell of nobody")
	}
}

func (p *Project) coarsen(set string, columns map[string]Coarsen, numbers []string) {
	read := p.reads(set)
	for _, name := range sortedKeys(columns) {
		path, c := "sources."+set+".coarsen."+name, columns[name]
		switch {
		case set == "events" && slices.Contains([]string{"subject", "item", "time", "kind"}, name):
			p.dec.at(path, "a context column, or value", "an event's %s is what it is", name)
			continue
		case !slices.Contains(read, name):
			p.dec.at(path, p.known("reads."+set+" of a purpose", name, read), "no purpose reads it")
			continue
		}
		rule := event.Coarsening{Width: c.Width, Edges: c.Edges, Prefix: c.Prefix, Level: c.Level, AtLeast: c.AtLeast, Clock: c.Clock}
		if least := path + ".at_least"; p.dec.lines[least] != 0 && c.AtLeast < eval.MinCell {
			p.dec.at(least, fmt.Sprintf("%d or more", eval.MinCell), "groups of fewer than %d people are told nowhere", eval.MinCell)
			continue
		}
		if c.Hierarchy != "" {
			var err error
			if rule.Hierarchy, err = p.hierarchy(c.Hierarchy); err != nil {
				p.dec.at(path+".hierarchy", "a CSV or Parquet file beside the project file, with the columns value, level_1, level_2 and so on", "%v", err)
				continue
			}
			if rule.Level == 0 && p.dec.lines[path+".level"] == 0 {
				rule.Level = 1
			}
		}
		if err := rule.Validate(set == "events" && name == event.ColValue || slices.Contains(numbers, name)); err != nil {
			p.dec.at(path, "as {width: 10}, {edges: [18, 65]}, {prefix: 2}, {hierarchy: towns.csv, level: 2}, {hierarchy: towns.csv, at_least: 50} or {clock: daypart}", "%v", err)
			continue
		}
		if p.coarse[set] == nil {
			p.coarse[set] = event.Coarsenings{}
		}
		p.coarse[set][name] = rule
	}
}

// hierarchy reads a file beside the project file: it is a part of what the project declares, and reviewed with it.
func (p *Project) hierarchy(name string) (*event.Hierarchy, error) {
	if strings.ContainsAny(name, "*{}") || strings.Contains(name, "://") {
		return nil, fmt.Errorf("%q is no path of one file", name)
	}
	ctx := context.Background() // a local file
	path := p.path(name)
	b, err := storage.Open(ctx, "file:"+filepath.Dir(path), storage.Options{})
	if err != nil {
		return nil, err
	}
	return event.ReadHierarchy(ctx, event.DataSet{Bucket: b, Path: filepath.Base(path)})
}

// reads are the columns of a data set that purposes read, ascending.
func (p *Project) reads(set string) (out []string) {
	for _, purpose := range p.Purposes {
		out = append(out, purpose.Reads[set]...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// coarsenedTo stands in a lock between a column and the rule by which it becomes coarser.
const coarsenedTo = ", coarsened to "

// coarsely writes a column of a lock with its rule, if it has one.
func (p *Project) coarsely(set, name, column string) string {
	if rule, ok := p.coarse[set][name]; ok {
		return column + coarsenedTo + rule.String()
	}
	return column
}

// told is what stands in a lock, for people: the project's hierarchies go by the names of their files.
func (p *Project) told(text string) string {
	for _, rules := range p.coarse {
		for _, rule := range rules {
			if h := rule.Hierarchy; h != nil {
				text = strings.ReplaceAll(text, h.Digest, h.Name)
			}
		}
	}
	return text
}

// told is what stands in a lock, for people: hierarchies of before, which no file of the project holds any more, go by the names that their files had.
func (l *Lock) told(text string) string {
	if l == nil {
		return text
	}
	for _, h := range l.Hierarchies {
		text = strings.ReplaceAll(text, h.Digest, h.File+" as it was accepted")
	}
	return text
}

// lockedHierarchies are those that the rules of columns name that some purpose reads, by digest.
func (p *Project) lockedHierarchies() (out []LockedHierarchy) {
	for _, h := range p.hierarchies() {
		o := h.Outline()
		out = append(out, LockedHierarchy{h.Digest, h.Name, o.Values, o.String()})
	}
	return out
}

// hierarchies are those that rules name, by digest.
func (p *Project) hierarchies() (out []*event.Hierarchy) {
	for _, rules := range p.coarse {
		for _, rule := range rules {
			if rule.Hierarchy != nil {
				out = append(out, rule.Hierarchy)
			}
		}
	}
	slices.SortFunc(out, func(a, b *event.Hierarchy) int {
		return cmp.Or(strings.Compare(a.Digest, b.Digest), strings.Compare(a.Name, b.Name))
	})
	return slices.CompactFunc(out, func(a, b *event.Hierarchy) bool { return a.Digest == b.Digest })
}

// sinceAccepted says how a hierarchy differs from the one by which the same column was accepted to be made coarser; "" if that is not what is new of it.
func (p *Project) sinceAccepted(l *Lock, is string, accepted []string) string {
	for _, was := range accepted {
		now, before, ok := editedHierarchy(is, was)
		if !ok {
			continue
		}
		says := ", which was edited since it was accepted"
		i := slices.IndexFunc(p.hierarchies(), func(h *event.Hierarchy) bool { return h.Digest == now })
		k := slices.IndexFunc(l.Hierarchies, func(h LockedHierarchy) bool { return h.Digest == before })
		if i >= 0 && k >= 0 {
			if old, err := event.ParseOutline(l.Hierarchies[k].Values, l.Hierarchies[k].Outline); err == nil {
				says += ": " + p.hierarchies()[i].Outline().Differs(old)
			}
		}
		return says
	}
	return ""
}

// editedHierarchy returns the digests of the hierarchies of two columns of a lock, if these and nothing else are what tells the two apart.
func editedHierarchy(is, was string) (now, before string, ok bool) {
	column, rule, err := uncoarsened(is)
	other, old, oldErr := uncoarsened(was)
	if err != nil || oldErr != nil || rule == nil || old == nil || rule.Hierarchy == nil || old.Hierarchy == nil || column != other || rule.Hierarchy.Digest == old.Hierarchy.Digest {
		return "", "", false
	}
	same := *old
	same.Hierarchy = rule.Hierarchy
	return rule.Hierarchy.Digest, old.Hierarchy.Digest, same.String() == rule.String()
}

// coarser reports whether a column of a lock that is read is a coarser form of one that was accepted.
func coarser(is string, was []string) bool {
	return slices.ContainsFunc(was, func(w string) bool { return coarserThan(is, w) })
}

func coarserThan(is, was string) bool {
	column, rule, err := uncoarsened(is)
	if err != nil || rule == nil {
		return false
	}
	before, old, err := uncoarsened(was)
	return err == nil && column == before && (old == nil || rule.Within(*old))
}

// uncoarsened splits a column of a lock; the rule is nil if there is none. A name in which the words stand is quoted, and what is behind them there is no rule.
func uncoarsened(text string) (column string, rule *event.Coarsening, err error) {
	at := strings.LastIndex(text, coarsenedTo)
	if at < 0 {
		return text, nil, nil
	}
	c, err := event.ParseCoarsening(text[at+len(coarsenedTo):])
	return text[:at], &c, err
}
