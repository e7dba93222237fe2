package policy

import (
	"math"
	"slices"
)

// Rule is what Decisions.Judge says of one subject's events: looked up once, it judges all of them.
type Rule struct {
	why                      Reason // not Kept: of every event
	oldest, erased, from, to int64  // µs
}

// Judge says whether an event of the subject at time t (µs since the epoch) counts, or why not.
func (r Rule) Judge(t int64) Reason {
	switch {
	case r.why != Kept:
		return r.why
	case t < r.oldest:
		return PastRetention
	case t < r.erased:
		return Erased
	case t < r.from || t >= r.to:
		return NotYetValid
	}
	return Kept
}

// Over returns what Judge says of every time in [start, end), and false if it does not say the same of all. An empty span is judged by its start.
func (r Rule) Over(start, end int64) (Reason, bool) {
	why := r.Judge(start)
	if r.why != Kept || end-start <= 1 {
		return why, true
	}
	if why == NotYetValid { // before the span, or after it: something between may be kept
		return why, max(start, r.from) >= min(end, r.to)
	}
	return why, r.Judge(end-1) == why
}

func (v verdict) rule(oldest int64) Rule {
	return Rule{why: v.Why, oldest: oldest, erased: v.erased, from: v.From, to: v.To}
}

// Rule returns the rule of a subject; oldest is Purpose.Oldest. O(1).
func (d *Decisions) Rule(s Subject, oldest int64) Rule {
	v, ok := d.of[s]
	if !ok {
		v = verdict{Decision: d.ground, erased: ever}
	}
	return v.rule(oldest)
}

// listed is what Decisions knows, in the order of subjects. Subjects that are not simply kept from some time on stand with the time special,
// and are looked up.
type listed struct {
	subjects []Subject
	from     []int64
}

const special = math.MaxInt64

func (d *Decisions) list() *listed {
	d.once.Do(func() {
		l := &listed{subjects: make([]Subject, 0, len(d.of)), from: make([]int64, len(d.of))}
		for s := range d.of {
			l.subjects = append(l.subjects, s)
		}
		slices.Sort(l.subjects)
		for i, s := range l.subjects {
			l.from[i] = special
			if v := d.of[s]; !v.Denied() && v.erased == ever && v.To == d.now {
				l.from[i] = v.From
			}
		}
		d.listed = l
	})
	return d.listed
}

// Rules looks up one subject after another. It is quick where subjects ascend (as unsigned numbers), as in the parts of an events table: it then
// walks beside them in the list of all subjects with a record, in steps that double, where a map would miss the cache for each. It belongs to
// one goroutine; its maker keeps the list, 16 bytes a subject.
type Rules struct {
	d      *Decisions
	l      *listed
	at     int
	oldest int64
}

// Rules returns a walk from the first subject. The first walk of d sorts the subjects: O(n log n).
func (d *Decisions) Rules(oldest int64) *Rules {
	return &Rules{d: d, l: d.list(), oldest: oldest}
}

// Of returns the rule of a subject. O(log of the subjects in between), or of all of them if s is less than the subject before.
func (r *Rules) Of(s Subject) Rule {
	all := r.l.subjects
	if r.at > 0 && s <= all[r.at-1] {
		r.at = 0
	}
	end := r.at
	for step := 1; end < len(all) && all[end] < s; step *= 2 {
		r.at, end = end+1, end+step
	}
	n, ok := slices.BinarySearch(all[r.at:min(end, len(all))], s)
	r.at += n
	if !ok && (r.at == len(all) || all[r.at] != s) {
		return verdict{Decision: r.d.ground, erased: ever}.rule(r.oldest)
	}
	if from := r.l.from[r.at]; from != special {
		return Rule{oldest: r.oldest, erased: ever, from: from, to: r.d.now}
	}
	return r.d.Rule(s, r.oldest)
}

// Turns yields, for each subject that a record or an erasure names, the moments (µs) inside the span from which something else is said of its events:
// where its span begins or ends, or its erasure lies. It does not tell those that hold for all, Oldest and Now.
func (d *Decisions) Turns(yield func(s Subject, t int64) bool) {
	for s, v := range d.of {
		if v.Denied() {
			continue
		}
		for _, t := range [...]int64{v.erased, v.From, v.To} {
			if t != ever && t != d.now && !yield(s, t) {
				return
			}
		}
	}
}
