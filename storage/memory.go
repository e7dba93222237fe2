package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is a Bucket in memory, for tests and pilots. It can keep old versions, as a versioned S3 bucket does.
type Memory struct {
	now func() time.Time

	mu   sync.RWMutex
	keep bool
	seq  uint64
	objs map[string][]memObject // versions of a key, oldest first
}

// memObject is one version. data is never written to after it is stored.
type memObject struct {
	info    Info
	data    []byte
	deleted bool // a delete marker
}

// NewMemory returns an empty Memory. Objects are stamped with now; with a nil now they are stamped 1 ms apart from the epoch on.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, objs: map[string][]memObject{}}
}

// KeepVersions turns the keeping of old versions on or off. Versions already kept stay.
func (m *Memory) KeepVersions(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep = on
}

// current returns the live version of key. The caller holds mu.
func (m *Memory) current(key string) (memObject, bool) {
	v := m.objs[key]
	if len(v) == 0 || v[len(v)-1].deleted {
		return memObject{}, false
	}
	return v[len(v)-1], true
}

func (m *Memory) read(ctx context.Context, op, key string) (memObject, error) {
	if err := checkKey(op, key); err != nil {
		return memObject{}, err
	}
	if err := ctx.Err(); err != nil {
		return memObject{}, failed(op, key, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	o, ok := m.current(key)
	if !ok {
		return memObject{}, failed(op, key, ErrNotFound)
	}
	return o, nil
}

// Get implements Bucket.
func (m *Memory) Get(ctx context.Context, key string, r Range) (io.ReadCloser, Info, error) {
	o, err := m.read(ctx, "get", key)
	if err != nil {
		return nil, Info{}, err
	}
	if r.IfMatch != "" && r.IfMatch != o.info.ETag {
		return nil, Info{}, failed("get", key, ErrPrecondition)
	}
	from, to, err := r.clip(o.info.Size)
	if err != nil {
		return nil, Info{}, failed("get", key, err)
	}
	return io.NopCloser(bytes.NewReader(o.data[from:to])), o.info, nil
}

// Head implements Bucket.
func (m *Memory) Head(ctx context.Context, key string) (Info, error) {
	o, err := m.read(ctx, "head", key)
	return o.info, err
}

// Put implements Bucket.
func (m *Memory) Put(ctx context.Context, key string, b Body, c Cond) (Info, error) {
	if err := checkPut(key, b, c); err != nil {
		return Info{}, err
	}
	data, err := io.ReadAll(io.NewSectionReader(b.R, 0, b.Size))
	if err == nil && int64(len(data)) != b.Size {
		err = fmt.Errorf("the body ended after %d of %d bytes: %w", len(data), b.Size, io.ErrUnexpectedEOF)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Info{}, failed("put", key, err)
	}
	sum := sha256.Sum256(data)

	m.mu.Lock()
	defer m.mu.Unlock()
	cur, ok := m.current(key)
	if c.IfAbsent && ok || c.IfMatch != "" && (!ok || cur.info.ETag != c.IfMatch) {
		return Info{}, failed("put", key, ErrPrecondition)
	}
	info := Info{Key: key, Size: b.Size, ETag: hex.EncodeToString(sum[:16])}
	m.add(memObject{info: info, data: data})
	cur, _ = m.current(key)
	return cur.info, nil
}

// add appends a version, replacing the unversioned one if versions are not kept. The caller holds mu.
func (m *Memory) add(o memObject) {
	key := o.info.Key
	m.seq++
	o.info.Modified = time.UnixMilli(int64(m.seq)).UTC()
	if m.now != nil {
		o.info.Modified = m.now().UTC()
	}
	if m.keep {
		o.info.Version = fmt.Sprintf("v%d", m.seq)
	} else {
		m.drop(key, "")
	}
	m.objs[key] = append(m.objs[key], o)
}

// drop removes one version and reports whether it was there. The caller holds mu.
func (m *Memory) drop(key, version string) bool {
	old := m.objs[key]
	kept := slices.DeleteFunc(slices.Clone(old), func(o memObject) bool { return o.info.Version == version })
	if len(kept) == 0 {
		delete(m.objs, key)
	} else {
		m.objs[key] = kept
	}
	return len(kept) < len(old)
}

// Delete implements Bucket. Where versions are kept, or were, a delete marker hides them.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := checkKey("delete", key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return failed("delete", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.current(key); !ok {
		return nil
	}
	if !m.keep {
		m.drop(key, "")
	}
	if len(m.objs[key]) > 0 {
		m.add(memObject{info: Info{Key: key}, deleted: true})
	}
	return nil
}

// List implements Bucket. It yields a snapshot.
func (m *Memory) List(ctx context.Context, prefix string, o ListOpt) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkList(prefix, o); err != nil {
			yield(Info{}, err)
			return
		}
		var level string // the last common prefix yielded
		for _, info := range m.snapshot(prefix, false) {
			if err := ctx.Err(); err != nil {
				yield(Info{}, failed("list", prefix, err))
				return
			}
			if o.Delimiter != "" {
				if i := strings.IndexByte(info.Key[len(prefix):], '/'); i >= 0 {
					common := info.Key[:len(prefix)+i+1]
					if common == level {
						continue
					}
					level, info = common, Info{Key: common}
				}
			}
			if info.Key > o.After && !yield(info, nil) {
				return
			}
		}
	}
}

// snapshot returns what stands under prefix, sorted by key: the live objects, or all versions (oldest first).
func (m *Memory) snapshot(prefix string, all bool) []Info {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []Info
	for key, versions := range m.objs {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if all {
			for _, v := range versions {
				out = append(out, v.info)
			}
		} else if cur, ok := m.current(key); ok {
			out = append(out, cur.info)
		}
	}
	slices.SortStableFunc(out, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Versioned implements Versions.
func (m *Memory) Versioned(context.Context) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.keep, nil
}

// ListVersions implements Versions.
func (m *Memory) ListVersions(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for _, info := range m.snapshot(prefix, true) {
			if err := ctx.Err(); err != nil {
				yield(Info{}, failed("list versions", prefix, err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// DeleteVersion implements Versions.
func (m *Memory) DeleteVersion(ctx context.Context, key, version string) error {
	if err := checkKey("delete version", key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return failed("delete version", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key, version)
	return nil
}

// AbortUploads implements Versions: memory has none.
func (m *Memory) AbortUploads(context.Context, string, time.Time) (dropped, left int, err error) {
	return 0, 0, nil
}
