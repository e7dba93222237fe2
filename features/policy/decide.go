package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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
	known   *known

	sensitive *Sensitive // nil: none

	digests sync.Map // by span
}

// verdict is a Decision with what Digest, Judge and HoldsImport need besides.
type verdict struct {
	Decision
	erased   int64 // µs of the latest erasure; ever if none
	returned int64 // µs of when the subject came back; 0 if it never left
	withdrew bool  // the subject said no explicitly
}

// Decide says whose events the purpose may use now. Records of other purposes and records recorded after now are left out; records may
// come in any order and more than once. A purpose without a name denies everybody for NoPurpose. O(n log n) in the records.
func Decide(p Purpose, now time.Time, records []Record, erasures []Erasure) *Decisions {
	x := NewDeciding(now, erasures, p)
	mine := make([]Record, 0, len(records))
	for _, r := range records {
		if r.Purpose == p.Name {
			mine = append(mine, r)
		}
	}
	slices.SortFunc(mine, func(a, b Record) int { return cmp.Compare(a.Subject, b.Subject) })
	for len(mine) > 0 {
		n := 1
		for n < len(mine) && mine[n].Subject == mine[0].Subject {
			n++
		}
		x.decide(mine[0].Subject, mine[:n])
		mine = mine[n:]
	}
	return Join(x)[0]
}

func denied(why Reason) Decision { return Decision{From: never, To: ever, Why: why} }

// Purpose returns the purpose that was decided for.
func (d *Decisions) Purpose() Purpose { return d.purpose }

// Now returns the time, to the µs, as of which the decisions hold.
func (d *Decisions) Now() time.Time { return time.UnixMicro(d.now).UTC() }

// Of returns the decision for a subject.
func (d *Decisions) Of(s Subject) Decision {
	if v, ok := d.known.of(s); ok {
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
	for _, v := range d.known.all() {
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
// default, it runs over the exceptions instead. Erased subjects appear in neither. Where items are guarded it is of these too. O(n).
// It is made once of each window.
func (d *Decisions) Digest(w table.Interval) string {
	in := span{w.Start.UnixMicro(), w.End.UnixMicro()}
	if sum, ok := d.digests.Load(in); ok {
		return sum.(string)
	}
	sum := d.digest(in, w)
	d.digests.Store(in, sum)
	return sum
}

// Prepare makes the digests of windows side by side: most of a digest is a hash, of which a processor makes one at a time.
func (d *Decisions) Prepare(windows ...table.Interval) {
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for _, w := range windows {
		work.Go(func() error {
			d.Digest(w)
			return nil
		})
	}
	_ = work.Wait() // nothing fails
}

func (d *Decisions) digest(in span, w table.Interval) string {
	byDefault := !d.ground.Denied()
	// listed is whether a row stands in the digest, and with which time.
	listed := func(b *block, i int) (int64, bool) {
		e := b.rows[i]
		why, from := e.decided()
		if e.said&elsewhereBit != 0 {
			v := d.known.odd[e.subject]
			why, from = v.Why, v.From
		}
		switch {
		case why == Erased:
			return 0, false
		case why != Kept || from >= in.to:
			return never, byDefault
		}
		from = max(from, in.from)
		return from, !byDefault || from > in.from
	}
	var blocks []*block
	if d.known != nil {
		blocks = d.known.blocks
	}
	n := 0
	for _, b := range blocks {
		for i := range b.rows {
			if _, ok := listed(b, i); ok {
				n++
			}
		}
	}

	h := sha256.New()
	buf := []byte("rapport subject filter 1\n")
	if byDefault {
		buf = append(buf, 1)
	} else {
		buf = append(buf, 0)
	}
	buf = binary.LittleEndian.AppendUint64(buf, uint64(min(d.now, in.to)))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(n))
	for _, b := range blocks {
		for i := range b.rows {
			if from, ok := listed(b, i); ok {
				buf = binary.LittleEndian.AppendUint64(buf, uint64(b.rows[i].subject))
				buf = binary.LittleEndian.AppendUint64(buf, uint64(from))
			}
			if len(buf) > 1<<12 {
				h.Write(buf)
				buf = buf[:0]
			}
		}
	}
	h.Write(buf)
	if d.sensitive != nil {
		h.Write([]byte("sensitive " + d.sensitive.digest(w)))
	}
	return hex.EncodeToString(h.Sum(nil))
}
