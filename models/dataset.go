package models

import (
	"errors"
	"fmt"
	"slices"
)

// Cuts splits time, in microseconds: training before Validation, blend weights on [Validation, Test), figures on [Test, End).
// Base is where training begins; a re-ranker learns on [Rerank, Validation) from models of [Base, Rerank). Without one, Rerank =
// Validation.
type Cuts struct {
	Base, Rerank, Validation, Test, End int64
}

// Dataset is what a Trainer learns from. It holds no raw identifier: subjects are numbers.
type Dataset struct {
	Catalog  *Catalog
	Kinds    []string
	Events   EventLog
	Shown    EventLog    // what was put before subjects, chosen or not: no signal of taste, and subjects of its own; the zero value if nothing is known
	Subjects *Attributes // row s describes Events.Subjects[s]; nil if none are declared
	Contexts *Contexts   // what Events.Context means; nil if contexts are not known
	Cuts     Cuts
	MaskSeen bool // lists will leave out what a subject had before: judge by that
}

// Validate reports the first fault of the data set. Trainers may rely on a valid one. O(events).
func (d *Dataset) Validate() error {
	if d.Catalog == nil {
		return errors.New("data set: no catalog")
	}
	if err := d.Catalog.Validate(); err != nil {
		return fmt.Errorf("data set: catalog: %w", err)
	}
	if err := d.Events.Validate(); err != nil {
		return fmt.Errorf("data set: %w", err)
	}
	for i, item := range d.Events.Item {
		if item < 0 || int(item) >= d.Catalog.Len() {
			return fmt.Errorf("data set: event %d has item %d of a catalog of %d", i, item, d.Catalog.Len())
		}
		if k := int(d.Events.Kind[i]); k >= len(d.Kinds) {
			return fmt.Errorf("data set: event %d has kind %d of %d", i, k, len(d.Kinds))
		}
	}
	if d.Shown.Off != nil {
		if err := d.Shown.Validate(); err != nil {
			return fmt.Errorf("data set: impressions: %w", err)
		}
		for i, item := range d.Shown.Item {
			if item < 0 || int(item) >= d.Catalog.Len() {
				return fmt.Errorf("data set: impression %d has item %d of a catalog of %d", i, item, d.Catalog.Len())
			}
		}
	}
	if (d.Contexts == nil) != (d.Events.Context == nil) {
		return errors.New("data set: contexts of events and what they mean must be there together")
	}
	if d.Contexts != nil {
		if err := d.Contexts.Validate(); err != nil {
			return fmt.Errorf("data set: %w", err)
		}
		for i, c := range d.Events.Context {
			if err := d.Contexts.check(c); err != nil {
				return fmt.Errorf("data set: event %d: %w", i, err)
			}
		}
	}
	if a := d.Subjects; a != nil {
		if a.N != len(d.Events.Subjects) {
			return fmt.Errorf("data set: attributes of %d subjects for %d", a.N, len(d.Events.Subjects))
		}
		if err := a.Validate(); err != nil {
			return fmt.Errorf("data set: subject attributes: %w", err)
		}
	}
	c := d.Cuts
	if c.Base > c.Rerank || c.Rerank > c.Validation || c.Validation > c.Test || c.Test > c.End {
		return fmt.Errorf("data set: cuts %d, %d, %d, %d, %d must not descend", c.Base, c.Rerank, c.Validation, c.Test, c.End)
	}
	return nil
}

// Training returns the events in [Cuts.Base, until): what a Trainer learns from.
func (d *Dataset) Training(until int64) EventLog { return d.Events.Between(d.Cuts.Base, until) }

// SubjectColumns returns the names of the subjects' categorical attributes: what to bind a Model with for queries made by Query.
func (d *Dataset) SubjectColumns() []string {
	if d.Subjects == nil {
		return nil
	}
	names := make([]string, len(d.Subjects.Cats))
	for i := range names {
		names[i] = d.Subjects.Cats[i].Name
	}
	return names
}

// ShownBetween returns what was put before subject row s in [from, to) (µs), as a view. O(log n).
func (d *Dataset) ShownBetween(s int, from, to int64) History {
	row, ok := slices.BinarySearch(d.Shown.Subjects, d.Events.Subjects[s])
	if !ok {
		return History{}
	}
	return d.Shown.SubjectBetween(row, from, to)
}

// Query returns the query for the best k items for subject row s at time at (µs): all that was known of it before. The history is a
// view into d.
func (d *Dataset) Query(s int, at int64, k int) Query {
	q := Query{At: at, History: d.Events.SubjectBetween(s, d.Cuts.Base, at), K: k, Draw: d.Events.Subjects[s], Contexts: d.Contexts}
	if d.Subjects != nil {
		q.Subject = make([]string, len(d.Subjects.Cats))
		for i := range q.Subject {
			q.Subject[i] = d.Subjects.Cats[i].Level(s)
		}
	}
	return q
}

// RepeatShare returns the share of the events in [from, to) whose subject had an event with the same item at an earlier time, also
// before from. It is 0 when there is no event in [from, to). One pass over the events.
func RepeatShare(d *Dataset, from, to int64) float64 {
	first := make([]int64, d.Catalog.Len()) // first time of an item with the subject in owner
	owner := make([]int32, d.Catalog.Len())
	var events, repeats int
	for s := range d.Events.Subjects {
		h := d.Events.Subject(s)
		for i, item := range h.Item {
			if owner[item] != int32(s)+1 {
				owner[item], first[item] = int32(s)+1, h.Time[i]
			}
			if t := h.Time[i]; t >= from && t < to {
				events++
				if first[item] < t {
					repeats++
				}
			}
		}
	}
	if events == 0 {
		return 0
	}
	return float64(repeats) / float64(events)
}

// maskBelow is the repeat share below which seen items are masked: a list without them gives up at most one event in twenty.
const maskBelow = 0.05

// AutoMask reports whether items that the subject had already should be left out of its lists: so when a repeat is rare (films), not
// when it is the rule (groceries). share is RepeatShare's.
func AutoMask(share float64) bool { return share < maskBelow }
