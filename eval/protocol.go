package eval

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/rapport-ml/rapport/models"
)

// Protocol says what is learned from and what is asked.
type Protocol string

// The protocols. Only the first says something of a live system: under the others the model has seen the future of others. They are there
// because published figures are of them.
const (
	Temporal             Protocol = "temporal"       // learns from all before the test cut; asks at the cut for what the test window holds
	LeaveLastOut         Protocol = "leave_last_out" // learns from all but each subject's last event; asks for its item from what was before it
	StrongGeneralization Protocol = "strong"         // learns nothing from a tenth of the subjects; asks them for a fifth of their items from the others (Liang et al. 2018)
)

// Protocols names them all.
var Protocols = []Protocol{Temporal, LeaveLastOut, StrongGeneralization}

// Held is a data set divided by a protocol.
type Held struct {
	Train *models.Dataset // what is learned from: all before Train.Cuts.Test
	Asked []Asked         // by ascending row; 16 bytes a subject

	from *models.Dataset
	by   Protocol
	seed uint64
}

// Asked is one subject who is asked.
type Asked struct {
	Row int   // of the data set's subjects
	cut int32 // under LeaveLastOut: how many of its events are learned from
}

// ErrNothingHeld says that a protocol has nothing to ask.
var ErrNothingHeld = errors.New("the protocol leaves no question: too few subjects have events that fit it")

// Shares of strong generalization.
const (
	strongSubjects = 10 // one in so many is held out
	strongItems    = 5  // and asked for one in so many of its distinct items, of which it must have as many
)

// Hold divides d by a protocol. If fresh, LeaveLastOut asks for the last item that the subject had not had before: lists that leave out what it had can
// hold no other. Subjects of whom nothing is known but what is asked for are not asked by LeaveLastOut. Temporal shares d; the others copy its events,
// without contexts, and take the last tenth of what is learned from for the validation window.
func Hold(d *models.Dataset, by Protocol, fresh bool, seed uint64) (*Held, error) {
	h := &Held{from: d, by: by, seed: seed}
	switch by {
	case Temporal:
		h.Train = d
		for s := range d.Events.Subjects {
			if x := d.Events.SubjectBetween(s, d.Cuts.Test, d.Cuts.End); x.Len() > 0 {
				h.Asked = append(h.Asked, Asked{Row: s})
			}
		}
	case LeaveLastOut:
		h.Train = without(d, func(s int, events models.History) int {
			cut := events.Len() - 1
			for fresh && cut > 0 && slices.Contains(events.Item[:cut], events.Item[cut]) {
				cut--
			}
			if cut < 1 {
				return events.Len()
			}
			h.Asked = append(h.Asked, Asked{s, int32(cut)})
			return cut
		})
	case StrongGeneralization:
		h.Train = without(d, func(s int, events models.History) int {
			if r := h.chance(s); r.IntN(strongSubjects) > 0 || len(models.Distinct(events.Item)) < strongItems {
				return events.Len()
			}
			h.Asked = append(h.Asked, Asked{Row: s})
			return 0
		})
	default:
		return nil, fmt.Errorf("protocol %q: want one of %q", by, Protocols)
	}
	if len(h.Asked) == 0 {
		return nil, fmt.Errorf("%s: %w", by, ErrNothingHeld)
	}
	return h, nil
}

// chance is what is left to chance for one subject: the same whoever else is in the data set.
func (h *Held) chance(s int) *rand.Rand {
	return rand.New(rand.NewPCG(h.seed^0x7374726f6e67, mix(h.from.Events.Subjects[s])))
}

// Question returns what is asked of a subject: the query at the end of learning, without a length or exclusions, and the distinct items that it is asked
// for, ascending.
func (h *Held) Question(a Asked) (models.Query, []int32) {
	q := h.Train.Query(a.Row, h.Train.Cuts.Test, 0)
	switch events := h.from.Events.SubjectBetween(a.Row, h.from.Cuts.Base, h.from.Cuts.End); h.by {
	case LeaveLastOut:
		return q, []int32{events.Item[a.cut]}
	case StrongGeneralization:
		r := h.chance(a.Row)
		r.IntN(strongSubjects) // as it was drawn who is asked
		items := models.Distinct(events.Item)
		r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		wanted := models.Distinct(items[:len(items)/strongItems])
		for e, i := range events.Item {
			if !contains(wanted, i) {
				q.History.Item, q.History.Time = append(q.History.Item, i), append(q.History.Time, events.Time[e])
				q.History.Kind, q.History.Weight = append(q.History.Kind, events.Kind[e]), append(q.History.Weight, events.Weight[e])
			}
		}
		return q, wanted
	}
	return q, models.Distinct(h.from.Events.SubjectBetween(a.Row, h.from.Cuts.Test, h.from.Cuts.End).Item)
}

// without is d with the first keep(s) events of each subject alone, all of which are learned from: the last tenth of them, by time, is what weighs
// the parts of a blend. Contexts are left out.
func without(d *models.Dataset, keep func(s int, h models.History) int) *models.Dataset {
	out := *d
	out.Contexts = nil
	out.Events = models.EventLog{Subjects: d.Events.Subjects, Off: []int{0}}
	l := &out.Events
	for s := range l.Subjects {
		h := d.Events.SubjectBetween(s, d.Cuts.Base, d.Cuts.End)
		n := keep(s, h)
		l.Item, l.Time = append(l.Item, h.Item[:n]...), append(l.Time, h.Time[:n]...)
		l.Kind, l.Weight = append(l.Kind, h.Kind[:n]...), append(l.Weight, h.Weight[:n]...)
		l.Off = append(l.Off, len(l.Item))
	}
	times := slices.Sorted(slices.Values(l.Time))
	if n := len(times); n > 0 {
		end := times[n-1] + 1
		cut := max(times[n*9/10], times[0]+1)
		out.Cuts = models.Cuts{Base: times[0], Rerank: cut, Validation: cut, Test: end, End: end}
	}
	return &out
}
