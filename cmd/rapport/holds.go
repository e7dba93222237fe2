package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) holdsCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "holds", Short: "Legal holds: what neither retention nor an erasure removes, for a reason and until a day"})
	c.AddCommand(a.holdsAddCmd(), a.holdsListCmd(), a.holdsReleaseCmd())
	return c
}

func (a *app) holdsAddCmd() *cobra.Command {
	var h jobs.Hold
	var from, to, until string
	c := &cobra.Command{
		Use:   "add --class CLASS [--job JOB] [--from DAY] [--to DAY] --reason TEXT --until DAY",
		Short: "Keep a class of data from being removed until a day",
		Long: "Keep a class of data (" + strings.Join(policy.Classes, ", ") + ") from being removed: neither rapport purge nor an erasure takes what is held. Nobody\n" +
			"uses it meanwhile: what is past its retention, and what is of people who are denied, is read by no step. Days begin at 00:00 UTC; --to is the first\n" +
			"day that is not held, and --until the day on which the hold has ended, by itself.",
		Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, x := range []struct {
				flag, text string
				to         *time.Time
			}{{"--from", from, &h.From}, {"--to", to, &h.To}, {"--until", until, &h.Until}} {
				if x.text == "" {
					continue
				}
				t, err := instant(x.text, time.UTC)
				if err != nil {
					return usageError{fmt.Errorf("%s: %w", x.flag, err)}
				}
				*x.to = t
			}
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			if h.Job != "" {
				if _, err := p.Job(h.Job); err != nil {
					return usageError{err}
				}
			}
			h.By = a.who()
			made, err := p.runner.AddHold(cmd.Context(), h)
			if err != nil {
				return err
			}
			return a.printHolds(p, *made)
		},
	}
	c.Flags().StringVar(&h.Class, "class", "", "what is held: "+strings.Join(policy.Classes, ", "))
	c.Flags().StringVar(&h.Job, "job", "", "only what this job reads (default: of all jobs)")
	c.Flags().StringVar(&from, "from", "", "only of this day and later, by event time or the interval that something was made for")
	c.Flags().StringVar(&to, "to", "", "only of before this day")
	c.Flags().StringVar(&h.Reason, "reason", "", "why, in words that name no person")
	c.Flags().StringVar(&until, "until", "", "the day on which it has ended")
	return c
}

// holdLine is a hold as the verbs print it.
type holdLine struct {
	jobs.Hold
	State string `json:"state"` // in force, released or ended
}

func (a *app) printHolds(p *project, all ...jobs.Hold) error {
	lines := []holdLine{}
	for _, h := range all {
		lines = append(lines, holdLine{h, h.State(p.runner.Wall())})
	}
	return a.print(lines, func(w io.Writer) {
		row(w, "NUMBER", "STATE", "CLASS", "JOB", "FROM", "TO", "UNTIL", "BY", "REASON")
		for _, l := range lines {
			state := l.State
			if l.Released != nil {
				state += " " + clock(l.Released.At) + ": " + l.Released.Why
			}
			job := l.Job
			if job == "" {
				job = "all"
			}
			row(w, l.Number, state, l.Class, job, clock(l.From), clock(l.To), clock(l.Until), l.By, l.Reason)
		}
	})
}

func (a *app) holdsListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All legal holds: in force, released, ended", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			all, err := p.runner.Holds(cmd.Context())
			if err != nil {
				return err
			}
			return a.printHolds(p, all...)
		},
	}
}

func (a *app) holdsReleaseCmd() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "release NUMBER --why TEXT", Short: "End a legal hold before its day", Args: usage(cobra.ExactArgs(1)),
		Long: "End a legal hold before its day. What it held goes with the next purge, if it is past its retention or of people who are erased.",
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.Atoi(args[0])
			if err != nil || number < 1 {
				return usageError{errors.New("holds release: want the number of a hold, as rapport holds list shows it")}
			}
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			h, err := p.runner.ReleaseHold(cmd.Context(), number, why, a.who())
			if err != nil {
				return err
			}
			return a.printHolds(p, *h)
		},
	}
	c.Flags().StringVar(&why, "why", "", "for what reason")
	return c
}
