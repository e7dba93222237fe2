package policy

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"time"
)

// Subject is a subject's number: the HMAC when first seen, never changed. It means nothing outside the identity table.
// As text (JSON, command line) it is 16 lower-case hexadecimal digits, since many JSON readers keep only 53 bits of a number.
type Subject uint64

// String returns the 16 hexadecimal digits of s.
func (s Subject) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s Subject) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Subject) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil || len(b) != 16 {
		return fmt.Errorf("a subject number is 16 hexadecimal digits, this has %d bytes", len(b))
	}
	*s = Subject(n)
	return nil
}

// State is a consent state of W3C DPV 2.3 / ISO/IEC TS 27560.
type State string

// The states. Only the first two are valid; each other one denies, and so does any text that is none of these.
const (
	ConsentGiven        State = "ConsentGiven"
	RenewedConsentGiven State = "RenewedConsentGiven"
	Requested           State = "Requested"
	RequestDeferred     State = "RequestDeferred"
	ConsentRefused      State = "Refused"
	Withdrawn           State = "Withdrawn"
	Revoked             State = "Revoked"
	ConsentExpired      State = "Expired"
	Invalidated         State = "Invalidated"
	Unknown             State = "Unknown"
)

// Valid reports whether the state grants.
func (s State) Valid() bool { return s == ConsentGiven || s == RenewedConsentGiven }

// Known reports whether s is one of the states above.
func (s State) Known() bool { return slices.Contains(States, s) }

// withdraws reports whether the state is the subject's own, explicit no.
func (s State) withdraws() bool { return s == Withdrawn || s == Revoked || s == ConsentRefused }

// reason is why a subject whose state is the denial s is not used.
func (s State) reason() Reason {
	switch s {
	case ConsentExpired:
		return Expired
	case Unknown, Requested, RequestDeferred: // nobody has answered yet
		return NoRecord
	}
	return Refused
}

// Record is one entry of a consent (or objection) history.
type Record struct {
	Subject   Subject
	Purpose   string
	State     State
	Effective time.Time
	Recorded  time.Time
	Expires   time.Time // zero: never
	Source    string
	ID        string
}

// Compare orders records totally: subject, purpose, effective, recorded, grants before denials, id; records that agree in all of these
// are ordered by state, then by expiry with the earliest last. Among records of one subject and purpose the last one that is
// effective wins.
func (r Record) Compare(o Record) int {
	return cmp.Or(
		cmp.Compare(r.Subject, o.Subject),
		cmp.Compare(r.Purpose, o.Purpose),
		r.Effective.Compare(o.Effective),
		r.Recorded.Compare(o.Recorded),
		compareBool(!r.State.Valid(), !o.State.Valid()),
		cmp.Compare(r.ID, o.ID),
		cmp.Compare(r.State, o.State),
		cmp.Compare(r.expiry(), o.expiry())*-1,
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// never is the end of what does not end, and ever the start of what was always so, in µs.
const (
	never = math.MaxInt64
	ever  = math.MinInt64
)

func (r Record) expiry() int64 {
	if r.Expires.IsZero() {
		return never
	}
	return r.Expires.UnixMicro()
}

// Withdraws reports whether a subject says no itself by the record.
func (r Record) Withdraws() bool { return r.State.withdraws() }

// Withdrawals returns the records in which subjects say no themselves (refused, withdrawn, revoked): what takes effect even of an
// import that is held.
func Withdrawals(records []Record) []Record {
	var out []Record
	for _, r := range records {
		if r.Withdraws() {
			out = append(out, r)
		}
	}
	return out
}

// Span is a half-open time [From, To) in which a basis holds; a zero From is since ever, a zero To is open.
type Span struct{ From, To time.Time }

// Spans returns the maximal spans in which the basis holds, ascending, for the records of one subject and one purpose, in any order.
// It takes every record as known; Decide leaves out what was recorded after now. Times count in whole µs.
func Spans(b Basis, records []Record) []Span {
	rs := slices.SortedFunc(slices.Values(records), Record.Compare)
	var out []Span
	for _, s := range spans(nil, b, rs, b == LegitimateInterest) {
		var sp Span
		if s.from != ever {
			sp.From = time.UnixMicro(s.from).UTC()
		}
		if s.to != never {
			sp.To = time.UnixMicro(s.to).UTC()
		}
		out = append(out, sp)
	}
	return out
}

// Ends returns when a basis that holds now ends by some records of one subject and purpose, and what is not known of before them (µs); 0: it does not, or holds no more.
func Ends(b Basis, records []Record, now time.Time) int64 {
	rs, at := slices.SortedFunc(slices.Values(records), Record.Compare), now.UnixMicro()
	if len(rs) > 0 && rs[0].Effective.UnixMicro() > at { // until then what was before may hold
		rs = slices.Insert(rs, 0, Record{State: ConsentGiven, Effective: time.UnixMicro(at)})
	}
	for _, s := range spans(nil, b, rs, b == LegitimateInterest) {
		if s.from <= at && at < s.to && s.to != never {
			return s.to
		}
	}
	return 0
}

// Shortened yields the subjects who are allowed before as after, and whose basis ends earlier after than before, each with when it ends (µs).
func Shortened(before, after *Decisions) iter.Seq2[Subject, int64] {
	return func(yield func(Subject, int64) bool) {
		for s, v := range after.known.all() {
			was := before.Of(s)
			if !v.Denied() && v.Expires != 0 && !was.Denied() && (was.Expires == 0 || was.Expires > v.Expires) && !yield(s, v.Expires) {
				return
			}
		}
	}
}

// span is a Span in µs, with ever and never for its open sides.
type span struct{ from, to int64 }

// spans appends to out, which is empty, what Spans returns of records in order. A denial breaks a span even if a grant of the same effective time overrules it: who
// withdrew and consented again on one day does not get back what the withdrawal ended. ground says whether the basis holds before the first record. O(n).
func spans(out []span, b Basis, records []Record, ground bool) []span {
	broken := true // a denial stood since the last span, be it for no time at all
	hold := func(from, to int64) {
		if from >= to {
			return
		}
		if n := len(out); n > 0 && out[n-1].to == from && !broken {
			out[n-1].to = to // a renewal by the time of the expiry: unbroken
			return
		}
		out = append(out, span{from, to})
		broken = false
	}
	first := int64(never)
	if len(records) > 0 {
		first = records[0].Effective.UnixMicro()
	}
	if ground {
		hold(ever, first)
	}
	for i, r := range records {
		next := int64(never)
		if i+1 < len(records) {
			next = records[i+1].Effective.UnixMicro()
		}
		if !r.State.Valid() {
			broken = true
			continue
		}
		end := next
		if b == Consent { // a legitimate interest does not expire: only an objection ends it
			end = min(end, r.expiry())
		}
		hold(r.Effective.UnixMicro(), end)
	}
	return out
}
