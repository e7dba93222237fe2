package event

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// JournalPrefix is where the policy journal stands in the bucket.
const JournalPrefix = "policy/journal/"

// The kinds of journal entries.
const (
	KindErase    = "erase"    // forget these subjects
	KindWithdraw = "withdraw" // these subjects withdrew from a purpose, outside any import
)

// Mark is an HMAC of a canonical id under an erasure key: all that is kept of an erased subject. It recognizes the subject if the id
// comes again and can be reversed by nobody without the key.
type Mark struct {
	KeyID string `json:"key_id"`
	MAC   string `json:"mac"` // 32 hexadecimal digits
}

// MarkOf returns the mark of a canonical id.
func MarkOf(k Keys, canonical string) Mark {
	m := macOf(k.erasure, canonical)
	return Mark{KeyID: k.id, MAC: hex.EncodeToString(m[:])}
}

// Entry is one entry of the policy journal, an object of its own.
type Entry struct {
	Format   int              `json:"format"` // 1, or 2 where something is held back
	Seq      int              `json:"seq"`    // 1, 2, …
	Kind     string           `json:"kind"`
	At       time.Time        `json:"at"`                 // when the subjects asked, by the project's clock: what is of before it counts no more
	Asked    *time.Time       `json:"asked,omitempty"`    // the same by the machine's clock, of which receipts tell; nil: nobody gave the journal one
	Epoch    int              `json:"epoch"`              // erasures up to and with this entry
	Purpose  string           `json:"purpose,omitempty"`  // of a withdrawal
	Marks    []Mark           `json:"marks,omitempty"`    // of an erasure, for ever; none: of people whom nobody can recognize, for their key was given up
	Key      string           `json:"key,omitempty"`      // the id of that key
	Subjects []policy.Subject `json:"subjects,omitempty"` // numbers, until they are redacted
	Finished *time.Time       `json:"finished,omitempty"` // when an erasure was done and its numbers were redacted
	Held     *HeldBack        `json:"held,omitempty"`     // an erasure is done but for rows that legal holds keep; Subjects are those who have some
	Nonce    string           `json:"nonce"`              // tells the writer's own entry from another's
}

// HeldBack says that an erasure is done but for rows that legal holds keep.
type HeldBack struct {
	Since time.Time `json:"since"` // when its people were denied
	Holds []int     `json:"holds"`
}

// The formats of entries. The second is the first with what is held back, by which alone older programs, which would remove it, would be misled.
const (
	entryPlain  = 1
	entryHeld   = 2
	entryFormat = entryHeld // the newest
)

// Requested is when the subjects asked, by the machine's clock as far as it was noted.
func (e *Entry) Requested() time.Time {
	if e.Asked != nil {
		return e.Asked.UTC()
	}
	return e.At.UTC()
}

// format is the oldest format that can say e.
func (e *Entry) format() int {
	if e.Held != nil {
		return entryHeld
	}
	return entryPlain
}

// Journal is the ordered list of what subjects asked for: one object an entry, created and never replaced, but for two changes: when an
// erasure is finished, the numbers of its subjects are redacted from every entry, so that only marks under the erasure-only key
// remain; and after a rotation marks of people whom a source still names are made anew under the current key (Remark). While it is pending an entry holds both: the marks suppress the raw id at the boundary from the first moment, the
// numbers let the steps behind the boundary, which have no key, leave the subject out.
type Journal struct {
	Wall func() time.Time // the machine's clock, for erasures that are appended; nil: it is not noted

	bucket  storage.Bucket
	entries []Entry
	infos   []storage.Info
}

// OpenJournal reads the journal. Its cost is one listing and one read an entry.
func OpenJournal(ctx context.Context, b storage.Bucket) (*Journal, error) {
	j := &Journal{bucket: b}
	if err := j.Refresh(ctx); err != nil {
		return nil, err
	}
	return j, nil
}

// Refresh reads the entries that were added or changed since the journal was last read.
func (j *Journal) Refresh(ctx context.Context) error {
	known := map[string]int{}
	for i, info := range j.infos {
		known[info.Key+"\n"+info.ETag] = i
	}
	var entries []Entry
	var infos []storage.Info
	for info, err := range j.bucket.List(ctx, JournalPrefix, storage.ListOpt{}) {
		if err != nil {
			return fmt.Errorf("read policy journal: %w", err)
		}
		if i, ok := known[info.Key+"\n"+info.ETag]; ok {
			entries, infos = append(entries, j.entries[i]), append(infos, j.infos[i])
			continue
		}
		e, read, err := j.read(ctx, info.Key)
		if err != nil {
			return fmt.Errorf("read policy journal: %w", err)
		}
		entries, infos = append(entries, e), append(infos, read)
	}
	for i, e := range entries {
		if e.Seq != i+1 {
			return fmt.Errorf("read policy journal: entry %d is missing: it must be restored, since it may hold an erasure", i+1)
		}
	}
	j.entries, j.infos = entries, infos
	return nil
}

func (j *Journal) read(ctx context.Context, key string) (Entry, storage.Info, error) {
	var e Entry
	body, info, err := storage.ReadAll(ctx, j.bucket, key)
	if err != nil {
		return e, info, err
	}
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return e, info, fmt.Errorf("%s is damaged: %w", key, err)
	}
	if head.Format > entryFormat {
		return e, info, fmt.Errorf("%s: format %d was made by a newer rapport; this one reads up to %d", key, head.Format, entryFormat)
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, info, fmt.Errorf("%s is damaged: %w", key, err)
	}
	switch {
	case e.Format != e.format():
		return e, info, fmt.Errorf("%s is damaged: format %d", key, e.Format)
	case key != journalKey(e.Seq):
		return e, info, fmt.Errorf("%s holds entry %d: it was moved", key, e.Seq)
	case e.Kind != KindErase && e.Kind != KindWithdraw:
		return e, info, fmt.Errorf("%s has the unknown kind %q: it was made by a newer rapport", key, e.Kind)
	}
	for _, m := range e.Marks {
		if b, err := hex.DecodeString(m.MAC); err != nil || len(b) != len(mac{}) || !policy.ValidName(m.KeyID) {
			return e, info, fmt.Errorf("%s is damaged: a mark is not 32 hexadecimal digits under a key id", key)
		}
	}
	return e, info, nil
}

func journalKey(seq int) string { return path.Join(JournalPrefix, fmt.Sprintf("%08d.json", seq)) }

// Entries returns the entries in order. The caller must not change them.
func (j *Journal) Entries() []Entry { return j.entries }

// Epoch is the number of erasures so far, finished or not.
func (j *Journal) Epoch() int {
	if n := len(j.entries); n > 0 {
		return j.entries[n-1].Epoch
	}
	return 0
}

// Erase appends the request to forget the subjects with these canonical ids, and with every id that is linked to them. Marks are made for all of
// them, known to the identity table or not, since a source may name them tomorrow; numbers stand in the entry for those that are known
// (len(Entry.Subjects)). at is when they asked; nonce is a text that no other call uses.
func (j *Journal) Erase(ctx context.Context, k Keys, ids *Identities, canonicals []string, at time.Time, nonce string) (Entry, error) {
	if k.IsZero() {
		return Entry{}, fmt.Errorf("journal an erasure: %w", ErrNoKey)
	}
	e := Entry{Kind: KindErase, At: at.UTC(), Nonce: nonce}
	names, subjects := ids.All(canonicals)
	for _, id := range names {
		e.Marks = append(e.Marks, MarkOf(k, id))
	}
	e.Subjects = subjects
	// Order by mark and number: the order of the ids would tell something about them.
	slices.SortFunc(e.Marks, func(a, b Mark) int { return strings.Compare(a.MAC, b.MAC) })
	return j.append(ctx, e)
}

// Remove appends the removal of subjects whom nobody can recognize, for their key, of this id, was given up: an erasure without marks.
func (j *Journal) Remove(ctx context.Context, keyID string, subjects []policy.Subject, at time.Time, nonce string) (Entry, error) {
	subjects = slices.Compact(slices.Sorted(slices.Values(subjects)))
	return j.append(ctx, Entry{Kind: KindErase, At: at.UTC(), Key: keyID, Subjects: subjects, Nonce: nonce})
}

// Withdraw appends the withdrawal of subjects from a purpose, effective at once.
func (j *Journal) Withdraw(ctx context.Context, purpose string, subjects []policy.Subject, at time.Time, nonce string) (Entry, error) {
	if !policy.ValidName(purpose) {
		return Entry{}, fmt.Errorf("journal a withdrawal: %q is no purpose name", purpose)
	}
	subjects = slices.Compact(slices.Sorted(slices.Values(subjects)))
	return j.append(ctx, Entry{Kind: KindWithdraw, At: at.UTC(), Purpose: purpose, Subjects: subjects, Nonce: nonce})
}

// append stores e as the next entry.
func (j *Journal) append(ctx context.Context, e Entry) (Entry, error) {
	if e.Nonce == "" {
		return Entry{}, errors.New("append to policy journal: the nonce is empty")
	}
	if e.Kind == KindErase && j.Wall != nil {
		now := j.Wall().UTC()
		e.Asked = &now
	}
	for range maxRetries {
		e.Format, e.Seq, e.Epoch = entryPlain, len(j.entries)+1, j.Epoch()
		if e.Kind == KindErase {
			e.Epoch++
		}
		body, err := json.Marshal(e)
		if err != nil {
			return Entry{}, fmt.Errorf("append to policy journal: %w", err)
		}
		info, err := storage.Commit(ctx, j.bucket, journalKey(e.Seq), body, storage.Cond{IfAbsent: true})
		if err == nil {
			j.entries, j.infos = append(j.entries, e), append(j.infos, info)
			return e, nil
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			return Entry{}, fmt.Errorf("append to policy journal: %w", err)
		}
		if err := j.Refresh(ctx); err != nil {
			return Entry{}, err
		}
	}
	return Entry{}, fmt.Errorf("append to policy journal: other writers came first %d times: run again", maxRetries)
}

// Pending returns the erasures that are not finished, for policy.Decide, and the entries that asked for them.
func (j *Journal) Pending() (erasures []policy.Erasure, entries []Entry) {
	for _, e := range j.entries {
		if e.Kind != KindErase || e.Finished != nil {
			continue
		}
		entries = append(entries, e)
		for _, s := range e.Subjects {
			erasures = append(erasures, policy.Erasure{Subject: s, At: e.At, Epoch: e.Epoch})
		}
	}
	return erasures, entries
}

// UnderWay reports whether an erasure is: rows that it has not come to yet may be read as if it had not been asked for. One that is done but for what legal
// holds keep is not.
func (j *Journal) UnderWay() bool {
	_, entries := j.Pending()
	return slices.ContainsFunc(entries, func(e Entry) bool { return e.Held == nil })
}

// Withdrawals returns the journal's withdrawals as records, for policy.Decide beside the imported ones.
func (j *Journal) Withdrawals() []policy.Record {
	var out []policy.Record
	for _, e := range j.entries {
		if e.Kind != KindWithdraw {
			continue
		}
		for _, s := range e.Subjects {
			out = append(out, policy.Record{
				Subject: s, Purpose: e.Purpose, State: policy.Withdrawn, Effective: e.At, Recorded: e.At,
				Source: "journal", ID: path.Base(journalKey(e.Seq)),
			})
		}
	}
	return out
}

// Finish redacts the numbers of an erasure's subjects from every entry of the journal and marks the entry as finished, last. Call it
// when nothing else holds the numbers any more. It can be repeated after a crash. Old versions of the objects, where the bucket keeps
// them, are the caller's to remove.
func (j *Journal) Finish(ctx context.Context, seq int, at time.Time) error {
	at = at.UTC()
	return j.redact(ctx, seq, nil, func(e *Entry) { e.Finished = &at })
}

// HoldBack redacts the numbers of an erasure's subjects, but for those of whom legal holds keep rows, and marks the entry as held, last: it stays
// pending, so that nothing of these subjects of before their erasure counts. Call it when nothing but what is held holds the numbers any more.
func (j *Journal) HoldBack(ctx context.Context, seq int, subjects []policy.Subject, h HeldBack) error {
	h.Since = h.Since.UTC()
	return j.redact(ctx, seq, subjects, func(e *Entry) { e.Held = &h })
}

// redact takes the numbers of an erasure's subjects, but for those of some, out of every entry, and changes its own, last.
func (j *Journal) redact(ctx context.Context, seq int, but []policy.Subject, change func(*Entry)) error {
	if err := j.Refresh(ctx); err != nil {
		return err
	}
	if seq < 1 || seq > len(j.entries) || j.entries[seq-1].Kind != KindErase {
		return fmt.Errorf("finish erasure: journal entry %d is no erasure", seq)
	}
	if j.entries[seq-1].Finished != nil {
		return nil
	}
	gone := map[policy.Subject]bool{}
	for _, s := range j.entries[seq-1].Subjects {
		gone[s] = !slices.Contains(but, s)
	}
	edit := func(i int, change func(*Entry)) error {
		e := j.entries[i]
		e.Subjects = slices.DeleteFunc(slices.Clone(e.Subjects), func(s policy.Subject) bool { return gone[s] })
		change(&e)
		e.Format = e.format()
		body, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("finish erasure %d: %w", seq, err)
		}
		info, err := storage.Commit(ctx, j.bucket, journalKey(e.Seq), body, storage.Cond{IfMatch: j.infos[i].ETag})
		if err != nil {
			return fmt.Errorf("finish erasure %d: redact journal entry %d: %w", seq, e.Seq, err)
		}
		j.entries[i], j.infos[i] = e, info
		return nil
	}
	for i := range j.entries {
		holds := slices.ContainsFunc(j.entries[i].Subjects, func(s policy.Subject) bool { return gone[s] })
		if i == seq-1 || !holds {
			continue
		}
		if err := edit(i, func(*Entry) {}); err != nil {
			return err
		}
	}
	return edit(seq-1, change)
}

// MarksByKey counts the marks of erased subjects under each key id. A key is needed while it has any: without it nobody of them is recognized.
func (j *Journal) MarksByKey() map[string]int {
	n := map[string]int{}
	seen := map[Mark]bool{}
	for _, e := range j.entries {
		for _, m := range e.Marks {
			if !seen[m] {
				seen[m] = true
				n[m.KeyID]++
			}
		}
	}
	return n
}

// Suppressions recognize erased subjects at the boundary. They are the marks of the journal's erasures and need no store of their own.
type Suppressions struct {
	ids  *Identities
	keys []Keys
	at   map[Mark]int64 // µs of the latest erasure
}

// Suppressions returns the marks of all erasures, finished or not, to be recognized under the keys of the table. It fails if a mark was made
// under a key that is not given: an erased subject would slip in. Marks under a key that was given up as lost (LostKey) recognize nobody; in
// their place nothing counts, from before the loss, of an id that has no row since.
func (j *Journal) Suppressions(ids *Identities) (*Suppressions, error) {
	s := &Suppressions{ids: ids, at: map[Mark]int64{}}
	used := j.MarksByKey()
	for _, e := range j.entries {
		for _, m := range e.Marks {
			if at, ok := s.at[m]; !ok || e.At.UnixMicro() > at {
				s.at[m] = e.At.UnixMicro()
			}
		}
	}
	for _, k := range ids.keys {
		if used[k.id] > 0 {
			s.keys = append(s.keys, k)
			delete(used, k.id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(used)) {
		if !ids.lost[id] {
			return nil, fmt.Errorf("suppressions: erased people are marked under key %q, which is not given, so they could not be told from new ones: after a rotation, start this with the project file that names the key; else name it among pseudonyms.previous. rapport keys check says more", id)
		}
	}
	return s, nil
}

// ErasedAt returns when the subject with the canonical id, or with another id that is linked to it, last asked to be forgotten, in µs since the epoch, and
// false if never. An id that a lost key may have recognized counts as erased when that key was given up. A nil *Suppressions recognizes nobody.
func (s *Suppressions) ErasedAt(canonical string) (int64, bool) {
	at, _, found := s.erased(canonical)
	return at, found
}

// erased is ErasedAt; marked says that the subject asked, and false that a key that was given up might have told.
func (s *Suppressions) erased(canonical string) (last int64, marked, found bool) {
	if s == nil {
		return 0, false, false
	}
	last = s.ids.before(canonical)
	found = last != 0
	look := func(id string) {
		for _, form := range Forms(id) {
			for _, k := range s.keys {
				at, ok := s.at[MarkOf(k, form)]
				if marked = marked || ok; ok && (!found || at > last) {
					last, found = at, true
				}
			}
		}
	}
	look(canonical)
	for _, other := range s.ids.links.others(canonical) {
		look(other)
	}
	return last, marked, found
}
