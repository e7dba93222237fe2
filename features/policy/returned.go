package policy

import "iter"

// Returned yields the subjects who are allowed now, were before, and were not in between, each with when it came back (µs): when the grant that
// brought it back had taken effect and was recorded. What was made for them before then rests on a history that no longer counts.
func (d *Decisions) Returned() iter.Seq2[Subject, int64] {
	return func(yield func(Subject, int64) bool) {
		if d.known == nil {
			return
		}
		for s, at := range d.known.back {
			if !d.Of(s).Denied() && !yield(s, at) {
				return
			}
		}
	}
}

// knownFrom is from when on it was known that a span begins at from: the later of that and of when the first grant of that time was recorded.
func knownFrom(records []Record, from int64) int64 {
	at := int64(never)
	for _, r := range records {
		if r.State.Valid() && r.Effective.UnixMicro() == from {
			at = min(at, r.Recorded.UnixMicro())
		}
	}
	return max(from, at)
}
