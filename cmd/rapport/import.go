package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/cmd/internal/importer"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
)

func (a *app) importCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "import FORMAT PATH... --to DIR",
		Short: "Turn a data set on disk into Parquet and a project that runs on it",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError{fmt.Errorf("import: %q is no known format; there are csv, movielens and completejourney", args[0])}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// The flags belong to the formats; a format that does not exist is the fault to name.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
	}
	c.AddCommand(a.importCSVCmd(), a.importMovieLensCmd(), a.importJourneyCmd())
	return c
}

// importTo is the flag that all imports have.
func importTo(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "to", "", "folder of the new project")
}

func (a *app) importJourneyCmd() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "completejourney PATH --to DIR",
		Short: "The Complete Journey: a year of grocery purchases (tab-separated files)",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var now time.Time
			facts, err := a.stage(cmd.Context(), &to, func(ctx context.Context, raw storage.Bucket, _ string, _ importProgress) (importer.Facts, []byte, error) {
				facts, err := importer.CompleteJourney(ctx, args[0], raw, "")
				if err != nil {
					return facts, nil, err
				}
				// The first Monday after the last event, at the hour at which the job is due.
				now = facts.Last.Truncate(24*time.Hour).AddDate(0, 0, 1)
				for now.Weekday() != time.Monday {
					now = now.AddDate(0, 0, 1)
				}
				body, err := configs.Template("completejourney", now.Add(3*time.Hour), "file:./raw")
				return facts, body, err
			})
			if err != nil {
				return err
			}
			return a.imported(facts, to, "plan weekly")
		},
	}
	importTo(c, &to)
	return c
}

func (a *app) importMovieLensCmd() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "movielens PATH --to DIR",
		Short: "MovieLens: ML-100K, ML-1M, ML-10M and the CSVs of later editions, recognized by their files",
		Long: `MovieLens: ML-100K, ML-1M, ML-10M and the CSVs of later editions, recognized by their files.

Its people are pseudonymous and were asked by those who published the data. A record of consent with the source declared-by-operator
is written for each of them: whoever runs the import declares it.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			job := ""
			facts, err := a.stage(cmd.Context(), &to, func(ctx context.Context, raw storage.Bucket, scratch string, show importProgress) (importer.Facts, []byte, error) {
				m := importer.MovieLens{Dir: args[0], Scratch: scratch, Progress: show}
				facts, project, err := m.Import(ctx, raw)
				if err != nil {
					return facts, nil, err
				}
				body, err := importedProject("movielens", &project, to)
				job = project.Job
				return facts, body, err
			})
			if err != nil {
				return err
			}
			return a.imported(facts, to, "run "+job)
		},
	}
	importTo(c, &to)
	return c
}

const importCSVHelp = `Turn one's own events, in CSV files with a header, into Parquet and a project that runs on it.

  rapport import csv orders.csv --subject customer_id --item sku --at created_at --default-kind buy --basis BASIS --to shop

One row is one event: who (--subject), what (--item), when (--at), and where there are any, which kind of event
(--kind), how much of it (--value) and under what circumstances (--context). Several files are read as one; .gz is
read as it is. Times are recognized (RFC 3339, ISO 8601, 31.01.2024 10:00, epoch) if all are written in one way.

People's data are not used unless somebody says on what basis. One of these is needed:

  --consent FILE               records of consent, one a row: subject, state (ConsentGiven, Withdrawn, …),
                               effective_at, and where there are any purpose, recorded_at, expires_at, source
  --basis consent              you declare that everybody in the files consented; a record that says so, with the
                               source declared-by-operator, is written for each of them
  --basis legitimate-interest  you rely on your own legitimate interest, which you have weighed against theirs;
                               everybody's data are used but of those who object

The folder gets raw/ (Parquet, one folder a day), rapport.yaml (commented; its clock is pinned to the end of the
events) and a pseudonym key. Intervals and windows are chosen from the data. Nothing is written if a row is bad:
every fault names file, line and column. Rows without an id or a time, of the future, or of a kind that --kinds does
not map are left out and counted, up to 1 %.`

// csvFlags are the flags of import csv that are not fields of importer.CSV as they stand.
type csvFlags struct {
	importer.CSV
	context, kinds                      []string
	zone, delimiter, decimal, encoding  string
	items, subjects, cohorts, to, basis string
}

func (a *app) importCSVCmd() *cobra.Command {
	var x csvFlags
	c := &cobra.Command{
		Use:   "csv FILE... --subject COL --item COL --at COL --basis BASIS --to DIR",
		Short: "One's own events, in CSV files",
		Long:  importCSVHelp,
		Args:  usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			x.Files = args
			if err := x.resolve(); err != nil {
				return usageError{fmt.Errorf("import csv: %w", err)}
			}
			job := ""
			facts, err := a.stage(cmd.Context(), &x.to, func(ctx context.Context, raw storage.Bucket, scratch string, show importProgress) (importer.Facts, []byte, error) {
				x.Now, x.Scratch, x.Progress = a.wall(), scratch, show
				facts, project, err := x.Import(ctx, raw)
				if err != nil {
					return facts, nil, err
				}
				body, err := importedProject("csv", &project, x.to)
				job = project.Job
				return facts, body, err
			})
			if err != nil {
				return err
			}
			return a.imported(facts, x.to, "run "+job)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&x.Subject, "subject", "", "column of who did it")
	f.StringVar(&x.Item, "item", "", "column of what it was done to")
	f.StringVar(&x.At, "at", "", "column of when")
	f.StringVar(&x.Kind, "kind", "", "column of the kind of event (view, buy, …)")
	f.StringVar(&x.DefaultKind, "default-kind", "", `kind of the rows without one (default "event" without --kind)`)
	f.StringSliceVar(&x.kinds, "kinds", nil, "kinds as they are called here: order_completed=buy,page_view=view; KIND= leaves one out")
	f.StringVar(&x.Value, "value", "", "column of a number, as a price, an amount or a rating")
	f.StringSliceVar(&x.context, "context", nil, "columns of the circumstances: device=device_type,channel")
	f.StringVar(&x.TimeFormat, "time-format", "auto", "auto, rfc3339, epoch, epoch_ms, epoch_us, epoch_ns, or as '%d/%m/%Y %H:%M'")
	f.StringVar(&x.zone, "zone", "UTC", "time zone of times without one, and of the days, as Europe/Berlin")
	f.StringVar(&x.delimiter, "delimiter", ",", "of fields: one character, or tab")
	f.StringVar(&x.decimal, "decimal", ".", "of numbers: a point or a comma")
	f.StringVar(&x.encoding, "encoding", "utf-8", "utf-8 or windows-1252 (which Latin-1 is a part of)")
	f.BoolVar(&x.Format.Trim, "trim", false, "cut white space off ids")
	f.BoolVar(&x.MixedIDs, "mixed-ids", false, "take ids as they are written where they seem to be written in two ways")
	f.StringVar(&x.items, "items", "", "attributes of items, FILE:COL with the column of the item")
	f.StringVar(&x.subjects, "subjects", "", "attributes of subjects to learn from, FILE:COL")
	f.StringVar(&x.cohorts, "cohorts", "", "attributes of subjects for the fairness report alone, FILE:COL")
	f.StringVar(&x.Consent, "consent", "", "file with records of consent")
	f.StringVar(&x.basis, "basis", "", "consent or legitimate-interest: see above")
	importTo(c, &x.to)
	return c
}

// resolve checks the flags and turns them into what the importer takes; every fault at once.
func (x *csvFlags) resolve() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, need := range []struct{ flag, value, what string }{
		{"--subject", x.Subject, "the column of who did it"},
		{"--item", x.Item, "the column of what it was done to"},
		{"--at", x.At, "the column of when"},
		{"--to", x.to, "the folder of the project to make"},
	} {
		if need.value == "" {
			fault("%s is missing: %s", need.flag, need.what)
		}
	}
	switch {
	case x.basis == "contract":
		fault("--basis contract is not taken: a contract is a basis only for what it cannot be performed without, and suggestions are rarely that; consent or legitimate-interest")
	case x.Consent != "" && x.basis != "":
		fault("--basis and --consent: the file says it of each person; leave --basis out")
	case x.Consent == "" && x.basis == "":
		fault("on what basis may these people's data be used? --consent FILE (records), --basis consent (you declare that all of them consented) or --basis legitimate-interest; rapport import csv --help says more")
	case x.basis != "" && x.basis != string(importer.ByDeclaration) && x.basis != string(importer.LegitimateInterest):
		fault("--basis %s: want consent or legitimate-interest", x.basis)
	}
	x.Basis = importer.Basis(x.basis)
	if x.Kind == "" && x.DefaultKind == "" {
		x.DefaultKind = "event"
	}
	if x.Kind == "" && len(x.kinds) > 0 {
		fault("--kinds needs --kind, the column that they stand in")
	}
	for _, k := range x.kinds {
		i := strings.LastIndexByte(k, '=')
		if i <= 0 {
			fault("--kinds %s: want raw=kind", k)
			continue
		}
		if x.Kinds == nil {
			x.Kinds = map[string]string{}
		}
		x.Kinds[k[:i]] = k[i+1:]
	}
	taken := []string{"subject", "item", "ts", "time", "kind", "value"}
	for _, k := range x.context {
		name, column, ok := strings.Cut(k, "=")
		if !ok {
			column = name
		}
		if !policy.ValidName(name) || slices.Contains(taken, name) || column == "" {
			fault("--context %s: want name=COLUMN, each name once, of small letters, digits and _, and none of %s", k, strings.Join(taken[:6], ", "))
		}
		taken = append(taken, name)
		x.Context = append(x.Context, importer.ContextColumn{Name: name, Column: column})
	}
	zone, err := time.LoadLocation(x.zone)
	if err != nil || x.zone == "Local" || x.zone == "" {
		fault("--zone %s: no such time zone; as Europe/Berlin", x.zone)
	}
	x.Zone = zone
	x.delimiter = strings.NewReplacer("tab", "\t", `\t`, "\t").Replace(x.delimiter)
	if r, n := utf8.DecodeRuneInString(x.delimiter); n != len(x.delimiter) || n == 0 || strings.ContainsRune("\"\r\n", r) || r == utf8.RuneError {
		fault("--delimiter: want one character, or tab")
	} else {
		x.Format.Delimiter = r
	}
	if x.decimal != "." && x.decimal != "," {
		fault("--decimal %s: want . or ,", x.decimal)
	} else if x.decimal == "," {
		x.Format.Decimal = ','
	}
	switch strings.ToLower(x.encoding) {
	case "utf-8", "utf8":
	case "windows-1252", "cp1252", "latin-1", "latin1", "iso-8859-1":
		x.Format.CP1252 = true
	default:
		fault("--encoding %s: want utf-8 or windows-1252", x.encoding)
	}
	for _, t := range []struct {
		flag, value string
		to          **importer.Table
	}{{"--items", x.items, &x.Items}, {"--subjects", x.subjects, &x.Subjects}, {"--cohorts", x.cohorts, &x.Cohorts}} {
		if t.value == "" {
			continue
		}
		i := strings.LastIndexByte(t.value, ':')
		if i <= 0 || i == len(t.value)-1 {
			fault("%s %s: want FILE:COLUMN", t.flag, t.value)
			continue
		}
		*t.to = &importer.Table{File: t.value[:i], Key: t.value[i+1:]}
	}
	return errors.Join(faults...)
}

// importing is the folder in a project where an import works. Whatever stands in it was left by one that was killed.
const importing = ".importing"

// importWork puts Parquet files into raw and returns the project file over them. scratch is a folder for what does not fit in memory.
type importWork func(ctx context.Context, raw storage.Bucket, scratch string, show importProgress) (importer.Facts, []byte, error)

type importProgress = func(what string, done, total int64, unit string)

// stage makes a project of what work puts into a bucket: all of it or nothing. to is the project's folder, as the user named it.
func (a *app) stage(ctx context.Context, to *string, work importWork) (facts importer.Facts, err error) {
	if *to == "" {
		return facts, usageError{errors.New("import: --to is missing: the folder of the project to make")}
	}
	if *to = strings.TrimPrefix(*to, "file:"); strings.Contains(*to, "://") {
		return facts, usageError{fmt.Errorf("import: --to %s: want a folder of this machine; raw/ in it can be moved to a bucket, and the paths in rapport.yaml with it", *to)}
	}
	if err := unmade(*to, "raw"); err != nil {
		return facts, err
	}
	_, err = os.Stat(*to)
	fresh := errors.Is(err, os.ErrNotExist)
	dir := filepath.Join(*to, importing)
	if err := os.RemoveAll(dir); err != nil {
		return facts, fmt.Errorf("import: %w", err)
	}
	scratch := filepath.Join(dir, "sort")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return facts, fmt.Errorf("import: %w", err)
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(dir))
		if err != nil && fresh {
			os.Remove(*to) // only if it is empty
		}
	}()
	// What an import holds are buffers of known size, and they are live: the collector's usual slack would be memory for nothing.
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	raw, err := storage.Open(ctx, "file:"+filepath.Join(dir, "raw"), storage.Options{})
	if err != nil {
		return facts, err
	}
	p := a.newProgress()
	facts, body, err := work(ctx, raw, scratch, func(what string, done, total int64, unit string) {
		p.show(jobs.Progress{Step: what, Done: done, Total: total, Unit: unit})
	})
	p.done()
	if err != nil {
		return facts, err
	}
	if err := os.Rename(filepath.Join(dir, "raw"), filepath.Join(*to, "raw")); err != nil {
		return facts, fmt.Errorf("import: %w", err)
	}
	return facts, a.putProject(*to, body, true)
}

// importedProject writes the project file over an import, and names the project by its folder.
func importedProject(template string, p *configs.Imported, to string) ([]byte, error) {
	path, err := filepath.Abs(to)
	if err != nil {
		return nil, err
	}
	p.Project, p.Raw = importer.Name(filepath.Base(path)), "file:./raw"
	return configs.Import(template, p)
}

// imported prints what an import has made and what to do next.
func (a *app) imported(facts importer.Facts, to, next string) error {
	return a.print(facts, func(w io.Writer) {
		row(w, "project", filepath.Join(to, projectFile))
		row(w, "events", fmt.Sprintf("%d of %d subjects, %s to %s", facts.Events, facts.Subjects, clock(facts.First), clock(facts.Last)))
		if facts.Items > 0 {
			row(w, "items", facts.Items)
		}
		if facts.Cohorts > 0 {
			row(w, "cohorts", count(facts.Cohorts, "subject"))
		}
		row(w, "times", facts.Zone)
		row(w, "basis", facts.Declared)
		if facts.Cadence != "" {
			row(w, "chosen by", facts.Cadence)
		}
		for _, text := range facts.Warnings {
			row(w, "note", text)
		}
		row(w, "next", fmt.Sprintf("cd %s && rapport validate && rapport %s", to, next))
	})
}
