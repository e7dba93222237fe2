package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Promote points alias to a version and the generation made from it. It does nothing if the alias points there already, so a run that
// crashed may promote again. It returns ErrRefused for a version that was rejected or waits and has no approval. If the alias is pinned
// to another version it records this one as the candidate and returns ErrPinned.
func (r *Registry) Promote(ctx context.Context, alias string, version int, generation uint64, by, why string, at time.Time) (Live, error) {
	return r.promote(ctx, nil, alias, version, generation, by, why, at)
}

// PromoteFrom is Promote for a publisher that may have been overtaken: if anything has changed since what is live had this fence, and the
// alias does not point there already, it changes nothing and returns ErrMoved.
func (r *Registry) PromoteFrom(ctx context.Context, fence uint64, alias string, version int, generation uint64, by, why string, at time.Time) (Live, error) {
	return r.promote(ctx, &fence, alias, version, generation, by, why, at)
}

func (r *Registry) promote(ctx context.Context, from *uint64, alias string, version int, generation uint64, by, why string, at time.Time) (Live, error) {
	op := fmt.Sprintf("promote version %d to %s", version, alias)
	v, err := r.target(ctx, alias, version)
	if err != nil {
		return Live{}, r.failed(op, err)
	}
	to := Target{version, generation}
	var pinned error
	l, err := r.change(ctx, Change{Action: Promoted, Alias: alias, By: by, Why: why, At: at}, func(l *Live, c *Change) (bool, error) {
		if from != nil && l.Fence != *from && l.Aliases[alias] != to {
			return false, fmt.Errorf("%w: it has fence %d, and had %d: run again", ErrMoved, l.Fence, *from)
		}
		if err := l.allows(v); err != nil {
			return false, err
		}
		pinned = nil
		c.Action, c.Version, c.Generation, c.IntervalEnd = Promoted, version, generation, nil
		if pin, ok := l.Pinned[alias]; ok && pin.Version != version {
			pinned = fmt.Errorf("%w to version %d by %s (%s): version %d waits as candidate until `models unpin`",
				ErrPinned, pin.Version, pin.By, pin.Why, version)
			c.Action = Held
			waiting := l.Candidates[alias] == to
			l.Candidates[alias] = to
			return !waiting, nil
		}
		if generation == 0 {
			return false, errors.New("no generation was loaded from it: only a pinned alias takes a version without one, as its candidate")
		}
		same := l.Aliases[alias] == to
		l.Aliases[alias], c.IntervalEnd = to, &v.Interval.End
		if l.Candidates[alias].Version == version {
			delete(l.Candidates, alias)
		}
		return !same, nil
	})
	if err == nil {
		err = pinned
	}
	if err != nil {
		return l, r.failed(op, err)
	}
	return l, nil
}

// Rollback points alias to an earlier version and pins it there: versions promoted later wait as candidates until Unpin. generation is
// a kept one of that version, or one rebuilt from it. ErrRefused as for Promote.
func (r *Registry) Rollback(ctx context.Context, alias string, toVersion int, generation uint64, by, why string, at time.Time) (Live, error) {
	op := fmt.Sprintf("roll %s back to version %d", alias, toVersion)
	v, err := r.target(ctx, alias, toVersion)
	if err != nil {
		return Live{}, r.failed(op, err)
	}
	to := Target{toVersion, generation}
	entry := Change{Action: RolledBack, Alias: alias, Version: toVersion, Generation: generation, IntervalEnd: &v.Interval.End, By: by, Why: why, At: at}
	l, err := r.change(ctx, entry, func(l *Live, c *Change) (bool, error) {
		if err := l.allows(v); err != nil {
			return false, err
		}
		if l.Aliases[alias] == to && l.Pinned[alias].Version == toVersion {
			return false, nil
		}
		l.Aliases[alias] = to
		l.Pinned[alias] = Pin{Version: toVersion, By: by, Why: why, At: at.UTC()}
		return true, nil
	})
	if err != nil {
		return l, r.failed(op, err)
	}
	return l, nil
}

// Unpin lets alias follow promotions again. The candidate, if any, stays listed for the caller to promote.
func (r *Registry) Unpin(ctx context.Context, alias, by, why string, at time.Time) (Live, error) {
	l, err := r.change(ctx, Change{Action: Unpinned, Alias: alias, By: by, Why: why, At: at}, func(l *Live, c *Change) (bool, error) {
		pin, ok := l.Pinned[alias]
		c.Version = pin.Version
		delete(l.Pinned, alias)
		return ok, nil
	})
	if err != nil {
		return l, r.failed("unpin "+alias, err)
	}
	return l, nil
}

// Approve allows a version to be live, whatever its verdict or an earlier review. role says in which capacity.
func (r *Registry) Approve(ctx context.Context, version int, role, by, why string, at time.Time) (Live, error) {
	return r.review(ctx, Approved, version, role, by, why, at)
}

// Reject forbids a version from being made live, until a later approval. It does not move an alias that points to it: roll back for that.
func (r *Registry) Reject(ctx context.Context, version int, role, by, why string, at time.Time) (Live, error) {
	return r.review(ctx, Disallowed, version, role, by, why, at)
}

func (r *Registry) review(ctx context.Context, a Action, version int, role, by, why string, at time.Time) (Live, error) {
	op := fmt.Sprintf("%s version %d", a, version)
	if role == "" {
		return Live{}, r.failed(op, errors.New("say in which role"))
	}
	if _, err := r.read(ctx, version); err != nil {
		return Live{}, r.failed(op, err)
	}
	entry := Change{Action: a, Version: version, Role: role, By: by, Why: why, At: at}
	l, err := r.change(ctx, entry, func(*Live, *Change) (bool, error) { return true, nil })
	if err != nil {
		return l, r.failed(op, err)
	}
	return l, nil
}

// Split sends shares of the subjects to aliases; who is in no share reads the champion. No shares end a split.
func (r *Registry) Split(ctx context.Context, shares []Share, by, why string, at time.Time) (Live, error) {
	l, err := r.change(ctx, Change{Action: Divided, By: by, Why: why, At: at}, func(l *Live, _ *Change) (bool, error) {
		if slices.Equal(l.Split, shares) {
			return false, nil
		}
		l.Split = slices.Clone(shares)
		return true, checkSplit(shares, l.Aliases)
	})
	if err != nil {
		return l, r.failed("split", err)
	}
	return l, nil
}

// target checks an alias and reads the version that it is to point to.
func (r *Registry) target(ctx context.Context, alias string, version int) (*Version, error) {
	if err := checkAlias(alias); err != nil {
		return nil, err
	}
	return r.read(ctx, version)
}

// change replaces the live object by what apply makes of it, under the next fence and with entry added to the journal; apply may complete
// the entry, and returns whether there is anything to change. If another writer is first, everything is read again.
func (r *Registry) change(ctx context.Context, entry Change, apply func(*Live, *Change) (bool, error)) (Live, error) {
	if entry.By == "" || entry.Why == "" {
		return Live{}, errors.New("say who asks for it, and why")
	}
	entry.Nonce, entry.At = r.nonce(), entry.At.UTC()
	mine := func(c Change) bool { return c.Nonce == entry.Nonce }
	for range maxTries {
		l, etag, err := r.readLive(ctx)
		if err != nil {
			return Live{}, err
		}
		if slices.ContainsFunc(l.History, mine) {
			return *l, nil // made before; the answer was lost, and others have gone on from there
		}
		c := entry
		changed, err := apply(l, &c)
		if err != nil || !changed {
			return *l, err
		}
		if err := r.archive(ctx, l); err != nil {
			return *l, err
		}
		l.Fence++
		c.Fence = l.Fence
		l.History = append(l.History, c)
		body, err := encode(l)
		if err != nil {
			return *l, err
		}
		_, err = storage.Commit(ctx, r.bucket, r.liveKey(), body, storage.Cond{IfAbsent: etag == "", IfMatch: etag})
		if err == nil {
			return *l, nil
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			return *l, err
		}
	}
	return Live{}, fmt.Errorf("other writers were first %d times: try again", maxTries)
}
