package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
)

// reviewers are the roles in which a wider purpose may be accepted.
var reviewers = []string{"privacy", "legal"}

func (a *app) purposesCmd() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "purposes",
		Short: "What data is used for: the register, and what of it has been accepted",
		Long: "Purposes say what data is used for, and purposes.lock, beside the project file, what of that somebody who answers for it has accepted. A project\n" +
			"file that reads more, keeps longer, withholds less or says otherwise is refused by every other verb until it is accepted: a line of the lock, in\n" +
			"the same pull request. Without a lock nothing is refused.",
	})
	c.AddCommand(a.purposesShowCmd(), a.purposesAcceptCmd())
	return c
}

// review is a project file beside its lock.
type review struct {
	*configs.Project
	path  string // of the lock
	lock  *configs.Lock
	wider []configs.Wider
}

func (a *app) review() (*review, error) {
	file, err := a.projectPath()
	if err != nil {
		return nil, err
	}
	r := &review{path: configs.LockPath(file)}
	if r.Project, err = configs.Draft(file); err != nil {
		return nil, usageError{err}
	}
	if r.lock, err = configs.ReadLock(file); err != nil {
		return nil, usageError{err}
	}
	r.wider = r.Wider(r.lock)
	return r, nil
}

func (a *app) purposesShowCmd() *cobra.Command {
	var html string
	c := &cobra.Command{
		Use:   "show",
		Short: "The register of processing: purposes, what they read and keep, and who uses them",
		Args:  usage(noArgs),
		RunE: func(*cobra.Command, []string) error {
			r, err := a.review()
			if err != nil {
				return err
			}
			g := r.Register(r.lock)
			if html != "" {
				var page bytes.Buffer
				if err := writeRegister(&page, g); err != nil {
					return err
				}
				if err := os.WriteFile(html, page.Bytes(), 0o644); err != nil {
					return err
				}
				return a.print(map[string]string{"html": html}, func(w io.Writer) { row(w, "register", html) })
			}
			return a.print(g, func(w io.Writer) {
				for i, pu := range g.Purposes {
					if i > 0 {
						row(w)
					}
					row(w, pu.Name, pu.Says)
					row(w, "", "basis "+pu.Basis+", use "+pu.Use)
					for _, t := range pu.Terms {
						row(w, "", "term "+t.String())
					}
					for _, read := range pu.Reads {
						row(w, "", "reads "+read.Set+": "+read.What())
					}
					row(w, "", "keeps "+pu.Kept())
					if len(pu.Jobs) > 0 {
						row(w, "", "used by "+strings.Join(pu.Jobs, ", "))
					}
				}
				if renamed(g) {
					row(w, "note", "kind from action: what is called kind here stands in the column action of the files")
				}
				for _, s := range g.Withheld {
					row(w, "withheld", s)
				}
				for _, read := range g.Guards {
					row(w, "", "reads "+read.Set+" for that: "+read.What())
				}
				row(w)
				switch {
				case r.lock == nil:
					row(w, "lock", "none: nothing stops the file from reading more (rapport purposes accept)")
				case len(r.wider) > 0:
					row(w, "lock", count(len(r.wider), "change")+" not accepted:")
					for _, x := range r.wider {
						row(w, "", x.Path+": "+x.Says)
					}
				default:
					last := g.Accepted[len(g.Accepted)-1]
					row(w, "lock", "accepted "+clock(last.At)+" by "+last.Role+": "+last.Why)
				}
			})
		},
	}
	c.Flags().StringVar(&html, "html", "", "write it as a page, with a picture of where data goes, to this file")
	return c
}

// renamed reports whether a register has columns that are called otherwise in the files.
func renamed(g *configs.Register) bool {
	for _, pu := range g.Purposes {
		for _, r := range pu.Reads {
			if slices.ContainsFunc(r.Columns, func(c string) bool { return strings.Contains(c, " from ") }) {
				return true
			}
		}
	}
	return false
}

func (a *app) purposesAcceptCmd() *cobra.Command {
	var role, why string
	c := &cobra.Command{
		Use:   "accept --role " + strings.Join(reviewers, "|") + " --why TEXT",
		Short: "Accept what the purposes of the project file do, into purposes.lock",
		Long: "Accept what the purposes of the project file do, as somebody who answers for that: purposes.lock is written anew, with a line that says what\n" +
			"became wider, when, in which role and why. Commit it together with the project file.",
		Args: usage(noArgs),
		RunE: func(*cobra.Command, []string) error {
			if !slices.Contains(reviewers, role) {
				return usageError{fmt.Errorf("purposes accept: --role %q: want %s: who wants to read more does not accept it", role, strings.Join(reviewers, " or "))}
			}
			if why = strings.TrimSpace(why); why == "" {
				return usageError{errors.New("purposes accept: --why says for what reason, for those who read the review later")}
			}
			r, err := a.review()
			if err != nil {
				return err
			}
			next := r.Locked(r.lock, configs.Acceptance{At: a.wall(), Role: role, Why: why})
			same, err := r.lock.Same(next)
			if err != nil {
				return err
			}
			if same {
				return a.print(map[string]any{"lock": r.path, "changes": []string{}}, func(w io.Writer) { row(w, r.path, "is as the project file: nothing to accept") })
			}
			body, err := next.Bytes()
			if err != nil {
				return err
			}
			if err := replaceFile(r.path, body); err != nil {
				return fmt.Errorf("purposes accept: %w", err)
			}
			accepted := next.Accepted[len(next.Accepted)-1]
			return a.print(map[string]any{"lock": r.path, "changes": accepted.Changes}, func(w io.Writer) {
				for _, change := range accepted.Changes {
					row(w, "accepted", change)
				}
				switch {
				case r.lock == nil:
					row(w, "written", filepath.Base(r.path)+": from now on the project file may not go beyond it")
				case len(r.wider) == 0:
					row(w, "written", filepath.Base(r.path)+": nothing is wider, and what the project file no longer does is not allowed any more")
				default:
					row(w, "written", filepath.Base(r.path)+": commit it with the project file")
				}
			})
		},
	}
	c.Flags().StringVar(&role, "role", "", "in which role: "+strings.Join(reviewers, " or "))
	c.Flags().StringVar(&why, "why", "", "for what reason")
	return c
}
