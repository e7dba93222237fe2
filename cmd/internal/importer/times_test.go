package importer

import (
	"strings"
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		format, text, want string // RFC 3339 in UTC; "": refused
		form               form
	}{
		{"auto", "2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z", formZoned},
		{"auto", "2024-01-31t10:00:00.25z", "2024-01-31T10:00:00.25Z", formZoned},
		{"auto", "2024-01-31 10:00:00+01:00", "2024-01-31T09:00:00Z", formZoned},
		{"auto", "2024-01-31T10:00-0530", "2024-01-31T15:30:00Z", formZoned},
		{"auto", "2019-11-01 00:00:14 UTC", "2019-11-01T00:00:14Z", formZoned},
		{"auto", "2024-01-31 10:00:00 CET", "", formUnknown}, // names of zones are not unique
		{"auto", "2024-01-31 10:00", "2024-01-31T09:00:00Z", formLocal},
		{"auto", "2024-07-31T10:00:07.5", "2024-07-31T08:00:07.5Z", formLocal},
		{"auto", "2024-01-31", "2024-01-30T23:00:00Z", formDate},
		{"auto", "2024-02-30", "", formUnknown},
		{"auto", "2024/01/31 10:00:00", "2024-01-31T09:00:00Z", formYMD},
		{"auto", "31.01.2024 10:00", "2024-01-31T09:00:00Z", formDotted},
		{"auto", "1.2.2024", "2024-01-31T23:00:00Z", formDotted},
		{"auto", "31/01/2024 10:00", "", formSlashed},
		{"auto", "1/2/2024", "", formSlashed},
		{"auto", "20240131", "2024-01-30T23:00:00Z", formCompact},
		{"auto", "1706695200", "2024-01-31T10:00:00Z", formSeconds},
		{"auto", "1706695200.25", "2024-01-31T10:00:00.25Z", formSeconds},
		{"auto", "1706695200000", "2024-01-31T10:00:00Z", formMillis},
		{"auto", "1706695200000001", "2024-01-31T10:00:00.000001Z", formMicros},
		{"auto", "1706695200000001000", "2024-01-31T10:00:00.000001Z", formNanos},
		{"auto", "12", "", formUnknown},
		{"auto", "soon", "", formUnknown},
		{"auto", "99999999999999999999", "", formUnknown},
		{"rfc3339", "2024-01-31 10:00", "", formUnknown},
		{"rfc3339", "2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z", formZoned},
		{"epoch", "893286638", "1998-04-22T23:10:38Z", formSeconds},
		{"epoch", "-5", "1969-12-31T23:59:55Z", formSeconds},
		{"epoch", "1e9", "", formUnknown},
		{"epoch_ms", "893286638", "1970-01-11T08:08:06.638Z", formMillis},
		{"epoch_us", "1706695200000001", "2024-01-31T10:00:00.000001Z", formMicros},
		{"epoch_ns", "1706695200000001000", "2024-01-31T10:00:00.000001Z", formNanos},
		{"%d/%m/%Y %H:%M", "31/01/2024 10:00", "2024-01-31T09:00:00Z", formGiven},
		{"%m/%d/%y", "01/31/24", "2024-01-30T23:00:00Z", formGiven},
		{"%d/%m/%Y %H:%M", "2024-01-31", "", formUnknown},
		{"02 Jan 2006 15:04", "31 Jan 2024 10:00", "2024-01-31T09:00:00Z", formGiven},
		{"%Y-%m-%dT%H:%M:%S%z", "2024-01-31T10:00:00+0100", "2024-01-31T09:00:00Z", formGiven},
	} {
		r, err := newTimeReader(c.format, berlin)
		if err != nil {
			t.Fatal(err)
		}
		at, f := r.parse(c.text)
		got := ""
		if f != formUnknown && f != formSlashed {
			got = at.UTC().Format(time.RFC3339Nano)
		}
		if got != c.want || f != c.form {
			t.Errorf("%s %q: %s (%s), want %s (%s)", c.format, c.text, got, f, c.want, c.form)
		}
	}
	for format, want := range map[string]string{
		"%Q": "unknown verb", "%H:%M": "does not name a day", "yesterday": "does not name a day", "%": "unknown verb", "%Y-%m": "does not name a day",
	} {
		if _, err := newTimeReader(format, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--time-format %s: error %v, want %q", format, err, want)
		}
	}
}

func TestTimeColumn(t *testing.T) {
	for _, c := range []struct {
		texts []string
		zone  *time.Location
		want  string // part of the error, or what is said of the times
	}{
		{[]string{"2024-01-31T10:00:00Z"}, nil, "RFC 3339 (as 2024-01-31T10:00:00Z)"},
		{[]string{"2024-01-31 10:00", "2024-01-31 10:00:01"}, nil, "local times (as 2024-01-31 10:00:00), taken for UTC: --zone says another"},
		{[]string{"2024-01-31"}, time.FixedZone("Here", 3600), "dates (as 2024-01-31) of Here"},
		{
			[]string{"2024-01-31", "1706695200", "1706695201", "2024-02-01"},
			nil,
			"column when: times are written in 2 ways: dates (as 2024-01-31) in 2 rows, first at f:1; epoch seconds in 2 rows, first at f:2: export them in one",
		},
		{[]string{"31/01/2024"}, nil, "no time that one can be sure of: in a date with slashes"},
		{[]string{"never"}, nil, "no time in a form that is known"},
		{[]string{"0017-01-31"}, nil, "the year is before 1900"},
	} {
		r, err := newTimeReader("auto", c.zone)
		if err != nil {
			t.Fatal(err)
		}
		says := ""
		for i, text := range c.texts {
			if _, err = r.read(text, place{"f", i + 1, int64(i + 1)}); err != nil {
				break
			}
		}
		if err == nil {
			says, err = r.judge("when")
		}
		if err != nil {
			says = err.Error()
			for _, text := range c.texts {
				if len(text) > 4 && strings.Contains(strings.ReplaceAll(says, "2024-01-31", ""), text) {
					t.Errorf("the error shows a value: %s", says)
				}
			}
		}
		if !strings.Contains(says, c.want) {
			t.Errorf("%q: %s, want %s", c.texts, says, c.want)
		}
	}
}

func FuzzTimes(f *testing.F) {
	for _, s := range []string{"2024-01-31T10:00:00Z", "2024-01-31 10:00", "31.01.2024", "1706695200.5", "20240131", "1/2/2024", "2024/01/31 1", "-", "２０２４-01-31"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, form := guessTime(s, nil)
		if form == formUnknown || form == formSlashed {
			return
		}
		if r, err := newTimeReader("auto", nil); err != nil {
			t.Fatal(err)
		} else if micros, err := r.read(s, place{}); err == nil && (micros != at.UnixMicro() || at.Year() < 1900 || at.Year() > 2200) {
			t.Errorf("%q: %d and %s", s, micros, at)
		}
	})
}
