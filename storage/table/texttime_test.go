package table

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTimeReader(t *testing.T) {
	berlin, newYork := zone(t, "Europe/Berlin"), zone(t, "America/New_York")
	for _, c := range []struct {
		format string
		unit   time.Duration
		zone   *time.Location
		text   string
		want   string // RFC 3339 in UTC, or the error
	}{
		{"", 0, nil, "2026-03-29T10:20:30Z", "2026-03-29T10:20:30Z"},
		{"", 0, nil, "2026-03-29t10:20:30.1234567z", "2026-03-29T10:20:30.123456Z"},
		{"", 0, nil, "2026-03-29 10:20:30,5+02:00", "2026-03-29T08:20:30.5Z"},
		{"", 0, nil, "2026-03-29 10:20:30.123456789123 UTC", "2026-03-29T10:20:30.123456Z"},
		{"", 0, nil, "2026-03-29T10:20-0330", "2026-03-29T13:50:00Z"},
		{"", 0, nil, "2026-03-29T10:20:30+14", "2026-03-28T20:20:30Z"},
		{"", 0, nil, "2026-03-29", "2026-03-29T00:00:00Z"},
		{"", 0, berlin, "2026-03-29", "2026-03-28T23:00:00Z"},
		{"", 0, berlin, "2026-01-05 10:20", "2026-01-05T09:20:00Z"},
		{"", 0, berlin, "2026-01-05T10:20:30Z", "2026-01-05T10:20:30Z"},
		{"", 0, nil, "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"},
		{"", 0, nil, "2026-01-05 10:20", "has no time zone"},
		{"", 0, nil, "2026-02-30", "is no time"},
		{"", 0, nil, "2026-1-05", "is no time"},
		{"", 0, nil, "2026-01-05T24:00:00Z", "is no time"},
		{"", 0, nil, "2026-01-05T10:60:00Z", "is no time"},
		{"", 0, nil, "2026-01-05T10", "is no time"},
		{"", 0, nil, "2026-01-05T10:00:00.Z", "is no time"},
		{"", 0, nil, "2026-01-05T10:00:00+2", "is no time"},
		{"", 0, nil, "2026-01-05T10:00:00Zulu", "is no time"},
		{"", 0, nil, "2026-01-05T10:00:00+24:00", "is no time"},
		{"", 0, nil, " 2026-01-05", "is no time"},
		{"", 0, nil, "1483617600", "is no time"},
		{"", 0, nil, "soon", "is no time"},
		{"", 0, nil, "", "is no time"},

		// Changes of clocks: a reading that is skipped, by the offset before; one that comes twice, the first.
		{"", 0, berlin, "2026-03-29 01:59:59", "2026-03-29T00:59:59Z"},
		{"", 0, berlin, "2026-03-29 02:30:00", "2026-03-29T01:30:00Z"}, // clocks show 03:30
		{"", 0, berlin, "2026-03-29 03:00:00", "2026-03-29T01:00:00Z"},
		{"", 0, berlin, "2026-10-25 01:59:59", "2026-10-24T23:59:59Z"},
		{"", 0, berlin, "2026-10-25 02:30:00", "2026-10-25T00:30:00Z"}, // not 01:30Z
		{"", 0, berlin, "2026-10-25 03:00:00", "2026-10-25T02:00:00Z"},
		{"", 0, newYork, "2026-03-08 02:30:00", "2026-03-08T07:30:00Z"},
		{"", 0, newYork, "2026-11-01 01:30:00", "2026-11-01T05:30:00Z"},

		{"", time.Second, nil, "1483617600", "2017-01-05T12:00:00Z"},
		{"", time.Second, nil, "1483617600.25", "2017-01-05T12:00:00.25Z"},
		{"", time.Second, nil, "-1.5", "1969-12-31T23:59:58.5Z"},
		{"", time.Millisecond, nil, "1483617600123", "2017-01-05T12:00:00.123Z"},
		{"", time.Microsecond, nil, "1483617600000001", "2017-01-05T12:00:00.000001Z"},
		{"", time.Nanosecond, nil, "-1", "1969-12-31T23:59:59.999999Z"},
		{"", time.Second, nil, "2017-01-05T12:00:00Z", "2017-01-05T12:00:00Z"},
		{"", time.Second, nil, "1.", "is no time"},
		{"", time.Second, nil, "1e9", "is no time"},
		{"", time.Second, nil, "-", "is no time"},
		{"", time.Second, nil, "9999999999999999999", "is no time"},

		{"%d.%m.%Y %H:%M", 0, berlin, "05.01.2026 13:45", "2026-01-05T12:45:00Z"},
		{"%d.%m.%Y %H:%M", 0, berlin, "5.1.2026 13:45", "is no time"},
		{"%d.%m.%Y %H:%M", 0, berlin, "05.13.2026 13:45", "is no time"},
		{"%d.%m.%Y %H:%M", 0, berlin, "05.01.2026 13:45:00", "is no time"},
		{"%d.%m.%Y %H:%M", 0, nil, "05.01.2026 13:45", "has no time zone"},
		{"%-d.%-m.%y %-H:%M", 0, berlin, "5.1.26 3:45", "2026-01-05T02:45:00Z"},
		{"%m/%d/%y %I:%M %p", 0, newYork, "01/05/26 12:05 am", "2026-01-05T05:05:00Z"},
		{"%m/%d/%Y %I:%M:%S %p", 0, newYork, "01/05/2026 12:05:09 PM", "2026-01-05T17:05:09Z"},
		{"%m/%d/%Y %I:%M %p", 0, newYork, "01/05/2026 13:05 PM", "is no time"},
		{"%a %b %e %T %Y", 0, berlin, "Mon Jan  5 13:45:10 2026", "2026-01-05T12:45:10Z"},
		{"%A, %d %B %Y", 0, nil, "monday, 05 JANUARY 2026", "2026-01-05T00:00:00Z"},
		{"%d/%b/%Y:%H:%M:%S %z", 0, nil, "05/Jan/2026:13:45:10 -0500", "2026-01-05T18:45:10Z"},
		{"%Y%m%d%H%M%S%f", 0, berlin, "20260105134510123", "2026-01-05T12:45:10.123Z"},
		{"%Y-%jT%T.%LZ", 0, berlin, "2026-005T13:45:10.007Z", "2026-01-05T12:45:10.007Z"},
		{"%Y %j", 0, nil, "2026 366", "is no time"},
		{"at %s.", 0, nil, "at 1483617600.", "2017-01-05T12:00:00Z"},
		{"%F%%%R", 0, berlin, "2026-01-05%13:45", "2026-01-05T12:45:00Z"},
		{"%D", 0, nil, "01/05/69", "1969-01-05T00:00:00Z"},
		{"%D", 0, nil, "01/05/68", "2068-01-05T00:00:00Z"},
	} {
		r, err := NewTimeReader(c.format, c.unit, c.zone)
		if err != nil {
			t.Errorf("%q: %v", c.format, err)
			continue
		}
		got := ""
		if at, err := r.Micros(c.text); err != nil {
			got = err.Error()
			if !errors.Is(err, ErrNoTime) && !errors.Is(err, ErrNoZone) {
				t.Errorf("%q of %q: %v", c.format, c.text, err)
			}
		} else {
			got = time.UnixMicro(at).UTC().Format(time.RFC3339Nano)
		}
		if got != c.want {
			t.Errorf("%q of %q in %v: %s, want %s", c.format, c.text, c.zone, got, c.want)
		}
	}
}

func TestTimeFormatFaults(t *testing.T) {
	for format, want := range map[string]string{
		"%d.%m.":                "needs a year",
		"%Y-%m":                 "needs a year, a month and a day",
		"%H:%M":                 "needs a year",
		"%Y-%m-%d %Z":           "ambiguous",
		"%c":                    "locale",
		"%Y-%m-%d %k":           "there is no verb %k",
		"%Y-%m-%d %-y":          "there is no verb %y",
		"%Y-%m-%d %":            "without a verb",
		"%Y-%m-%d %I:%M":        "belong together",
		"%Y-%m-%d %M":           "lacks its hour",
		"%F %Y":                 "twice",
		"%F %T %M":              "twice",
		"%Y %y %m %d":           "twice",
		"%F %s":                 "whole time",
		"%s.%f":                 "no verb stands beside it",
		"%Y-%m-%j":              "twice",
		"2006-01-02 15:04:05":   "needs a year",
		"%F %H:%M:%S.%f and %L": "twice",
	} {
		if err := CheckTimeFormat(format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", format, err, want)
		}
	}
	if _, err := NewTimeReader("%F", time.Second, nil); err == nil {
		t.Error("a format with a unit")
	}
}

// TestTextTimeBounds: whatever stands between two texts in their order lies between the bounds.
func TestTextTimeBounds(t *testing.T) {
	for _, c := range []struct {
		format, low, high string
		from, to          string // "" if there are no bounds
	}{
		{"", "2026-01-05", "2026-01-07T10:00:00+14:00", "2026-01-04", "2026-01-09"},
		{"", "2026-01-05T", "2026-01-0", "", ""},
		{"", "soon", "soon", "", ""},
		{"", "2026-01-07", "2026-01-05", "", ""},
		{"%Y/%m/%d %H", "2026/01/05 10", "2026/01/05 11", "2026-01-04", "2026-01-07"},
		{"%Y%m%d", "20260105", "20260105", "2026-01-04", "2026-01-07"},
		{"%d.%m.%Y", "05.01.2026", "07.01.2026", "", ""},
		{"%Y-%-m-%d", "2026-1-05", "2026-1-07", "", ""},
	} {
		r, err := NewTimeReader(c.format, 0, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		least, most, ok := r.bounds([]byte(c.low), []byte(c.high))
		from, to := "", ""
		if ok {
			from, to = time.UnixMicro(least).UTC().Format(time.DateOnly), time.UnixMicro(most).UTC().Format(time.DateOnly)
		}
		if from != c.from || to != c.to {
			t.Errorf("%+v: %s to %s", c, from, to)
		}
	}
	r, err := NewTimeReader("", time.Second, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := r.bounds([]byte("2026-01-05"), []byte("2026-01-06")); ok {
		t.Error("where digits may stand, the order of texts says nothing")
	}
}

// FuzzTimeReader: no text and no format makes it fail otherwise than with its errors, and what RFC 3339 can say it reads alike.
func FuzzTimeReader(f *testing.F) {
	f.Add("", "2026-03-29T10:20:30.5+02:00")
	f.Add("%d.%m.%Y %H:%M", "05.01.2026 13:45")
	f.Add("%a %b %e %T %Y %z", "Mon Jan  5 13:45:10 2026 Z")
	f.Add("%s", "-1.5")
	f.Fuzz(func(t *testing.T, format, text string) {
		for _, unit := range []time.Duration{0, time.Second, time.Nanosecond} {
			r, err := NewTimeReader(format, unit, time.UTC)
			if err != nil {
				continue
			}
			at, err := r.Micros(text)
			if err != nil && !errors.Is(err, ErrNoTime) && !errors.Is(err, ErrNoZone) {
				t.Fatalf("an error of no kind: %v", err)
			}
			if want, perr := time.Parse(time.RFC3339Nano, text); format == "" && perr == nil && (err != nil || at != want.UnixMicro()) {
				t.Fatalf("%q is %d, %v; want %d", text, at, err, want.UnixMicro())
			}
			least, most, ok := r.bounds([]byte(text), []byte(text))
			if ok && err == nil && (at < least || at > most) {
				t.Fatalf("%q of %q is %d, outside its bounds %d to %d", text, format, at, least, most)
			}
		}
	})
}
