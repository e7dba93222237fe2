package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"maps"
	"slices"

	"github.com/rapport-ml/rapport/storage/table"
)

// Sensitive is what policy says of items that tell of a person what few would have told, as of health or of faith: they are a signal, and stand in a
// list, only for those who hold the consent that names them. It is immutable and safe for concurrent use. A nil *Sensitive knows of none.
type Sensitive struct {
	items map[string]struct{}
	by    *Decisions // nil: nobody holds that consent
}

// NewSensitive makes a guard of items, who may have to do with them being those whom by admits; nil: nobody. Without items it is nil.
func NewSensitive(items []string, by *Decisions) *Sensitive {
	if len(items) == 0 {
		return nil
	}
	s := &Sensitive{items: make(map[string]struct{}, len(items)), by: by}
	for _, id := range items {
		s.items[id] = struct{}{}
	}
	return s
}

// Has reports whether an item is sensitive. O(1).
func (s *Sensitive) Has(item string) bool {
	if s == nil {
		return false
	}
	_, ok := s.items[item]
	return ok
}

// Counts reports whether an event of a subject at time t (µs) with a sensitive item counts: it lies in the span of the consent.
func (s *Sensitive) Counts(subject Subject, t int64) bool {
	return s.by != nil && s.by.Judge(subject, t, ever) == Kept
}

// Shown reports whether sensitive items may stand in a subject's list.
func (s *Sensitive) Shown(subject Subject) bool {
	return s == nil || s.by != nil && !s.by.Of(subject).Denied()
}

// Timed reports whether times are needed to tell which events count: somebody holds the consent, from some moment on.
func (s *Sensitive) Timed() bool {
	if s == nil || s.by == nil {
		return false
	}
	admitted, _ := s.by.Admitted()
	return admitted > 0 || !s.by.Unseen().Denied()
}

// Audience is a digest (hex SHA-256) of the sensitive items and of those to whom they are shown now; "" if no item is. Lists that were made for one audience
// may hold what another is not to see. O(n log n).
func (s *Sensitive) Audience() string {
	if s == nil {
		return ""
	}
	h := s.hashed()
	if s.by != nil {
		fmt.Fprintf(h, "to others %t\n", !s.by.ground.Denied())
		for who := range s.by.known.all() {
			fmt.Fprintf(h, "%d %t\n", who, s.Shown(who))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Lapsed yields the subjects who have a record of the consent and do not hold it now: lists of before may show them sensitive items.
func (s *Sensitive) Lapsed() iter.Seq[Subject] {
	return func(yield func(Subject) bool) {
		if s == nil || s.by == nil {
			return
		}
		for who := range s.by.known.all() {
			if !s.Shown(who) && !yield(who) {
				return
			}
		}
	}
}

// hashed begins a hash with the items.
func (s *Sensitive) hashed() hash.Hash {
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(s.items)) {
		fmt.Fprintf(h, "%q\n", id)
	}
	return h
}

// digest is of what the guard lets pass in w.
func (s *Sensitive) digest(w table.Interval) string {
	h := s.hashed()
	if s.by != nil {
		fmt.Fprintf(h, "but for %s\n", s.by.Digest(w))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Guarded returns decisions that leave out events of sensitive items as well. Its Digest is another then; Judge and Rule, which see no item, say what they
// said.
func (d *Decisions) Guarded(s *Sensitive) *Decisions {
	if s == nil {
		return d
	}
	return &Decisions{purpose: d.purpose, now: d.now, ground: d.ground, known: d.known, sensitive: s}
}

// Expires is when what is made for a subject may no longer be read (µs, 0 = never known): when its basis ends, or the consent by which it may hold
// sensitive items, whichever is first.
func (d *Decisions) Expires(s Subject) int64 {
	end := d.Of(s).Expires
	if g := d.sensitive; g != nil && g.by != nil && g.Shown(s) {
		if e := g.by.Of(s).Expires; e != 0 && (end == 0 || e < end) {
			end = e
		}
	}
	return end
}

// Sensitive returns the guard of sensitive items; nil if there is none.
func (d *Decisions) Sensitive() *Sensitive { return d.sensitive }

// Protecting returns decisions that deny the subjects who are protected, whatever they or others for them have agreed to. An erasure stays one. O(subjects).
func (d *Decisions) Protecting(subjects []Subject) *Decisions {
	if len(subjects) == 0 {
		return d
	}
	k := d.known.with(ascending(subjects), func(v verdict, ok bool) verdict {
		if !ok {
			v.erased = ever
		}
		if v.Why != Erased {
			v.Decision = denied(Protected)
		}
		return v
	})
	return &Decisions{purpose: d.purpose, now: d.now, ground: d.ground, known: k, sensitive: d.sensitive}
}
