package policy

import (
	"cmp"
	"slices"
	"time"
)

// Churn is what became of one subject's basis for one purpose in a span of time. Each is said once, however often it happened.
type Churn struct {
	Given     bool // it began, or began again
	Renewed   bool // another grant took effect while it held
	Withdrawn bool // a denial ended it: a withdrawal, an objection
	Refused   bool // the subject said no where it did not hold, and had not said so before
	Expired   bool // it ran out
}

// Any reports whether anything happened.
func (c Churn) Any() bool { return c != Churn{} }

// Changes says what became of basis b in [from, to), by the records of one subject and one purpose, in any order. A record counts at the moment at which it
// is both recorded and effective: before that nobody could heed it, so that what is said of a span stays the same whatever is recorded after it. An
// expiry at to belongs to the span that begins there, and a renewal at the moment of an expiry lets nothing expire. O(n log n).
func Changes(b Basis, records []Record, from, to time.Time) (out Churn) {
	known := func(r Record) int64 { return max(r.Effective.UnixMicro(), r.Recorded.UnixMicro()) }
	rs := slices.SortedFunc(slices.Values(records), func(x, y Record) int { return cmp.Or(cmp.Compare(known(x), known(y)), x.Compare(y)) })
	start, end := from.UnixMicro(), to.UnixMicro()
	note := func(t int64, what *bool) {
		if t >= start && t < end {
			*what = true
		}
	}
	var last *Record // the one that decides
	holds := b == LegitimateInterest
	expiry := func() int64 {
		if b == Consent && holds {
			return last.expiry()
		}
		return never
	}
	for i := 0; i < len(rs); {
		t := known(rs[i])
		if e := expiry(); e < t {
			note(e, &out.Expired)
			holds = false
		}
		before, held := last, holds
		for ; i < len(rs) && known(rs[i]) == t; i++ {
			if last == nil || rs[i].Compare(*last) > 0 {
				last = &rs[i]
			}
		}
		holds = last.State.Valid() && (b == LegitimateInterest || last.expiry() > t)
		switch {
		case held && holds && last != before:
			note(t, &out.Renewed)
		case held && holds:
		case holds:
			note(t, &out.Given)
		case held && (last.State.Valid() || last.State == ConsentExpired):
			note(t, &out.Expired)
		case held:
			note(t, &out.Withdrawn)
		case last != before && last.State.withdraws() && (before == nil || !before.State.withdraws()):
			note(t, &out.Refused)
		}
	}
	if e := expiry(); e != never {
		note(e, &out.Expired)
	}
	return out
}
