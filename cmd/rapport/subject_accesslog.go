package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
)

// maxAccessLines is how many lines access-log prints without --last.
const maxAccessLines = 100

// accessLines are the newest lines of the access log, and what is known of all.
type accessLines struct {
	Lines []jobs.Access `json:"lines"`
	jobs.AccessLog
}

func (a *app) accessLogCmd() *cobra.Command {
	var verify bool
	var last int
	var head string
	c := &cobra.Command{
		Use: "access-log [--last N] [--verify [--head DIGEST]]", Short: "Which verbs touched people's records, by whom and when; whether the chain holds", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if last < 1 || head != "" && !verify {
				return usageError{errors.New("access-log: --last must be at least 1, and --head goes with --verify")}
			}
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			var lines []jobs.Access // the newest ones, and for a while as many before
			seen := false
			log, err := p.runner.ReadAccessLog(cmd.Context(), func(x jobs.Access) {
				seen = seen || x.Before == head
				if lines = append(lines, x); len(lines) >= 2*last {
					lines = append(lines[:0], lines[len(lines)-last:]...)
				}
			})
			if err == nil && head != "" && !seen && log.Head != head {
				err = fmt.Errorf("%w: no line has the digest %.12s… of --head: it was changed, or cut off", jobs.ErrChain, head)
			}
			out := accessLines{[]jobs.Access{}, log}
			if !verify {
				out.Lines = append(out.Lines, lines[max(0, len(lines)-last):]...)
			}
			return errors.Join(a.print(out, func(w io.Writer) {
				for _, x := range out.Lines {
					row(w, x.Seq, clock(x.At), x.Who, x.Verb, count(x.People, "subject"))
				}
				row(w, "lines", log.Count)
				row(w, "head", log.Head)
			}), err)
		},
	}
	c.Flags().BoolVar(&verify, "verify", false, "only check that no line is missing or changed; exit 1 and the place if one is")
	c.Flags().StringVar(&head, "head", "", "a digest that --verify printed before and that was written down elsewhere: the log must still pass through it")
	c.Flags().IntVar(&last, "last", maxAccessLines, "how many lines, the newest")
	return c
}
