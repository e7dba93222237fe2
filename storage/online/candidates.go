package online

import (
	"context"
	"encoding/json"
	"fmt"
)

// Candidates are the items of a subject that a serving system may rank again by the context of a request, best first before that. Features
// has a row of equal length for each item, in the order that the entry "ranker" names them; NaN is missing.
type Candidates struct {
	Version  string   `json:"version"` // of the model; the ranker's is the same
	Items    []string `json:"items"`
	Scores   Vector   `json:"scores"` // before any correction
	Features Vector   `json:"features"`
}

// CandidatesKey is the key of a subject's candidates.
func CandidatesKey(onlineKey string) string { return "candidates/" + escape(onlineKey) }

// CandidatesEntry is the entry of a subject's candidates.
func CandidatesEntry(onlineKey string, c Candidates, expires int64) (Entry, error) {
	return entry(CandidatesKey(onlineKey), onlineKey, expires, c)
}

// RankerEntry is the entry of what scores candidates.
func RankerEntry(ranker json.RawMessage) (Entry, error) { return entry(RankerKey, "", 0, ranker) }

// DecodeCandidates parses the value of a candidates entry.
func DecodeCandidates(e Entry) (Candidates, error) {
	c, err := decode[Candidates](e)
	if n := len(c.Items); err == nil && (len(c.Scores) != n || n > 0 && len(c.Features)%n != 0) {
		return Candidates{}, fmt.Errorf("decode %s: %d items, %d scores, %d features", keyKind(e.Key), n, len(c.Scores), len(c.Features))
	}
	return c, err
}

// LookupCandidates returns a subject's candidates and the ranker of the same generation. ErrNotFound where none are published, and for the
// subject ErrDenied and ErrNotFound as for Get. Two Gets, more while generations change.
func LookupCandidates(ctx context.Context, s Store, onlineKey string, now int64) (c Candidates, ranker json.RawMessage, p Pointer, err error) {
	for range 3 {
		var r, e Entry
		var first Pointer
		if r, first, err = s.Get(ctx, RankerKey, now); err != nil {
			return c, nil, first, fmt.Errorf("ranker: %w", err)
		}
		if e, p, err = s.Get(ctx, CandidatesKey(onlineKey), now); err != nil {
			return c, nil, p, fmt.Errorf("candidates: %w", err)
		}
		if p.Generation == first.Generation {
			c, err = DecodeCandidates(e)
			return c, r.Value, p, err
		}
	}
	return c, nil, p, fmt.Errorf("generations change faster than a subject's candidates can be read: ask again")
}
