package table

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func every(t testing.TB, spec string, loc *time.Location) Every {
	t.Helper()
	e, err := EveryOf(spec, loc)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func instant3339(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestEveryByHand: At, the label and the length of intervals computed by hand.
func TestEveryByHand(t *testing.T) {
	for _, c := range []struct{ spec, zone, at, want, label string }{
		{"1d", "UTC", "2017-01-06T00:00:00Z", "2017-01-05T00:00:00Z/2017-01-06T00:00:00Z", "2017-01-05"},
		{"1d", "UTC", "2017-01-05T23:59:59Z", "2017-01-04T00:00:00Z/2017-01-05T00:00:00Z", "2017-01-04"},
		{"24h", "UTC", "2017-01-06T00:00:00Z", "2017-01-05T00:00:00Z/2017-01-06T00:00:00Z", "2017-01-05"},
		{"1w", "UTC", "2017-01-09T00:00:00Z", "2017-01-02T00:00:00Z/2017-01-09T00:00:00Z", "2017-01-02_7d"}, // a Monday
		{"1w", "UTC", "2017-01-08T23:00:00Z", "2016-12-26T00:00:00Z/2017-01-02T00:00:00Z", "2016-12-26_7d"},
		{"7d", "UTC", "2017-01-09T00:00:00Z", "2017-01-02T00:00:00Z/2017-01-09T00:00:00Z", "2017-01-02_7d"},
		{"1w", "UTC", "1969-12-31T00:00:00Z", "1969-12-22T00:00:00Z/1969-12-29T00:00:00Z", "1969-12-22_7d"},
		{"1h", "UTC", "2017-01-05T14:20:00Z", "2017-01-05T13:00:00Z/2017-01-05T14:00:00Z", "2017-01-05T13"},
		{"6h", "UTC", "2017-01-05T13:00:00Z", "2017-01-05T06:00:00Z/2017-01-05T12:00:00Z", "2017-01-05T06_6h"},
		{"30m", "UTC", "2017-01-05T13:00:00Z", "2017-01-05T12:30:00Z/2017-01-05T13:00:00Z", "2017-01-05T1230_30m"},
		// Berlin: clocks go forward on 2017-03-26 (a day of 23 h) and back on 2017-10-29 (25 h).
		{"1d", "Europe/Berlin", "2017-03-26T22:00:00Z", "2017-03-25T23:00:00Z/2017-03-26T22:00:00Z", "2017-03-26"},
		{"1d", "Europe/Berlin", "2017-10-29T23:00:00Z", "2017-10-28T22:00:00Z/2017-10-29T23:00:00Z", "2017-10-29"},
		{"1w", "Europe/Berlin", "2017-10-29T23:00:00Z", "2017-10-22T22:00:00Z/2017-10-29T23:00:00Z", "2017-10-23_7d"},
		{"1h", "Europe/Berlin", "2017-10-29T01:00:00Z", "2017-10-29T00:00:00Z/2017-10-29T01:00:00Z", "2017-10-29T00"},
		// São Paulo: clocks skip midnight on 2017-10-15, so the day begins at 01:00 (−02:00), 03:00 UTC.
		{"1d", "America/Sao_Paulo", "2017-10-16T02:00:00Z", "2017-10-15T03:00:00Z/2017-10-16T02:00:00Z", "2017-10-15"},
		{"1d", "America/Sao_Paulo", "2017-10-15T03:00:00Z", "2017-10-14T03:00:00Z/2017-10-15T03:00:00Z", "2017-10-14"},
		// Havana: 2017-11-05 has midnight twice (−04:00, then −05:00); the day begins at the first, 04:00 UTC.
		{"1d", "America/Havana", "2017-11-06T05:00:00Z", "2017-11-05T04:00:00Z/2017-11-06T05:00:00Z", "2017-11-05"},
		// Samoa had no 2011-12-30: the 29th (−10:00) is followed by the 31st (+14:00), both meeting at 10:00 UTC.
		{"1d", "Pacific/Apia", "2011-12-31T10:00:00Z", "2011-12-30T10:00:00Z/2011-12-31T10:00:00Z", "2011-12-31"},
		{"1d", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-29T10:00:00Z/2011-12-30T10:00:00Z", "2011-12-29"},
	} {
		e := every(t, c.spec, zone(t, c.zone))
		got := e.At(instant3339(t, c.at))
		if got.String() != c.want || e.Label(got) != c.label {
			t.Errorf("%s in %s at %s: %s %s, want %s %s", c.spec, c.zone, c.at, got, e.Label(got), c.want, c.label)
		}
	}
}

// TestEveryTiles walks years of intervals in awkward zones: no gap, no overlap, labels ascending and parsed back.
func TestEveryTiles(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Monrovia"} {
		for _, spec := range []string{"1d", "1w", "2d", "12h"} {
			e := every(t, spec, zone(t, name))
			from := instant3339(t, "2009-12-31T12:34:56Z")
			to := from.AddDate(9, 0, 0)
			all := e.Between(from, to)
			if len(all) == 0 || all[0].Start.Before(from) || all[len(all)-1].End.After(to) || !e.Next(all[len(all)-1]).End.After(to) {
				t.Fatalf("%s %s: Between leaves its bounds or stops short", name, spec)
			}
			if e.At(all[0].Start).Start.After(from) {
				t.Fatalf("%s %s: Between begins late", name, spec)
			}
			for i, iv := range all {
				if !iv.Start.Before(iv.End) || i > 0 && !all[i-1].End.Equal(iv.Start) || i > 0 && e.Label(all[i-1]) >= e.Label(iv) {
					t.Fatalf("%s %s: %s after %s", name, spec, iv, all[max(i-1, 0)])
				}
				if e.At(iv.End) != iv || e.At(iv.End.Add(-1)) == iv || e.Containing(iv.Start) != iv || e.Containing(iv.End.Add(-1)) != iv {
					t.Fatalf("%s %s: At or Containing disagree at %s", name, spec, iv)
				}
				back, err := e.Parse(e.Label(iv))
				if err != nil || back != iv {
					t.Fatalf("%s %s: label %s of %s parses as %s, %v", name, spec, e.Label(iv), iv, back, err)
				}
			}
		}
	}
}

// TestDays compares Days with a walk in steps of a quarter of an hour over the zone's own calendar.
func TestDays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Australia/Lord_Howe"} {
		loc := zone(t, name)
		e := every(t, "1h", loc)
		for range 60 {
			start := instant3339(t, "2017-01-01T00:00:00Z").Add(time.Duration(r.IntN(500*96)) * 15 * time.Minute)
			iv := Interval{start, start.Add(time.Duration(1+r.IntN(5*96)) * 15 * time.Minute)}
			var want []string
			for at := iv.Start; at.Before(iv.End); at = at.Add(15 * time.Minute) {
				want = append(want, at.In(loc).Format(time.DateOnly))
			}
			want = slices.Compact(want)
			slices.Sort(want) // Havana's clock returns to the evening before for no date, but be sure
			var got []string
			day := every(t, "1d", loc)
			days := e.Days(iv)
			for _, d := range days {
				got = append(got, day.Label(d))
			}
			if !slices.Equal(got, slices.Compact(want)) {
				t.Fatalf("%s %s: %v, want %v", name, iv, got, want)
			}
			if !days[0].Contains(iv.Start) || !days[len(days)-1].Contains(iv.End.Add(-1)) {
				t.Fatalf("%s %s: days do not cover it", name, iv)
			}
		}
	}
	berlin := zone(t, "Europe/Berlin")
	for date, hours := range map[string]float64{"2017-03-26": 23, "2017-10-29": 25, "2017-10-30": 24} {
		d, err := every(t, "1d", berlin).Parse(date)
		if err != nil || d.End.Sub(d.Start).Hours() != hours {
			t.Errorf("%s has %v h, %v; want %v", date, d.End.Sub(d.Start).Hours(), err, hours)
		}
	}
	if got := every(t, "1d", nil).Days(Interval{}); len(got) != 0 {
		t.Errorf("an empty interval has days %v", got)
	}
}

func TestEveryOf(t *testing.T) {
	for spec, want := range map[string]string{
		"1h": "1h", "60m": "1h", "90m": "90m", "30m": "30m", "24h": "1d", "48h": "2d", "168h": "1w", "14d": "2w", "3d": "3d", "1440m": "1d",
	} {
		if spec == "90m" { // divides 24 h: 16 a day
			want = "90m"
		}
		e, err := EveryOf(spec, nil)
		if err != nil || e.String() != want || e.Location() != time.UTC {
			t.Errorf("%s: %s, %v; want %s", spec, e, err, want)
		}
	}
	for _, spec := range []string{"", "d", "0d", "01d", "-1d", "+1d", "1", "1s", "1.5h", "1 d", "7h", "25h", "1M", "9999w", "99999d", "1dd", "١d"} {
		if e, err := EveryOf(spec, nil); err == nil {
			t.Errorf("%q is taken as %s", spec, e)
		}
	}
	_, err := EveryOf("7h", nil)
	if err == nil || !strings.Contains(err.Error(), "divide 24 hours") {
		t.Errorf("7h: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for spec, labels := range map[string][]string{
		"1d":  {"", "2017-1-5", "2017-01-05T13", "2017-01-02_7d", "2017-02-30", "2017-01-05_1d"},
		"1w":  {"2017-01-03_7d", "2017-01-02", "2017-01-02_8d"},
		"1h":  {"2017-01-05", "2017-01-05T1330", "2017-01-05T25", "2017-01-05T1300"},
		"30m": {"2017-01-05T13", "2017-01-05T1315_30m", "2017-01-05T1300_1h"},
	} {
		for _, l := range labels {
			if iv, err := every(t, spec, nil).Parse(l); err == nil {
				t.Errorf("%s: %q is taken as %s", spec, l, iv)
			}
		}
	}
	if iv, err := every(t, "1d", zone(t, "Pacific/Apia")).Parse("2011-12-30"); err == nil {
		t.Errorf("a day that Samoa skipped is %s", iv)
	}
}

func TestInterval(t *testing.T) {
	iv := Interval{instant3339(t, "2017-01-05T00:00:00Z"), instant3339(t, "2017-01-06T00:00:00Z")}
	if !iv.Contains(iv.Start) || iv.Contains(iv.End) || !iv.Contains(iv.End.Add(-1)) || iv.Contains(iv.Start.Add(-1)) {
		t.Error("an interval is half-open")
	}
	if Micros(iv.Start) != 1483574400000000 {
		t.Error(Micros(iv.Start))
	}
}
