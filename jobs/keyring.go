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
	"github.com/rapport-ml/rapport/storage"
)

// Errors of keys.
var (
	// ErrUnknownKey says that nothing in the bucket was made with a key of this id.
	ErrUnknownKey = errors.New("no such key")
	// ErrKeyNeeded says that a key may not be retired, or not be given up.
	ErrKeyNeeded = errors.New("the key is needed")
)

// identities opens the identity table under the keys at hand, with the links that are declared as of now.
func (r *Runner) identities(ctx context.Context) (*event.Identities, error) {
	ids, err := event.OpenIdentities(ctx, r.Bucket, r.Keys, r.Previous...)
	if err != nil {
		return nil, err
	}
	ids.Now = r.Wall
	if r.LinkedBy != nil && !r.Keys.IsZero() {
		links, err := event.ReadLinks(ctx, *r.LinkedBy)
		if err != nil {
			return nil, err
		}
		ids.Link(links)
	}
	return ids, nil
}

// How a secret is given.
const (
	KeyCurrent  = "current"
	KeyPrevious = "previous"
	KeyNotGiven = "not given"
)

// KeyState is how it stands with one secret, from which the keys of the identity table, of online keys, of marks and of signatures come: what was made with
// them, and needs them yet.
type KeyState struct {
	ID      string         `json:"key_id"`
	Given   string         `json:"given"`                // KeyCurrent, KeyPrevious or KeyNotGiven
	Fits    bool           `json:"fits"`                 // the secret that is given is the one that the bucket was written with, as far as it was
	Since   *time.Time     `json:"first_used,omitempty"` // nil: never, or before that was noted
	Retired *time.Time     `json:"retired,omitempty"`
	Lost    *event.LostKey `json:"lost,omitempty"`

	People      int      `json:"people"`        // who stand under it in the identity table
	Links       int      `json:"links"`         // declared links that stand under it
	Marks       int      `json:"marks"`         // of erased people, for ever
	Requests    int      `json:"open_requests"` // of people who are known by it in the register
	Generations []uint64 `json:"generations"`   // live or kept, that may hold people under its online keys
	Receipts    int      `json:"receipts"`      // signed with it
	Published   bool     `json:"published"`     // its public signing key stands in the bucket, so that receipts can be checked without the secret
	MayRetire   bool     `json:"may_retire"`
	Why         []string `json:"needed_by"` // why it may not
}

// Keyring is how it stands with all keys of a project.
type Keyring struct {
	Secrets  []KeyState   `json:"secrets"`  // by key id
	Signing  []SigningKey `json:"signing"`  // public keys, oldest first; they are never taken out
	Orphaned int          `json:"orphaned"` // receipts whose public key is not published
}

// Keyring tells of every key that was ever used or is given what needs it. It changes nothing, and refuses nothing: what does not fit is told. Cost:
// the identity table, the journal, and one GET a receipt and a request.
func (r *Runner) Keyring(ctx context.Context) (*Keyring, error) {
	fail := func(err error) (*Keyring, error) { return nil, fmt.Errorf("keys: %w", err) }
	ids, err := event.OpenIdentities(ctx, r.Bucket, event.Keys{})
	if err != nil {
		return fail(err)
	}
	records, err := ids.KeyRecords(ctx)
	if err != nil {
		return fail(err)
	}
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return fail(err)
	}
	requests, err := r.openRequestsByKey(ctx)
	if err != nil {
		return fail(err)
	}
	out := &Keyring{}
	if out.Signing, err = r.publishedKeys(ctx); err != nil {
		return fail(err)
	}
	out.Signing = append([]SigningKey{}, out.Signing...)
	receipts, err := r.receiptsBySigner(ctx)
	if err != nil {
		return fail(err)
	}
	signed, published := map[string]int{}, map[string]bool{}
	for _, k := range out.Signing {
		published[k.Secret] = true
		signed[k.Secret] += receipts[k.ID]
		delete(receipts, k.ID)
	}
	for _, n := range receipts {
		out.Orphaned += n
	}
	known, rows, marks := map[string]event.KeyRecord{}, ids.KeyRows(), journal.MarksByKey()
	for _, rec := range records {
		known[rec.ID] = rec
	}
	all := map[string]bool{}
	for _, id := range slices.Concat(slices.Collect(maps.Keys(known)), slices.Collect(maps.Keys(rows)), slices.Collect(maps.Keys(marks)), slices.Collect(maps.Keys(published))) {
		all[id] = true
	}
	given := map[string]event.Keys{}
	for _, k := range append([]event.Keys{r.Keys}, r.Previous...) {
		if !k.IsZero() {
			given[k.ID()], all[k.ID()] = k, true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		rec := known[id]
		s := KeyState{
			ID: id, Given: KeyNotGiven, Since: rec.Since, Retired: rec.Retired, Lost: rec.Lost, People: len(ids.Under(id)), Marks: marks[id], Requests: requests[id],
			Receipts: signed[id], Published: published[id], Generations: []uint64{}, Why: []string{},
		}
		s.Links = rows[id] - s.People
		if k, ok := given[id]; ok {
			rec.ID, s.Given = id, KeyPrevious
			if s.Fits = rec.Fits(k); id == r.Keys.ID() {
				s.Given = KeyCurrent
			}
		}
		if s.Retired == nil && s.Lost == nil && (rec.Check != "" || s.People > 0) {
			if s.Generations, err = r.generationsUnder(ctx, rec); err != nil {
				return fail(err)
			}
		}
		s.needs()
		out.Secrets = append(out.Secrets, s)
	}
	return out, nil
}

// needs says what the key is needed by.
func (s *KeyState) needs() {
	add := func(n int, what string) {
		if n > 0 {
			s.Why = append(s.Why, fmt.Sprintf("%d %s", n, what))
		}
	}
	if s.Given == KeyCurrent {
		s.Why = append(s.Why, "it is the current key: rapport keys rotate begins another")
		return
	}
	if s.Retired != nil || s.Lost != nil {
		return
	}
	add(s.People, "people have not reappeared since the rotation: rapport keys rotate looks for them in the sources")
	add(s.Links, "declared links stand under it: the next run wraps them anew")
	add(s.Marks, "erased people are marked under it, and only it recognizes them if they come again")
	add(s.Requests, "open requests name people under it: close them first")
	if len(s.Generations) > 0 {
		s.Why = append(s.Why, fmt.Sprintf("generations %s of the online store may hold people under its online keys: each is dropped when newer ones have been published", numbers(s.Generations)))
	}
	if s.Receipts > 0 && !s.Published {
		add(s.Receipts, "receipts are signed with it, and its public key is not published: rapport subject signing-keys publishes it")
	}
	s.MayRetire = len(s.Why) == 0
}

// numbers joins numbers for people.
func numbers(of []uint64) string {
	var out []string
	for _, n := range of {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ", ")
}

// Problems are what stands in the way of runs, or of somebody's rights: each with what to do. None is as it should be.
func (k *Keyring) Problems() (out []string) {
	for _, s := range k.Secrets {
		switch {
		case s.Given != KeyNotGiven && !s.Fits:
			out = append(out, fmt.Sprintf("the secret given as %s is not the one that the bucket was written with: give that one, or a new key id to the new one", s.ID))
		case s.Given == KeyCurrent && s.Retired != nil:
			out = append(out, fmt.Sprintf("%s is the current key, and was retired on %s: a new secret needs a key id of its own", s.ID, s.Retired.Format(time.DateOnly)))
		case s.Given == KeyCurrent && s.Lost != nil:
			out = append(out, fmt.Sprintf("%s is the current key, and was given up as lost on %s: a new secret needs a key id of its own", s.ID, s.Lost.At.Format(time.DateOnly)))
		}
		if s.Given != KeyNotGiven && s.Fits {
			continue
		}
		if s.People > 0 {
			out = append(out, fmt.Sprintf("%d people stand under %s and cannot be recognized: runs refuse, since no withdrawal or erasure of theirs could be applied. Name the secret among pseudonyms.previous; if it is lost, rapport purge --key %s --why TEXT removes them", s.People, s.ID, s.ID))
		}
		if s.Marks > 0 && s.Lost == nil {
			out = append(out, fmt.Sprintf("%d erased people are marked under %s and would not be recognized if they came again: runs refuse. Name the secret among pseudonyms.previous; if it is lost, rapport purge --key %s --why TEXT says so", s.Marks, s.ID, s.ID))
		}
	}
	if k.Orphaned > 0 {
		out = append(out, fmt.Sprintf("%d receipts are signed under public keys that do not stand in the bucket: give the secrets of that time once more, and rapport subject signing-keys publishes them", k.Orphaned))
	}
	return out
}

// openRequestsByKey counts the open requests of the register under each key id.
func (r *Runner) openRequestsByKey(ctx context.Context) (map[string]int, error) {
	all, err := r.Requests(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, q := range all {
		under := map[string]bool{}
		for _, m := range q.Subjects {
			under[m.KeyID] = q.Closed == nil
		}
		for id, open := range under {
			if open {
				out[id]++
			}
		}
	}
	return out, nil
}

// receiptsBySigner counts the receipts in the bucket by the id of the public key under which they hold.
func (r *Runner) receiptsBySigner(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	for info, err := range r.Bucket.List(ctx, receiptPrefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("receipts: %w", err)
		}
		body, _, err := storage.ReadAll(ctx, r.Bucket, info.Key)
		if err != nil {
			return nil, fmt.Errorf("receipts: %w", err)
		}
		var file struct {
			Signature signature `json:"signature"`
		}
		if err := json.Unmarshal(body, &file); err != nil || file.Signature.KeyID == "" {
			return nil, fmt.Errorf("receipts: %s is damaged", info.Key)
		}
		out[file.Signature.KeyID]++
	}
	return out, nil
}

// generationsUnder lists the generations that may hold people under the online keys of a secret: all up to the newest that there was when no row stood under it any
// more. Numbers of generations only grow.
func (r *Runner) generationsUnder(ctx context.Context, rec event.KeyRecord) ([]uint64, error) {
	have, err := r.Online.Generations(ctx)
	if err != nil {
		return nil, fmt.Errorf("online store: %w", err)
	}
	out := []uint64{}
	for _, g := range slices.Sorted(maps.Keys(have)) {
		if rec.Empty == nil || g <= *rec.Empty {
			out = append(out, g)
		}
	}
	return out, nil
}

// noteEmpty writes down of previous keys that no row stands under them any more, or again one does: generations that are published from then on need them
// no longer.
func (r *Runner) noteEmpty(ctx context.Context, ids *event.Identities) error {
	if len(r.Previous) == 0 {
		return nil
	}
	records, err := ids.KeyRecords(ctx)
	if err != nil {
		return err
	}
	for _, rec := range records {
		previous := slices.ContainsFunc(r.Previous, func(k event.Keys) bool { return k.ID() == rec.ID })
		empty := len(ids.Under(rec.ID)) == 0
		if !previous || empty == (rec.Empty != nil) {
			continue
		}
		have, err := r.Online.Generations(ctx)
		if err != nil {
			return fmt.Errorf("online store: %w", err)
		}
		last := uint64(0)
		for g := range have {
			last = max(last, g)
		}
		if err := ids.EditKey(ctx, rec.ID, func(k *event.KeyRecord) {
			if k.Empty = nil; empty {
				k.Empty = &last
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// Retire seals a key that nothing needs any more: it is never used for another secret, and its secret may be destroyed. It is refused, with what needs it and how
// many of that (ErrKeyNeeded), while anything does. A key that is retired already stays so.
func (r *Runner) Retire(ctx context.Context, id string) (*KeyState, error) {
	ids, err := event.OpenIdentities(ctx, r.Bucket, event.Keys{})
	if err != nil {
		return nil, fmt.Errorf("retire key %s: %w", id, err)
	}
	if err := r.noteEmpty(ctx, ids); err != nil {
		return nil, fmt.Errorf("retire key %s: %w", id, err)
	}
	s, err := r.keyState(ctx, id)
	if err != nil || s.Retired != nil {
		return s, err
	}
	now := r.Wall().UTC().Truncate(time.Second)
	if err := ids.EditKey(ctx, id, func(k *event.KeyRecord) { k.Retired = &now }); err != nil {
		return nil, fmt.Errorf("retire key %s: %w", id, err)
	}
	// Somebody with an older project file may have written under it meanwhile; from now on nobody does.
	again, err := event.OpenIdentities(ctx, r.Bucket, event.Keys{})
	if err == nil && again.KeyRows()[id] > 0 {
		err = fmt.Errorf("%w: a process that still has it as its current key has written under it at this moment: give it the new project file, and retire the key then", ErrKeyNeeded)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("retire key %s: %w", id, err), ids.EditKey(ctx, id, func(k *event.KeyRecord) { k.Retired = nil }))
	}
	s.Retired, s.MayRetire = &now, false
	return s, nil
}

// keyState is the state of one key that may be retired, or is.
func (r *Runner) keyState(ctx context.Context, id string) (*KeyState, error) {
	ring, err := r.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(ring.Secrets, func(s KeyState) bool { return s.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("%w: nothing in the bucket was made with a key of this id", ErrUnknownKey)
	}
	switch s := ring.Secrets[i]; {
	case s.Lost != nil:
		return nil, fmt.Errorf("retire key %s: %w: it was given up as lost on %s", id, ErrKeyNeeded, s.Lost.At.Format(time.DateOnly))
	case !s.MayRetire && s.Retired == nil:
		return nil, fmt.Errorf("retire key %s: %w: %s", id, ErrKeyNeeded, strings.Join(s.Why, "; "))
	default:
		return &s, nil
	}
}

// Rewrapped says what a search for people who stand under previous keys came to.
type Rewrapped struct {
	Rows    int64          `json:"rows_read"`
	Wrapped int            `json:"wrapped"` // people who stand under the current key now
	Left    map[string]int `json:"left"`    // key id → people who stand under it yet
}

// Rewrap reads the ids in the sources, the newest data set of people first, and wraps the rows of people who stand under previous keys anew, under the current one.
// It writes the identity table and nothing else: numbers stay as they are, and so does what holds them. Runs do the same to whoever reappears; who reappears in no
// source stays under the previous key.
func (r *Runner) Rewrap(ctx context.Context, js []*Job) (*Rewrapped, error) {
	fail := func(err error) (*Rewrapped, error) { return nil, fmt.Errorf("wrap people anew: %w", err) }
	if r.Keys.IsZero() {
		return fail(event.ErrNoKey)
	}
	ids, err := r.identities(ctx)
	if err != nil {
		return fail(err)
	}
	out := &Rewrapped{Left: map[string]int{}}
	before := r.underPrevious(ids)
	if before > 0 {
		ids.TryLinks()
		for _, s := range idSources(js) {
			n, err := ids.Try(ctx, s.data, s.column)
			if out.Rows += n; err != nil {
				return fail(err)
			}
		}
	}
	if err := ids.Flush(ctx); err != nil {
		return fail(err)
	}
	for _, k := range r.Previous {
		if n := len(ids.Under(k.ID())); n > 0 {
			out.Left[k.ID()] = n
		}
	}
	out.Wrapped = before - r.underPrevious(ids)
	if err := r.noteEmpty(ctx, ids); err != nil {
		return fail(err)
	}
	return out, nil
}

func (r *Runner) underPrevious(ids *event.Identities) (n int) {
	for _, k := range r.Previous {
		n += len(ids.Under(k.ID()))
	}
	return n
}

// idSource is a data set with a column of people's ids.
type idSource struct {
	data   event.DataSet
	column string
}

// idSources are the data sets of jobs that name people, each once: small ones first, for whoever they name need not be looked for among the events.
func idSources(js []*Job) (out []idSource) {
	seen := map[string]bool{}
	add := func(d event.DataSet, column string) {
		if d.Bucket != nil && d.Path != "" && !seen[d.Path] {
			seen[d.Path] = true
			out = append(out, idSource{d, column})
		}
	}
	for _, j := range js {
		for _, d := range j.ofPeople() {
			add(*d, event.ColSubject)
		}
	}
	for _, j := range js {
		add(event.DataSet{Bucket: j.Events.Bucket, Path: j.Events.Path, Columns: map[string]string{event.ColSubject: j.Events.Subject}}, event.ColSubject)
	}
	return out
}
