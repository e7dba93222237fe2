package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) subjectCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "subject", Short: "One person's records"})
	c.AddCommand(a.subjectEraseCmd(), a.subjectExportCmd(), a.subjectStatusCmd(), a.subjectPreferCmd(), a.subjectRequestsCmd(), a.verifyReceiptCmd(), a.signingKeysCmd())
	return c
}

// logAccess writes down that a verb is about to touch people's records.
func (a *app) logAccess(cmd *cobra.Command, p *project, raw []string) error {
	return p.runner.LogAccess(cmd.Context(), a.who(), verb(cmd), raw)
}

// verb is how the access log names what was asked of this program.
func verb(cmd *cobra.Command) string { return strings.TrimPrefix(cmd.CommandPath(), "rapport ") }

// who is the user of the operating system, on which machine.
func (a *app) who() string {
	name := whoAsks("")
	if host, err := os.Hostname(); err == nil {
		name += " on " + host
	}
	return name
}

func (a *app) subjectEraseCmd() *cobra.Command {
	var ids, to, contact string
	c := &cobra.Command{
		Use: "erase --ids FILE|-", Short: "Forget subjects: deny at once, then remove every row; leaves a signed receipt", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, raw, err := a.openFor(cmd, ids)
			if err != nil {
				return err
			}
			defer p.Close()
			js, err := p.allJobs()
			if err != nil {
				return err
			}
			out, err := p.runner.EraseOn(cmd.Context(), js, raw, p.terms(contact))
			p.progress.done()
			if errors.Is(err, jobs.ErrUnknownSubjects) {
				return notFoundError{err}
			}
			if err != nil {
				return err
			}
			if to != "" {
				file, err := p.runner.Receipt(cmd.Context(), out.Epoch)
				if err != nil {
					return err
				}
				if err := os.WriteFile(to, file, 0o600); err != nil {
					return fmt.Errorf("the subjects are erased; the receipt stands in the bucket as well: %w", err)
				}
			}
			return a.print(out, func(w io.Writer) {
				row(w, "erasure", out.Epoch)
				row(w, "subjects", fmt.Sprintf("%d asked, %d known", out.Requested, out.Known))
				if out.Linked > 0 {
					row(w, "", count(out.Linked, "more id")+" of theirs by sources.identities, erased with them")
				}
				for _, x := range out.Before {
					row(w, "erased before", x)
				}
				row(w, "denied", clock(out.Denied))
				row(w, "rewritten", clock(out.Rewritten))
				row(w, "removed", strings.Join([]string{count(out.Rows, "row"), count(out.Parts, "file"), count(out.Online, "online row")}, ", "))
				for _, s := range slices.Sorted(maps.Keys(out.Tables)) {
					row(w, "  "+s, count(out.Tables[s], "table"))
				}
				for _, x := range out.Pending {
					row(w, "pending", x.What, "by "+x.Due.Format("2006-01-02"))
				}
				for _, x := range out.OutOfSite {
					row(w, "not erased", "raw source "+x)
				}
				for _, n := range out.Closed {
					row(w, "request", fmt.Sprintf("%d is closed", n))
				}
				for _, key := range out.Receipts {
					row(w, "receipt", key)
				}
			})
		},
	}
	c.Flags().StringVar(&ids, "ids", "", "file of raw ids, one a line, or - for standard input")
	c.Flags().StringVar(&to, "receipt", "", "file for the signed receipt, which stands in the bucket too")
	c.Flags().StringVar(&contact, "contact", "", "whom the receipt names for questions, as a mail address")
	return c
}

func (a *app) verifyReceiptCmd() *cobra.Command {
	var keys, id string
	c := &cobra.Command{
		Use: "verify-receipt FILE --keys FILE|--key ID", Short: "Check the receipt of an erasure, offline", Args: usage(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if (keys == "") == (id == "") {
				return usageError{errors.New("subject verify-receipt: --keys FILE (as rapport subject signing-keys writes it), or --key ID, says whose signature counts: a receipt cannot vouch for itself")}
			}
			known := []jobs.SigningKey{{ID: id}}
			if keys != "" {
				body, err := readFile(keys)
				if err != nil {
					return usageError{fmt.Errorf("--keys: %w", err)}
				}
				k, err := jobs.ReadSigningKeys(body)
				if err != nil {
					return usageError{fmt.Errorf("--keys: %w", err)}
				}
				known = k.Keys
			}
			body, err := readFile(args[0])
			if err != nil {
				return usageError{fmt.Errorf("subject verify-receipt: %w", err)}
			}
			r, key, err := jobs.VerifyReceipt(body, known)
			if err != nil {
				return err
			}
			return a.print(verified{key.ID, r}, func(w io.Writer) {
				row(w, "receipt", "holds, under key "+key.ID)
				row(w, "project", r.Project)
				row(w, "erasure", fmt.Sprintf("%d, of %s", r.Erasure, count(len(r.Subjects), "subject")))
				row(w, "requested", clock(r.Requested))
				for _, x := range r.Completes {
					row(w, "completes", fmt.Sprintf("erasure %d, requested %s and interrupted", x.Erasure, clock(x.Requested)))
				}
				row(w, "denied", clock(r.Denied))
				row(w, "rewritten", clock(r.Rewritten))
				for _, s := range r.Stores {
					row(w, s.Store, fmt.Sprintf("%d %s", s.Removed, s.Unit), s.Method)
				}
				for _, x := range r.Pending {
					row(w, "pending", x.What, "by "+x.Due.Format("2006-01-02"))
				}
				row(w, "out of scope", count(r.OutOf.Count, "raw file"))
			})
		},
	}
	c.Flags().StringVar(&keys, "keys", "", "file of the published public keys")
	c.Flags().StringVar(&id, "key", "", "id of the key that is trusted, as it was published")
	return c
}

// verified is a receipt that holds.
type verified struct {
	Key     string        `json:"key_id"`
	Receipt *jobs.Receipt `json:"receipt"`
}

// maxFile bounds a file that is read whole.
const maxFile = 16 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func (a *app) signingKeysCmd() *cobra.Command {
	return &cobra.Command{
		Use: "signing-keys", Short: "The public keys of receipts, as JSON to publish; those of retired secrets stay", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			keys, err := p.runner.SigningKeys(cmd.Context(), p.Project.Project)
			if err != nil {
				return err
			}
			a.output = "json"
			return a.print(keys, nil)
		},
	}
}
