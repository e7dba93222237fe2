package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// replacedAtMost is how often a successor is begun anew because somebody else replaces the commit meanwhile. A build's is replaced once or twice in its life.
const replacedAtMost = 10

// succeed writes a successor of a commit, as it was listed, of what make makes of it, and returns what stands now. A successor is made of the very commit that
// it replaces: where another has come in between, as one without the states that no build wants any more, make is asked anew. by names who writes it.
func (w *work) succeed(ctx context.Context, c *table.Commit, by string, make func(c *table.Commit) (next *table.Commit, changed bool, err error)) (stands *table.Commit, changed bool, err error) {
	for range replacedAtMost {
		next, changed, failed := make(c)
		if failed == nil && !changed {
			return c, false, nil
		}
		now, info, err := w.tables.Lookup(ctx, c.Key)
		if err != nil {
			return nil, false, errors.Join(failed, err)
		}
		if now.Nonce != c.Nonce { // its files may be gone as well
			c = now
			continue
		}
		if failed != nil {
			return nil, false, failed
		}
		if err := w.lease.Check(ctx); err != nil {
			return nil, false, err
		}
		next.By, next.Nonce = by, w.NewID(w.now)
		err = w.tables.Supersede(ctx, c.Key, info, next)
		if errors.Is(err, storage.ErrPrecondition) {
			continue // the next Lookup tells by whom
		}
		if err != nil {
			return nil, false, err
		}
		return next, true, nil
	}
	return nil, false, fmt.Errorf("others have replaced its commit %d times meanwhile: try again", replacedAtMost)
}

// rewriteLease is whose turn it is to write successors with new files, and to delete the files that no manifest names: what one of two has staged and not yet
// committed is a leftover to the other.
const rewriteLease = "leases/rewrite"

// alone does something while nobody else rewrites tables. It waits for who does.
func (w *work) alone(ctx context.Context, do func(ctx context.Context) error) error {
	lease, err := w.await(ctx, rewriteLease)
	if err != nil {
		return fmt.Errorf("rewrite tables: %w", err)
	}
	ctx, stop := lease.Keep(ctx)
	defer stop()
	defer w.release(ctx, lease)
	return do(ctx)
}

// afterErasures waits until no erasure is under way: one that waits for its turn must not wait for more than a table.
func (w *work) afterErasures(ctx context.Context) error {
	for waited := time.Duration(0); ; waited += askAgain {
		s, err := storage.ReadLease(ctx, w.Bucket, eraseLease)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			return nil
		case err != nil:
			return err
		case s.Free(w.Wall()), w.Dead != nil && w.Dead(s.Holder):
			return nil
		case waited >= patience:
			return fmt.Errorf("%w: %s erases", storage.ErrHeld, s.Holder)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(askAgain):
		}
	}
}

// storeOf names what a step's output holds, in plain words.
func storeOf(step, output string) string {
	switch {
	case step == "build" && strings.HasPrefix(output, statePrefix):
		return "running states of views"
	case step == "build" && strings.HasPrefix(output, tilePrefix):
		return "tiles of views"
	}
	if name, ok := stores[step]; ok {
		return name
	}
	return step
}

// stores names what the tables of each step hold, in plain words.
var stores = map[string]string{
	"ingest": "events", "build": "views", "assemble": "training sets", "consent": "records of consent", "preferences": "preferences", wishInbox.step: "preferences", saidInbox.step: "records of consent", keptStep: "records of consent",
	"subjects": "attributes of people", "cohorts": "cohorts", "guards": "protected people",
}

// subjectColumn names the column of a table that holds subject numbers, or is "": events, attributes and consent have one, and views of
// subjects.
func subjectColumn(s table.Schema) string {
	for _, name := range []string{event.ColSubject, features.EntityColumn} {
		if i := s.Index(name); i >= 0 && s[i].Type == table.Int64 {
			return name
		}
	}
	return ""
}

// sweep removes the files of a commit's tables that its manifests do not name, and says how many, and how large.
func (w *work) sweep(ctx context.Context, c table.Commit) (removed int, bytes int64, err error) {
	named := map[string]bool{}
	for _, m := range c.Outputs {
		for _, p := range m.Parts {
			named[p.Object] = true
		}
	}
	prefix := "data/" + c.Key + "/"
	for info, err := range w.Bucket.List(ctx, prefix, storage.ListOpt{}) {
		if err != nil {
			return removed, bytes, err
		}
		if named[info.Key] {
			continue
		}
		if err := w.Bucket.Delete(ctx, info.Key); err != nil {
			return removed, bytes, err
		}
		removed, bytes = removed+1, bytes+info.Size
	}
	return removed, bytes, nil
}

// dropVersions removes, where the bucket keeps them, the versions under prefix that are not the current ones, and unfinished uploads but for those so young that a
// run may be at work on them: it says how many these are. Delete markers go last: without
// its marker an object's last version would be the current one again.
func (w *work) dropVersions(ctx context.Context, prefix string) (dropped int64, uploads int, err error) {
	v, ok := w.Bucket.(storage.Versions)
	if !ok {
		return 0, 0, nil
	}
	if _, uploads, err = v.AbortUploads(ctx, prefix, w.Wall().Add(-stagedFor)); err != nil {
		return 0, 0, err
	}
	if kept, err := v.Versioned(ctx); err != nil || !kept {
		return 0, uploads, err
	}
	current := map[string]string{}
	for info, err := range w.Bucket.List(ctx, prefix, storage.ListOpt{}) {
		if err != nil {
			return 0, uploads, err
		}
		head, err := w.Bucket.Head(ctx, info.Key)
		if err != nil {
			return 0, uploads, err
		}
		current[info.Key] = head.Version
	}
	var markers []storage.Info
	for info, err := range v.ListVersions(ctx, prefix) {
		if err != nil {
			return dropped, uploads, err
		}
		if version, ok := current[info.Key]; ok && version == info.Version {
			continue
		}
		if info.ETag == "" {
			markers = append(markers, info)
			continue
		}
		// Somebody else may have written it since it was looked at: what is current now stays.
		head, err := w.Bucket.Head(ctx, info.Key)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return dropped, uploads, err
		}
		if err == nil && head.Version == info.Version {
			continue
		}
		if err := v.DeleteVersion(ctx, info.Key, info.Version); err != nil {
			return dropped, uploads, err
		}
		dropped++
	}
	for _, m := range markers {
		if err := v.DeleteVersion(ctx, m.Key, m.Version); err != nil {
			return dropped, uploads, err
		}
		dropped++
	}
	return dropped, uploads, nil
}
