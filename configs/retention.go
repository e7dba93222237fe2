package configs

import (
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/schedule"
)

// checkRetention checks when what is past its retention is removed.
func (p *Project) checkRetention() {
	if p.Retention == nil || p.Retention.Schedule == "" {
		return
	}
	if _, err := schedule.Parse(p.Retention.Schedule, time.UTC); err != nil {
		p.dec.at("retention.schedule", "as 0 5 * * *", "%v", err)
	}
}

// retention tells a job when it is, which is the same for all.
func (o *Opened) retention(j *jobs.Job) (err error) {
	if o.Retention != nil && o.Retention.Schedule != "" {
		j.PurgeDue, err = schedule.Parse(o.Retention.Schedule, time.UTC)
	}
	return err
}
