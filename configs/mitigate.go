package configs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
)

// What a purpose may be declared for.
const (
	useEvaluation = "evaluation"
	useMitigation = "mitigation"
)

// reweight is what of it jobs read.
func (t Train) reweight() *jobs.Reweight {
	if t.Reweight == nil {
		return nil
	}
	return &jobs.Reweight{Cohort: strings.Join(t.Reweight.Cohort, jobs.CohortCross), Of: t.Reweight.Of}
}

// checkMitigation reports what is wrong with the purpose of remedies, and with weights of groups in training.
func (p *Project) checkMitigation(name string, j Job) {
	d, path := p.dec, "jobs."+name
	pu, declared := p.Purposes[j.Purpose.Mitigate]
	switch {
	case j.Purpose.Mitigate == "":
	case !declared:
		p.undeclared(path+".purpose.mitigate", "purposes", "purpose", j.Purpose.Mitigate, sortedKeys(p.Purposes))
	case pu.Use != useMitigation:
		d.at(path+".purpose.mitigate", "give the remedy a purpose of its own, with use: mitigation", "purpose %q is not declared for remedies", j.Purpose.Mitigate)
	}
	r := j.Train.Reweight
	if r == nil {
		return
	}
	path += ".train.reweight"
	cohort := strings.Join(r.Cohort, jobs.CohortCross)
	if !slices.Contains(j.Evaluate.cohorts(), cohort) {
		d.at(path+".cohort", "name it under evaluate.cohorts", "cohort %q is not evaluated: nobody would see what the weights do", cohort)
	}
	if len(r.Of) == 0 {
		d.at(path+".of", "as {female: 1.4}", "names no group")
	}
	for _, level := range sortedKeys(r.Of) {
		if w := r.Of[level]; !(w >= 1.0/jobs.MaxEmphasis && w <= jobs.MaxEmphasis) {
			d.at(path+".of."+level, "", "is %g, and must be from 1/%d to %[2]d", w, jobs.MaxEmphasis)
		}
	}
	for _, c := range r.Cohort {
		evaluated := p.purpose(j.Purpose.Evaluate).Allows("cohorts", c)
		mitigates := p.purpose(j.Purpose.Mitigate)
		switch {
		case !evaluated: // made of what training reads
		case j.Purpose.Mitigate == "":
			d.at(path+".cohort", "declare a purpose with use: mitigation, its basis and reads: {cohorts: ["+c+"]}, and name it as purpose.mitigate", "training may not read the cohort %q, which is there to evaluate by", c)
		case declared && !mitigates.Allows("cohorts", c):
			d.at(path+".cohort", "add it to purposes."+j.Purpose.Mitigate+".reads.cohorts", "purpose %q does not read cohorts.%s", j.Purpose.Mitigate, c)
		}
	}
}

// Remedied is the text of the project file with a remedy put in, and all else as it stands: comments, order and layout. An error says that the file is
// written in a way that this cannot edit; then it is to be done by hand.
func (p *Project) Remedied(job string, r *jobs.Remedy) ([]byte, error) {
	return p.edited(func(root ast.Node) ([]edit, []int, error) {
		edits, err := remedyEdits(root, job, p.Jobs[job].Train.Model, r)
		return edits, nil, err
	}, func(text string) error {
		want := *p
		want.take(job, r)
		return want.after(text, "", nil)
	})
}

// remedyEdits says how a remedy is put into the text.
func remedyEdits(root ast.Node, job, model string, r *jobs.Remedy) ([]edit, error) {
	if w := r.Reweight; w != nil {
		train := under(under(under(root, "jobs"), job), "train")
		if under(train, "reweight") != nil {
			return nil, fmt.Errorf("jobs.%s.train.reweight is there already", job)
		}
		return one(setIn(train, "reweight", w.Text()))
	}
	rule, key, value, inner, innerValue := "", "", "", "", ""
	switch {
	case r.Calibrate != nil:
		rule, key, innerValue = "calibrate", "weight", shortest(r.Calibrate.Weight)
		value = fmt.Sprintf("{by: %s, weight: %s}", r.Calibrate.By, innerValue)
	case r.AtMost != nil:
		rule, key, innerValue = "at_most", r.AtMost.Column, strconv.Itoa(r.AtMost.Most)
		value = fmt.Sprintf("{%s: %s}", key, innerValue)
	case r.AtLeast != nil:
		rule, key = "at_least", r.AtLeast.Column
		inner = jobs.FloorText(r.AtLeast)
		value = fmt.Sprintf("{%s: %s}", key, inner)
	case r.Fresh != nil:
		rule, key, innerValue = "fresh", "share", shortest(r.Fresh.Share)
		value = fmt.Sprintf("{age: %s, share: %s", features.FormatWindow(r.Fresh.Age), innerValue)
		if r.Fresh.Since != "" {
			value += ", since: " + r.Fresh.Since
		}
		value += "}"
	default:
		return nil, errors.New("the remedy says nothing")
	}
	m := under(under(root, "models"), model)
	l := under(m, "lists")
	switch old := under(l, rule); {
	case l == nil:
		return one(setIn(m, "lists", "{"+rule+": "+value+"}"))
	case old == nil:
		return one(setIn(l, rule, value))
	case inner != "" && under(old, key) != nil:
		return nil, fmt.Errorf("models.%s.lists.%s.%s is there already", model, rule, key)
	case inner != "":
		return one(setIn(old, key, inner))
	default:
		return one(setIn(old, key, innerValue))
	}
}

func one(e edit, err error) ([]edit, error) { return []edit{e}, err }

func shortest(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// take makes p, a copy, what the edited text is meant to say.
func (p *Project) take(job string, r *jobs.Remedy) {
	p.Jobs, p.Models = maps.Clone(p.Jobs), maps.Clone(p.Models)
	j := p.Jobs[job]
	m := p.Models[j.Train.Model]
	l := &m.Lists
	switch {
	case r.Reweight != nil:
		j.Train.Reweight = &Reweight{Cohort: strings.Split(r.Reweight.Cohort, jobs.CohortCross), Of: r.Reweight.Of}
	case r.Calibrate != nil:
		l.Calibrate = &ListCalibrate{By: r.Calibrate.By, Weight: r.Calibrate.Weight}
	case r.AtMost != nil:
		if l.AtMost = maps.Clone(l.AtMost); l.AtMost == nil {
			l.AtMost = map[string]int{}
		}
		l.AtMost[r.AtMost.Column] = r.AtMost.Most
	case r.AtLeast != nil:
		if l.AtLeast = maps.Clone(l.AtLeast); l.AtLeast == nil {
			l.AtLeast = map[string]ListFloor{}
		}
		l.AtLeast[r.AtLeast.Column] = ListFloor{Of: r.AtLeast.In, Share: r.AtLeast.Share}
	case r.Fresh != nil:
		l.Fresh = &ListFresh{Age: r.Fresh.Age, Share: r.Fresh.Share, Since: r.Fresh.Since}
	}
	p.Jobs[job], p.Models[j.Train.Model] = j, m
}
