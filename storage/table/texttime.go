package table

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
)

// TimeReader reads times that are text. It is not safe for concurrent use.
type TimeReader struct {
	verbs []timeVerb // nil: ISO 8601
	unit  time.Duration
	clock wallClock // its zone is nil if readings without an offset are refused
}

// timeVerb is one piece of a format: a verb of strftime, or literal text if verb is 0.
type timeVerb struct {
	verb  byte
	text  string
	unpad bool // fewer digits will do
}

// Errors of a text that is no time, or none without a zone. They never hold the text.
var (
	ErrNoTime = errors.New("is no time")
	ErrNoZone = errors.New("has no time zone")
)

// NewTimeReader returns a reader of times in the given format, in the verbs of strftime:
//
//	%Y 2026  %y 26  %m 01–12  %b Jan  %B January  %d 01–31  %j 001–366  %F %Y-%m-%d
//	%H 00–23  %I 01–12  %p AM  %M 00–59  %S 00–60  %f fraction of a second, 1 to 9 digits  %L milliseconds  %T %H:%M:%S  %R %H:%M
//	%z +02:00, +0200, +02 or Z  %s seconds since 1970  %a %A weekday, which is not checked  %% %
//
// Numbers have as many digits as shown; %-d, %-m, %-H, %-I, %-j, %-M and %-S take fewer. Names are English, in any case. Named zones (%Z) are
// refused, since one name stands for several zones; so are verbs that depend on a machine's locale.
//
// The empty format reads RFC 3339 and what people write in its place: a date, or a date and a time of day with "T" or a space between, with
// or without seconds and a fraction, with Z, UTC, GMT or an offset behind it, or without. With a unit, which is then s, ms, µs or ns, it
// reads digits since 1970 as well.
//
// A text without an offset is a reading of the zone's clock. Where that clock is turned forward, a reading that it skips is taken by the
// offset before the change: 02:30 in a night without it is the instant at which clocks show 03:30. Where the clock is turned
// back, a reading that it shows twice is the first of the two. With a nil zone a text that has a time of day and no offset is refused, and a
// date is its midnight in UTC.
func NewTimeReader(format string, unit time.Duration, zone *time.Location) (*TimeReader, error) {
	r := &TimeReader{unit: unit, clock: wallClock{zone: zone}}
	if format == "" {
		return r, nil
	}
	if unit != 0 {
		return nil, fmt.Errorf("time format %.40q: times of a format have no unit: leave one of both out", format)
	}
	var err error
	r.verbs, err = parseTimeFormat(format)
	return r, err
}

// CheckTimeFormat says why a format is not one that NewTimeReader takes.
func CheckTimeFormat(format string) error {
	_, err := NewTimeReader(format, 0, nil)
	return err
}

// Verbs that stand for several, and the way to find them: after a % that is not one itself.
var (
	composed   = map[string]string{"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y", "%h": "%b"}
	spelledOut = regexp.MustCompile(`%.`)
)

const (
	knownVerbs = "YymbBdejHIpMSfLzsaA"
	localVerbs = "cxXEOPUWuwVGg"
)

func parseTimeFormat(format string) ([]timeVerb, error) {
	bad := func(why string) ([]timeVerb, error) {
		return nil, fmt.Errorf("time format %.40q: %s", format, why)
	}
	var out []timeVerb
	literal := func(s string) {
		if n := len(out); n > 0 && out[n-1].verb == 0 {
			out[n-1].text += s
			return
		}
		out = append(out, timeVerb{text: s})
	}
	seen := map[byte]bool{}
	rest := spelledOut.ReplaceAllStringFunc(format, func(verb string) string {
		if whole, ok := composed[verb]; ok {
			return whole
		}
		return verb
	})
	for rest != "" {
		if rest[0] != '%' {
			literal(rest[:1])
			rest = rest[1:]
			continue
		}
		rest = rest[1:]
		unpad := strings.HasPrefix(rest, "-")
		rest = strings.TrimPrefix(rest, "-")
		if rest == "" {
			return bad("a % without a verb; %% is a percent sign")
		}
		v := rest[0]
		rest = rest[1:]
		switch {
		case v == '%' && !unpad:
			literal("%")
			continue
		case v == 'Z':
			return bad("%Z, a zone by its name, is ambiguous: write offsets (%z), or say which zone all times are in")
		case strings.IndexByte(localVerbs, v) >= 0:
			return bad(fmt.Sprintf("%%%c depends on a locale, or says no day of a month: spell it out", v))
		case strings.IndexByte(knownVerbs, v) < 0, unpad && strings.IndexByte("dmHIMSj", v) < 0:
			return bad(fmt.Sprintf("there is no verb %%%c; %%%% is a percent sign", v))
		case seen[v]:
			return bad(fmt.Sprintf("%%%c is given twice", v))
		}
		seen[v] = true
		if v == 'e' { // padded with a space
			v, unpad = 'd', true
		}
		out = append(out, timeVerb{verb: v, unpad: unpad})
	}
	year, month, day := seen['Y'] || seen['y'], seen['m'] || seen['b'] || seen['B'], seen['d'] || seen['e']
	switch {
	case seen['s']:
		if len(seen) > 1 {
			return bad("%s is a whole time, with its fraction: no verb stands beside it")
		}
	case !year || !(month && day || seen['j']):
		return bad("a time needs a year, a month and a day, as %Y-%m-%d")
	case seen['I'] != seen['p']:
		return bad("%I and %p belong together")
	case seen['j'] && (month || day), seen['I'] && seen['H'], seen['d'] && seen['e'], seen['Y'] && seen['y'], seen['f'] && seen['L']:
		return bad("a part of the time is given twice")
	case seen['M'] && !seen['H'] && !seen['I'], seen['S'] && !seen['M'], (seen['f'] || seen['L']) && !seen['S']:
		return bad("a time of day lacks its hour or minute")
	}
	return out, nil
}

// reading is what a text says.
type reading struct {
	year, month, day  int
	hour, minute, sec int
	nanos             int
	timed             bool // a time of day is given
	offset            int  // seconds east of UTC
	zoned             bool
	half              int // 1: AM, 2: PM
	yearDay           int
	epoch             bool
	micros            int64
}

// Micros returns the time that the text says, in µs since the epoch, rounded down. Its errors name what is wrong and never hold the text.
func (r *TimeReader) Micros(s string) (int64, error) {
	var t reading
	if r.verbs == nil {
		if r.unit != 0 {
			if v, ok := epochText(s, r.unit); ok {
				return v, nil
			}
		}
		rest, ok := t.iso(s)
		if !ok || rest != "" {
			return 0, ErrNoTime
		}
	} else {
		rest, ok := t.formatted(r.verbs, s)
		if !ok || rest != "" {
			return 0, ErrNoTime
		}
	}
	if t.epoch {
		return t.micros, nil
	}
	at, ok := t.wall()
	switch {
	case !ok:
		return 0, ErrNoTime
	case t.zoned:
		return at - int64(t.offset)*1_000_000, nil
	case r.clock.zone != nil:
		return r.clock.utc(at), nil
	case t.timed:
		return 0, ErrNoZone
	}
	return at, nil
}

// wall is the reading in µs since 1970-01-01 00:00 of the clock that it was taken from, or false if no calendar has it.
func (t *reading) wall() (int64, bool) {
	switch t.half {
	case 1, 2:
		if t.hour < 1 || t.hour > 12 {
			return 0, false
		}
		t.hour = t.hour%12 + 12*(t.half-1)
	}
	if t.hour > 23 || t.minute > 59 || t.sec > 60 { // 60: a leap second is the first of the next minute
		return 0, false
	}
	var date time.Time
	if t.yearDay > 0 {
		date = time.Date(t.year, 1, t.yearDay, 0, 0, 0, 0, time.UTC)
		if date.Year() != t.year {
			return 0, false
		}
	} else {
		date = time.Date(t.year, time.Month(t.month), t.day, 0, 0, 0, 0, time.UTC)
		if date.Month() != time.Month(t.month) || date.Day() != t.day {
			return 0, false
		}
	}
	seconds := date.Unix() + int64(t.hour)*3600 + int64(t.minute)*60 + int64(t.sec)
	return seconds*1_000_000 + int64(t.nanos/1000), true
}

// iso reads what the empty format takes, and returns what is left of s.
func (t *reading) iso(s string) (rest string, ok bool) {
	if s, ok = t.isoDate(s); !ok || s == "" {
		return s, ok
	}
	if s[0] != 'T' && s[0] != 't' && s[0] != ' ' {
		return s, false
	}
	t.timed = true
	for i, field := range []*int{&t.hour, &t.minute, &t.sec} {
		if i > 0 {
			if s == "" || s[0] != ':' {
				if i == 1 {
					return s, false
				}
				return t.isoZone(s)
			}
		}
		if *field, s, ok = digits(s[1:], 2, 2); !ok {
			return s, false
		}
	}
	if s != "" && (s[0] == '.' || s[0] == ',') {
		if t.nanos, s, ok = fraction(s[1:]); !ok {
			return s, false
		}
	}
	return t.isoZone(s)
}

// isoDate reads YYYY-MM-DD.
func (t *reading) isoDate(s string) (rest string, ok bool) {
	if t.year, s, ok = digits(s, 4, 4); !ok || s == "" || s[0] != '-' {
		return s, false
	}
	if t.month, s, ok = digits(s[1:], 2, 2); !ok || s == "" || s[0] != '-' {
		return s, false
	}
	t.day, s, ok = digits(s[1:], 2, 2)
	return s, ok
}

func (t *reading) isoZone(s string) (rest string, ok bool) {
	if s == "" {
		return s, true
	}
	s = strings.TrimPrefix(s, " ")
	if s == "UTC" || s == "GMT" {
		t.zoned = true
		return "", true
	}
	return t.zone(s)
}

// zone reads Z or an offset.
func (t *reading) zone(s string) (rest string, ok bool) {
	if s == "" {
		return s, false
	}
	t.zoned = true
	sign := 1
	switch s[0] {
	case 'Z', 'z':
		return s[1:], true
	case '-':
		sign = -1
	case '+':
	default:
		return s, false
	}
	var h, m int
	if h, s, ok = digits(s[1:], 2, 2); !ok || h > 23 {
		return s, false
	}
	if after, found := strings.CutPrefix(s, ":"); found {
		if m, s, ok = digits(after, 2, 2); !ok {
			return s, false
		}
	} else if n, after, found := digits(s, 2, 2); found {
		m, s = n, after
	}
	if m > 59 {
		return s, false
	}
	t.offset = sign * (h*3600 + m*60)
	return s, true
}

// formatted reads s by the verbs of a format, and returns what is left of it.
func (t *reading) formatted(verbs []timeVerb, s string) (rest string, ok bool) {
	for _, v := range verbs {
		least := 2
		if v.unpad {
			least = 1
		}
		switch v.verb {
		case 0:
			if s, ok = strings.CutPrefix(s, v.text); !ok {
				return s, false
			}
			continue
		case 'Y':
			t.year, s, ok = digits(s, 4, 4)
		case 'y':
			t.year, s, ok = digits(s, 2, 2)
			if t.year += 1900; t.year < 1969 { // as POSIX has it
				t.year += 100
			}
		case 'm':
			t.month, s, ok = digits(s, least, 2)
		case 'b', 'B':
			t.month, s, ok = nameOf(s, months)
		case 'a', 'A':
			_, s, ok = nameOf(s, weekdays)
		case 'd':
			if v.unpad {
				s = strings.TrimPrefix(s, " ")
			}
			t.day, s, ok = digits(s, least, 2)
		case 'j':
			if !v.unpad {
				least = 3
			}
			t.yearDay, s, ok = digits(s, least, 3)
			ok = ok && t.yearDay > 0
		case 'H', 'I':
			t.hour, s, ok = digits(s, least, 2)
			t.timed = true
		case 'p':
			t.half, s, ok = nameOf(s, halves)
		case 'M':
			t.minute, s, ok = digits(s, least, 2)
		case 'S':
			t.sec, s, ok = digits(s, least, 2)
		case 'f':
			t.nanos, s, ok = fraction(s)
		case 'L':
			t.nanos, s, ok = digits(s, 3, 3)
			t.nanos *= 1_000_000
		case 'z':
			s, ok = t.zone(s)
		case 's':
			n := len(s) - len(strings.TrimLeft(s, "-0123456789"))
			t.micros, ok = epochText(s[:n], time.Second)
			t.epoch, s = true, s[n:]
		}
		if !ok {
			return s, false
		}
	}
	return s, true
}

var (
	months   = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}
	weekdays = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
	halves   = []string{"am", "pm"}
)

// nameOf reads a name of the list, whole or its first three letters, and returns its number from 1.
func nameOf(s string, names []string) (n int, rest string, ok bool) {
	for i, name := range names {
		for _, form := range []string{name, name[:min(3, len(name))]} {
			if len(s) >= len(form) && strings.EqualFold(s[:len(form)], form) {
				return i + 1, s[len(form):], true
			}
		}
	}
	return 0, s, false
}

// digits reads least to most digits.
func digits(s string, least, most int) (v int, rest string, ok bool) {
	n := 0
	for n < len(s) && n < most && s[n] >= '0' && s[n] <= '9' {
		v = 10*v + int(s[n]-'0')
		n++
	}
	return v, s[n:], n >= least
}

// fraction reads 1 to 9 digits behind a decimal point as billionths, and passes over further ones.
func fraction(s string) (nanos int, rest string, ok bool) {
	nanos, rest, ok = digits(s, 1, 9)
	for range 9 - (len(s) - len(rest)) {
		nanos *= 10
	}
	for rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		rest = rest[1:]
	}
	return nanos, rest, ok
}

// epochText reads a decimal number of units since 1970, in µs.
func epochText(s string, unit time.Duration) (micros int64, ok bool) {
	whole, frac, pointed := strings.Cut(s, ".")
	negative := strings.HasPrefix(whole, "-")
	if negative {
		whole = whole[1:]
	}
	if whole == "" || len(whole) > 18 || pointed && frac == "" {
		return 0, false
	}
	var v int64
	for i := range len(whole) {
		c := whole[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		v = 10*v + int64(c-'0')
	}
	var part int64 // of a unit, in billionths
	if pointed {
		n, rest, ok := fraction(frac)
		if !ok || rest != "" {
			return 0, false
		}
		part = int64(n)
	}
	nanos := part * int64(unit) / 1e9 // at most 1e18
	if negative {
		v, nanos = -v, -nanos
	}
	if unit == time.Nanosecond {
		return floorDiv(v, 1000), true
	}
	return saturate(scaled(v, int64(unit/time.Microsecond)), floorDiv(nanos, 1000)), true
}

// saturate is a + b, or the nearest int64.
func saturate(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// bounds are times between which all lie whose texts sort between low and high; ok is false if the texts' order says nothing of theirs. Where texts begin
// with year, month and day, texts of one order are days of that order, whatever offset stands behind: so the bounds are a day wider.
func (r *TimeReader) bounds(low, high []byte) (least, most int64, ok bool) {
	if r.unit != 0 { // digits sort otherwise
		return 0, 0, false
	}
	n := r.leadingDate()
	day := func(b []byte) (int64, bool) {
		var t reading
		ok := false
		if r.verbs == nil {
			_, ok = t.isoDate(string(b))
		} else if n > 0 {
			_, ok = t.formatted(r.verbs[:n], string(b))
		}
		if !ok {
			return 0, false
		}
		return t.wall()
	}
	if least, ok = day(low); !ok {
		return 0, 0, false
	}
	if most, ok = day(high); !ok || most < least {
		return 0, 0, false
	}
	const oneDay = secondsADay * 1_000_000
	return least - oneDay, most + 2*oneDay, true
}

// leadingDate is how many verbs make up a year, month and day of fixed width that stand first, in this order, or 0.
func (r *TimeReader) leadingDate() int {
	want := []byte("Ymd")
	for i, v := range r.verbs {
		switch {
		case v.verb == 0:
		case v.verb != want[0] || v.unpad:
			return 0
		default:
			if want = want[1:]; len(want) == 0 {
				return i + 1
			}
		}
	}
	return 0
}
