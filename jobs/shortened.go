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
// earlier end, if it is near: then nobody reads a row beyond it, though no job should run any more. An end that is further off is left to the lists of the nights between.

// near is how far off an end of a basis is at most that is not left to later lists: by then these are long overdue.
const near = rebuildWithin

// endsNear reports whether an end (µs; 0: there is none) is near.
func endsNear(end int64, now time.Time) bool { return end != 0 && end <= now.Add(near).UnixMicro() }

// carries notes what ends the rows carry that are loaded by the decisions of now: the near ones, and some that may have become so when it is asked for.
func (w *work) carries() {
	w.carried = map[policy.Subject]int64{}
	soon := w.Now().Add(24 * time.Hour)
	for s := range w.plan.ids.Subjects() {
		if end := w.plan.trainingDecisions.Expires(s); endsNear(end, soon) {
			w.carried[s] = end
		}
	}
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
	if has, ok := w.carried[s]; !ok || has > end {
		return true
	}
	w.early = w.early || listed && w.next != nil
	return listed && w.next != nil // until the swap others are live
}

// denyOutlived denies those of whom the live generation, which was loaded before today's decisions, holds a list that may be read beyond the near end of their basis.
// Cost: a walk over the lists, if anybody's basis ends soon.
func (w *work) denyOutlived(ctx context.Context) error {
	ends := map[string]int64{} // by online key
	for s := range w.plan.ids.Subjects() {
		d := w.plan.trainingDecisions
		if end := d.Expires(s); endsNear(end, d.Now()) && !d.Of(s).Denied() {
			if key, known := w.plan.ids.OnlineKey(s); known {
				ends[key] = end
			}
		}
	}
	if len(ends) == 0 {
		return nil
	}
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
	if err != nil {
		return fmt.Errorf("online deny set: who reads a list beyond the end of its consent: %w", err)
	}
	return nil
}

// denyShortened denies those whose basis ends soon by a feed, and not by what was known before it: ahead of its snapshot, so that whoever dies in between has denied too many.
func (w *work) denyShortened(ctx context.Context, ids *event.Identities, was, is *policy.Decisions) error {
	var deny []string
	for s, end := range policy.Shortened(was, is) {
		if key, known := ids.OnlineKey(s); known && endsNear(end, w.now) {
			deny = append(deny, key)
		}
	}
	if len(deny) == 0 {
		return nil
	}
	if err := w.Online.Deny(ctx, deny...); err != nil {
		return fmt.Errorf("consent: online deny set: %w", err)
	}
	return nil
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
