package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/jobs/lineage"
)

// observe makes the runner tell those whom the project file names: people, and a data catalog.
func (p *project) observe(wall func() time.Time) {
	p.alerts = alert.New(p.alertOptions(wall))
	if p.alerts != nil {
		p.runner.Observers = append(p.runner.Observers, p.alerts)
	}
	o := p.LineageOptions()
	o.Now, o.Log, o.Revision, o.Session = wall, p.runner.Log, p.runner.Revision, ulid.Make().String()
	p.lineage = lineage.New(o)
	if p.lineage != nil {
		p.runner.Observers = append(p.runner.Observers, p.lineage)
	}
}

func (p *project) alertOptions(wall func() time.Time) alert.Options {
	return alert.Options{
		Bucket: p.Bucket, Project: p.Project.Project, To: p.Destinations(), Locate: p.Locate, Now: wall, Log: p.runner.Log, Revision: p.runner.Revision,
	}
}

func (a *app) alertsCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "alerts", Short: "Who is told when a job needs somebody, and what is open"})
	list := &cobra.Command{
		Use: "list", Short: "Open alerts, oldest first", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			open, err := p.openAlerts(cmd.Context())
			return errors.Join(err, a.print(open, func(w io.Writer) {
				row(w, "SINCE", "SEEN", "TIMES", "JOB", "KIND", "WHAT", "TRY")
				for _, x := range open {
					row(w, clock(x.Since), clock(x.Seen), x.Count, x.Job, x.Kind, x.Summary+untold(x), x.Command)
				}
			}))
		},
	}
	test := &cobra.Command{
		Use: "test", Short: "Send a test message to each webhook and say what came of it; exit 1 if one did not arrive", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			if p.alerts == nil {
				return usageError{errors.New("alerts test: the project file names nobody to tell: add `alerts: [{webhook: …}]` (docs/alerts.md)")}
			}
			out := p.alerts.Test(cmd.Context())
			err = a.print(out, func(w io.Writer) {
				row(w, "TO", "FORMAT", "SIGNED", "ON", "OUTCOME")
				for _, o := range out {
					row(w, o.Where, o.Format, map[bool]string{true: "yes", false: "no"}[o.Signed], kinds(o.On), o.Says)
				}
			})
			for _, o := range out {
				if !o.OK && err == nil {
					err = errors.New("alerts test: not every message arrived")
				}
			}
			return err
		},
	}
	c.AddCommand(list, test)
	return c
}

func kinds(all []alert.Kind) string {
	names := make([]string, 0, len(all))
	for _, k := range all {
		names = append(names, string(k))
	}
	return strings.Join(names, " ")
}

// untold says of an open alert that not everybody has heard of it.
func untold(x alert.Alert) string {
	if x.Untold == 0 {
		return ""
	}
	return fmt.Sprintf(" (not delivered to %d)", x.Untold)
}

// openAlerts are those of the jobs that the project file has, and those of no job: of one that was taken out or renamed no run will ever say that it is over.
func (p *project) openAlerts(ctx context.Context) ([]alert.Alert, error) {
	open, err := alert.Open(ctx, p.Bucket, p.Project.Project)
	return slices.DeleteFunc(open, func(x alert.Alert) bool { return x.Job != "" && !slices.Contains(p.JobNames(), x.Job) }), err
}

// standing is how the jobs stand, and what is open.
type standing struct {
	*jobs.Status
	Requests jobs.RequestDue `json:"requests"`
	Alerts   []alert.Alert   `json:"alerts"`
}

// standing reads how the jobs stand, and which alerts are open. It changes nothing.
func (p *project) standing(ctx context.Context, js []*jobs.Job) (*standing, error) {
	s, err := p.runner.Status(ctx, js)
	if err != nil {
		return nil, err
	}
	open, err := p.openAlerts(ctx)
	if err != nil {
		p.runner.Log.Warn("not all alerts can be read", "error", err)
	}
	due, err := p.runner.RequestsDue(ctx)
	if err != nil {
		p.runner.Log.Warn("what people asked for and when it is due can't be read", "error", err)
	}
	return &standing{s, due, open}, nil
}

// raise tells people of jobs that are late, and of what they have a right to and is, which nobody else does where no serve runs.
func (p *project) raise(ctx context.Context, js []*jobs.Job, s *standing) {
	for i, j := range js {
		if st := s.Jobs[i]; st.Late {
			p.alerts.Late(ctx, j, j.Every.At(st.Due), st.Due)
		}
	}
	if p.alerts == nil {
		return
	}
	all, err := p.runner.Overdue(ctx, js)
	if err != nil {
		p.runner.Log.Warn("what is overdue can't be read", "error", err)
		return
	}
	p.alerts.Overdue(ctx, all)
}

// printAlerts is the part of status that tells of open alerts.
func printAlerts(w io.Writer, open []alert.Alert) {
	if len(open) == 0 {
		return
	}
	row(w)
	for _, x := range open {
		row(w, "alert", fmt.Sprintf("%s: %s, since %s%s; %s", x.Kind, x.Summary, clock(x.Since), untold(x), x.Command))
	}
}
