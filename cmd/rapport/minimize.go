package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) minimizeCmd() *cobra.Command {
	var budget, at string
	var sample int
	var margin float64
	var write, markdown bool
	c := &cobra.Command{
		Use:   "minimize JOB [--budget 30m] [--sample N] [--margin X] [--at T] [--write]",
		Short: "What each field is worth to the lists, beside what it tells of people",
		Long: "Train the job's model without each column, attribute and length of history that it reads, and judge the lists beside those of the model as it stands:\n" +
			"on the same people, in the validation window, with the test window out of sight. Beside what is lost, with its interval, stands what the field tells of\n" +
			"people: of how many, how many it tells apart from all others, and how many it would if it were told more coarsely. What can be dropped by itself is then\n" +
			"dropped all at once and judged again. What tells most comes first; what the budget of time did not reach is named.\n\n" +
			"Nothing is published. The ledger is kept under minimization/ of the bucket, with a page beside it, and reports of the job link the last one. --write puts what\n" +
			"is proposed into the project file, which keeps its comments. Ctrl-C ends the search and keeps what was found. serve makes a ledger by itself where the job\n" +
			"has minimize.schedule.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.errand(cmd.Context(), args[0], at, "train")
			if err != nil {
				return err
			}
			defer e.Close()
			o := e.job.Minimize
			if cmd.Flags().Changed("budget") {
				if o.Budget, err = configs.ParseDuration(budget); err != nil || o.Budget <= 0 {
					return usageError{fmt.Errorf("--budget %q is no time to train for: as 30m or 2h", budget)}
				}
			}
			if cmd.Flags().Changed("sample") {
				if o.Sample = sample; sample < eval.MinCell {
					return usageError{fmt.Errorf("--sample %d: want %d people or more", sample, eval.MinCell)}
				}
			}
			if cmd.Flags().Changed("margin") {
				if o.Margin = margin; !(margin > 0 && margin < 1) {
					return usageError{fmt.Errorf("--margin %g: want a share above 0 and under 1, as 0.005", margin)}
				}
			}
			out, err := e.runner.Minimize(cmd.Context(), e.job, e.interval, o)
			e.progress.done()
			if err != nil {
				return triedFault(err)
			}
			v := minimized{Minimized: out, Page: e.Locate(jobs.PageOf(out.Key))}
			if v.Do, v.Written, err = e.without(out, write); err != nil {
				return err
			}
			if markdown {
				err = out.WriteMarkdown(a.out)
			} else {
				err = a.print(v, func(w io.Writer) { printMinimized(w, v) })
			}
			return interruptedAfter(&out.Experiment, err)
		},
	}
	c.Flags().StringVar(&budget, "budget", "", "for how long to train, as 30m or 2h (default: minimize.budget of the job, else 30m)")
	c.Flags().IntVar(&sample, "sample", 0, "of how many people, at most (default: minimize.sample of the job, else 20000)")
	c.Flags().Float64Var(&margin, "margin", 0, "the largest loss that is taken for none, as a share (default: minimize.margin of the job, else 0.005)")
	c.Flags().StringVar(&at, "at", "", "a day or an RFC 3339 time (default: the last interval that has closed)")
	c.Flags().BoolVar(&write, "write", false, "put what is proposed into the project file")
	c.Flags().BoolVar(&markdown, "markdown", false, "print the ledger as a table in Markdown")
	return c
}

// minimized is what is printed.
type minimized struct {
	*jobs.Minimized
	Page    string `json:"page"`    // where the page of the ledger is
	Written bool   `json:"written"` // to the project file
	Do      string `json:"do"`      // what to do with it
}

// without puts what a ledger proposes into the project file, if that is asked for, and says what was done or what to do.
func (e *errand) without(out *jobs.Minimized, write bool) (do string, written bool, err error) {
	hand := ""
	if len(out.Drop.Hand) > 0 {
		hand = "; by hand: " + strings.Join(out.Drop.Hand, "; ")
	}
	switch {
	case out.Proposal == nil:
		return "nothing is proposed", false, nil
	case out.Drop.Empty():
		return "no key of the project file says what is proposed" + hand, false, nil
	}
	text, err := e.Without(e.job.Name, out.Drop)
	says := strings.Join(changes(e.Jobs[e.job.Name].Purpose.Train, e.job.Name, out.Drop), ", ")
	switch {
	case err != nil:
		return fmt.Sprintf("%v: put it in by hand: %s%s", err, says, hand), false, nil
	case !write:
		return "rapport minimize with --write would put it into the project file: " + says + hand, false, nil
	}
	if err := e.rewrite(text); err != nil {
		return "", false, err
	}
	return e.File() + " has it: " + says + hand + "; the next run reads and trains without it, and its gate judges that beside what is live", true, nil
}

// changes are what a project file says of a proposal.
func changes(purpose, job string, d jobs.Drop) (out []string) {
	if d.Window > 0 {
		out = append(out, fmt.Sprintf("jobs.%s.train.window: %s", job, features.FormatWindow(d.Window)))
	}
	for _, set := range []string{"events", "items", "subjects"} {
		if len(d.Reads[set]) > 0 {
			out = append(out, fmt.Sprintf("purposes.%s.reads.%s without %s", purpose, set, strings.Join(d.Reads[set], ", ")))
		}
	}
	return out
}

func printMinimized(w io.Writer, v minimized) {
	row(w, "minimized", fmt.Sprintf("%s of job %s, as of %s", v.Model, v.Job, clock(v.Interval.End)))
	of := "everybody there is"
	if v.Sampled {
		of = "a sample"
	}
	row(w, "looked at", fmt.Sprintf("the data of %s: %s", count(v.People, "subject"), of))
	row(w, "judged by", fmt.Sprintf("%s for %d of them, who took something in the validation window; margin %s", v.Metric, v.Asked, inPercent(v.Margin)))
	if v.Missing.Days > 0 {
		row(w, "missing", fmt.Sprintf("%s of the training window, not ingested yet", count(v.Missing.Days, "day")))
	}
	row(w, "ended by", v.Ended())
	row(w)
	row(w, "FAMILY", "WITHOUT", "VERDICT", "LOSS", "95 %", "STORED", "PEOPLE", "UNIQUE", "UNDER 11", "READ BY")
	for _, x := range v.ByFamily() {
		loss, span := "-", "-"
		if l := x.Loss; l.Value != nil && l.Low != nil && l.High != nil {
			loss, span = inPercent(*l.Value), inPercent(*l.Low)+" to "+inPercent(*l.High)
		}
		stored, people, unique, small := "", "-", "-", "-"
		if x.Family == "history" {
			stored = x.Cost.Kept.String()
		}
		if x.Cost.People > 0 {
			people, unique, small = fmt.Sprint(x.Cost.People), x.Cost.Unique.String(), x.Cost.Small.String()
		}
		row(w, x.Family, strings.TrimPrefix(x.Spared(), x.Family+" "), string(x.Verdict), loss, span, stored, people, unique, small, strings.Join(x.Used, ", "))
	}
	row(w)
	if p := v.Proposal; p != nil {
		for _, d := range p.Drop {
			row(w, "proposed", d)
		}
		if p.Judged.Verdict == eval.Unread {
			row(w, "", p.Judged.Says)
		} else {
			row(w, "", p.Judged.Says+", "+string(p.Judged.Verdict))
		}
		for _, d := range p.Without {
			row(w, "not beside it", d)
		}
	}
	row(w, "says", v.Says)
	row(w, "page", v.Page)
	row(w, "", v.Do)
}

func inPercent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
