package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
)

func (a *app) runCmd() *cobra.Command {
	var at, step, from string
	var ok []string
	c := &cobra.Command{
		Use:   "run JOB [--at T] [--step NAME] [--from build] [--ok rejected,held,not-ready]",
		Short: "Run one interval now",
		Long: "Run one interval: the last closed one, or with --at T the last that ends at or before T.\n" +
			"Steps that are done are skipped, so running again resumes, or does nothing and says so.\n" +
			"--step goes only as far as ingest, build, drift, train (with its evaluation) or publish.\n" +
			"--from build takes what has been ingested as it stands: it needs neither the pseudonym key nor leave to read raw data, so that a night can be two\n" +
			"processes of two users (run --step ingest, then run --from build), of whom the second can join nothing to a person.\n" +
			"--ok names endings that are no failure to who calls, as a CronJob: they exit 0.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range ok {
				if _, known := endings[name]; !known {
					return usageError{fmt.Errorf("--ok %q: one of %s", name, strings.Join(slices.Sorted(maps.Keys(endings)), ", "))}
				}
			}
			if from != "" && (from != jobs.ThroughBuild.String() || step == jobs.ThroughIngest.String()) {
				return usageError{errors.New("run: --from takes build alone, and goes on beyond --step ingest")}
			}
			e, err := a.errandWith(cmd.Context(), args[0], at, step, from == "")
			if err != nil {
				return err
			}
			defer e.Close()
			if from == "" {
				e.finishErasures(cmd.Context())
			}
			res, err := a.perform(cmd.Context(), e)
			if res != nil {
				if perr := a.print(res, func(w io.Writer) { printResult(w, e.project, res) }); perr != nil {
					return errors.Join(err, perr)
				}
			}
			if res != nil && res.Status == ledger.Failed {
				err = fmt.Errorf("%w\nrapport: nothing was published, and what is done stays done: mend the cause and run the same command again", err)
			}
			for _, name := range ok {
				if errors.Is(err, endings[name]) {
					fmt.Fprintf(a.err, "rapport: %s (--ok %s: exit 0)\n", err, name)
					return nil
				}
			}
			return err
		},
	}
	c.Flags().StringVar(&at, "at", "", "a day or an RFC 3339 time; empty: now")
	c.Flags().StringVar(&step, "step", "publish", "how far to go: ingest, build, drift, train or publish")
	c.Flags().StringVar(&from, "from", "", "build: begin after ingest, without the pseudonym key")
	c.Flags().StringSliceVar(&ok, "ok", nil, "endings that exit 0: rejected (the gate refused), held (another run is at it), not-ready (the source is still delivering)")
	return c
}

// finishErasures finishes erasures that were interrupted, ahead of a run. What goes wrong with it keeps no run from its work.
func (p *project) finishErasures(ctx context.Context) {
	js, err := p.allJobs()
	if err == nil {
		var out *jobs.Erased
		if out, err = p.runner.FinishErasures(ctx, js); out != nil {
			p.runner.Log.Warn("an erasure that had been interrupted is finished", "erasure", out.Epoch, "rows", out.Rows, "online_rows", out.Online, "receipts", out.Receipts)
		}
	}
	if err != nil && ctx.Err() == nil {
		p.runner.Log.Warn("an erasure that was interrupted is not finished; rapport status tells of it", "error", err)
	}
}

// endings are what --ok takes.
var endings = map[string]error{"rejected": jobs.ErrRejected, "held": storage.ErrHeld, "not-ready": jobs.ErrNotReady}

// flagKind tells what kind of flag a run has raised: consent, risk, missed, quality, drift, or any other.
func flagKind(x string) (kind, says string) {
	for _, kind := range []string{"consent", "risk", "missed", "quality"} {
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
	printReasons(w, r.Reasons, r.Flags)
	if m := r.Model; m != nil {
		row(w, "model", fmt.Sprintf("%s version %d (%.12s)", m.Name, m.Version, m.Digest))
	}
	if x := r.Published; x != nil {
		row(w, "published", fmt.Sprintf("generation %d, fence %d, %s, %s", x.Generation, x.Fence, count(x.Entities, "subject"), x.Store))
	}
	if r.Waiting != "" {
		row(w, "waiting", r.Waiting)
	}
	if r.Report != "" {
		row(w, "report", p.Locate(r.Report+".html"))
	}
	done, skipped := 0, 0
	if c := r.Cost; c.Seconds > 0 {
		row(w, "cost", fmt.Sprintf("%s, %s of memory at most, %s read, %s written", took(c.Seconds), bytesOf(c.PeakMemory), bytesOf(c.BytesRead), bytesOf(c.BytesWritten)))
	}
	printReopened(w, r.Reopened)
	printViews(w, r.Steps)
	for _, s := range r.Steps {
		switch s.Status {
		case "done":
			done++
		case "skipped":
			skipped++
		}
	}
	row(w, "steps", fmt.Sprintf("%d done, %d done before", done, skipped))
	printFunnel(w, "events", r.Funnel, r.FunnelAt, r.Learned)
	if r.Remedy != "" {
		row(w, "remedy", r.Remedy)
	}
}

// printFunnel says what became of the interval's rows when they were read, and of the training window's in this run.
func printFunnel(w io.Writer, name, read string, at time.Time, learned string) {
	if read != "" && !at.IsZero() {
		read += fmt.Sprintf(" (as the day was read, at %s)", clock(at))
	}
	if read != "" {
		row(w, name, read)
	}
	if learned != "" {
		row(w, "learned from", learned)
	}
}

// printViews says what the views of a run were built from, if it built them.
func printViews(w io.Writer, steps []ledger.Step) {
	for _, s := range steps {
		if s.Says != "" {
			row(w, s.Name, s.Says)
		}
	}
}
