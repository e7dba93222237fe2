package policy

import (
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// Subject is a subject's number: the HMAC when first seen, never changed. It means nothing outside the identity table.
type Subject uint64

// Basis is the ground on which a purpose may use a subject's data.
type Basis string

// The bases. Consent needs a valid record; LegitimateInterest is honoured unless the subject objects (a record whose state denies).
const (
	Consent            Basis = "consent"
	LegitimateInterest Basis = "legitimate-interest"
)

// Purpose is one declared use of data, with plain words.
type Purpose struct {
	Name  string              `json:"name"`
	Says  string              `json:"says"`
	Basis Basis               `json:"basis"`
	Reads map[string][]string `json:"reads"` // data set ("events", "items", "cohorts", "subjects") → columns beyond its keys and times
	Keep  map[string]time.Duration `json:"keep"` // retention class ("events", ...) → how long, by event time; absent: for ever
	Use   string              `json:"use"`  // "" or "training", "evaluation", "mitigation"
}

// State is a consent state of W3C DPV 2.3 / ISO/IEC TS 27560.
type State string

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

// Span is a half-open time [From, To) in which a basis holds; a zero To is open.
type Span struct{ From, To time.Time }

// Reason says why an event was not kept. The zero Reason is Kept.
type Reason uint8

// The stages of the funnel, in the order in which they are judged.
const (
	Kept Reason = iota
	NoPurpose
	NoRecord
	Refused
	Expired
	PastRetention
	Erased
	NotYetValid // before the current unbroken span began
	BadRow      // no subject, item or time
)

// Funnel counts rows by Reason: read = Σ of all.
type Funnel map[Reason]int64

// DayDecision is what Decisions says of one subject for one purpose: events with From ≤ time < To count.
type DayDecision struct {
	From, To int64 // µs; From > To never: denied
	Why      Reason
	Expires  int64 // when the basis ends, µs; 0 = never
}

var _ = table.Interval{}
