package jobs

import (
	"maps"
	"slices"

	"github.com/rapport-ml/rapport/features/policy"
)

// coarsened are the rules by which values become coarser when they are read for the job, by data set and column, as they stand in keys. A set without any is not there.
func (j *Job) coarsened() map[string]map[string]string {
	out := map[string]map[string]string{}
	add := func(set string, rules map[string]string) {
		if len(rules) > 0 {
			out[set] = rules
		}
	}
	of := func(set string, s *AttributeSource, p *policy.Purpose) {
		if s != nil && p != nil {
			add(set, s.Coarse.Of(p.Reads[set]))
		}
	}
	add("events", j.Events.Rules(j.Training))
	of("subjects", j.Subjects, &j.Training)
	of("cohorts", j.Cohorts, j.Evaluation)
	return out
}

// coarsenedLines are the same in words, one a column, in a fixed order.
func (j *Job) coarsenedLines() (out []string) {
	sets := j.coarsened()
	for _, set := range slices.Sorted(maps.Keys(sets)) {
		for _, column := range slices.Sorted(maps.Keys(sets[set])) {
			out = append(out, set+"."+column+": "+sets[set][column])
		}
	}
	return out
}
