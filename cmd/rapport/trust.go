package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/eval"
)

func (a *app) trustCmd() *cobra.Command {
	var weeks int
	var by string
	c := &cobra.Command{
		Use:   "trust JOB [--weeks 12] [--by COHORT]",
		Short: "Show how people's trust and the service have grown, week by week",
		Long: "Show what the job's runs have counted of each ISO week: whose consent held, began and ended, objections and opt-outs, complaints, erasures and how little\n" +
			"is read, beside active and new people, events and conversions. A dash is a gap: nobody could count it. What is withheld is of fewer than 11 people, or\n" +
			"would give such a figure away. It reads what has been counted; jobs.NAME.trust says what runs count.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if weeks < 1 || weeks > 520 {
				return usageError{fmt.Errorf("--weeks %d: want 1 to 520", weeks)}
			}
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			j, err := p.Job(args[0])
			if err != nil {
				return usageError{err}
			}
			t, err := p.runner.Trust(cmd.Context(), j, p.runner.Now(), weeks)
			if err != nil {
				return err
			}
			if len(t.Weeks) == 0 {
				hint := "runs count each week that has ended, once its days have been ingested"
				if j.Trust == nil {
					hint = fmt.Sprintf("jobs.%s.trust: {} lets its runs count them", j.Name)
				}
				return notFoundError{fmt.Errorf("no week of %s has been counted: %s", j.Name, hint)}
			}
			levels := []string{""}
			if by != "" {
				if levels = t.Levels(by); len(levels) == 0 {
					return notFoundError{fmt.Errorf("no week has been counted by cohort %q: those of evaluate.cohorts that are columns of sources.cohorts are", by)}
				}
			}
			return a.print(t, func(w io.Writer) { printTrust(w, t, by, levels) })
		},
	}
	c.Flags().IntVar(&weeks, "weeks", 12, "how many")
	c.Flags().StringVar(&by, "by", "", "a cohort, level by level; left out: everybody")
	return c
}

// printTrust prints a line a metric and a column a week.
func printTrust(w io.Writer, t *eval.TrustFacts, by string, levels []string) {
	head := []any{"week"}
	days := []any{"days"}
	for _, x := range t.Weeks {
		head, days = append(head, x.Week), append(days, fmt.Sprintf("%d/%d", x.Days, x.Of))
	}
	row(w, head...)
	row(w, days...)
	for _, level := range levels {
		growth := false
		for i, l := range t.Lines(by, level) {
			if i == 0 && by != "" {
				row(w)
				row(w, by+" "+level)
			}
			if l.Growth && !growth {
				row(w)
				growth = true
			}
			name := l.Name()
			if l.Metric == eval.TrustConsent { // of whom: who was never asked is in neither number
				name += " (of people on record)"
			}
			cells := []any{name}
			for _, f := range l.Figures {
				cells = append(cells, f.Print())
			}
			row(w, cells...)
		}
	}
	if len(t.Notes) > 0 {
		row(w)
	}
	for _, n := range t.Notes {
		row(w, "note: "+n)
	}
}
