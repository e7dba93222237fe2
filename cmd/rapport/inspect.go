package main

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/inspect"
	"github.com/rapport-ml/rapport/storage"
)

// hints are the flags by which somebody says what inspect need not guess.
type hints struct {
	inspect.Hints
	endpoint string
}

func (h *hints) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&h.Subject, "subject", "", "column that names the subject")
	f.StringVar(&h.Item, "item", "", "column that names the item, as sku or items[].sku")
	f.StringVar(&h.At, "time", "", "column that holds the time of an event")
	f.StringVar(&h.Kind, "kind", "", "column that says what happened")
	f.StringVar(&h.Value, "value", "", "column that holds an amount or a price")
	f.StringVar(&h.Explode, "explode", "", "list of which each element is an event")
	f.StringVar(&h.Zone, "zone", "", "zone of local times, as Europe/Berlin")
	f.StringVar(&h.TimeFormat, "time-format", "", "form of times that are text, as %d.%m.%Y %H:%M")
	f.StringVar(&h.endpoint, "endpoint", "", "of an S3-compatible store that is not AWS, as http://localhost:9000")
}

func (h *hints) storage() storage.Options {
	return storage.Options{S3: storage.S3{Endpoint: h.endpoint, PathStyle: h.endpoint != ""}}
}

// check says what is wrong with flags that nobody would look at otherwise before the files have been read.
func (h *hints) check() error {
	if h.Zone != "" {
		if _, err := time.LoadLocation(h.Zone); err != nil || h.Zone == "Local" {
			return fmt.Errorf("--zone %q: want a name, as Europe/Berlin", h.Zone)
		}
	}
	return nil
}

func (a *app) inspectCmd() *cobra.Command {
	var h hints
	c := &cobra.Command{
		Use:   "inspect URL",
		Short: "Look at real Parquet files: columns, types, guessed roles, times, kinds, suspected identifiers (none of their values)",
		Long: "inspect reads the footers and one row group of the first, the middle and the last file at a URL: a file, a folder or a pattern, as\n" +
			"file:./export, s3://bucket/events or file:./export/dt={date}/*.parquet. S3 credentials come from the environment.\n" +
			"It prints no value of a column that may identify somebody.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := h.check(); err != nil {
				return usageError{err}
			}
			e, err := inspect.Look(cmd.Context(), args[0], h.storage(), h.Hints)
			if err != nil {
				return err
			}
			return a.print(e, func(w io.Writer) { printExport(w, e, args[0]) })
		},
	}
	h.flags(c)
	return c
}

func printExport(w io.Writer, e *inspect.Export, url string) {
	row(w, "files", fmt.Sprintf("%d, %s", e.Files, bytesOf(e.Bytes)))
	row(w, "path", e.Path)
	dated := "no: the times in each file say which days it holds"
	if e.Dated {
		dated = "yes"
	}
	row(w, "date in the path", dated)
	row(w, "looked at", fmt.Sprintf("%s: %d rows, of which %d were read", strings.Join(e.Looked, ", "), e.Rows, e.Sample))
	if !e.Last.IsZero() {
		row(w, "events", fmt.Sprintf("%s to %s, in these files", clock(e.First), clock(e.Last)))
	}
	fmt.Fprintln(w)
	row(w, "COLUMN", "TYPE", "NULL", "DISTINCT", "RANGE", "ROLE", "WHY, OR WHAT TO MIND")
	for _, c := range e.Columns {
		span := "-"
		if c.Min != "" {
			span = c.Min + " … " + c.Max
		}
		role := c.Role
		if role == "" {
			role = "-"
		}
		var mind []string
		if c.Why != "" {
			mind = append(mind, c.Why)
		}
		if c.Time != "" {
			mind = append(mind, c.Time)
		}
		if c.Suspected != "" {
			mind = append(mind, "SUSPECTED: "+c.Suspected+"; no value is shown")
		}
		if c.Tells != nil {
			mind = append(mind, "MAY TELL OF "+c.Tells.String())
		}
		if c.Problem != "" {
			mind = append(mind, c.Problem)
		}
		if c.Files < len(e.Looked) {
			mind = append(mind, fmt.Sprintf("in %d of %d files", c.Files, len(e.Looked)))
		}
		name := c.Name
		if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) { // a producer's own, which a terminal must not obey
			name = strconv.Quote(name)
		}
		row(w, name, c.Type, fmt.Sprintf("%.1f %%", 100*c.Nulls), c.Distinct, span, role, strings.Join(mind, "; "))
	}
	if len(e.Kinds) > 0 {
		fmt.Fprintln(w)
		row(w, "KIND", "ROWS OF THE SAMPLE", "CALLED")
		for _, k := range e.Kinds {
			called := e.Events.Kinds[k.Name]
			if called == "-" {
				called = "- (left out)"
			}
			row(w, k.Name, k.Rows, called)
		}
	}
	fmt.Fprintln(w)
	for _, n := range e.Notes {
		row(w, "note", n)
	}
	row(w, "next", fmt.Sprintf("rapport init DIR --from %s", url))
}

// initFrom makes a project for an export.
func (a *app) initFrom(cmd *cobra.Command, dir, from, basis, consent string, h hints) error {
	if err := h.check(); err != nil {
		return usageError{err}
	}
	switch {
	case basis != "" && basis != "consent" && basis != "legitimate-interest":
		return usageError{fmt.Errorf("init: --basis %q: consent or legitimate-interest", basis)}
	case consent != "" && basis != "consent":
		return usageError{fmt.Errorf("init: --consent goes with --basis consent")}
	}
	if err := unmade(dir); err != nil {
		return usageError{err}
	}
	e, err := inspect.Look(cmd.Context(), from, h.storage(), h.Hints)
	if err != nil {
		return err
	}
	p := inspect.Plan{Project: projectName(dir), Endpoint: h.endpoint, Basis: basis, Now: a.wall()}
	for _, url := range []struct {
		to   *string
		from string
	}{{&p.Path, e.Path}, {&p.Consent, consent}} {
		if *url.to, err = fromFolder(dir, url.from); err != nil {
			return err
		}
	}
	if err := a.putProject(dir, e.Project(p), false); err != nil {
		return err
	}
	file := filepath.Join(dir, projectFile)
	open := e.Open(p)
	next := fmt.Sprintf("cd %s && rapport validate && rapport run nightly", dir)
	if len(open) > 0 {
		next = fmt.Sprintf("fill in what is left open in %s (rapport validate names each line), then rapport run nightly", file)
	}
	out := struct {
		Project string          `json:"project"`
		From    string          `json:"from"`
		Events  inspect.Mapping `json:"events"`
		Pinned  time.Time       `json:"clock_pinned_to,omitzero"`
		Open    []string        `json:"left_open"`
		Notes   []string        `json:"notes,omitempty"`
	}{file, e.Path, e.Events, e.Pinned(p.Now), append([]string{}, open...), e.Notes}
	return a.print(out, func(w io.Writer) {
		row(w, "project", file)
		row(w, "from", fmt.Sprintf("%s: %s, %s", e.Path, count(e.Files, "file"), bytesOf(e.Bytes)))
		for _, g := range [][2]string{
			{"explode", e.Events.Explode}, {"subject", e.Events.Subject}, {"item", e.Events.Item}, {"at", e.Events.At}, {"kind", e.Events.Kind}, {"value", e.Events.Value},
		} {
			if g[1] != "" {
				row(w, g[0], g[1])
			}
		}
		if !out.Pinned.IsZero() {
			row(w, "clock", fmt.Sprintf("pinned to %s, the night after the newest event", clock(out.Pinned)))
		}
		for _, n := range e.Notes {
			row(w, "note", n)
		}
		for _, o := range open {
			row(w, "left open", o)
		}
		row(w, "key", "pseudonym.key is new, readable by you alone and ignored by git: keep a copy; who loses it can join nobody to what is known of them")
		row(w, "next", next)
	})
}

var notName = regexp.MustCompile(`[^a-z0-9_-]+`)

// projectName makes a project's name of its folder's.
func projectName(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	name := strings.Trim(notName.ReplaceAllString(strings.ToLower(filepath.Base(abs)), "-"), "-_0123456789")
	if name == "" {
		return "shop"
	}
	return name[:min(len(name), 64)]
}

// fromFolder makes the path of a file: URL start at the project's folder, as a project file has it.
func fromFolder(dir, url string) (string, error) {
	path, ok := strings.CutPrefix(url, "file:")
	if !ok {
		return url, nil
	}
	path = strings.TrimPrefix(path, "//")
	if filepath.IsAbs(path) {
		return "file:" + path, nil
	}
	from, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	to, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(from, to)
	if err != nil {
		return "", err
	}
	return "file:" + filepath.ToSlash(rel), nil
}
