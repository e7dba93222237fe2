package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// Erased says what an erasure did. It names no subject.
type Erased struct {
	Epoch     int            `json:"epoch"`
	Requested int            `json:"requested"`
	Known     int            `json:"known"` // of them, those that the identity table had
	Denied    time.Time      `json:"denied"`
	Rewritten time.Time      `json:"rewritten"`
	Tables    map[string]int `json:"tables_rewritten"` // by step
	Rows      int64          `json:"rows_removed"`
	Parts     int            `json:"files_removed"`
	Staged    int            `json:"staged_files_kept"` // of runs that may be under way, too young to be removed; the next erasure looks again
	Online    int            `json:"online_rows_removed"`
	Pending   []Pending      `json:"pending"`    // what learned from the subjects and is replaced by the next runs
	OutOfSite []string       `json:"not_erased"` // raw sources, which are not ours to rewrite
}

// Pending is something made from an erased subject's data among that of many others, with the day by which it is replaced.
type Pending struct {
	What string    `json:"what"`
	Due  time.Time `json:"due"`
}

// ErrUnknownSubjects says that none of the ids is known.
var ErrUnknownSubjects = errors.New("no such subject")

// rebuildWithin is the time in which models and item aggregates that learned from an erased subject are replaced.
const rebuildWithin = 30 * 24 * time.Hour

const eraseLease = "leases/erase"

// Erase forgets subjects, given by canonical id: it denies them at once, then removes their rows from every table, the online store and
// the identity table. Each table gets a successor under its old key, so no step has to be done again but those of the next interval.
// Interrupted, it is taken up again by the next Erase of anybody, for the request stands in the journal; until then its subjects stay denied. Cost: each table that holds
// subjects is read once; only the shards that hold these are written.
func (r *Runner) Erase(ctx context.Context, js []*Job, canonical []string) (*Erased, error) {
	lease, err := r.acquire(ctx, eraseLease)
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	ctx, stop := lease.Keep(ctx)
	defer stop()
	w := &work{Runner: r, now: r.Now(), tables: table.Store{Bucket: r.Bucket}, lease: lease}
	defer r.release(ctx, lease)

	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return nil, err
	}
	ids, err := event.OpenIdentities(ctx, r.Bucket, r.Keys, r.Previous...)
	if err != nil {
		return nil, err
	}
	out := &Erased{Requested: len(canonical), Tables: map[string]int{}}
	for _, id := range canonical {
		if _, ok := ids.Find(id); ok {
			out.Known++
		}
	}
	if _, pending := journal.Pending(); out.Known == 0 && len(pending) == 0 {
		return out, fmt.Errorf("%w: none of the %d ids is in the identity table; in canonical form it is %s: is that how the source writes its ids?", ErrUnknownSubjects, len(canonical), shapes(canonical))
	}
	if out.Known > 0 {
		if _, err := journal.Erase(ctx, r.Keys, ids, canonical, w.now, r.NewID(w.now)); err != nil {
			return nil, err
		}
	}
	_, entries := journal.Pending()
	gone, unfinished := map[policy.Subject]bool{}, map[string]bool{}
	var owners []string
	online := ids.OnlineKeys()
	for _, e := range entries {
		out.Epoch = e.Epoch
		unfinished[erasedBy(e.Epoch)] = true
		for _, s := range e.Subjects {
			if !gone[s] {
				gone[s] = true
				if key := online[s]; key != "" {
					owners = append(owners, key)
				}
			}
		}
	}
	// Generations that were loaded before a rotation hold the keys of that time.
	for _, k := range r.Previous {
		for _, id := range canonical {
			owners = append(owners, event.OnlineKey(k.ServingKey(), id))
		}
	}
	slices.Sort(owners)
	if err := r.Online.Deny(ctx, owners...); err != nil {
		return nil, fmt.Errorf("erase: online store: %w", err)
	}
	out.Denied = r.Wall().UTC()

	// A run that was about to commit when the erasure was asked for may have done so behind the first pass; none can behind the last.
	for before := int64(-1); out.Rows != before; {
		before = out.Rows
		if err := w.eraseTables(ctx, gone, unfinished, out); err != nil {
			return nil, err
		}
	}
	if err := w.sweepStaged(ctx, out); err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	if out.Online, err = r.Online.Erase(ctx, owners...); err != nil {
		return nil, fmt.Errorf("erase: online store: %w", err)
	}
	if err := ids.Delete(ctx, slices.Sorted(maps.Keys(gone))...); err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := journal.Finish(ctx, e.Seq, w.now); err != nil {
			return nil, err
		}
	}
	for _, prefix := range []string{event.JournalPrefix, "identity/", "data/"} {
		if err := w.dropVersions(ctx, prefix); err != nil {
			return nil, fmt.Errorf("erase: old versions: %w", err)
		}
	}
	out.Rewritten = r.Wall().UTC()
	return out, w.pendingAfterErasure(ctx, js, out)
}

// erasedBy names an erasure as the writer of successors.
func erasedBy(epoch int) string { return fmt.Sprintf("erasure %d", epoch) }

// eraseTables writes a successor of every committed table that holds one of the subjects, and then removes the files that no longer stand
// in it: also of tables whose successors were written by an unfinished erasure.
func (w *work) eraseTables(ctx context.Context, gone map[policy.Subject]bool, unfinished map[string]bool, out *Erased) error {
	var n int64
	for c, err := range w.tables.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("erase: %w", err)
		}
		w.Progressed("erase", c.Step, n, 0, "tables")
		n++
		next, changed, err := w.eraseTable(ctx, c, gone, out)
		if err != nil {
			return fmt.Errorf("erase %s: %w", c.Key, err)
		}
		if changed {
			out.Tables[c.Step]++
		}
		if changed || unfinished[next.By] {
			removed, err := w.sweep(ctx, *next)
			if err != nil {
				return fmt.Errorf("erase %s: %w", c.Key, err)
			}
			out.Parts += removed
		}
	}
	return nil
}

// replacedAtMost is how often an erasure begins anew with a commit that somebody else replaces meanwhile. A build's is replaced once or twice in its life.
const replacedAtMost = 10

// eraseTable writes a successor of a commit, as it was listed, without the subjects, if it holds one, and returns what stands now. A successor is made of
// the very commit that it replaces: where another has come in between, as one without the states that no build wants any more, that is begun with anew.
func (w *work) eraseTable(ctx context.Context, c *table.Commit, gone map[policy.Subject]bool, out *Erased) (stands *table.Commit, changed bool, err error) {
	for range replacedAtMost {
		next, removed, changed, failed := w.withoutSubjects(ctx, c, gone)
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
		next.By, next.Nonce = erasedBy(out.Epoch), w.NewID(w.now)
		err = w.tables.Supersede(ctx, c.Key, info, next)
		if errors.Is(err, storage.ErrPrecondition) {
			continue // the next Lookup tells by whom
		}
		if err != nil {
			return nil, false, err
		}
		out.Rows += removed
		return next, true, nil
	}
	return nil, false, fmt.Errorf("others have replaced its commit %d times meanwhile: erase again; the subjects stay denied", replacedAtMost)
}

// withoutSubjects makes the successor of a commit without the subjects, and stages its tables.
func (w *work) withoutSubjects(ctx context.Context, c *table.Commit, gone map[policy.Subject]bool) (next *table.Commit, removed int64, changed bool, err error) {
	without := *c
	without.Outputs, without.Supersedes = map[string]table.Manifest{}, slices.Clone(c.Supersedes)
	for name, m := range c.Outputs {
		column := subjectColumn(m.Schema)
		if column == "" && keptForBuilds(name) { // it may hold which subjects there were; the next build reads all events
			changed = true
			continue
		}
		without.Outputs[name] = m
		if column == "" {
			continue
		}
		s, rows, err := event.RewriteWithout(ctx, w.Bucket, m, dataPrefix(c.Key, name), column, gone)
		if err != nil {
			return nil, 0, false, err
		}
		if rows > 0 {
			changed = true
			removed += rows
			without.Outputs[name] = s
			without.Supersedes = append(without.Supersedes, m.Digest)
		}
	}
	return &without, removed, changed, nil
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

// sweep removes the files of a commit's tables that its manifests do not name.
func (w *work) sweep(ctx context.Context, c table.Commit) (removed int, err error) {
	named := map[string]bool{}
	for _, m := range c.Outputs {
		for _, p := range m.Parts {
			named[p.Object] = true
		}
	}
	prefix := "data/" + c.Key + "/"
	for info, err := range w.Bucket.List(ctx, prefix, storage.ListOpt{}) {
		if err != nil {
			return removed, err
		}
		if named[info.Key] {
			continue
		}
		if err := w.Bucket.Delete(ctx, info.Key); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// stagedFor is how long a file that no commit names is taken for one of a run under way. After that it is litter of one that died.
const stagedFor = time.Hour

// sweepStaged removes the files of tables that no commit names: what runs staged and never committed may hold a subject too.
func (w *work) sweepStaged(ctx context.Context, out *Erased) error {
	named, _, err := w.named(ctx)
	if err != nil {
		return err
	}
	for info, err := range w.Bucket.List(ctx, "data/", storage.ListOpt{}) {
		switch {
		case err != nil:
			return err
		case named[info.Key]:
		case w.Wall().Sub(info.Modified) < stagedFor:
			out.Staged++
		default:
			if err := w.Bucket.Delete(ctx, info.Key); err != nil {
				return err
			}
			out.Parts++
		}
	}
	return nil
}

// dropVersions removes, where the bucket keeps them, the versions under prefix that are not the current ones, and unfinished uploads.
func (w *work) dropVersions(ctx context.Context, prefix string) error {
	v, ok := w.Bucket.(storage.Versions)
	if !ok {
		return nil
	}
	if _, err := v.AbortUploads(ctx, prefix); err != nil {
		return err
	}
	if kept, err := v.Versioned(ctx); err != nil || !kept {
		return err
	}
	current := map[string]string{}
	for info, err := range w.Bucket.List(ctx, prefix, storage.ListOpt{}) {
		if err != nil {
			return err
		}
		head, err := w.Bucket.Head(ctx, info.Key)
		if err != nil {
			return err
		}
		current[info.Key] = head.Version
	}
	for info, err := range v.ListVersions(ctx, prefix) {
		if err != nil {
			return err
		}
		if version, ok := current[info.Key]; ok && version == info.Version {
			continue
		}
		if err := v.DeleteVersion(ctx, info.Key, info.Version); err != nil {
			return err
		}
	}
	return nil
}

// pendingAfterErasure lists what learned from the subjects among others.
func (w *work) pendingAfterErasure(ctx context.Context, js []*Job, out *Erased) error {
	due := out.Denied.Add(rebuildWithin)
	seen := map[string]bool{}
	for _, j := range js {
		out.OutOfSite = append(out.OutOfSite, j.Raw...)
		if seen[j.Model.Name] {
			continue
		}
		seen[j.Model.Name] = true
		reg, err := registry.Open(w.Bucket, j.Model.Name)
		if err != nil {
			return err
		}
		versions, err := reg.Versions(ctx)
		if err != nil {
			return err
		}
		if n := len(versions); n > 0 {
			out.Pending = append(out.Pending, Pending{What: fmt.Sprintf("model %s, versions %d to %d", j.Model.Name, versions[0].Number, versions[n-1].Number), Due: due})
		}
	}
	slices.Sort(out.OutOfSite)
	out.OutOfSite = slices.Compact(out.OutOfSite)
	out.Pending = append(out.Pending, Pending{What: "views of items, in which the subjects were counted", Due: due})
	return nil
}

// shapes tells the forms of ids without telling the ids.
func shapes(ids []string) string {
	count := map[string]int{}
	for _, id := range ids {
		kind := "text"
		switch {
		case strings.Trim(id, "0123456789") == "":
			kind = "digits"
		case len(id) == 36 && strings.Count(id, "-") == 4:
			kind = "UUID form"
		}
		count[fmt.Sprintf("%s of length %d", kind, len(id))]++
	}
	return strings.Join(slices.Sorted(maps.Keys(count)), ", ")
}
