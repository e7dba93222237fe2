package event

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"golang.org/x/sync/errgroup"
)

// ErrNoKey says that an operation needs the pseudonym key and the identity table was opened without one.
var ErrNoKey = errors.New("the pseudonym key is needed here: set it as the project file's pseudonyms.key says")

// Where the identity table stands, and how it is split: by the top bits of the subject number.
const (
	identityPrefix = "identity/"
	identityKeys   = identityPrefix + "keys.json"
	shardBits      = 6
	identityShards = 1 << shardBits
)

func identityShard(s policy.Subject) int { return int(s >> (64 - shardBits)) }
func identityObject(shard int) string    { return fmt.Sprintf("%s%02d.bin", identityPrefix, shard) }

// maxRetries bounds how often a conditional write is tried against other writers.
const maxRetries = 64

// Identities is the one meeting point of raw ids and subject numbers: a table in the bucket whose rows say which subject number an HMAC
// under the store key belongs to. It holds no raw id. All of it is held in memory, as it is stored: 42 bytes a subject, some 65 of who is new; it has room for some six
// million (64 shards, each one conditional single-part write). It is safe for concurrent use, and any number of processes may write one
// table: their rows are merged by conditional writes.
type Identities struct {
	Now func() time.Time // says when a key is first used; nil: it is not noted

	bucket storage.Bucket
	keys   []Keys // current first
	index  []uint8
	floors []int64
	lost   map[string]bool // key ids that were given up
	links  *Links          // nil: none are declared

	linkShards [identityShards]bool // those with an object of links
	relinks    []string

	mu     sync.Mutex
	keyIDs []string // key ids by index
	people *people
	rewrap map[policy.Subject]rewrap // rows that Flush has yet to wrap anew under the current key

	linked   []link // as stored, or as declared once Relink has compared them
	relinked bool   // and not stored yet
}

// rewrap is a row under a previous key, and what it is under the current one.
type rewrap struct {
	was macUnder
	now identity
}

// OpenIdentities loads the identity table of the bucket. Rows made under a previous key are found under it and wrapped anew under the
// current one at the next Flush, their number unchanged. With zero Keys and no previous ones the table can be read by number only
// (OnlineKeys, Delete). A table with rows under a key that is not given is refused (UnreachableError): its subjects would get a second number.
func OpenIdentities(ctx context.Context, b storage.Bucket, current Keys, previous ...Keys) (*Identities, error) {
	t := &Identities{bucket: b, people: newPeople(), rewrap: map[policy.Subject]rewrap{}}
	if !current.IsZero() {
		t.keys = append([]Keys{current}, previous...)
	}
	for i, k := range t.keys {
		if k.IsZero() || slices.ContainsFunc(t.keys[:i], func(o Keys) bool { return o.id == k.id }) {
			return nil, fmt.Errorf("open identity table: key id %q is given twice or without a secret", k.id)
		}
		t.index = append(t.index, t.keyIndex(k.id))
	}
	known, _, err := t.readKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("open identity table: %w", err)
	}
	t.floors, t.lost = known.floors(), known.lost()
	shards := make([]shardRead, identityShards)
	present := map[string]bool{}
	for info, err := range b.List(ctx, identityPrefix, storage.ListOpt{}) {
		if err != nil {
			return nil, fmt.Errorf("open identity table: %w", err)
		}
		if present[info.Key] = true; strings.HasPrefix(info.Key, RelinksPrefix) {
			t.relinks = append(t.relinks, info.Key)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range shards {
		if t.linkShards[i] = present[linksObject(i)]; t.linkShards[i] {
			g.Go(func() error {
				links, _, _, err := t.readLinks(gctx, i)
				t.mu.Lock()
				defer t.mu.Unlock()
				t.linked = append(t.linked, links...)
				return err
			})
		}
		if !present[identityObject(i)] {
			continue
		}
		g.Go(func() (err error) {
			shards[i], _, err = t.readShard(gctx, i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("open identity table: %w", err)
	}
	unreachable := map[string]int{}
	for i, read := range shards {
		for at, id := range read.ids {
			if n := read.under[at]; n > 0 && len(t.keys) > 0 && !slices.ContainsFunc(t.keys, func(k Keys) bool { return k.id == id }) {
				unreachable[id] += n
			}
		}
		t.take(i, read)
	}
	if len(unreachable) > 0 {
		return nil, fmt.Errorf("open identity table: %w", &UnreachableError{unreachable})
	}
	return t, nil
}

// keyIndex returns the index of a key id, adding it if it is new. There are at most 256; readShard checks.
func (t *Identities) keyIndex(id string) uint8 {
	if i := slices.Index(t.keyIDs, id); i >= 0 {
		return uint8(i)
	}
	t.keyIDs = append(t.keyIDs, id)
	return uint8(len(t.keyIDs) - 1)
}

// take makes memory hold what a shard holds.
func (t *Identities) take(shard int, read shardRead) {
	read.shardRows.keys = nil
	for _, id := range read.ids {
		read.shardRows.keys = append(read.shardRows.keys, t.keyIndex(id))
	}
	t.people.replace(shard, read.shardRows)
}

// Find returns the number of the subject with the canonical id, if the table has one. Without keys it finds nobody.
func (t *Identities) Find(canonical string) (policy.Subject, bool) {
	s, ok, _ := t.find(canonical)
	return s, ok
}

// find is Find, and returns the HMAC under the current key as well.
func (t *Identities) find(canonical string) (policy.Subject, bool, mac) {
	return t.own(t.links.Main(canonical))
}

// own is find of an id as itself, whoever it is linked to.
func (t *Identities) own(canonical string) (policy.Subject, bool, mac) {
	var current mac
	for i, k := range t.keys {
		m := macOf(k.store, canonical)
		if i == 0 {
			current = m
		}
		if s, ok := t.under(i, m, canonical, current); ok {
			return s, true, current
		}
	}
	for _, form := range Forms(canonical)[1:] {
		for i, k := range t.keys {
			if s, ok := t.under(i, macOf(k.store, form), canonical, current); ok {
				return s, true, current
			}
		}
	}
	return 0, false, current
}

// under returns the subject with an HMAC under key i. Who is found under a previous key, or by another form of their id, is wrapped anew at the next Flush, under the
// HMAC of the current one.
func (t *Identities) under(i int, m mac, canonical string, current mac) (policy.Subject, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := macUnder{t.index[i], m}
	s, ok := t.people.find(at)
	if _, waits := t.rewrap[s]; ok && m != current && !waits {
		r, _ := t.people.of(s)
		t.rewrap[s] = rewrap{at, identity{key: t.index[0], floor: r.floor, mac: current, online: macOf(t.keys[0].serving, canonical)}}
	}
	return s, ok
}

// Number returns the number of the subject with the canonical id, giving a new subject one: the first 8 bytes (big-endian) of
// the HMAC under the current store key, or the next number that is free, never 0. New rows are buffered: call Flush before committing data
// that holds the number. It fails with ErrNoKey on a table opened without keys.
func (t *Identities) Number(canonical string) (policy.Subject, error) {
	if len(t.keys) == 0 {
		return 0, ErrNoKey
	}
	canonical = t.links.Main(canonical)
	s, ok, m := t.own(canonical)
	if ok {
		return s, nil
	}
	online := macOf(t.keys[0].serving, canonical)
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.people.find(macUnder{t.index[0], m}); ok { // another goroutine was here meanwhile
		return s, nil
	}
	s = numberOf(m)
	for _, taken := t.people.of(s); taken || s == 0; _, taken = t.people.of(s) {
		s++
	}
	t.people.add(s, identity{key: t.index[0], floor: uint8(len(t.floors)), mac: m, online: online})
	return s, nil
}

// Len is the number of subjects in the table, buffered rows included.
func (t *Identities) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.people.n
}

// KeyRows counts the rows under each key id, of people and of links, buffered rows included: a key may be retired when no row needs it.
func (t *Identities) KeyRows() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := map[string]int{}
	for _, r := range t.people.all() {
		n[t.keyIDs[r.key]]++
	}
	for _, l := range t.linked {
		n[l.key]++
	}
	return n
}

// Under lists the subjects whose rows stand under a key, ascending.
func (t *Identities) Under(keyID string) (out []policy.Subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, r := range t.people.all() {
		if t.keyIDs[r.key] == keyID {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// before returns the time (µs) before which nothing counts of an id, for a key that may have recognized it is lost; 0: there is none. Who stood in the
// table when a key was lost had been recognized under another.
func (t *Identities) before(canonical string) int64 {
	if len(t.floors) == 0 {
		return 0
	}
	n := len(t.floors)
	if s, ok := t.Find(canonical); ok {
		t.mu.Lock()
		if r, ok := t.people.of(s); ok {
			n = min(n, int(r.floor))
		}
		t.mu.Unlock()
	}
	if n == 0 {
		return 0
	}
	return t.floors[n-1]
}

// KeyOf returns the id of the key under which somebody's row stands in the bucket, as far as this table knows; "": there is no row.
func (t *Identities) KeyOf(s policy.Subject) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.people.of(s)
	if !ok {
		return ""
	}
	return t.keyIDs[r.key]
}

// OnlineKeys returns the online key of every subject. It needs no secret. It holds about 100 bytes a subject.
func (t *Identities) OnlineKeys() map[policy.Subject]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[policy.Subject]string, t.people.n)
	for s, r := range t.people.all() {
		out[s] = hex.EncodeToString(r.online[:])
	}
	return out
}

// Subjects yields everybody in the table when it is begun, ascending. It holds the numbers of one shard.
func (t *Identities) Subjects() iter.Seq[policy.Subject] {
	return func(yield func(policy.Subject) bool) {
		var some []policy.Subject
		for shard := range identityShards {
			t.mu.Lock()
			some = some[:0]
			for s := range t.people.inShard(shard) {
				some = append(some, s)
			}
			t.mu.Unlock()
			slices.Sort(some)
			for _, s := range some {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// HavingOnlineKeys returns the subjects whose online keys are among some. It holds these; a key that is none is nobody's.
func (t *Identities) HavingOnlineKeys(keys map[string]bool) map[policy.Subject]bool {
	wanted := make(map[mac]bool, len(keys))
	for k := range keys {
		var m mac
		if len(k) != hex.EncodedLen(len(m)) {
			continue
		}
		if _, err := hex.Decode(m[:], []byte(k)); err == nil {
			wanted[m] = true
		}
	}
	out := map[policy.Subject]bool{}
	if len(wanted) == 0 {
		return out
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, r := range t.people.all() {
		if wanted[r.online] {
			out[s] = true
		}
	}
	return out
}

// OnlineKey returns the online key of one subject, and false if the table has none.
func (t *Identities) OnlineKey(s policy.Subject) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.people.of(s)
	return hex.EncodeToString(r.online[:]), ok
}

// Flush stores the buffered rows: one read and one conditional write a shard that changed. Rows that other processes stored meanwhile
// are kept and taken over, and rows that were erased meanwhile are not stored again. If it fails, the rows stay
// buffered and Flush can be called again.
func (t *Identities) Flush(ctx context.Context) error {
	t.mu.Lock()
	var work [identityShards]bool
	dirty := len(t.rewrap) > 0
	for s := range t.rewrap {
		work[identityShard(s)] = true
	}
	for i, fresh := range t.people.fresh {
		if len(fresh) > 0 {
			work[i], dirty = true, true
		}
	}
	t.mu.Unlock()
	if !dirty {
		if err := t.flushLinks(ctx); err != nil {
			return fmt.Errorf("flush identity table: %w", err)
		}
		return nil
	}
	if len(t.keys) == 0 {
		return fmt.Errorf("flush identity table: %w", ErrNoKey)
	}
	if err := t.registerKey(ctx); err != nil {
		return fmt.Errorf("flush identity table: %w", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, changed := range work {
		if changed {
			g.Go(func() error { return t.flushShard(gctx, i) })
		}
	}
	err := g.Wait()
	if err == nil {
		err = t.flushLinks(ctx)
	}
	if err != nil {
		return fmt.Errorf("flush identity table: %w", err)
	}
	return nil
}

// flushShard stores what is new in a shard, and makes memory hold what stands there then.
func (t *Identities) flushShard(ctx context.Context, shard int) error {
	t.mu.Lock()
	fresh, rewraps := maps.Clone(t.people.fresh[shard]), map[policy.Subject]rewrap{}
	for s, c := range t.rewrap {
		if identityShard(s) == shard {
			rewraps[s] = c
		}
	}
	t.mu.Unlock()
	read, err := t.updateShard(ctx, shard, func(rows map[policy.Subject]wireIdentity) error { return t.apply(rows, fresh, rewraps) })
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, c := range rewraps {
		if t.rewrap[s] == c {
			delete(t.rewrap, s)
		}
	}
	t.take(shard, read)
	return nil
}

// apply brings changes into the stored rows of a shard.
func (t *Identities) apply(rows map[policy.Subject]wireIdentity, fresh map[policy.Subject]identity, rewraps map[policy.Subject]rewrap) error {
	taken := func(s policy.Subject) error {
		return fmt.Errorf("subject %s: another process gave this number to another subject meanwhile: run again", s)
	}
	for s, r := range fresh {
		stored, ok := rows[s]
		switch mine := t.wire(r); {
		case !ok:
			rows[s] = mine
		case stored.key != mine.key || stored.mac != mine.mac:
			return taken(s)
		}
	}
	for s, c := range rewraps {
		stored, ok := rows[s]
		if !ok {
			continue // erased meanwhile
		}
		mine := t.wire(c.now)
		if stored.mac != c.was.mac && stored.mac != mine.mac {
			return taken(s)
		}
		mine.floor = stored.floor
		rows[s] = mine
	}
	return nil
}

// wire is a row as it is stored.
func (t *Identities) wire(r identity) wireIdentity {
	t.mu.Lock()
	defer t.mu.Unlock()
	return wireIdentity{key: t.keyIDs[r.key], floor: r.floor, mac: r.mac, online: r.online}
}

// Delete removes the rows of subjects from the bucket and from memory, as the last act of their erasure. It needs no key. Numbers that
// the table does not hold are no error. Old versions of the objects, where the bucket keeps them, are the caller's to remove.
func (t *Identities) Delete(ctx context.Context, subjects ...policy.Subject) error {
	byShard := map[int][]policy.Subject{}
	for _, s := range subjects {
		byShard[identityShard(s)] = append(byShard[identityShard(s)], s)
	}
	for _, shard := range slices.Sorted(maps.Keys(byShard)) {
		gone := byShard[shard]
		t.mu.Lock()
		for _, s := range gone {
			delete(t.rewrap, s)
			t.people.remove(s)
		}
		t.mu.Unlock()
		_, err := t.updateShard(ctx, shard, func(rows map[policy.Subject]wireIdentity) error {
			for _, s := range gone {
				delete(rows, s)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("delete from identity table: %w", err)
		}
	}
	gone := map[policy.Subject]bool{}
	for _, s := range subjects {
		gone[s] = true
	}
	if err := t.deleteLinks(ctx, gone); err != nil {
		return fmt.Errorf("delete from identity table: %w", err)
	}
	return nil
}

// replacing is the condition that an object is still what was read, or still absent.
func replacing(read storage.Info) storage.Cond {
	if read.ETag == "" {
		return storage.Cond{IfAbsent: true}
	}
	return storage.Cond{IfMatch: read.ETag}
}
