package online

import (
	"bytes"
	"container/heap"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// rowOverhead is what the loader reckons for a buffered row beyond its bytes.
const rowOverhead = 64

// chunkSize is the unit in which the loader allocates room for rows.
const chunkSize = 1 << 20

// nonce returns 16 hex digits that no other call returns.
func nonce() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// loader sorts entries into runs within a budget of memory, and merges the runs into a table.
type loader struct {
	e       *embedded
	number  uint64
	dir     string
	release func() // of the lock that says that the loader lives

	mu    sync.Mutex
	err   error // why the loader is of no use any more
	rows  []bufferedRow
	chunk []byte
	size  int64
	runs  []string
}

// bufferedRow is a row in a chunk.
type bufferedRow struct{ key, row []byte }

var (
	errLoaderDone = errors.New("the loader is finished or closed")
	errSuperseded = errors.New("a later Load of this generation took its place")
	errTwice      = errors.New("a key was put twice")
)

// Load begins a generation.
func (e *embedded) Load(ctx context.Context, number uint64) (Loader, error) {
	l := &loader{e: e, number: number, dir: e.path(newLoadName(number))}
	err := e.change(ctx, fmt.Sprintf("load generation %d", number), func(s *state) (bool, error) {
		if s.isLive(number) {
			return false, ErrLive
		}
		if err := e.dropUnfinished(number); err != nil {
			return false, err
		}
		if err := e.fs.MkdirAll(l.dir, 0o700); err != nil {
			return false, err
		}
		release, ok, err := tryLock(filepath.Join(l.dir, "alive"))
		if err == nil && !ok {
			err = errSuperseded
		}
		l.release = release
		return false, err
	})
	if err != nil {
		if l.release != nil {
			l.release()
		}
		return nil, err
	}
	return l, nil
}

// dropUnfinished removes the folders of all loaders of that generation, living ones too. The caller holds the folder's lock.
func (e *embedded) dropUnfinished(number uint64) error {
	names, err := e.fs.List(e.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if n, ok := loadNumber(name); ok && n == number {
			if err := e.fs.RemoveAll(e.path(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Put buffers entries, and spills when the budget is full.
func (l *loader) Put(ctx context.Context, entries ...Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.err != nil {
			return l.fail(l.err)
		}
		if err := checkEntry(e); err != nil {
			return l.fail(err)
		}
		need := int64(len(e.Key) + len(e.Owner) + len(e.Value) + rowOverhead)
		if l.size+need > l.e.budget && len(l.rows) > 0 {
			if err := l.spill(); err != nil {
				l.err = err
				return l.fail(err)
			}
		}
		l.buffer(e)
		l.size += need
	}
	return nil
}

func (l *loader) fail(err error) error {
	return fmt.Errorf("load generation %d of online store %s: %w", l.number, l.e.dir, writing(err))
}

// buffer copies e into the current chunk.
func (l *loader) buffer(e Entry) {
	most := len(e.Key) + len(e.Owner) + len(e.Value) + 2*binaryMaxVarint
	if cap(l.chunk)-len(l.chunk) < most {
		l.chunk = make([]byte, 0, max(chunkSize, most))
	}
	start := len(l.chunk)
	l.chunk = append(l.chunk, e.Key...)
	middle := len(l.chunk)
	l.chunk = appendRow(l.chunk, e)
	l.rows = append(l.rows, bufferedRow{l.chunk[start:middle:middle], l.chunk[middle:len(l.chunk):len(l.chunk)]})
}

// binaryMaxVarint bounds the bytes of a varint.
const binaryMaxVarint = 10

// sortRows sorts what is buffered and refuses a key that is there twice.
func (l *loader) sortRows() error {
	slices.SortFunc(l.rows, func(a, b bufferedRow) int { return bytes.Compare(a.key, b.key) })
	for i := 1; i < len(l.rows); i++ {
		if bytes.Equal(l.rows[i-1].key, l.rows[i].key) {
			return twice(l.rows[i].key)
		}
	}
	return nil
}

func twice(key []byte) error { return fmt.Errorf("%w: one of %s", errTwice, keyKind(string(key))) }

// spill writes what is buffered to a run.
func (l *loader) spill() error {
	if err := l.sortRows(); err != nil {
		return err
	}
	path := filepath.Join(l.dir, fmt.Sprintf("run-%06d.sst", len(l.runs)))
	w, err := newTableWriter(l.e.fs, path, false)
	if err != nil {
		return err
	}
	for _, r := range l.rows {
		if err := w.add(r.key, r.row); err != nil {
			w.abandon()
			return err
		}
	}
	if _, err := w.finish(l.number); err != nil {
		return err
	}
	l.runs = append(l.runs, path)
	l.rows, l.chunk, l.size = l.rows[:0], nil, 0
	return nil
}

// Finish merges the runs into the generation's table and lists it.
func (l *loader) Finish(ctx context.Context) (digest string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return "", l.fail(l.err)
	}
	if err := l.sortRows(); err != nil {
		l.err = err
		return "", l.fail(err)
	}
	err = l.e.change(ctx, fmt.Sprintf("finish generation %d", l.number), func(s *state) (bool, error) {
		if _, err := os.Stat(l.dir); errors.Is(err, os.ErrNotExist) {
			return false, errSuperseded
		}
		if s.isLive(l.number) {
			return false, ErrLive
		}
		g, err := l.merge(ctx)
		if err != nil {
			return false, err
		}
		digest = g.Digest
		s.put(g)
		return true, nil
	})
	if err != nil {
		l.err = err
		return "", err
	}
	return digest, l.end()
}

// merge writes the table and gives it its final name.
func (l *loader) merge(ctx context.Context) (generation, error) {
	sources, err := l.sources()
	defer func() {
		for _, s := range sources {
			s.close()
		}
	}()
	if err != nil {
		return generation{}, err
	}
	merged := filepath.Join(l.dir, "merged.sst")
	w, err := newTableWriter(l.e.fs, merged, true)
	if err != nil {
		return generation{}, err
	}
	if err := l.mergeInto(ctx, w, sources); err != nil {
		w.abandon()
		return generation{}, err
	}
	g, err := w.finish(l.number)
	if err != nil {
		return generation{}, err
	}
	g.File = newTableName(l.number)
	if err := l.e.fs.Rename(merged, l.e.path(g.File)); err != nil {
		return generation{}, err
	}
	return g, syncDir(l.e.fs, l.e.dir)
}

func (l *loader) mergeInto(ctx context.Context, w *tableWriter, sources mergeHeap) error {
	erased, err := l.erasedOwners()
	if err != nil {
		return err
	}
	heap.Init(&sources)
	var last []byte
	for n := 0; len(sources) > 0; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s := sources[0]
		if n > 0 && bytes.Equal(last, s.key) {
			return twice(s.key)
		}
		last = append(last[:0], s.key...)
		owner, _, err := rowOwner(s.row)
		if err != nil {
			return err
		}
		if !erased(owner) {
			if err := w.addCounted(s.key, s.row); err != nil {
				return err
			}
		}
		if err := s.next(); err != nil {
			return err
		}
		if s.key == nil {
			heap.Pop(&sources)
		} else {
			heap.Fix(&sources, 0)
		}
	}
	return nil
}

// erasedOwners returns the test for owners that were erased.
func (l *loader) erasedOwners() (func(owner []byte) bool, error) {
	var names map[string]struct{}
	err := l.e.log.with(func(s *denySet) {
		if s.erased == 0 {
			return
		}
		names = make(map[string]struct{}, s.erased)
		for name := range s.names {
			names[name] = struct{}{}
		}
	})
	return func(owner []byte) bool {
		if len(names) == 0 || len(owner) == 0 {
			return false
		}
		_, ok := names[ErasedName(string(owner))]
		return ok
	}, err
}

// sources returns a source of each run, and one of what is buffered.
func (l *loader) sources() (mergeHeap, error) {
	var sources mergeHeap
	if len(l.rows) > 0 {
		s := &source{key: l.rows[0].key, row: l.rows[0].row, rows: l.rows[1:]}
		sources = append(sources, s)
	}
	for _, path := range l.runs {
		f, err := vfs.Default.Open(path, vfs.SequentialReadsOption)
		if err != nil {
			return sources, err
		}
		t, err := newTable(path, f)
		if err != nil {
			return sources, err
		}
		c, err := t.cursor("")
		if err != nil {
			t.release()
			return sources, err
		}
		sources = append(sources, &source{key: c.key, row: c.row, table: t, cursor: c})
	}
	return sources, nil
}

// source is one sorted input of the merge, standing on a row; key is nil behind the last one.
type source struct {
	key, row []byte
	rows     []bufferedRow // what follows, of the buffer
	table    *table        // a run
	cursor   *cursor
}

func (s *source) next() error {
	if s.cursor != nil {
		err := s.cursor.next()
		s.key, s.row = s.cursor.key, s.cursor.row
		return err
	}
	s.key, s.row = nil, nil
	if len(s.rows) > 0 {
		s.key, s.row, s.rows = s.rows[0].key, s.rows[0].row, s.rows[1:]
	}
	return nil
}

func (s *source) close() {
	if s.cursor != nil {
		_ = s.cursor.close()
		s.table.release()
	}
}

// mergeHeap orders sources by the key they stand on.
type mergeHeap []*source

func (h mergeHeap) Len() int           { return len(h) }
func (h mergeHeap) Less(i, j int) bool { return bytes.Compare(h[i].key, h[j].key) < 0 }
func (h mergeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *mergeHeap) Push(x any)        { *h = append(*h, x.(*source)) }
func (h *mergeHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// Close abandons what is not finished.
func (l *loader) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end()
}

// end removes the loader's folder and lets go of its lock. It may be called again.
func (l *loader) end() error {
	if l.release == nil {
		return nil
	}
	err := l.e.fs.RemoveAll(l.dir)
	l.release()
	l.release, l.rows, l.chunk, l.runs = nil, nil, nil, nil
	if l.err == nil {
		l.err = errLoaderDone
	}
	if err != nil {
		return l.fail(err)
	}
	return nil
}
