package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
)

func (a *app) consentCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "consent", Short: "Records of consent: read the feed, take a file, show a person's, let through what is held"})
	c.AddCommand(a.consentImportCmd(), a.consentSyncCmd(), a.consentAcceptCmd(), a.consentShowCmd())
	return c
}

// accepting are the flags of who lets through what is held.
type accepting struct{ why, by string }

func (x *accepting) flags(c *cobra.Command) {
	c.Flags().StringVar(&x.why, "why", "", "reason, for the record")
	c.Flags().StringVar(&x.by, "by", "", "who decides (default: the user of this machine)")
}

func (a *app) consentImportCmd() *cobra.Command {
	var x accepting
	var accept bool
	c := &cobra.Command{
		Use:   "import FILE [--accept --why TEXT]",
		Short: "Record the consent of people that a file holds: Parquet, CSV or JSON Lines",
		Long: "Record the consent of people that a file holds: Parquet, CSV (.csv) or JSON Lines (.jsonl), each also .gz, with the columns of docs/contracts.md, Consent\n" +
			"files. Records are added to what is known, and none is replaced: of one person and purpose the one that took effect last counts. Whoever they\n" +
			"deny reads the list not based on profiling at once; what they grant counts from the next run on.\n\n" +
			"A file that has been recorded already is not recorded again: it says when it was.\n\n" +
			"A row that cannot be meant refuses the file, by its number. A file that would deny more people than sources.consent.hold lets, other than by\n" +
			"their own withdrawal, is held: what people withdrew themselves is recorded, and the rest with --accept alone. It exits 3 then.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if accept && strings.TrimSpace(x.why) == "" {
				return usageError{errors.New("--why TEXT: whoever asks why so many were denied wants to know")}
			}
			p, js, err := a.openJobs(cmd)
			if err != nil {
				return err
			}
			defer p.Close()
			b, err := storage.Open(cmd.Context(), "file:"+filepath.Dir(args[0]), storage.Options{})
			if err != nil {
				return usageError{err}
			}
			d := event.DataSet{Bucket: b, Path: filepath.Base(args[0])}
			for _, j := range js {
				if j.Consent != nil {
					d.Columns, d.Zone = j.Consent.Columns, j.Consent.Zone
					break
				}
			}
			var by *jobs.Accepted
			if accept {
				by = &jobs.Accepted{By: whoAsks(x.by), Why: strings.TrimSpace(x.why), At: p.runner.Now().UTC()}
			}
			out, err := p.runner.Consenter(js).As(a.who(), verb(cmd)).Import(cmd.Context(), d, by)
			if err != nil {
				return consentFault(err)
			}
			if err := a.print(out, func(w io.Writer) { printConsented(w, out) }); err != nil || !out.Held {
				return err
			}
			return fmt.Errorf("%w: %d of %d people would be denied without having withdrawn: check the file, or repeat this with --accept --why TEXT", jobs.ErrConsentHeld, out.Hold.Lost, out.Hold.Before)
		},
	}
	c.Flags().BoolVar(&accept, "accept", false, "record it also if it would be held")
	x.flags(c)
	return c
}

// openJobs opens the project and all of its jobs; the caller closes it.
func (a *app) openJobs(cmd *cobra.Command) (*project, []*jobs.Job, error) {
	p, err := a.open(cmd.Context(), true)
	if err != nil {
		return nil, nil, err
	}
	js, err := p.allJobs()
	if err != nil {
		return nil, nil, errors.Join(err, p.Close())
	}
	return p, js, nil
}

// consentFault makes it wrong usage to ask a project for consent that takes none.
func consentFault(err error) error {
	if errors.Is(err, jobs.ErrNoConsent) {
		return usageError{err}
	}
	return err
}

func printConsented(w io.Writer, out *jobs.Consented) {
	if was := out.Already; was != nil {
		row(w, "recorded already", fmt.Sprintf("on %s, %s of %s", clock(was.At), count(was.Records, "record"), count(was.Subjects, "subject")), was.By)
		return
	}
	row(w, "recorded", fmt.Sprintf("%s of %s", count(out.Records, "record"), count(out.Subjects, "subject")), out.Effective.Format(time.RFC3339))
	if out.Unknown > 0 {
		row(w, "unknown", count(out.Unknown, "person")+" of whom nothing was known: what they say holds if they come; if they should be known, is that how the events write their ids?")
	}
	for _, x := range []struct {
		n          int
		what, says string
	}{
		{out.Unused, "not used", "records are for purposes that no job has: check their names"},
		{out.Withheld, "withheld", "sources held the person's own id, which may stand in no object"},
		{out.Erased, "left out", "records are older than their subject's erasure"},
	} {
		if x.n > 0 {
			row(w, x.what, fmt.Sprintf("%d %s", x.n, x.says))
		}
	}
	if out.Denied > 0 {
		row(w, "denied", fmt.Sprintf("%s not based on profiling from now on", count(out.Denied, "list")))
	}
	if out.Held {
		row(w, "held", "what people withdrew themselves is recorded, and nothing else")
	}
	if out.Accepted != nil {
		row(w, "accepted", "by "+out.Accepted.By+": "+out.Accepted.Why)
	}
	row(w, "grants", "count from the next run on")
}

func (a *app) consentSyncCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "sync",
		Short: "Read the feed of consent now, and deny whom it denies, without a run",
		Long: "Read the files of sources.consent and what has come in one by one, record their snapshot, and deny at once whom they deny: these read the list not\n" +
			"based on profiling. What is granted counts from the next run on. A feed that would deny too many is held, and this exits 3: rapport consent\n" +
			"accept lets it through. serve does this by itself where sources.consent.sync says when.",
		Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, js, err := a.openJobs(cmd)
			if err != nil {
				return err
			}
			defer p.Close()
			out, err := p.runner.SyncConsent(cmd.Context(), js, jobs.Caller{Who: a.who(), Verb: verb(cmd)})
			return a.synced(p, out, err)
		},
	}
}

func (a *app) consentAcceptCmd() *cobra.Command {
	var x accepting
	c := &cobra.Command{
		Use:   "accept --why TEXT",
		Short: "Let the feed of consent through that is held",
		Long: "Let the feed of consent through that is held, as its files were when it was: whom they deny is denied at once. Who has let it through, and why,\n" +
			"stands beside its snapshot.",
		Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if x.why = strings.TrimSpace(x.why); x.why == "" {
				return usageError{errors.New("--why TEXT: whoever asks why so many were denied wants to know")}
			}
			p, js, err := a.openJobs(cmd)
			if err != nil {
				return err
			}
			defer p.Close()
			out, err := p.runner.AcceptConsent(cmd.Context(), js, jobs.Caller{Who: a.who(), Verb: verb(cmd)}, whoAsks(x.by), x.why)
			return a.synced(p, out, err)
		},
	}
	x.flags(c)
	return c
}

// synced prints what came of reading consent.
func (a *app) synced(p *project, out *jobs.ConsentSynced, err error) error {
	p.progress.done()
	if err != nil {
		return consentFault(err)
	}
	err = a.print(out, func(w io.Writer) {
		if out.Snapshot > 0 {
			is := "as it was"
			if out.New {
				is = "new"
			}
			row(w, "feed", fmt.Sprintf("%s, snapshot %d, %s", count(int(out.Records), "record"), out.Snapshot, is))
		}
		row(w, "one by one", count(out.Said, "record"))
		row(w, "denied", fmt.Sprintf("%s not based on profiling from now on", count(out.Denied, "list")))
		if out.Accepted != nil {
			row(w, "accepted", "by "+out.Accepted.By+": "+out.Accepted.Why)
		}
		for _, x := range out.Flags {
			kind, says := flagKind(x)
			row(w, kind, says)
		}
	})
	if err == nil && out.Held() {
		err = fmt.Errorf("%w: its feed would deny %d of %d people who have not withdrawn: rapport consent accept --why TEXT lets it through", jobs.ErrConsentHeld, out.Hold.Lost, out.Hold.Before)
	}
	return err
}

// subjectConsent is what is known of one subject's consent. Subject is the online key: raw ids are not repeated.
type subjectConsent struct {
	Subject string `json:"subject"`
	jobs.ConsentShown
}

func (a *app) consentShowCmd() *cobra.Command {
	var ids string
	c := &cobra.Command{
		Use: "show --ids FILE|-", Short: "The records of subjects, and which of them counts now and why", Args: usage(noArgs),
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
			found, err := p.runner.ShowConsent(cmd.Context(), j, raw)
			if err != nil {
				return consentFault(err)
			}
			out := []subjectConsent{}
			for i, s := range found {
				out = append(out, subjectConsent{event.OnlineKey(p.Keys.ServingKey(), raw[i]), s})
			}
			return a.print(out, func(w io.Writer) {
				for _, s := range out {
					printConsent(w, s)
				}
			})
		},
	}
	c.Flags().StringVar(&ids, "ids", "", "file of raw ids, one a line, or - for standard input")
	return c
}

func printConsent(w io.Writer, s subjectConsent) {
	row(w, "subject "+s.Subject[:12], map[bool]string{true: "known", false: "not known"}[s.Known])
	for _, p := range s.Purposes {
		says := "not allowed: " + p.Why
		if p.Allowed {
			says = "allowed: " + p.Why
			if p.From != nil {
				says += ", from " + clock(*p.From)
			}
			if p.Until != nil {
				says += ", until " + clock(*p.Until)
			}
		}
		row(w, "  "+p.Purpose, says)
	}
	if len(s.Records) == 0 {
		return
	}
	row(w, "  PURPOSE", "STATE", "EFFECTIVE", "RECORDED", "EXPIRES", "SOURCE", "NOW")
	for _, r := range s.Records {
		expires, now, source := "never", "", r.Source
		if r.Expires != nil {
			expires = clock(*r.Expires)
		}
		if r.Holds {
			now = "counts"
		}
		if r.Alone {
			source += " (by itself)"
		}
		row(w, "  "+r.Purpose, r.State, clock(r.Effective), clock(r.Recorded), expires, source, now)
	}
}
