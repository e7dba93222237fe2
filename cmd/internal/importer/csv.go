package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/storage"
)

// Format is how text files are written.
type Format struct {
	Delimiter rune // 0: a comma
	Decimal   byte // ',' or 0: a point
	CP1252    bool // Windows-1252 or Latin-1 in place of UTF-8
	Trim      bool // white space around ids is cut off
}

// CSV says how events stand in CSV files, and on what basis they may be used.
type CSV struct {
	Files                    []string
	Subject, Item, At        string // columns
	Kind, Value              string // columns; "": none
	DefaultKind              string // of rows without a kind
	Kinds                    map[string]string
	Context                  []ContextColumn
	TimeFormat               string // as newTimeReader has it; "": auto
	Zone                     *time.Location
	Format                   Format
	MixedIDs                 bool // ids that look alike in two ways are taken as they are written
	Items, Subjects, Cohorts *Table
	Consent                  string // file of consent records, with the columns of docs/contracts.md
	Basis                    Basis
	Now                      time.Time                                         // events after it, a day's slack given, are in the future
	Scratch                  string                                            // folder for what does not fit in memory
	Progress                 func(what string, done, total int64, unit string) // total 0: not known

	memory int // of the sort, in bytes; 0: sortLimit
}

// Basis is the ground on which the purpose recommend may use the events.
type Basis string

// The bases of an import. There is no default: whoever imports says it.
const (
	ByRecords          Basis = ""                    // as the consent file says of each person
	ByDeclaration      Basis = "consent"             // the operator declares that everybody in the files consented
	LegitimateInterest Basis = "legitimate-interest" // of the operator; who objects is left out
)

// ContextColumn is a column of the circumstances of an event, as the device.
type ContextColumn struct{ Name, Column string }

// Table is a file with one row an item or a subject, and the column that names it.
type Table struct{ File, Key string }

const (
	tolerated = 0.01 // share of rows that may lack an id or a time, be of the future, or of a kind that is not mapped
	maxKinds  = 100
	// longestKind bounds the name of a kind, in bytes: it stands in the project file.
	longestKind = 100
	slack       = 24 * time.Hour
)

// leftOut counts rows of which no event was made.
type leftOut struct {
	n     int64
	first place
}

func (l *leftOut) add(at place) {
	if l.n++; l.n == 1 {
		l.first = at
	}
}

// Import puts Parquet files into the bucket:
//
//	events/dt=YYYY-MM-DD/part-N.parquet   subject item ts kind value and the context columns; the day is of the zone
//	items.parquet, subjects.parquet, cohorts.parquet   where they are given
//	consent/…                             the records of the consent file, or those that are declared
//
// and returns what a project file says of them. Every row of every file is read and checked before anything is put. Memory is bounded
// whatever the size of the events' files: 64 MiB of rows while they are sorted (the rest stands in Scratch, in about the size of the
// columns that are read), one row group of 131,072 rows and one file of at most 1,048,576 rows while they are written. Items, subjects and
// cohorts are held in memory. Equal files give equal bytes. Errors name file, line and column, never an id.
func (c CSV) Import(ctx context.Context, to storage.Bucket) (Facts, configs.Imported, error) {
	facts, project, err := c.run(ctx, &output{bucket: to})
	if err != nil {
		return Facts{}, configs.Imported{}, fmt.Errorf("import csv: %w", err)
	}
	return facts, project, nil
}

func (c CSV) run(ctx context.Context, out *output) (facts Facts, project configs.Imported, err error) {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Progress == nil {
		c.Progress = func(string, int64, int64, string) {}
	}
	var tables [3]*attributes
	known := map[string]bool(nil)
	for i, t := range []*Table{c.Items, c.Subjects, c.Cohorts} {
		if t == nil {
			continue
		}
		if tables[i], err = readAttributes(ctx, []string{"items", "subjects", "cohorts"}[i], *t, c.Format); err != nil {
			return facts, project, err
		}
		facts.Warnings = append(facts.Warnings, tables[i].warnings...)
	}
	if tables[0] != nil {
		known = tables[0].rows()
	}
	columns := []column{{"subject", keyText}, {"item", keyText}, {"ts", keyTime}, {"kind", keyText}, {"value", optionNumber}}
	for _, x := range c.Context {
		columns = append(columns, column{x.Name, optionText})
	}
	sink := newEventSink(c.Scratch, c.Zone, columns)
	if c.memory > 0 {
		sink.sorter.limit, sink.people.sorter.limit = c.memory, c.memory
	}
	defer func() { err = errors.Join(err, sink.close()) }()
	read := &reading{CSV: c, sink: sink, subjects: idColumn{column: c.Subject, trim: c.Format.Trim}, items: idColumn{column: c.Item, trim: c.Format.Trim}}
	if read.times, err = newTimeReader(c.TimeFormat, c.Zone); err != nil {
		return facts, project, err
	}
	for _, file := range c.Files {
		if err := read.file(ctx, file); err != nil {
			return facts, project, err
		}
	}
	if err := read.judge(&facts); err != nil {
		return facts, project, err
	}
	var records *consentFile
	if c.Consent != "" {
		if records, err = readConsent(ctx, c.Consent, c.Subject, c); err != nil {
			return facts, project, err
		}
		defer func() { err = errors.Join(err, records.close()) }()
	}

	if err := sink.write(ctx, out, known, c.Progress); err != nil {
		return facts, project, err
	}
	cadence, err := chooseCadence(sink.days, c.Zone, 0)
	if err != nil {
		return facts, project, err
	}
	facts.First, facts.Last = time.UnixMicro(sink.first).UTC(), time.UnixMicro(sink.last).UTC()
	facts.Events, facts.Unknown, facts.Kinds = sink.total, sink.unknown, sink.kinds
	if err := c.people(ctx, out, sink, tables, records, cadence.Now, &facts); err != nil {
		return facts, project, err
	}
	for i, t := range tables {
		if t == nil {
			continue
		}
		if err := t.write(ctx, out); err != nil {
			return facts, project, err
		}
		switch i {
		case 0:
			facts.Items = t.n()
		case 2:
			facts.Cohorts = t.n()
		}
	}
	facts.warn(sink)
	facts.Cadence = cadence.Why
	facts.Files, facts.Bytes = out.files, out.bytes
	return facts, c.describe(sink, tables, cadence), nil
}

// reading is what is known of the event files while they are read.
type reading struct {
	CSV
	sink            *eventSink
	times           *timeReader
	subjects, items idColumn
	rows            int64

	lacking, future, unmapped leftOut
	unmappedKinds             map[string]int64
	lackingOf                 map[string]int64 // by column
	begun                     int64            // bytes of the files before
}

func (r *reading) file(ctx context.Context, file string) (err error) {
	in, err := openRecords(file, r.Format)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()

	at := make([]int, 5+len(r.Context))
	for i, want := range []struct{ flag, name string }{{"--subject", r.Subject}, {"--item", r.Item}, {"--at", r.At}, {"--kind", r.Kind}, {"--value", r.Value}} {
		if at[i] = -1; want.name == "" {
			continue
		}
		if at[i], err = in.column(want.flag, want.name); err != nil {
			return err
		}
	}
	for i, x := range r.Context {
		if at[5+i], err = in.column("--context", x.Column); err != nil {
			return err
		}
	}
	e := act{attrs: make([]string, len(r.Context))}
	rows := r.rows
	for {
		fields, err := in.read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		r.rows++
		if r.rows%8192 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Progress("read", r.begun+in.text.read(), r.total(), "bytes")
		}
		keep, err := r.parse(&e, in, fields, at)
		if err != nil {
			return err
		}
		if !keep {
			continue
		}
		if err := r.sink.add(&e); err != nil {
			return err
		}
		if len(r.sink.kinds) > maxKinds {
			return in.fault(r.Kind, "more than %d kinds of events: is it the right column for --kind?", maxKinds)
		}
	}
	r.begun += in.text.size
	if r.rows == rows {
		return in.faultAt(1, "no rows below the header")
	}
	return nil
}

// total is the size of all files.
func (r *reading) total() (n int64) {
	for _, f := range r.Files {
		n += sizeOf(f)
	}
	return n
}

// parse makes an event of a row, and false of one that is left out and counted.
func (r *reading) parse(e *act, in *records, fields []string, at []int) (bool, error) {
	here := place{in.text.name, in.line, r.rows}
	for _, i := range at {
		if i >= 0 && !utf8.ValidString(fields[i]) {
			return false, in.fault(in.header[i], "not UTF-8 text: save the file as UTF-8, or say --encoding windows-1252")
		}
	}
	var err error
	if e.subject, err = r.subjects.read(fields[at[0]], here); err != nil {
		return false, in.fault(r.Subject, "%w", err)
	}
	if e.item, err = r.items.read(fields[at[1]], here); err != nil {
		return false, in.fault(r.Item, "%w", err)
	}
	when := strings.TrimSpace(fields[at[2]])
	if r.lacks(r.Subject, e.subject, here) || r.lacks(r.Item, e.item, here) || r.lacks(r.At, unsetTime(when), here) {
		return false, nil
	}
	if e.time, err = r.times.read(when, here); err != nil {
		return false, in.fault(r.At, "%w", err)
	}
	if e.time > r.Now.Add(slack).UnixMicro() {
		r.future.add(here)
		return false, nil
	}
	kind := ""
	if at[3] >= 0 {
		kind = strings.TrimSpace(fields[at[3]])
	}
	if missing(kind) {
		kind = r.DefaultKind
	} else if r.Kinds != nil {
		mapped, ok := r.Kinds[kind]
		if !ok {
			r.unmapped.add(here)
			if r.unmappedKinds == nil {
				r.unmappedKinds = map[string]int64{}
			}
			if len(r.unmappedKinds) <= maxKinds {
				r.unmappedKinds[strings.Clone(kind)]++
			}
			return false, nil
		}
		if mapped == "" { // left out by wish
			return false, nil
		}
		kind = mapped
	}
	if r.lacks(r.Kind, kind, here) {
		return false, nil
	}
	if _, ok := r.sink.kinds[kind]; !ok {
		if len(kind) > longestKind || strings.ContainsFunc(kind, unicode.IsControl) {
			return false, in.fault(r.Kind, "%d bytes, or with a line break in them, are no kind of event: is it the right column for --kind, and is a quote closed rows later?", len(kind))
		}
		kind = strings.Clone(kind)
	}
	e.kind, e.value = kind, math.NaN()
	if at[4] >= 0 {
		if e.value, err = r.Format.number(fields[at[4]]); err != nil {
			return false, in.fault(r.Value, "%w", err)
		}
	}
	for i := range r.Context {
		if e.attrs[i] = strings.TrimSpace(fields[at[5+i]]); missing(e.attrs[i]) {
			e.attrs[i] = ""
		}
	}
	return true, nil
}

// unsetTime returns "" for the times that programs write where there is none.
func unsetTime(s string) string {
	if missing(s) || s == "0" || strings.HasPrefix(s, "0000-00-00") || strings.HasPrefix(s, "1970-01-01 00:00:00") || strings.HasPrefix(s, "1970-01-01T00:00:00") {
		return ""
	}
	return s
}

func (r *reading) lacks(column, value string, at place) bool {
	if value != "" {
		return false
	}
	r.lacking.add(at)
	if r.lackingOf == nil {
		r.lackingOf = map[string]int64{}
	}
	r.lackingOf[column]++
	return true
}

// number reads a number; "" and what stands for nothing are NaN.
func (f Format) number(text string) (float64, error) {
	text = strings.TrimSpace(text)
	if missing(text) {
		return math.NaN(), nil
	}
	if f.Decimal == ',' {
		if strings.Contains(text, ".") && strings.LastIndexByte(text, '.') > strings.IndexByte(text, ',') && strings.Contains(text, ",") {
			return 0, errors.New("no number with a decimal comma")
		}
		text = strings.Replace(strings.ReplaceAll(text, ".", ""), ",", ".", 1)
	}
	x, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil && f.Decimal != ',' && strings.Contains(text, ","):
		return 0, errors.New("no number: with a decimal comma, say --decimal ,")
	case err != nil:
		return 0, errors.New("no number: leave units and currencies out of the column")
	case math.IsInf(x, 0):
		return 0, errors.New("no finite number")
	}
	return x, nil
}

// judge refuses files of which too much had to be left out, or that hold one thing in two ways; what is bearable becomes a warning.
func (r *reading) judge(facts *Facts) error {
	out := map[string]int64{}
	for _, c := range []struct {
		what string
		leftOut
		hint string
	}{
		{"lack a subject, an item, a time or a kind", r.lacking, "counted by column: " + counts(r.lackingOf) + "; mend the export, or leave those rows out of it"},
		{"lie in the future", r.future, "is the column " + r.At + " the time of the event, and --time-format right?"},
		{"are of a kind that --kinds does not map", r.unmapped, "map them, or write KIND= to leave a kind out; they are " + namesOf(r.unmappedKinds)},
	} {
		if c.n == 0 {
			continue
		}
		line := fmt.Sprintf("%s of %d %s, first at %s", plural(c.n, "row"), r.rows, c.what, c.first)
		if float64(c.n) > tolerated*float64(r.rows) {
			return fmt.Errorf("%s: over %.0f %%: %s", line, 100*tolerated, c.hint)
		}
		out[c.what] = c.n
		facts.Warnings = append(facts.Warnings, line+": left out")
	}
	if r.sink.total == 0 {
		return errors.New("no row is left that an event can be made of: look at --kinds")
	}
	zone, err := r.times.judge(r.At)
	if err != nil {
		return err
	}
	facts.Zone = zone
	for _, c := range []*idColumn{&r.subjects, &r.items} {
		doubts := c.doubts()
		if c == &r.subjects && len(doubts) > 0 && !r.MixedIDs {
			return fmt.Errorf("%s; people must be neither split nor joined by accident: --mixed-ids takes each id as it is written", strings.Join(doubts, "; "))
		}
		facts.Warnings = append(facts.Warnings, doubts...)
	}
	return nil
}

// counts prints a map of counts, by name.
func counts(m map[string]int64) string {
	var parts []string
	for k, n := range m {
		parts = append(parts, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// namesOf lists kinds that may be printed: short words. A column that was named by mistake may hold anything.
func namesOf(kinds map[string]int64) string {
	if len(kinds) > 20 {
		return fmt.Sprintf("%d different ones, or more: is it the right column?", len(kinds))
	}
	var names []string
	other := 0
	for k := range kinds {
		if len(k) > 40 || strings.ContainsAny(k, "@/\\") || shapeOf(k) != shapeText || strings.ContainsAny(k, "0123456789") {
			other++
			continue
		}
		names = append(names, strconv.Quote(k))
	}
	slices.Sort(names)
	if other > 0 {
		names = append(names, fmt.Sprintf("%d more", other))
	}
	return strings.Join(names, ", ")
}

// people writes consent, and compares who stands in the events with who stands in the files beside them.
func (c CSV) people(ctx context.Context, out *output, sink *eventSink, tables [3]*attributes, records *consentFile, now time.Time, facts *Facts) error {
	met := [3]int{}
	without := 0 // subjects without a consent record
	seen := func(yield func(string, error) bool) {
		asked, stop := func() (string, error, bool) { return "", nil, false }, func() {}
		if records != nil {
			asked, stop = iter.Pull2(records.people.ids())
		}
		defer stop()
		next, err, more := asked()
		for id, e := range sink.people.ids() {
			if err = errors.Join(err, e); err != nil {
				yield("", err)
				return
			}
			facts.Subjects++
			for i, t := range tables {
				if i > 0 && t != nil && t.has(id) {
					met[i]++
				}
			}
			for more && next < id && err == nil {
				next, err, more = asked()
			}
			if !more || next != id {
				without++
			}
			if !yield(id, nil) {
				return
			}
		}
	}
	switch {
	case c.Basis == ByDeclaration:
		n, from, err := declare(ctx, out, seen, facts.First)
		if err != nil {
			return err
		}
		facts.Declared = declared(n, from)
	default:
		for _, err := range seen {
			if err != nil {
				return err
			}
		}
		facts.Declared = "legitimate interest: everybody's events are used, of who objects they are not (add the objections as sources.consent)"
	}
	for i, t := range tables {
		if i == 0 || t == nil {
			continue
		}
		if met[i] == 0 {
			return fmt.Errorf("%s: none of its %s stands in the events: is %s the column with the same ids, written in the same way?", t.file, plural(int64(t.n()), "row"), t.key)
		}
		if 2*met[i] < facts.Subjects {
			facts.Warnings = append(facts.Warnings, fmt.Sprintf("%s knows %d of the %d subjects of the events", t.file, met[i], facts.Subjects))
		}
	}
	if tables[0] != nil && facts.Unknown == facts.Events {
		return fmt.Errorf("%s: no event is about one of its items: is %s the column with the same ids, written in the same way?", tables[0].file, tables[0].key)
	}
	if records == nil {
		return nil
	}
	if without == facts.Subjects {
		return fmt.Errorf("%s: nobody of the events stands in it: are the ids those of %s, written in the same way?", records.file, c.Subject)
	}
	facts.Declared = fmt.Sprintf("consent: %s; %d of %d subjects have none, and nothing of theirs is used", plural(records.rows, "record"), without, facts.Subjects)
	late, moved, err := records.write(ctx, out, now, c.Now)
	if late > 0 {
		facts.Warnings = append(facts.Warnings, fmt.Sprintf("%s: %s later than the project's clock (%s): of no effect before the clock runs", records.file, plural(late, "grant"), now.Format(time.RFC3339)))
	}
	if moved > 0 {
		facts.Warnings = append(facts.Warnings, fmt.Sprintf("%s: %s later than the project's clock (%s): set to it, so that they hold", records.file, plural(moved, "denial"), now.Format(time.RFC3339)))
	}
	return err
}

// describe is what the project file is made of.
func (c CSV) describe(sink *eventSink, tables [3]*attributes, cadence cadence) configs.Imported {
	var names []string
	for _, f := range c.Files {
		names = append(names, filepath.Base(f))
	}
	p := configs.Imported{
		From: strings.Join(names, ", "), First: time.UnixMicro(sink.first).UTC(), Last: time.UnixMicro(sink.last).UTC(),
		Columns: map[string]string{"subject": c.Subject, "item": c.Item, "ts": c.At, "kind": c.Kind, "value": c.Value},
		Value:   c.Value != "", Basis: string(c.Basis), Consent: c.Basis != LegitimateInterest, Declared: c.Basis == ByDeclaration,
	}
	if c.Basis == ByRecords {
		p.Basis = string(ByDeclaration)
	}
	if c.Zone != time.UTC {
		p.Zone = c.Zone.String()
	}
	for _, x := range c.Context {
		p.Context = append(p.Context, x.Name)
	}
	for _, k := range sink.kindNames() {
		p.Kinds = append(p.Kinds, configs.ImportedKind{Name: k, Feature: slug(k) + "_events", Weight: weightOf(k), Events: sink.kinds[k]})
	}
	p.Items, p.Subjects, p.Cohorts = tables[0].describe(), tables[1].describe(), tables[2].describe()
	cadence.fill(&p)
	return p
}
