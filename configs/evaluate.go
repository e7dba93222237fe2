package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/lists"
)

// cohorts names the cohorts that are evaluated.
func (e Evaluate) cohorts() []string {
	var names []string
	for _, c := range e.Cohorts {
		names = append(names, strings.Join(c, jobs.CohortCross))
	}
	return names
}

// judging is what of it jobs read.
func (e Evaluate) judging() jobs.Judging {
	j := jobs.Judging{Cold: e.Cold, Activity: e.Activity, Tenure: e.Tenure, Diversity: e.Diversity, Calibration: e.Calibration, Providers: e.Providers, Price: e.Price}
	if p := eval.Protocol(e.Protocol); p != eval.Temporal {
		j.Protocol = p
	}
	for _, name := range sortedKeys(e.Content) {
		of := exclusions([]map[string]condition{e.Content[name]})[0]
		j.Content = append(j.Content, jobs.ContentGroup{Name: name, Of: of})
	}
	if e.New != nil {
		j.New = &lists.Fresh{Age: e.New.Age, Share: 0.5, Since: e.New.Since} // of no list that is served
	}
	return j
}

// checkEvaluate reports what is wrong with the evaluate key of a job, but for its split.
func (p *Project) checkEvaluate(name string, j Job) {
	d, path, e := p.dec, "jobs."+name+".evaluate", j.Evaluate
	oneOf(d, path+".protocol", e.Protocol, string(eval.Temporal), string(eval.LeaveLastOut), string(eval.StrongGeneralization))
	if e.Protocol != string(eval.Temporal) && p.Models[j.Train.Model].Ranker != nil {
		d.at(path+".protocol", "leave models."+j.Train.Model+".ranker out", "a ranker learns on a window before the test, which %s has not", e.Protocol)
	}
	for i, k := range e.K {
		if k < 1 || k > 1000 || i > 0 && k <= e.K[i-1] {
			d.at(path+".k", "as [10, 50]", "must ascend, each between 1 and 1000")
			break
		}
	}
	if e.Cold < 0 {
		d.at(path+".cold", "", "must not be negative")
	}
	for i, n := range e.Activity {
		if n < 1 || i > 0 && n <= e.Activity[i-1] {
			d.at(path+".activity", "as [5, 20]", "must ascend, each 1 or more")
			break
		}
	}
	for i, t := range e.Tenure {
		if t <= 0 || i > 0 && t <= e.Tenure[i-1] {
			d.at(path+".tenure", "as [30d, 90d]", "must ascend, each more than 0")
			break
		}
	}
	p.checkCohorts(path, j)
	if p.Sources.Items == nil && (len(e.Diversity) > 0 || e.Calibration != "" || len(e.Providers) > 0 || len(e.Content) > 0 || e.Price != "") {
		d.at(path, "declare them under sources.items", "it names attributes of items, and the project has none")
		return
	}
	item := func(key, column string, number bool) {
		_, ok := p.Purposes[j.Purpose.Train]
		pu := p.purpose(j.Purpose.Train)
		switch {
		case column == "" || !ok:
		case !pu.Allows("items", column):
			hint := "add it to purposes." + pu.Name + ".reads.items"
			if near := nearest(column, pu.Reads["items"]); near != "" {
				hint = "did you mean " + near + "?"
			}
			d.at(path+"."+key, hint, "names the item attribute %q, which purpose %q does not read", column, pu.Name)
		case number != slices.Contains(p.Sources.Items.Numbers, column):
			want := "a category"
			if number {
				want = "a number: name it under sources.items.numbers"
			}
			d.at(path+"."+key, "", "the item attribute %q must be %s", column, want)
		}
	}
	for _, c := range e.Diversity {
		item("diversity", c, false)
	}
	item("calibration", e.Calibration, false)
	for i, c := range e.Providers {
		item("providers", c, false)
		if slices.Contains(e.Providers[:i], c) {
			d.at(path+".providers", "", "%q is named twice", c)
		}
	}
	item("price", e.Price, true)
	for _, group := range sortedKeys(e.Content) {
		at := "content." + group
		if group == "new" || group == e.Price {
			d.at(path+"."+at, "name it otherwise", "%q is measured under that name already", group)
		}
		if len(e.Content[group]) == 0 {
			d.at(path+"."+at, "as {price: {min: 50}}", "names no condition")
		}
		for _, column := range sortedKeys(e.Content[group]) {
			c := e.Content[group][column]
			item(at+"."+column, column, c.Min != nil || c.Max != nil)
		}
	}
	if n := e.New; n != nil {
		if n.Age <= 0 {
			d.at(path+".new.age", "as 30d", "must be more than 0")
		}
		item("new.since", n.Since, false)
	}
}

// checkCohorts refuses cohorts that nothing says.
func (p *Project) checkCohorts(path string, j Job) {
	var seen []string
	table := false
	for i, cohort := range j.Evaluate.Cohorts {
		at := fmt.Sprintf("%s.cohorts[%d]", path, i)
		name := strings.Join(cohort, jobs.CohortCross)
		if len(cohort) == 0 || slices.Contains(seen, name) {
			p.dec.at(at, "", "cohort %q is empty or declared twice", name)
		}
		seen = append(seen, name)
		for k, c := range cohort {
			if slices.Contains(cohort[:k], c) {
				p.dec.at(at, "", "%q is named twice in one intersection", c)
			}
			_, known := p.Purposes[j.Purpose.Evaluate]
			pu, train := p.purpose(j.Purpose.Evaluate), p.purpose(j.Purpose.Train)
			context := p.Sources.Events.Columns[c] != "" && train.Allows("events", c) && !slices.Contains(p.Sources.Events.Numbers, c)
			switch {
			case known && pu.Allows("cohorts", c), c == jobs.Activity, c == jobs.Tenure, context:
			case !known:
				if !table {
					p.undeclared(strings.TrimSuffix(path, ".evaluate")+".purpose.evaluate", "purposes", "purpose", j.Purpose.Evaluate, sortedKeys(p.Purposes))
				}
				table = true
			default:
				p.dec.at(path+".cohorts", "add it to the purpose's reads.cohorts", "purpose %q does not read cohorts.%s", j.Purpose.Evaluate, c)
			}
		}
	}
}
