package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/online"
)

// The errors that make the verbs of online exit 1.
var (
	errOnlineFaults  = errors.New("the online store is not as it should be")
	errOnlineDiffers = errors.New("the online store differs from what it should hold")
)

func (a *app) onlineCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "online", Short: "The store that serving systems read: fill it, compare it, switch profiling off"})
	c.AddCommand(a.onlineStatusCmd(), a.onlineListCmd(), a.onlineLoadCmd(), a.onlineVerifyCmd(), a.fallbackCmd())
	return c
}

// onlineJob is the job that args name, or the only one.
func (p *project) onlineJob(args []string) (*jobs.Job, error) {
	if len(args) > 0 {
		j, err := p.Job(args[0])
		if err != nil {
			return nil, usageError{err}
		}
		return j, nil
	}
	js, err := p.allJobs()
	if err != nil {
		return nil, err
	}
	// All jobs of a project publish the same alias of the same model: the project file is refused otherwise.
	if len(js) == 0 {
		return nil, usageError{errors.New("the project has no job")}
	}
	return js[0], nil
}

func (a *app) onlineStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "What the online store serves and keeps, and whether that is what should be live; exit 1 if not", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			js, err := p.allJobs()
			if err != nil {
				return err
			}
			s, err := p.runner.OnlineStatus(cmd.Context(), js)
			if err != nil {
				return err
			}
			if err := a.print(s, func(w io.Writer) { printOnline(w, s) }); err != nil {
				return err
			}
			if len(s.Faults) > 0 {
				return errOnlineFaults
			}
			return nil
		},
	}
}

func printOnline(w io.Writer, s *jobs.OnlineStatus) {
	row(w, "store", s.Store)
	if s.Live == nil {
		row(w, "live", "nothing")
	} else {
		row(w, "live", fmt.Sprintf("generation %d, fence %d", s.Live.Generation, s.Live.Fence))
	}
	for _, x := range s.Aliases {
		switch {
		case x.Version == 0:
			row(w, "job "+x.Job, "nothing has been published yet")
		case x.InStep:
			row(w, "job "+x.Job, fmt.Sprintf("%s of %s is version %d, generation %d: in step", x.Alias, x.Model, x.Version, x.Generation))
		default:
			row(w, "job "+x.Job, fmt.Sprintf("%s of %s is version %d, generation %d: not in step", x.Alias, x.Model, x.Version, x.Generation))
		}
	}
	row(w, "fallback", fallbackLine(s.Fallback))
	if f := s.Facts; f != nil {
		row(w, "denied", count(f.Denied, "subject"))
		for _, g := range f.Generations {
			mark := ""
			if g.Live {
				mark = "live"
			}
			row(w, fmt.Sprintf("generation %d", g.Number), fmt.Sprintf("%d of %d rows", g.Held, g.Entries), bytesOf(g.Bytes), fmt.Sprintf("%.12s", g.Digest), mark)
		}
		if x := f.Server; x != nil {
			limit := "no bound"
			if x.MaxMemory > 0 {
				limit = "of " + bytesOf(x.MaxMemory)
			}
			row(w, "server", fmt.Sprintf("Redis %s, %s", x.Version, x.Role), fmt.Sprintf("%s used, %s", bytesOf(x.UsedMemory), limit), "when full: "+x.Eviction, "on disk: "+x.Persistence)
		}
		for _, x := range f.Warnings {
			row(w, "warning", x)
		}
	}
	for _, x := range s.Faults {
		row(w, "FAULT", x)
	}
}

// fallbackLine says in words how the switch stands.
func fallbackLine(f *online.Fallback) string {
	if f == nil {
		return "off"
	}
	line := fmt.Sprintf("ON since %s by %s: every subject reads the list that is not based on profiling", clock(jobs.Began(f)), f.By)
	if f.Why != "" {
		line += " (" + f.Why + ")"
	}
	return line
}

func (a *app) onlineLoadCmd() *cobra.Command {
	return &cobra.Command{
		Use: "load [JOB]", Short: "Fill the store with what should be live, under today's policy, without training", Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			j, err := p.onlineJob(args)
			if err != nil {
				return err
			}
			out, err := p.runner.OnlineLoad(cmd.Context(), j)
			p.progress.done()
			if err != nil {
				return nothingPublished(err)
			}
			return a.print(out, func(w io.Writer) {
				row(w, "job", out.Job)
				row(w, "live", fmt.Sprintf("%s version %d, generation %d, fence %d", out.Model, out.Version, out.Generation, out.Fence))
				row(w, "did", out.Did+": "+out.Why)
				row(w, "digest", out.Digest)
				for _, f := range out.Flags {
					row(w, "flag", f)
				}
			})
		},
	}
}

// nothingPublished makes the error that there is no version to serve one that exits 5.
func nothingPublished(err error) error {
	if errors.Is(err, jobs.ErrNothingPublished) {
		return notFoundError{err}
	}
	return err
}

func (a *app) onlineVerifyCmd() *cobra.Command {
	var sample int
	c := &cobra.Command{
		Use: "verify [JOB] [--sample N]", Short: "Compare what is served with the tables that it was loaded from, and with today's policy; exit 1 if it differs", Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if sample < 0 {
				return usageError{fmt.Errorf("--sample %d: want how many rows of each view, or 0 for all", sample)}
			}
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			j, err := p.onlineJob(args)
			if err != nil {
				return err
			}
			v, err := p.runner.OnlineVerify(cmd.Context(), j, sample)
			p.progress.done()
			if err != nil {
				return nothingPublished(err)
			}
			if err := a.print(v, func(w io.Writer) { printVerified(w, v) }); err != nil {
				return err
			}
			if !v.Same {
				return errOnlineDiffers
			}
			return nil
		},
	}
	c.Flags().IntVar(&sample, "sample", 1000, "about how many rows of each view and lists to look up; 0: all, and the digest of the generation")
	return c
}

func printVerified(w io.Writer, v jobs.OnlineVerified) {
	row(w, "live", fmt.Sprintf("%s version %d, generation %d", v.Model, v.Version, v.Generation))
	if v.All && v.Same {
		row(w, "digest", v.Digest, "of what stands there")
	} else {
		row(w, "digest", v.Digest, "as recorded")
	}
	for _, name := range slices.Sorted(maps.Keys(v.Views)) {
		row(w, "view "+name, count(v.Views[name], "row")+" compared")
	}
	if v.Newer > 0 {
		row(w, "newer", fmt.Sprintf("%s of the interval, made since under other decisions: the next publish loads them", count(v.Newer, "build")))
	}
	row(w, "lists", fmt.Sprintf("%d looked at", v.Lists))
	if v.Withheld > 0 {
		row(w, "withheld", count(v.Withheld, "lookup")+": denied, or the fallback is on")
	}
	row(w, "denials", fmt.Sprintf("%d looked for", v.Denials))
	for _, x := range v.Differs {
		row(w, "DIFFERS", x)
	}
	if v.Same {
		row(w, "outcome", "same")
	}
}

func (a *app) fallbackCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "fallback", Short: "Serve everybody the list that is not based on profiling, within a second, or end that"})
	var why, by string
	change := func(use, short string, on bool) *cobra.Command {
		c := &cobra.Command{
			Use: use, Short: short, Args: usage(noArgs),
			RunE: func(cmd *cobra.Command, _ []string) error {
				if on && strings.TrimSpace(why) == "" {
					return usageError{errors.New("online fallback on: say why, with --why")}
				}
				by = whoAsks(by)
				p, err := a.open(cmd.Context(), false)
				if err != nil {
					return err
				}
				defer p.Close()
				f, err := p.runner.SetFallback(cmd.Context(), on, by, why)
				if err != nil {
					return err
				}
				out := struct {
					On       bool             `json:"on"`
					Fallback *online.Fallback `json:"fallback,omitempty"`
				}{f != nil, f}
				return a.print(out, func(w io.Writer) { row(w, "fallback", fallbackLine(f)) })
			},
		}
		if on {
			c.Flags().StringVar(&why, "why", "", "the reason, which status shows")
			c.Flags().StringVar(&by, "by", "", "who asks for it (default: the user)")
		}
		return c
	}
	c.AddCommand(change("on --why TEXT", "Switch everything that is based on profiling off", true), change("off", "Serve personal lists again", false))
	return c
}
