package jobs

import (
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/eval/drift"
	"github.com/rapport-ml/rapport/features/expect"
	"github.com/rapport-ml/rapport/storage/table"
)

// Expected is a kind of day of which is known beforehand that it is unlike others: a sale, a holiday, a migration.
type Expected struct {
	Name   string           `json:"name"`
	Days   []table.Interval `json:"days"`             // ascending
	Drift  bool             `json:"drift,omitempty"`  // drift at most warns on it
	Volume bool             `json:"volume,omitempty"` // so does a volume that is not as usual
	Weight *float64         `json:"weight,omitempty"` // of its events in training; nil: 1
	// Last says that the day is compared with its last occurrence, and not with ordinary days.
	Last bool `json:"last_occurrence,omitempty"`
}

// on returns the days of the entry that touch iv.
func (e Expected) on(iv table.Interval) (out []table.Interval) {
	for _, d := range e.Days {
		if d.Overlaps(iv) {
			out = append(out, d)
		}
	}
	return out
}

// expects returns the entries of the job's calendar with a day that touches iv.
func (j *Job) expects(iv table.Interval) (out []Expected) {
	for _, e := range j.Calendar {
		if len(e.on(iv)) > 0 {
			out = append(out, e)
		}
	}
	return out
}

// toldOf names the entry that says so of iv, or "".
func (j *Job) toldOf(iv table.Interval, says func(Expected) bool) string {
	for _, e := range j.expects(iv) {
		if says(e) {
			return e.Name
		}
	}
	return ""
}

// lastOccurrence returns the latest days before iv of the entries that iv is to be compared by, as intervals of the job; nil if there are none.
func (j *Job) lastOccurrence(iv table.Interval) (out []table.Interval) {
	for _, e := range j.expects(iv) {
		if !e.Last {
			continue
		}
		// An occurrence is a run of days: of a sale of three, the first is compared with the three of the year before.
		days := slices.DeleteFunc(slices.Clone(e.Days), func(d table.Interval) bool { return d.End.After(iv.Start) })
		for len(days) > 0 && occurrenceOf(days[len(days)-1], iv) {
			days = days[:len(days)-1] // of the same occurrence as iv
		}
		for i := len(days) - 1; i >= 0; i-- {
			if i < len(days)-1 && days[i+1].Start.Sub(days[i].End) > oneOccurrence {
				break
			}
			out = append(out, j.Every.Between(days[i].Start, days[i].End)...)
			if len(out) == 0 { // an interval is longer than a day
				out = append(out, j.Every.Containing(days[i].Start))
			}
		}
	}
	slices.SortFunc(out, func(a, b table.Interval) int { return a.Start.Compare(b.Start) })
	return slices.Compact(out)
}

// oneOccurrence is how far apart days of one occurrence may lie: the weekends of one season are one, and those of the next are another.
const oneOccurrence = 45 * 24 * time.Hour

func occurrenceOf(day, iv table.Interval) bool { return iv.Start.Sub(day.End) <= oneOccurrence }

// occurrenceUnits are the units of ingest, ascending, of the last occurrence of a declared day that iv is compared with, if that lies before the history.
func (j *Job) occurrenceUnits(iv, history table.Interval) (out []table.Interval) {
	for _, last := range j.lastOccurrence(iv) {
		for _, u := range units(j.unit(), last) {
			if u.End.Compare(history.Start) <= 0 {
				out = append(out, u)
			}
		}
	}
	return out
}

// band lists the days of the calendar that touch a window, for plots.
func (j *Job) band(window table.Interval) (out []drift.ExpectedDay) {
	for _, e := range j.Calendar {
		for _, d := range e.on(window) {
			out = append(out, drift.ExpectedDay{Name: e.Name, Interval: d})
		}
	}
	slices.SortFunc(out, func(a, b drift.ExpectedDay) int { return a.Interval.Start.Compare(b.Interval.Start) })
	return out
}

// dayWeight is what the events of a span of time count, of a calendar's entries.
type dayWeight struct {
	From, To int64 // µs
	Weight   float64
}

// dayWeights are the weights of a training window's days that are not 1, ascending: nil, and in no key, where the calendar says nothing of them.
func (j *Job) dayWeights(window table.Interval) (out []dayWeight) {
	for _, e := range j.Calendar {
		if e.Weight == nil || *e.Weight == 1 {
			continue
		}
		for _, d := range e.on(window) {
			out = append(out, dayWeight{table.Micros(d.Start), table.Micros(d.End), *e.Weight})
		}
	}
	slices.SortFunc(out, func(a, b dayWeight) int { return int(a.From/1e6 - b.From/1e6) })
	return out
}

// weightAt is what an event at t (µs) counts.
func weightAt(days []dayWeight, t int64) float64 {
	for _, d := range days {
		if d.From <= t && t < d.To {
			return d.Weight
		}
	}
	return 1
}

// excuse lets a volume that is not as usual at most warn on a declared day. An interval without any event fails all the same.
func (w *work) excuse(verdicts []expect.Verdict) {
	name := w.job.toldOf(w.iv, func(e Expected) bool { return e.Volume })
	if name == "" {
		return
	}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Set == "events" && strings.HasPrefix(v.Expectation, "volume.") && v.Outcome == expect.Failed {
			v.Outcome, v.Severity = expect.Warned, expect.Warn
			v.Says += ", on a day that the calendar declares (" + name + ")"
		}
	}
}
