package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/storage"
)

func (a *app) synthCmd() *cobra.Command {
	w := synth.World{}
	var to, start string
	var drift int
	var force bool
	c := &cobra.Command{
		Use:   "synth --users N --items N --days N --seed S --to URL",
		Short: "Write synthetic events with planted tastes, cohorts, consent and drift",
		Args:  usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usageError{fmt.Errorf("synth: --to is missing: a folder or bucket, as file:./lake or s3://bucket/prefix")}
			}
			at, err := time.Parse(time.DateOnly, start)
			if err != nil {
				return usageError{fmt.Errorf("synth: --start %s: want a day, as 2026-01-01", start)}
			}
			w.Start = at
			if drift > 0 {
				w.Drift = &synth.Drift{Day: drift - 1}
			}
			if err := w.Validate(); err != nil {
				return usageError{fmt.Errorf("synth: %w", err)}
			}
			b, err := storage.Open(cmd.Context(), to, storage.Options{})
			if err != nil {
				return err
			}
			if !force {
				n, first, err := w.Strangers(cmd.Context(), b)
				if err != nil {
					return err
				}
				if n > 0 {
					return usageError{fmt.Errorf("synth: %s holds %s that this world would be mixed with, as %s: name an empty place, or --force to write beside them, and over those of equal names", to, count(n, "file"), first)}
				}
			}
			facts, err := w.Write(cmd.Context(), b, "")
			if err != nil {
				return fmt.Errorf("synth: %w", err)
			}
			return a.print(facts, func(out io.Writer) {
				row(out, "events", fmt.Sprintf("%d, %s to %s", facts.Events, clock(facts.First), clock(facts.Last)))
				row(out, "subjects", facts.Subjects)
				row(out, "items", facts.Items)
				row(out, "written", fmt.Sprintf("%s, %s, to %s", count(facts.Files, "file"), bytesOf(facts.Bytes), to))
			})
		},
	}
	f := c.Flags()
	f.IntVar(&w.Users, "users", 5000, "subjects")
	f.IntVar(&w.Items, "items", 2000, "items")
	f.IntVar(&w.Days, "days", 60, "days of events")
	f.Float64Var(&w.EventsPerUser, "events-per-user", 0, "mean events a subject (0: 1.35 a day)")
	f.Uint64Var(&w.Seed, "seed", 1, "equal seeds give equal bytes")
	f.StringVar(&start, "start", "2026-01-01", "first day")
	f.Float64Var(&w.Minority, "minority", 0, "share of subjects of another taste, whom a gender tells (0: none)")
	f.IntVar(&drift, "drift-day", 0, "the day, from 1, on which drift is planted (0: none)")
	f.BoolVar(&force, "force", false, "write also where other files are")
	f.StringVar(&to, "to", "", "where to write: file:PATH of a folder, or s3://bucket/prefix")
	return c
}
