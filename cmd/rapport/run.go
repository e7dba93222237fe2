package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

func (a *app) runCmd() *cobra.Command {
	var at, step string
	c := &cobra.Command{
		Use:   "run JOB [--at T] [--step NAME]",
		Short: "Run one interval now",
		Long: "Run one interval: the last closed one, or with --at T the last that ends at or before T.\n" +
			"Steps that are done are skipped, so running again resumes, or does nothing and says so.\n" +
			"--step goes only as far as ingest, build, train (with its evaluation) or publish.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.errand(cmd.Context(), args[0], at, step)
			if err != nil {
				return err
			}
			defer e.Close()
			res, err := e.runner.Run(cmd.Context(), e.job, e.interval, jobs.Options{Through: e.through, Cause: "run"})
			e.progress.done()
			if res != nil {
				if perr := a.print(res, func(w io.Writer) { printResult(w, e.project, res) }); perr != nil {
					return errors.Join(err, perr)
				}
			}
			if res != nil && res.Status == ledger.Failed {
				err = fmt.Errorf("%w\nrapport: nothing was published, and what is done stays done: mend the cause and run the same command again", err)
			}
			return err
		},
	}
	c.Flags().StringVar(&at, "at", "", "a day or an RFC 3339 time")
	c.Flags().StringVar(&step, "step", "publish", "how far to go: ingest, build, train or publish")
	return c
}

// flagKind tells what kind of flag a run has raised: consent, risk, drift, or any other.
func flagKind(x string) (kind, says string) {
	for _, kind := range []string{"consent", "risk"} {
		if says, ok := strings.CutPrefix(x, kind+": "); ok {
			return kind, says
		}
	}
	if strings.Contains(x, "drifted") {
		return "drift", x
	}
	return "flag", x
}

func printResult(w io.Writer, p *project, r *jobs.Result) {
	row(w, "run", r.RunID)
	row(w, "interval", r.Interval)
	status := string(r.Status)
	if r.Nothing && r.Status == ledger.Succeeded {
		status += ": nothing to do, every step was done before"
	}
	row(w, "status", status)
	for _, x := range r.Reasons {
		row(w, "reason", x)
	}
	for _, x := range r.Flags {
		kind, says := flagKind(x)
		row(w, kind, says)
	}
	if m := r.Model; m != nil {
		row(w, "model", fmt.Sprintf("%s version %d (%.12s)", m.Name, m.Version, m.Digest))
	}
	if x := r.Published; x != nil {
		row(w, "published", fmt.Sprintf("generation %d, fence %d, %d subjects, %s", x.Generation, x.Fence, x.Entities, x.Store))
	}
	if r.Waiting != "" {
		row(w, "waiting", r.Waiting)
	}
	if r.Report != "" {
		row(w, "report", p.Locate(r.Report+".html"))
	}
	done, skipped := 0, 0
	for _, s := range r.Steps {
		switch s.Status {
		case "done":
			done++
		case "skipped":
			skipped++
		}
	}
	row(w, "steps", fmt.Sprintf("%d done, %d were done before", done, skipped))
	if r.Funnel != "" {
		row(w, "events", r.Funnel)
	}
	if r.Remedy != "" {
		row(w, "remedy", r.Remedy)
	}
}
