package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/jobs"
)

// The demo's world: the last demoDays of its days are run one after another, and one of them is drifted.
const (
	demoDays  = 7
	demoDrift = 57 // day of the world, from 0: the fourth of the seven
)

// demoMark is the file by which the demo knows a folder as its own, which it may make anew.
const demoMark = ".rapport-demo"

func (a *app) demoCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "demo [DIR]",
		Short: "Synthetic events, seven nights of the main job, one of them drifted",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "demo"
			if len(args) > 0 {
				dir = args[0]
			}
			return a.demo(cmd, dir)
		},
	}
}

func (a *app) demo(cmd *cobra.Command, dir string) error {
	ctx := cmd.Context()
	if _, err := os.Stat(dir); err == nil {
		if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
			return usageError{fmt.Errorf("demo: %s exists and is no folder of the demo: nothing is overwritten", dir)}
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	began := a.wall()
	w := synth.World{Users: 5000, Items: 2000, Days: 60, Seed: 1, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Drift: &synth.Drift{Day: demoDrift}}
	if err := a.makeProject(dir, "quickstart", morningAfter(w), ""); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, demoMark), nil, 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := countTrust(filepath.Join(dir, projectFile)); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	p := a.newProgress()
	w.OnDay = func(done int) {
		p.show(jobs.Progress{Step: "synth", Done: int64(done), Total: int64(w.Days), Unit: "days"})
	}
	if err := synthesize(ctx, w, filepath.Join(dir, "raw")); err != nil {
		return err
	}
	p.done()

	a.config = filepath.Join(dir, projectFile)
	pr, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer pr.Close()
	j, err := pr.Job("nightly")
	if err != nil {
		return err
	}
	var all []*jobs.Result
	for day := w.Days - demoDays; day < w.Days; day++ {
		now := w.Start.AddDate(0, 0, day+1).Add(3 * time.Hour) // cron's hour, the night after the day
		pr.runner.Now = func() time.Time { return now }
		res, err := pr.runner.Run(ctx, j, j.Every.At(now), jobs.Options{Through: jobs.ThroughPublish, Cause: "schedule"})
		pr.progress.done()
		if err != nil && !errors.Is(err, jobs.ErrRejected) {
			return err
		}
		all = append(all, res)
		fmt.Fprintf(a.err, "night of %s: %s\n", j.Every.Label(res.Interval), nightly(res))
	}
	return a.print(all, func(out io.Writer) {
		row(out)
		row(out, "DAY", "STATUS", "VERSION", "GENERATION", "DRIFT")
		last := all[0]
		for _, r := range all {
			version, generation := "-", "-"
			if r.Model != nil {
				version = fmt.Sprint(r.Model.Version)
			}
			if r.Published != nil {
				generation = fmt.Sprint(r.Published.Generation)
				last = r
			}
			note := ""
			if n := len(drifted(r)); n > 0 {
				note = fmt.Sprintf("flagged in %d of the columns", n)
			}
			row(out, j.Every.Label(r.Interval), r.Status, version, generation, note)
		}
		for _, r := range all {
			for _, f := range drifted(r) {
				row(out, "drift", j.Every.Label(r.Interval)+": "+f)
			}
		}
		row(out)
		if last.Published != nil {
			row(out, "published", fmt.Sprintf("%s version %d, lists of %d subjects in %s", last.Model.Name, last.Model.Version, last.Published.Entities, pr.Project.Online.URL))
		}
		row(out, "report", pr.Locate(last.Report+".html"))
		row(out, "took", fmt.Sprintf("%.1f s", a.wall().Sub(began).Seconds()))
		row(out, "try", fmt.Sprintf("echo u000001 | rapport -c %s recommend --ids - --explain", a.config))
	})
}

// countTrust turns on what the project file of the quickstart has as a comment, so that the demo's reports have a section of trust.
func countTrust(file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	on := bytes.Replace(body, []byte("    # trust: {}"), []byte("    trust: {}"), 1)
	if bytes.Equal(on, body) {
		return fmt.Errorf("%s has no comment that turns trust on", file)
	}
	return os.WriteFile(file, on, 0o644)
}

func nightly(r *jobs.Result) string {
	s := string(r.Status)
	if r.Published != nil {
		s += fmt.Sprintf(", version %d is live in generation %d", r.Model.Version, r.Published.Generation)
	}
	if len(drifted(r)) > 0 {
		s += ", drift flagged"
	}
	return s
}

// drifted are the flags of a run that speak of drift.
func drifted(r *jobs.Result) []string {
	var out []string
	for _, f := range r.Flags {
		if kind, says := flagKind(f); kind == "drift" {
			out = append(out, says)
		}
	}
	return out
}
