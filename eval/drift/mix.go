package drift

import "github.com/rapport-ml/rapport/storage/table"

// The columns of Mix: who and what is new in a period, and what has become of those before.
const (
	NewSubjectsColumn       = "new_subjects"       // of a period's subjects, those who were in none of the periods before
	ReturningSubjectsColumn = "returning_subjects" // of the subjects of the periods before, those who are in this one
	NewItemsColumn          = "new_items"
	ReturningItemsColumn    = "returning_items"

	mixGroup = "mix"
)

// Mix follows who and what comes and goes over periods in their order, each seen against the lookback periods before it. Memory: a word a
// subject and item of these.
type Mix struct {
	lookback int
	period   int
	subjects presence
	items    presence
	dict     *string
	units    []int64 // of the dictionary's items
}

// presence is when each unit was there.
type presence struct {
	last map[int64]int // the period, of those before the one at hand
	now  map[int64]struct{}
}

// NewMix returns a Mix before the first period.
func NewMix(lookback int) *Mix {
	return &Mix{
		lookback: lookback,
		subjects: presence{map[int64]int{}, map[int64]struct{}{}}, items: presence{map[int64]int{}, map[int64]struct{}{}},
	}
}

// Add takes in events of the period at hand.
func (m *Mix) Add(subjects []int64, items *table.Column) {
	for i, u := range subjects {
		if i == 0 || u != subjects[i-1] {
			m.subjects.now[u] = struct{}{}
		}
	}
	if items.Code == nil {
		for i, text := range items.Str {
			if !items.Null(i) {
				m.items.now[UnitOf(text)] = struct{}{}
			}
		}
		return
	}
	if len(items.Dict) > 0 && m.dict != &items.Dict[0] {
		m.dict, m.units = &items.Dict[0], m.units[:0]
		for _, text := range items.Dict {
			m.units = append(m.units, UnitOf(text))
		}
	}
	for i, code := range items.Code {
		if !items.Null(i) {
			m.items.now[m.units[code]] = struct{}{}
		}
	}
}

// EndPeriod returns the columns of the period that ends, or nil as long as fewer than lookback periods lie before it.
func (m *Mix) EndPeriod() []*Summary {
	m.period++
	since := m.period - m.lookback
	whole := since > 0
	var out []*Summary
	for _, x := range []struct {
		p              *presence
		fresh, back    string
		of             string
		came, returned [2]string
	}{
		{&m.subjects, NewSubjectsColumn, ReturningSubjectsColumn, "", [2]string{"new", "seen before"}, [2]string{"came back", "stayed away"}},
		{&m.items, NewItemsColumn, ReturningItemsColumn, "items", [2]string{"new", "seen before"}, [2]string{"taken again", "not taken"}},
	} {
		fresh, back := NewSummary(shareSpec(x.fresh, x.of, x.came)), NewSummary(shareSpec(x.back, x.of, x.returned))
		for u := range x.p.now {
			level := x.came[0]
			if x.p.last[u] >= max(since, 1) {
				level = x.came[1]
			}
			fresh.AddLevel(uint64(u), level)
		}
		for u, last := range x.p.last {
			if last < since {
				delete(x.p.last, u)
				continue
			}
			level := x.returned[1]
			if _, there := x.p.now[u]; there {
				level = x.returned[0]
			}
			back.AddLevel(uint64(u), level)
		}
		for u := range x.p.now {
			x.p.last[u] = m.period
		}
		clear(x.p.now)
		out = append(out, fresh, back)
	}
	if !whole {
		return nil
	}
	return out
}

// shareSpec is the bins of a column of two levels, which have no others.
func shareSpec(name, unit string, levels [2]string) Spec {
	return Spec{Name: name, Group: mixGroup, Unit: unit, Levels: []string{min(levels[0], levels[1]), max(levels[0], levels[1])}}
}

// MixSpecs are the bins of the columns that EndPeriod returns, in their order.
func MixSpecs() []Spec {
	m := NewMix(0)
	var out []Spec
	for _, s := range m.EndPeriod() {
		out = append(out, s.spec)
	}
	return out
}
