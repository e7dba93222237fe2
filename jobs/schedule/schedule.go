package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is a parsed cron expression in a time zone. The zero Schedule never fires.
type Schedule struct {
	expr string
	spec cron.Schedule
	loc  *time.Location
}

// Parse reads a five-field cron expression, or a descriptor as @daily, to be read in loc. It refuses an expression that never fires.
func Parse(expr string, loc *time.Location) (s Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = Schedule{}, fmt.Errorf("schedule %q: not a cron expression", expr)
		}
	}()
	if strings.Contains(expr, "TZ=") {
		return Schedule{}, fmt.Errorf("schedule %q: give the zone in time_zone, not in the expression", expr)
	}
	spec, err := cron.ParseStandard(expr)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %v; five fields are minute hour day month weekday, as \"0 3 * * *\"", expr, err)
	}
	s = Schedule{expr: expr, spec: spec, loc: loc}
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, fmt.Errorf("schedule %q never fires", expr)
	}
	return s, nil
}

// Next returns the first time after t at which the schedule fires, in UTC, or the zero time if it never does.
//
// The expression is evaluated on the wall clock as if it had no gaps or repeats, and each result is then placed on the real time line:
// that is what makes the rule of the package comment hold.
func (s Schedule) Next(t time.Time) time.Time {
	if s.spec == nil {
		return time.Time{}
	}
	if every, ok := s.spec.(cron.ConstantDelaySchedule); ok {
		return t.UTC().Truncate(every.Delay).Add(every.Delay) // at multiples since year 1: a restart moves nothing, and two servers agree
	}
	wall := t.In(s.loc)
	// In a repeated hour the wall clock runs backwards; soon after a change start two hours early and skip what is not after t.
	from := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, time.UTC)
	if changed, _ := wall.ZoneBounds(); !changed.IsZero() && t.Sub(changed) < 3*time.Hour {
		from = from.Add(-2 * time.Hour)
	}
	for range 100000 {
		from = s.spec.Next(from)
		if from.IsZero() {
			return time.Time{}
		}
		if real := s.place(from); real.After(t) {
			return real
		}
	}
	return time.Time{}
}

// Prev returns the last time at or before t at which the schedule fired, in UTC, or the zero time if it has not within ten years.
func (s Schedule) Prev(t time.Time) time.Time {
	const day = 24 * time.Hour
	for _, back := range []time.Duration{time.Hour, day, 8 * day, 32 * day, 367 * day, 3660 * day} {
		f := s.Next(t.Add(-back))
		if f.IsZero() || f.After(t) {
			continue
		}
		for next := s.Next(f); !next.IsZero() && !next.After(t); next = s.Next(f) {
			f = next
		}
		return f
	}
	return time.Time{}
}

// IsZero reports whether it is the schedule that never fires: a job's that runs only on demand.
func (s Schedule) IsZero() bool { return s.spec == nil }

// place puts a wall-clock time on the real time line: the first occurrence of a repeated time, the end of the gap for one in a gap.
func (s Schedule) place(wall time.Time) time.Time {
	real := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, s.loc)
	if real.Hour() != wall.Hour() || real.Minute() != wall.Minute() { // in a gap: find its end
		before, after := real.Add(-3*time.Hour), real.Add(3*time.Hour)
		_, offset := before.Zone()
		for after.Sub(before) > time.Second {
			mid := before.Add(after.Sub(before) / 2).Truncate(time.Second)
			if _, o := mid.Zone(); o == offset {
				before = mid
			} else {
				after = mid
			}
		}
		return after.UTC()
	}
	for _, back := range []time.Duration{time.Hour, 30 * time.Minute, 2 * time.Hour} {
		if e := real.Add(-back); e.Hour() == wall.Hour() && e.Minute() == wall.Minute() && e.Day() == wall.Day() {
			return e.UTC()
		}
	}
	return real.UTC()
}

func (s Schedule) String() string { return s.expr }
