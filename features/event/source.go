package event

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Source is a data set of raw events: Parquet files in a bucket and the names of their columns. Only declared columns are ever read.
type Source struct {
	Bucket storage.Bucket
	// Path is the pattern of the files' keys, as storage.Glob has it. {date} in it stands for a file's arrival date, YYYY-MM-DD,
	// and so do {yyyy}, {mm} and {dd} together. Without a date the time range in each file's footer says which days it may hold.
	Path string

	Subject, Item, Time string            // columns; required
	Kind, Value         string            // columns; "" if there are none
	Created             string            // the column that says when an event became known, in the form of Time; "" if there is none
	Columns             map[string]string // declared context columns: name → column in the files
	Numeric             []string          // the names of the context columns that hold numbers; the others are read as text
	DefaultKind         string            // the kind of a row without one; "" is "event"

	// Explode names a list column: a row is then one event an element of its list, and columns of its elements are named by their
	// path, as "items[].sku". A row whose list is null or empty is no event; it is counted. Columns of a struct are named with a dot, as
	// "ctx.device", with or without Explode.
	Explode string
	// Kinds maps the kinds of the files to those of the project ("order_completed": "buy"); nil: they stand as they are. Rows of a kind that
	// maps to Ignored are left out. With a map, a row whose kind is not in it is of unknown kind: left out, and counted. So is a row without a kind if
	// there is no DefaultKind.
	Kinds map[string]string
	// MaxUnknown is the share of a day's rows that may be of unknown kind; with more, the day fails. 0 means DefaultMaxUnknown.
	MaxUnknown float64
	// Required are declared context columns, or ColValue, that a view or a model needs. Where all files of a day lack one, the day
	// fails; where some files lack it, it is null.
	Required []string

	// Coarse are rules for context columns and ColValue. What Expect says is of values as the files have them.
	Coarse Coarsenings

	// Expect says which rows are quarantined. What else it says is for who judges the facts of an ingest.
	Expect expect.Set

	TimeUnit time.Duration // of times since the epoch, as integers or as text; 0 if the files declare their unit
	// TimeFormat is the form of times that are text, in the verbs of strftime ("%d.%m.%Y %H:%M"). "": RFC 3339 and the usual shapes of
	// ISO 8601, or, with a TimeUnit, digits since the epoch.
	TimeFormat string
	Zone       *time.Location // of times that the files do not place in UTC, and of {date}; nil: such times are an error, {date} is UTC
	Lateness   time.Duration  // how long after its time an event may still arrive; needs a date in Path
	// Settle is how long after its end a day is taken as complete, if no _SUCCESS beside its files says so earlier; 0: at once. See Files.Ready.
	Settle time.Duration
}

// DefaultMaxUnknown is the share of a day's rows that may be of unknown kind, if a source does not say.
const DefaultMaxUnknown = 0.01

// Ignored is what Kinds maps a kind to whose rows are left out.
const Ignored = "-"

// Files is one listing of a source.
type Files struct {
	source Source
	files  []file
}

// file is one object and the times it may hold or, with a date in the path, when it arrived.
type file struct {
	info    storage.Info
	arrived bool
	span    table.Interval
	unknown bool // no statistics: it may hold any time
	empty   bool // no rows
	odd     bool // it holds rows that lie in no day: without a time, or with one that no event has
	lost    bool // it holds no others
}

// Listing lists the source's files. With a date in the path it costs one listing; without, one or two small reads a file besides.
func (s Source) Listing(ctx context.Context) (*Files, error) {
	fs := &Files{source: s}
	dates, err := datePattern(s.Path)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	for info, err := range storage.Glob(ctx, s.Bucket, s.Path) {
		if err != nil {
			return nil, fmt.Errorf("list events %s: %w", s.Path, err)
		}
		if marker(info.Key) {
			continue
		}
		f := file{info: info}
		if dates != nil {
			if f.span, err = dates.day(info.Key, s.zone()); err != nil {
				return nil, fmt.Errorf("list events %s: %w", s.Path, err)
			}
			f.arrived = true
		}
		fs.files = append(fs.files, f)
	}
	if dates != nil {
		return fs, nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range fs.files {
		g.Go(func() error { return s.stat(gctx, &fs.files[i]) })
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("list events %s: %w", s.Path, err)
	}
	// A file without rows belongs to no day: as one that may hold any time, each that a writer leaves behind would be a change of every day.
	fs.files = slices.DeleteFunc(fs.files, func(f file) bool { return f.empty })
	return fs, nil
}

// stat fills in a file's time range from its footer.
func (s Source) stat(ctx context.Context, f *file) error {
	st, err := table.Stat(ctx, s.Bucket, f.info, s.scan())
	if err != nil {
		return err
	}
	f.unknown, f.empty, f.lost = !st.HasTimes, st.Rows == 0, st.Rows > 0 && st.Timeless == st.Rows
	least, most := st.MinTime, st.MaxTime
	f.odd = st.Timeless != 0
	if !f.unknown && (least < longAgo || most >= latest(f.info)) {
		f.odd = true
		if least, most, f.lost, err = s.measure(ctx, f.info); err != nil {
			return err
		}
	}
	f.span = table.Interval{Start: time.UnixMicro(least).UTC(), End: time.UnixMicro(most).Add(time.Microsecond).UTC()}
	return nil
}

// measure reads the times of a file to find the least and the greatest that an event may have, if there is one: a single row of 1970 would else
// make the file one of every day since, and each of these days one that has changed.
func (s Source) measure(ctx context.Context, info storage.Info) (least, most int64, lost bool, err error) {
	o := s.scan()
	o.Columns = []table.Want{{Name: s.Time, Type: table.Time}}
	if !strings.HasPrefix(s.Time, s.Explode+"[]") {
		o.Explode = ""
	}
	least, most = math.MaxInt64, math.MinInt64
	limit := latest(info)
	for b, err := range table.Scan(ctx, s.Bucket, info, o) {
		if err != nil {
			return 0, 0, false, err
		}
		c := &b.Cols[0]
		for i, t := range c.Int[:b.N] {
			if !c.Null(i) && t >= longAgo && t < limit {
				least, most = min(least, t), max(most, t)
			}
		}
	}
	return least, most, least > most, nil
}

// scan says how the source's files are read, but for the columns.
func (s Source) scan() table.ScanOptions {
	return table.ScanOptions{Time: s.Time, Explode: s.Explode, Unit: s.TimeUnit, TimeFormat: s.TimeFormat, Local: s.Zone}
}

func (s Source) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// success is the object that a job writes beside its files when all of them are there.
const success = "_SUCCESS"

// marker reports whether a key is that of an object which writers put beside their files and which holds no rows, though a pattern as
// "dt={date}/*" matches it.
func marker(key string) bool {
	name := path.Base(key)
	return name == success || name == "_metadata" || name == "_common_metadata" ||
		strings.HasPrefix(name, "_committed_") || strings.HasPrefix(name, "_started_")
}

// Lost are the files of which no row lies in any day: all their times are null, before 1990, or more than a day after the file was
// written. A path with a date has none: what lies in no day is counted with the day on which the file arrived.
func (fs *Files) Lost() (out []storage.Info) {
	for _, f := range fs.files {
		if f.lost {
			out = append(out, f.info)
		}
	}
	return out
}

// Len is the number of files.
func (fs *Files) Len() int { return len(fs.files) }

// Bytes is the size of all files.
func (fs *Files) Bytes() int64 {
	var n int64
	for _, f := range fs.files {
		n += f.info.Size
	}
	return n
}

// Span is the range of time that the files cover by their dates or statistics, and false if no file tells.
func (fs *Files) Span() (table.Interval, bool) {
	var iv table.Interval
	found := false
	for _, f := range fs.files {
		if f.unknown || f.lost {
			continue
		}
		if !found || f.span.Start.Before(iv.Start) {
			iv.Start = f.span.Start
		}
		if !found || f.span.End.After(iv.End) {
			iv.End = f.span.End
		}
		found = true
	}
	return iv, found
}

// Day returns the files that may hold events of iv, in key order, and their fingerprint: with arrival dates those that arrived
// from the interval's start to its end plus the allowed lateness, else those whose time range meets the interval. The fingerprint is the
// hex SHA-256 over the sorted (key, version id or etag, size): it changes when a file comes, goes or is rewritten. Two files with the
// same rows count twice; nothing here can tell a copy from a second purchase.
func (fs *Files) Day(iv table.Interval) (objs []storage.Info, fingerprint string) {
	for _, f := range fs.day(iv) {
		objs = append(objs, f.info)
	}
	return objs, Fingerprint(objs)
}

func (fs *Files) day(iv table.Interval) []file {
	var out []file
	for _, f := range fs.files {
		end := iv.End
		if f.arrived {
			end = end.Add(fs.source.Lateness)
		}
		if f.lost {
			continue
		}
		if f.unknown || f.span.Start.Before(end) && iv.Start.Before(f.span.End) {
			out = append(out, f)
		}
	}
	return out
}

// Fingerprint is the hex SHA-256 over the sorted (key, version id or else etag, size) of objects.
func Fingerprint(objs []storage.Info) string {
	lines := make([]string, len(objs))
	for i, o := range objs {
		id := "v" + o.Version
		if o.Version == "" {
			id = "e" + o.ETag
		}
		lines[i] = fmt.Sprintf("%q %q %d\n", o.Key, id, o.Size)
	}
	slices.Sort(lines)
	h := sha256.New()
	for _, l := range lines {
		io.WriteString(h, l)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// dateMatcher finds the arrival date in a key.
type dateMatcher struct {
	re    *regexp.Regexp
	named []string // the placeholder of each group
}

var placeholder = regexp.MustCompile(`\{[^}/]*\}|\*\*/?|\*`)

// datePattern compiles the dates in a path, or returns nil if it has none.
func datePattern(pattern string) (*dateMatcher, error) {
	m := &dateMatcher{}
	var b strings.Builder
	b.WriteString("^")
	at := 0
	for _, loc := range placeholder.FindAllStringIndex(pattern, -1) {
		b.WriteString(regexp.QuoteMeta(pattern[at:loc[0]]))
		at = loc[1]
		switch p := pattern[loc[0]:loc[1]]; p {
		case "*":
			b.WriteString(`[^/]*`)
		case "**", "**/":
			b.WriteString(`.*`)
		case "{date}":
			b.WriteString(`(\d{4}-\d{2}-\d{2})`)
			m.named = append(m.named, p)
		case "{yyyy}":
			b.WriteString(`(\d{4})`)
			m.named = append(m.named, p)
		case "{mm}", "{dd}":
			b.WriteString(`(\d{1,2})`)
			m.named = append(m.named, p)
		default:
			return nil, fmt.Errorf("path %s: unknown placeholder %s: use {date}, or {yyyy}, {mm} and {dd}, or *", pattern, p)
		}
	}
	b.WriteString(regexp.QuoteMeta(pattern[at:]) + "$")
	if len(m.named) == 0 {
		return nil, nil
	}
	names := slices.Sorted(slices.Values(m.named))
	if !slices.Equal(names, []string{"{date}"}) && !slices.Equal(names, []string{"{dd}", "{mm}", "{yyyy}"}) {
		return nil, fmt.Errorf("path %s: an arrival date is {date} once, or {yyyy}, {mm} and {dd} once each", pattern)
	}
	var err error
	m.re, err = regexp.Compile(b.String())
	return m, err
}

// day returns the calendar day, in loc, that the key names.
func (m *dateMatcher) day(key string, loc *time.Location) (table.Interval, error) {
	groups := m.re.FindStringSubmatch(key)
	if groups == nil {
		return table.Interval{}, fmt.Errorf("%s: no date where the path has one: move the file away, or name the date as YYYY-MM-DD", key)
	}
	var y, mo, d int
	var err error
	number := func(s string) int {
		n, e := strconv.Atoi(s)
		err = errors.Join(err, e)
		return n
	}
	for i, p := range m.named {
		switch v := groups[i+1]; p {
		case "{date}":
			y, mo, d = number(v[:4]), number(v[5:7]), number(v[8:])
		case "{yyyy}":
			y = number(v)
		case "{mm}":
			mo = number(v)
		case "{dd}":
			d = number(v)
		}
	}
	start := time.Date(y, time.Month(mo), d, 0, 0, 0, 0, loc)
	if err != nil || start.Month() != time.Month(mo) || start.Day() != d {
		return table.Interval{}, fmt.Errorf("%s: %04d-%02d-%02d is no date", key, y, mo, d)
	}
	return table.Interval{Start: start.UTC(), End: time.Date(y, time.Month(mo), d+1, 0, 0, 0, 0, loc).UTC()}, nil
}
