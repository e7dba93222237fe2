package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) planCmd() *cobra.Command {
	var at, step string
	c := &cobra.Command{
		Use:   "plan JOB [--at T] [--step NAME]",
		Short: "Say what a run would do, and why",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.errand(cmd.Context(), args[0], at, step)
			if err != nil {
				return err
			}
			defer e.Close()
			v, err := e.runner.Plan(cmd.Context(), e.job, e.interval, e.through)
			if err != nil {
				return err
			}
			return a.print(v, func(w io.Writer) { printPreview(w, v) })
		},
	}
	c.Flags().StringVar(&at, "at", "", "a day or an RFC 3339 time (default: the last interval that has closed)")
	c.Flags().StringVar(&step, "step", "publish", "how far the run would go: ingest, build, drift, train or publish")
	return c
}

func printPreview(w io.Writer, v *jobs.Preview) {
	row(w, "interval", v.Interval)
	pinned := ""
	if v.Pinned {
		pinned = " (pinned by the project)"
	}
	row(w, "clock", clock(v.Clock)+pinned)
	row(w, "purpose", v.Purpose+": "+v.Says)
	if v.Basis == policy.LegitimateInterest {
		row(w, "subjects", fmt.Sprintf("all but those who object or whose erasure is under way, %s now", v.Refused))
	} else {
		row(w, "subjects", fmt.Sprintf("%s with a valid record, %s refused or expired", v.Admitted, v.Refused))
	}
	if v.Consent != "" {
		row(w, "consent", v.Consent)
	}
	row(w, "live", v.Live)
	if v.Owed != nil {
		row(w, "retrain", v.Owed)
	}
	row(w, "lists", v.Masking)
	if v.Excluded != "" {
		row(w, "excluded", v.Excluded)
	}
	for _, rule := range v.Coarse {
		row(w, "coarsened", rule)
	}
	printReopened(w, v.Reopened)
	if v.Views != nil {
		row(w, "views", viewsFrom(v.Views))
	}
	for _, x := range v.Expects {
		row(w, "expects", x)
	}
	if n := len(v.Lost); n > 0 {
		row(w, "lost", fmt.Sprintf("no row of %s has a time of any day; the first: %s", count(n, "file"), v.Lost[0]))
	}
	for _, lacks := range v.NotReady {
		row(w, "not ready", lacks)
	}
	// Steps that are done say little by themselves, and neither does each of many days to ingest: they are counted.
	done := 0
	steps := v.Steps
	for len(steps) > 0 {
		s := steps[0]
		steps = steps[1:]
		if s.Done && s.Why == "" {
			done++
			continue
		}
		n := 0
		for n < len(steps) && steps[n].Name == s.Name && steps[n].Done == s.Done && steps[n].Why == s.Why {
			n++
		}
		if n > 2 {
			last := steps[n-1]
			for _, x := range steps[:n] {
				s.Files, s.Bytes = s.Files+x.Files, s.Bytes+x.Bytes
			}
			s.Label = fmt.Sprintf("%s … %s, %d of them", s.Label, last.Label, n+1)
			steps = steps[n:]
		}
		state := "to do"
		if s.Done {
			state = "done"
		}
		what := ""
		if s.Files > 0 {
			what = fmt.Sprintf("%s, %s", count(s.Files, "file"), bytesOf(s.Bytes))
		}
		row(w, "  "+s.Name, s.Label, state, what, s.Why)
	}
	if done > 0 {
		row(w, "  done", count(done, "step"))
	}
	if v.ToDo == 0 {
		row(w, "to do", "nothing: every step is done")
		return
	}
	row(w, "to do", fmt.Sprintf("%s, %s, %s to read", count(v.ToDo, "step"), count(v.Files, "file"), bytesOf(v.Bytes)))
}

// reopened says what has become of days that were ingested, in one line: of many days, what they come to.
func reopened(days []jobs.Reopened) string {
	r := days[0]
	alike := true // made of each of them are as many
	for _, d := range days[1:] {
		alike = alike && d.Builds == r.Builds
		r.From, r.To = min(r.From, d.From), max(r.To, d.To)
		r.Files, r.FilesBefore, r.Bytes, r.BytesBefore, r.RowsBefore = r.Files+d.Files, r.FilesBefore+d.FilesBefore, r.Bytes+d.Bytes, r.BytesBefore+d.BytesBefore, r.RowsBefore+d.RowsBefore
	}
	is := "is"
	if n := len(days); n > 1 {
		r.Day, is = fmt.Sprintf("%s … %s, %d of them,", r.Day, days[n-1].Day, n), "are"
	}
	text := fmt.Sprintf("%s %s read again: %s in %s, where %s in %s and %s were read", r.Day, is, bytesOf(r.Bytes), count(r.Files, "file"), count(int(r.RowsBefore), "row"), bytesOf(r.BytesBefore), count(r.FilesBefore, "file"))
	switch {
	case !alike:
		text += fmt.Sprintf("; the views of intervals from %s to %s were made of them and may be due again: %s", r.From, r.To, r.Again)
	case r.Builds == 1:
		text += fmt.Sprintf("; the views of %s were made of it and may be due again: %s", r.From, r.Again)
	case r.Builds > 1:
		text += fmt.Sprintf("; the views of %s, %s to %s, were made of it and may be due again: %s", count(r.Builds, "interval"), r.From, r.To, r.Again)
	}
	return text
}

// printReopened prints the days that are read again, those together whose views one backfill makes again.
func printReopened(w io.Writer, days []jobs.Reopened) {
	for len(days) > 0 {
		n := 1
		for n < len(days) && days[n].Again == days[0].Again {
			n++
		}
		row(w, "reopened", reopened(days[:n]))
		days = days[n:]
	}
}

// viewsFrom says what views would be built from.
func viewsFrom(b *jobs.PreviewBuild) string {
	if b.From == "" {
		return fmt.Sprintf("from all events: %s, %s, %s of those ingested; no earlier build to go on from: %s", count(b.Days, "day"), count(b.Rows, "row"), bytesOf(b.Bytes), b.Anew)
	}
	return fmt.Sprintf("from the build as of %s (%s of states and tiles, %s) and %s of events: %d rows, %s of those ingested", clock(*b.AsOf), bytesOf(b.State), count(b.Tiles, "tile"), count(b.Days, "day"), b.Rows, bytesOf(b.Bytes))
}

func (a *app) backfillCmd() *cobra.Command {
	var from, to, through, reprocess string
	var o jobs.BackfillOptions
	c := &cobra.Command{
		Use:   "backfill JOB --from T --to T [--through ingest|build|drift|train] [--promote-last] [--reprocess none|failed|completed] [--max-active N] [--run-backwards] [--dry-run]",
		Short: "Run many past intervals; versions that they train get no alias",
		Long: "Run the intervals that lie in [from, to), in UTC or at the days of the job's zone; versions that they train get no alias.\n\n" +
			"--reprocess none (default) runs what was never run, was interrupted, or has not come as far; an interval whose last run failed or was\n" +
			"rejected is left alone. failed runs those too. completed looks at every source file again, however old, ingests the days whose files\n" +
			"have changed, and makes the checks of done intervals again: unchanged files give the same bytes, so there is nothing else to do again.\n\n" +
			"--max-active runs so many intervals at once, each under a lease of its own and with its own training set in memory. Tables, versions and\n" +
			"their numbers are those of one after another. An interval that another run is at is left to it (exit 4).\n\n" +
			"An interval that fails does not stop the others (exit 1 at the end); a fault that all have in common does.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			j, err := p.Job(args[0])
			if err != nil {
				return usageError{err}
			}
			if o.Through, err = jobs.ParseThrough(through); err != nil {
				return usageError{err}
			}
			for _, t := range []struct {
				flag, text string
				to         *time.Time
			}{{"--from", from, &o.From}, {"--to", to, &o.To}} {
				if t.text == "" {
					return usageError{fmt.Errorf("%s is missing: a day, as 2026-03-01, or an RFC 3339 time", t.flag)}
				}
				if *t.to, err = instant(t.text, j.Every.Location()); err != nil {
					return usageError{fmt.Errorf("%s: %w", t.flag, err)}
				}
			}
			if o.Active < 1 {
				return usageError{fmt.Errorf("--max-active %d: want 1 to %d", o.Active, jobs.MaxActive)}
			}
			o.Reprocess = jobs.Reprocess(reprocess)
			intervals, err := o.Intervals(j)
			if err != nil {
				return usageError{err}
			}
			p.progress.many = o.Active > 1 && len(intervals) > 1
			all := []jobs.Backfilled{}
			err = p.runner.Backfill(cmd.Context(), j, o, func(b jobs.Backfilled) error {
				p.progress.done()
				all = append(all, b)
				if a.output == "json" {
					return nil
				}
				return p.progress.between(func() error {
					_, err := fmt.Fprintln(a.out, oneLine(b))
					return err
				})
			})
			if a.output == "json" {
				if perr := a.print(all, nil); perr != nil {
					return perr
				}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "first day or RFC 3339 time (included)")
	f.StringVar(&to, "to", "", "last day or RFC 3339 time (excluded)")
	f.StringVar(&through, "through", "build", "ingest, build, drift or train (train evaluates too)")
	f.BoolVar(&o.PromoteLast, "promote-last", false, "publish the last interval")
	f.StringVar(&reprocess, "reprocess", "none", "what to do with intervals that have been run: none, failed or completed")
	f.IntVar(&o.Active, "max-active", 1, "intervals that run at once")
	f.BoolVar(&o.Backwards, "run-backwards", false, "latest interval first")
	f.BoolVar(&o.DryRun, "dry-run", false, "only say what would be done")
	return c
}

func oneLine(b jobs.Backfilled) string {
	switch {
	case b.Left != "":
		return fmt.Sprintf("%s  left alone: %s", b.Interval, b.Left)
	case b.Preview != nil:
		return fmt.Sprintf("%s  %s to do, %s, %s", b.Interval, count(b.Preview.ToDo, "step"), count(b.Preview.Files, "file"), bytesOf(b.Preview.Bytes))
	case b.Result == nil:
		return fmt.Sprintf("%s  %s", b.Interval, b.Error)
	case b.Error != "":
		return fmt.Sprintf("%s  %s: %s", b.Interval, b.Result.Status, b.Error)
	case b.Result.Nothing:
		return fmt.Sprintf("%s  nothing to do", b.Interval)
	}
	line := fmt.Sprintf("%s  %s in %s", b.Interval, b.Result.Status, took(b.Result.Cost.Seconds))
	if m := b.Result.Model; m != nil {
		line += fmt.Sprintf(", version %d", m.Version)
	}
	return line
}
