package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
)

// retained says how long a job keeps each class. It warns of classes that no purpose limits, of a training window that is longer than events are kept, and of a
// retention that nothing carries out.
func retained(j *jobs.Job, clock time.Time) (out []check) {
	var kept, ever []string
	for _, c := range j.Keeps(clock) {
		if c.Keep == "" {
			ever = append(ever, c.Class)
			continue
		}
		kept = append(kept, fmt.Sprintf("%s for %s", c.Class, c.Keep))
	}
	c := check{What: "retention of job " + j.Name, OK: true, Warns: len(ever) > 0, Found: "kept: " + strings.Join(kept, ", ")}
	if len(ever) > 0 {
		says := "kept for ever: " + strings.Join(ever, ", ") + ": not all purposes that read them limit them (purposes.NAME.keep)"
		if len(kept) > 0 {
			says = c.Found + "; " + says
		}
		c.Found = says
	}
	if j.PurgeDue.IsZero() && len(kept) > 0 {
		c.Warns, c.Found = true, c.Found+"; only rapport purge removes what is older: with retention.schedule serve does"
	}
	out = append(out, c)
	if keep, ok := j.Training.Keep["events"]; ok && keep < j.Window {
		out = append(out, check{What: "training window of job " + j.Name, OK: true, Warns: true, Found: fmt.Sprintf(
			"%s, and events are kept for %s: purposes.%s.keep.events is shorter, and a model learns from that", features.FormatWindow(j.Window), features.FormatWindow(keep), j.Training.Name)})
	}
	return out
}
