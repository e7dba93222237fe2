package jobs

import (
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/storage/table"
)

// The retention classes, as of policy.Classes.
const (
	classEvents   = "events"   // ingested days
	classFeatures = "features" // tables of views, and what builds keep for later ones
	classTraining = "training" // the attributes of people that a training set is made with. The set itself is references, and holds no row
	classModels   = "models"   // artifacts
	classReports  = "reports"  // reports, and the figures that later ones pool
)

// classOf is the retention class of what a step makes; "" for what is in none, as records of consent.
func classOf(step string) string {
	switch step {
	case "ingest":
		return classEvents
	case "build":
		return classFeatures
	case "subjects", "cohorts":
		return classTraining
	case "train":
		return classModels
	case "evaluate", "refuse":
		return classReports
	}
	return ""
}

// reads reports whether the job, as it is declared now, reads what stands in a commit.
func (j *Job) reads(c *table.Commit) bool {
	if c.Interval == nil {
		return false
	}
	_, rest, _ := strings.Cut(c.Key, "/")
	label, _, _ := strings.Cut(rest, "/")
	under := func(prefix string) bool { return strings.HasPrefix(c.Key, prefix) }
	switch c.Step {
	case "ingest":
		return under(specPrefix("ingest", label, *c.Interval, logicIngest, j.ingestSpec(j.clocks()))) ||
			slices.ContainsFunc(j.earlierPrograms(label, *c.Interval), under) || slices.ContainsFunc(j.earlierIngests(label, *c.Interval), under)
	case "build":
		return under(specPrefix("build", label, *c.Interval, logicBuild, j.buildSpec()))
	case "subjects":
		return j.Subjects != nil
	case "cohorts":
		return j.Cohorts != nil
	}
	return false
}

// readersOf are the jobs that read what stands in a commit.
func readersOf(js []*Job, c *table.Commit) (out []*Job) {
	for _, j := range js {
		if j.reads(c) {
			out = append(out, j)
		}
	}
	return out
}
