package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
)

func (a *app) featuresPreviewCmd() *cobra.Command {
	var job, at, sample string
	c := &cobra.Command{
		Use:   "preview VIEW [--sample 1%] [--at T] [--job JOB]",
		Short: "What a view would hold and what its build would cost, by a sample, before anything is committed",
		Long: "Compute a view over a sample of its entities from the days that are ingested, under the purpose and the consent that hold now, and print a few\n" +
			"rows, what each column looks like, and what a build of the whole would cost. Nothing is committed: the view may stand in the project file alone.\n\n" +
			"The sample is the same every time, and a larger one holds a smaller one. Subjects are named by their number, never by an id.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			share, err := parseShare(sample)
			if err != nil {
				return usageError{fmt.Errorf("--sample: %w", err)}
			}
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			v, err := declaredView(p.DeclaredViews(), args[0])
			if err != nil {
				return err
			}
			j, err := p.jobFor([]features.View{v}, job)
			if err != nil {
				return err
			}
			iv, err := interval(j, at, p.runner.Now())
			if err != nil {
				return err
			}
			out, err := p.runner.PreviewView(cmd.Context(), j, v, iv, share)
			p.progress.done()
			if err != nil {
				return previewFault(err)
			}
			if at := slices.Index(v.Keys(), features.KeySubject); at >= 0 && len(out.Rows) > 0 {
				shown := map[string]bool{}
				for _, r := range out.Rows {
					shown[r.Entity[at]] = true
				}
				if err := p.runner.LogRequests(cmd.Context(), a.who(), verb(cmd), 0, len(shown), nil); err != nil {
					return err
				}
			}
			return a.print(shownPreview(out), func(w io.Writer) { printPreviewed(w, v, out) })
		},
	}
	c.Flags().StringVar(&sample, "sample", "1%", "share of the entities, as 1% or 0.01")
	c.Flags().StringVar(&at, "at", "", "a day or an RFC 3339 time (default: the last interval that has closed)")
	c.Flags().StringVar(&job, "job", "", "under which job's purpose (default: the one that names the view, else one that may)")
	return c
}

// previewFault makes wrong usage of what the asker can mend in the project file or on the command line.
func previewFault(err error) error {
	switch {
	case errors.Is(err, jobs.ErrView):
		return usageError{err}
	case errors.Is(err, jobs.ErrNoData):
		return notFoundError{err}
	}
	return err
}

// parseShare reads a share as 1% or 0.01.
func parseShare(s string) (float64, error) {
	text, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if percent {
		x /= 100
	}
	if err != nil || !(x > 0 && x <= 1) {
		return 0, fmt.Errorf("%q is no share: want more than 0 and at most 1, as 1%% or 0.01", s)
	}
	return x, nil
}

// jobFor is the job under which views are made that may stand in the project file alone: the one that is named, else the first that builds
// them, else the first whose purpose reads what they need.
func (p *project) jobFor(views []features.View, name string) (*jobs.Job, error) {
	if name != "" {
		j, err := p.Job(name)
		if err != nil {
			return nil, usageError{err}
		}
		return j, nil
	}
	var may *jobs.Job
	for _, name := range p.JobNames() {
		j, err := p.Job(name)
		if err != nil {
			return nil, err
		}
		builds := true
		for _, v := range views {
			builds = builds && slices.ContainsFunc(j.Views, func(x features.View) bool { return x.Name == v.Name })
		}
		if builds {
			return j, nil
		}
		if may == nil || may.Reads(views) != nil && j.Reads(views) == nil {
			may = j
		}
	}
	if may == nil {
		return nil, usageError{errors.New("the project declares no job, under whose purpose events could be read")}
	}
	return may, nil
}

// previewJSON is a preview whose rows name their columns.
type previewJSON struct {
	*jobs.ViewPreview
	Rows []previewRow `json:"rows"`
}

type previewRow struct {
	Entity []string       `json:"entity"`
	Values map[string]any `json:"values"`
}

func shownPreview(v *jobs.ViewPreview) previewJSON {
	out := previewJSON{ViewPreview: v, Rows: []previewRow{}}
	for _, r := range v.Rows {
		x := previewRow{Entity: r.Entity, Values: map[string]any{}}
		for i, c := range v.Columns {
			x.Values[c.Column] = r.Values[i]
		}
		out.Rows = append(out.Rows, x)
	}
	return out
}

func printPreviewed(w io.Writer, v features.View, p *jobs.ViewPreview) {
	row(w, "view", v.Name)
	row(w, "interval", p.Interval)
	row(w, "purpose", p.Purpose+" (job "+p.Job+")")
	row(w, "sample", fmt.Sprintf("%s, %g %% asked for", count(int(p.Entities), "row"), 100*p.Sample))
	row(w, "days", fmt.Sprintf("%d ingested", p.Days))
	if m := p.Missing; m.Days > 0 {
		row(w, "", fmt.Sprintf("%d not ingested yet, and not in the values: %s, %s", m.Days, count(m.Files, "file"), bytesOf(m.Bytes)))
	}
	printRefused(w, p.Refused, v.Name)
	if p.Entities == 0 {
		row(w, "nothing", "the sample holds no entity with an event: a larger --sample shows some")
	} else {
		text := fmt.Sprintf("about %d rows from %d events, %s to read, %s", p.Whole.Entities, p.Whole.Rows, bytesOf(p.Whole.Bytes), took(p.Whole.Seconds))
		if p.Whole.Memory > 0 {
			text += ", " + bytesOf(p.Whole.Memory) + " of memory"
		}
		row(w, "whole build", text+"; without writing it")
	}
	row(w)
	printProfile(w, p.Columns)
	for _, r := range p.Rows {
		row(w)
		entity := strings.Join(r.Entity, " and ")
		row(w, strings.ReplaceAll(v.Key, features.KeyAnd, " and ")+" "+entity)
		for i, c := range p.Columns {
			row(w, "  "+c.Column, shownValue(r.Values[i]))
		}
	}
}
