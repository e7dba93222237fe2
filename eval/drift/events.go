package drift

import "iter"

// Event is what drift looks at of one event. Value is NaN if there is none; an empty level of Context is missing.
type Event struct {
	Subject uint64
	// Period numbers the interval that the event lies in. Events per subject are counted within a period, so that a reference of several
	// intervals can be held against a single one.
	Period  int
	Kind    string
	Item    string
	Value   float64
	Context []string // parallel to the names given to Learn
}

// The names of the columns of a window of events, beside those of its context.
const (
	KindColumn       = "kind"               // the mix of events
	ValueColumn      = "value"              // absent if no event of the reference has a value
	ItemColumn       = "item"               // popularity: the most frequent items, and all others together
	PerSubjectColumn = "events_per_subject" // one row a subject and period that has any
)

const topLevels = 50

// Plan fixes the columns of a window of events and their bins.
type Plan struct {
	kind, item, perSubject Spec
	value                  *Spec
	context                []Spec
}

// inPeriod is one subject in one period.
type inPeriod struct {
	subject uint64
	period  int
}

// Learn fixes the bins from a reference window. Memory: the distinct items and levels, and a count a subject and period.
//
// The items to follow are chosen by one half of the subjects, and Summarize counts the other half, in every window.
func Learn(context []string, events iter.Seq2[Event, error]) (*Plan, error) {
	kinds, items := map[string]int64{}, map[string]int64{}
	levels := make([]map[string]int64, len(context))
	for i := range levels {
		levels[i] = map[string]int64{}
	}
	perSubject := map[inPeriod]int64{}
	values := NewNumbers()
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		kinds[e.Kind]++
		if choosesItems(e.Subject) {
			items[e.Item]++
		}
		for i := range levels {
			if e.Context[i] != "" {
				levels[i][e.Context[i]]++
			}
		}
		perSubject[inPeriod{e.Subject, e.Period}]++
		values.Add(e.Value)
	}
	p := &Plan{kind: CategoricalSpec(KindColumn, kinds, topLevels), item: CategoricalSpec(ItemColumn, items, topLevels)}
	for i, name := range context {
		p.context = append(p.context, CategoricalSpec(name, levels[i], topLevels))
	}
	if spec, err := values.Spec(ValueColumn); err == nil { // without a value there is nothing to follow
		p.value = &spec
	}
	counts := make([]float64, 0, len(perSubject))
	for _, n := range perSubject {
		counts = append(counts, float64(n)) // NumericSpec sorts: the order of the map is lost
	}
	p.perSubject = NumericSpec(PerSubjectColumn, counts)
	return p, nil
}

// Summarize counts one window in one scan, in any order, with the bins of the plan.
func (p *Plan) Summarize(events iter.Seq2[Event, error]) ([]*Summary, error) {
	kind, item, perSubject := NewSummary(p.kind), NewSummary(p.item), NewSummary(p.perSubject)
	out := []*Summary{kind, item, perSubject}
	var value *Summary
	if p.value != nil {
		value = NewSummary(*p.value)
		out = append(out, value)
	}
	context := make([]*Summary, len(p.context))
	for i := range context {
		context[i] = NewSummary(p.context[i])
	}
	counts := map[inPeriod]int64{}
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		kind.AddLevel(e.Subject, e.Kind)
		if !choosesItems(e.Subject) {
			item.AddLevel(e.Subject, e.Item)
		}
		if value != nil {
			value.AddNumber(e.Subject, e.Value)
		}
		for i, s := range context {
			if e.Context[i] == "" {
				s.AddNull(e.Subject)
			} else {
				s.AddLevel(e.Subject, e.Context[i])
			}
		}
		counts[inPeriod{e.Subject, e.Period}]++
	}
	for who, n := range counts {
		perSubject.AddNumber(who.subject, float64(n))
	}
	return append(out, context...), nil
}

// choosesItems reports whether a subject helps to choose the items to follow (and hence is not counted on them). It uses other bits of the hash than
// cluster, so that both halves fill all clusters.
func choosesItems(subject uint64) bool { return mix(subject)&1 == 0 }
