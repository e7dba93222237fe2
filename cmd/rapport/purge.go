package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) purgeCmd() *cobra.Command {
	var dry, list bool
	var key, why, contact string
	c := &cobra.Command{
		Use:   "purge [--dry-run] [--list] | --key ID (--why TEXT | --dry-run)",
		Short: "Remove what is older than every purpose that reads it allows, and write down what went",
		Long: "Remove, for all jobs and class by class, what is older than every purpose that reads it allows (purposes.NAME.keep), by event time. A table that\n" +
			"several purposes or jobs read is kept as long as the longest of them says. What is live, pinned or kept for a rollback stays, and so does what a\n" +
			"legal hold holds (rapport holds). What goes is written down first, in policy/purges/; a purge that was interrupted is finished by the next one.\n" +
			"With retention.schedule in the project file, rapport serve does the same.\n\n" +
			"With --key, a pseudonym key whose secret is lost is given up, and whoever it alone recognized is removed from every store: nothing that they ask\n" +
			"for could be applied to what is held of them.",
		Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list && (dry || key != "") {
				return usageError{errors.New("purge: --list tells what has gone: alone")}
			}
			if list {
				return a.listPurges(cmd)
			}
			if key != "" || why != "" || contact != "" {
				if key != "" && dry {
					return a.previewLostKey(cmd, key)
				}
				if key == "" || why == "" {
					return usageError{errors.New("purge: --key ID and --why TEXT go together: which key is lost, and what has become of it")}
				}
				return a.purgeKey(cmd, key, why, contact)
			}
			p, err := a.open(cmd.Context(), !dry)
			if err != nil {
				return err
			}
			defer p.Close()
			js, err := p.allJobs()
			if err != nil {
				return err
			}
			out, err := p.runner.Purge(cmd.Context(), js, a.who(), dry)
			p.progress.done()
			if err != nil {
				return err
			}
			return a.print(out, func(w io.Writer) { printPurged(w, out) })
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would go, what would stay, and why")
	c.Flags().BoolVar(&list, "list", false, "the journal: what has gone so far")
	c.Flags().StringVar(&key, "key", "", "the id of a pseudonym key whose secret nobody has any more")
	c.Flags().StringVar(&why, "why", "", "with --key: what has become of the secret")
	c.Flags().StringVar(&contact, "contact", "", "with --key: whom the receipt names for questions")
	return c
}

func printPurged(w io.Writer, out *jobs.Purged) {
	for _, n := range out.Resumed {
		row(w, "finished", fmt.Sprintf("purge %d, which had been interrupted", n))
	}
	for _, key := range out.Receipts {
		why := "an erasure that had been interrupted"
		if strings.HasSuffix(key, "-held.json") {
			why = "an erasure of which a legal hold had kept rows"
		}
		row(w, "finished", why+"; receipt "+key)
	}
	if out.Begun > 0 {
		says := " not finished: another process is at it"
		if out.DryRun {
			says = " not finished: rapport purge finishes it, unless another process is at it"
		}
		row(w, "begun", count(out.Begun, "erasure")+says)
	}
	if out.Waiting > 0 {
		row(w, "waits", count(out.Waiting, "erasure")+" of which legal holds keep rows")
	}
	for _, h := range out.Ended {
		row(w, "hold ended", fmt.Sprintf("%d, %s", h.Number, clock(h.Ended())))
	}
	if out.Purge.Number > 0 {
		row(w, "purge", out.Purge.Number)
	}
	printPurge(w, &out.Purge, out.DryRun)
	if out.Nothing {
		row(w, "nothing to do", "all that is kept may be kept")
	}
}

// printPurge prints an entry of the journal.
func printPurge(w io.Writer, p *jobs.Purge, dry bool) {
	for _, c := range p.Classes {
		until := "is kept for ever"
		if c.Before != nil {
			until = fmt.Sprintf("is kept for %s, from %s", c.Keep, clock(*c.Before))
		}
		row(w, "class "+c.Class, "job "+c.Job, "purpose "+c.Purpose, until)
	}
	went := "went"
	if dry {
		went = "would go"
	}
	for _, g := range p.Goes {
		row(w, went, g.Store, fmt.Sprintf("%d of %s to %s", g.Tables, g.From.Format(time.DateOnly), g.To.Format(time.DateOnly)), fmt.Sprintf("%s, %s, %s", count(g.Rows, "row"), count(g.Files, "file"), bytesOf(g.Bytes)))
	}
	for _, x := range p.Excepted {
		row(w, "held", x.Store, fmt.Sprintf("%d, %s", x.Tables, count(x.Rows, "row")), fmt.Sprintf("hold %d until %s: %s", x.Hold, clock(x.Until), x.Reason))
	}
	for _, x := range p.Longer {
		row(w, "kept longer", x.Store, fmt.Sprint(x.Tables), fmt.Sprintf("job %s, purpose %s keeps them longest", x.Job, x.Purpose))
	}
	for _, x := range p.Rests {
		becomes := x.Becomes
		if x.By != nil {
			becomes += " by " + clock(*x.By)
		}
		row(w, "rests on it", fmt.Sprintf("%s (%d)", x.What, x.Count), becomes, x.Why)
	}
}

// purgeLine is a line of the list of purges: one of them, or what went with a key that was given up.
type purgeLine struct {
	*jobs.PurgeEntry
	Key *jobs.KeyRemoval `json:"key,omitempty"`
}

func (l purgeLine) at() time.Time {
	if l.Key != nil {
		return l.Key.At
	}
	return l.At
}

func (l purgeLine) print(w io.Writer) {
	var rows, size int64
	files, people := 0, 0
	if k := l.Key; k != nil {
		finished := "not finished: rapport purge goes on with it, or waits for a legal hold"
		if k.Finished != nil {
			finished = clock(*k.Finished)
		}
		for _, s := range k.Stores {
			switch {
			case s.Unit == "rows":
				rows += s.Removed
			case s.Store == "identity table":
				people += int(s.Removed)
			}
		}
		went := count(rows, "row") + " of " + count(people, "person")
		if k.Together > 1 {
			went += fmt.Sprintf(", of %d erasures together", k.Together)
		}
		row(w, fmt.Sprintf("key %s (erasure %d)", k.Key, k.Erasure), clock(k.At), "", finished, went)
		return
	}
	finished := "interrupted: the next one goes on with it"
	if l.Finished != nil {
		finished = clock(l.Finished.At)
	}
	for _, g := range l.Goes {
		rows, files, size = rows+g.Rows, files+g.Files, size+g.Bytes
	}
	row(w, l.Number, clock(l.At), l.By, finished, fmt.Sprintf("%s, %s, %s", count(rows, "row"), count(files, "file"), bytesOf(size)))
}

func (a *app) listPurges(cmd *cobra.Command) error {
	p, err := a.open(cmd.Context(), false)
	if err != nil {
		return err
	}
	defer p.Close()
	all, err := p.runner.Purges(cmd.Context())
	if err != nil {
		return err
	}
	keys, err := p.runner.KeyRemovals(cmd.Context())
	if err != nil {
		return err
	}
	lines := []purgeLine{}
	for i := range all {
		lines = append(lines, purgeLine{PurgeEntry: &all[i]})
	}
	for i := range keys {
		lines = append(lines, purgeLine{Key: &keys[i]})
	}
	slices.SortStableFunc(lines, func(a, b purgeLine) int { return a.at().Compare(b.at()) })
	return a.print(lines, func(w io.Writer) {
		row(w, "NUMBER", "BEGAN", "BY", "FINISHED", "WENT")
		for _, l := range lines {
			l.print(w)
		}
	})
}

// printRetention is the part of status that tells how retention stands.
func printRetention(w io.Writer, r *jobs.Retention) {
	last, next := "never", "only by rapport purge"
	if r.Purged != nil {
		last = clock(*r.Purged)
	}
	if r.Next != nil {
		next = "next " + clock(*r.Next)
	}
	row(w, "retention", fmt.Sprintf("last purge %s, %s", last, next))
	switch {
	case r.Failed != "":
		row(w, "retention", fmt.Sprintf("the purge of %s failed: %s", clock(*r.Due), r.Failed))
	case r.Late:
		row(w, "retention", fmt.Sprintf("late: a purge fell due %s", clock(*r.Due)))
	}
	if r.Waits != nil {
		row(w, "retention", fmt.Sprintf("a purge fell due %s: a server that was up by then, or within five minutes, carries it out at its next look, when no run is under way", clock(*r.Waits)))
	}
	if r.Open > 0 {
		row(w, "retention", count(r.Open, "purge")+" had been interrupted: the next one goes on")
	}
	if r.Holds > 0 {
		row(w, "legal holds", fmt.Sprintf("%d, the next ends %s", r.Holds, clock(*r.Ends)))
	}
	for _, e := range r.Erasures {
		row(w, "erasure", unfinished(e))
	}
	for _, e := range r.Held {
		row(w, "erasure", e)
	}
}

// unfinished says how it stands with an erasure that is not done.
func unfinished(e jobs.UnfinishedErasure) string {
	age := (time.Duration(e.Age) * time.Second).String()
	if e.UnderWay {
		return fmt.Sprintf("%d, asked for %s, %s ago, is under way", e.Erasure, clock(e.Asked), age)
	}
	return fmt.Sprintf("%d, asked for %s, %s ago, was interrupted, and rows may be left: rapport purge finishes it, as do the next rapport run and rapport serve", e.Erasure, clock(e.Asked), age)
}
