package table

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/rapport-ml/rapport/storage"
)

// The formats of done objects that this program reads and writes. The second is the first with columns of Bytes, by which alone older programs, which do
// not know that type, would take a commit for damaged. A commit is written in the oldest that can say it.
const (
	commitPlain  = 1
	commitBytes  = 2
	commitFormat = commitBytes // the newest
)

// format is the oldest format that can say c.
func (c *Commit) format() int {
	for _, m := range c.Outputs {
		for _, f := range m.Schema {
			if f.Type == Bytes {
				return commitBytes
			}
		}
	}
	return commitPlain
}

// doneFolder holds the done objects: done/<step key>.
const doneFolder = "done/"

const (
	maxKey    = 512 // bytes of a step key
	readAhead = 8   // done objects that List reads at once
)

// Store keeps done objects: the only place where a table becomes visible.
type Store struct {
	Bucket storage.Bucket
}

// checkKey says why key is no step key: segments of letters, digits and "._=-" joined by slashes, as ingest/2017-01-05/<hex>.
func checkKey(key string) error {
	bad := key == "" || len(key) > maxKey
	for seg := range strings.SplitSeq(key, "/") {
		bad = bad || seg == "" || strings.Trim(seg, ".") == "" || strings.ContainsFunc(seg, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._=-", r))
		})
	}
	if bad {
		return fmt.Errorf("%.80q is no step key: want 1 to %d bytes of letters, digits and ._=- in segments joined by slashes", key, maxKey)
	}
	return nil
}

// Done reports whether the step has been committed. One HEAD.
func (s Store) Done(ctx context.Context, key string) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	_, err := s.Bucket.Head(ctx, doneFolder+key)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("is step %s done: %w", key, err)
	}
	return true, nil
}

// Lookup reads a step's commit, and the object's Info that Supersede needs. A step that is not done is storage.ErrNotFound.
func (s Store) Lookup(ctx context.Context, key string) (*Commit, storage.Info, error) {
	if err := checkKey(key); err != nil {
		return nil, storage.Info{}, err
	}
	c, info, err := s.read(ctx, doneFolder+key)
	if err != nil {
		return nil, storage.Info{}, fmt.Errorf("look up step %s: %w", key, err)
	}
	return c, info, nil
}

func (s Store) read(ctx context.Context, object string) (*Commit, storage.Info, error) {
	body, info, err := storage.ReadAll(ctx, s.Bucket, object)
	if err != nil {
		return nil, info, err
	}
	c, err := decodeCommit(body)
	if err != nil {
		return nil, info, fmt.Errorf("%s: %w", object, err)
	}
	if doneFolder+c.Key != object {
		return nil, info, fmt.Errorf("%s: %w: it is the commit of step %.80q", object, ErrCorrupt, c.Key)
	}
	return c, info, nil
}

// decodeCommit reads the body of a done object.
func decodeCommit(body []byte) (*Commit, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, fmt.Errorf("%w: not the JSON of a commit: %v", ErrCorrupt, err)
	}
	switch {
	case head.Format > commitFormat:
		return nil, fmt.Errorf("commit format %d: made by a newer rapport (this one reads up to %d); use that version", head.Format, commitFormat)
	case head.Format < 1:
		return nil, fmt.Errorf("%w: commit format %d", ErrCorrupt, head.Format)
	}
	c := new(Commit)
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(c); err != nil {
		return nil, fmt.Errorf("%w: not the JSON of a commit: %v", ErrCorrupt, err)
	}
	for name, m := range c.Outputs {
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("%w: output %q: %v", ErrCorrupt, name, err)
		}
	}
	return c, nil
}

// encodeCommit fills in the format and, if there is none, a nonce, and checks what must hold of any commit.
func encodeCommit(key string, c *Commit) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if c.Key != key {
		return nil, fmt.Errorf("the commit names step %.80q", c.Key)
	}
	c.Format = c.format()
	if c.Nonce == "" {
		var b [16]byte
		rand.Read(b[:])
		c.Nonce = hex.EncodeToString(b[:])
	}
	for name, m := range c.Outputs {
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("output %q: %w", name, err)
		}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return body, nil
}

// Commit makes the outputs of c visible: one create-only PUT of done/<c.Key>. It sets c.Format, and c.Nonce if that is empty. won is
// false if another writer was first: the caller uses Lookup's answer and forgets its own. A response that was lost is not taken for a
// lost race: the nonce in the body says who wrote it. After any error the same c may be committed again.
func (s Store) Commit(ctx context.Context, c *Commit) (won bool, err error) {
	body, err := encodeCommit(c.Key, c)
	if err == nil {
		_, err = storage.Commit(ctx, s.Bucket, doneFolder+c.Key, body, storage.Cond{IfAbsent: true})
	}
	if errors.Is(err, storage.ErrPrecondition) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("commit step %s: %w", c.Key, err)
	}
	return true, nil
}

// Supersede replaces the commit that stands at key, seen as old by Lookup, by its successor: the same step, other rows, by an erasure,
// a purge or a compaction, which next.By must name. If somebody else replaced it first the error is storage.ErrPrecondition: look
// up again and start from that. One PUT with if-match; a lost response is recognized by the nonce.
func (s Store) Supersede(ctx context.Context, key string, old storage.Info, next *Commit) error {
	body, err := encodeCommit(key, next)
	if err == nil && next.By == "" {
		err = errors.New("a successor must say by whom (By)")
	}
	if err == nil && old.ETag == "" {
		err = errors.New("the commit to replace must be named by its ETag, from Lookup")
	}
	if err != nil {
		return fmt.Errorf("supersede step %s: %w", key, err)
	}
	_, err = storage.Commit(ctx, s.Bucket, doneFolder+key, body, storage.Cond{IfMatch: old.ETag})
	if err != nil {
		return fmt.Errorf("supersede step %s: %w", key, err)
	}
	return nil
}

// Resolve finds the files of a table, through whatever has superseded the commit that the Ref was taken from. changed says that the
// rows are not those that the Ref was made for.
func (s Store) Resolve(ctx context.Context, r Ref) (m Manifest, changed bool, err error) {
	c, _, err := s.Lookup(ctx, r.Key)
	if err != nil {
		return Manifest{}, false, fmt.Errorf("resolve table %s: %w", r.Name, err)
	}
	m, ok := c.Outputs[r.Name]
	if !ok {
		return Manifest{}, false, fmt.Errorf("resolve table %s: step %s made no such output: %w", r.Name, r.Key, storage.ErrNotFound)
	}
	return m, m.Digest != r.Digest, nil
}

// List yields the commits of all steps whose key begins with prefix, in key order. It reads several objects at a time; one that was
// deleted since it was listed is left out. The sequence ends after the first error.
func (s Store) List(ctx context.Context, prefix string) iter.Seq2[*Commit, error] {
	return func(yield func(*Commit, error) bool) {
		read := func(ctx context.Context, info storage.Info) (*Commit, error) {
			c, _, err := s.read(ctx, info.Key)
			if errors.Is(err, storage.ErrNotFound) {
				return nil, nil
			}
			return c, err
		}
		for c, err := range inOrder(ctx, readAhead, s.Bucket.List(ctx, doneFolder+prefix, storage.ListOpt{}), read) {
			if err != nil {
				yield(nil, fmt.Errorf("list steps %s*: %w", prefix, err))
				return
			}
			if c != nil && !yield(c, nil) {
				return
			}
		}
	}
}
