package event

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
)

// keysFormat is the format of identity/keys.json. Format 1 held check values alone.
const keysFormat = 2

// KeyRecord is what the bucket knows of a secret, by the id of its keys: nothing of the secret itself. It is never taken out, so that a key id is
// not used for another secret later.
type KeyRecord struct {
	ID      string     `json:"-"`
	Check   string     `json:"check,omitempty"`   // by which two holders of the id can tell whether they hold the same secret: 16 hexadecimal digits; "": it was given up before it was written with
	Since   *time.Time `json:"since,omitempty"`   // when it was first written with; nil: before that was noted
	Empty   *uint64    `json:"empty,omitempty"`   // no row stands under it since this online generation, the newest at that time
	Retired *time.Time `json:"retired,omitempty"` // nothing needs it any more since
	Lost    *LostKey   `json:"lost,omitempty"`    // nobody has the secret any more
}

// LostKey says what went with a secret that nobody has, or whose people were given up so that it could be retired.
type LostKey struct {
	At     time.Time `json:"at"`
	Why    string    `json:"why"`
	People int       `json:"people"` // who could not be recognized any more, and were removed
	Marks  int       `json:"marks"`  // of erased people, which recognize nobody any more
	// Before is set where somebody whom the key recognized had refused something, by an erasure or by a wish of their own. Whoever has no row then may be one
	// of them: nothing that was recorded or done by an id without a row counts from before it.
	Before *time.Time `json:"before,omitempty"`
	// Given says that the secret was at hand: what it alone recognized was given up so that the key can be retired.
	Given bool `json:"given,omitempty"`
}

// keyRegister is the body of identity/keys.json.
type keyRegister struct {
	Format int                  `json:"format"`
	Keys   map[string]KeyRecord `json:"keys"`
}

// decodeKeys reads identity/keys.json, of any format so far.
func decodeKeys(body []byte) (keyRegister, error) {
	var head struct {
		Format int                        `json:"format"`
		Keys   map[string]json.RawMessage `json:"keys"`
	}
	damaged := fmt.Errorf("%s is damaged", identityKeys)
	if err := json.Unmarshal(body, &head); err != nil {
		return keyRegister{}, damaged
	}
	if head.Format > keysFormat {
		return keyRegister{}, fmt.Errorf("%s: format %d was made by a newer rapport; this one reads up to %d", identityKeys, head.Format, keysFormat)
	}
	if head.Format < 1 || head.Keys == nil || len(head.Keys) > 256 {
		return keyRegister{}, damaged
	}
	out := keyRegister{Format: keysFormat, Keys: map[string]KeyRecord{}}
	for id, raw := range head.Keys {
		var r KeyRecord
		into := any(&r)
		if head.Format == 1 {
			into = &r.Check
		}
		err := json.Unmarshal(raw, into)
		if check, bad := hex.DecodeString(r.Check); err != nil || bad != nil || len(check) != 8 && r.Check != "" || !policy.ValidName(id) {
			return keyRegister{}, damaged
		}
		r.ID = id
		out.Keys[id] = r
	}
	return out, nil
}

// readKeys reads what is known of keys, and holds those at hand against it.
func (t *Identities) readKeys(ctx context.Context) (keyRegister, storage.Info, error) {
	body, info, err := storage.ReadAll(ctx, t.bucket, identityKeys)
	c := keyRegister{Format: keysFormat, Keys: map[string]KeyRecord{}}
	if errors.Is(err, storage.ErrNotFound) {
		info = storage.Info{}
	} else if err == nil {
		c, err = decodeKeys(body)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return keyRegister{}, info, err
	}
	for i, k := range t.keys {
		r, known := c.Keys[k.id]
		switch {
		case !known:
			// A twin that the table was written with already stays readable: refused, its marks would recognize nobody.
			if twin := Twin(k, slices.Collect(maps.Values(c.Keys)), t.keys); twin != "" {
				return c, info, fmt.Errorf("key %s: its secret is that of key %s: one secret has one key id, and a rotation begins another secret", k.id, twin)
			}
		case !r.Fits(k):
			return c, info, fmt.Errorf("key %s: its secret is not the one that this table was made with: give the old secret, or a new key id to the new one", k.id)
		case i == 0 && r.Lost != nil && !r.Lost.Given:
			return c, info, fmt.Errorf("key %s was given up as lost on %s: it may stand among the previous keys, and a new secret needs a key id of its own", k.id, r.Lost.At.Format(time.DateOnly))
		case i == 0 && r.Lost != nil:
			return c, info, fmt.Errorf("key %s: what it recognized was given up on %s: a new secret needs a key id of its own", k.id, r.Lost.At.Format(time.DateOnly))
		case i == 0 && r.Retired != nil:
			return c, info, fmt.Errorf("key %s was retired on %s: a new secret needs a key id of its own", k.id, r.Retired.Format(time.DateOnly))
		}
	}
	return c, info, nil
}

// updateKeys changes what is known of keys, and tries again where somebody else came first. edit says whether anything is another.
func (t *Identities) updateKeys(ctx context.Context, edit func(keyRegister) (bool, error)) error {
	for range maxRetries {
		c, info, err := t.readKeys(ctx)
		if err != nil {
			return err
		}
		if changed, err := edit(c); err != nil || !changed {
			return err
		}
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if _, err = storage.Commit(ctx, t.bucket, identityKeys, body, replacing(info)); !errors.Is(err, storage.ErrPrecondition) {
			return err
		}
	}
	return fmt.Errorf("%s: %d other writers came first: run again", identityKeys, maxRetries)
}

// registerKey stores the record of the current key if it is new.
func (t *Identities) registerKey(ctx context.Context) error {
	return t.updateKeys(ctx, func(c keyRegister) (bool, error) {
		k := t.keys[0]
		if _, ok := c.Keys[k.id]; ok {
			return false, nil
		}
		r := KeyRecord{ID: k.id, Check: k.check()}
		if t.Now != nil {
			now := t.Now().UTC().Truncate(time.Microsecond) // keys that follow each other within a second are told apart
			r.Since = &now
		}
		c.Keys[k.id] = r
		return true, nil
	})
}

// KeyRecords returns what the bucket knows of every key that the table was ever written with, by id.
func (t *Identities) KeyRecords(ctx context.Context) ([]KeyRecord, error) {
	c, _, err := t.readKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("keys of the identity table: %w", err)
	}
	return slices.SortedFunc(maps.Values(c.Keys), func(a, b KeyRecord) int { return strings.Compare(a.ID, b.ID) }), nil
}

// ReadKeyRecords is KeyRecords without the table. It holds no keys against them. Cost: one GET.
func ReadKeyRecords(ctx context.Context, b storage.Bucket) ([]KeyRecord, error) {
	return (&Identities{bucket: b}).KeyRecords(ctx)
}

// Twin returns the key id under which the secret of k is known already, or given beside them: the first one that is not theirs, "" if there is none.
func Twin(k Keys, records []KeyRecord, given []Keys) string {
	var ids []string
	for _, r := range records {
		if r.ID != k.id && r.Check == k.check() {
			ids = append(ids, r.ID)
		}
	}
	for _, o := range given {
		if o.id != k.id && o.check() == k.check() {
			ids = append(ids, o.id)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return slices.Min(ids)
}

// Fits reports whether k are keys of the secret that the record is of.
func (r KeyRecord) Fits(k Keys) bool { return r.ID == k.id && (r.Check == "" || r.Check == k.check()) }

// EditKey changes the record of a key, as another may at the same time. A key that was never written with gets one.
func (t *Identities) EditKey(ctx context.Context, id string, edit func(*KeyRecord)) error {
	err := t.updateKeys(ctx, func(c keyRegister) (bool, error) {
		r := c.Keys[id]
		if r.ID = id; !policy.ValidName(id) {
			return false, fmt.Errorf("%q is no key id", id)
		}
		edit(&r)
		c.Keys[id] = r
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("keys of the identity table: %w", err)
	}
	return nil
}

// floors are the times before which nothing counts of an id without a row, one for each key that was given up so, ascending (µs): in the order in which the keys
// were given up, for a row says how many there were when it was made. A later one says no less than an earlier one.
func (c keyRegister) floors() (out []int64) {
	var given []*LostKey
	for _, id := range slices.Sorted(maps.Keys(c.Keys)) {
		if l := c.Keys[id].Lost; l != nil && l.Before != nil {
			given = append(given, l)
		}
	}
	slices.SortStableFunc(given, func(a, b *LostKey) int { return cmp.Or(a.At.Compare(b.At), a.Before.Compare(*b.Before)) })
	for i, l := range given {
		out = append(out, l.Before.UnixMicro())
		if i > 0 {
			out[i] = max(out[i], out[i-1])
		}
	}
	return out
}

// lost are the ids of keys that were given up, whether their secret was lost or not.
func (c keyRegister) lost() map[string]bool {
	out := map[string]bool{}
	for id, r := range c.Keys {
		if r.Lost != nil {
			out[id] = true
		}
	}
	return out
}

// UnreachableError says that people stand in the identity table under keys that nobody has given.
type UnreachableError struct {
	People map[string]int // key id → how many
}

// Error says under which keys people cannot be recognized, what follows, and what to do. It names key ids alone, and tells not how many people: callers over HTTP read it.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("people stand in the identity table under key %s, which is not given. No withdrawal, erasure or preference of theirs can be applied, so nobody is profiled until that is settled: "+
		"after a rotation, start this with the project file that names the key; else name it among pseudonyms.previous. rapport keys check says more", strings.Join(slices.Sorted(maps.Keys(e.People)), ", "))
}
