package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// Erasure is a subject's request to be forgotten. Events before At never count, and the subject comes back only by a grant recorded
// after At. Epoch numbers the erasures of a bucket.
type Erasure struct {
	Subject Subject   `json:"subject"`
	At      time.Time `json:"at"`
	Epoch   int       `json:"epoch"`
}

// Decision is what Decisions says of one subject for one purpose: events with From ≤ time < To (µs since the epoch) count. Denied:
// From > To, and Why says why. Expires (µs, 0 = never known) is when the basis ends by what is known now.
type Decision struct {
	From, To int64
	Why      Reason
	Expires  int64
}

// Denied reports whether nothing of the subject counts.
func (d Decision) Denied() bool { return d.Why != Kept }

// Decisions says for every subject what one purpose may use, as of one point in time. It is immutable and safe for concurrent use.
type Decisions struct {
	purpose Purpose
	now     int64
	ground  Decision // for subjects without any record or erasure
	of      map[Subject]verdict

	sensitive *Sensitive // nil: none

	once   sync.Once
	listed *listed // of the same, once it is wanted
}

// verdict is a Decision with what Digest, Judge and HoldsImport need besides.
type verdict struct {
	Decision
	erased   int64 // µs of the latest erasure; ever if none
	withdrew bool  // the subject said no explicitly
}

// Decide says whose events the purpose may use now. Records of other purposes and records recorded after now are left out; records may
// come in any order and more than once. A purpose without a name denies everybody for NoPurpose. O(n log n) in the records.
func Decide(p Purpose, now time.Time, records []Record, erasures []Erasure) *Decisions {
	d := &Decisions{purpose: p, now: now.UnixMicro(), of: map[Subject]verdict{}}
	switch {
	case p.Name == "":
		d.ground = denied(NoPurpose)
		return d
	case p.Basis == LegitimateInterest:
		d.ground = Decision{From: ever, To: d.now}
	default:
		d.ground = denied(NoRecord)
	}

	erasedAt := make(map[Subject]int64, len(erasures))
	for _, e := range erasures {
		at, ok := erasedAt[e.Subject]
		if t := e.At.UnixMicro(); !ok || t > at {
			erasedAt[e.Subject] = t
		}
	}

	known := make([]Record, 0, len(records))
	for _, r := range records {
		if r.Purpose != p.Name || r.Recorded.UnixMicro() > d.now {
			continue
		}
		if at, gone := erasedAt[r.Subject]; gone && r.State.Valid() && r.Recorded.UnixMicro() <= at {
			continue // granted before the erasure: gone with it
		}
		known = append(known, r)
	}
	slices.SortFunc(known, Record.Compare)
	for len(known) > 0 {
		s, n := known[0].Subject, 1
		for n < len(known) && known[n].Subject == s {
			n++
		}
		at, gone := erasedAt[s]
		if !gone {
			at = ever
		}
		d.of[s] = d.decide(known[:n], at)
		known = known[n:]
	}
	for s, at := range erasedAt {
		if _, ok := d.of[s]; !ok {
			d.of[s] = d.decide(nil, at)
		}
	}
	return d
}

func denied(why Reason) Decision { return Decision{From: never, To: ever, Why: why} }

// decide judges one subject: records in order, erased at that time (ever: not erased).
func (d *Decisions) decide(records []Record, erased int64) verdict {
	v := verdict{erased: erased}
	ground := d.purpose.Basis == LegitimateInterest && erased == ever
	for _, s := range spans(d.purpose.Basis, records, ground) {
		if s.from > d.now || s.to <= d.now {
			continue
		}
		v.Decision = Decision{From: max(s.from, erased), To: d.now}
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

// Purpose returns the purpose that was decided for.
func (d *Decisions) Purpose() Purpose { return d.purpose }

// Now returns the time, to the µs, as of which the decisions hold.
func (d *Decisions) Now() time.Time { return time.UnixMicro(d.now).UTC() }

// Of returns the decision for a subject.
func (d *Decisions) Of(s Subject) Decision {
	if v, ok := d.of[s]; ok {
		return v.Decision
	}
	return d.ground
}

// Unseen returns the decision for a subject that no record and no erasure names.
func (d *Decisions) Unseen() Decision { return d.ground }

// Judge says whether an event of s at time t (µs since the epoch) counts, or why not; oldest is Purpose.Oldest. O(1).
func (d *Decisions) Judge(s Subject, t, oldest int64) Reason {
	return d.Rule(s, oldest).Judge(t)
}

// Admitted is how many subjects with a record may be used, and Refused how many may not. Subjects without a record are not known here.
func (d *Decisions) Admitted() (admitted, refused int) {
	for _, v := range d.of {
		if v.Denied() {
			refused++
		} else {
			admitted++
		}
	}
	return admitted, refused
}

// Digest is the canonical digest (hex SHA-256) of the subject filter restricted to events in w. Equal digests mean that the same
// events of w count. Under consent it runs over the sorted (subject, max(from, w.Start)) of the subjects whose span starts before
// w.End: a subject who joined later, or one who is denied, does not appear. Under a legitimate interest, which holds by
// default, it runs over the exceptions instead. Erased subjects appear in neither. Where items are guarded it is of these too. O(n log n).
func (d *Decisions) Digest(w table.Interval) string {
	start, end := w.Start.UnixMicro(), w.End.UnixMicro()
	type row struct {
		s    Subject
		from int64
	}
	var rows []row
	byDefault := !d.ground.Denied()
	for s, v := range d.of {
		switch {
		case v.Why == Erased:
		case v.Denied() || v.From >= end:
			if byDefault {
				rows = append(rows, row{s, never})
			}
		default:
			if from := max(v.From, start); !byDefault || from > start {
				rows = append(rows, row{s, from})
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		if a.s < b.s {
			return -1
		}
		return 1 // subjects are distinct
	})

	h := sha256.New()
	buf := []byte("rapport subject filter 1\n")
	if byDefault {
		buf = append(buf, 1)
	} else {
		buf = append(buf, 0)
	}
	buf = binary.LittleEndian.AppendUint64(buf, uint64(min(d.now, end)))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(len(rows)))
	for _, r := range rows {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(r.s))
		buf = binary.LittleEndian.AppendUint64(buf, uint64(r.from))
		if len(buf) > 1<<12 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write(buf)
	if d.sensitive != nil {
		h.Write([]byte("sensitive " + d.sensitive.digest(w)))
	}
	return hex.EncodeToString(h.Sum(nil))
}
