package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

// errStale makes status exit 1.
var errStale = errors.New("something is stale")

func (p *project) allJobs() ([]*jobs.Job, error) {
	var out []*jobs.Job
	for _, name := range p.JobNames() {
		j, err := p.Job(name)
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say what is live and how the jobs stand; exit 1 if something is stale",
		Args:  usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			js, err := p.allJobs()
			if err != nil {
				return err
			}
			s, err := p.runner.Status(cmd.Context(), js)
			if err != nil {
				return err
			}
			err = a.print(s, func(w io.Writer) {
				row(w, "clock", clock(s.Clock))
				if f := s.Fallback; f != nil {
					row(w, "fallback", fallbackLine(f))
				}
				for _, j := range s.Jobs {
					row(w)
					row(w, "job", j.Job)
					if j.Version == 0 {
						row(w, "live", "nothing")
					} else {
						row(w, "live", fmt.Sprintf("%s is version %d (%s), generation %d, of %s", j.Alias, j.Version, j.Verdict, j.Generation, j.Interval))
						row(w, "age", (time.Duration(j.Age) * time.Second).String())
					}
					row(w, "online", j.Online)
					if j.PinnedTo != "" {
						row(w, "pinned", j.PinnedTo)
					}
					if j.Candidate != 0 {
						row(w, "waiting", fmt.Sprintf("version %d", j.Candidate))
					}
					if j.Consent != "" {
						row(w, "consent read", j.Consent)
					}
					if j.Last != nil {
						row(w, "last run", fmt.Sprintf("%s %s, %s", j.Last.ID, j.Last.Status, clock(j.Last.Started)))
					}
					row(w, "next due", clock(j.Next))
					if j.Stale {
						row(w, "stale", j.Why)
					}
				}
			})
			if err == nil && s.Stale {
				err = errStale
			}
			return err
		},
	}
}

func (a *app) runsCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "runs", Short: "The ledger of runs"})
	var days int
	list := &cobra.Command{
		Use: "list", Short: "Runs, newest first", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			to := p.runner.Now().Add(time.Second)
			if p.Pinned() {
				to = to.AddDate(100, 0, 0)
			}
			lines, err := ledger.Ledger{Bucket: p.Bucket}.List(cmd.Context(), p.runner.Now().AddDate(0, 0, -days), to)
			if err != nil {
				return err
			}
			if lines == nil {
				lines = []ledger.Line{}
			}
			return a.print(lines, func(w io.Writer) {
				row(w, "RUN", "JOB", "INTERVAL", "STATUS", "STARTED", "FLAGS")
				for _, l := range lines {
					row(w, l.ID, l.Job, l.Label, l.Status, clock(l.Started), l.Flags)
				}
			})
		},
	}
	list.Flags().IntVar(&days, "days", 31, "how far back")
	show := &cobra.Command{
		Use: "show RUN", Short: "One run: steps, figures, errors", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			r, err := ledger.Ledger{Bucket: p.Bucket}.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				row(w, "run", r.ID)
				row(w, "job", r.Job)
				row(w, "interval", r.Interval)
				row(w, "status", r.Status)
				row(w, "started", clock(r.Started))
				row(w, "ended", clock(r.Ended))
				for _, x := range r.Reasons {
					row(w, "reason", x)
				}
				for _, x := range r.Flags {
					row(w, "flag", x)
				}
				if r.Error != "" {
					row(w, "error", r.Error)
				}
				if r.Report != "" {
					row(w, "report", p.Locate(r.Report+".html"))
				}
				if r.Funnel != "" {
					row(w, "funnel", r.Funnel)
				}
				row(w)
				row(w, "STEP", "LABEL", "STATUS", "SECONDS", "ROWS IN", "ROWS OUT", "READ")
				for _, s := range r.Steps {
					row(w, s.Name, s.Label, s.Status, fmt.Sprintf("%.2f", s.Seconds), s.RowsIn, s.RowsOut, bytesOf(s.BytesRead))
				}
			})
		},
	}
	c.AddCommand(list, show)
	return c
}

func (a *app) reportCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "report RUN",
		Short: "Where the report of a run is; with -o json, the report itself",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			key, err := a.reportKey(cmd, p, args[0])
			if err != nil {
				return err
			}
			if a.output == "json" {
				body, err := p.object(cmd.Context(), key+".json")
				if err != nil {
					return err
				}
				return a.print(json.RawMessage(body), nil)
			}
			fmt.Fprintln(a.out, p.Locate(key+".html"))
			return nil
		},
	}
}

// reportKey finds a report by a run's id or by MODEL/VERSION.
func (a *app) reportKey(cmd *cobra.Command, p *project, arg string) (string, error) {
	if model, version, ok := strings.Cut(arg, "/"); ok {
		v, err := p.version(cmd.Context(), model, version)
		if err != nil {
			return "", err
		}
		return v.Report.Link, nil
	}
	r, err := ledger.Ledger{Bucket: p.Bucket}.Get(cmd.Context(), arg)
	if err != nil {
		return "", err
	}
	if r.Report == "" {
		return "", notFoundError{fmt.Errorf("run %s has no report: it went no further than %s", r.ID, r.Status)}
	}
	return r.Report, nil
}
