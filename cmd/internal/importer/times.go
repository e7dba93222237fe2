package importer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// form is a way of writing times.
type form uint8

const (
	formUnknown form = iota
	formZoned        // 2024-01-31T10:00:00Z, 2024-01-31 10:00:00+01:00, … UTC
	formLocal        // 2024-01-31 10:00[:00]
	formDate         // 2024-01-31
	formCompact      // 20240131
	formYMD          // 2024/01/31 10:00
	formDotted       // 31.01.2024 10:00
	formSeconds
	formMillis
	formMicros
	formNanos
	formSlashed // 01/02/2024: nobody can tell the day from the month
	formGiven   // as --time-format says
)

var formNames = [...]string{
	formUnknown: "unknown", formZoned: "RFC 3339 (as 2024-01-31T10:00:00Z)", formLocal: "local times (as 2024-01-31 10:00:00)",
	formDate: "dates (as 2024-01-31)", formCompact: "dates (as 20240131)", formYMD: "local times (as 2024/01/31 10:00)",
	formDotted: "local times (as 31.01.2024 10:00)", formSeconds: "epoch seconds", formMillis: "epoch milliseconds",
	formMicros: "epoch microseconds", formNanos: "epoch nanoseconds", formSlashed: "dates with slashes", formGiven: "the given format",
}

func (f form) String() string { return formNames[f] }

// local reports whether times of the form need a zone to be read.
func (f form) local() bool {
	return f == formLocal || f == formDate || f == formCompact || f == formYMD || f == formDotted
}

// timeReader reads the times of a column, all in one form. With "auto" it finds the form by itself and counts what it met.
type timeReader struct {
	zone  *time.Location
	parse func(text string) (time.Time, form)
	hint  string
	local bool // the given format has no zone

	seen [formGiven + 1]struct {
		n     int64
		first place
	}
}

// newTimeReader understands auto, rfc3339, epoch, epoch_ms, epoch_us, epoch_ns, a layout as Go has it (2006-01-02 15:04) or with strftime's
// verbs (%d/%m/%Y %H:%M).
func newTimeReader(format string, zone *time.Location) (*timeReader, error) {
	t := &timeReader{zone: zone, hint: "as --time-format says it"}
	epochs := map[string]form{"epoch": formSeconds, "epoch_ms": formMillis, "epoch_us": formMicros, "epoch_ns": formNanos}
	switch {
	case format == "" || format == "auto":
		t.hint = "in a form that is known (RFC 3339, ISO 8601 with or without a zone, 31.01.2024 10:00, 2024/01/31, 20240131, epoch): --time-format says any other"
		t.parse = func(s string) (time.Time, form) { return guessTime(s, zone) }
	case format == "rfc3339":
		t.parse = func(s string) (time.Time, form) {
			if at, f := guessTime(s, zone); f == formZoned {
				return at, f
			}
			return time.Time{}, formUnknown
		}
	case epochs[format] != 0:
		t.parse = func(s string) (time.Time, form) { return epochTime(s, epochs[format]) }
	default:
		layout, err := layoutOf(format)
		if err != nil {
			return nil, err
		}
		t.local = !strings.Contains(layout, "Z07") && !strings.Contains(layout, "-07") && !strings.Contains(layout, "MST")
		t.parse = func(s string) (time.Time, form) {
			at, err := time.ParseInLocation(layout, s, zone)
			if err != nil {
				return at, formUnknown
			}
			return at, formGiven
		}
	}
	return t, nil
}

// errNoTime is what is wrong with a text that is no time.
var errNoTime = errors.New("no time")

// read returns a time in µs since the epoch. Its error never holds the text.
func (t *timeReader) read(text string, at place) (int64, error) {
	when, f := t.parse(text)
	switch {
	case f == formSlashed:
		return 0, fmt.Errorf("%w that one can be sure of: in a date with slashes the day or the month may come first; say --time-format '%%d/%%m/%%Y %%H:%%M' or '%%m/%%d/%%Y %%H:%%M'%s", errNoTime, t.before())
	case f == formUnknown:
		return 0, fmt.Errorf("%w %s%s%s", errNoTime, t.hint, t.looks(text), t.before())
	case when.Year() < 1900 || when.Year() > 2200:
		return 0, fmt.Errorf("%w: the year is before 1900 or after 2200; another unit or --time-format?", errNoTime)
	}
	s := &t.seen[f]
	if s.n++; s.n == 1 {
		s.first = at
	}
	return when.UnixMicro(), nil
}

// before says in which way the rows before were written, for no --time-format reads two.
func (t *timeReader) before() string {
	for f := range t.seen {
		if s := t.seen[f]; s.n > 0 {
			return fmt.Sprintf("; %s before it %s %s: export them all in one way", plural(s.n, "row"), map[bool]string{true: "is", false: "are"}[s.n == 1], form(f))
		}
	}
	return ""
}

// looks says as what a text would be read that the given format does not fit.
func (t *timeReader) looks(text string) string {
	if _, f := guessTime(text, t.zone); f != formUnknown {
		return ": it reads as " + f.String()
	}
	return ""
}

// judge refuses a column in which two forms stand, and says how times were read.
func (t *timeReader) judge(column string) (says string, err error) {
	var met []form
	for f := range t.seen {
		if t.seen[f].n > 0 {
			met = append(met, form(f))
		}
	}
	slices.SortFunc(met, func(a, b form) int { return int(t.seen[a].first.row - t.seen[b].first.row) })
	if len(met) > 1 {
		var parts []string
		for _, f := range met {
			parts = append(parts, fmt.Sprintf("%s in %s, first at %s", f, plural(t.seen[f].n, "row"), t.seen[f].first))
		}
		return "", fmt.Errorf("column %s: times are written in %d ways: %s: export them in one", column, len(met), strings.Join(parts, "; "))
	}
	zone := "UTC"
	if t.zone != nil && t.zone != time.UTC {
		zone = t.zone.String()
	}
	f := formGiven
	if len(met) == 1 {
		f = met[0]
	}
	switch {
	case !f.local() && !(f == formGiven && t.local):
		return f.String(), nil
	case zone == "UTC":
		return f.String() + ", taken for UTC: --zone says another", nil
	}
	return fmt.Sprintf("%s of %s", f, zone), nil
}

// guessTime reads a time by its looks. zone is that of times without one; nil is UTC.
func guessTime(s string, zone *time.Location) (time.Time, form) {
	if zone == nil {
		zone = time.UTC
	}
	if len(s) < 8 || len(s) > 40 || s[0] < '0' || s[0] > '9' {
		return time.Time{}, formUnknown
	}
	if digits := strings.TrimRight(s, "0123456789"); digits == "" || strings.TrimRight(digits, "0123456789.") == "" && strings.Count(s, ".") == 1 {
		return guessEpoch(s, zone)
	}
	switch {
	case s[4] == '-' || s[4] == '/':
		return isoTime(s, zone)
	case s[1] == '/' || s[2] == '/':
		return time.Time{}, formSlashed
	case s[1] == '.' || s[2] == '.':
		for _, layout := range []string{"2.1.2006 15:04:05", "2.1.2006 15:04", "2.1.2006"} {
			if at, err := time.ParseInLocation(layout, s, zone); err == nil {
				return at, formDotted
			}
		}
	}
	return time.Time{}, formUnknown
}

// guessEpoch tells the unit from the magnitude: between 1973 and 2286 the units' ranges do not touch.
func guessEpoch(s string, zone *time.Location) (time.Time, form) {
	whole, _, _ := strings.Cut(s, ".")
	switch len(whole) {
	case 8:
		if at, err := time.ParseInLocation("20060102", s, zone); err == nil {
			return at, formCompact
		}
	case 9, 10:
		return epochTime(s, formSeconds)
	case 12, 13:
		return epochTime(s, formMillis)
	case 15, 16:
		return epochTime(s, formMicros)
	case 18, 19:
		return epochTime(s, formNanos)
	}
	return time.Time{}, formUnknown
}

func epochTime(s string, f form) (time.Time, form) {
	whole, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, formUnknown
	}
	switch f {
	case formSeconds:
		micros, err := strconv.ParseUint((fraction + "000000")[:6], 10, 32)
		if err != nil || n < -1<<40 || n > 1<<40 {
			return time.Time{}, formUnknown
		}
		return time.Unix(n, int64(micros)*1000).UTC(), f
	case formMillis:
		return time.UnixMilli(n).UTC(), f
	case formMicros:
		return time.UnixMicro(n).UTC(), f
	}
	return time.Unix(0, n).UTC(), f
}

// isoTime reads 2024-01-31, a time of day after a T or a space, and a zone after that.
func isoTime(s string, zone *time.Location) (time.Time, form) {
	sep, local, date := "-", formLocal, formDate
	if s[4] == '/' {
		sep, local, date = "/", formYMD, formYMD
	}
	day := "2006" + sep + "01" + sep + "02"
	if len(s) == len(day) {
		at, err := time.ParseInLocation(day, s, zone)
		if err != nil {
			return at, formUnknown
		}
		return at, date
	}
	if len(s) < 16 || s[10] != 'T' && s[10] != ' ' && s[10] != 't' {
		return time.Time{}, formUnknown
	}
	clock, suffix := s[11:], ""
	if i := strings.IndexAny(clock, "Zz+- "); i >= 0 {
		clock, suffix = clock[:i], strings.TrimSpace(clock[i:])
	}
	layout := "15:04:05"
	if len(clock) == 5 {
		layout = "15:04"
	}
	in, f := zone, local
	if suffix != "" {
		offset, ok := offsetOf(suffix)
		if !ok {
			return time.Time{}, formUnknown
		}
		in, f = offset, formZoned
	}
	at, err := time.ParseInLocation(day+" "+layout, s[:10]+" "+clock, in)
	if err != nil {
		return at, formUnknown
	}
	return at, f
}

// offsetOf understands Z, UTC, GMT and +01:00, +0100, +01.
func offsetOf(s string) (*time.Location, bool) {
	switch s {
	case "Z", "z", "UTC", "GMT":
		return time.UTC, true
	}
	for _, layout := range []string{"-07:00", "-0700", "-07"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.Location(), true
		}
	}
	return nil, false
}

// verbs are those of strftime, in Go's layout.
var verbs = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'b': "Jan", 'B': "January",
	'a': "Mon", 'A': "Monday", 'z': "-0700", 'Z': "MST", 'T': "15:04:05", 'F': "2006-01-02", 'D': "01/02/06", 'R': "15:04", 'f': "000000", 'j': "002", '%': "%",
}

// layoutOf translates a format to Go's layout and checks that a day can be told from it.
func layoutOf(format string) (string, error) {
	layout := format
	if strings.Contains(format, "%") {
		var b strings.Builder
		for i := 0; i < len(format); i++ {
			if format[i] != '%' {
				b.WriteByte(format[i])
				continue
			}
			if i++; i == len(format) || verbs[format[i]] == "" {
				return "", fmt.Errorf("--time-format %q: unknown verb at byte %d; known are %%Y %%m %%d %%H %%M %%S and others of strftime", format, i)
			}
			b.WriteString(verbs[format[i]])
		}
		layout = b.String()
	}
	sample := time.Date(2021, 11, 23, 0, 0, 0, 0, time.UTC)
	back, err := time.Parse(layout, sample.Format(layout))
	if err != nil || back.Year() != 2021 || back.YearDay() != sample.YearDay() {
		return "", fmt.Errorf("--time-format %q does not name a day: want auto, rfc3339, epoch, epoch_ms, epoch_us, epoch_ns, or as %%d/%%m/%%Y %%H:%%M or 02/01/2006 15:04", format)
	}
	return layout, nil
}
