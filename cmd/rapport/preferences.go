package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
)

// subjectStanding is how it stands with one subject. Subject is the online key: raw ids are not repeated.
type subjectStanding struct {
	Subject string `json:"subject"`
	jobs.Standing
}

// subjectDossier is that, and what is held of the subject.
type subjectDossier struct {
	Subject string `json:"subject"`
	*jobs.Dossier
}

func (a *app) subjectStatusCmd() *cobra.Command {
	var ids string
	c := &cobra.Command{
		Use: "status --ids FILE|-", Short: "One person at a glance: profiled or not and why, consent, wishes, what is held, served and asked", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, raw, err := a.openFor(cmd, ids)
			if err != nil {
				return err
			}
			defer p.Close()
			j, err := p.onlineJob(nil)
			if err != nil {
				return err
			}
			out := []subjectDossier{}
			for _, id := range raw {
				d, err := p.runner.Dossier(cmd.Context(), j, id)
				if err != nil {
					return err
				}
				out = append(out, subjectDossier{event.OnlineKey(p.Keys.ServingKey(), id), d})
			}
			return a.print(out, func(w io.Writer) {
				for _, s := range out {
					printStanding(w, s)
				}
			})
		},
	}
	c.Flags().StringVar(&ids, "ids", "", "file of raw ids, one a line, or - for standard input")
	return c
}

func printStanding(w io.Writer, s subjectDossier) {
	says := "profiled"
	switch {
	case !s.Profiled:
		says = "not profiled: " + s.Why
	case s.Wants.Level == string(policy.Broad):
		says = "profiled by kinds of things alone"
	}
	if !s.Known {
		says += ", and not known"
	}
	row(w, "subject "+s.Subject[:12], says)
	if s.Expires != nil {
		row(w, "  until", clock(*s.Expires))
	}
	if s.Sensitive != nil {
		row(w, "  sensitive items", map[bool]string{true: "count, and are shown", false: "neither count nor are shown"}[*s.Sensitive])
	}
	if s.Wants.Since != nil {
		row(w, "  reset", clock(*s.Wants.Since))
	}
	for _, x := range []struct {
		name   string
		values []string
	}{{"exclude", s.Wants.Exclude}, {"thumbs-down", s.Wants.Down}, {"less", s.Wants.Less}} {
		if len(x.values) > 0 {
			row(w, "  "+x.name, strings.Join(x.values, ", "))
		}
	}
	if s.Wants.New {
		row(w, "  prefer", policy.PreferNew)
	}
	for _, item := range slices.Sorted(maps.Keys(s.Wants.Forget)) {
		row(w, "  forget", item, "before "+clock(s.Wants.Forget[item]))
	}
	for _, c := range s.Consent {
		until := ""
		if c.Expires != nil {
			until = "until " + clock(*c.Expires)
		}
		row(w, "  record", c.Purpose+": "+c.State, "from "+clock(c.Effective), until)
	}
	for _, h := range s.Holdings {
		span := ""
		if h.First != nil {
			span = clock(*h.First) + " to " + clock(*h.Last)
		}
		row(w, "  held", h.Store+": "+count(h.Rows, "row"), span)
	}
	list := "no list of their own"
	if l := s.Served.List; l != nil {
		list = fmt.Sprintf("a list of %s, of version %s", count(len(l.Items), "item"), l.Version)
	}
	row(w, "  served", list, count(len(s.Served.Views), "view"))
	for _, q := range s.Requests {
		state := "due " + clock(q.Due)
		if q.Closed != nil {
			state = "closed, " + q.Closed.Outcome
		}
		row(w, "  request", fmt.Sprintf("%d: %s", q.Number, q.Kind), state)
	}
	if s.Erased != nil {
		row(w, "  last erasure", clock(*s.Erased))
	}
	for _, x := range s.Pending {
		row(w, "  pending", x)
	}
}

func (a *app) subjectPreferCmd() *cobra.Command {
	var ids string
	var names []string
	for _, n := range policy.WishNames {
		names = append(names, string(n))
	}
	c := &cobra.Command{
		Use: "prefer PREFERENCE [VALUE] --ids FILE|-", Short: "Record what subjects want of their lists: " + strings.Join(names, ", "),
		Long: "Record what subjects want of their lists, as a row of a preferences file would. level off and pause on hold at once: they read the list not\n" +
			"based on profiling. All else holds from the next generation on, as does taking these two back.\n\n" +
			"  level off|broad|full · pause on|off · reset · exclude|include ATTRIBUTE=LEVEL · less|usual ITEM or ATTRIBUTE=LEVEL\n" +
			"  prefer new|usual · thumbs-down|thumbs-up ITEM · forget ITEM",
		Args: usage(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			w := policy.Wish{Name: policy.WishName(strings.ToLower(args[0]))}
			if len(args) > 1 {
				w.Value = args[1]
			}
			if err := checkWish(w); err != nil {
				return usageError{fmt.Errorf("subject prefer: %w", err)}
			}
			p, raw, err := a.openFor(cmd, ids)
			if err != nil {
				return err
			}
			defer p.Close()
			js, err := p.allJobs()
			if err != nil {
				return err
			}
			out, err := p.runner.Preferrer(js).Prefer(cmd.Context(), raw, []policy.Wish{w})
			if errors.Is(err, jobs.ErrNoPreferences) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			return a.print(out, func(w io.Writer) {
				row(w, "recorded", fmt.Sprintf("%s for %s", count(out.Records, "preference"), count(out.Subjects, "subject")), out.At.Format(time.RFC3339))
				if out.Withheld > 0 {
					row(w, "left out", fmt.Sprintf("%d: the value holds the person's own id, which may stand in no object", out.Withheld))
				}
				if out.Denied > 0 {
					row(w, "in force", fmt.Sprintf("%s not based on profiling from now on", count(out.Denied, "list")))
				} else if out.Records > 0 {
					row(w, "in force", "with the next generation: rapport run JOB, or tonight's")
				}
			})
		},
	}
	c.Flags().StringVar(&ids, "ids", "", "file of raw ids, one a line, or - for standard input")
	return c
}

// checkWish refuses what a file's row would be refused for, and words of level and pause that are none: of a file these are read as the most careful, since
// nobody is there to be asked.
func checkWish(w policy.Wish) error {
	if err := w.Check(); err != nil {
		return err
	}
	want := map[policy.WishName][]string{
		policy.WishLevel: {string(policy.Off), string(policy.Broad), string(policy.Full)}, policy.WishPause: {"on", "off"}, policy.WishReset: {""},
	}
	if words, bounded := want[w.Name]; bounded && !slices.Contains(words, strings.ToLower(w.Value)) {
		if w.Name == policy.WishReset {
			return errors.New("preference reset takes no value")
		}
		return fmt.Errorf("the value of preference %s must be %s", w.Name, strings.Join(words, " or "))
	}
	return nil
}
