package table

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Every divides time into consecutive intervals: what a step works on. Days and their multiples follow the calendar of a zone, so that a
// day on which clocks change has 23 or 25 hours; multiples are counted from Monday 1970-01-05, so a week begins on Monday. Shorter
// intervals are spans of physical time that divide 24 hours, counted in UTC. The zero Every is not valid; make one with EveryOf.
type Every struct {
	days int           // ≥ 1: calendar days
	span time.Duration // else: physical
	loc  *time.Location
}

// EveryOf reads a spec: a whole number of minutes (m), hours (h), days (d) or weeks (w), as 1h, 1d, 1w, 30m, 6h, 2w. 24h is 1d. A nil
// loc is UTC.
func EveryOf(spec string, loc *time.Location) (Every, error) {
	if loc == nil {
		loc = time.UTC
	}
	e := Every{loc: loc}
	bad := fmt.Errorf("interval %.40q: want a number and a unit: 30m, 1h, 1d or 1w", spec)
	if len(spec) < 2 {
		return e, bad
	}
	digits, unit := spec[:len(spec)-1], spec[len(spec)-1]
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || digits[0] == '0' || digits[0] == '+' {
		return e, bad
	}
	minutes := int(n)
	switch unit {
	case 'm':
	case 'h':
		minutes *= 60
	case 'd':
		minutes *= minutesADay
	case 'w':
		minutes *= 7 * minutesADay
	default:
		return e, bad
	}
	switch {
	case minutes%minutesADay == 0:
		e.days = minutes / minutesADay
		if e.days > maxDays {
			return Every{}, fmt.Errorf("interval %s: at most %d days", spec, maxDays)
		}
	case minutesADay%minutes == 0:
		e.span = time.Duration(minutes) * time.Minute
	default:
		return Every{}, fmt.Errorf("interval %s: shorter than a day it must divide 24 hours, longer it must be whole days", spec)
	}
	return e, nil
}

const (
	minutesADay = 24 * 60
	maxDays     = 3660
	monday      = 4 // days from 1970-01-01, a Thursday, to the first Monday
)

// String prints the spec in its shortest form.
func (e Every) String() string {
	switch {
	case e.days == 0 && e.span%time.Hour == 0:
		return fmt.Sprintf("%dh", e.span/time.Hour)
	case e.days == 0:
		return fmt.Sprintf("%dm", e.span/time.Minute)
	case e.days%7 == 0:
		return fmt.Sprintf("%dw", e.days/7)
	}
	return fmt.Sprintf("%dd", e.days)
}

// Location returns the zone whose calendar the intervals follow.
func (e Every) Location() *time.Location { return e.loc }

// Containing returns the interval that holds t.
func (e Every) Containing(t time.Time) Interval {
	if e.days == 0 {
		// Truncate counts from year 1, which began on a UTC midnight.
		start := t.UTC().Truncate(e.span)
		return Interval{start, start.Add(e.span)}
	}
	n := dayNumber(t.In(e.loc)) - monday
	first := n - mod(n, e.days) + monday
	iv := e.fromDay(first)
	if iv.End.Equal(iv.Start) { // a day that the zone skipped begins where the next one does
		iv = e.fromDay(first + e.days)
	}
	return iv
}

// fromDay returns the interval whose first calendar day is n.
func (e Every) fromDay(n int) Interval {
	return Interval{dayStart(n, e.loc), dayStart(n+e.days, e.loc)}
}

// At returns the last closed interval as of t: the last one with End ≤ t.
func (e Every) At(t time.Time) Interval {
	return e.Containing(e.Containing(t).Start.Add(-1))
}

// Next returns the interval after iv, the one that begins at or holds iv.End.
func (e Every) Next(iv Interval) Interval { return e.Containing(iv.End) }

// Between returns the intervals that lie wholly in [from, to), ascending.
func (e Every) Between(from, to time.Time) []Interval {
	var out []Interval
	iv := e.Containing(from)
	if iv.Start.Before(from) {
		iv = e.Next(iv)
	}
	for ; !iv.End.After(to); iv = e.Next(iv) {
		out = append(out, iv)
	}
	return out
}

// Days returns the calendar days of the zone that cover iv, ascending: the first holds iv.Start, the last the instant before iv.End.
func (e Every) Days(iv Interval) []Interval {
	day := Every{days: 1, loc: e.loc}
	var out []Interval
	for d := range day.from(iv.Start) {
		if !d.Start.Before(iv.End) {
			break
		}
		out = append(out, d)
	}
	return out
}

// from yields the intervals from the one that holds t.
func (e Every) from(t time.Time) iter.Seq[Interval] {
	return func(yield func(Interval) bool) {
		for iv := e.Containing(t); yield(iv); iv = e.Next(iv) {
		}
	}
}

// Label names an interval of e in keys and paths: 2017-01-05 is a day, 2017-01-02_7d seven days, 2017-01-05T13 an hour (UTC),
// 2017-01-05T1230_30m half an hour (UTC). Different intervals have different labels; labels of one Every sort by time.
func (e Every) Label(iv Interval) string {
	switch {
	case e.days == 1:
		return iv.Start.In(e.loc).Format(time.DateOnly)
	case e.days > 1:
		return fmt.Sprintf("%s_%dd", iv.Start.In(e.loc).Format(time.DateOnly), e.days)
	case e.span == time.Hour:
		return iv.Start.UTC().Format("2006-01-02T15")
	case e.span%time.Hour == 0:
		return iv.Start.UTC().Format("2006-01-02T15_") + e.String()
	}
	return iv.Start.UTC().Format("2006-01-02T1504_") + e.String()
}

// Parse returns the interval of e that has this label.
func (e Every) Parse(label string) (Interval, error) {
	base, _, _ := strings.Cut(label, "_")
	loc, layouts := e.loc, []string{time.DateOnly}
	if e.days == 0 {
		loc, layouts = time.UTC, []string{"2006-01-02T15", "2006-01-02T1504"}
	}
	for _, layout := range layouts {
		t, err := time.ParseInLocation(layout, base, time.UTC)
		if err != nil {
			continue
		}
		if e.days > 0 {
			t = dayStart(dayNumber(t), loc)
		}
		if iv := e.Containing(t); e.Label(iv) == label {
			return iv, nil
		}
	}
	return Interval{}, fmt.Errorf("%.40q is not the label of an interval of %s", label, e)
}

// dayNumber returns the calendar day of t in its zone, as days since 1970-01-01.
func dayNumber(t time.Time) int {
	y, m, d := t.Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / secondsADay)
}

const secondsADay = 24 * 60 * 60

// dayStart returns the first instant of calendar day n in loc: midnight, the end of the gap if clocks skip midnight, or the first of
// two midnights.
func dayStart(n int, loc *time.Location) time.Time {
	y, m, d := time.Unix(int64(n)*secondsADay, 0).UTC().Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	if dayNumber(t) < n { // time.Date resolved a skipped midnight to the evening before
		_, t = t.ZoneBounds()
		return t.UTC()
	}
	if start, _ := t.ZoneBounds(); !start.IsZero() {
		_, off := t.Zone()
		_, before := start.Add(-1).Zone()
		first := t.Add(time.Duration(off-before) * time.Second) // the same clock reading under the earlier offset
		if first.Before(start) && dayNumber(first) == n {
			t = first
		} else if t.After(start) && dayNumber(start) == n && start.Before(t) {
			t = start
		}
	}
	return t.UTC()
}

func mod(a, b int) int { return ((a % b) + b) % b }
