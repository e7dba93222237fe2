package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Deciding makes the decisions of several purposes at once from records that come subject by subject, as Decide does from all records: however many there are, nothing is held but what
// is decided. It belongs to one goroutine.
type Deciding struct {
	erasures []Erasure // ascending by subject, of each the latest
	last     Subject
	begun    bool
	of       []*decider
}

// NewDeciding begins the decisions of purposes as of now. erasures are those of the subjects that it will decide of.
func NewDeciding(now time.Time, erasures []Erasure, purposes ...Purpose) *Deciding {
	x := &Deciding{erasures: slices.Clone(erasures)}
	slices.SortFunc(x.erasures, func(a, b Erasure) int {
		if a.Subject != b.Subject {
			return cmp.Compare(a.Subject, b.Subject)
		}
		return b.At.Compare(a.At)
	})
	x.erasures = slices.CompactFunc(x.erasures, func(a, b Erasure) bool { return a.Subject == b.Subject })
	for _, p := range purposes {
		x.of = append(x.of, newDecider(p, now))
	}
	return x
}

// Add decides of a subject, whose number is greater than all before, by its records, which may be of any purposes, in any order and each more than once. They are not kept.
func (x *Deciding) Add(s Subject, records []Record) error {
	if x.begun && s <= x.last {
		return fmt.Errorf("decide: subject %s comes after %s: records must come subject by subject, ascending", s, x.last)
	}
	x.begun, x.last = true, s
	x.decide(s, records)
	return nil
}

// decide is Add without its check.
func (x *Deciding) decide(s Subject, records []Record) {
	x.erasedBefore(s)
	erased := int64(ever)
	if len(x.erasures) > 0 && x.erasures[0].Subject == s {
		erased, x.erasures = x.erasures[0].At.UnixMicro(), x.erasures[1:]
	}
	for _, d := range x.of {
		d.add(s, records, erased)
	}
}

// erasedBefore decides of those who were erased and have no record, up to a subject.
func (x *Deciding) erasedBefore(s Subject) {
	for len(x.erasures) > 0 && x.erasures[0].Subject < s {
		for _, d := range x.of {
			d.add(x.erasures[0].Subject, nil, x.erasures[0].At.UnixMicro())
		}
		x.erasures = x.erasures[1:]
	}
}

// Join ends what was begun for the same purposes and time, each part of greater numbers than the one before, and returns the decisions of each purpose. There is one part at least.
func Join(parts ...*Deciding) []*Decisions {
	out := make([]*Decisions, len(parts[0].of))
	for i := range out {
		all := parts[0].of[i]
		for n, x := range parts {
			for _, e := range x.erasures {
				x.of[i].add(e.Subject, nil, e.At.UnixMicro())
			}
			if n > 0 {
				all.known.join(&x.of[i].known)
			}
		}
		all.known.seal()
		out[i] = &Decisions{purpose: all.purpose, now: all.now, ground: all.ground, known: &all.known}
	}
	return out
}

// decider decides of one purpose.
type decider struct {
	purpose Purpose
	now     int64
	ground  Decision
	known   known

	records []Record // memory of add
	spans   []span
}

func newDecider(p Purpose, now time.Time) *decider {
	d := &decider{purpose: p, now: now.UnixMicro()}
	d.known.now = d.now
	switch {
	case p.Name == "":
		d.ground = denied(NoPurpose)
	case p.Basis == LegitimateInterest:
		d.ground = Decision{From: ever, To: d.now}
	default:
		d.ground = denied(NoRecord)
	}
	return d
}

// add decides of a subject, erased at that time (ever: not erased), if anything is known of it for the purpose.
func (d *decider) add(s Subject, records []Record, erased int64) {
	if d.purpose.Name == "" {
		return
	}
	d.records = d.records[:0]
	for i := range records {
		r := &records[i]
		if r.Purpose != d.purpose.Name {
			continue
		}
		recorded := r.Recorded.UnixMicro()
		if recorded > d.now {
			continue
		}
		if erased != ever && r.State.Valid() && recorded <= erased {
			continue // granted before the erasure: gone with it
		}
		d.records = append(d.records, *r)
	}
	if len(d.records) == 0 && erased == ever {
		return
	}
	if len(d.records) > 1 {
		slices.SortFunc(d.records, Record.Compare)
	}
	d.known.add(s, d.decide(d.records, erased))
}

// decide judges one subject: records in order, erased at that time.
func (d *decider) decide(records []Record, erased int64) verdict {
	v := verdict{erased: erased}
	ground := d.purpose.Basis == LegitimateInterest && erased == ever
	d.spans = spans(d.spans[:0], d.purpose.Basis, records, ground)
	for i, s := range d.spans {
		if s.from > d.now || s.to <= d.now {
			continue
		}
		v.Decision = Decision{From: max(s.from, erased), To: d.now}
		if i > 0 {
			v.returned = knownFrom(records, s.from)
		}
		if s.to != never {
			v.Expires = s.to
		}
		if v.From > v.To { // erased in the future of now
			v.Decision = denied(Erased)
		}
		return v
	}
	// Not valid now: the last record in effect tells why, unless the erasure came after it.
	why, recorded := NoRecord, int64(ever)
	for _, r := range slices.Backward(records) {
		if r.Effective.UnixMicro() > d.now {
			continue
		}
		v.withdrew, recorded = r.State.withdraws(), r.Recorded.UnixMicro()
		why = r.State.reason()
		if r.State.Valid() {
			why = Expired
		}
		break
	}
	if erased != ever && recorded <= erased {
		why = Erased
	}
	v.Decision = denied(why)
	return v
}
