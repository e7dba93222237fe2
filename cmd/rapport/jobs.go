package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) jobsCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "jobs", Short: "Stop a job from being started by its schedule, and let it go on"})
	var why, by string
	pause := &cobra.Command{
		Use:   "pause JOB --why TEXT",
		Short: "Start no run of a job by schedule any more, on any server",
		Long: "Start no run of a job by schedule any more: within ten seconds, on every server. What runs goes on (rapport runs cancel ends it),\n" +
			"and rapport run still works.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why = strings.TrimSpace(why); why == "" {
				return usageError{errors.New("--why TEXT: whoever finds the job paused wants to know")}
			}
			return a.setPaused(cmd, args[0], by, true, why)
		},
	}
	resume := &cobra.Command{
		Use:   "resume JOB",
		Short: "Let a paused job be started by its schedule again",
		Long:  "Let a paused job be started by its schedule again. Nothing that fell due meanwhile starts, but for what lies within the job's catch_up.",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.setPaused(cmd, args[0], by, false, "")
		},
	}
	pause.Flags().StringVar(&why, "why", "", "reason, for the record")
	for _, v := range []*cobra.Command{pause, resume} {
		v.Flags().StringVar(&by, "by", "", "who decides (default: the user of this machine)")
	}
	c.AddCommand(pause, resume)
	return c
}

// notePause tells who runs a paused job by hand that it is paused.
func (e *errand) notePause(ctx context.Context, w io.Writer) error {
	p, err := e.runner.Paused(ctx, e.job.Name)
	if err == nil && p != nil {
		fmt.Fprintf(w, "rapport: note: %s is paused %s; this run goes on, for you asked for it\n", e.job.Name, p)
	}
	return err
}

// pauseResult is what jobs pause and jobs resume print with -o json.
type pauseResult struct {
	Job     string      `json:"job"`
	Paused  bool        `json:"paused"`
	Changed bool        `json:"changed"`
	Pause   *jobs.Pause `json:"pause,omitempty"` // that holds, or that has ended
}

func (a *app) setPaused(cmd *cobra.Command, name, by string, paused bool, why string) error {
	p, err := a.open(cmd.Context(), false)
	if err != nil {
		return err
	}
	defer p.Close()
	if _, err := p.Job(name); err != nil {
		return usageError{err}
	}
	by = whoAsks(by)
	out := pauseResult{Job: name, Paused: paused}
	var pause jobs.Pause
	if paused {
		pause, out.Changed, err = p.runner.Pause(cmd.Context(), name, by, why)
	} else {
		pause, out.Changed, err = p.runner.Resume(cmd.Context(), name, by)
	}
	if err != nil {
		return err
	}
	if paused || out.Changed {
		out.Pause = &pause
	}
	return a.print(out, func(w io.Writer) {
		switch {
		case paused && out.Changed:
			row(w, "paused", pause)
		case paused:
			row(w, "was paused before", pause)
		case out.Changed:
			row(w, "resumed", fmt.Sprintf("it was paused %s", pause))
		default:
			row(w, "not paused", name)
		}
	})
}
