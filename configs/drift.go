package configs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/schedule"
	"github.com/rapport-ml/rapport/storage/table"
)

// driftReferences are what a job's inputs can be compared with.
var driftReferences = []string{"training", "previous", "same_weekdays"}

// drift is the section as jobs have it: what is said by default is left out, and is in no key.
func (c Drift) drift() jobs.Drift {
	out := jobs.Drift{Action: c.Action, Alpha: c.Alpha, NoViews: c.Views != nil && !*c.Views}
	if c.Reference != "training" {
		out.Reference = c.Reference
	}
	for name, x := range c.Columns {
		if out.Columns == nil {
			out.Columns = map[string]drift.Override{}
		}
		out.Columns[name] = drift.Override{Threshold: x.Threshold, Action: x.Action, Off: x.Off}
	}
	return out
}

// checkDrift checks what any job may say of drift. Which columns there are is known only when there are events.
func (p *Project) checkDrift(name string, j Job) {
	d, path := p.dec, "jobs."+name+".drift"
	oneOf(d, path+".reference", j.Drift.Reference, driftReferences...)
	oneOf(d, path+".action", j.Drift.Action, "warn", "block", "retrain")
	if a := j.Drift.Alpha; !(a >= 0 && a < 1) {
		d.at(path+".alpha", "", "must be between 0 and 1")
	}
	for _, column := range sortedKeys(j.Drift.Columns) {
		c, at := j.Drift.Columns[column], path+".columns."+column
		if !(c.Threshold >= 0) || math.IsInf(c.Threshold, 0) {
			d.at(at+".threshold", "as 0.2", "must be above 0")
		}
		if c.Action != "" {
			oneOf(d, at+".action", c.Action, "warn", "block")
		}
	}
	if j.Drift.CoolDown < 0 {
		d.at(path+".cool_down", "as 3d", "may not be negative")
	}
	if j.Drift.Of == "" {
		if j.Drift.Action == "retrain" {
			d.at(path+".action", "declare a job with a schedule of its own and drift: {of: "+name+", action: retrain}", "only a job that watches another starts it")
		}
		if j.Drift.CoolDown > 0 {
			d.at(path+".cool_down", "leave it out", "only a job that watches another (drift.of) has a cool-down")
		}
	}
}

// checkWatch checks a job that watches another.
func (p *Project) checkWatch(name string, j Job) {
	d, path := p.dec, "jobs."+name
	p.checkTimes(name, j)
	for _, own := range []struct {
		key   string
		given bool
	}{
		{"purpose", j.Purpose.Train != "" || j.Purpose.Evaluate != ""},
		{"train", j.Train.Model != ""},
		{"build", len(j.Build.Views) > 0},
		{"budgets", len(j.Budgets) > 0},
		{"trust", j.Trust != nil},
		{"publish", len(j.Publish.Features) > 0},
		{"minimize", j.Minimize != nil},
	} {
		if own.given {
			d.at(path+"."+own.key, "leave it out", "a job that watches another has those of that one")
		}
	}
	base, ok := p.Jobs[j.Drift.Of]
	switch {
	case !ok:
		var others []string
		for _, other := range sortedKeys(p.Jobs) {
			if p.Jobs[other].Drift.Of == "" {
				others = append(others, other)
			}
		}
		p.undeclared(path+".drift.of", "jobs", "job", j.Drift.Of, others)
	case base.Drift.Of != "":
		d.at(path+".drift.of", "name the job that trains", "%s trains nothing: it watches %s", j.Drift.Of, base.Drift.Of)
	case j.Drift.Action == "retrain" && j.Drift.CoolDown == 0:
		d.at(path+".drift.cool_down", "as 3d", "missing: drift that lasts would start %s at every interval", j.Drift.Of)
	case base.TimeZone != j.TimeZone:
		d.at(path+".time_zone", "time_zone: "+base.TimeZone, "the days of %s are those of %s, and the two must agree on what a day is", j.Drift.Of, base.TimeZone)
	}
}

// watch resolves a job that watches another: that one, but for its schedule and what it does about drift.
func (o *Opened) watch(ctx context.Context, name string, c Job) (*jobs.Job, error) {
	watched, err := o.job(ctx, c.Drift.Of, o.Jobs[c.Drift.Of])
	if err != nil {
		return nil, fmt.Errorf("the job that it watches: %w", err)
	}
	loc, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return nil, err
	}
	j := *watched
	j.Name, j.Watched, j.Drift, j.CoolDown = name, watched, c.Drift.drift(), c.Drift.CoolDown
	j.Overlap, j.CatchUp, j.Lookback, j.Due = schedule.Overlap(c.Overlap), c.CatchUp, c.Lookback, schedule.Schedule{}
	j.Minimize = jobs.Minimizing{}
	j.Floor, j.Trust = *c.MinVolume, nil
	if j.Every, err = table.EveryOf(c.Every, loc); err != nil {
		return nil, err
	}
	if c.Schedule != "" {
		if j.Due, err = schedule.Parse(c.Schedule, loc); err != nil {
			return nil, err
		}
	}
	return &j, nil
}

// checkCalendar checks the declared days.
func (p *Project) checkCalendar() {
	d := p.dec
	by := map[string]string{}
	for _, name := range sortedKeys(p.Calendar) {
		e, path := p.Calendar[name], "calendar."+name
		if !policy.ValidName(name) {
			d.at(path, "", "%q is no name: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter", name)
		}
		if len(e.Days) == 0 {
			d.at(path+".days", "as [2026-11-27]", "missing")
		}
		for _, day := range e.Days {
			if _, err := time.Parse(time.DateOnly, day); err != nil {
				d.at(path+".days", "as 2026-11-27", "%q is no day", day)
			} else if other := by[day]; other != "" {
				d.at(path+".days", "give a day to one entry", "%s is declared by %s as well", day, other)
			}
			by[day] = name
		}
		for _, x := range []struct{ key, value, want string }{{"drift", e.Drift, "warn"}, {"volume", e.Volume, "warn"}, {"compare", e.Compare, "last_occurrence"}} {
			if x.value != "" {
				oneOf(d, path+"."+x.key, x.value, x.want)
			}
		}
		if e.Weight != nil && !(*e.Weight >= 0 && *e.Weight <= math.MaxFloat32) {
			d.at(path+".weight", "as 0.5", "must be 0 or more")
		}
	}
}

// calendar are the declared days in a zone.
func (o *Opened) calendar(loc *time.Location) (out []jobs.Expected, err error) {
	day, err := table.EveryOf("1d", loc)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(o.Calendar) {
		e := o.Calendar[name]
		x := jobs.Expected{Name: name, Drift: e.Drift != "", Volume: e.Volume != "", Weight: e.Weight, Last: e.Compare != ""}
		for _, label := range slices.Sorted(slices.Values(e.Days)) {
			iv, err := day.Parse(label)
			if err != nil {
				return nil, fmt.Errorf("calendar.%s.days: %w", name, err)
			}
			x.Days = append(x.Days, iv)
		}
		out = append(out, x)
	}
	return out, nil
}
