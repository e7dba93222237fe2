package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

func (a *app) featuresCmd() *cobra.Command {
	c := group(&cobra.Command{Use: "features", Short: "Views: what they are, how they were built, what they would hold, and the live row of an entity"})
	c.AddCommand(a.featuresListCmd(), a.featuresShowCmd(), a.featuresGetCmd(), a.featuresPreviewCmd(), a.featuresJoinCmd())
	return c
}

// viewLine is a view with its use and its last build.
type viewLine struct {
	Name        string    `json:"name"`
	Key         string    `json:"key"`
	Windows     []string  `json:"windows"`
	Hop         string    `json:"hop,omitempty"`
	Features    []string  `json:"features"`
	Approximate []string  `json:"approximate"` // of Features, those that are estimates
	Jobs        []viewUse `json:"jobs"`
	State       string    `json:"state"` // fresh, behind, changed (the definition, since the last build) or not built
	Built       *viewAge  `json:"built,omitempty"`
}

// viewUse is a job that builds a view.
type viewUse struct {
	Job       string `json:"job"`
	Published bool   `json:"published"`
}

// viewAge is a build and how old it is.
type viewAge struct {
	*jobs.ViewBuilt
	AgeSeconds float64 `json:"age_seconds"` // since as_of
	Behind     int     `json:"behind"`      // intervals that have closed since
}

// viewLines says how the views stand.
func (p *project) viewLines(ctx context.Context, views []features.View) ([]viewLine, error) {
	built, err := p.runner.Views(ctx, views)
	if err != nil {
		return nil, err
	}
	now := p.runner.Now()
	out := []viewLine{}
	for _, v := range views {
		l := viewLine{Name: v.Name, Key: v.Key, Windows: windowNames(v), Features: []string{}, Approximate: []string{}, Jobs: []viewUse{}, State: "not built"}
		if v.Hop > 0 {
			l.Hop = features.FormatWindow(v.Hop)
		}
		for _, f := range v.Features {
			l.Features = append(l.Features, f.Name)
			if !f.Op.Exact() {
				l.Approximate = append(l.Approximate, f.Name)
			}
		}
		var every *table.Every // of the job that makes it most often
		named := func(v features.View) func(features.View) bool {
			return func(x features.View) bool { return x.Name == v.Name }
		}(v)
		for _, name := range p.JobNames() {
			j, err := p.Job(name)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(j.Views, named) {
				continue
			}
			l.Jobs = append(l.Jobs, viewUse{name, slices.ContainsFunc(j.Published, named)})
			if every == nil || length(j.Every, now) < length(*every, now) {
				every = &j.Every
			}
		}
		if b := built[v.Name]; b != nil {
			l.Built, l.State = &viewAge{ViewBuilt: b, AgeSeconds: now.Sub(b.AsOf).Seconds()}, "fresh"
			if every != nil && b.AsOf.Before(every.At(now).End) {
				l.Built.Behind, l.State = len(every.Between(b.AsOf, every.At(now).End)), "behind"
			}
			if b.Current != nil && !*b.Current {
				l.State = "changed"
			}
		}
		out = append(out, l)
	}
	return out, nil
}

func length(e table.Every, now time.Time) time.Duration {
	iv := e.At(now)
	return iv.End.Sub(iv.Start)
}

func windowNames(v features.View) []string {
	out := []string{}
	for _, d := range v.SortedWindows() {
		out = append(out, features.FormatWindow(d))
	}
	return out
}

// says tells the state in words.
func (l viewLine) says() string {
	switch l.State {
	case "behind":
		return count(l.Built.Behind, "interval") + " behind"
	case "changed":
		return "built by another definition"
	}
	return l.State
}

func (l viewLine) jobNames() string {
	var out []string
	for _, j := range l.Jobs {
		if j.Published {
			out = append(out, j.Job)
		} else {
			out = append(out, j.Job+" (not published)")
		}
	}
	return cmp.Or(strings.Join(out, ", "), "-")
}

func (a *app) featuresListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The views of the project, and how fresh they are", Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			out, err := p.viewLines(cmd.Context(), p.DeclaredViews())
			if err != nil {
				return err
			}
			return a.print(out, func(w io.Writer) {
				row(w, "VIEW", "KEY", "WINDOWS", "FEATURES", "JOBS", "AS OF", "AGE", "ROWS", "SIZE", "STATE")
				for _, l := range out {
					names := slices.Clone(l.Features)
					for i, f := range names {
						if slices.Contains(l.Approximate, f) {
							names[i] = "~" + f
						}
					}
					cells := []any{l.Name, l.Key, strings.Join(l.Windows, " "), strings.Join(names, " "), l.jobNames(), "-", "-", "-", "-", l.says()}
					if b := l.Built; b != nil {
						cells[5], cells[6], cells[7], cells[8] = clock(b.AsOf), ago(b.AgeSeconds), b.Rows, bytesOf(b.Bytes)
					}
					row(w, cells...)
				}
			})
		},
	}
}

// ago writes an age in its largest unit.
func ago(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}

// declaredView finds a view by its name.
func declaredView(views []features.View, name string) (features.View, error) {
	at := slices.IndexFunc(views, func(v features.View) bool { return v.Name == name })
	if at < 0 {
		return features.View{}, notFoundError{fmt.Errorf("no view %q is declared; rapport features list shows them", name)}
	}
	return views[at], nil
}

// shownView is all that is known of a view.
type shownView struct {
	viewLine
	Reads   []string             `json:"reads"` // columns of events, beside their time
	Defined []shownFeature       `json:"definition"`
	Columns []jobs.ColumnProfile `json:"columns"` // of the table of the last build
}

// shownFeature is a feature in words.
type shownFeature struct {
	Feature string `json:"feature"`
	Is      string `json:"is"`      // the operator with its column and filter
	Means   string `json:"means"`   // in words
	Formula string `json:"formula"` //
	Exact   bool   `json:"exact"`
	Error   string `json:"error,omitempty"` // of an estimate
	Empty   string `json:"empty"`           // what an entity has that has no value in a window
	Since   string `json:"since"`           // how the next build gets it from the last one's state
}

func (a *app) featuresShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show VIEW", Short: "A view: what each column means, how exact it is, what it holds, and what it cost", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), false)
			if err != nil {
				return err
			}
			defer p.Close()
			v, err := declaredView(p.DeclaredViews(), args[0])
			if err != nil {
				return err
			}
			lines, err := p.viewLines(cmd.Context(), []features.View{v})
			if err != nil {
				return err
			}
			out := shownView{viewLine: lines[0], Reads: v.Columns(), Columns: []jobs.ColumnProfile{}}
			for _, f := range v.Features {
				x := f.Op.Words()
				out.Defined = append(out.Defined, shownFeature{f.Name, f.Definition(), x.Says, x.Formula, f.Op.Exact(), x.Error, x.Nulls, x.Since})
			}
			if b := lines[0].Built; b != nil {
				if out.Columns, err = p.runner.ViewColumns(cmd.Context(), v, b.ViewBuilt); err != nil {
					return err
				}
			}
			return a.print(out, func(w io.Writer) { printView(w, out) })
		},
	}
}

func printView(w io.Writer, v shownView) {
	row(w, "view", v.Name)
	row(w, "key", strings.ReplaceAll(v.Key, features.KeyAnd, " and "))
	row(w, "windows", strings.Join(v.Windows, " "))
	if v.Hop != "" {
		row(w, "hop", v.Hop)
	}
	row(w, "reads", strings.Join(v.Reads, ", "))
	row(w, "jobs", v.jobNames())
	row(w, "state", v.says())
	if b := v.Built; b != nil {
		row(w, "as of", fmt.Sprintf("%s, %s ago", clock(b.AsOf), ago(b.AgeSeconds)))
		row(w, "rows", fmt.Sprintf("%d, %s", b.Rows, bytesOf(b.Bytes)))
		from := "from all events of its windows"
		if b.Stats.Prior != nil {
			from = fmt.Sprintf("from the state of %s (%d rows) and the events since", clock(*b.Stats.Prior), b.Stats.States)
		}
		row(w, "built", clock(b.Committed), from)
		if b.Cost != nil {
			text := fmt.Sprintf("%s, %d events and %s read, all views of job %s in one scan", took(b.Cost.Seconds), b.Stats.RowsIn, bytesOf(b.Cost.BytesRead), b.Job)
			if b.Stats.Spilled > 0 {
				text += fmt.Sprintf(", %s spilled", bytesOf(b.Stats.Spilled))
			}
			row(w, "cost", text)
		}
		if b.Run != "" {
			row(w, "run", b.Run)
		}
		printRefused(w, b.Stats.Refused, v.Name)
	}
	row(w)
	row(w, "FEATURE", "IS", "MEANS", "FORMULA", "ERROR", "WITHOUT A VALUE", "FROM THE LAST STATE")
	for _, f := range v.Defined {
		row(w, f.Feature, f.Is, f.Means, f.Formula, cmp.Or(f.Error, "exact"), f.Empty, f.Since)
	}
	if len(v.Columns) > 0 {
		row(w)
		printProfile(w, v.Columns)
	}
}

// printRefused tells what a build could not compute with.
func printRefused(w io.Writer, refused map[string]int64, view string) {
	for _, what := range slices.Sorted(maps.Keys(refused)) {
		switch {
		case what == "time":
			row(w, "refused", count(refused[what], "event")+" without a time")
		case what == view:
			row(w, "refused", count(refused[what], "event")+" without the key")
		case strings.HasPrefix(what, view+"."):
			row(w, "refused", fmt.Sprintf("%s of %s that can't be computed with", count(refused[what], "value"), strings.TrimPrefix(what, view+".")))
		}
	}
}

// printProfile prints what columns hold. Figures under a ~ are approximate, as features are that have one: quantiles to 1 %, numbers of values to 1.6 %.
func printProfile(w io.Writer, cs []jobs.ColumnProfile) {
	row(w, "COLUMN", "TYPE", "NULLS", "MIN", "~P10", "~MEDIAN", "~P90", "MAX", "~DISTINCT")
	for _, c := range cs {
		share := "-"
		if c.Rows > 0 {
			share = fmt.Sprintf("%.1f %%", 100*float64(c.Nulls)/float64(c.Rows))
		}
		row(w, c.Column, c.Type, share, number(c.Min), number(c.P10), number(c.Median), number(c.P90), number(c.Max), c.Distinct)
	}
}

func number(x *float64) string {
	if x == nil {
		return "-"
	}
	if math.Abs(*x) < 1e15 && *x == math.Trunc(*x) {
		return strconv.FormatFloat(*x, 'f', 0, 64)
	}
	return strconv.FormatFloat(*x, 'g', 6, 64)
}

func (a *app) featuresGetCmd() *cobra.Command {
	var ids string
	var times bool
	c := &cobra.Command{
		Use: "get VIEW --ids FILE|- [--times]", Short: "The live row of entities (subjects by raw id, items by item id)", Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer p.Close()
			v, err := declaredView(p.DeclaredViews(), args[0])
			if err != nil {
				return err
			}
			if v.Key != features.KeySubject && v.Key != features.KeyItem {
				return usageError{fmt.Errorf("view %s is keyed by %s and is not published: rapport features preview %s shows some of its rows", v.Name, strings.Join(v.Keys(), " and "), v.Name)}
			}
			entities, err := a.readIDs(ids)
			if err != nil {
				return err
			}
			if v.Key == features.KeySubject {
				if err := a.logAccess(cmd, p, entities); err != nil {
					return err
				}
			}
			return a.printFeatures(cmd.Context(), p, v, entities, times)
		},
	}
	c.Flags().BoolVar(&times, "times", false, "with when the newest event was that counts in each feature; reads the events of the view's longest window")
	c.Flags().StringVar(&ids, "ids", "", "file of ids, one a line, or - for standard input")
	return c
}

// featureRow is one entity's live row. Entity is the online key of a subject: raw ids are not repeated.
type featureRow struct {
	Entity     string               `json:"entity"`
	AsOf       time.Time            `json:"as_of,omitzero"` // the moment before which all events of the values lie
	Generation uint64               `json:"generation,omitempty"`
	Status     string               `json:"status"`
	Values     online.FeatureValues `json:"values"`
	// Newest is when the newest event was that counts in a feature, within the longest window: by feature, with --times.
	Newest map[string]time.Time `json:"newest,omitempty"`
}

func (a *app) printFeatures(ctx context.Context, p *project, v features.View, entities []string, times bool) error {
	out := []featureRow{}
	found := -1
	for i, id := range entities {
		entity := id
		if v.Key == features.KeySubject {
			var err error
			if entity, err = p.names.Of(ctx, id); err != nil {
				return err
			}
		}
		f, ptr, err := online.LookupFeatures(ctx, p.Online, v.Name, entity, table.Micros(p.runner.Now()))
		l := featureRow{Entity: entity, Generation: ptr.Generation, Status: "PRESENT", Values: f.Values}
		switch {
		case errors.Is(err, online.ErrNotFound), errors.Is(err, online.ErrDenied):
			l.Status = "NOT_FOUND" // a denied subject is not told apart
		case errors.Is(err, online.ErrNoGeneration):
			return notFoundError{fmt.Errorf("%w; rapport run JOB publishes one", err)}
		case err != nil:
			return err
		default:
			found = i
			l.AsOf = f.AsOf
		}
		out = append(out, l)
	}
	if times && found >= 0 {
		if err := p.addTimes(ctx, v, entities, out, out[found].AsOf); err != nil {
			return err
		}
	}
	err := a.print(out, func(w io.Writer) { printRows(w, v, out) })
	if err == nil && found < 0 {
		err = notFoundError{fmt.Errorf("view %s holds none of the entities", v.Name)}
	}
	return err
}

func printRows(w io.Writer, v features.View, rows []featureRow) {
	for _, l := range rows {
		row(w, l.Entity, l.Status, clock(l.AsOf), fmt.Sprintf("generation %d", l.Generation))
		for _, f := range v.Features {
			for _, d := range v.SortedWindows() {
				name := features.ColumnName(f.Name, d)
				x, ok := l.Values[name]
				if !ok {
					continue // published before the view was given this column
				}
				cells := []any{"  " + name, shownValue(x)}
				if t, ok := l.Newest[f.Name]; ok && !t.Before(l.AsOf.Add(-d)) {
					cells = append(cells, "newest event "+clock(t))
				}
				row(w, cells...)
			}
		}
	}
}

// addTimes adds to the rows that are there when their newest events were.
func (p *project) addTimes(ctx context.Context, v features.View, entities []string, rows []featureRow, asOf time.Time) error {
	j, err := p.jobFor([]features.View{v}, "")
	if err != nil {
		return err
	}
	var present []string
	for i, r := range rows {
		if r.Status == "PRESENT" {
			present = append(present, entities[i])
		}
	}
	newest, err := p.runner.NewestEvents(ctx, j, v, j.Every.At(asOf), present)
	p.progress.done()
	if err != nil {
		return previewFault(err)
	}
	for i := range rows {
		if rows[i].Status == "PRESENT" {
			rows[i].Newest = newest[entities[i]]
		}
	}
	return nil
}

// shownValue writes a value for people: the lists of top and sequence, which are JSON, with spaces between.
func shownValue(x any) string {
	switch x := x.(type) {
	case nil:
		return "null"
	case string:
		var list []any
		d := json.NewDecoder(strings.NewReader(x))
		d.UseNumber() // integers keep all their digits
		if strings.HasPrefix(x, "[") && d.Decode(&list) == nil && !d.More() {
			parts := make([]string, len(list))
			for i, e := range list {
				parts[i] = fmt.Sprint(e)
			}
			return strings.Join(parts, ", ")
		}
		return x
	}
	return fmt.Sprint(x)
}
