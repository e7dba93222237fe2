package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Reason says why an event was not kept. The zero Reason is Kept.
type Reason uint8

// The stages of the funnel.
const (
	Kept Reason = iota
	NoPurpose
	NoRecord
	Refused
	Expired
	PastRetention
	Erased
	NotYetValid   // outside the current unbroken span: before it began, or not before now
	BadRow        // no subject, item or time; or quarantined for what it holds
	Protected     // of somebody who is not to be profiled
	SensitiveItem // of an item that counts only with a consent of its own, which the subject does not hold
	reasons
)

// stages are the losses in the order in which a funnel prints them, and names every reason's name in JSON and in print.
var (
	stages = [...]Reason{BadRow, NoPurpose, Protected, NoRecord, Refused, Expired, PastRetention, Erased, NotYetValid, SensitiveItem}
	names  = [reasons]string{
		Kept: "kept", NoPurpose: "no_purpose", NoRecord: "no_record", Refused: "refused", Expired: "expired",
		PastRetention: "past_retention", Erased: "erased", NotYetValid: "not_yet_valid", BadRow: "bad_row",
		Protected: "protected", SensitiveItem: "sensitive_item",
	}
	remedies = [reasons]string{
		NoPurpose:     "no purpose reads this data: declare one that does, or stop reading it",
		NoRecord:      "these subjects have no consent record: import the consent table, and check that its ids have the same canonical form as the events'",
		Refused:       "these subjects refused, withdrew or objected: nothing to do, their choice is honoured",
		Expired:       "their consent has expired: ask them to renew it",
		PastRetention: "these events are older than the purpose keeps them: lengthen keep.events only if the purpose needs it",
		Erased:        "these subjects were erased: remove them from the source as well",
		NotYetValid:   "these events lie before the subjects' current consent began: no remedy, unless the consent table lacks earlier records",
		Protected:     "these subjects are protected (protected_subjects) and never profiled: no remedy, unless the declaration matches more of them than it should",
		SensitiveItem: "these events tell of items that count for nobody without the consent that sensitive_items names: no remedy, unless the declaration matches more of them than it should",
		BadRow:        "these rows lack an id or a time, hold no number where one should be, break a rule of the source, or have a time that does not fit their file's day (too late: raise sources.events.lateness; after its file: check time_unit and zone): correct the producer; rapport runs show --quarantine lists them by file and row",
	}
)

// String returns the reason's name, as in JSON.
func (r Reason) String() string {
	if r < reasons {
		return names[r]
	}
	return "reason_" + strconv.Itoa(int(r))
}

// Funnel counts rows by Reason: read = Σ of all.
type Funnel map[Reason]int64

// Add counts n rows for r.
func (f Funnel) Add(r Reason, n int64) {
	if n != 0 {
		f[r] += n
	}
}

// Merge adds the counts of g to f.
func (f Funnel) Merge(g Funnel) {
	for r, n := range g {
		f.Add(r, n)
	}
}

// Read is the number of rows judged: the sum of all.
func (f Funnel) Read() int64 {
	var n int64
	for _, c := range f {
		n += c
	}
	return n
}

// MarshalJSON writes the counts by the reasons' names, and "read", their sum: {"expired":2,"kept":40,"read":42}.
func (f Funnel) MarshalJSON() ([]byte, error) {
	m := map[string]int64{"read": f.Read()}
	for r, n := range f {
		m[r.String()] = n
	}
	return json.Marshal(m) // keys sorted
}

// UnmarshalJSON is the inverse of MarshalJSON. It refuses unknown names, negative counts, and a read that is not the sum.
func (f *Funnel) UnmarshalJSON(b []byte) error {
	var m map[string]int64
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("funnel: %w", err)
	}
	got, read := Funnel{}, m["read"]
	delete(m, "read")
	for name, n := range m {
		r := slices.Index(names[:], name)
		if r < 0 || n < 0 {
			return fmt.Errorf("funnel: %q: %d is no count of a known reason", name, n)
		}
		got.Add(Reason(r), n)
	}
	if got.Read() != read {
		return fmt.Errorf("funnel: read is %d, but the reasons sum to %d", read, got.Read())
	}
	*f = got
	return nil
}

// Suppressed prints the funnel for people who may not see small counts, as
//
//	read 4,210 → no_record 310 · refused <11 · expired (withheld) → kept 3,800
//
// A count under k (and over 0) prints as "<k". Since read is the sum of all, further counts are withheld, in the fixed order of the
// stages, until what is printed leaves every small count at least two possible values, whatever it is; if all together do not suffice,
// read is withheld too. k ≤ 1 suppresses nothing.
func (f Funnel) Suppressed(k int64) string {
	type cell struct {
		r    Reason
		n    int64
		text string
	}
	var cells []cell
	var small, hidden, sum int64 // counts under k; all hidden counts; the sum of the hidden
	for _, r := range append(stages[:], Kept) {
		n := f[r]
		if n == 0 && r != Kept {
			continue
		}
		c := cell{r, n, group(n)}
		if n > 0 && n < k {
			c.text = fmt.Sprintf("<%d", k)
			small, hidden, sum = small+1, hidden+1, sum+n
		}
		cells = append(cells, c)
	}
	// safe tells whether every small count could be any of 1 … k−1, as far as the sum of the hidden counts can tell: the others
	// could be as low as 1 (small) or k (withheld), and a withheld count has no upper bound.
	safe := func() bool {
		return small == 0 || hidden > small && sum-(k-1) >= (small-1)+(hidden-small)*k
	}
	for i := range cells {
		if safe() {
			break
		}
		if c := &cells[i]; c.n >= k {
			c.text = "(withheld)"
			hidden, sum = hidden+1, sum+c.n
		}
	}
	var b strings.Builder
	read := group(f.Read())
	if !safe() {
		read = "(withheld)"
	}
	b.WriteString("read " + read)
	for i, c := range cells {
		switch {
		case i == 0 || c.r == Kept:
			b.WriteString(" → ")
		default:
			b.WriteString(" · ")
		}
		b.WriteString(c.r.String() + " " + c.text)
	}
	return b.String()
}

// unmatched is the share of the rows without a record of consent from which on the ids of the two may be written unlike.
const unmatched = 0.9

// Remedy says what to do about the largest loss that needs something done, or "" if there is none.
func (f Funnel) Remedy() string {
	worst := f.Loss()
	if worst == Kept {
		return ""
	}
	return fmt.Sprintf("%s: %s", worst, remedies[worst])
}

// Loss is the largest loss that needs something done, or Kept if there is none: that people refused, are protected or have not been asked is no fault of the data,
// and where some have a record the ids match. Ties go to the earlier stage.
func (f Funnel) Loss() Reason {
	worst := Kept
	for _, r := range stages {
		switch r {
		case Refused, Protected, SensitiveItem, NotYetValid:
			if f[Kept] > 0 {
				continue
			}
		case NoRecord:
			if float64(f[r]) < unmatched*float64(f.Read()) {
				continue
			}
		}
		if f[r] > 0 && (worst == Kept || f[r] > f[worst]) {
			worst = r
		}
	}
	return worst
}

// group prints n with thousands separated by commas.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
