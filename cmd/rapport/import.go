package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/importer"
	"github.com/rapport-ml/rapport/storage"
)

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
