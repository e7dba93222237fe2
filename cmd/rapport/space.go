package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
)

func (a *app) duCmd() *cobra.Command {
	return &cobra.Command{
		Use: "du", Short: "What the bucket holds, by kind, and how much of it nothing refers to", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			u, err := p.runner.Usage(cmd.Context())
			p.progress.done()
			if err != nil {
				return err
			}
			return a.print(u, func(w io.Writer) {
				row(w, "KIND", "OBJECTS", "BYTES", "GARBAGE", "NEWEST", "WHAT")
				for _, k := range u.Kinds {
					row(w, k.Kind, k.Objects, bytesOf(k.Bytes), bytesOf(k.Garbage), clock(k.Newest), k.What)
				}
				row(w, "all", u.Objects, bytesOf(u.Bytes), bytesOf(u.Garbage), "", "rapport gc --dry-run says what is garbage")
			})
		},
	}
}

func (a *app) gcCmd() *cobra.Command {
	var dry bool
	var older string
	c := &cobra.Command{
		Use:   "gc [--dry-run] [--older-than 7d]",
		Short: "Remove objects that no commit, version or report refers to",
		Long: "Remove what runs staged and never committed, and models and reports that no version has. Raw data, and anything that a run, a\n" +
			"rollback or a verification could still want, are never touched; that is retention's affair.",
		Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			age, err := configs.ParseDuration(older)
			if err == nil && age < time.Hour {
				err = fmt.Errorf("what is less than an hour old may belong to a run under way")
			}
			if err != nil {
				return usageError{fmt.Errorf("--older-than: %w", err)}
			}
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			out, err := p.runner.Collect(cmd.Context(), age, dry)
			p.progress.done()
			if out == nil {
				return err
			}
			if perr := a.print(out, func(w io.Writer) {
				done := "removed"
				if dry {
					done = "would remove"
				}
				for _, g := range out.Removed {
					row(w, done, g.Key, bytesOf(g.Bytes), clock(g.Modified), g.Why)
				}
				row(w, done, count(len(out.Removed), "object"), bytesOf(out.Bytes))
				if out.Young > 0 {
					row(w, "kept", count(out.Young, "object")+" younger than "+older)
				}
			}); perr != nil && err == nil {
				err = perr
			}
			return err
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would go, and why")
	c.Flags().StringVar(&older, "older-than", "7d", "leave what is younger")
	return c
}
