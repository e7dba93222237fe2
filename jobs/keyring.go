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
	// ErrSecret says that people who stand in the bucket are not recognized by the secrets that are given.
	ErrSecret = errors.New("the pseudonym secrets that are given do not fit the bucket")
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
	Same    string         `json:"same_as,omitempty"`    // the key id under which the secret that is given is known as well: from one to the other nothing was rotated
	Since   *time.Time     `json:"first_used,omitempty"` // nil: never, or before that was noted
	Retired *time.Time     `json:"retired,omitempty"`
	Lost    *event.LostKey `json:"lost,omitempty"`

	People      int      `json:"people"`        // who stand under it in the identity table
	Links       int      `json:"links"`         // declared links that stand under it
	Marks       int      `json:"marks"`         // of erased people who are recognized by it alone
	Requests    int      `json:"open_requests"` // of people who are known by it in the register
	Generations []uint64 `json:"generations"`   // live or kept, that may hold people under its online keys
	Receipts    int      `json:"receipts"`      // signed with it
	Published   bool     `json:"published"`     // its public signing key stands in the bucket, so that receipts can be checked without the secret
	MayRetire   bool     `json:"may_retire"`
	Why         []string `json:"needed_by"` // why it may not
	// Waiting are those of Marks whose erasure is not finished: a legal hold keeps rows, or it was interrupted.
	Waiting []WaitingMarks `json:"waiting"`

	known  bool      // the bucket was written with it
	marked time.Time // when the last erasure was asked for of those whose marks it recognizes
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
	secrets, records, err := r.secrets(ctx, slices.Collect(maps.Keys(published))...)
	if err != nil {
		return fail(err)
	}
	for _, s := range secrets {
		s.Requests, s.Receipts, s.Published = requests[s.ID], signed[s.ID], published[s.ID]
		if s.Retired == nil && (s.Lost == nil || s.Lost.Given) && (s.known || s.People > 0) {
			if s.Generations, err = r.generationsUnder(ctx, recordOf(records, s.ID)); err != nil {
				return fail(err)
			}
		}
		s.needs()
		out.Secrets = append(out.Secrets, s)
	}
	return out, nil
}

// secrets are the keys that the identity table and the journal know of, those that are given, and more by id: who stands under each. With them come the
// records of keys.
func (r *Runner) secrets(ctx context.Context, more ...string) ([]KeyState, []event.KeyRecord, error) {
	ids, err := event.OpenIdentities(ctx, r.Bucket, event.Keys{})
	if err != nil {
		return nil, nil, err
	}
	records, err := ids.KeyRecords(ctx)
	if err != nil {
		return nil, nil, err
	}
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return nil, nil, err
	}
	waiting, err := r.marksWaiting(ctx, journal)
	if err != nil {
		return nil, nil, err
	}
	rows, marks := ids.KeyRows(), journal.MarksByKey()
	for _, rec := range records {
		more = append(more, rec.ID)
	}
	for _, k := range r.given() {
		more = append(more, k.ID())
	}
	all := slices.Concat(more, slices.Collect(maps.Keys(rows)), slices.Collect(maps.Keys(marks)))
	slices.Sort(all)
	var out []KeyState
	for _, id := range slices.Compact(all) {
		s := r.stateOf(id, records)
		s.People, s.Marks = len(ids.Under(id)), marks[id]
		s.marked, _ = journal.LastMarked(id)
		s.Links = rows[id] - s.People
		for _, m := range waiting {
			if m.Key == id {
				s.Waiting = append(s.Waiting, m)
			}
		}
		out = append(out, s)
	}
	return out, records, nil
}

// given are the keys at hand, the current one first.
func (r *Runner) given() []event.Keys {
	return slices.DeleteFunc(append([]event.Keys{r.Keys}, r.Previous...), event.Keys.IsZero)
}

// stateOf is how one key is given, by what is known of keys.
func (r *Runner) stateOf(id string, records []event.KeyRecord) KeyState {
	rec, given := recordOf(records, id), r.given()
	s := KeyState{ID: id, Given: KeyNotGiven, Since: rec.Since, Retired: rec.Retired, Lost: rec.Lost, Generations: []uint64{}, Why: []string{}, Waiting: []WaitingMarks{}, known: rec.Check != ""}
	if i := slices.IndexFunc(given, func(k event.Keys) bool { return k.ID() == id }); i >= 0 {
		s.Given, s.Fits, s.Same = KeyPrevious, rec.Fits(given[i]), event.Twin(given[i], records, given)
		if id == r.Keys.ID() {
			s.Given = KeyCurrent
		}
	}
	return s
}

// recordOf is the record of a key, with its id alone if there is none.
func recordOf(records []event.KeyRecord, id string) event.KeyRecord {
	for _, rec := range records {
		if rec.ID == id {
			return rec
		}
	}
	return event.KeyRecord{ID: id}
}

// KeyProblems is Keyring's Problems without receipts, which stand in the way of no run. Cost: the identity table and the journal.
func (r *Runner) KeyProblems(ctx context.Context) ([]string, error) {
	all, _, err := r.secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return (&Keyring{Secrets: all}).Problems(), nil
}

// KeyFaults says what of KeyProblems the records of keys tell by themselves, without who stands under them: each with what to do. Cost: one GET.
func (r *Runner) KeyFaults(ctx context.Context) (out []string, err error) {
	records, err := event.ReadKeyRecords(ctx, r.Bucket)
	if err != nil {
		return nil, err
	}
	out = []string{}
	for _, k := range r.given() {
		s := r.stateOf(k.ID(), records)
		if fault := s.fault(); fault != "" {
			out = append(out, fault)
		}
	}
	for _, rec := range records {
		if s := r.stateOf(rec.ID, records); s.Given == KeyNotGiven && s.known && rec.Empty == nil && s.Retired == nil && s.Lost == nil {
			out = append(out, fmt.Sprintf("people may stand under %s, which is not given, and cannot be recognized then: name its secret among pseudonyms.previous; rapport keys check counts them, and says what to do if it is lost", rec.ID))
		}
	}
	return out, nil
}

// fitting refuses keys by which nobody would be recognized later (ErrSecret), ahead of what is written under them. Cost: one GET.
func (r *Runner) fitting(ctx context.Context) error {
	faults, err := r.KeyFaults(ctx)
	if err == nil && len(faults) > 0 {
		err = fmt.Errorf("%w: %s", ErrSecret, strings.Join(faults, "; "))
	}
	return err
}

// needs says what the key is needed by.
func (s *KeyState) needs() {
	add := func(n int, one, more string) {
		if n > 0 {
			s.Why = append(s.Why, plural(n, one, more))
		}
	}
	if s.Given == KeyCurrent {
		s.Why = append(s.Why, "it is the current key: rapport keys rotate begins another")
		return
	}
	if s.Retired != nil || s.Lost != nil && !s.Lost.Given {
		return
	}
	forget := ""
	if s.Given == KeyPrevious {
		forget = fmt.Sprintf("rapport keys retire %s --forget --why TEXT", s.ID)
	}
	switch {
	case s.Given == KeyNotGiven:
		add(s.People, "person stands under it and is not recognized", "people stand under it and are not recognized")
	case s.Lost != nil: // begun, and not done
		how := " left of those whom it alone recognized, and who were given up: " + forget + " goes on"
		add(s.People, "person is"+how, "people are"+how)
	default:
		how := " not reappeared since the rotation: rapport keys rotate looks for them in the sources; " + forget + " removes who stands in none"
		add(s.People, "person has"+how, "people have"+how)
	}
	if s.Lost == nil {
		marked := " marked under it, and only it recognizes them if they come again"
		if forget != "" {
			marked += fmt.Sprintf(": rapport keys rotate marks those anew who stand in a source; %s gives up the rest, and then nothing of an id without a row counts that is from before %s, the last of these erasures", forget, s.marked.UTC().Format("2006-01-02 15:04 UTC"))
		}
		left := s.Marks
		for _, m := range s.Waiting {
			left -= m.Marks
		}
		add(left, "erased person is"+marked, "erased people are"+marked)
		for _, m := range s.Waiting {
			s.Why = append(s.Why, m.String())
		}
	}
	s.Why = append(s.Why, s.kept()...)
	if n := len(s.Generations); n > 0 {
		word := map[bool]string{true: "generation", false: "generations"}[n == 1]
		s.Why = append(s.Why, fmt.Sprintf("%s %s of the online store may hold people under its online keys: each is dropped when newer ones have been published", word, numbers(s.Generations)))
	}
	s.MayRetire = len(s.Why) == 0
}

// kept says what the key is needed by that somebody can settle, beside people and generations.
func (s *KeyState) kept() (out []string) {
	const signed = " signed with it, and its public key is not published: rapport subject signing-keys publishes it"
	receipts := s.Receipts
	if s.Published {
		receipts = 0
	}
	for _, x := range []struct {
		n         int
		one, more string
	}{
		{s.Links, "declared link stands under it: the next run wraps it anew", "declared links stand under it: the next run wraps them anew"},
		{s.Requests, "open request names people under it: close it first", "open requests name people under it: close them first"},
		{receipts, "receipt is" + signed, "receipts are" + signed},
	} {
		if x.n > 0 {
			out = append(out, plural(x.n, x.one, x.more))
		}
	}
	return out
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
	var since *time.Time // of the current key
	for _, s := range k.Secrets {
		if s.Given == KeyCurrent {
			since = s.Since
		}
	}
	for _, s := range k.Secrets {
		if fault := s.fault(); fault != "" {
			out = append(out, fault)
		}
		if s.Given == KeyNotGiven && s.People+s.Marks > 0 && s.Lost == nil && since != nil && s.Since != nil && s.Since.After(*since) {
			out = append(out, fmt.Sprintf("people stand under %s, which came after the current key of this project file: it is of before a rotation. Start this with the project file that names %s", s.ID, s.ID))
			continue
		}
		if s.Given != KeyNotGiven && s.Fits {
			continue
		}
		if s.People > 0 {
			out = append(out, fmt.Sprintf("%s under %s and cannot be recognized: runs refuse, since no withdrawal or erasure of theirs could be applied. Name the secret among pseudonyms.previous; if it is lost, rapport purge --key %s --why TEXT removes them",
				plural(s.People, "person stands", "people stand"), s.ID, s.ID))
		}
		if s.Marks > 0 && s.Lost == nil {
			out = append(out, fmt.Sprintf("%s marked under %s and would not be recognized if they came again: runs refuse. Name the secret among pseudonyms.previous; if it is lost, rapport purge --key %s --why TEXT says so",
				plural(s.Marks, "erased person is", "erased people are"), s.ID, s.ID))
		}
	}
	if k.Orphaned > 0 {
		out = append(out, plural(k.Orphaned, "receipt is", "receipts are")+" signed under public keys that do not stand in the bucket: give the secrets of that time once more, and rapport subject signing-keys publishes them")
	}
	return out
}

// fault says what is wrong with a secret as it is given, and what to do; "" if nothing is.
func (s *KeyState) fault() string {
	switch {
	case s.Given != KeyNotGiven && !s.Fits:
		return fmt.Sprintf("the secret given as %s is not the one that the bucket was written with: give that one, or a new key id to the new one", s.ID)
	case s.Same != "" && !s.known:
		return fmt.Sprintf("the secret given as %s is that of %s: nothing would be rotated; give %s another one, as 32 random bytes", s.ID, s.Same, s.ID)
	case s.Given == KeyCurrent && s.Retired != nil:
		return fmt.Sprintf("%s is the current key, and was retired on %s: a new secret needs a key id of its own", s.ID, s.Retired.Format(time.DateOnly))
	case s.Given == KeyCurrent && s.Lost != nil:
		return fmt.Sprintf("%s is the current key, and was given up as lost on %s: a new secret needs a key id of its own", s.ID, s.Lost.At.Format(time.DateOnly))
	}
	return ""
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
	case s.Lost != nil && !s.Lost.Given:
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
	Wrapped int            `json:"wrapped"`    // people who stand under the current key now
	Marked  int            `json:"marked"`     // erased people whom the current key recognizes now
	Left    map[string]int `json:"left"`       // key id → people who stand under it yet
	Marks   int            `json:"marks_left"` // of erased people under previous keys, whom no source names now
	// Waiting are marks of erased people under previous keys beside these, whose erasure is not finished: nobody looked for them.
	Waiting []WaitingMarks `json:"waiting"`
}

// Rewrap reads the ids in the sources, the newest data set of people first, and wraps the rows of people who stand under previous keys anew, under the current one;
// marks of people who are erased, and stand in a source all the same, are made anew under it as well. It writes the identity table, those marks in the policy journal,
// and nothing else: numbers stay as they are, and so does what holds them. Runs wrap whoever reappears; who reappears in no
// source stays under the previous key. Cost: one column of the sources, all of it while there are marks that nobody is found for.
func (r *Runner) Rewrap(ctx context.Context, js []*Job) (*Rewrapped, error) {
	fail := func(err error) (*Rewrapped, error) { return nil, fmt.Errorf("wrap people anew: %w", err) }
	if r.Keys.IsZero() {
		return fail(event.ErrNoKey)
	}
	ids, err := r.identities(ctx)
	if err != nil {
		return fail(err)
	}
	out := &Rewrapped{Left: map[string]int{}, Waiting: []WaitingMarks{}}
	journal, err := event.OpenJournal(ctx, r.Bucket)
	if err != nil {
		return fail(err)
	}
	before, marks := r.underPrevious(ids), journal.Remarks(ids)
	if before > 0 || marks.Left() > 0 {
		ids.TryLinks(marks)
		for _, s := range idSources(js) {
			n, err := ids.Try(ctx, s.data, s.column, marks)
			if out.Rows += n; err != nil {
				return fail(err)
			}
		}
	}
	if err := ids.Flush(ctx); err != nil {
		return fail(err)
	}
	if err := journal.Remark(ctx, marks); err != nil {
		return fail(err)
	}
	out.Marked, out.Marks = marks.Found(), marks.Left()
	waiting, err := r.marksWaiting(ctx, journal)
	if err != nil {
		return fail(err)
	}
	for _, m := range waiting {
		if slices.ContainsFunc(r.Previous, func(k event.Keys) bool { return k.ID() == m.Key }) {
			out.Waiting = append(out.Waiting, m)
		}
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
