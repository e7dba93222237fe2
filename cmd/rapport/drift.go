package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

func (a *app) driftCmd() *cobra.Command {
	var at string
	c := &cobra.Command{
		Use:   "drift JOB [--at T]",
		Short: "Check the inputs of one interval for drift",
		Long: "Check the inputs of one interval, the last closed one or with --at T the last that ends at or before T, as a run does before it trains: it is\n" +
			"a run that goes so far, and is recorded as one. A job that watches another (drift.of) starts that one, if its inputs have drifted and the\n" +
			"cool-down has passed. Drift that blocks exits 3.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.errand(cmd.Context(), args[0], at, "drift")
			if err != nil {
				return err
			}
			defer e.Close()
			res, err := a.perform(cmd.Context(), e)
			if res != nil {
				if perr := a.print(res, func(w io.Writer) { printDrift(w, res) }); perr != nil {
					return errors.Join(err, perr)
				}
			}
			return err
		},
	}
	c.Flags().StringVar(&at, "at", "", "a day or an RFC 3339 time; empty: now")
	c.AddCommand(a.driftAckCmd())
	return c
}

// printDrift prints what the check has found: what was called first, then the rest in short.
func printDrift(w io.Writer, r *jobs.Result) {
	row(w, "run", r.RunID)
	row(w, "interval", r.Interval)
	row(w, "status", r.Status)
	d := r.Drift
	if d == nil {
		return
	}
	if d.Says != "" {
		row(w, "drift", d.Says)
	}
	if ref := d.Reference; ref != nil {
		with := fmt.Sprintf("%s: %s", ref.Kind, count(len(ref.Intervals), "interval"))
		if n := len(ref.Intervals); n > 0 {
			with += fmt.Sprintf(", %s to %s", ref.Intervals[0], ref.Intervals[n-1])
		}
		if ref.Weekday != "" {
			with += ", each a " + ref.Weekday
		}
		row(w, "reference", with)
		for _, x := range ref.LeftOut {
			row(w, "left out", strings.TrimSpace(x.Interval+" "+x.Column)+": "+x.Why)
		}
		for _, v := range ref.Views {
			if v.Says != "" {
				row(w, "view", v.View+": "+v.Says)
			}
		}
	}
	if d.Expected != "" {
		row(w, "calendar", d.Expected)
	}
	for _, c := range d.Columns {
		if c.Verdict == drift.Drifted {
			cause := ""
			if c.Cause != nil {
				cause = string(c.Cause.Kind)
			}
			row(w, driftMarks[c.Does], c.Column, cause, c.Says)
		}
	}
	quiet := map[drift.Verdict][]string{}
	for _, c := range d.Columns {
		if c.Verdict != drift.Drifted {
			quiet[c.Verdict] = append(quiet[c.Verdict], c.Column)
		}
	}
	for _, v := range []drift.Verdict{drift.Stable, drift.Insufficient} {
		if len(quiet[v]) > 0 {
			row(w, string(v), strings.Join(quiet[v], ", "))
		}
	}
	if d.Retrain != nil {
		row(w, "retrain", d.Retrain)
	}
}

// driftMarks name what a drifted column does to a run.
var driftMarks = map[eval.Effect]string{eval.Refuses: "REFUSES", eval.Warns: "warns", eval.NoEffect: "known"}

// ackResult is what drift ack prints with -o json.
type ackResult struct {
	Acks []jobs.Ack `json:"acks"`
}

func (a *app) driftAckCmd() *cobra.Command {
	var until, why, by, cause string
	var columns []string
	c := &cobra.Command{
		Use:   "ack RUN --until T --why TEXT [--column NAME,… | --cause CAUSE]",
		Short: "Silence one cause of drift that a run has called, until a time",
		Long: "Record that somebody knows why a column has drifted: until a time, the same column with the same cause neither warns nor refuses, in this interval and\n" +
			"those after it; another cause does. Where a run has called several, --column names those that are known, or --cause what they are put down to: " + strings.Join(causeNames(), ", ") + ".\n" +
			"Where inputs alone were checked, what the next run trains is judged still: drift of its scores or of the live\n" +
			"version's quality is known only then, and may refuse it; it is acknowledged in its turn. The report says who knows it and why. No budget is silenced. RUN is a run's id, or latest.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why = strings.TrimSpace(why); why == "" {
				return usageError{errors.New("--why TEXT: whoever reads the report wants to know")}
			}
			if cause != "" && !slices.Contains(causeNames(), cause) {
				return usageError{fmt.Errorf("--cause %q: there are %s", cause, strings.Join(causeNames(), ", "))}
			}
			if until == "" {
				return usageError{errors.New("--until T: no drift is silenced for ever; a day, as 2026-03-01, or RFC 3339")}
			}
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			run, err := ledger.Ledger{Bucket: p.Bucket}.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			j, err := p.Job(run.Job)
			if err != nil {
				return usageError{err}
			}
			end, err := instant(until, j.Every.Location())
			if err != nil {
				return usageError{err}
			}
			acks, err := p.runner.Acknowledge(cmd.Context(), run, jobs.Known{Columns: columns, Cause: drift.CauseKind(cause)}, end, whoAsks(by), why)
			if errors.Is(err, jobs.ErrWhichDrift) {
				return usageError{fmt.Errorf("%w: --column NAME silences one, --cause CAUSE all that are put down to the same", err)}
			}
			if err != nil {
				return err
			}
			return a.print(ackResult{acks}, func(w io.Writer) {
				for _, x := range acks {
					row(w, "silenced", x.Column, string(x.Cause), x)
				}
			})
		},
	}
	c.Flags().StringVar(&until, "until", "", "a day or an RFC 3339 time: intervals that end later are told of again")
	c.Flags().StringVar(&why, "why", "", "what is known of it, for the record")
	c.Flags().StringVar(&by, "by", "", "who knows it (default: the user of this machine)")
	c.Flags().StringSliceVar(&columns, "column", nil, "the columns that are meant; may be left out where the run has called one")
	c.Flags().StringVar(&cause, "cause", "", "what the columns that are meant are put down to: "+strings.Join(causeNames(), ", "))
	return c
}

// causeNames are what a drift is put down to.
func causeNames() []string {
	return []string{string(drift.UpstreamBreak), string(drift.ConsentShift), string(drift.RetentionCut), string(drift.PopulationShift), string(drift.BehaviourShift), string(drift.UnclearCause)}
}
