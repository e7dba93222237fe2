package importer

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// daily are days of so many events and subjects each, from a day on; those after the last are left out.
func daily(from time.Time, n int, of func(i int) int64) []dayCount {
	var days []dayCount
	for i := range n {
		if k := of(i); k > 0 {
			days = append(days, dayCount{start: from.AddDate(0, 0, i), events: 3 * k, subjects: k})
		}
	}
	return days
}

func TestCadence(t *testing.T) {
	monday := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	every := func(n int64) func(int) int64 { return func(int) int64 { return n } }
	for name, c := range map[string]struct {
		days         []dayCount
		every        string
		window, test int
		views        []int
		floor        string
		now          time.Time
	}{
		// test and validation, a day each, may take two thirds of the window
		"three days":     {daily(monday, 3, every(50)), "1d", 3, 1, []int{1, 3}, "0.5", monday.AddDate(0, 0, 3)},
		"a month":        {daily(monday, 30, every(200)), "1d", 30, 1, []int{1, 7, 28}, "0.5", monday.AddDate(0, 0, 30)},
		"two years":      {daily(monday, 730, every(1000)), "1d", 180, 1, []int{1, 7, 28}, "0.5", monday.AddDate(0, 0, 730)},
		"little a day":   {daily(monday, 60, every(30)), "1d", 60, 4, []int{1, 7, 28}, "0.1", monday.AddDate(0, 0, 60)},       // 4 × 30 ≥ 100
		"few a day":      {daily(monday, 364, every(5)), "1w", 364, 21, []int{7, 28, 91}, "0.5", monday.AddDate(0, 0, 364)},   // 3 × 35 ≥ 100
		"fewer":          {daily(monday, 364, every(1)), "4w", 364, 84, []int{28, 91, 364}, "0.1", monday.AddDate(0, 0, 378)}, // 3 × 28, at most a quarter; the last four weeks are half over
		"few, and short": {daily(monday, 10, every(2)), "1d", 10, 2, []int{1, 7, 10}, "0.1", monday.AddDate(0, 0, 10)},
		"cut short": {daily(monday, 30, func(i int) int64 {
			if i == 29 {
				return 10
			}
			return 200
		}), "1d", 29, 1, []int{1, 7, 28}, "0.5", monday.AddDate(0, 0, 29)},
		"a gap": {daily(monday, 90, func(i int) int64 {
			if i%7 == 6 {
				return 0
			}
			return 100
		}), "1d", 90, 1, []int{1, 7, 28}, "0.5", monday.AddDate(0, 0, 90)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := chooseCadence(c.days, time.UTC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got.Every != c.every || got.Window != c.window || got.Test != c.test || !slices.Equal(got.Views, c.views) || got.Floor != c.floor || !got.Now.Equal(c.now.Add(dueAt)) {
				t.Errorf("%+v", got)
			}
			validation := max(got.Test, min(4*got.Test, got.Window/4)) // the default of a project file
			if 3*(got.Test+validation) > 2*got.Window {
				t.Errorf("test %d and validation %d are too much of %d days", got.Test, validation, got.Window)
			}
		})
	}
	if _, err := chooseCadence(daily(monday, 2, every(9)), time.UTC, 0); err == nil || !strings.Contains(err.Error(), "the events span 2 days (2026-01-05 to 2026-01-06): 3 are the least") {
		t.Errorf("error %v", err)
	}
	// Summer time begins: the day has 23 hours, and the job is due at 3.
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	got, err := chooseCadence(daily(time.Date(2026, 3, 26, 0, 0, 0, 0, berlin), 4, every(30)), berlin, 0)
	if err != nil || !got.Now.Equal(time.Date(2026, 3, 30, 3, 0, 0, 0, berlin)) {
		t.Errorf("%+v (%v)", got, err)
	}
}
