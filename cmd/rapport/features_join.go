package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/aggregate"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/table"
)

func (a *app) featuresJoinCmd() *cobra.Command {
	var job, at, from, to string
	var keep []string
	var force bool
	c := &cobra.Command{
		Use:   "join VIEW... --examples FILE --to FILE [--force] [--keep COLUMN,…] [--at T] [--job JOB]",
		Short: "Training rows: views as of each example's moment, with what was known then and nothing later",
		Long: "For each row of the examples (CSV, TSV or Parquet: who, when, and what is to be learned), compute the views as of its moment from the days that are\n" +
			"ingested, and write them beside it (CSV or Parquet, by the name of the file). Columns are found by the names of the project (subject, item, time,\n" +
			"context columns), or of its event source. Only what --keep names is handed through: labels, weights.\n\n" +
			"Ids of subjects become their numbers. An example of somebody whose data may not be used is left out, as an event of that moment would be,\n" +
			"and so is one of anybody that is older than keep.events. One of an unknown item is kept, with no event of it.\n" +
			"An event counts if it lies before the example's moment and, where the source says when events became known (sources.events.created), was known by then.",
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" || to == "" {
				return usageError{errors.New("features join: --examples FILE and --to FILE are needed")}
			}
			if err := mayWrite(to, from, force); err != nil {
				return usageError{fmt.Errorf("--to: %w", err)}
			}
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			var views []features.View
			for i, name := range args {
				v, err := declaredView(p.DeclaredViews(), name)
				if err != nil {
					return err
				}
				if slices.Contains(args[:i], name) {
					return usageError{fmt.Errorf("features join: view %s is named twice", name)}
				}
				views = append(views, v)
			}
			j, err := p.jobFor(views, job)
			if err != nil {
				return err
			}
			iv, err := interval(j, at, p.runner.Now())
			if err != nil {
				return err
			}
			x, err := openExamples(cmd.Context(), from, j, views, keep)
			if err != nil {
				return usageError{fmt.Errorf("--examples %s: %w", filepath.Base(from), err)}
			}
			if err := a.logExamples(cmd, p, x); err != nil {
				return err
			}
			w, err := createRows(to, x.Joined(j, views))
			if err != nil {
				return usageError{fmt.Errorf("--to: %w", err)}
			}
			res, err := p.runner.JoinViews(cmd.Context(), j, views, iv, x, w.append)
			p.progress.done()
			if err = w.close(err); err != nil {
				if errors.Is(err, jobs.ErrExamples) {
					err = usageError{err}
				}
				return previewFault(err)
			}
			out := joinedRows{Joined: res, To: to, Columns: w.columns()}
			return a.print(out, func(w io.Writer) { printJoined(w, out) })
		},
	}
	c.Flags().StringVar(&from, "examples", "", "file of examples: .csv, .tsv or .parquet")
	c.Flags().StringVar(&to, "to", "", "file to write: .csv or .parquet")
	c.Flags().BoolVar(&force, "force", false, "replace the file that --to names")
	c.Flags().StringSliceVar(&keep, "keep", nil, "columns of the examples that are handed through, as label,weight")
	c.Flags().StringVar(&at, "at", "", "a day or an RFC 3339 time: no later event is seen (default: the end of the last interval that has closed)")
	c.Flags().StringVar(&job, "job", "", "under which job's purpose (default: the one that builds the views, else one that may)")
	return c
}

// logExamples writes down in the access log whose records a join is about to read: the people of the examples, by mark if they are few. It reads their ids once more.
func (a *app) logExamples(cmd *cobra.Command, p *project, x jobs.Examples) error {
	at := x.Schema.Index(features.KeySubject)
	if at < 0 {
		return nil
	}
	named, people, key := map[string]bool{}, aggregate.Registers{}, p.Keys.ServingKey()
	for b, err := range x.Read(cmd.Context()) {
		if err != nil {
			break // the join says why, and reads nothing either
		}
		for i := range b.N {
			if b.Cols[at].Null(i) {
				continue
			}
			id, err := event.Canonical(b.Cols[at].Text(i))
			if err != nil {
				continue // nobody's
			}
			people.Add(readHash(event.OnlineKey(key, id)), 0)
			if len(named) <= event.MaxMarks {
				named[id] = true
			}
		}
	}
	switch {
	case len(named) == 0:
		return nil
	case len(named) <= event.MaxMarks:
		return p.runner.LogAccess(cmd.Context(), a.who(), verb(cmd), slices.Collect(maps.Keys(named)))
	}
	return p.runner.LogRequests(cmd.Context(), a.who(), verb(cmd), 0, max(int(people.Result(0)), len(named)), nil)
}

// joinedRows are the facts of a join, and where its rows are.
type joinedRows struct {
	*jobs.Joined
	To      string   `json:"to"`
	Columns []string `json:"columns"`
}

func printJoined(w io.Writer, j joinedRows) {
	row(w, "views", strings.Join(j.Views, ", "))
	row(w, "purpose", j.Purpose+" (job "+j.Job+")")
	row(w, "seen", fmt.Sprintf("%d ingested days before %s, as of each example's moment", j.Days, clock(j.Interval.End)))
	if m := j.Missing; m.Days > 0 {
		row(w, "", fmt.Sprintf("%s not ingested yet, and not seen: %s, %s", count(m.Days, "day"), count(m.Files, "file"), bytesOf(m.Bytes)))
	}
	row(w, "examples", j.Read)
	for _, why := range slices.Sorted(maps.Keys(j.LeftOut)) {
		row(w, "left out", fmt.Sprintf("%d %s", j.LeftOut[why], why))
	}
	for _, v := range j.Views {
		printRefused(w, j.Stats.Refused, v)
	}
	row(w, "written", fmt.Sprintf("%s of %s to %s", count(j.Rows, "row"), count(len(j.Columns), "column"), j.To))
}

// roles are the columns of a file of examples that have a meaning: where each stands under the project's name, or the event source's.
type roles struct {
	name, column string // here, there
	want         table.Type
	needed       bool
}

// findRoles finds the columns of a file: subject, item and time, the keys of the views, and those that are kept.
func findRoles(j *jobs.Job, views []features.View, keep, has []string) ([]roles, error) {
	e := j.Events
	source := map[string]string{features.KeySubject: e.Subject, features.KeyItem: e.Item, "time": e.Time, "kind": e.Kind}
	maps.Copy(source, e.Columns)
	out := []roles{{name: features.KeySubject, want: table.String}, {name: features.KeyItem, want: table.String}, {name: "time", want: table.Time, needed: true}}
	for _, v := range views {
		for _, k := range v.Keys() {
			at := slices.IndexFunc(out, func(r roles) bool { return r.name == k })
			if at < 0 {
				out, at = append(out, roles{name: k, want: table.String}), len(out)
			}
			out[at].needed = true
		}
	}
	for i := range out {
		r := &out[i]
		for _, c := range []string{r.name, source[r.name]} {
			if r.column == "" && c != "" && slices.Contains(has, c) {
				r.column = c
			}
		}
		if r.column == "" && r.needed {
			also := ""
			if s := source[r.name]; s != "" && s != r.name {
				also = fmt.Sprintf(" or %q", s)
			}
			return nil, fmt.Errorf("no column %q%s; it has %s", r.name, also, strings.Join(has, ", "))
		}
	}
	out = slices.DeleteFunc(out, func(r roles) bool { return r.column == "" })
	for _, k := range keep {
		switch {
		case slices.ContainsFunc(out, func(r roles) bool { return r.column == k && (r.name == k || r.name == features.KeySubject) }):
			if k == e.Subject && k != features.KeySubject {
				return nil, fmt.Errorf("column %q names people: it is written as their number under \"subject\", and is not handed through; leave it out of --keep", k)
			}
			continue // it stands there anyhow
		case !slices.Contains(has, k):
			return nil, fmt.Errorf("no column %q to keep; it has %s", k, strings.Join(has, ", "))
		case k == e.Subject:
			return nil, fmt.Errorf("column %q names people, and is not handed through; leave it out of --keep", k)
		case slices.ContainsFunc(out, func(r roles) bool { return r.name == k }):
			return nil, fmt.Errorf("column %q can't be kept: another column stands under its name", k)
		}
		out = append(out, roles{name: k, column: k})
	}
	return out, nil
}

// rowsFile is a file of rows that is being written beside its place, and moved there when it is whole.
type rowsFile struct {
	to     string
	file   *os.File
	schema table.Schema
	csv    *csv.Writer
	rows   *table.FileWriter
}

// mayWrite refuses to replace the examples, and, unless that is asked for, any other file.
func mayWrite(to, from string, force bool) error {
	there, err := os.Stat(to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if x, err := os.Stat(from); err == nil && os.SameFile(there, x) {
		return fmt.Errorf("%s is the file of the examples, which would be lost: give another name", filepath.Base(to))
	}
	if !there.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file, and is not replaced", filepath.Base(to))
	}
	if !force {
		return fmt.Errorf("%s is there already: give another name, or --force to replace it", filepath.Base(to))
	}
	return nil
}

func createRows(to string, s table.Schema) (*rowsFile, error) {
	kind := strings.ToLower(filepath.Ext(to))
	if kind != ".csv" && kind != ".parquet" {
		return nil, fmt.Errorf("%s: want a name that ends in .csv or .parquet", filepath.Base(to))
	}
	f, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".*.part")
	if err != nil {
		return nil, err
	}
	w := &rowsFile{to: to, file: f, schema: s}
	if kind == ".parquet" {
		w.rows, err = table.NewFileWriter(f, s)
	} else {
		w.csv = csv.NewWriter(f)
		err = w.csv.Write(w.columns())
	}
	if err != nil {
		return nil, w.close(err)
	}
	return w, nil
}

func (w *rowsFile) columns() []string {
	out := make([]string, len(w.schema))
	for i, f := range w.schema {
		out[i] = f.Name
	}
	return out
}

func (w *rowsFile) append(b *table.Batch) error {
	if w.rows != nil {
		return w.rows.Append(b)
	}
	cells := make([]string, len(b.Cols))
	for i := range b.N {
		for c := range b.Cols {
			cells[c] = cell(&b.Cols[c], w.schema[c].Type, i)
		}
		if err := w.csv.Write(cells); err != nil {
			return err
		}
	}
	return nil
}

// decimal writes a number without an exponent, unless it would be long, as JSON does: 20000000, not 2e+07.
func decimal(f float64) string {
	form := byte('f')
	if x := math.Abs(f); x != 0 && (x < 1e-6 || x >= 1e21) {
		form = 'e'
	}
	return strconv.FormatFloat(f, form, -1, 64)
}

// cell writes one value as CSV has it: nothing for null, times as RFC 3339.
func cell(c *table.Column, t table.Type, i int) string {
	switch {
	case c.Null(i):
		return ""
	case t == table.Time:
		return time.UnixMicro(c.Int[i]).UTC().Format(time.RFC3339Nano)
	case t == table.Bool:
		return strconv.FormatBool(c.Int[i] != 0)
	case t == table.Float64:
		return decimal(c.Float[i])
	case c.Int != nil:
		return strconv.FormatInt(c.Int[i], 10)
	}
	return c.Text(i)
}

// close ends the file. Unless all went well, nothing is left of it.
func (w *rowsFile) close(err error) error {
	if err == nil && w.rows != nil {
		err = w.rows.Close()
	}
	if err == nil && w.csv != nil {
		w.csv.Flush()
		err = w.csv.Error()
	}
	if err == nil {
		err = w.file.Sync() // else a crash could leave the name without the rows
	}
	err = cmp.Or(err, w.file.Close())
	if err == nil {
		err = os.Rename(w.file.Name(), w.to)
	}
	if err != nil {
		w.file.Close() // it may be closed already
		os.Remove(w.file.Name())
	}
	return err
}
