package jobs

import (
	"maps"
	"slices"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
)

// Coarsening are the rules by which values become coarser when they are read for the job, by data set: of the columns that are read, and none other. A set
// without any is not there.
func (j *Job) Coarsening() map[string]event.Coarsenings {
	out := map[string]event.Coarsenings{}
	add := func(set string, rules event.Coarsenings, p *policy.Purpose) {
		for _, column := range p.Reads[set] {
			if rule, ok := rules[column]; ok {
				if out[set] == nil {
					out[set] = event.Coarsenings{}
				}
				out[set][column] = rule
			}
		}
	}
	add("events", j.Events.Coarse, &j.Training)
	if j.Subjects != nil {
		add("subjects", j.Subjects.Coarse, &j.Training)
	}
	if j.Cohorts != nil && j.Evaluation != nil {
		add("cohorts", j.Cohorts.Coarse, j.Evaluation)
	}
	return out
}

// coarsened are the same as they stand in keys.
func (j *Job) coarsened() map[string]map[string]string {
	out := map[string]map[string]string{}
	for set, rules := range j.Coarsening() {
		out[set] = map[string]string{}
		for column, rule := range rules {
			out[set][column] = rule.String()
		}
	}
	return out
}

// coarsenedLines are the same in words, one a column, in a fixed order.
func (j *Job) coarsenedLines() (out []string) {
	sets := j.Coarsening()
	for _, set := range slices.Sorted(maps.Keys(sets)) {
		for _, column := range slices.Sorted(maps.Keys(sets[set])) {
			out = append(out, set+"."+column+": "+sets[set][column].Told())
		}
	}
	return out
}
