package jobs

import (
	"slices"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/table"
)

// What an interval is compared with. Days are compared with the same weekdays where the reference holds enough of them: else the difference between a
// Sunday and a week is drift every Sunday. Intervals shorter than a day are compared with the same hour of the same weekday.
const (
	previousIntervals = 7  // for days, a week, so that every weekday is in it
	mostIntervals     = 28 // of a training window, the latest
	enoughWeekdays    = 4  // as many as are needed to tell a broken one from the others
	mostWeekdays      = 8
)

// The kinds of reference that a project file may name.
const (
	byTraining = "training"        // of the training window: the same weekdays, if there are enough, else its latest intervals
	byPrevious = "previous"        // the seven intervals before
	byWeekdays = "same_weekdays"   // of the training window, however few there are
	byLast     = "last_occurrence" // of a day of the calendar
)

// compared is what an interval is compared with.
type compared struct {
	facts drift.ReferenceFacts
	in    []table.Interval // ascending
	// all are the intervals that are read, in their order: those before each of the reference too, which tell who is new.
	all []table.Interval
	cut string // how retention has shortened the reference, in a sentence
}

// window is the time that is read.
func (c compared) window() table.Interval {
	return table.Interval{Start: c.all[0].Start, End: c.all[len(c.all)-1].End}
}

// reference says what the interval is compared with, of the units that are planned. Nothing is read for it. Without a reference, in is empty.
func (w *work) reference(p *plan) (out compared) {
	j := w.job
	out.facts = drift.ReferenceFacts{Kind: j.Drift.Reference, Intervals: []string{}}
	if out.facts.Kind == "" {
		out.facts.Kind = byTraining
	}
	oldest := timeOf(max(j.Training.Oldest("events", w.iv.End, w.now), 0))
	holds := func(iv table.Interval) bool {
		return slices.ContainsFunc(p.days, func(d plannedDay) bool { return d.unit.Overlaps(iv) })
	}
	usable := func(iv table.Interval) bool {
		if iv.Start.Before(oldest) {
			if iv.End.After(oldest) {
				out.cut = "Events older than " + oldest.Format(time.RFC3339) + " may not be kept any more, and the reference ends there."
			}
			return false
		}
		return holds(iv)
	}
	if last := j.lastOccurrence(w.iv); len(last) > 0 {
		last = slices.DeleteFunc(last, func(iv table.Interval) bool {
			if usable(iv) {
				return false
			}
			out.facts.LeftOut = append(out.facts.LeftOut, drift.Excluded{Interval: j.Every.Label(iv), Why: "its events are not there, or may not be kept any more"})
			return true
		})
		if len(last) > 0 {
			out.facts.Kind, out.in = byLast, last
		}
	}
	if len(out.in) == 0 {
		out.in = w.ordinary(p, usable, &out.facts)
	}
	if len(out.in) == 0 {
		return out
	}
	for _, iv := range out.in {
		out.facts.Intervals = append(out.facts.Intervals, j.Every.Label(iv))
	}
	// Before each interval, as many are looked at to know who is new in it.
	seen := map[int64]bool{}
	for _, iv := range append(slices.Clone(out.in), w.iv) {
		for n := 0; n <= previousIntervals; n++ {
			if !seen[iv.Start.Unix()] && (n == 0 || !iv.Start.Before(oldest) && holds(iv)) {
				seen[iv.Start.Unix()] = true
				out.all = append(out.all, iv)
			}
			iv = j.Every.At(iv.Start)
		}
	}
	slices.SortFunc(out.all, func(a, b table.Interval) int { return a.Start.Compare(b.Start) })
	out.facts.Expected = j.band(out.window())
	return out
}

// ordinary are the intervals before the one at hand that it is compared with, ascending, without the days of the calendar.
func (w *work) ordinary(p *plan, usable func(table.Interval) bool, facts *drift.ReferenceFacts) (out []table.Interval) {
	j := w.job
	var all, alike []table.Interval
	for iv := j.Every.At(w.iv.Start); !iv.Start.Before(p.training.Start); iv = j.Every.At(iv.Start) {
		if facts.Kind == byPrevious && len(all) == previousIntervals || len(alike) == mostWeekdays {
			break
		}
		if !usable(iv) {
			continue
		}
		if told := j.expects(iv); len(told) > 0 {
			facts.LeftOut = append(facts.LeftOut, drift.Excluded{Interval: j.Every.Label(iv), Why: "declared in the calendar: " + told[0].Name})
			continue
		}
		if all = append(all, iv); j.sameWeekday(iv, w.iv) {
			alike = append(alike, iv)
		}
	}
	switch {
	case facts.Kind == byWeekdays, len(alike) >= enoughWeekdays && facts.Kind != byPrevious:
		out = alike
		facts.Weekday = w.iv.Start.In(j.Every.Location()).Weekday().String()
	case facts.Kind == byPrevious:
		out = all
	default:
		out = all[:min(len(all), mostIntervals)]
	}
	slices.Reverse(out)
	return out
}

// sameWeekday reports whether two intervals lie alike in their weeks. Those longer than a day have no weekday, and all lie alike.
func (j *Job) sameWeekday(a, b table.Interval) bool {
	if b.End.Sub(b.Start) > 25*time.Hour {
		return true
	}
	x, y := a.Start.In(j.Every.Location()), b.Start.In(j.Every.Location())
	return x.Weekday() == y.Weekday() && x.Hour() == y.Hour() && x.Minute() == y.Minute()
}

// consentRates are the shares of each interval's events that may be used, as ingest counted them.
func (w *work) consentRates(p *plan, commits map[string]policy.Funnel, in []table.Interval) (out []drift.Rate) {
	for _, iv := range in {
		f := policy.Funnel{}
		for _, d := range p.days {
			if d.unit.Overlaps(iv) {
				f.Merge(commits[d.key])
			}
		}
		of := f[policy.Kept]
		for _, r := range []policy.Reason{policy.NoRecord, policy.Refused, policy.Expired, policy.NotYetValid} { // other losses say nothing of consent
			of += f[r]
		}
		out = append(out, drift.Rate{N: f[policy.Kept], Of: of})
	}
	return out
}
