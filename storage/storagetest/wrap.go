package storagetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Op names an operation of a Bucket.
type Op string

// The operations.
const (
	Get    Op = "get"
	Head   Op = "head"
	Put    Op = "put"
	List   Op = "list"
	Delete Op = "delete"
)

// Call is one operation asked of a bucket.
type Call struct {
	Op   Op
	Key  string        // prefix of a List
	Cond storage.Cond  // Put
	Size int64         // Put: bytes of the body
	Ask  storage.Range // Get: as asked
	Off  int64         // Get: first byte of the answer,
	End  int64         // and the byte after its last (0, 0 if the Get failed)
	Read int64         // Get: bytes that the caller took so far
}

// versions forwards storage.Versions to a bucket that may lack it.
type versions struct{ b storage.Bucket }

func (v versions) Versioned(ctx context.Context) (bool, error) {
	if p, ok := v.b.(storage.Versions); ok {
		return p.Versioned(ctx)
	}
	return false, nil
}

func (v versions) ListVersions(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	if p, ok := v.b.(storage.Versions); ok {
		return p.ListVersions(ctx, prefix)
	}
	return v.b.List(ctx, prefix, storage.ListOpt{})
}

func (v versions) DeleteVersion(ctx context.Context, key, version string) error {
	if p, ok := v.b.(storage.Versions); ok {
		return p.DeleteVersion(ctx, key, version)
	}
	return v.b.Delete(ctx, key)
}

func (v versions) AbortUploads(ctx context.Context, prefix string, before time.Time) (dropped, left int, err error) {
	if p, ok := v.b.(storage.Versions); ok {
		return p.AbortUploads(ctx, prefix, before)
	}
	return 0, 0, nil
}

// Recording is a Bucket that writes down every call.
type Recording struct {
	versions
	mu    sync.Mutex
	calls []*Call
}

// NewRecording returns a Recording around b.
func NewRecording(b storage.Bucket) *Recording { return &Recording{versions: versions{b}} }

func (r *Recording) add(c Call) *Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, &c)
	return &c
}

// Calls returns the calls so far, in the order in which they began.
func (r *Recording) Calls() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Call, len(r.calls))
	for i, c := range r.calls {
		out[i] = *c
	}
	return out
}

// Count returns how many calls of the given operations there were; with none given, of all.
func (r *Recording) Count(ops ...Op) int {
	n := 0
	for _, c := range r.Calls() {
		if len(ops) == 0 {
			n++
		}
		for _, op := range ops {
			if c.Op == op {
				n++
			}
		}
	}
	return n
}

// Gets returns the Get calls of one key.
func (r *Recording) Gets(key string) []Call {
	var out []Call
	for _, c := range r.Calls() {
		if c.Op == Get && c.Key == key {
			out = append(out, c)
		}
	}
	return out
}

// Reset forgets the calls so far.
func (r *Recording) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = nil
}

// Get implements storage.Bucket.
func (r *Recording) Get(ctx context.Context, key string, rng storage.Range) (io.ReadCloser, storage.Info, error) {
	c := r.add(Call{Op: Get, Key: key, Ask: rng})
	rd, info, err := r.b.Get(ctx, key, rng)
	if err != nil {
		return rd, info, err
	}
	end := info.Size
	if rng.N > 0 && rng.N < end-rng.Off {
		end = rng.Off + rng.N
	}
	r.mu.Lock()
	c.Off, c.End = rng.Off, end
	r.mu.Unlock()
	return &countingReader{ReadCloser: rd, r: r, c: c}, info, nil
}

type countingReader struct {
	io.ReadCloser
	r *Recording
	c *Call
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.r.mu.Lock()
	c.c.Read += int64(n)
	c.r.mu.Unlock()
	return n, err
}

// Head implements storage.Bucket.
func (r *Recording) Head(ctx context.Context, key string) (storage.Info, error) {
	r.add(Call{Op: Head, Key: key})
	return r.b.Head(ctx, key)
}

// Put implements storage.Bucket.
func (r *Recording) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	r.add(Call{Op: Put, Key: key, Size: b.Size, Cond: c})
	return r.b.Put(ctx, key, b, c)
}

// List implements storage.Bucket.
func (r *Recording) List(ctx context.Context, prefix string, o storage.ListOpt) iter.Seq2[storage.Info, error] {
	r.add(Call{Op: List, Key: prefix})
	return r.b.List(ctx, prefix, o)
}

// Delete implements storage.Bucket.
func (r *Recording) Delete(ctx context.Context, key string) error {
	r.add(Call{Op: Delete, Key: key})
	return r.b.Delete(ctx, key)
}

// Effect is what a Fault does to an operation.
type Effect int

// The effects.
const (
	Fail         Effect = iota // nothing happens but the error
	LostResponse               // the operation is done, and then the error returned
	Truncate                   // Get: the reader ends in the error after half of its bytes. Elsewhere the same as Fail
)

// ErrInjected is the error of a Fault that names none.
var ErrInjected = errors.New("injected fault")

// Fault says which operations fail, and how. Its fields are set before use.
type Fault struct {
	Match func(Call) bool // nil matches all
	Nth   int             // the nth matching operation, from 1; 0 is every one
	Do    Effect
	Err   error // nil is ErrInjected; storage.ErrFull is a full disk

	seen int // matching operations so far
}

// Faulty is a Bucket with faults. The first fault that fires decides.
type Faulty struct {
	versions
	mu     sync.Mutex
	faults []*Fault
	fired  int
}

// NewFaulty returns a Faulty around b. It keeps count in its own copies of the faults.
func NewFaulty(b storage.Bucket, faults ...Fault) *Faulty {
	f := &Faulty{versions: versions{b}}
	for _, one := range faults {
		f.faults = append(f.faults, &one)
	}
	return f
}

// Fired returns how many operations were hit.
func (f *Faulty) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// strike returns the fault that hits c, or nil, with its error set.
func (f *Faulty) strike(c Call) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit *Fault
	for _, one := range f.faults {
		if one.Match != nil && !one.Match(c) {
			continue
		}
		one.seen++ // every matching fault counts, also when another decides
		if hit == nil && (one.Nth == 0 || one.Nth == one.seen) {
			hit = one
		}
	}
	if hit == nil {
		return nil
	}
	f.fired++
	out := *hit
	if out.Err == nil {
		out.Err = ErrInjected
	}
	return &out
}

// Get implements storage.Bucket.
func (f *Faulty) Get(ctx context.Context, key string, r storage.Range) (io.ReadCloser, storage.Info, error) {
	hit := f.strike(Call{Op: Get, Key: key, Ask: r})
	if hit != nil && hit.Do != Truncate {
		return nil, storage.Info{}, hit.Err
	}
	rd, info, err := f.b.Get(ctx, key, r)
	if err != nil || hit == nil {
		return rd, info, err
	}
	n := info.Size - r.Off
	if r.N > 0 {
		n = min(n, r.N)
	}
	return &brokenReader{ReadCloser: rd, left: n / 2, err: hit.Err}, info, nil
}

// brokenReader gives left bytes and then err.
type brokenReader struct {
	io.ReadCloser
	left int64
	err  error
}

func (b *brokenReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Head implements storage.Bucket.
func (f *Faulty) Head(ctx context.Context, key string) (storage.Info, error) {
	if hit := f.strike(Call{Op: Head, Key: key}); hit != nil {
		return storage.Info{}, hit.Err
	}
	return f.b.Head(ctx, key)
}

// Put implements storage.Bucket.
func (f *Faulty) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	hit := f.strike(Call{Op: Put, Key: key, Size: b.Size, Cond: c})
	if hit == nil {
		return f.b.Put(ctx, key, b, c)
	}
	if hit.Do == LostResponse {
		if _, err := f.b.Put(ctx, key, b, c); err != nil {
			return storage.Info{}, err
		}
	}
	return storage.Info{}, hit.Err
}

// List implements storage.Bucket.
func (f *Faulty) List(ctx context.Context, prefix string, o storage.ListOpt) iter.Seq2[storage.Info, error] {
	if hit := f.strike(Call{Op: List, Key: prefix}); hit != nil {
		return func(yield func(storage.Info, error) bool) { yield(storage.Info{}, hit.Err) }
	}
	return f.b.List(ctx, prefix, o)
}

// Delete implements storage.Bucket.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	hit := f.strike(Call{Op: Delete, Key: key})
	if hit == nil {
		return f.b.Delete(ctx, key)
	}
	if hit.Do == LostResponse {
		if err := f.b.Delete(ctx, key); err != nil {
			return err
		}
	}
	return hit.Err
}

// KillAt is a Bucket that calls a function at its nth write.
type KillAt struct {
	versions
	n     int
	after bool
	kill  func()

	mu     sync.Mutex
	writes int
}

// NewKillAt returns a KillAt around b: kill is called at the nth write (Put or Delete, counted from 1), before it, or after it if
// after is set. With n = 0 it only counts. The function is expected to end the process; if it returns, the write goes on.
func NewKillAt(b storage.Bucket, n int, after bool, kill func()) *KillAt {
	return &KillAt{versions: versions{b}, n: n, after: after, kill: kill}
}

// Writes returns how many writes there were, so that a test can go through all of them.
func (k *KillAt) Writes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.writes
}

// begin counts a write and returns what is to be done after it.
func (k *KillAt) begin() (end func()) {
	k.mu.Lock()
	k.writes++
	now := k.writes == k.n
	k.mu.Unlock()
	if now && !k.after {
		k.kill()
	}
	return func() {
		if now && k.after {
			k.kill()
		}
	}
}

// Get implements storage.Bucket.
func (k *KillAt) Get(ctx context.Context, key string, r storage.Range) (io.ReadCloser, storage.Info, error) {
	return k.b.Get(ctx, key, r)
}

// Head implements storage.Bucket.
func (k *KillAt) Head(ctx context.Context, key string) (storage.Info, error) {
	return k.b.Head(ctx, key)
}

// Put implements storage.Bucket.
func (k *KillAt) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	defer k.begin()()
	return k.b.Put(ctx, key, b, c)
}

// List implements storage.Bucket.
func (k *KillAt) List(ctx context.Context, prefix string, o storage.ListOpt) iter.Seq2[storage.Info, error] {
	return k.b.List(ctx, prefix, o)
}

// Delete implements storage.Bucket.
func (k *KillAt) Delete(ctx context.Context, key string) error {
	defer k.begin()()
	return k.b.Delete(ctx, key)
}
