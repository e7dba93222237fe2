package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// PurgedKey says what became of a key that nobody has any more.
type PurgedKey struct {
	ID      string     `json:"key_id"`
	People  int        `json:"people"`                        // who could not be recognized, and were removed
	Marks   int        `json:"marks"`                         // of erased people, which recognize nobody any more
	Refused bool       `json:"refused"`                       // one of them had refused something
	Before  *time.Time `json:"unrecognized_before,omitempty"` // nothing counts from before it of an id that has no row by then
	Erased  *Erased    `json:"erased,omitempty"`              // nil: nobody stood under the key
	Done    *time.Time `json:"done_before,omitempty"`         // it had been given up then, and nothing was left to do now: People went at that time
	Hidden  *Hidden    `json:"hidden,omitempty"`              // nil: no generation can hold them under a key of before theirs
}

// Hidden is what became of generations that may hold people under keys of before the one that they stood under: they had been wrapped anew since, so that nobody can
// find their rows.
type Hidden struct {
	Dropped  []uint64         `json:"dropped"`            // generations that were kept for a rollback
	Fallback *online.Fallback `json:"fallback,omitempty"` // since the live one is such: everybody reads the list not based on profiling until it is ended
}

// PurgeKey gives up a key whose secret is lost, and removes the people whom it alone recognized: they are denied at once and erased from every store as
// by their own request, with a receipt, since nothing that they ask for could be applied to what is held of them. The key is sealed ahead of that; interrupted,
// it is taken up by the next PurgeKey or Erase.
//
// Whoever was known by the key and had refused something (an erasure, a withdrawal, a wish of their own) may come again unrecognized. So, where there is
// one such person, nothing that was recorded or done before the loss counts of an id that has no row by then: they need a basis that is recorded after it.
//
// It is refused (ErrKeyNeeded) where the secret is given, and ErrUnknownKey where nothing was made with the key.
func (r *Runner) PurgeKey(ctx context.Context, js []*Job, id, why string, terms Terms) (*PurgedKey, error) {
	fail := func(err error) (*PurgedKey, error) { return nil, fmt.Errorf("give up key %s: %w", id, err) }
	if err := r.mayBeLost(id); err != nil {
		return fail(err)
	}
	if strings.TrimSpace(why) == "" {
		return fail(fmt.Errorf("%w: say why", ErrBadRequest))
	}
	out, err := r.giveUp(ctx, js, id, why, terms, false)
	if err != nil {
		return fail(err)
	}
	return out, nil
}

// mayBeLost refuses a key that is given.
func (r *Runner) mayBeLost(id string) error {
	switch {
	case r.Keys.IsZero():
		return event.ErrNoKey
	case slices.ContainsFunc(r.given(), func(k event.Keys) bool { return k.ID() == id }):
		return fmt.Errorf("%w: the project file gives its secret: take it out of pseudonyms if that is not the right one; rapport keys retire seals a key that nothing needs, with --forget also one that alone recognizes some people", ErrKeyNeeded)
	}
	return nil
}

// KeyLoss is what would go with a key that is given up: beside what KeyState says of it, what would become of generations that may hold its people under keys of before theirs.
type KeyLoss struct {
	*KeyState
	Dropped  []uint64 `json:"would_drop"`                // generations that are kept for a rollback
	Fallback string   `json:"would_fall_back,omitempty"` // why the fallback would be turned on, since the live one is such; "": it would not
}

// LostKey says what PurgeKey of a key would find: who stands under it, what was made with it, and which generations would go. It changes nothing, and refuses what PurgeKey refuses. Cost: as
// Keyring.
func (r *Runner) LostKey(ctx context.Context, id string) (*KeyLoss, error) {
	fail := func(err error) (*KeyLoss, error) { return nil, fmt.Errorf("give up key %s: %w", id, err) }
	if err := r.mayBeLost(id); err != nil {
		return fail(err)
	}
	out, err := r.keyLoss(ctx, id)
	if err != nil {
		return fail(err)
	}
	return out, nil
}

func (r *Runner) keyLoss(ctx context.Context, id string) (*KeyLoss, error) {
	ring, err := r.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(ring.Secrets, func(s KeyState) bool { return s.ID == id })
	if i < 0 {
		return nil, ErrUnknownKey
	}
	out := &KeyLoss{KeyState: &ring.Secrets[i], Dropped: []uint64{}}
	if out.People == 0 {
		return out, nil // nobody is removed
	}
	records, err := event.ReadKeyRecords(ctx, r.Bucket)
	if err != nil {
		return nil, err
	}
	drop, fallback, err := r.hidden(ctx, records, id)
	out.Dropped, out.Fallback = append(out.Dropped, slices.Sorted(maps.Keys(drop))...), fallback
	return out, err
}

// ForgetKey gives up what a previous key alone recognizes, so that it can be retired (Retire) though its secret is at hand: as Rewrap it reads the sources first, and who
// stands in one is recognized by the current key from then on, erased people too. Who is left is denied and erased from every store as by their own request, with a
// receipt, and the marks that are left recognize nobody any more once the secret is gone.
//
// Nobody is profiled for it who would not have been: nothing counts, of an id that has no row by then, that is from before the last of these erasures, or of what these
// people had refused. That is its price for ids that nobody has seen by then. What it gives up: that such people are told apart (their events are counted among
// others that are left out, and who asks again is not told of the erasure before), and, of somebody erased who had come again, has a row and stands in no
// source by now, that files of before their erasure, delivered again, do not count.
//
// It is refused (ErrKeyNeeded), before anything is given up, where the key is the current one or is not given, while an erasure that is marked under it is not finished,
// and while open requests, declared links or receipts without a public key need it. Generations that may hold people under it do not refuse it: which they are is known
// once nobody stands under it; Retire waits for them. Interrupted, it is taken up by the next ForgetKey or Erase.
func (r *Runner) ForgetKey(ctx context.Context, js []*Job, id, why string, terms Terms) (*PurgedKey, error) {
	fail := func(err error) (*PurgedKey, error) {
		return nil, fmt.Errorf("forget what key %s recognizes: %w", id, err)
	}
	if strings.TrimSpace(why) == "" {
		return fail(fmt.Errorf("%w: say why", ErrBadRequest))
	}
	if err := r.mayBeForgotten(id); err != nil {
		return fail(err)
	}
	if _, err := r.Rewrap(ctx, js); err != nil {
		return fail(err)
	}
	if err := r.forgettable(ctx, id); err != nil {
		return fail(err)
	}
	out, err := r.giveUp(ctx, js, id, why, terms, true)
	if err != nil {
		return fail(err)
	}
	ids, err := event.OpenIdentities(ctx, r.Bucket, event.Keys{})
	if err == nil {
		err = r.noteEmpty(ctx, ids)
	}
	if err != nil {
		return fail(err)
	}
	return out, nil
}

// mayBeForgotten refuses a key that is no previous one, or is not given.
func (r *Runner) mayBeForgotten(id string) error {
	switch {
	case r.Keys.IsZero():
		return event.ErrNoKey
	case id == r.Keys.ID():
		return fmt.Errorf("%w: it is the current key: rapport keys rotate begins another", ErrKeyNeeded)
	case !slices.ContainsFunc(r.Previous, func(k event.Keys) bool { return k.ID() == id }):
		return fmt.Errorf("%w: its secret is not given: name it among pseudonyms.previous; if nobody has it any more, rapport purge --key %s --why TEXT", ErrKeyNeeded, id)
	}
	return nil
}

// ForgettableKey says what ForgetKey of a key would give up as things stand, and which generations would go: fewer people and marks, where the sources, which that reads first, hold some of
// them. It changes nothing, and refuses what ForgetKey refuses. Cost: as Keyring.
func (r *Runner) ForgettableKey(ctx context.Context, id string) (*KeyLoss, error) {
	fail := func(err error) (*KeyLoss, error) {
		return nil, fmt.Errorf("forget what key %s recognizes: %w", id, err)
	}
	if err := r.mayBeForgotten(id); err != nil {
		return fail(err)
	}
	if err := r.forgettable(ctx, id); err != nil {
		return fail(err)
	}
	out, err := r.keyLoss(ctx, id)
	if err != nil {
		return fail(err)
	}
	return out, nil
}

// forgettable refuses what would be done in vain: it says what keeps the key from being retired that neither ForgetKey nor time alone takes away.
func (r *Runner) forgettable(ctx context.Context, id string) error {
	ring, err := r.Keyring(ctx)
	if err != nil {
		return err
	}
	for _, s := range ring.Secrets {
		if why := s.kept(); s.ID == id && len(why) > 0 {
			return fmt.Errorf("%w, and nothing is given up yet: %s", ErrKeyNeeded, strings.Join(why, "; "))
		}
	}
	return nil
}

// giveUp seals a key, given or lost, and removes who stands under it.
func (r *Runner) giveUp(ctx context.Context, js []*Job, id, why string, terms Terms, given bool) (*PurgedKey, error) {
	fail := func(err error) (*PurgedKey, error) { return nil, err }
	ids, err := event.OpenIdentities(ctx, r.Bucket, event.Keys{})
	if err != nil {
		return fail(err)
	}
	ids.Now = r.Wall
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return fail(err)
	}
	records, err := ids.KeyRecords(ctx)
	if err != nil {
		return fail(err)
	}
	out := &PurgedKey{ID: id, Marks: journal.MarksByKey()[id]}
	gone := ids.Under(id)
	i := slices.IndexFunc(records, func(k event.KeyRecord) bool { return k.ID == id })
	switch {
	case i >= 0 && records[i].Lost != nil: // begun before, and perhaps not done
		out.People, out.Before = records[i].Lost.People, records[i].Lost.Before
		out.Refused = out.Before != nil
	case len(gone) == 0 && out.Marks == 0 && given: // nothing is to be given up
		return out, nil
	case len(gone) == 0 && out.Marks == 0 && i < 0:
		return fail(ErrUnknownKey)
	default:
		out.People = len(gone)
		if err := r.seal(ctx, js, ids, journal, out, gone, why, given); err != nil {
			return fail(err)
		}
	}
	_, pending := journal.Pending()
	if len(gone) == 0 && len(pending) == 0 {
		if i >= 0 && records[i].Lost != nil {
			out.Done = &records[i].Lost.At
		}
		return out, nil
	}
	if len(gone) > 0 {
		if out.Hidden, err = r.hide(ctx, records, id); err != nil {
			return fail(err)
		}
	}
	out.Erased, err = r.carryOut(ctx, js, nil, terms, func(ctx context.Context, w *work, journal *event.Journal, e *Erased, _ bool) (*event.Identities, error) {
		e.Requested, e.Known = len(gone), len(gone)
		asked := map[policy.Subject]bool{}
		_, entries := journal.Pending()
		for _, x := range entries {
			for _, s := range x.Subjects {
				asked[s] = true
			}
		}
		more := slices.DeleteFunc(slices.Clone(gone), func(s policy.Subject) bool { return asked[s] })
		if len(more) > 0 {
			if _, err := journal.Remove(ctx, id, more, w.now, r.NewID(w.now)); err != nil {
				return nil, err
			}
		}
		return ids, nil
	})
	if err != nil {
		return fail(err)
	}
	return out, nil
}

// KeyRemoval is what went with a key that was given up, by PurgeKey or ForgetKey: people whom it alone recognized.
type KeyRemoval struct {
	Key      string        `json:"key_id"` // "": it was not noted
	Why      string        `json:"why,omitempty"`
	Erasure  int           `json:"erasure"`
	At       time.Time     `json:"at"`
	Finished *time.Time    `json:"finished,omitempty"` // nil: it was interrupted, or legal holds keep rows
	Stores   []ErasedStore `json:"stores"`             // as the receipts have them
	Together int           `json:"together"`           // erasures that were carried out in one: Stores are of all
	Receipts []string      `json:"receipts"`
}

// KeyRemovals lists them, oldest first. Cost: the policy journal, and two GETs for each.
func (r *Runner) KeyRemovals(ctx context.Context) ([]KeyRemoval, error) {
	fail := func(err error) ([]KeyRemoval, error) {
		return nil, fmt.Errorf("what went with keys that were given up: %w", err)
	}
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return fail(err)
	}
	records, err := event.ReadKeyRecords(ctx, r.Bucket)
	if err != nil {
		return fail(err)
	}
	var out []KeyRemoval
	for _, e := range journal.Entries() {
		if e.Kind != event.KindErase || len(e.Marks) > 0 {
			continue
		}
		x := KeyRemoval{Key: e.Key, Erasure: e.Epoch, At: e.Requested(), Stores: []ErasedStore{}, Receipts: []string{}}
		if l := recordOf(records, e.Key).Lost; l != nil {
			x.Why = l.Why
		}
		for _, key := range []string{receiptKey(e.Epoch), heldReceiptKey(e.Epoch)} {
			body, _, err := storage.ReadAll(ctx, r.Bucket, key)
			if errors.Is(err, storage.ErrNotFound) {
				continue
			}
			var file struct {
				Receipt Receipt `json:"receipt"`
			}
			if err == nil {
				err = json.Unmarshal(body, &file)
			}
			if err != nil {
				return fail(fmt.Errorf("%s: %w", key, err))
			}
			x.Receipts, x.Stores, x.Together = append(x.Receipts, key), append(x.Stores, file.Receipt.Stores...), max(x.Together, file.Receipt.Together)
			if e.Finished != nil { // by the clock of the receipts
				x.Finished = &file.Receipt.Rewritten
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// hidden says what hide would do: which generations it drops, and under which key each may hold people, and why it turns the fallback on; "": it does not.
func (r *Runner) hidden(ctx context.Context, records []event.KeyRecord, id string) (drop map[uint64]string, fallback string, err error) {
	since := map[string]time.Time{}
	for _, k := range records {
		if k.Since != nil {
			since[k.ID] = *k.Since
		}
	}
	before := func(k event.KeyRecord) bool { return k.ID != id && k.Check != "" && since[k.ID].Before(since[id]) }
	keys, err := r.liveKeys(ctx)
	if err != nil {
		return nil, "", err
	}
	live, err := r.Online.Live(ctx)
	if err != nil && !errors.Is(err, online.ErrNoGeneration) {
		return nil, "", fmt.Errorf("online store: %w", err)
	}
	drop = map[uint64]string{}
	for _, k := range records {
		if !before(k) {
			continue
		}
		under, err := r.generationsUnder(ctx, k)
		if err != nil {
			return nil, "", err
		}
		for _, g := range under {
			if g != live.Generation {
				drop[g] = k.ID
			}
		}
		if slices.Contains(keys, k.ID) && fallback == "" {
			fallback = fmt.Sprintf("lists of people who were removed with key %s stand in it under %s, where nobody can find them: publish anew, then rapport online fallback off", id, k.ID)
		}
	}
	return drop, fallback, nil
}

// hide takes from the online store what it may hold of people under keys of before the one that is given up. It comes ahead of their removal: interrupted, it is
// done again.
func (r *Runner) hide(ctx context.Context, records []event.KeyRecord, id string) (*Hidden, error) {
	drop, fallback, err := r.hidden(ctx, records, id)
	if err != nil || len(drop) == 0 && fallback == "" {
		return nil, err
	}
	out := &Hidden{Dropped: slices.Sorted(maps.Keys(drop))}
	r.Log.Warn("generations of the online store may hold people who are removed under a key of before, where nobody can find them", "dropped", out.Dropped, "fallback", fallback != "")
	for _, g := range out.Dropped {
		if err := r.Online.Drop(ctx, g); err != nil {
			return nil, fmt.Errorf("drop generation %d, which may hold them under key %s: %w", g, drop[g], err)
		}
	}
	if fallback != "" {
		if out.Fallback, err = r.SetFallback(ctx, true, "rapport", fallback); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// seal writes down that a key is given up, and from when nothing counts of an id without a row.
func (r *Runner) seal(ctx context.Context, js []*Job, ids *event.Identities, journal *event.Journal, out *PurgedKey, gone []policy.Subject, why string, given bool) error {
	now := r.Now().UTC().Truncate(time.Microsecond)
	last, err := r.lastRefused(ctx, js, journal, gone)
	if err != nil {
		return err
	}
	erased, finished := journal.LastMarked(out.ID)
	if given && !finished {
		waiting, err := r.marksWaiting(ctx, journal)
		if err != nil {
			return err
		}
		var says []string
		for _, m := range waiting {
			if m.Key == out.ID {
				says = append(says, m.String())
			}
		}
		return fmt.Errorf("%w: %s", ErrKeyNeeded, strings.Join(says, "; "))
	}
	if erased.After(last) {
		last = erased
	}
	if out.Refused = !last.IsZero(); out.Refused {
		out.Before = &now
		if given && last.Before(now) { // nobody was lost meanwhile whose later refusals stand nowhere
			last = last.UTC()
			out.Before = &last
		}
	}
	return ids.EditKey(ctx, out.ID, func(k *event.KeyRecord) {
		k.Lost = &event.LostKey{At: now, Why: strings.TrimSpace(why), People: out.People, Marks: out.Marks, Before: out.Before, Given: given}
	})
}

// lastRefused is when one of the people last refused something that stands in the bucket alone and goes with them: by a withdrawal that no file of
// consent says again, a record of consent or a wish of their own; the zero time: never. Cost: the files of consent and every table of records are read.
func (r *Runner) lastRefused(ctx context.Context, js []*Job, journal *event.Journal, people []policy.Subject) (last time.Time, err error) {
	if len(people) == 0 {
		return last, nil
	}
	note := func(at time.Time) {
		if last.Before(at) {
			last = at
		}
	}
	of := map[policy.Subject]bool{}
	for _, s := range people {
		of[s] = true
	}
	denies := func(x policy.Record) bool { return !x.State.Valid() }
	for _, x := range journal.Withdrawals() {
		if of[x.Subject] && denies(x) {
			note(x.Recorded)
		}
	}
	again, err := r.withdrawnInFiles(ctx, js)
	if err != nil {
		return last, err
	}
	tables := table.Store{Bucket: r.Bucket}
	for c, err := range tables.List(ctx, "") {
		if err != nil {
			return last, err
		}
		m, ok := c.Outputs["records"]
		if !ok {
			continue
		}
		switch c.Step {
		case "consent", keptStep, saidInbox.step:
			lost := denies
			if c.Step == "consent" {
				lost = func(x policy.Record) bool { return x.Withdraws() && !again[withdrawalOf(x)] }
			}
			for x, err := range event.EachRecord(ctx, r.Bucket, m) {
				if err != nil {
					return last, err
				}
				if of[x.Subject] && lost(x) {
					note(x.Recorded)
				}
			}
		case "preferences", wishInbox.step:
			wishes, err := event.LoadPreferences(ctx, r.Bucket, m)
			if err != nil {
				return last, err
			}
			for _, x := range wishes {
				if of[x.Subject] {
					note(x.At)
				}
			}
		}
	}
	return last, nil
}

// withdrawal is what of a withdrawal stands in the files of a feed and in its snapshot alike: not whose it is, which nobody can tell any more.
type withdrawal struct {
	purpose             string
	state               policy.State
	effective, recorded int64 // µs
}

func withdrawalOf(x policy.Record) withdrawal {
	return withdrawal{x.Purpose, x.State, x.Effective.UnixMicro(), x.Recorded.UnixMicro()}
}

// withdrawnInFiles are the withdrawals that the files of consent hold now: whoever they are of, the next run reads them again.
func (r *Runner) withdrawnInFiles(ctx context.Context, js []*Job) (map[withdrawal]bool, error) {
	out := map[withdrawal]bool{}
	seen := map[string]bool{}
	for _, j := range js {
		if j.Consent == nil || j.Consent.Path == "" || seen[j.Consent.Path] {
			continue
		}
		seen[j.Consent.Path] = true
		ids, err := event.OpenIdentities(ctx, storage.NewMemory(nil), r.Keys) // of this reading alone
		if err != nil {
			return nil, err
		}
		read, err := event.ReadConsent(ctx, *j.Consent, ids, nil)
		if err != nil {
			return nil, err
		}
		for x := range read.Records.All() {
			if x.Withdraws() {
				out[withdrawalOf(x)] = true
			}
		}
	}
	return out, nil
}
