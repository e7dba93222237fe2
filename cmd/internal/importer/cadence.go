package importer

import (
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/storage/table"
)

// cadence is how often a project over the data should train, and on how much.
type cadence struct {
	Every    string // 1d, 1w or 4w
	Schedule string // of cron
	Window   int    // days that are learned from, the last Test of them judge
	Test     int
	Views    []int // days, the windows of features
	HalfLife int   // days, of what is recent
	Floor    string
	Now      time.Time // the pinned clock: the data's last whole interval is the last closed one then
	Why      string    // in words
}

// period is a cadence to choose from. A test of the quality needs people: everyone who comes back within the window counts once a day at most.
type period struct {
	every    string
	days     int
	schedule string
	window   int // at most
	views    []int
}

var periods = []period{
	{"1d", 1, "0 3 * * *", 180, []int{1, 7, 28}},
	{"1w", 7, "0 3 * * 1", 364, []int{7, 28, 91}},
	{"4w", 28, "0 3 * * 1", 1092, []int{28, 91, 364}},
}

const (
	fewDays    = 3   // fewer are refused
	busy       = 20  // subjects a period, in the median: fewer and the next longer period is taken
	judging    = 100 // subjects that a test should have
	dueAt      = 3 * time.Hour
	thin       = 0.5 // share of the median under which the last interval is taken for cut short
	steadyRate = 100 // events a period, from which half of the median is a floor and not chance
)

// chooseCadence picks the shortest period in which enough people do something, and the shortest test of enough people. days ascend and
// are of one zone; longest bounds the window, 0: as the period has it.
func chooseCadence(days []dayCount, zone *time.Location, longest int) (cadence, error) {
	first, last := days[0].start, days[len(days)-1].start
	span := daysBetween(first, last) + 1
	if span < fewDays {
		return cadence{}, fmt.Errorf("the events span %s (%s to %s): %d are the least, one to learn from, one to weigh the parts of the model and one to judge it; export a longer time",
			plural(int64(span), "day"), first.Format(time.DateOnly), last.Format(time.DateOnly), fewDays)
	}
	var chosen period
	var counts []dayCount // of each interval from the first day's on, the empty ones too
	for _, p := range periods {
		if span < 4*p.days && p.days > 1 {
			break
		}
		c, err := perInterval(days, p.every, zone)
		if err != nil {
			return cadence{}, err
		}
		chosen, counts = p, c
		if median(c, func(d dayCount) int64 { return d.subjects }) >= busy {
			break
		}
	}
	typical := median(counts, func(d dayCount) int64 { return d.events })
	subjects := median(counts, func(d dayCount) int64 { return d.subjects })

	c := cadence{Every: chosen.every, Schedule: chosen.schedule, Floor: "0.1"}
	if typical >= steadyRate {
		c.Floor = "0.5"
	}
	// The last interval may have been cut short by the export; then the one before it is the last.
	end := counts[len(counts)-1]
	every, err := table.EveryOf(chosen.every, zone)
	if err != nil {
		return cadence{}, err
	}
	interval := every.Containing(end.start)
	c.Now = interval.End.Add(dueAt)
	cut := len(counts) > fewDays && float64(end.events) < thin*float64(typical)
	if cut {
		c.Now = interval.Start.Add(dueAt)
		if final := last.Add(time.Second); final.After(c.Now) {
			c.Now = final
		}
		span = max(span-chosen.days, fewDays)
	}

	limit := chosen.window
	if longest > 0 {
		limit = longest
	}
	whole := (span + chosen.days - 1) / chosen.days * chosen.days
	c.Window = max(min(whole, limit), 3*chosen.days)
	c.Test = chosen.days
	for c.Test+chosen.days <= c.Window/4 && int64(c.Test/chosen.days)*subjects < judging {
		c.Test += chosen.days
	}
	for _, v := range chosen.views {
		if v = min(v, c.Window); len(c.Views) == 0 || v > c.Views[len(c.Views)-1] {
			c.Views = append(c.Views, v)
		}
	}
	c.HalfLife = max(c.Views[len(c.Views)-1]/4, chosen.days)
	c.Why = fmt.Sprintf("%s of events, in the median %d events and %d subjects every %s", plural(int64(span), "day"), typical, subjects, chosen.every)
	if cut {
		c.Why += "; the last interval holds under half of that and is taken for cut short"
	}
	return c, nil
}

// fill sets what the project file says of the cadence.
func (c cadence) fill(p *configs.Imported) {
	p.Every, p.Schedule, p.Window, p.Test, p.Views, p.HalfLife, p.Floor, p.Now, p.Why = c.Every, c.Schedule, c.Window, c.Test, c.Views, c.HalfLife, c.Floor, c.Now, c.Why
}

// perInterval sums days by interval. Subjects are counted once a day, so that a week's count is of visits.
func perInterval(days []dayCount, spec string, zone *time.Location) ([]dayCount, error) {
	every, err := table.EveryOf(spec, zone)
	if err != nil {
		return nil, err
	}
	var out []dayCount
	iv := every.Containing(days[0].start)
	out = append(out, dayCount{start: iv.Start})
	for _, d := range days {
		for !d.start.Before(iv.End) {
			iv = every.Next(iv)
			out = append(out, dayCount{start: iv.Start})
		}
		out[len(out)-1].events += d.events
		out[len(out)-1].subjects += d.subjects
	}
	return out, nil
}

// median is that of the last intervals: what the data are like now.
func median(counts []dayCount, of func(dayCount) int64) int64 {
	const recent = 13
	if len(counts) > recent {
		counts = counts[len(counts)-recent:]
	}
	var xs []int64
	for _, c := range counts {
		xs = append(xs, of(c))
	}
	slices.Sort(xs)
	return xs[len(xs)/2]
}

// daysBetween counts calendar days.
func daysBetween(a, b time.Time) int {
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	return int(day(b).Sub(day(a)) / (24 * time.Hour))
}
