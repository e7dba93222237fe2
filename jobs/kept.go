package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// byRetirement names a writer of successors that lack what old builds kept.
const byRetirement = "retirement of states"

// retire removes what builds that lie just so far back kept that no build of this interval or a later one goes on from it: states after priorsKept
// intervals, tiles once they have left the longest window as well. Older ones, which no run passed by, are left to gc.
func (w *work) retire(ctx context.Context) error {
	iv := w.iv
	for range priorsKept + 1 {
		iv = w.job.Every.At(iv.Start)
	}
	before := w.job.Every.At(iv.Start.Add(-features.RetentionNeeded(w.job.Views)))
	for _, old := range []struct {
		iv     table.Interval
		prefix string
	}{{iv, statePrefix}, {before, tilePrefix}} {
		for c, err := range w.tables.List(ctx, w.buildPrefix(old.iv)) {
			if err != nil {
				return err
			}
			spare := map[string]bool{}
			for output := range c.Outputs {
				if strings.HasPrefix(output, old.prefix) {
					spare[output] = true
				}
			}
			if len(spare) == 0 {
				continue
			}
			dropped, err := w.dropKept(ctx, c.Key, spare)
			if err != nil {
				return err
			}
			for _, p := range dropped {
				if err := w.Bucket.Delete(ctx, p.Object); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// dropKept writes a successor of a build without some of what it kept for others, and returns the files that it named no more, which are left to the caller.
// Where somebody else replaces the commit meanwhile nothing is dropped: it is left for another time.
func (r *Runner) dropKept(ctx context.Context, key string, spare map[string]bool) ([]table.Part, error) {
	tables := table.Store{Bucket: r.Bucket}
	now, info, err := tables.Lookup(ctx, key)
	if err != nil {
		return nil, err
	}
	next := *now
	next.Outputs = map[string]table.Manifest{}
	var dropped []table.Part
	for output, m := range now.Outputs {
		if keptForBuilds(output) && spare[output] {
			dropped = append(dropped, m.Parts...)
			continue
		}
		next.Outputs[output] = m
	}
	if len(next.Outputs) == len(now.Outputs) {
		return nil, nil
	}
	next.By, next.Nonce = byRetirement, r.NewID(r.Now())
	err = tables.Supersede(ctx, key, info, &next)
	if errors.Is(err, storage.ErrPrecondition) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return dropped, nil
}

// keeping is a build, and what it keeps for others.
type keeping struct {
	key     string
	views   string // by which, with the kind of interval, it can be gone on from
	at      time.Time
	end     time.Time
	window  time.Duration // the longest
	outputs map[string]table.Manifest
}

// keepingOf returns what a commit keeps, if it is a build that keeps anything.
func keepingOf(c *table.Commit) (keeping, bool) {
	k := keeping{key: c.Key, outputs: map[string]table.Manifest{}}
	for output, m := range c.Outputs {
		if c.Step == "build" && keptForBuilds(output) {
			k.outputs[output] = m
		}
	}
	facts, err := factsOf[buildFacts](c)
	if len(k.outputs) == 0 || err != nil || c.Interval == nil {
		return k, false
	}
	k.views, k.at, k.end, k.window = facts.Rests.Views+" "+kindOfInterval(*c.Interval), c.At, c.Interval.End, facts.Rests.Window.End.Sub(facts.Rests.Window.Start)
	return k, true
}

// kindOfInterval is alike for the intervals of one calendar: days have 23 to 25 hours, and months 28 to 31 days.
func kindOfInterval(iv table.Interval) string {
	const day = 24 * time.Hour
	switch d := iv.End.Sub(iv.Start); {
	case d <= 12*time.Hour:
		return d.String()
	case d < 27*day:
		return fmt.Sprint(int((d+day/2)/day), "d")
	}
	return "months"
}

// spare says, by key, which outputs of builds no later build will want: states where builds of priorsKept later ends have one, and tiles where the longest
// window of none of these reaches back to them. Builds committed at before or later are wanted yet, whatever there is: a backfill goes on from its own. Intervals of another kind
// do not count: no build goes on from theirs.
func spare(builds []keeping, before time.Time) map[string]map[string]bool {
	ends := map[string][]time.Time{} // by views, the newest first, each once
	for _, b := range builds {
		ends[b.views] = append(ends[b.views], b.end)
	}
	for views, all := range ends {
		slices.SortFunc(all, func(a, b time.Time) int { return b.Compare(a) })
		ends[views] = slices.CompactFunc(all, time.Time.Equal)
	}
	out := map[string]map[string]bool{}
	for _, b := range builds {
		newer := ends[b.views]
		if !b.at.Before(before) || len(newer) < priorsKept || !b.end.Before(newer[priorsKept-1]) {
			continue
		}
		out[b.key] = map[string]bool{}
		for output := range b.outputs {
			if strings.HasPrefix(output, statePrefix) || b.end.Before(newer[priorsKept-1].Add(-b.window)) {
				out[b.key][output] = true
			}
		}
	}
	return out
}
