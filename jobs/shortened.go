package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// A row of the online store carries when its person's basis ends, as was known when it was loaded. What is said later may end it earlier: a consent that is given anew
// for a week, a withdrawal that is to hold from tomorrow, or that comes from a clock which is ahead. Such a person is denied until lists are live that carry the
// earlier end, if it is near: then nobody reads a row beyond it, though no job should run any more. An end that is further off is left to the lists of the nights between,
// and to the horizon of the online store: from that moment on no row is served, but lists are live by then that carry it, or somebody has seen to it, who denied that person alone and
// moved the horizon on.

// near is how far off an end of a basis is at most that is not left to later lists: by then these are long overdue.
const near = rebuildWithin

// endsNear reports whether an end (µs; 0: there is none) is near.
func endsNear(end int64, now time.Time) bool { return end != 0 && end <= now.Add(near).UnixMicro() }

// earliest is the earlier of two ends (µs; 0: there is none).
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// carries notes what ends the rows carry that are loaded by the decisions of now.
func (w *work) carries() { w.carried = w.plan.trainingDecisions }

// lacks reports whether a row that was loaded by the decisions that w carries may be read beyond an end of its subject's basis.
func (w *work) lacks(s policy.Subject, end int64) bool {
	has := w.carried.Expires(s)
	return has == 0 || has > end
}

// outlived reports whether a row of the subject may be read beyond the end of its basis: of the lists that are about to be live it is told by what they carry. Of others
// nothing is known, but that who is denied may be so for this.
func (w *work) outlived(s policy.Subject, listed bool) bool {
	end := w.plan.trainingDecisions.Expires(s)
	if !endsNear(end, w.plan.trainingDecisions.Now()) {
		return false
	}
	if w.carried == nil {
		return listed
	}
	if w.lacks(s, end) {
		return true
	}
	w.early = w.early || listed && w.next != nil
	return listed && w.next != nil // until the swap others are live
}

// denyOutlived denies those of whom the live generation, which was loaded before today's decisions, holds a list that may be read beyond the near end of their basis, and moves the
// horizon to the first end that is not near. Cost: a walk over the lists, if anybody's basis ends soon.
func (w *work) denyOutlived(ctx context.Context) error {
	ends, later := map[string]int64{}, int64(0) // by online key
	for s := range w.plan.ids.Subjects() {
		d := w.plan.trainingDecisions
		end := d.Expires(s)
		switch {
		case end == 0 || d.Of(s).Denied():
		case !endsNear(end, d.Now()):
			later = earliest(later, end) // the rows may carry it: nobody has looked
		default:
			if key, known := w.plan.ids.OnlineKey(s); known {
				ends[key] = end
			}
		}
	}
	if len(ends) > 0 {
		var deny []string
		err := w.Online.Scan(ctx, online.ListKey(""), func(e online.Entry) error {
			if end, ok := ends[e.Owner]; ok && (e.Expires == 0 || e.Expires > end) {
				deny = append(deny, e.Owner)
			}
			return nil
		})
		if err == nil && len(deny) > 0 {
			err = w.Online.Deny(ctx, deny...)
		}
		if err != nil && !errors.Is(err, online.ErrNoGeneration) {
			return fmt.Errorf("online deny set: who reads a list beyond the end of its consent: %w", err)
		}
	}
	return w.widen(ctx, later)
}

// seeToEnds does what is left to do of ends that were not near when they became known, while no lists are made: the horizon is moved on, and who ends by then is denied.
func (w *work) seeToEnds(ctx context.Context) error {
	at, err := w.horizon(ctx)
	if err != nil || !endsNear(at, w.plan.trainingDecisions.Now()) {
		return err
	}
	return w.denyOutlived(ctx)
}

// horizon is that of the online store; one that is damaged is long past.
func (r *Runner) horizon(ctx context.Context) (int64, error) {
	at, err := r.Online.Horizon(ctx)
	switch {
	case errors.Is(err, online.ErrCorrupt):
		return 1, nil
	case err != nil:
		return 0, fmt.Errorf("online store: %w", err)
	}
	return at, nil
}

// narrow has no row served from an end (µs; 0: none) on that live rows may not carry.
func (r *Runner) narrow(ctx context.Context, end int64) error {
	for end != 0 {
		at, err := r.horizon(ctx)
		if err != nil {
			return err
		}
		if earliest(at, end) == at {
			return nil
		}
		moved, err := r.Online.MoveHorizon(ctx, at, end)
		if err != nil {
			return fmt.Errorf("online store: %w", err)
		}
		if moved {
			return nil
		}
	}
	return nil
}

// widen moves the horizon to the first end (µs; 0: there is none) that live rows may not carry by all that this work knows. What somebody has said since is recorded before the horizon is
// narrowed for it, and ends later than what was near when this work looked: it is moved no further than that then.
func (w *work) widen(ctx context.Context, to int64) error {
	at, err := w.horizon(ctx)
	if err != nil || at == to {
		return err
	}
	moved, err := w.Online.MoveHorizon(ctx, at, to)
	if err != nil {
		return fmt.Errorf("online store: %w", err)
	}
	if !moved { // somebody has narrowed it at this moment: the next to look moves it on
		return nil
	}
	came, err := w.cameIn(ctx)
	if came || err != nil {
		err = errors.Join(err, w.narrow(ctx, w.plan.trainingDecisions.Now().Add(near-policy.Askew).UnixMicro()))
	}
	return err
}

// seeFurther moves the horizon to the first end that the rows do not carry that are live now and that this work has loaded: nearly always there is none.
func (w *work) seeFurther(ctx context.Context) error {
	if w.carried == nil {
		return nil
	}
	d, later := w.plan.trainingDecisions, int64(0)
	for s := range w.plan.ids.Subjects() {
		if end := d.Expires(s); end != 0 && !endsNear(end, d.Now()) && w.lacks(s, end) && !w.carried.Of(s).Denied() {
			later = earliest(later, end)
		}
	}
	return w.widen(ctx, later)
}

// denyShortened denies those whose basis ends soon by a feed, and not by what was known before it: ahead of its snapshot, so that whoever dies in between has denied too many. It
// returns the first of the other ends, to which it has narrowed the horizon.
func (w *work) denyShortened(ctx context.Context, ids *event.Identities, was, is *policy.Decisions) (later int64, err error) {
	var deny []string
	for s, end := range policy.Shortened(was, is) {
		switch key, known := ids.OnlineKey(s); {
		case !known:
		case endsNear(end, w.now):
			deny = append(deny, key)
		default:
			later = earliest(later, end)
		}
	}
	if len(deny) > 0 {
		if err := w.Online.Deny(ctx, deny...); err != nil {
			return 0, fmt.Errorf("consent: online deny set: %w", err)
		}
	}
	return later, w.narrow(ctx, later)
}

// outlives reports whether the row that a person is served by may be read beyond an end (µs) of its basis. What cannot be seen may.
func (r *Runner) outlives(ctx context.Context, key string, end int64, now time.Time) bool {
	e, _, err := r.Online.Get(ctx, online.ListKey(key), table.Micros(now))
	switch {
	case err == nil:
		return e.Expires == 0 || e.Expires > end
	case errors.Is(err, online.ErrNoGeneration):
		return false
	case errors.Is(err, online.ErrNotFound):
		return len(r.Previous) > 0 // else it has none; it may be under a key of before
	}
	return !errors.Is(err, online.ErrDenied) || errors.Is(err, online.ErrFallback)
}
