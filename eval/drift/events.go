package drift

import "slices"

// PerSubjectColumn is the column that a window of events has beside its fields: one row a subject and period that has any event.
const PerSubjectColumn = "events_per_subject"

// EventsGroup is the group of the columns of events.
const EventsGroup = "events"

// EventsLearner fixes the bins of a window of events: those of its fields, and of the events per subject. A period is an interval: events per
// subject are counted within one, so that a reference of several can be held against a single one.
type EventsLearner struct {
	*Learner
	counts  map[int64]int64 // of the period at hand
	perUnit *Numbers
}

// NewEventsLearner returns a learner for a reference of about so many events.
func NewEventsLearner(fields []Field, rows int64) *EventsLearner {
	return &EventsLearner{Learner: NewLearner(fields, rows), counts: map[int64]int64{}, perUnit: NewNumbers()}
}

// Add takes in events of the period at hand.
func (l *EventsLearner) Add(b *Batch) {
	l.Learner.Add(b)
	for _, i := range l.rows {
		l.counts[b.Unit[i]]++
	}
}

// EndPeriod says that the next events are of another period.
func (l *EventsLearner) EndPeriod() {
	for _, n := range l.counts {
		l.perUnit.Add(float64(n))
	}
	clear(l.counts)
}

// Specs returns the bins of the fields and then of the events per subject, once the last period has ended.
func (l *EventsLearner) Specs() []Spec {
	person, err := l.perUnit.Spec(PerSubjectColumn)
	if err != nil {
		person = Spec{Name: PerSubjectColumn} // no event at all
	}
	person.Group = EventsGroup
	return append(l.Learner.Specs(), person)
}

// EventsScan counts one period of events, in one scan and in any order.
type EventsScan struct {
	*Scan
	person *Summary
	counts map[int64]int64
}

// NewEventsScan returns an empty scan of a period, with the bins of an EventsLearner.
func NewEventsScan(specs []Spec) *EventsScan {
	last := len(specs) - 1
	return &EventsScan{Scan: NewScan(specs[:last]), person: NewSummary(specs[last]), counts: map[int64]int64{}}
}

// Add counts events.
func (s *EventsScan) Add(b *Batch) {
	s.Scan.Add(b)
	for _, u := range b.Unit {
		s.counts[u]++
	}
}

// Counts are the events of each subject so far.
func (s *EventsScan) Counts() map[int64]int64 { return s.counts }

// Summaries ends the scan: the fields in their order, and the events per subject.
func (s *EventsScan) Summaries() []*Summary {
	for u, n := range s.counts {
		s.person.AddNumber(uint64(u), float64(n))
	}
	return append(slices.Clone(s.sums), s.person)
}
