package schedule

import (
	"testing"
	"time"
)

func TestNextAcrossDaylightSaving(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, expr, from, want string }{
		// 2026-03-29: 02:00 CET becomes 03:00 CEST, so 02:30 does not exist; the gap ends at 01:00 UTC.
		{"gap moves to its end", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"the day after a gap is ordinary", "30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		// 2026-10-25: 03:00 CEST becomes 02:00 CET, so 02:30 comes at 00:30 UTC and at 01:30 UTC.
		{"repeat fires at its first", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"repeat fires once", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"in the second pass of the hour", "30 2 * * *", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"},
		{"leap day", "0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-28T23:00:00Z"},
		{"ordinary", "0 3 * * *", "2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z"},
	} {
		s, err := Parse(c.expr, berlin)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		from, _ := time.Parse(time.RFC3339, c.from)
		if got := s.Next(from).Format(time.RFC3339); got != c.want {
			t.Errorf("%s: Next(%s) = %s, want %s", c.name, c.from, got, c.want)
		}
	}
}

// A daily job fires once on every calendar day of a zone with daylight saving, whatever its hour.
func TestOnceADay(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, expr := range []string{"30 0 * * *", "30 1 * * *", "0 2 * * *", "15 2 * * *", "30 2 * * *", "0 3 * * *"} {
			s, err := Parse(expr, loc)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, loc).Add(-time.Second)
			for {
				at = s.Next(at)
				if at.In(loc).Year() > 2026 {
					break
				}
				seen[at.In(loc).Format(time.DateOnly)]++
			}
			if len(seen) != 365 {
				t.Errorf("%s %q fired on %d days", zone, expr, len(seen))
			}
			for day, n := range seen {
				if n != 1 {
					t.Errorf("%s %q fired %d times on %s", zone, expr, n, day)
				}
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for _, expr := range []string{"0 0 31 2 *", "TZ=0 0 0 * * *", "TZ=0", "CRON_TZ=UTC 0 3 * * *", "0 3 * *", "", "a b c d e", "61 0 * * *"} {
		if s, err := Parse(expr, time.UTC); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", expr, s)
		}
	}
}

// Whatever is written as a schedule is refused or fires again and again, in any zone, without a panic.
func FuzzParse(f *testing.F) {
	for _, expr := range []string{"0 3 * * *", "*/5 1-3,7 * * mon", "0 0 29 2 *", "@daily", "@every 90m", "TZ=0", "TZ=0 0 0 * * *", "CRON_TZ=UTC 0 3 * * *", "0 0 31 2 *", "@every -1h", "? ? ? ? ?"} {
		f.Add(expr, int64(1792890000), uint8(0))
	}
	zones := []*time.Location{time.UTC}
	for _, name := range []string{"Europe/Berlin", "Australia/Lord_Howe"} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			f.Fatal(err)
		}
		zones = append(zones, loc)
	}
	f.Fuzz(func(t *testing.T, expr string, unix int64, zone uint8) {
		s, err := Parse(expr, zones[int(zone)%len(zones)])
		if err != nil {
			return
		}
		at := time.Unix(unix%(1<<33), 0).UTC()
		next := s.Next(at)
		if next.IsZero() {
			return // beyond five years
		}
		if !next.After(at) {
			t.Fatalf("%q: Next(%s) = %s", expr, at, next)
		}
		if prev := s.Prev(next); !prev.Equal(next) {
			t.Fatalf("%q: Prev(%s) = %s", expr, next, prev)
		}
	})
}
