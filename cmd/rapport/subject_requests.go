package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) subjectRequestsCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "requests", Short: "The register of what people asked for: due in 30 days"})
	c.AddCommand(a.requestsOpenCmd(), a.requestsListCmd(), a.requestsCloseCmd(), a.requestsExtendCmd())
	return c
}

func (a *app) requestsOpenCmd() *cobra.Command {
	var ids, received string
	var kinds []string
	for _, k := range jobs.RequestKinds {
		kinds = append(kinds, string(k))
	}
	c := &cobra.Command{
		Use: "open " + strings.Join(kinds, "|") + " --ids FILE|-", Short: "Write down that people asked for something", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			at := a.wall()
			if received != "" {
				var err error
				if at, err = instant(received, time.UTC); err != nil {
					return usageError{fmt.Errorf("--received: %w", err)}
				}
			}
			if !slices.Contains(kinds, args[0]) {
				return usageError{fmt.Errorf("subject requests open: want one of %s", strings.Join(kinds, ", "))}
			}
			p, raw, err := a.openFor(cmd, ids)
			if err != nil {
				return err
			}
			defer p.Close()
			q, err := p.runner.OpenRequest(cmd.Context(), jobs.RequestKind(args[0]), raw, at, a.who())
			if err != nil {
				return err
			}
			return a.printRequests(q)
		},
	}
	c.Flags().StringVar(&ids, "ids", "", "file of raw ids, one a line, or - for standard input")
	c.Flags().StringVar(&received, "received", "", "when they asked, as 2026-03-01 (default: now)")
	return c
}

// requestLine is a request as the verbs print it.
type requestLine struct {
	*jobs.Request
	State string `json:"state"` // open, late or closed
}

func (a *app) requestLines(all []*jobs.Request) []requestLine {
	out := []requestLine{}
	for _, q := range all {
		l := requestLine{q, "open"}
		switch {
		case q.Closed != nil:
			l.State = "closed"
		case q.Late(a.wall()):
			l.State = "late"
		}
		out = append(out, l)
	}
	return out
}

func (a *app) printRequests(all ...*jobs.Request) error {
	lines := a.requestLines(all)
	return a.print(lines, func(w io.Writer) {
		row(w, "number", "kind", "subjects", "received", "due", "state")
		for _, l := range lines {
			state := l.State
			if l.Closed != nil {
				state += ", " + l.Closed.Outcome
			} else if l.Extended != nil {
				state += ", extended"
			}
			row(w, l.Number, l.Kind, len(l.Subjects), l.Received.Format(time.DateOnly), l.Due.Format(time.DateOnly), state)
		}
	})
}

func (a *app) requestsListCmd() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "list [--all]", Short: "What is open, the soonest due first", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			found, err := p.runner.Requests(cmd.Context())
			if err != nil {
				return err
			}
			var out []*jobs.Request
			for i := range found {
				if all || found[i].Closed == nil {
					out = append(out, &found[i])
				}
			}
			slices.SortStableFunc(out, func(x, y *jobs.Request) int { return x.Due.Compare(y.Due) })
			return a.printRequests(out...)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "closed ones as well")
	return c
}

// changeRequest makes a verb that changes one request by its number.
func (a *app) changeRequest(c *cobra.Command, change func(cmd *cobra.Command, p *project, number int) (*jobs.Request, error)) *cobra.Command {
	c.Args = usage(cobra.ExactArgs(1))
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 {
			return usageError{fmt.Errorf("%s: want the number of a request, as rapport subject requests list has it", cmd.CommandPath())}
		}
		p, err := a.open(cmd.Context(), true)
		if err != nil {
			return err
		}
		defer p.Close()
		if err := a.logAccess(cmd, p, nil); err != nil {
			return err
		}
		q, err := change(cmd, p, n)
		if err != nil {
			return err
		}
		return a.printRequests(q)
	}
	return c
}

func (a *app) requestsCloseCmd() *cobra.Command {
	var outcome, why string
	c := a.changeRequest(&cobra.Command{Use: "close NUMBER --outcome " + strings.Join(jobs.Outcomes, "|") + " [--why TEXT]", Short: "Say how a request ended"},
		func(cmd *cobra.Command, p *project, n int) (*jobs.Request, error) {
			return p.runner.CloseRequest(cmd.Context(), n, outcome, why, a.who())
		})
	c.Flags().StringVar(&outcome, "outcome", jobs.OutcomeDone, strings.Join(jobs.Outcomes, ", "))
	c.Flags().StringVar(&why, "why", "", "the reason, which names nobody")
	return c
}

func (a *app) requestsExtendCmd() *cobra.Command {
	var why string
	c := a.changeRequest(&cobra.Command{Use: "extend NUMBER --why TEXT", Short: "Give a request 60 days more, once, before it is late"},
		func(cmd *cobra.Command, p *project, n int) (*jobs.Request, error) {
			return p.runner.ExtendRequest(cmd.Context(), n, why, a.who())
		})
	c.Flags().StringVar(&why, "why", "", "the reason, which the person is told, and which names nobody")
	return c
}

// printDue is the line of status that tells of the register.
func printDue(w io.Writer, d jobs.RequestDue) {
	if d.Open == 0 {
		return
	}
	if d.Late > 0 {
		row(w, "requests", fmt.Sprintf("LATE: %d since %s: rapport subject requests list", d.Late, clock(*d.Since)))
	}
	text := fmt.Sprintf("%d open", d.Open)
	if d.Next != nil {
		text += ", the next due " + clock(*d.Next)
	}
	row(w, "requests", text)
}
