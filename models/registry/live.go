package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Live is the one authority for what is live. Fence is the number of changes so far: each change has its own.
type Live struct {
	Format     int               `json:"format"`
	Name       string            `json:"name"`
	Fence      uint64            `json:"fence"`
	Aliases    map[string]Target `json:"aliases"`
	Split      []Share           `json:"split,omitempty"`
	Pinned     map[string]Pin    `json:"pinned,omitempty"`     // by alias
	Candidates map[string]Target `json:"candidates,omitempty"` // by alias: what a pin keeps waiting
	// History is the journal, oldest first. Old promotions may have moved to objects of their own: see Registry.History.
	History []Change `json:"history"`
}

// Target is what an alias points to: a version, and the generation of the online store that was made from it.
type Target struct {
	Version    int    `json:"version"`
	Generation uint64 `json:"generation"`
}

// Share sends a share of the subjects, chosen by a hash with Salt, to an alias.
type Share struct {
	Alias string  `json:"alias"`
	Share float64 `json:"share"` // (0, 1]
	Salt  string  `json:"salt"`
}

// Pin holds an alias at a version.
type Pin struct {
	Version int       `json:"version"`
	By      string    `json:"by"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}

// Action says what a Change did.
type Action string

// The actions.
const (
	Promoted   Action = "promote"
	RolledBack Action = "rollback" // and pinned
	Held       Action = "hold"     // a pin kept the version waiting as the candidate
	Unpinned   Action = "unpin"
	Approved   Action = "approve"
	Disallowed Action = "reject"
	Divided    Action = "split"
)

// Change is one entry of the journal. By is a person or a job, never a subject.
type Change struct {
	Fence       uint64     `json:"fence"`
	Action      Action     `json:"action"`
	Alias       string     `json:"alias,omitempty"`
	Version     int        `json:"version,omitempty"`
	Generation  uint64     `json:"generation,omitempty"`
	IntervalEnd *time.Time `json:"interval_end,omitempty"` // of a version promoted or rolled back to
	At          time.Time  `json:"at"`
	By          string     `json:"by"`
	Role        string     `json:"role,omitempty"` // of who approved or rejected
	Why         string     `json:"why"`
	Nonce       string     `json:"nonce"`
}

// Review says what an approval or a rejection did, and who: "approved by NAME (ROLE)".
func (c Change) Review() string {
	did := "approved"
	if c.Action == Disallowed {
		did = "rejected"
	}
	return fmt.Sprintf("%s by %s (%s)", did, c.By, c.Role)
}

// reviews returns the approvals and rejections of version n, oldest first.
func (l *Live) reviews(n int) []Change {
	var out []Change
	for _, c := range l.History {
		if c.Version == n && (c.Action == Approved || c.Action == Disallowed) {
			out = append(out, c)
		}
	}
	return out
}

// allows returns nil if v may be live: it passed its gate or was approved since, and no later review rejects it.
func (l *Live) allows(v *Version) error {
	if reviews := l.reviews(v.Number); len(reviews) > 0 {
		if last := reviews[len(reviews)-1]; last.Action == Disallowed {
			return fmt.Errorf("%w: %s (%s) rejected it: %s", ErrRefused, last.By, last.Role, last.Why)
		}
		return nil
	}
	switch {
	case v.Verdict == Passed:
		return nil
	case len(v.Reasons) > 0:
		return fmt.Errorf("%w: its verdict is %s (%s); read the report, then approve or reject it", ErrRefused, v.Verdict, v.Reasons[0])
	}
	return fmt.Errorf("%w: its verdict is %s; read the report, then approve or reject it", ErrRefused, v.Verdict)
}

// LiveFor returns the version that was live under alias for interval iv: the one promoted (or rolled back to) last among those whose
// own interval ended at or before iv.Start, so that it has seen nothing of iv. A rollback counts only for intervals that had not long closed
// when it was made: what was live for those before does not change by it. ok is false if there was none.
func LiveFor(l Live, alias string, iv table.Interval) (version int, ok bool) {
	for _, c := range slices.Backward(l.History) {
		if c.livedFor(alias, iv) && !c.IntervalEnd.After(iv.Start) {
			return c.Version, true
		}
	}
	return 0, false
}

// Replaced lists what a version of iv that is trained now may come to stand in for: the versions of intervals that end with iv and were live after
// LiveFor's, the last first, each once. A version of iv itself is there, be it the one that is trained: the caller tells them apart.
func Replaced(l Live, alias string, iv table.Interval) (versions []int) {
	for _, c := range slices.Backward(l.History) {
		switch {
		case !c.livedFor(alias, iv):
		case !c.IntervalEnd.After(iv.Start):
			return versions
		case c.IntervalEnd.Equal(iv.End) && !slices.Contains(versions, c.Version):
			versions = append(versions, c.Version)
		}
	}
	return versions
}

// livedFor reports whether the change made a version live under alias, and counts for iv.
func (c *Change) livedFor(alias string, iv table.Interval) bool {
	return c.Alias == alias && c.IntervalEnd != nil && (c.Action != RolledBack || !c.At.After(iv.End.Add(iv.End.Sub(iv.Start))))
}

func (r *Registry) liveKey() string { return modelsPrefix + r.name + "/live.json" }

// Live returns what is live now. Before the first change it is empty, with fence 0.
func (r *Registry) Live(ctx context.Context) (Live, error) {
	l, _, err := r.readLive(ctx)
	if err != nil {
		return Live{}, r.failed("read what is live", err)
	}
	return *l, nil
}

// readLive returns the live object and its ETag, "" if there is none yet.
func (r *Registry) readLive(ctx context.Context) (*Live, string, error) {
	l := &Live{Format: format, Name: r.name}
	body, info, err := storage.ReadAll(ctx, r.bucket, r.liveKey())
	switch {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return nil, "", err
	default:
		*l = Live{}
		if err = decode(body, l); err == nil {
			err = l.check(r.name)
		}
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", r.liveKey(), err)
		}
	}
	if l.Aliases == nil {
		l.Aliases = map[string]Target{}
	}
	if l.Pinned == nil {
		l.Pinned = map[string]Pin{}
	}
	if l.Candidates == nil {
		l.Candidates = map[string]Target{}
	}
	return l, info.ETag, nil
}

// check reports what is wrong with an untrusted live object.
func (l *Live) check(name string) error {
	if l.Name != name {
		return fmt.Errorf("belongs to model %q", l.Name)
	}
	for alias, t := range l.Aliases {
		if err := checkAlias(alias); err != nil {
			return err
		}
		if t.Version < 1 || t.Version > maxNumber {
			return fmt.Errorf("alias %q points to version %d", alias, t.Version)
		}
	}
	if err := checkSplit(l.Split, l.Aliases); err != nil {
		return err
	}
	before := uint64(0)
	for i, c := range l.History {
		if c.Fence <= before || c.Nonce == "" {
			return fmt.Errorf("entry %d of the history has fence %d after %d, nonce %q", i, c.Fence, before, c.Nonce)
		}
		before = c.Fence
	}
	if before > l.Fence {
		return fmt.Errorf("the history reaches fence %d, the object says %d", before, l.Fence)
	}
	return nil
}

func checkSplit(split []Share, aliases map[string]Target) error {
	total := 0.0
	for _, s := range split {
		if _, ok := aliases[s.Alias]; !ok {
			return fmt.Errorf("split: alias %q points to nothing: promote a version to it first", s.Alias)
		}
		if !(s.Share > 0) || s.Salt == "" {
			return fmt.Errorf("split: alias %q has share %g and salt %q: want a share above 0 and a salt", s.Alias, s.Share, s.Salt)
		}
		total += s.Share
	}
	if total > 1+1e-9 {
		return fmt.Errorf("split: the shares add up to %g, more than 1", total)
	}
	return nil
}
