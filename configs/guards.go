package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/lists"
)

// guards are the sensitive items and protected subjects that the file declares.
func (p *Project) guards() jobs.Guards {
	g := jobs.Guards{Protected: exclusions(p.ProtectedSubjects)}
	if s := p.SensitiveItems; s != nil {
		g.Sensitive = exclusions(s.Where)
		if s.Purpose != "" {
			pu := p.purpose(s.Purpose)
			g.Purpose = &pu
		}
	}
	return g
}

// checkGuards reports what is wrong with the declarations of sensitive items and of protected subjects.
func (p *Project) checkGuards() {
	d := p.dec
	if s := p.SensitiveItems; s != nil {
		if len(s.Where) == 0 {
			d.at("sensitive_items.where", "as [{category: [pregnancy]}]", "names no items")
		}
		p.checkConditions("sensitive_items.where", "items", exclusions(s.Where), p.Sources.Items)
		if s.Purpose != "" {
			pu, declared := p.Purposes[s.Purpose]
			switch {
			case !declared:
				p.undeclared("sensitive_items.purpose", "purposes", "purpose", s.Purpose, sortedKeys(p.Purposes))
			case pu.Basis != string(policy.Consent):
				d.at("sensitive_items.purpose", "give it the basis consent, or leave it out", "purpose %q has the basis %q: what sensitive items tell of a person needs an explicit consent", s.Purpose, pu.Basis)
			}
		}
	}
	if len(p.ProtectedSubjects) > 0 {
		p.checkConditions("protected_subjects", "subjects", exclusions(p.ProtectedSubjects), p.Sources.Subjects)
	}
}

// checkConditions reports faults of conditions on the attributes of a source.
func (p *Project) checkConditions(path, set string, entries []lists.Exclusion, source *Attributes) {
	if source == nil {
		if len(entries) > 0 {
			p.dec.at(path, "declare sources."+set, "names attributes of %s, and none are declared", set)
		}
		return
	}
	p.eachRule(path, (&lists.Rules{Exclude: entries}).Validate())
	for i, e := range entries {
		for _, c := range e {
			at := fmt.Sprintf("%s[%d].%s", path, i, c.Column)
			switch number, ranged := slices.Contains(source.Numbers, c.Column), c.Min != nil || c.Max != nil; {
			case ranged && !number:
				p.dec.at(at, "name it under sources."+set+".numbers", "is a range of %q, which holds no numbers", c.Column)
			case !ranged && len(c.In) > 0 && number:
				p.dec.at(at, "give a range, as {max: 15}", "wants the values of %q, which holds numbers", c.Column)
			}
		}
	}
}

// checkGuardReads refuses a job whose purpose may not read what tells which items are sensitive, or that trains under the very purpose whose consent they
// need.
func (p *Project) checkGuardReads(name string, j Job) {
	s := p.SensitiveItems
	if s == nil {
		return
	}
	pu := p.purpose(j.Purpose.Train)
	if s.Purpose == pu.Name {
		p.dec.at("sensitive_items.purpose", "give the consent to sensitive items a purpose of its own", "job %s trains for %q: everybody who may be profiled at all would hold it", name, s.Purpose)
	}
	title := p.Models[j.Train.Model].Lists.Title
	var told []string
	for i, e := range exclusions(s.Where) {
		for _, c := range e {
			at := fmt.Sprintf("sensitive_items.where[%d].%s", i, c.Column)
			switch {
			case slices.Contains(told, at):
			case !pu.Allows("items", c.Column):
				hint := "add it to purposes." + pu.Name + ".reads.items"
				if near := nearest(c.Column, pu.Reads["items"]); near != "" {
					hint = "did you mean " + near + "?"
				}
				p.dec.at(at, hint, "names the item attribute %q, which purpose %q of job %s does not read", c.Column, pu.Name, name)
			case c.Column == title:
				p.dec.at(at, "name another attribute", "names %q, which lists.title takes away from what policy and models see", c.Column)
			}
			told = append(told, at)
		}
	}
}

// whereItStands turns the key of a fault of list rules into that of conditions at path: exclude[0].category into [0].category.
func whereItStands(path, key string) string {
	if rest, ok := strings.CutPrefix(key, "exclude["); ok && !strings.HasSuffix(path, ".lists") {
		return path + "[" + rest
	}
	return path + "." + key
}
