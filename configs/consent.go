package configs

import (
	"context"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/schedule"
)

// checkConsent checks where records of consent come from.
func (p *Project) checkConsent() {
	c, d := p.Sources.Consent, p.dec
	if c == nil {
		return
	}
	if c.Path != "" {
		p.checkURL("sources.consent.path", c.Path, true)
	} else if len(c.Columns) > 0 || c.Zone != "" || c.Hold != nil || c.Sync != "" || c.Expect != nil {
		d.at("sources.consent.path", "the pattern of the files, or columns, zone, hold, sync and expect left out", "missing, and these are of files: records come one by one otherwise")
	}
	p.zone("sources.consent.zone", c.Zone)
	if c.Hold != nil && !(*c.Hold > 0 && *c.Hold <= 1) {
		d.at("sources.consent.hold", "a share above 0 to 1, as 0.05; 1 holds nothing", "%g", *c.Hold)
	}
	if c.Sync != "" {
		if _, err := schedule.Parse(c.Sync, time.UTC); err != nil {
			d.at("sources.consent.sync", "as */15 * * * *", "%v", err)
		}
	}
}

// consent resolves the source of consent for a job.
func (o *Opened) consent(ctx context.Context, j *jobs.Job) error {
	c := o.Sources.Consent
	if c == nil {
		return nil
	}
	d, err := o.recordFiles(ctx, "consent", c.Path, c.Columns, c.Zone)
	if err != nil {
		return err
	}
	d.Expect = o.expected("consent", c.Expect)
	j.Consent = &d
	if c.Hold != nil {
		j.ConsentHold = *c.Hold
	}
	if c.Sync != "" {
		j.ConsentSync, err = schedule.Parse(c.Sync, time.UTC)
	}
	return err
}
