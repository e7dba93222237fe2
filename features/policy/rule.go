package policy

import (
	"cmp"
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

// Denied reports whether nothing of the subject counts.
func (r Rule) Denied() bool { return r.why != Kept }

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
	v, ok := d.known.of(s)
	if !ok {
		v = verdict{Decision: d.ground, erased: ever}
	}
	return v.rule(oldest)
}

// RulesOf appends the rules of subjects, in any order, to dst: Rule of each, quicker for many, since they wait for memory together.
func (d *Decisions) RulesOf(dst []Rule, subjects []Subject, oldest int64) []Rule {
	none := verdict{Decision: d.ground, erased: ever}.rule(oldest)
	dst = slices.Grow(dst, len(subjects))
	for some := range slices.Chunk(subjects, together) {
		dst = d.known.rules(dst, some, oldest, none)
	}
	return dst
}

// Rules looks up one subject after another. It is quick where subjects ascend (as unsigned numbers), as in the parts of an events table: it then
// walks beside them in the columns of all subjects with a record, in steps that double. It belongs to one goroutine.
type Rules struct {
	d         *Decisions
	block, at int
	last      Subject
	oldest    int64
}

// Rules returns a walk from the first subject.
func (d *Decisions) Rules(oldest int64) *Rules { return &Rules{d: d, oldest: oldest} }

// Of returns the rule of a subject. O(log of the subjects in between), or of all of them if s is less than the subject before.
func (r *Rules) Of(s Subject) Rule {
	k := r.d.known
	if s < r.last {
		r.block, r.at = 0, 0
	}
	r.last = s
	for r.block < len(k.blocks) {
		b := k.blocks[r.block]
		all := b.rows
		if s > all[len(all)-1].subject {
			r.block, r.at = r.block+1, 0
			continue
		}
		end := r.at
		for step := 1; end < len(all) && all[end].subject < s; step *= 2 {
			r.at, end = end+1, end+step
		}
		n, _ := slices.BinarySearchFunc(all[r.at:min(end, len(all))], s, func(e entry, s Subject) int { return cmp.Compare(e.subject, s) })
		if r.at += n; all[r.at].subject != s {
			break
		}
		return k.rule(b, r.at, r.oldest)
	}
	return verdict{Decision: r.d.ground, erased: ever}.rule(r.oldest)
}

// Turns yields, for each subject that a record or an erasure names, the moments (µs) inside the span from which something else is said of its events:
// where its span begins or ends, or its erasure lies. It does not tell those that hold for all, Oldest and Now.
func (d *Decisions) Turns(yield func(s Subject, t int64) bool) {
	for s, v := range d.known.all() {
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
