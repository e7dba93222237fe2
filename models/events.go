package models

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
)

// EventLog holds events grouped by subject (ascending subject number) and sorted by time within a subject (ties: item, then kind).
// Off has len(Subjects)+1 entries: subject s owns rows [Off[s], Off[s+1]). Item is a position in the Dataset's catalog.
// Time is in microseconds since the epoch. Kind indexes Dataset.Kinds. Weight is the event's confidence (> 0). Context is nil where
// Dataset.Contexts is.
type EventLog struct {
	Subjects []uint64
	Off      []int
	Item     []int32
	Time     []int64
	Kind     []uint8
	Weight   []float32
	Context  []Context
}

// History is what a model may know of one subject, events of one subject as in EventLog (time ascending). Item is a position in the
// catalog that the Recommender was bound to.
type History struct {
	Item    []int32
	Time    []int64
	Kind    []uint8
	Weight  []float32
	Context []Context // nil if none are known
}

// Len returns the number of events.
func (h *History) Len() int { return len(h.Item) }

// Event is one event of an EventLog in the making.
type Event struct {
	Subject uint64
	Time    int64 // µs since the epoch
	Item    int32
	Weight  float32
	Kind    uint8
	Context Context
}

// NewEventLog sorts events in place and returns them as an EventLog without contexts. Equal sets of events give equal logs. O(n log n).
func NewEventLog(events []Event) EventLog { return newLog(events, false) }

// NewContextLog is NewEventLog with contexts.
func NewContextLog(events []Event) EventLog { return newLog(events, true) }

func newLog(events []Event, contexts bool) EventLog {
	slices.SortFunc(events, func(a, b Event) int {
		if a.Subject != b.Subject {
			return cmp.Compare(a.Subject, b.Subject)
		}
		if a.Time != b.Time {
			return cmp.Compare(a.Time, b.Time)
		}
		return cmp.Or(cmp.Compare(a.Item, b.Item), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Context, b.Context))
	})
	l := newEventLog(len(events), contexts)
	for i, e := range events {
		if i == 0 || e.Subject != events[i-1].Subject {
			l.Subjects = append(l.Subjects, e.Subject)
			l.Off = append(l.Off, i)
		}
		l.Item[i], l.Time[i], l.Kind[i], l.Weight[i] = e.Item, e.Time, e.Kind, e.Weight
		if contexts {
			l.Context[i] = e.Context
		}
	}
	l.Off = append(l.Off, len(events))
	return l
}

func newEventLog(n int, contexts bool) EventLog {
	l := EventLog{Item: make([]int32, n), Time: make([]int64, n), Kind: make([]uint8, n), Weight: make([]float32, n)}
	if contexts {
		l.Context = make([]Context, n)
	}
	return l
}

// Len returns the number of events.
func (l *EventLog) Len() int { return len(l.Item) }

// Subject returns the events of row s of Subjects, as a view.
func (l *EventLog) Subject(s int) History { return l.rows(l.Off[s], l.Off[s+1]) }

// SubjectBetween returns the events of row s of Subjects in [from, to), as a view. O(log n).
func (l *EventLog) SubjectBetween(s int, from, to int64) History {
	t := l.Time[l.Off[s]:l.Off[s+1]]
	a := sort.Search(len(t), func(i int) bool { return t[i] >= from })
	b := a + sort.Search(len(t)-a, func(i int) bool { return t[a+i] >= to })
	return l.rows(l.Off[s]+a, l.Off[s]+b)
}

func (l *EventLog) rows(a, b int) History {
	h := History{Item: l.Item[a:b:b], Time: l.Time[a:b:b], Kind: l.Kind[a:b:b], Weight: l.Weight[a:b:b]}
	if l.Context != nil {
		h.Context = l.Context[a:b:b]
	}
	return h
}

// Before returns the events before cut (µs). See Between.
func (l *EventLog) Before(cut int64) EventLog { return l.Between(math.MinInt64, cut) }

// Between returns the events in [from, to). Every subject keeps its row, with or without events, so that rows of Dataset.Subjects still
// fit. It copies the events, unless all of them are inside.
func (l *EventLog) Between(from, to int64) EventLog {
	out := EventLog{Subjects: l.Subjects, Off: make([]int, 1, len(l.Off))}
	n := 0
	for s := range l.Subjects {
		h := l.SubjectBetween(s, from, to)
		n += h.Len()
		out.Off = append(out.Off, n)
	}
	if n == l.Len() {
		return *l
	}
	off := out.Off
	out = newEventLog(n, l.Context != nil)
	out.Subjects, out.Off = l.Subjects, off
	for s := range l.Subjects {
		h, at := l.SubjectBetween(s, from, to), off[s]
		out.copyFrom(at, h)
	}
	return out
}

// copyFrom writes the events of h over those from row at on.
func (l *EventLog) copyFrom(at int, h History) {
	copy(l.Item[at:], h.Item)
	copy(l.Time[at:], h.Time)
	copy(l.Kind[at:], h.Kind)
	copy(l.Weight[at:], h.Weight)
	if l.Context != nil {
		copy(l.Context[at:], h.Context)
	}
}

// Validate reports the first fault of the log. It names rows, never subjects.
func (l *EventLog) Validate() error {
	n := len(l.Item)
	if len(l.Time) != n || len(l.Kind) != n || len(l.Weight) != n || l.Context != nil && len(l.Context) != n {
		return fmt.Errorf("events: %d items, %d times, %d kinds, %d weights; the columns must have one length", n, len(l.Time), len(l.Kind), len(l.Weight))
	}
	if len(l.Off) != len(l.Subjects)+1 || l.Off[0] != 0 || l.Off[len(l.Subjects)] != n {
		return fmt.Errorf("events: offsets do not span %d events of %d subjects", n, len(l.Subjects))
	}
	for s := range l.Subjects {
		if s > 0 && l.Subjects[s-1] >= l.Subjects[s] {
			return fmt.Errorf("events: subject row %d is out of order or repeated", s)
		}
		if l.Off[s+1] < l.Off[s] || l.Off[s+1] > n {
			return fmt.Errorf("events: subject row %d ends before it begins", s)
		}
		for i := l.Off[s]; i < l.Off[s+1]; i++ {
			if w := l.Weight[i]; !(w > 0) || w > math.MaxFloat32 {
				return fmt.Errorf("events: row %d has weight %v; weights are finite and above 0", i, w)
			}
			if i > l.Off[s] && cmp.Or(cmp.Compare(l.Time[i-1], l.Time[i]), cmp.Compare(l.Item[i-1], l.Item[i]), cmp.Compare(l.Kind[i-1], l.Kind[i])) > 0 {
				return fmt.Errorf("events: row %d is out of order; sort by subject, time, item, kind", i)
			}
		}
	}
	return nil
}
