package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/jobs/ledger"
)

// completeArgs gives every verb the completion of its arguments, as its usage line names them: JOB, MODEL and VIEW from the project file,
// RUN from the ledger. Ids of people are never completed: they are no arguments.
func (a *app) completeArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.completeArgs(sub)
	}
	var names []string
	for _, word := range strings.Fields(c.Use)[1:] {
		if word = strings.Trim(word, "[].|"); word != "" && word == strings.ToUpper(word) && !strings.HasPrefix(word, "-") {
			names = append(names, word)
		} else {
			break // flags follow the arguments
		}
	}
	if len(names) == 0 || c.ValidArgsFunction != nil {
		return
	}
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(names) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		switch kinds := strings.Split(names[len(args)], "|"); {
		case slices.Contains(kinds, "DIR"), slices.Contains(kinds, "PATH"), slices.Contains(kinds, "FILE"):
			return nil, cobra.ShellCompDirectiveDefault
		default:
			for _, kind := range kinds {
				out = append(out, a.known(cmd, kind)...)
			}
		}
		return slices.DeleteFunc(out, func(s string) bool { return !strings.HasPrefix(s, begun) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// known lists the names of a kind; what cannot be read has none.
func (a *app) known(cmd *cobra.Command, kind string) []string {
	if kind == "RUN" {
		return a.knownRuns(cmd)
	}
	p, err := a.load()
	if err != nil {
		return nil
	}
	switch kind {
	case "JOB":
		return slices.Sorted(maps.Keys(p.Jobs))
	case "MODEL":
		return slices.Sorted(maps.Keys(p.Models))
	case "VIEW":
		return slices.Sorted(maps.Keys(p.Views))
	}
	return nil
}

// knownRuns are the ids of the last month's runs, newest first.
func (a *app) knownRuns(cmd *cobra.Command) []string {
	p, err := a.open(cmd.Context(), false)
	if err != nil {
		return nil
	}
	defer p.Close()
	lines, err := ledger.Ledger{Bucket: p.Bucket}.List(cmd.Context(), p.runner.Now().AddDate(0, -1, 0), p.runner.Now().Add(24*time.Hour))
	if err != nil {
		return nil
	}
	var out []string
	for _, l := range lines {
		out = append(out, l.ID)
	}
	return out
}
