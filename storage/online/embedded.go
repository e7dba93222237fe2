package online

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// defaultLoadMemory is what a Loader buffers by default.
const defaultLoadMemory = 64 << 20

// maxReopen bounds how often a reader starts anew because what it was opening was replaced under its hands.
const maxReopen = 16

// Options of the stores. The zero value is right for the embedded one.
type Options struct {
	// LoadMemory bounds the bytes of entries that a Loader holds: the embedded store then spills them, sorted, to a file, Redis
	// waits until the server has taken some; 0 is 64 MiB.
	LoadMemory int64

	// Project is what all keys of a Redis begin with; the embedded store, whose folder is the project's, needs none.
	Project string
	// Redis says how to reach a Redis.
	Redis RedisOptions

	// FS is the file system that is written to; nil is the operating system's. Tests count writes, fail them, and die at them. Locks
	// and reads go past it.
	FS vfs.FS
}

// embedded is the Store in a folder (see the package comment).
type embedded struct {
	dir    string
	fs     vfs.FS
	budget int64
	log    denyLog

	mu     sync.RWMutex
	closed bool
	seen   *view // what readers saw last, nil before the first time
}

// view is one content of the file live.
type view struct {
	file  *os.File // held open so that its inode number cannot be given to a successor
	info  os.FileInfo
	state state
	table *table // of the live generation; nil if there is none
}

func (v *view) close() {
	if v.table != nil {
		v.table.release()
	}
	v.file.Close()
}

var errClosed = errors.New("online store is closed")

// OpenEmbedded opens the store in the folder dir, which the first write makes. It reads nothing yet. Close it, to close files.
func OpenEmbedded(dir string, o Options) (Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open online store: %w", err)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("open online store %s: not a folder", dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open online store: %w", err)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.LoadMemory <= 0 {
		o.LoadMemory = defaultLoadMemory
	}
	return &embedded{dir: dir, fs: o.FS, budget: o.LoadMemory, log: denyLog{fs: o.FS, dir: dir}}, nil
}

func (e *embedded) path(name string) string { return filepath.Join(e.dir, name) }

// Close closes the files that are open for reading.
func (e *embedded) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.seen != nil {
		e.seen.close()
		e.seen = nil
	}
	e.log.close()
	return nil
}

// live returns the live pointer and its table as they are on disk now. The caller releases the table.
func (e *embedded) live() (Pointer, *table, error) {
	info, err := os.Stat(e.path("live"))
	if errors.Is(err, os.ErrNotExist) {
		return Pointer{}, nil, e.nothingLive()
	}
	if err != nil {
		return Pointer{}, nil, err
	}
	e.mu.RLock()
	if e.seen != nil && os.SameFile(e.seen.info, info) {
		defer e.mu.RUnlock()
		return e.grab()
	}
	e.mu.RUnlock()

	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.refresh(); err != nil {
		return Pointer{}, nil, err
	}
	return e.grab()
}

// grab takes a reference to the table last seen. The caller holds e.mu.
func (e *embedded) grab() (Pointer, *table, error) {
	if e.closed {
		return Pointer{}, nil, errClosed
	}
	if e.seen.table == nil {
		return Pointer{}, nil, e.nothingLive()
	}
	e.seen.table.refs.Add(1)
	return *e.seen.state.Live, e.seen.table, nil
}

func (e *embedded) nothingLive() error {
	return fmt.Errorf("online store %s: %w: run a job, or, if one has published, `rapport online load`", e.dir, ErrNoGeneration)
}

// refresh makes e.seen what is on disk now. The caller holds e.mu.
func (e *embedded) refresh() error {
	if e.closed {
		return errClosed
	}
	for try := 1; ; try++ {
		v, err := e.open()
		if err == nil {
			if e.seen != nil {
				e.seen.close()
			}
			e.seen = v
			return nil
		}
		// A table that live names may be gone because live was replaced meanwhile, and then only because of that.
		if !errors.Is(err, os.ErrNotExist) || try == maxReopen {
			return fmt.Errorf("read online store: %w", damagedIfLost(err))
		}
	}
}

// damagedIfLost makes a lost table ErrCorrupt.
func damagedIfLost(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: a file is lost (refill the store with `rapport online load`): %w", ErrCorrupt, err)
	}
	return err
}

// open reads live and opens the table it names, unless the last view has it open.
func (e *embedded) open() (*view, error) {
	f, err := os.Open(e.path("live"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, e.nothingLive()
	}
	if err != nil {
		return nil, err
	}
	v := &view{file: f}
	if v.info, err = f.Stat(); err == nil {
		v.state, err = readState(f)
	}
	if err == nil && v.state.Live != nil {
		g := *v.state.find(v.state.Live.Generation)
		if e.seen != nil && e.seen.table != nil && e.seen.table.path == e.path(g.File) {
			v.table = e.seen.table
			v.table.refs.Add(1)
		} else {
			v.table, err = openTable(e.dir, g)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return v, nil
}

// Live returns the current pointer.
func (e *embedded) Live(ctx context.Context) (Pointer, error) {
	if err := ctx.Err(); err != nil {
		return Pointer{}, err
	}
	s, err := e.state()
	if err != nil {
		return Pointer{}, err
	}
	if s.Live == nil {
		return Pointer{}, e.nothingLive()
	}
	return *s.Live, nil
}

// state reads live, without its table: what is live can be told, and replaced, when the table is damaged.
func (e *embedded) state() (state, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return state{}, errClosed
	}
	return loadState(e.dir)
}

// Generations lists the finished generations.
func (e *embedded) Generations(ctx context.Context) (map[uint64]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := e.state()
	if err != nil {
		return nil, err
	}
	digests := make(map[uint64]string, len(s.Generations))
	for _, g := range s.Generations {
		digests[g.Number] = g.Digest
	}
	return digests, nil
}

// Get reads one key: two stats, one block, and for an owned row a look for the files fallback and horizon.
func (e *embedded) Get(ctx context.Context, key string, now int64) (Entry, Pointer, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, Pointer{}, err
	}
	p, t, err := e.live()
	if err != nil {
		return Entry{}, Pointer{}, err
	}
	defer t.release()
	entry, err := readRow(t, key)
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return Entry{}, p, fmt.Errorf("get %s: %w", keyKind(key), tableError(p.Generation, t.path, err))
	case err == nil:
		err = e.permit(ctx, entry, now)
	}
	if err != nil {
		return Entry{}, p, fmt.Errorf("get %s in generation %d: %w", keyKind(key), p.Generation, err)
	}
	return entry, p, nil
}

// readRow reads one row of a table.
func readRow(t *table, key string) (Entry, error) {
	var space [128]byte
	row, err := t.lookup(append(append(space[:0], rowPrefix), key...))
	if err != nil {
		return Entry{}, err
	}
	if row == nil {
		return Entry{}, ErrNotFound
	}
	return parseRow(key, row)
}

// permit says whether the entry may be served: its owner is not denied, nor is everybody, the horizon has not come, and it has not expired.
func (e *embedded) permit(ctx context.Context, entry Entry, now int64) error {
	if entry.Owner != "" {
		denied := false
		if err := e.log.with(func(s *denySet) { denied = s.has(entry.Owner) }); err != nil {
			return err
		}
		if denied {
			return ErrDenied
		}
		if f, err := e.Fallback(ctx); err != nil {
			return err
		} else if f != nil {
			return ErrFallback
		}
		if at, err := e.Horizon(ctx); err != nil {
			return err
		} else if at != 0 && now >= at {
			return ErrOverdue
		}
	}
	if entry.Expires != 0 && now >= entry.Expires {
		return fmt.Errorf("%w: it has expired", ErrNotFound)
	}
	return nil
}

// Scan yields the live entries with the prefix.
func (e *embedded) Scan(ctx context.Context, prefix string, f func(Entry) error) error {
	p, t, err := e.live()
	if err != nil {
		return err
	}
	defer t.release()
	var stop error
	err = t.rows(ctx, prefix, func(key, row []byte) error {
		entry, err := parseRow(string(key), slices.Clone(row))
		if err != nil {
			return err
		}
		stop = f(entry)
		return stop
	})
	if err != nil && stop == nil && ctx.Err() == nil {
		return fmt.Errorf("scan: %w", tableError(p.Generation, t.path, err))
	}
	return err
}

// change runs f on the state under the folder's lock, and saves what f left if it reports a change.
func (e *embedded) change(ctx context.Context, what string, f func(*state) (changed bool, err error)) error {
	fail := func(err error) error { return fmt.Errorf("%s in online store %s: %w", what, e.dir, writing(err)) }
	if err := makeDir(e.fs, e.dir); err != nil {
		return fail(err)
	}
	release, err := lock(ctx, e.path("lock"))
	if err != nil {
		return fail(err)
	}
	defer release()
	s, err := e.state()
	if err != nil {
		return fail(err)
	}
	changed, err := f(&s)
	if err == nil && changed {
		err = saveState(e.fs, e.dir, s)
	}
	if err == nil {
		err = e.sweep(s)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// Swap makes a finished generation live, after reading the whole of it once: a damaged one is refused.
func (e *embedded) Swap(ctx context.Context, p Pointer) error {
	return e.change(ctx, fmt.Sprintf("swap to generation %d", p.Generation), func(s *state) (bool, error) {
		if old := s.Live; old != nil && p.Fence <= old.Fence {
			if p.Fence == old.Fence && p.Generation == old.Generation && string(p.Meta) == string(old.Meta) {
				return false, nil
			}
			return false, fmt.Errorf("fence %d, stored %d: %w", p.Fence, old.Fence, ErrFenced)
		}
		g := s.find(p.Generation)
		if g == nil {
			return false, ErrUnknownGeneration
		}
		t, err := openTable(e.dir, *g)
		if err != nil {
			return false, damagedIfLost(err)
		}
		defer t.release()
		if err := t.verify(ctx, *g); err != nil {
			if ctx.Err() != nil {
				return false, err
			}
			return false, tableError(g.Number, t.path, err)
		}
		s.Live = &p
		return true, nil
	})
}

// Drop removes a generation that is not live.
func (e *embedded) Drop(ctx context.Context, number uint64) error {
	return e.change(ctx, fmt.Sprintf("drop generation %d", number), func(s *state) (bool, error) {
		if s.isLive(number) {
			return false, ErrLive
		}
		n := len(s.Generations)
		s.Generations = slices.DeleteFunc(s.Generations, func(g generation) bool { return g.Number == number })
		return len(s.Generations) < n, nil
	})
}

// Deny adds owners to the deny set.
func (e *embedded) Deny(ctx context.Context, owners ...string) error {
	if err := checkNames(owners); err != nil {
		return fmt.Errorf("deny: %w", err)
	}
	return e.log.deny(ctx, owners)
}

// Allow takes owners out of the deny set.
func (e *embedded) Allow(ctx context.Context, owners ...string) error {
	if err := checkNames(owners); err != nil {
		return fmt.Errorf("allow: %w", err)
	}
	return e.log.allow(ctx, owners)
}

// Denied lists the deny set.
func (e *embedded) Denied(ctx context.Context) (names []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = e.log.with(func(s *denySet) { names = slices.Sorted(maps.Keys(s.names)) })
	return names, err
}
