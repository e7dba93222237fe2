package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

func calendarDay(t *testing.T, j *Job, label string) table.Interval {
	t.Helper()
	iv, err := j.Every.Parse(label)
	if err != nil {
		t.Fatal(err)
	}
	return iv
}

// A day of a sale is compared with those of the sale before it, and not with those of its own.
func TestLastOccurrence(t *testing.T) {
	every, err := table.EveryOf("1d", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	j := &Job{Every: every}
	half := 0.5
	sale := Expected{Name: "sale", Last: true, Drift: true, Weight: &half}
	for _, label := range []string{"2024-11-29", "2025-11-27", "2025-11-28", "2026-11-26", "2026-11-27"} {
		sale.Days = append(sale.Days, calendarDay(t, j, label))
	}
	j.Calendar = []Expected{sale}
	for label, want := range map[string][]string{
		"2026-11-27": {"2025-11-27", "2025-11-28"}, "2026-11-26": {"2025-11-27", "2025-11-28"}, "2025-11-27": {"2024-11-29"}, "2024-11-29": nil, "2026-11-25": nil,
	} {
		var got []string
		for _, iv := range j.lastOccurrence(calendarDay(t, j, label)) {
			got = append(got, every.Label(iv))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is compared with %v, want %v", label, got, want)
		}
	}
	black := calendarDay(t, j, "2026-11-27")
	window := table.Interval{Start: black.Start.AddDate(0, 0, -30), End: black.End}
	if units := j.occurrenceUnits(black, window); len(units) != 2 {
		t.Errorf("%d days before the history are read, want the two of the year before", len(units))
	}
	weights := j.dayWeights(window)
	if len(weights) != 2 || weightAt(weights, table.Micros(black.Start)) != 0.5 || weightAt(weights, table.Micros(black.End)) != 1 || weightAt(weights, table.Micros(black.Start)-1) != 0.5 {
		t.Errorf("weights %+v", weights)
	}
	if j.dayWeights(table.Interval{Start: window.Start, End: window.Start.AddDate(0, 0, 9)}) != nil {
		t.Error("days outside the window have a weight, and so are in a key")
	}
	if name := j.toldOf(black, func(e Expected) bool { return e.Volume }); name != "" {
		t.Errorf("%s says something of volume", name)
	}
	if band := j.band(window); len(band) != 2 || band[0].Interval.Start.After(band[1].Interval.Start) {
		t.Errorf("band %+v", band)
	}
}

// A day is compared with the same weekdays where the training window has four of them, and with the days before it else; declared days are no part of it.
func TestDriftReference(t *testing.T) {
	every, err := table.EveryOf("1d", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	j := &Job{Every: every}
	w := &work{job: j, iv: calendarDay(t, j, "2026-03-29")}
	w.now = w.iv.End
	at := func(window int, reference string, calendar ...Expected) compared {
		j.Drift.Reference, j.Calendar = reference, calendar
		p := &plan{training: table.Interval{Start: w.iv.End.AddDate(0, 0, -window), End: w.iv.End}}
		for _, iv := range every.Between(p.training.Start, p.training.End) {
			p.days = append(p.days, plannedDay{unit: iv})
		}
		return w.reference(p)
	}
	broken := Expected{Name: "outage", Days: []table.Interval{calendarDay(t, j, "2026-03-22")}}
	for _, c := range []struct {
		name     string
		got      compared
		n        int
		first    string
		weekday  string
		leftOut  int
		allReads int
	}{
		{"four Sundays", at(36, ""), 5, "2026-02-22", "Sunday", 0, 36},
		{"three Sundays", at(28, ""), 27, "2026-03-02", "", 0, 28},
		{"the week before", at(36, byPrevious), 7, "2026-03-22", "", 0, 15},
		{"Sundays, however few", at(16, byWeekdays), 2, "2026-03-15", "Sunday", 0, 16},
		{"a Sunday that was declared", at(36, "", broken), 4, "2026-02-22", "Sunday", 1, 30},
		{"at most eight", at(180, ""), 8, "2026-02-01", "Sunday", 0, 64},
		{"a first day", at(1, ""), 0, "", "", 0, 0},
	} {
		f := c.got.facts
		if len(f.Intervals) != c.n || c.n > 0 && f.Intervals[0] != c.first || c.n > 0 && f.Weekday != c.weekday || len(f.LeftOut) != c.leftOut || len(c.got.all) != c.allReads {
			t.Errorf("%s: %+v, reads %d intervals", c.name, f, len(c.got.all))
		}
	}
}

// TestPoolStart: a pool of whole days holds as many days of the calendar, though one of them has 25 hours, or 23.
func TestPoolStart(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	every, err := table.EveryOf("1d", berlin)
	if err != nil {
		t.Fatal(err)
	}
	j := &Job{Every: every}
	for _, end := range []time.Time{
		time.Date(2026, 11, 5, 0, 0, 0, 0, berlin), // clocks went back on 25 October
		time.Date(2026, 4, 5, 0, 0, 0, 0, berlin),  // and forth on 29 March
		time.Date(2026, 7, 5, 0, 0, 0, 0, berlin),
	} {
		for _, days := range []int{7, 28} {
			iv := every.At(end)
			from := j.poolStart(iv, time.Duration(days)*24*time.Hour)
			if got := every.Between(from, iv.End); len(got) != days || !got[0].Start.Equal(from) {
				t.Errorf("a pool of %d days up to %s has %d, from %s", days, end, len(got), from)
			}
		}
	}
	iv := every.At(time.Date(2026, 7, 5, 0, 0, 0, 0, berlin))
	if from := j.poolStart(iv, 36*time.Hour); !from.Equal(iv.End.Add(-36 * time.Hour)) {
		t.Errorf("a pool of 36 hours begins at %s", from)
	}
}
