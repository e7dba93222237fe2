package configs

import (
	"slices"

	"github.com/rapport-ml/rapport/jobs"
)

// weekDays is how many days of a week must have files for its events to be counted, if a job does not say.
const weekDays = 7

// trust is the section as jobs have it; nil: the job counts no weeks.
func (t *Trust) trust() *jobs.Trust {
	if t == nil {
		return nil
	}
	out := &jobs.Trust{Conversion: t.Conversion, Complaint: t.Complaint, Explanation: t.Explanation, Days: weekDays}
	if t.Days != nil {
		out.Days = *t.Days
	}
	return out
}

// checkTrust refuses kinds that no event has, and those that the purpose may not read under which they would be counted.
func (p *Project) checkTrust(name string, j Job) {
	if j.Trust == nil {
		return
	}
	d, path := p.dec, "jobs."+name+".trust"
	if n := j.Trust.Days; n != nil && (*n < 1 || *n > weekDays) {
		d.at(path+".days", "leave it out for 7", "must be between 1 and 7")
	}
	declared, any := p.kinds(), false
	for _, x := range []struct {
		key   string
		kinds oneOrMore
	}{{"conversion", j.Trust.Conversion}, {"complaint", j.Trust.Complaint}, {"explanation", j.Trust.Explanation}} {
		for i, kind := range x.kinds {
			any = true
			switch {
			case kind == "" || slices.Contains(x.kinds[:i], kind):
				d.at(path+"."+x.key, "name each kind once", "kind %q is empty or named twice", kind)
			case declared != nil && !slices.Contains(declared, kind):
				d.at(path+"."+x.key, p.known("sources.events.kinds", kind, declared), "no event has the kind %q", kind)
			}
		}
	}
	if !any || p.Sources.Events.Kind == "" { // where no column holds it, it tells nothing of anybody
		return
	}
	for _, purpose := range []string{j.Purpose.Train, j.Purpose.Evaluate} {
		if _, ok := p.Purposes[purpose]; ok && !p.purpose(purpose).Allows("events", "kind") {
			fix := "add kind to purposes." + purpose + ".reads.events, or leave the kinds out"
			if _, bounded := p.Purposes[purpose].Keep["events"]; !bounded {
				fix = "add kind to purposes." + purpose + ".reads.events, with a purposes." + purpose + ".keep.events beside it (without one it keeps events for ever), or leave the kinds out"
			}
			d.at(path, fix, "purpose %q does not read the kind of events", purpose)
		}
	}
}
