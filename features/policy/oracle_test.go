package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The oracle works day by day, straight from the definitions of the package documentation: no spans, no sorting.

const horizon = 24 // days; all generated times lie in [0, horizon)

func day(n int) time.Time { return time.Unix(int64(n)*86400, 0).UTC() }

func dayMicros(n int) int64 { return day(n).UnixMicro() }

// beats reports whether, both being effective, a overrules b.
func beats(a, b Record) bool {
	if !a.Effective.Equal(b.Effective) {
		return a.Effective.After(b.Effective)
	}
	if !a.Recorded.Equal(b.Recorded) {
		return a.Recorded.After(b.Recorded)
	}
	if a.State.Valid() != b.State.Valid() {
		return !a.State.Valid()
	}
	return a.ID > b.ID
}

// acting returns the record that acts on a day.
func acting(records []Record, d int) (Record, bool) {
	var best Record
	found := false
	for _, r := range records {
		if r.Effective.After(day(d)) {
			continue
		}
		if !found || beats(r, best) {
			best, found = r, true
		}
	}
	return best, found
}

func holdsOn(b Basis, records []Record, d int, ground bool) bool {
	r, ok := acting(records, d)
	if !ok {
		return ground
	}
	return r.State.Valid() && (b == LegitimateInterest || r.Expires.IsZero() || r.Expires.After(day(d)))
}

func denialOn(records []Record, d int) bool {
	return slices.ContainsFunc(records, func(r Record) bool { return !r.State.Valid() && r.Effective.Equal(day(d)) })
}

// oracleJudge says what happens to an event of s at day t.
func oracleJudge(p Purpose, now int, all []Record, erasures []Erasure, s Subject, t, oldest int) Reason {
	erased := -1
	for _, e := range erasures {
		if e.Subject == s {
			erased = max(erased, int(e.At.Unix()/86400))
		}
	}
	var known []Record
	for _, r := range all {
		granted := r.State.Valid() && erased >= 0 && !r.Recorded.After(day(erased))
		if r.Subject == s && r.Purpose == p.Name && !r.Recorded.After(day(now)) && !granted {
			known = append(known, r)
		}
	}
	ground := p.Basis == LegitimateInterest && erased < 0
	if !holdsOn(p.Basis, known, now, ground) {
		r, ok := acting(known, now)
		switch {
		case erased >= 0 && (!ok || !r.Recorded.After(day(erased))):
			return Erased
		case !ok:
			return NoRecord
		case r.State.Valid() || r.State == ConsentExpired:
			return Expired
		case r.State == Unknown || r.State == Requested || r.State == RequestDeferred:
			return NoRecord
		}
		return Refused
	}
	if erased > now {
		return Erased
	}
	// Walk back from now as long as the basis holds without a break. Before day 0 nothing changes.
	from := now
	for from >= 0 && !denialOn(known, from) && holdsOn(p.Basis, known, from-1, ground) {
		from--
	}
	switch {
	case t < oldest:
		return PastRetention
	case t < erased:
		return Erased
	case t >= now, from >= 0 && t < from:
		return NotYetValid
	}
	return Kept
}

var allStates = []State{
	ConsentGiven, RenewedConsentGiven, Requested, RequestDeferred, ConsentRefused, Withdrawn, Revoked, ConsentExpired,
	Invalidated, Unknown, "nonsense",
}

// genHistory makes records of a few subjects that collide in every way: ties, overlaps, expiry at the next effective time, backdating.
func genHistory(rng *rand.Rand) (records []Record, erasures []Erasure) {
	for range rng.IntN(14) {
		r := Record{
			Subject: Subject(1 + rng.IntN(3)), Purpose: "recommend", State: allStates[rng.IntN(len(allStates))],
			Effective: day(rng.IntN(horizon)), ID: fmt.Sprint(rng.IntN(3)),
		}
		if rng.IntN(2) == 0 {
			r.State = ConsentGiven
		}
		if rng.IntN(8) == 0 {
			r.Purpose = "other"
		}
		r.Recorded = r.Effective
		if rng.IntN(3) == 0 {
			r.Recorded = day(rng.IntN(horizon))
		}
		if rng.IntN(2) == 0 {
			r.Expires = day(rng.IntN(horizon))
		}
		records = append(records, r)
	}
	for range rng.IntN(3) / 2 * (1 + rng.IntN(2)) {
		erasures = append(erasures, Erasure{Subject: Subject(1 + rng.IntN(3)), At: day(rng.IntN(horizon))})
	}
	return unambiguous(records), erasures
}

// unambiguous drops records that agree with an earlier one in all that orders them: which of them acts is a matter of the last
// resort of Compare, which the oracle does not have.
func unambiguous(records []Record) (out []Record) {
	for _, r := range records {
		if !slices.ContainsFunc(out, func(o Record) bool {
			return o.Subject == r.Subject && o.Purpose == r.Purpose && !beats(o, r) && !beats(r, o)
		}) {
			out = append(out, r)
		}
	}
	return out
}

func checkAgainstOracle(t *testing.T, p Purpose, now int, records []Record, erasures []Erasure) {
	t.Helper()
	d := Decide(p, day(now), records, erasures)
	const oldest = 3
	for s := Subject(1); s <= 4; s++ { // subject 4 has no records
		for tt := range horizon {
			want := oracleJudge(p, now, records, erasures, s, tt, oldest)
			if got := d.Judge(s, dayMicros(tt), dayMicros(oldest)); got != want {
				t.Fatalf("%s, now day %d, subject %d, event day %d: %v, want %v\nrecords %+v\nerasures %+v", p.Basis, now, s, tt, got, want, records, erasures)
			}
			// Of must agree with Judge where nothing but the span matters.
			of := d.Of(s)
			if in := of.From <= dayMicros(tt) && dayMicros(tt) < of.To; in != (d.Judge(s, dayMicros(tt), ever) == Kept) {
				t.Fatalf("%s, now day %d, subject %d, event day %d: Of gives %+v, which disagrees with Judge", p.Basis, now, s, tt, of)
			}
		}
	}
}

func TestDecideAgainstOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	kept := 0
	for range 20_000 {
		records, erasures := genHistory(rng)
		now := rng.IntN(horizon)
		p := Purpose{Name: "recommend", Basis: []Basis{Consent, LegitimateInterest}[rng.IntN(2)]}
		checkAgainstOracle(t, p, now, records, erasures)
		if !Decide(p, day(now), records, erasures).Of(1).Denied() {
			kept++
		}
	}
	if kept < 2000 || kept > 18_000 {
		t.Fatalf("%d of 20000 histories admit subject 1: the generator no longer covers both sides", kept)
	}
}

func TestSpansAgainstOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		all, _ := genHistory(rng)
		records := slices.DeleteFunc(all, func(r Record) bool { return r.Subject != 1 || r.Purpose != "recommend" })
		for _, b := range []Basis{Consent, LegitimateInterest} {
			spans := Spans(b, records)
			for i, s := range spans {
				if !s.To.IsZero() && !s.From.Before(s.To) || i > 0 && s.From.Before(spans[i-1].To) || i > 0 && spans[i-1].To.IsZero() {
					t.Fatalf("spans %v are empty, out of order or overlap", spans)
				}
			}
			for d := range horizon {
				in := slices.ContainsFunc(spans, func(s Span) bool {
					return !day(d).Before(s.From) && (s.To.IsZero() || day(d).Before(s.To))
				})
				if want := holdsOn(b, records, d, b == LegitimateInterest); in != want {
					t.Fatalf("%s day %d: in a span: %v, want %v\nspans %v\nrecords %+v", b, d, in, want, spans, records)
				}
			}
		}
	}
}

func TestDecideIgnoresOrderAndRepeats(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		records, erasures := genHistory(rng)
		p := Purpose{Name: "recommend", Basis: []Basis{Consent, LegitimateInterest}[rng.IntN(2)]}
		now := day(rng.IntN(horizon))
		a := Decide(p, now, records, erasures)
		mixed := append(slices.Clone(records), records[:len(records)/2]...)
		rng.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		b := Decide(p, now, mixed, erasures)
		for s := Subject(1); s < 5; s++ {
			if a.Of(s) != b.Of(s) {
				t.Fatalf("subject %d: %+v, after shuffling %+v\nrecords %+v", s, a.Of(s), b.Of(s), records)
			}
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte{0, 10, 0, 2, 2, 9, 0, 5, 5, 0}, byte(12), false)
	f.Add([]byte{1, 8, 5, 5, 20, 0, 9, 9, 3, 0, 1, 4}, byte(20), true)
	f.Fuzz(func(t *testing.T, data []byte, now byte, legitimate bool) {
		var records []Record
		var erasures []Erasure
		for ; len(data) >= 5 && len(records) < 12; data = data[5:] {
			at := func(b byte) time.Time { return day(int(b) % horizon) }
			if data[0]&0x80 != 0 && len(erasures) < 2 {
				erasures = append(erasures, Erasure{Subject: Subject(1 + data[0]%3), At: at(data[1])})
				continue
			}
			r := Record{
				Subject: Subject(1 + data[0]%3), Purpose: "recommend", State: allStates[int(data[1])%len(allStates)],
				Effective: at(data[2]), Recorded: at(data[3]), ID: fmt.Sprint(data[1] >> 6),
			}
			if data[4] != 0 {
				r.Expires = at(data[4])
			}
			records = append(records, r)
		}
		p := Purpose{Name: "recommend", Basis: Consent}
		if legitimate {
			p.Basis = LegitimateInterest
		}
		checkAgainstOracle(t, p, int(now)%horizon, unambiguous(records), erasures)
	})
}
