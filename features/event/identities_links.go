package event

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// link is a declared link as the table keeps it: by it a change of the declaration is told, and steps without a key know which numbers
// are another's. It stands in the shard of its subject and goes with it.
type link struct {
	key     string         // under which mac is
	mac     mac            // of the alias
	subject policy.Subject // of the main id
	own     policy.Subject // that the alias had before it was linked; 0: none
}

func (l link) compare(o link) int {
	return cmp.Or(cmp.Compare(l.subject, o.subject), bytes.Compare(l.mac[:], o.mac[:]), cmp.Compare(l.key, o.key))
}

// Links of a shard of subjects are one object, little-endian:
//
//	"RPLK" | u16 version 1 or 2 | u16 number of key ids | each: u8 length, text
//	u32 rows | each: u64 subject number, u8 key, 16 bytes HMAC of the alias, u64 own number, ascending
//	in version 2 u64 intent | SHA-256 of all before
//
// Version 2 stands there while somebody is about to store other links (flushLinks). An intent is a number by chance, never 0: no two objects with one are equal.
const (
	linksPrefix = identityPrefix + "links/"

	// RelinksPrefix is where changes of links stand by which days are read again.
	RelinksPrefix = identityPrefix + "relinks/"

	linksMagic   = "RPLK"
	linksVersion = 2
	linksRow     = 8 + 1 + 16 + 8
)

func linksObject(shard int) string { return fmt.Sprintf("%s%02d.bin", linksPrefix, shard) }

// encodeLinks makes the object of a shard; intent 0: there is none.
func encodeLinks(links []link, intent uint64) ([]byte, error) {
	ids, version := map[string]int{}, uint16(1)
	if intent != 0 {
		version = 2
	}
	for _, l := range links {
		ids[l.key] = 0
	}
	if len(ids) > 256 {
		return nil, fmt.Errorf("links under %d key ids, more than 256: retire old keys", len(ids))
	}
	out := binary.LittleEndian.AppendUint16([]byte(linksMagic), version)
	out = appendKeyIDs(out, ids)
	out = binary.LittleEndian.AppendUint32(slices.Grow(out, len(links)*linksRow+44), uint32(len(links)))
	for _, l := range slices.SortedFunc(slices.Values(links), link.compare) {
		out = binary.LittleEndian.AppendUint64(out, uint64(l.subject))
		out = append(append(out, byte(ids[l.key])), l.mac[:]...)
		out = binary.LittleEndian.AppendUint64(out, uint64(l.own))
	}
	if intent != 0 {
		out = binary.LittleEndian.AppendUint64(out, intent)
	}
	if out = sealed(out); len(out) > maxShard {
		return nil, fmt.Errorf("%d links do not fit into the %d bytes of a shard: too many are declared", len(links), maxShard)
	}
	return out, nil
}

// decodeLinks reads what encodeLinks made.
func decodeLinks(shard int, data []byte) (links []link, intent uint64, err error) {
	body, version, err := unsealed(linksMagic, data)
	if err != nil {
		return nil, 0, err
	}
	if version > linksVersion {
		return nil, 0, fmt.Errorf("format %d was made by a newer rapport; this one reads up to %d", version, linksVersion)
	}
	ids, body, err := takeKeyIDs(body)
	if err != nil {
		return nil, 0, err
	}
	if version == 2 {
		if len(body) < 8 {
			return nil, 0, errShard
		}
		at := len(body) - 8
		if body, intent = body[:at], binary.LittleEndian.Uint64(body[at:]); intent == 0 {
			return nil, 0, errShard
		}
	}
	if version < 1 || len(body) < 4 || uint64(binary.LittleEndian.Uint32(body))*linksRow != uint64(len(body)-4) {
		return nil, 0, errShard
	}
	n := binary.LittleEndian.Uint32(body)
	body = body[4:]
	links = make([]link, 0, n)
	for range n {
		key := int(body[8])
		if key >= len(ids) || !policy.ValidName(ids[key]) {
			return nil, 0, errShard
		}
		l := link{ids[key], mac(body[9:25]), policy.Subject(binary.LittleEndian.Uint64(body)), policy.Subject(binary.LittleEndian.Uint64(body[25:]))}
		if l.subject == 0 || identityShard(l.subject) != shard || len(links) > 0 && links[len(links)-1].compare(l) >= 0 {
			return nil, 0, errShard
		}
		links, body = append(links, l), body[linksRow:]
	}
	return links, intent, nil
}

func (t *Identities) readLinks(ctx context.Context, shard int) (links []link, intent uint64, info storage.Info, err error) {
	key := linksObject(shard)
	data, info, err := storage.ReadAll(ctx, t.bucket, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, 0, storage.Info{}, nil
	}
	if err != nil {
		return nil, 0, info, err
	}
	if links, intent, err = decodeLinks(shard, data); err != nil {
		return nil, 0, info, fmt.Errorf("%s: %w", key, err)
	}
	return links, intent, info, nil
}

// updateLinks reads the links of a shard, lets edit make others of them, and stores these if nobody else was there meanwhile, else tries again. An intent that
// stands there is taken out: whoever has it looks at the rows anew.
func (t *Identities) updateLinks(ctx context.Context, shard int, edit func([]link) []link) error {
	key := linksObject(shard)
	for range maxRetries {
		before, intent, info, err := t.readLinks(ctx, shard)
		if err != nil {
			return err
		}
		after := edit(slices.Clone(before))
		slices.SortFunc(after, link.compare)
		if intent == 0 && slices.Equal(before, after) {
			return nil
		}
		body, err := encodeLinks(after, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if _, err = storage.Commit(ctx, t.bucket, key, body, replacing(info)); !errors.Is(err, storage.ErrPrecondition) {
			return err
		}
	}
	return fmt.Errorf("%s: other writers came first %d times: run again", key, maxRetries)
}

// Link declares which ids are other names of a person, from now on and in memory: Find and Number take an alias for the main id. nil: none are.
func (t *Identities) Link(l *Links) { t.links = l }

// Links returns the declared links, nil if none are.
func (t *Identities) Links() *Links { return t.links }

// Lost lists the ids of keys that were given up, ascending: whom they recognized is numbered anew.
func (t *Identities) Lost() []string { return slices.Sorted(maps.Keys(t.lost)) }

// Relinks lists the objects under RelinksPrefix, ascending, as they were when the table was opened.
func (t *Identities) Relinks() []string { return t.relinks }

// Relinked says how the declared links differ from those that the table was written with.
type Relinked struct {
	Added, Removed, Moved int
	// Subjects are the numbers under which rows may stand that are another's now, ascending: what an id had before it was linked, and those that an
	// id is no longer linked to.
	Subjects []policy.Subject
}

// Relink compares the declared links with those that the table was written with, and makes it hold the declared ones with the next Flush. Only
// links of people who have a number are kept: nobody is numbered for nothing. Where an alias alone has one, its main id gets one. Without a key it changes
// nothing. Cost: two HMACs a link.
func (t *Identities) Relink() (Relinked, error) {
	var out Relinked
	if len(t.keys) == 0 || t.links == nil && len(t.linked) == 0 {
		return out, nil
	}
	stored := map[macUnder]link{}
	t.mu.Lock()
	for _, l := range t.linked {
		stored[macUnder{t.keyIndex(l.key), l.mac}] = l
	}
	t.mu.Unlock()
	affected := map[policy.Subject]bool{}
	var want []link
	for _, alias := range t.links.sorted() {
		main := t.links.main[alias]
		subject, known, _ := t.own(main)
		own, had, m := t.own(alias)
		if !known && !had {
			continue
		}
		if !known {
			var err error
			if subject, err = t.Number(main); err != nil {
				return out, err
			}
		}
		now := link{t.keys[0].id, m, subject, own}
		want = append(want, now)
		was, linked := t.storedLink(stored, alias)
		switch {
		case !linked:
			out.Added++
		case was.subject != subject:
			out.Moved++
			affected[was.subject] = true
		}
		if had && was.own != own {
			affected[own] = true
		}
	}
	for _, l := range stored { // those that are declared no more
		out.Removed++
		affected[l.subject] = true
	}
	out.Subjects = slices.Sorted(maps.Keys(affected))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.linked, t.relinked = want, true
	return out, nil
}

// storedLink takes the link of an alias out of those that are stored, under whichever key it is.
func (t *Identities) storedLink(stored map[macUnder]link, alias string) (was link, ok bool) {
	for i, k := range t.keys {
		at := macUnder{t.index[i], macOf(k.store, alias)}
		if l, found := stored[at]; found {
			delete(stored, at)
			was, ok = l, true
		}
	}
	return was, ok
}

// flushLinks stores the declared links of the subjects whose rows are stored: of who was erased meanwhile no link is, and no number. An erasure deletes rows first and
// goes through links then. So an intent is written ahead of a look at the rows, and links are stored only where it stands yet: an erasure was done with the rows before
// the look, or it meets the intent and takes it out. Whoever dies in between leaves no link that an erasure has not seen. Cost: one GET a shard with links; where
// they are others two PUTs, and one GET a shard of rows.
func (t *Identities) flushLinks(ctx context.Context) error {
	t.mu.Lock()
	want, dirty := [identityShards][]link{}, t.relinked
	for _, l := range t.linked {
		want[identityShard(l.subject)] = append(want[identityShard(l.subject)], l)
	}
	t.mu.Unlock()
	if !dirty {
		return nil
	}
	var todo []int
	for shard, links := range want {
		slices.SortFunc(links, link.compare)
		if len(links) > 0 || t.linkShards[shard] {
			todo = append(todo, shard)
		}
	}
	for range maxRetries {
		var err error
		if todo, err = t.storeLinks(ctx, todo, &want); err != nil {
			return err
		}
		if len(todo) == 0 {
			t.mu.Lock()
			t.linked, t.relinked = slices.Concat(want[:]...), false
			t.mu.Unlock()
			return nil
		}
	}
	return fmt.Errorf("%s: other writers came first %d times: run again", linksPrefix, maxRetries)
}

// storeLinks stores the links of shards, of subjects who have rows, and leaves in want what it has stored. It returns the shards in which somebody else came first.
func (t *Identities) storeLinks(ctx context.Context, shards []int, want *[identityShards][]link) (again []int, err error) {
	intents := map[int]storage.Info{}
	var others []link
	for _, shard := range shards {
		info, changes, err := t.intend(ctx, shard, want[shard])
		if err != nil {
			return nil, err
		}
		if changes {
			intents[shard], others = info, append(others, want[shard]...)
		}
	}
	gone, err := t.rowless(ctx, others)
	if err != nil {
		return nil, err
	}
	for _, shard := range slices.Sorted(maps.Keys(intents)) {
		want[shard] = withoutGone(want[shard], gone)
		key := linksObject(shard)
		body, err := encodeLinks(want[shard], 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		switch _, err = storage.Commit(ctx, t.bucket, key, body, storage.Cond{IfMatch: intents[shard].ETag}); {
		case errors.Is(err, storage.ErrPrecondition):
			again = append(again, shard)
		case err != nil:
			return nil, err
		default:
			t.linkShards[shard] = true
		}
	}
	return again, nil
}

// intend writes beside the links of a shard that others are about to be stored there, and returns the object as it is then; false: they stand there already.
func (t *Identities) intend(ctx context.Context, shard int, want []link) (storage.Info, bool, error) {
	key := linksObject(shard)
	for range maxRetries {
		before, intent, info, err := t.readLinks(ctx, shard)
		if err != nil || intent == 0 && slices.Equal(before, want) {
			return info, false, err
		}
		body, err := encodeLinks(before, rand.Uint64()|1)
		if err != nil {
			return info, false, fmt.Errorf("%s: %w", key, err)
		}
		if info, err = storage.Commit(ctx, t.bucket, key, body, replacing(info)); !errors.Is(err, storage.ErrPrecondition) {
			return info, err == nil, err
		}
	}
	return storage.Info{}, false, fmt.Errorf("%s: other writers came first %d times: run again", key, maxRetries)
}

// withoutGone takes out the links of subjects, and what others' links say of them.
func withoutGone(links []link, gone map[policy.Subject]bool) []link {
	links = slices.DeleteFunc(slices.Clone(links), func(l link) bool { return gone[l.subject] })
	for i := range links {
		if gone[links[i].own] {
			links[i].own = 0
		}
	}
	return links
}

// rowless are the subjects of links, and those whom an alias was before, that have no row in the bucket. Cost: one GET a shard of theirs.
func (t *Identities) rowless(ctx context.Context, links []link) (map[policy.Subject]bool, error) {
	var of [identityShards][]policy.Subject
	for _, l := range links {
		for _, s := range []policy.Subject{l.subject, l.own} {
			if s != 0 {
				of[identityShard(s)] = append(of[identityShard(s)], s)
			}
		}
	}
	gone := map[policy.Subject]bool{}
	for shard, subjects := range of {
		if len(subjects) == 0 {
			continue
		}
		rows, _, err := t.readShard(ctx, shard)
		if err != nil {
			return nil, err
		}
		for _, s := range subjects {
			if _, stands := rows.find(s); !stands {
				gone[s] = true
			}
		}
	}
	return gone, nil
}

// deleteLinks removes the links of subjects, and what others' links say of them, in every shard: other processes may have stored links since this table was opened.
// Cost: one listing, and one GET a shard with links.
func (t *Identities) deleteLinks(ctx context.Context, gone map[policy.Subject]bool) error {
	t.mu.Lock()
	t.linked = withoutGone(t.linked, gone)
	t.mu.Unlock()
	stored := map[string]bool{}
	for info, err := range t.bucket.List(ctx, linksPrefix, storage.ListOpt{}) {
		if err != nil {
			return err
		}
		stored[info.Key] = true
	}
	for shard := range identityShards {
		if !stored[linksObject(shard)] {
			continue
		}
		if err := t.updateLinks(ctx, shard, func(links []link) []link { return withoutGone(links, gone) }); err != nil {
			return err
		}
	}
	return nil
}

// Merged returns the numbers that ids had before they were linked, with the number that their person has now. What stands under such a number is
// nobody's until it has been read again; an erasure of the person takes it along.
func (t *Identities) Merged() map[policy.Subject]policy.Subject {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[policy.Subject]policy.Subject{}
	for _, l := range t.linked {
		if l.own != 0 && l.own != l.subject {
			out[l.own] = l.subject
		}
	}
	return out
}

// All returns every id that the declared links give to the people with these canonical ids, sorted, and every number that stands for one of them,
// ascending: of whom the table does not know there is none.
func (t *Identities) All(canonicals []string) (ids []string, subjects []policy.Subject) {
	names := map[string]bool{}
	for _, id := range canonicals {
		names[id] = true
		for _, other := range t.links.others(id) {
			names[other] = true
		}
	}
	found := map[policy.Subject]bool{}
	for id := range names {
		if s, ok, _ := t.own(id); ok {
			found[s] = true
		}
		for s := range t.byOtherForm(id) {
			found[s] = true
		}
	}
	for own, s := range t.Merged() {
		if found[s] {
			found[own] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(found))
}

// byOtherForm yields the rows that another form of an id has beside that of the id itself: they were made when the two were two ids.
func (t *Identities) byOtherForm(canonical string) iter.Seq[policy.Subject] {
	return func(yield func(policy.Subject) bool) {
		for _, form := range Forms(canonical)[1:] {
			for i, k := range t.keys {
				t.mu.Lock()
				s, ok := t.people.find(macUnder{t.index[i], macOf(k.store, form)})
				t.mu.Unlock()
				if ok && !yield(s) {
					return
				}
			}
		}
	}
}

// Beside returns the other numbers that stand for the person with a canonical id, which has one: of rows that were made when another form of an id of theirs was another id.
// What a person says holds for these too. Nothing is looked up for ids in ASCII.
func (t *Identities) Beside(canonical string, number policy.Subject) (out []policy.Subject) {
	take := func(id string) {
		for s := range t.byOtherForm(id) {
			if s != number && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	take(canonical)
	if t.links != nil {
		for _, other := range t.links.others(canonical) {
			take(other)
		}
	}
	return out
}

// Knows reports whether the table has a number for the person with the canonical id, by that or any other of their ids.
func (t *Identities) Knows(canonical string) bool {
	for _, id := range append(t.links.others(canonical), canonical) {
		if _, ok, _ := t.own(id); ok {
			return true
		}
	}
	return false
}
