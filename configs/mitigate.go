package configs

import (
	"slices"
	"strings"

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
