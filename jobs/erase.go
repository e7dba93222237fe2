package jobs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

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
	Known     int            `json:"known"`                   // of them, those that the identity table had
	Before    []ErasedBefore `json:"erased_before,omitempty"` // of the others, those who are erased already
	Linked    int            `json:"linked"`                  // further ids that sources.identities gives to these people: they are erased by all of them
	Denied    time.Time      `json:"denied"`
	Rewritten time.Time      `json:"rewritten"`
	Tables    map[string]int `json:"tables_rewritten"` // by step
	Rows      int64          `json:"rows_removed"`
	Parts     int            `json:"files_removed"`
	Staged    int            `json:"staged_files_kept"` // of runs that may be under way, too young to be removed; the next erasure looks again
	Online    int            `json:"online_rows_removed"`
	HeldBack  []HeldBack     `json:"held_back,omitempty"`
	Pending   []Pending      `json:"pending"`    // what learned from the subjects and is replaced by the next runs
	OutOfSite []string       `json:"not_erased"` // raw sources, which are not ours to rewrite
	Receipts  []string       `json:"receipts"`   // where the signed receipts stand in the bucket: one for each request that was carried out
	Closed    []int          `json:"requests_closed"`

	stores map[[3]string]int64 // store, unit and method → how many were removed
}

// removed counts what was taken out of a store.
func (e *Erased) removed(store, unit, method string, n int64) {
	if n == 0 {
		return
	}
	if e.stores == nil {
		e.stores = map[[3]string]int64{}
	}
	e.stores[[3]string{store, unit, method}] += n
}

// Pending is something made from an erased subject's data among that of many others, with the day by which it is replaced.
type Pending struct {
	What string    `json:"what"`
	Due  time.Time `json:"due"`

	why string
}

// ErrUnknownSubjects says that none of the ids is known.
var ErrUnknownSubjects = errors.New("no such subject")

// rebuildWithin is the time in which models and item aggregates that learned from an erased subject are replaced.
const rebuildWithin = 30 * 24 * time.Hour

const eraseLease = "leases/erase"

// Erase forgets subjects, given by canonical id: it denies them at once, then removes their rows from every table, the online store and
// the identity table. Each table gets a successor under its old key, so no step has to be done again but those of the next interval.
// Interrupted, it is taken up again by FinishErasures, and by the next Erase of anybody, for the request stands in the journal; until then its subjects stay denied. Cost: each table that holds
// subjects is read once; only the shards that hold these are written.
//
// Each request that is carried out leaves a signed receipt in the bucket, and closes what the register holds open of its kind for these people. One that was
// interrupted, and whose people a later one names again, has none of its own: that of the later one says so.
func (r *Runner) Erase(ctx context.Context, js []*Job, canonical []string) (*Erased, error) {
	return r.EraseOn(ctx, js, canonical, Terms{})
}

// EraseOn is Erase with what receipts say beside what was done.
func (r *Runner) EraseOn(ctx context.Context, js []*Job, canonical []string, terms Terms) (*Erased, error) {
	return r.carryOut(ctx, js, canonical, terms, func(ctx context.Context, w *work, journal *event.Journal, out *Erased, open bool) (*event.Identities, error) {
		ids, err := r.identities(ctx)
		if err != nil {
			return nil, err
		}
		var unknown []string
		for _, id := range canonical {
			if ids.Knows(id) {
				out.Known++
			} else {
				unknown = append(unknown, id)
			}
		}
		out.Before = r.erasedBefore(journal, unknown)
		if out.Known == 0 && !open && len(out.Before) > 0 {
			says := make([]string, len(out.Before))
			for i, b := range out.Before {
				says[i] = b.String()
			}
			return nil, fmt.Errorf("%w: none of the %d ids is in the identity table: %s", ErrUnknownSubjects, len(canonical), strings.Join(says, "; "))
		}
		if out.Known == 0 && !open {
			return nil, fmt.Errorf("%w: none of the %d ids is in the identity table; in canonical form it is %s: is that how the source writes its ids?", ErrUnknownSubjects, len(canonical), shapes(canonical))
		}
		names, _ := ids.All(canonical)
		if out.Linked = len(names) - distinct(canonical); out.Linked > 0 {
			r.Log.Warn("sources.identities gives these people more ids than were asked for: what stands under those is erased too", "asked", len(canonical), "more", out.Linked)
		}
		if out.Known == 0 {
			return ids, nil
		}
		// Whoever goes on if this dies has no ids: what follows from these alone is done ahead of the request, which stands whatever comes of it.
		var fault error
		if before := r.heldBefore(names); len(before) > 0 {
			if fault = r.Online.Deny(ctx, before...); fault == nil {
				out.Online, fault = r.Online.Erase(ctx, before...)
			}
			if fault != nil {
				fault = fmt.Errorf("erase: online store: %w", fault)
			}
		}
		_, err = journal.Erase(ctx, r.Keys, ids, canonical, w.now, r.NewID(w.now))
		return ids, errors.Join(err, fault)
	})
}

// heldBefore are the online keys by which generations that were loaded before a rotation, or by another form of an id, hold people, by canonical id.
func (r *Runner) heldBefore(ids []string) (owners []string) {
	for _, id := range ids {
		for i, form := range event.Forms(id) {
			for _, k := range r.given() {
				if i > 0 || k.ID() != r.Keys.ID() {
					owners = append(owners, event.OnlineKey(k.ServingKey(), form))
				}
			}
		}
	}
	return owners
}

// distinct counts different ids.
func distinct(ids []string) int {
	return len(slices.Compact(slices.Sorted(slices.Values(ids))))
}

// carryOut does what stands in the journal, and what begin adds to it: begin journals a request under the erasure's lease, if nothing else is open it must, and returns
// the identity table, as far as it can be opened. canonical are the ids that the request names, if it names any.
func (r *Runner) carryOut(ctx context.Context, js []*Job, canonical []string, terms Terms, begin func(ctx context.Context, w *work, journal *event.Journal, out *Erased, open bool) (*event.Identities, error)) (*Erased, error) {
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
	journal.Wall = r.Wall
	holds, err := r.inForce(ctx)
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	open := func() []event.Entry {
		_, entries := journal.Pending()
		return slices.DeleteFunc(entries, func(e event.Entry) bool { return waits(e, holds) })
	}
	before := open()
	out := &Erased{Requested: len(canonical), Tables: map[string]int{}}
	ids, err := begin(ctx, w, journal, out, len(before) > 0)
	if err != nil {
		return out, err
	}
	names, _ := ids.All(canonical)
	entries := open()
	f := &forgetting{before: map[policy.Subject]int64{}, unfinished: map[string]bool{}, jobs: js, marks: r.marksOf(names, true)}
	for _, e := range entries {
		out.Epoch = e.Epoch
		f.forget(e)
	}
	var owners []string
	asked := f.asked()
	for _, s := range asked {
		if key, ok := ids.OnlineKey(s); ok {
			owners = append(owners, key)
		}
	}
	owners = append(owners, r.heldBefore(names)...)
	slices.Sort(owners)
	if err := r.Online.Deny(ctx, owners...); err != nil {
		return nil, fmt.Errorf("erase: online store: %w", err)
	}
	out.Denied = r.Wall().UTC()

	// A run that was about to commit when the erasure was asked for may have done so behind the first pass; none can behind the last.
	parts := 0
	if err := w.alone(ctx, func(ctx context.Context) error {
		for before := int64(-1); out.Rows != before; {
			before = out.Rows
			if err := w.eraseTables(ctx, f, out); err != nil {
				return err
			}
		}
		out.HeldBack, parts = f.heldBack(), out.Parts
		if err := w.sweepStaged(ctx, out); err != nil {
			return fmt.Errorf("erase: %w", err)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	out.removed("staged files", "files", "files that no table names were deleted", int64(out.Parts-parts))
	n, err := r.Online.Erase(ctx, owners...)
	if out.Online += n; err != nil {
		return nil, fmt.Errorf("erase: online store: %w", err)
	}
	out.removed("online store", "rows", "rows were taken out of every generation, live and kept; the key stays denied", int64(out.Online))
	if err := ids.Delete(ctx, asked...); err != nil {
		return nil, err
	}
	out.removed("identity table", "people", "rows were deleted", int64(len(asked)))
	drop := func(prefixes ...string) error {
		for _, prefix := range prefixes {
			n, uploads, err := w.dropVersions(ctx, prefix)
			if err != nil {
				return fmt.Errorf("erase: old versions: %w", err)
			}
			out.Staged += uploads
			out.removed("old versions of objects", "versions", "versions were deleted for good, unfinished uploads too", n)
		}
		return nil
	}
	if err := drop("identity/", "data/"); err != nil {
		return nil, err
	}
	redacted := 0
	for s := range f.before {
		if len(f.keptOf[s]) == 0 {
			redacted++
		}
	}
	out.removed("policy journal", "people", "subject numbers were replaced by marks", int64(redacted))
	out.Rewritten = r.Wall().UTC()
	if len(asked) > 0 { // else what was held back goes, and nothing has learned of it since
		if err := w.pendingAfterErasure(ctx, js, out); err != nil {
			return nil, err
		}
	}
	for _, h := range out.HeldBack {
		out.Pending = append(out.Pending, Pending{
			What: fmt.Sprintf("%s: %d rows, kept by legal hold %d", h.Store, h.Rows, h.Hold), Due: h.Until,
			why: h.Reason + "; nobody uses them, and they go with the first purge after the hold",
		})
	}
	// A receipt is kept ahead of the act that ends its erasure: whatever dies in between, an erasure that is done has one, or is named in that of a later one.
	with, err := w.endsWith(ctx, journal, entries)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		completes, own := with[e.Seq]
		if !own {
			continue
		}
		if err := w.close(ctx, journal, e, completes, f, out, func() *Receipt {
			resumed := len(completes) > 0 || slices.ContainsFunc(before, func(x event.Entry) bool { return x.Seq == e.Seq })
			return w.receiptOf(ctx, js, names, e, resumed, len(entries), out, terms)
		}); err != nil {
			return nil, err
		}
	}
	return out, drop(event.JournalPrefix)
}

// endsWith are, for each of the erasures that has a receipt of its own, those of before that end with it: they were interrupted, and all of their people were asked for
// again. Cost: a HEAD for each of those.
func (w *work) endsWith(ctx context.Context, journal *event.Journal, entries []event.Entry) (map[int][]event.Entry, error) {
	out, taken := map[int][]event.Entry{}, map[int]bool{}
	for _, e := range slices.Backward(entries) {
		if taken[e.Seq] {
			continue
		}
		out[e.Seq] = nil
		for _, x := range journal.Entries()[:e.Seq-1] {
			other := func(m event.Mark) bool { return !slices.Contains(e.Marks, m) }
			if x.Kind != event.KindErase || len(x.Marks) == 0 || taken[x.Seq] || slices.ContainsFunc(x.Marks, other) {
				continue
			}
			switch _, err := w.Bucket.Head(ctx, receiptKey(x.Epoch)); {
			case errors.Is(err, storage.ErrNotFound):
				taken[x.Seq], out[e.Seq] = true, append(out[e.Seq], x)
			case err != nil:
				return nil, fmt.Errorf("erase: receipts: %w", err)
			}
		}
	}
	return out, nil
}

// close ends an erasure and those that end with it, with one receipt: for good, or but for what holds keep. What they kept has a receipt of its own when it has gone.
func (w *work) close(ctx context.Context, journal *event.Journal, e event.Entry, with []event.Entry, f *forgetting, out *Erased, receipt func() *Receipt) error {
	end := func() error {
		for _, e := range append(slices.Clone(with), e) {
			people, holds := f.of(e)
			left := event.HeldBack{Since: out.Denied, Holds: holds}
			if e.Held != nil {
				left.Since = e.Held.Since
			}
			var err error
			if len(people) > 0 {
				err = journal.HoldBack(ctx, e.Seq, people, left)
			} else {
				err = journal.Finish(ctx, e.Seq, w.now)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	key, denied := receiptKey(e.Epoch), out.Denied
	if e.Held != nil {
		if people, _ := f.of(e); len(people) > 0 { // of another hold
			return end()
		}
		key, denied = heldReceiptKey(e.Epoch), e.Held.Since
	}
	x := receipt()
	x.Denied = denied
	for _, c := range with {
		x.Completes = append(x.Completes, CompletedErasure{c.Epoch, c.Requested()})
	}
	if err := w.keepReceipt(ctx, key, x); err != nil {
		return err
	}
	if err := end(); err != nil {
		return err
	}
	out.Receipts = append(out.Receipts, key)
	closed, err := w.closeRequests(ctx, RequestErase, slices.Concat(e.Marks, f.marks), OutcomeDone, key)
	out.Closed = append(out.Closed, closed...)
	return err
}

// receiptOf says what an erasure did.
func (w *work) receiptOf(ctx context.Context, js []*Job, canonical []string, e event.Entry, resumed bool, together int, out *Erased, terms Terms) *Receipt {
	x := &Receipt{
		Format: ReceiptFormat, Clock: receiptClock, Erasure: e.Epoch, Subjects: e.Marks, Requested: e.Requested(), Denied: out.Denied, Rewritten: out.Rewritten,
		Resumed: resumed, Together: together, Stores: []ErasedStore{}, Pending: []ErasedPending{}, Contact: terms.Contact, Encrypted: w.Encrypted, Revision: w.Revision,
		OutOf: OutOfScope{
			Why:     "raw sources belong to those who deliver them: they are read, and never written. Rows of before the request are left out whenever they are read again",
			Sources: out.OutOfSite, Files: []string{},
		},
		Keys: ReceiptKeys{
			ID: w.Keys.ID(), Source: terms.KeySource, Previous: []string{},
			Derived:  "marks and the signature come from keys of their own, HKDF-SHA256 of the project's secret with the labels rapport/1/erasure and rapport/1/signing",
			Rotation: "a secret that is replaced stays among the previous ones while a mark or a row needs it; its public signing key stays published",
		},
	}
	if e.At.Sub(x.Requested).Abs() > time.Minute { // the project's clock is another
		x.OutOf.Why += ": by the clock of this project, whose data are of another time, those of before " + e.At.UTC().Format(time.RFC3339)
	}
	for _, k := range w.Previous {
		x.Keys.Previous = append(x.Keys.Previous, k.ID())
	}
	if len(js) > 0 {
		x.Project = js[0].Project
	}
	for of, n := range out.stores {
		x.Stores = append(x.Stores, ErasedStore{Store: of[0], Unit: of[1], Method: of[2], Removed: n})
	}
	slices.SortFunc(x.Stores, func(a, b ErasedStore) int {
		return cmp.Or(strings.Compare(a.Store, b.Store), strings.Compare(a.Unit, b.Unit))
	})
	for _, p := range out.Pending {
		x.Pending = append(x.Pending, ErasedPending{What: p.What, Why: p.why, Due: p.Due, Contact: terms.Contact})
	}
	w.rawFiles(ctx, js, canonical, &x.OutOf)
	return x
}

// rawFiles lists the files of the sources that name people. A source that cannot be listed holds no erasure up: it is said. A key in which
// one of the ids stands is counted and not named.
func (w *work) rawFiles(ctx context.Context, js []*Job, canonical []string, out *OutOfScope) {
	seen := map[string]bool{}
	digest := sha256.New()
	list := func(set string, b storage.Bucket, pattern string) {
		if b == nil || pattern == "" || seen[set+" "+pattern] {
			return
		}
		seen[set+" "+pattern] = true
		for info, err := range storage.Glob(ctx, b, pattern) {
			if err != nil {
				out.Why += fmt.Sprintf(". The files of %s could not be listed", set)
				return
			}
			if out.Count++; len(out.Files) == maxReceiptFiles {
				fmt.Fprintln(digest, set+" "+info.Key)
				continue
			}
			line := set + " " + info.Key
			if slices.ContainsFunc(canonical, func(id string) bool { return strings.Contains(info.Key, id) }) {
				line = set + " (a key that holds an id)"
			}
			fmt.Fprintln(digest, line)
			out.Files = append(out.Files, line)
		}
	}
	for _, j := range js {
		list("events", j.Events.Bucket, j.Events.Path)
		for set, src := range j.ofPeople() {
			list(set, src.Bucket, src.Path)
		}
	}
	out.Digest = hex.EncodeToString(digest.Sum(nil))
}

// ofPeople yields the data sets beside the events that name people.
func (j *Job) ofPeople() iter.Seq2[string, *event.DataSet] {
	return func(yield func(string, *event.DataSet) bool) {
		sets := []struct {
			name string
			data *event.DataSet
		}{{"consent", j.Consent}, {"preferences", j.Preferences}}
		if j.Subjects != nil {
			sets = append(sets, struct {
				name string
				data *event.DataSet
			}{"subjects", &j.Subjects.Data})
		}
		if j.Cohorts != nil {
			sets = append(sets, struct {
				name string
				data *event.DataSet
			}{"cohorts", &j.Cohorts.Data})
		}
		for _, s := range sets {
			if s.data != nil && !yield(s.name, s.data) {
				return
			}
		}
	}
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
			out.Pending = append(out.Pending, Pending{
				What: fmt.Sprintf("model %s, versions %d to %d", j.Model.Name, versions[0].Number, versions[n-1].Number), Due: due,
				why: "they learned from these people among many others and hold no row of them; versions that are trained from now on do not",
			})
			live, err := reg.Live(ctx)
			if err != nil {
				return err
			}
			o := Owed{Epoch: out.Epoch, Since: out.Denied, Due: due, Through: versions[n-1].Number}
			if err := w.owe(ctx, j.Model.Name, oldestLive(live), o); err != nil {
				return err
			}
		}
	}
	slices.Sort(out.OutOfSite)
	out.OutOfSite = slices.Compact(out.OutOfSite)
	out.Pending = append(out.Pending, Pending{What: "views of items, in which the subjects were counted", Due: due, why: "counts over many people; the next build leaves these out"})
	if out.Staged > 0 {
		out.Pending = append(out.Pending, Pending{What: fmt.Sprintf("%d staged files, of runs that may be under way", out.Staged), Due: due, why: "they are too young to be told from a run's own; what is left of them is removed by the next erasure, or gc"})
	}
	if v, ok := w.Bucket.(storage.Versions); ok {
		if kept, err := v.Versioned(ctx); err == nil && kept {
			out.Pending = append(out.Pending, Pending{What: "copies that the store itself makes: replicas, backups, locked versions", Due: due, why: "the bucket keeps versions; what this program can list of them is removed, copies elsewhere are the operator's to remove"})
		}
	}
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
