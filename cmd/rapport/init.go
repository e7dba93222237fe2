package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/storage"
)

// ignored is what a project's folder keeps out of version control.
const ignored = keyFile + "\nlake/\nraw/\nonline/\n"

func (a *app) initCmd() *cobra.Command {
	var template, from, basis, consent string
	var h hints
	c := &cobra.Command{
		Use:   "init DIR [--template quickstart|s3 | --from URL [--basis consent|legitimate-interest] [--consent URL]]",
		Short: "Make a project folder with a commented rapport.yaml",
		Long: "init makes a project that runs on synthetic events, one for S3, or with --from one for Parquet files that are there already: it looks at them as\n" +
			"inspect does and writes what it guesses, each guess with its reason. What cannot be guessed is left open for you, or given by flags.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if from != "" {
				if cmd.Flags().Changed("template") {
					return usageError{errors.New("init: --from makes a project of what is there, --template one of its own: give one of them")}
				}
				return a.initFrom(cmd, dir, from, basis, consent, h)
			}
			if basis != "" || consent != "" || h != (hints{}) {
				return usageError{errors.New("init: flags about columns, times, --basis and --consent go with --from URL")}
			}
			w := synth.World{Users: 1000, Items: 400, Days: 30, Seed: 1, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
			if template != "quickstart" && template != "s3" {
				return usageError{fmt.Errorf("init: no template %q; there are quickstart and s3", template)}
			}
			if template == "quickstart" { // its events go into raw
				if err := unmade(dir, "raw"); err != nil {
					return err
				}
			}
			if err := a.makeProject(dir, template, morningAfter(w), ""); err != nil {
				return err
			}
			if template == "quickstart" {
				if err := synthesize(cmd.Context(), w, filepath.Join(dir, "raw")); err != nil {
					return err
				}
			}
			return a.print(map[string]string{"project": filepath.Join(dir, projectFile), "template": template}, func(out io.Writer) {
				row(out, "project", filepath.Join(dir, projectFile))
				if template == "quickstart" {
					row(out, "next", fmt.Sprintf("cd %s && rapport validate && rapport run nightly", dir))
				} else {
					row(out, "next", fmt.Sprintf("edit %s, then rapport validate", filepath.Join(dir, projectFile)))
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&template, "template", "quickstart", "quickstart (with synthetic events) or s3")
	f.StringVar(&from, "from", "", "make the project for the Parquet files at a URL")
	f.StringVar(&basis, "basis", "", "legal basis on which people's data may be used: consent or legitimate-interest")
	f.StringVar(&consent, "consent", "", "URL of the consent records: files with subject, purpose, state and effective_at")
	h.flags(c)
	return c
}

// keyFile is the pseudonym key of a project that is made.
const keyFile = "pseudonym.key"

// unmade says why no project can be made in a folder, of which more must not be there either.
func unmade(dir string, more ...string) error {
	for _, name := range append([]string{projectFile, keyFile, filepath.Base(configs.LockPath(projectFile))}, more...) {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return usageError{fmt.Errorf("%s exists: nothing is overwritten; choose another folder", path)}
		}
	}
	return nil
}

// morningAfter is when a nightly job runs after the last day of a world.
func morningAfter(w synth.World) time.Time { return w.Start.AddDate(0, 0, w.Days).Add(3 * time.Hour) }

func synthesize(ctx context.Context, w synth.World, dir string) error {
	b, err := storage.Open(ctx, "file:"+dir, storage.Options{})
	if err != nil {
		return err
	}
	if _, err := w.Write(ctx, b, ""); err != nil {
		return fmt.Errorf("synthetic events: %w", err)
	}
	return nil
}

// makeProject writes the project file, a new pseudonym key that only the owner may read, and a .gitignore that keeps it out of version
// control. It never overwrites a project.
func (a *app) makeProject(dir, template string, now time.Time, raw string) error {
	body, err := configs.Template(template, now, raw)
	if err != nil {
		return usageError{err}
	}
	return a.putProject(dir, body, template != "s3")
}

// putProject is makeProject for a project file that has been written. That is put last: a folder with one has all that it needs, and at no
// moment does a key stand there that git would take in. With lock, purposes.lock stands beside it from the first.
func (a *app) putProject(dir string, body []byte, lock bool) error {
	if err := unmade(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make project: %w", err)
	}
	if err := ignore(filepath.Join(dir, ".gitignore")); err != nil {
		return fmt.Errorf("make project: %w", err)
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	type file struct {
		name string
		body []byte
		mode os.FileMode
	}
	files := []file{{keyFile, []byte(hex.EncodeToString(secret) + "\n"), 0o600}, {projectFile, body, 0o644}}
	if lock {
		locked, err := configs.FirstLock(filepath.Join(dir, projectFile), body, configs.Acceptance{At: a.wall(), Role: "init", Why: "As the project was made, from declared or synthetic data"})
		if err != nil {
			return fmt.Errorf("make project: %w", err)
		}
		files = slices.Insert(files, 1, file{filepath.Base(configs.LockPath(projectFile)), locked, 0o644})
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if errors.Is(err, os.ErrExist) {
			return usageError{fmt.Errorf("%s exists: nothing is overwritten; choose another folder", path)}
		}
		if err != nil {
			return fmt.Errorf("make project: %w", err)
		}
		_, err = out.Write(f.body)
		if err = errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("make project: %s: %w", path, err)
		}
	}
	return nil
}

// ignore adds what must not be in version control to a .gitignore, which may have lines of its own.
func ignore(path string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var missing []byte
	have := strings.Fields(string(old))
	for line := range strings.Lines(ignored) {
		if !slices.Contains(have, strings.TrimSpace(line)) {
			missing = append(missing, line...)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if len(old) > 0 && old[len(old)-1] != '\n' {
		missing = append([]byte("\n"), missing...)
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = out.Write(missing)
	return errors.Join(err, out.Close())
}
