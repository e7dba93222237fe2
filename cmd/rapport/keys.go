package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) keysCmd() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "keys",
		Short: "Pseudonym, serving, signing and storage keys: what needs which, and how one follows another",
		Long: "One secret (pseudonyms.key) gives the keys of the identity table, of online keys, of marks of erased people and of receipts. A rotation begins another\n" +
			"one; the one before stays among pseudonyms.previous until nothing needs it. No model, shard or tile is written anew for it.",
	})
	c.AddCommand(a.keysListCmd(), a.keysCheckCmd(), a.keysRotateCmd(), a.keysRetireCmd())
	return c
}

// keyring is what is printed of a project's keys.
type keyring struct {
	*jobs.Keyring
	Storage  storageKeys `json:"storage"`
	Problems []string    `json:"problems"`
}

// storageKeys say where the keys of the stores themselves come from. They are rotated where they were made.
type storageKeys struct {
	Credentials string `json:"credentials"`
	SSE         string `json:"sse"`
}

func (p *project) keyring(ctx context.Context) (*keyring, error) {
	k, err := p.runner.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	out := &keyring{k, storageKeys{"none: a folder", "none: a folder"}, append([]string{}, k.Problems()...)}
	if strings.HasPrefix(p.Storage.URL, "s3:") {
		out.Storage = storageKeys{cmp.Or(p.Storage.Credentials, "env, file or instance, the first that has some"), cmp.Or(p.Storage.SSE, "as the bucket's default says")}
	}
	return out, nil
}

func (k *keyring) print(w io.Writer) {
	for i, s := range k.Secrets {
		if i > 0 {
			row(w)
		}
		how := s.Given
		switch {
		case s.Given != jobs.KeyNotGiven && !s.Fits:
			how += ", and not the secret that the bucket was written with"
		case s.Lost != nil && !s.Lost.Given:
			how += fmt.Sprintf(", given up as lost on %s: %s", s.Lost.At.Format(time.DateOnly), s.Lost.Why)
		case s.Retired != nil:
			how += ", retired on " + s.Retired.Format(time.DateOnly)
		case s.Same != "":
			how += fmt.Sprintf(", the same secret as %s: nothing was rotated between them", s.Same)
		}
		row(w, "key "+s.ID, how)
		if s.Since != nil {
			row(w, "  first used", clock(*s.Since))
		}
		row(w, "  pseudonyms", fmt.Sprintf("%s, %s", count(s.People, "person"), count(s.Links, "link")))
		row(w, "  suppression", fmt.Sprintf("%s, %s", count(s.Marks, "mark"), count(s.Requests, "open request")))
		row(w, "  serving", count(len(s.Generations), "generation"))
		published := "not published"
		if s.Published {
			published = "published"
		}
		row(w, "  signing", fmt.Sprintf("%s, public key %s", count(s.Receipts, "receipt"), published))
		if s.MayRetire {
			row(w, "  may be retired", "nothing needs it: rapport keys retire "+s.ID)
		}
		for _, why := range s.Why {
			row(w, "  needed", why)
		}
		if l := s.Lost; l != nil && l.Given {
			row(w, "  given up", fmt.Sprintf("whom it alone recognized, on %s: %s, %s of erased people; %s", l.At.Format(time.DateOnly), count(l.People, "person"), count(l.Marks, "mark"), l.Why))
		}
		if l := s.Lost; l != nil && l.Before != nil {
			row(w, "  unrecognized", "of an id that had no row then, nothing from before "+clock(*l.Before)+" counts")
		}
	}
	row(w)
	row(w, "storage", "credentials: "+k.Storage.Credentials)
	row(w, "", "encryption: "+k.Storage.SSE)
}

// keyring opens the project and reads its keyring.
func (a *app) keyring(ctx context.Context) (*keyring, error) {
	p, err := a.open(ctx, true)
	if err != nil {
		return nil, err
	}
	k, err := p.keyring(ctx)
	return k, errors.Join(err, p.Close())
}

func (a *app) keysListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Every key: since when, what was made with it, what needs it yet, and whether it may be retired", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := a.keyring(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(k, k.print)
		},
	}
}

// errKeys says that the secrets given do not do.
var errKeys = errors.New("the secrets that are given do not do")

func (a *app) keysCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Whether the secrets given are those that the bucket was written with, and who cannot be recognized by them; exit 1 if somebody cannot", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := a.keyring(cmd.Context())
			if err != nil {
				return err
			}
			err = a.print(k, func(w io.Writer) {
				for _, s := range k.Secrets {
					if s.Given != jobs.KeyNotGiven && s.Fits {
						row(w, "key "+s.ID, s.Given+": fits")
					}
				}
				for _, x := range k.Problems {
					row(w, "problem", x)
				}
			})
			if err == nil && len(k.Problems) > 0 {
				err = fmt.Errorf("%w: %s", errKeys, count(len(k.Problems), "problem"))
			}
			return err
		},
	}
}

// rotated is what is printed of a rotation.
type rotated struct {
	*jobs.Rewrapped
	Key     string   `json:"key_id"`  // the current one
	Written bool     `json:"written"` // the project file
	Next    []string `json:"next"`
}

func (a *app) keysRotateCmd() *cobra.Command {
	var to, id string
	c := &cobra.Command{
		Use:   "rotate [--to env:NAME|file:PATH|command:… --key-id ID]",
		Short: "Begin another secret, or go on with the rotation under way: people in the sources are wrapped anew in the identity table",
		Long: "With --to the project file is edited: the secret at that place becomes the current one, and the current one the first of pseudonyms.previous. Then, and\n" +
			"without --to, the ids in the sources are looked up, and the rows of people who stand under a previous key are wrapped anew, as are marks of erased\n" +
			"people whom a source still names. Nothing but the identity table and these marks is written. Servers go on as they are; each is to be given the new\n" +
			"project file before the next run publishes.",
		Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (to == "") != (id == "") {
				return usageError{errors.New("keys rotate: --to and --key-id go together: where the new secret stands, and what it is called in what is stored")}
			}
			written := false
			if to != "" {
				p, err := a.load()
				if err != nil {
					return err
				}
				if err := a.beginSecret(cmd.Context(), p, to, id); err != nil {
					return err
				}
				written = true
			}
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			js, err := p.allJobs()
			if err != nil {
				return err
			}
			done, err := p.runner.Rewrap(cmd.Context(), js)
			p.progress.done()
			if err != nil {
				return err
			}
			out := rotated{Rewrapped: done, Key: p.Keys.ID(), Written: written, Next: []string{}}
			if written {
				out.Next = append(out.Next, "give the new project file to every server and cron job, and restart servers, before the next run publishes: they look people up by both keys", "give direct readers of the online store the new serving key beside the old one")
			}
			for _, k := range slices.Sorted(maps.Keys(done.Left)) {
				out.Next = append(out.Next, fmt.Sprintf("%s under %s in no source now: runs wrap them anew when they reappear", count(done.Left[k], "person"), k))
			}
			if done.Marks > 0 {
				out.Next = append(out.Next, fmt.Sprintf("%s of erased people under previous keys, of whom no source names anybody now", count(done.Marks, "mark")))
			}
			for _, m := range done.Waiting {
				out.Next = append(out.Next, m.String())
			}
			if len(p.Previous) > 0 {
				out.Next = append(out.Next, "rapport keys list says when a previous key may be retired")
			}
			return a.print(out, func(w io.Writer) {
				row(w, "current key", out.Key)
				if written {
					row(w, "project file", p.File()+" has it; the one before stands among pseudonyms.previous")
				}
				row(w, "wrapped anew", count(done.Wrapped, "person"))
				if done.Marked > 0 {
					row(w, "marked anew", count(done.Marked, "erased person"))
				}
				for _, x := range out.Next {
					row(w, "next", x)
				}
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "where the new secret stands: env:NAME, file:PATH or command:PROGRAM ARGUMENT…")
	c.Flags().StringVar(&id, "key-id", "", "what it is called in what is stored, as k2")
	return c
}

// beginSecret edits the project file, once the new text has been tried: its secrets can be read, and fit.
func (a *app) beginSecret(ctx context.Context, p *configs.Project, place, id string) error {
	text, err := p.Rotated(place, id)
	if err != nil {
		return usageError{fmt.Errorf("keys rotate: %w", err)}
	}
	next, err := p.TrySecret(place, id, a.env)
	if err != nil {
		return fmt.Errorf("keys rotate: nothing is changed: the new secret cannot be used: %w", err)
	}
	o, err := a.open(ctx, true)
	if err != nil {
		return err
	}
	defer o.Close()
	k, err := o.keyring(ctx)
	if err != nil {
		return err
	}
	if len(k.Problems) > 0 {
		return fmt.Errorf("keys rotate: nothing is changed: %w as they are: %s", errKeys, strings.Join(k.Problems, "; "))
	}
	if slices.ContainsFunc(k.Secrets, func(s jobs.KeyState) bool { return s.ID == id }) {
		return usageError{fmt.Errorf("keys rotate: key id %s was another secret's: a new secret needs a new key id", id)}
	}
	records, err := event.ReadKeyRecords(ctx, o.Bucket)
	if err != nil {
		return fmt.Errorf("keys rotate: nothing is changed: %w", err)
	}
	if twin := event.Twin(next, records, append([]event.Keys{o.Keys}, o.Previous...)); twin != "" {
		return usageError{fmt.Errorf("keys rotate: nothing is changed: the secret there is the secret of %s: a rotation needs another one, as 32 random bytes, or one that has leaked would stay in force", twin)}
	}
	if err := replaceFile(p.File(), text); err != nil {
		return fmt.Errorf("write the project file: %w", err)
	}
	return nil
}

// retired is what is printed of a key that is to be retired.
type retired struct {
	*jobs.KeyState
	Forgotten *jobs.PurgedKey `json:"forgotten,omitempty"`
	Waits     string          `json:"waits,omitempty"` // it was given up now, and why it is not retired yet
}

func (a *app) keysRetireCmd() *cobra.Command {
	var forget, dry bool
	var why, contact string
	c := &cobra.Command{
		Use: "retire KEY_ID [--forget --why TEXT|--dry-run]", Short: "Seal a key that nothing needs any more; refused, with what needs it, while anything does", Args: usage(cobra.ExactArgs(1)),
		Long: "Seal a key that nothing needs any more: it is never used for another secret, and its own may be destroyed. Refused, with what needs it, while anything does.\n\n" +
			"With --forget the key need not wait for people who stand under it, or erased people who are marked under it, and appear in no source: the first are\n" +
			"removed from every store as by their own request, with a receipt; the marks are given up. Then nothing of an id that has no row counts that is from\n" +
			"before the last of these erasures, or of what these people had refused, so that nobody of them is profiled by what was before. Whatever else keeps the key\n" +
			"from being retired refuses it ahead of that, but for generations of the online store: which of these may hold people under it is known when nobody\n" +
			"stands under it any more, so it says for which to wait, and rapport keys retire seals it then. --dry-run with --forget says who and what would be given up,\n" +
			"and which generations would go for it, and does nothing.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if dry {
				if !forget || why != "" || contact != "" {
					return usageError{errors.New("keys retire: --dry-run goes with --forget, and with nothing else")}
				}
				return a.previewForgetKey(cmd, args[0])
			}
			if forget != (why != "") || contact != "" && !forget {
				return usageError{errors.New("keys retire: --forget and --why TEXT go together: for what reason people are given up whom the key alone recognizes")}
			}
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			var out retired
			if forget {
				js, err := p.allJobs()
				if err != nil {
					return err
				}
				if err := a.logAccess(cmd, p, nil); err != nil {
					return err
				}
				out.Forgotten, err = p.runner.ForgetKey(cmd.Context(), js, args[0], why, p.terms(contact))
				p.progress.done()
				if err != nil {
					return keyFault(err)
				}
			}
			var needed error
			if out.KeyState, err = p.runner.Retire(cmd.Context(), args[0]); errors.Is(err, jobs.ErrKeyNeeded) && forget {
				if needed, err = err, nil; out.Forgotten.Done == nil && out.Forgotten.People+out.Forgotten.Marks > 0 {
					out.Waits, needed = needed.Error(), nil // what was asked for is done, and cannot be undone: that is no refusal
				}
			}
			if err != nil {
				return keyFault(err)
			}
			err = a.print(out, func(w io.Writer) {
				if x := out.Forgotten; x != nil && x.People+x.Marks == 0 {
					row(w, "key "+x.ID, "it alone recognizes nobody: nothing is given up")
				} else if x != nil {
					row(w, "key "+x.ID, fmt.Sprintf("given up: %s, %s of erased people, whom it alone recognized", count(x.People, "person"), count(x.Marks, "mark")))
					printGivenUp(w, x)
				}
				if out.Waits != "" {
					row(w, "next", "not retired yet: "+out.Waits+"; then rapport keys retire "+args[0])
				}
				if s := out.KeyState; s != nil {
					row(w, "key "+s.ID, "retired on "+clock(*s.Retired))
					if s.Given == jobs.KeyPrevious {
						row(w, "next", "take it out of pseudonyms.previous; its secret may be destroyed")
					}
				}
			})
			return errors.Join(err, needed)
		},
	}
	c.Flags().BoolVar(&forget, "forget", false, "give up whom the key alone recognizes")
	c.Flags().BoolVar(&dry, "dry-run", false, "with --forget: only say what would be given up, and which generations would go")
	c.Flags().StringVar(&why, "why", "", "with --forget: for what reason")
	c.Flags().StringVar(&contact, "contact", "", "with --forget: whom the receipt names for questions")
	return c
}

// terms are what receipts say beside what was done.
func (p *project) terms(contact string) jobs.Terms {
	source, _, _ := strings.Cut(p.Pseudonyms.Key, ":")
	return jobs.Terms{Contact: contact, KeySource: source}
}

// printGivenUp says what went with a key, and what counts from then on.
func printGivenUp(w io.Writer, out *jobs.PurgedKey) {
	if e := out.Erased; e != nil {
		row(w, "", strings.Join([]string{count(e.Rows, "row"), count(e.Parts, "file"), count(e.Online, "online row")}, ", "))
		for _, x := range e.Pending {
			row(w, "pending", x.What, "by "+x.Due.Format(time.DateOnly))
		}
		for _, key := range e.Receipts {
			row(w, "receipt", key)
		}
	}
	if h := out.Hidden; h != nil {
		if len(h.Dropped) > 0 {
			row(w, "online", fmt.Sprintf("generations %v, which may have held them under a key of before, are dropped", h.Dropped))
		}
		if h.Fallback != nil {
			row(w, "online", "the live generation holds lists of theirs under a key of before, where nobody can find them: the fallback is on, and everybody reads the list not based on profiling. Publish anew, then rapport online fallback off")
		}
	}
	if out.Before != nil {
		row(w, "from now on", "some of them had refused something and may come again unrecognized: of an id that has no row now, nothing from before "+clock(*out.Before)+" counts, and it needs a basis that is recorded after that")
	}
}

// keyFault makes an error of a key that is needed or unknown one that says so by its exit code.
func keyFault(err error) error {
	switch {
	case errors.Is(err, jobs.ErrUnknownKey):
		return notFoundError{err}
	case errors.Is(err, jobs.ErrBadRequest):
		return usageError{err}
	}
	return err
}

// previewLostKey says whom a lost key would take along.
func (a *app) previewLostKey(cmd *cobra.Command, id string) error {
	p, err := a.open(cmd.Context(), true)
	if err != nil {
		return err
	}
	defer p.Close()
	s, err := p.runner.LostKey(cmd.Context(), id)
	if err != nil {
		return keyFault(err)
	}
	return a.print(s, func(w io.Writer) {
		if s.Lost != nil {
			row(w, "key "+id, "given up on "+clock(s.Lost.At)+" already: "+s.Lost.Why)
		}
		row(w, "would remove", count(s.People, "person")+" whom nobody can recognize, from every store")
		row(w, "suppression", count(s.Marks, "mark")+" of erased people would recognize nobody any more")
		row(w, "", count(s.Requests, "open request")+" of people who are known by it")
		printWouldHide(w, s)
		if s.People > 0 {
			row(w, "consent", "every record that is on file of these people stops counting: nobody can tell whose it is. Who comes again comes as somebody new; where one of them had refused anything, nothing counts that is from before the purge of an id that has no row then, and these people need to be asked anew")
		}
	})
}

// printWouldHide says what would become of generations.
func printWouldHide(w io.Writer, s *jobs.KeyLoss) {
	if len(s.Dropped) > 0 {
		row(w, "online", fmt.Sprintf("generations %v, which may hold them under a key of before, would be dropped: no rollback finds them any more", s.Dropped))
	}
	if s.Fallback != "" {
		row(w, "online", "the live generation holds lists of theirs under a key of before, where nobody can find them: the fallback would be turned on, and everybody reads the list not based on profiling until it is published anew and rapport online fallback off")
	}
}

// previewForgetKey says what retiring a key with --forget would give up.
func (a *app) previewForgetKey(cmd *cobra.Command, id string) error {
	p, err := a.open(cmd.Context(), true)
	if err != nil {
		return err
	}
	defer p.Close()
	s, err := p.runner.ForgettableKey(cmd.Context(), id)
	if err != nil {
		return keyFault(err)
	}
	return a.print(s, func(w io.Writer) {
		row(w, "would give up", count(s.People, "person")+" and "+count(s.Marks, "mark")+" of erased people, whom it alone recognizes, but for those who stand in a source: these are read first")
		printWouldHide(w, s)
		if len(s.Generations) > 0 {
			row(w, "would wait", fmt.Sprintf("for generations %v, which may hold people under it: it is retired when they are gone", s.Generations))
		}
	})
}

// purgeKey gives up a key whose secret is lost, and removes the people whom it alone recognized.
func (a *app) purgeKey(cmd *cobra.Command, id, why, contact string) error {
	p, err := a.open(cmd.Context(), true)
	if err != nil {
		return err
	}
	defer p.Close()
	js, err := p.allJobs()
	if err != nil {
		return err
	}
	if err := a.logAccess(cmd, p, nil); err != nil {
		return err
	}
	out, err := p.runner.PurgeKey(cmd.Context(), js, id, why, p.terms(contact))
	p.progress.done()
	if err != nil {
		return keyFault(err)
	}
	return a.print(out, func(w io.Writer) {
		if out.Done != nil {
			row(w, "key "+out.ID, fmt.Sprintf("was given up as lost on %s, and %s removed then: nothing is left to do", clock(*out.Done), count(out.People, "person")))
		} else {
			row(w, "key "+out.ID, "given up as lost")
			row(w, "removed", count(out.People, "person")+" whom nobody could recognize")
		}
		if out.Marks > 0 {
			row(w, "suppression", count(out.Marks, "mark")+" of erased people recognize nobody any more")
		}
		printGivenUp(w, out)
	})
}
