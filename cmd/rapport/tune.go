package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models"
)

func (a *app) tuneCmd() *cobra.Command {
	var budget, at string
	var trials int
	var parts []string
	var write bool
	c := &cobra.Command{
		Use:   "tune JOB [--budget 30m] [--trials N] [--part NAME,…] [--at T] [--write]",
		Short: "Search hyperparameters of the job's model within a budget of time",
		Long: "Try other hyperparameters for each part of the job's model: trained on what lies before the validation window, judged by ndcg on that window, and on a share\n" +
			"of the subjects first, of which the best third goes on to more (successive halving over a quasi-random sequence). Then the blend of the best is compared with\n" +
			"the blend of what stands in the project file. The test window stays out of sight, nothing is published, and training never tunes.\n\n" +
			"The outcome is kept under tuning/ of the bucket. What is better beyond chance can be put into the project file with --write, which keeps its comments; else it\n" +
			"is printed. Ctrl-C ends the search and keeps the best so far. The figure of the best of many flatters it: the next night's test window tells.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			limit, err := tuneLimits(budget, cmd.Flags().Changed("budget"), trials, cmd.Flags().Changed("trials"))
			if err != nil {
				return usageError{err}
			}
			e, err := a.errand(cmd.Context(), args[0], at, "train")
			if err != nil {
				return err
			}
			defer e.Close()
			t := e.Tuning(e.job.Model.Name)
			t.Budget, t.Trials, t.Only = limit, trials, parts
			out, err := e.runner.Tune(cmd.Context(), e.job, e.interval, t)
			e.progress.done()
			if err != nil {
				return triedFault(err)
			}
			v := tuned{Tuned: out}
			if v.Says, v.Written, err = e.write(out, write); err != nil {
				return err
			}
			return interruptedAfter(&out.Experiment, a.print(v, func(w io.Writer) { printTuned(w, t, v) }))
		},
	}
	c.Flags().StringVar(&budget, "budget", "30m", "how long to search, as 30m or 2h (no limit if only --trials is given)")
	c.Flags().IntVar(&trials, "trials", 0, "choices to try for each part, at most: with it alone the outcome is the same each time")
	c.Flags().StringSliceVar(&parts, "part", nil, "parts to search (default: all that can be)")
	c.Flags().StringVar(&at, "at", "", "a day or an RFC 3339 time (default: the last interval that has closed)")
	c.Flags().BoolVar(&write, "write", false, "put what is better into the project file")
	return c
}

// triedFault gives what ended an experiment on a job's data its exit code.
func triedFault(err error) error {
	switch {
	case errors.Is(err, jobs.ErrTuning), errors.Is(err, jobs.ErrMitigate), errors.Is(err, jobs.ErrMinimize):
		return usageError{err}
	case errors.Is(err, jobs.ErrNoData):
		return notFoundError{err}
	}
	return err
}

// interruptedAfter is how a verb ends that has printed what an experiment found, with the error of that: Ctrl-C has its own exit code.
func interruptedAfter(e *jobs.Experiment, printed error) error {
	if printed == nil && e.Interrupted() {
		return context.Canceled
	}
	return printed
}

// tuneLimits reads the budget. Who gives a number of trials alone wants no limit of time: it would make the outcome depend on the machine.
func tuneLimits(budget string, givenBudget bool, trials int, givenTrials bool) (time.Duration, error) {
	if givenTrials && trials < 1 {
		return 0, fmt.Errorf("--trials %d: want 1 or more", trials)
	}
	if givenTrials && !givenBudget {
		return 0, nil
	}
	d, err := configs.ParseDuration(budget)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("--budget %q is no time to search for: as 30m or 2h", budget)
	}
	return d, nil
}

// tuned is what is printed.
type tuned struct {
	*jobs.Tuned
	Written bool   `json:"written"` // to the project file
	Says    string `json:"says"`    // what to do with it
}

// write puts what is better beyond chance into the project file, if that is asked for, and says what was done or what to do.
func (e *errand) write(out *jobs.Tuned, write bool) (says string, written bool, err error) {
	better := out.Better()
	switch {
	case len(better) == 0:
		return "nothing found is better than what stands in the project file", false, nil
	case out.Whole == nil:
		return "interrupted before the blends were compared: nothing is written; rapport tune " + e.job.Name + " searches again", false, nil
	case !out.Whole.Better:
		return "the blend of the best is not better beyond chance: nothing to write", false, nil
	case !write:
		return "rapport tune with --write would put the best into the project file", false, nil
	}
	text, err := e.Retuned(e.job.Model.Name, better)
	if err != nil {
		return err.Error() + ": put the values in by hand", false, nil
	}
	if err := e.rewrite(text); err != nil {
		return "", false, err
	}
	return e.File() + " has the best values; the next run trains with them", true, nil
}

// rewrite replaces the project file by a text, whole or not at all.
func (e *errand) rewrite(text []byte) error {
	if err := replaceFile(e.File(), text); err != nil {
		return fmt.Errorf("write the project file: %w", err)
	}
	return nil
}

// replaceFile puts a text into a file, whole or not at all. What is replaced is the file, not a link to it, and it keeps its mode.
func replaceFile(path string, text []byte) error {
	mode := os.FileMode(0o644)
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	switch info, err := os.Stat(path); {
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".rapport-*"+filepath.Ext(path))
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// shownTrials is how many trials of a part are printed: the best ones. -o json has all.
const shownTrials = 12

func printTuned(w io.Writer, t jobs.Tuning, v tuned) {
	spaces := map[string]models.Space{}
	for _, p := range t.Parts {
		spaces[p.Part] = p.Space
	}
	row(w, "tuned", fmt.Sprintf("%s of job %s, as of %s", v.Model, v.Job, clock(v.Interval.End)))
	row(w, "judged by", fmt.Sprintf("ndcg@%d of %s of %s in the validation window", v.K, count(v.Questions, "question"), count(v.Subjects, "subject")))
	if v.Missing.Days > 0 {
		row(w, "missing", fmt.Sprintf("%s of the training window, not ingested yet", count(v.Missing.Days, "day")))
	}
	row(w, "ended by", fmt.Sprintf("%s, after %.0f s", v.Stopped, v.Seconds))
	for _, p := range v.Parts {
		row(w)
		if len(p.Trials) == 0 {
			row(w, p.Part, "not searched: no time was left of the budget")
			continue
		}
		row(w, "TRIAL", strings.ToUpper(p.Part), "SHARE", fmt.Sprintf("ndcg@%d", v.K), "95 %", "SECONDS")
		for _, x := range bestTrials(p.Trials) {
			name := fmt.Sprint(x.Trial)
			if x.Trial == 0 {
				name = "now"
			}
			figure, interval := "-", x.Failed
			if x.NDCG != nil {
				figure, interval = fmt.Sprintf("%.4f", x.NDCG.Value), fmt.Sprintf("%.4f to %.4f", x.NDCG.Low, x.NDCG.High)
			}
			row(w, name, spaces[p.Part].String(x.Values), fmt.Sprintf("%.0f %%", 100*x.Share), figure, interval, fmt.Sprintf("%.2f", x.Seconds))
		}
		if p.Better {
			row(w, "best", spaces[p.Part].String(p.Best), "", signed(p.Difference.Value), signed(p.Difference.Low)+" to "+signed(p.Difference.High))
		} else {
			row(w, "best", "what stands in the project file")
		}
	}
	if x := v.Whole; x != nil {
		row(w)
		row(w, "blend", fmt.Sprintf("%.4f as it is, %.4f with the best: %s (%s to %s)", x.Now.Value, x.Tuned.Value, signed(x.Difference.Value), signed(x.Difference.Low), signed(x.Difference.High)))
		for _, p := range v.Parts {
			if p.Better {
				row(w, "", "- "+p.Part+": "+spaces[p.Part].String(p.Best))
			}
		}
	}
	row(w, "kept", v.Key)
	row(w, "", v.Says)
}

func signed(x float64) string { return fmt.Sprintf("%+.4f", x) }

// bestTrials is the trials to show: those on the largest share first, the best first among them, and always what stands in the file.
func bestTrials(trials []jobs.Trial) []jobs.Trial {
	out := slices.Clone(trials)
	slices.SortStableFunc(out, func(a, b jobs.Trial) int {
		value := func(x jobs.Trial) float64 {
			if x.NDCG == nil {
				return -1
			}
			return x.NDCG.Value
		}
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(value(b), value(a)), cmp.Compare(a.Trial, b.Trial))
	})
	if len(out) <= shownTrials {
		return out
	}
	shown := out[:shownTrials]
	if i := slices.IndexFunc(out, func(x jobs.Trial) bool { return x.Trial == 0 }); i >= shownTrials {
		shown[shownTrials-1] = out[i]
	}
	return shown
}
