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
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/importer"
	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/storage"
)

// ignored is what a project's folder keeps out of version control.
const ignored = "pseudonym.key\nlake/\nraw/\nonline/\n"

func (a *app) initCmd() *cobra.Command {
	var template string
	c := &cobra.Command{
		Use:   "init DIR [--template quickstart|s3]",
		Short: "Make a project folder with a commented rapport.yaml",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			w := synth.World{Users: 1000, Items: 400, Days: 30, Seed: 1, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
			if template != "quickstart" && template != "s3" {
				return usageError{fmt.Errorf("init: no template %q; there are quickstart and s3", template)}
			}
			if err := makeProject(dir, template, morningAfter(w), ""); err != nil {
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
	c.Flags().StringVar(&template, "template", "quickstart", "quickstart (with synthetic events) or s3")
	return c
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
func makeProject(dir, template string, now time.Time, raw string) error {
	body, err := configs.Template(template, now, raw)
	if err != nil {
		return usageError{err}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make project: %w", err)
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	for _, f := range []struct {
		name string
		body []byte
		mode os.FileMode
	}{
		{projectFile, body, 0o644},
		{"pseudonym.key", []byte(hex.EncodeToString(secret) + "\n"), 0o600},
		{".gitignore", []byte(ignored), 0o644},
	} {
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

func (a *app) importCmd() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "import completejourney PATH --to DIR",
		Short: "Turn a data set on disk into Parquet and a project that runs on it",
		Args:  usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "completejourney" {
				return usageError{fmt.Errorf("import: %q is no known data set; there is completejourney", args[0])}
			}
			if to == "" {
				return usageError{errors.New("import: --to is missing: the folder of the project to make")}
			}
			to = strings.TrimPrefix(to, "file:")
			if _, err := os.Stat(filepath.Join(to, projectFile)); err == nil {
				return usageError{fmt.Errorf("%s exists: nothing is overwritten; choose another folder", filepath.Join(to, projectFile))}
			}
			b, err := storage.Open(cmd.Context(), "file:"+filepath.Join(to, "raw"), storage.Options{})
			if err != nil {
				return err
			}
			facts, err := importer.CompleteJourney(cmd.Context(), args[1], b, "")
			if err != nil {
				return err
			}
			// The first Monday after the last event, at the hour at which the job is due.
			now := facts.Last.Truncate(24*time.Hour).AddDate(0, 0, 1)
			for now.Weekday() != time.Monday {
				now = now.AddDate(0, 0, 1)
			}
			if err := makeProject(to, "completejourney", now.Add(3*time.Hour), "file:./raw"); err != nil {
				return err
			}
			return a.print(facts, func(w io.Writer) {
				row(w, "project", filepath.Join(to, projectFile))
				row(w, "events", fmt.Sprintf("%d of %d subjects, %s to %s", facts.Events, facts.Subjects, clock(facts.First), clock(facts.Last)))
				row(w, "items", facts.Items)
				row(w, "cohorts", fmt.Sprintf("%d subjects", facts.Cohorts))
				row(w, "times", facts.Zone)
				row(w, "consent", facts.Declared)
				row(w, "next", fmt.Sprintf("cd %s && rapport plan weekly", to))
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "folder of the new project")
	return c
}
