package online

import (
	"context"
	"errors"
	"fmt"
)

// Errors that callers test with errors.Is.
var (
	// ErrNotFound says that the live generation holds no such key.
	ErrNotFound = errors.New("online key not found")
	// ErrNoGeneration says that nothing is live yet.
	ErrNoGeneration = errors.New("no live generation")
	// ErrFenced says that a higher fence has been seen: the caller's view of what is live is old.
	ErrFenced = errors.New("fenced off by a newer publisher")
	// ErrDenied says that the key belongs to a denied subject.
	ErrDenied = errors.New("subject denied")
	// ErrUnknownGeneration says that no finished generation has this number.
	ErrUnknownGeneration = errors.New("no such finished generation")
	// ErrLive says that the generation is live, so that it can be neither loaded again nor dropped.
	ErrLive = errors.New("generation is live")
	// ErrFallback says that the key belongs to a subject, and that nobody's rows are served for now. It is an ErrDenied.
	ErrFallback = fmt.Errorf("the fallback is on: %w", ErrDenied)
	// ErrOverdue says that the horizon has come: the live rows do not know of an end of consent that has passed. It is an ErrFallback.
	ErrOverdue = fmt.Errorf("the lists are older than an end of consent that they do not know of, and the next that are published will: %w", ErrFallback)
	// ErrCorrupt says that what the store holds is damaged; the error names what, and what to do.
	ErrCorrupt = errors.New("online store damaged")
	// ErrReadOnly says that the server takes no writes; the error says why, and what to do.
	ErrReadOnly = errors.New("online store takes no writes")
)

// Fallback is the switch by which an operator takes everything that is based on profiling off at once: while it is on, every subject is
// treated as denied, and reads the list that is not based on profiling.
type Fallback struct {
	Since int64  `json:"since"` // µs since the epoch
	By    string `json:"by"`
	Why   string `json:"why"`
}

// Pointer says which generation readers read. Fence only grows.
type Pointer struct {
	Generation uint64 `json:"generation"`
	Fence      uint64 `json:"fence"`
	Meta       []byte `json:"meta,omitempty"` // JSON: version, digest, verdict, budgets, report link
}

// Entry is one key and value of a generation. Owner is the online key of the subject it belongs to ("" for items, meta and unprofiled
// lists): the deny set is checked against it. Expires (µs since the epoch, 0 = never) is the subject's earliest consent end: a row
// past it is not served, whatever the state of any job.
type Entry struct {
	Key     string
	Owner   string
	Value   []byte
	Expires int64
}

// Loader fills one generation that is not live. Entries come in any order, each key once. Close without Finish abandons it;
// Close after Finish does nothing. It is safe for concurrent use.
type Loader interface {
	// Put adds entries; it keeps no reference to their values. A key that was put twice is an error of Put or of Finish.
	Put(ctx context.Context, e ...Entry) error
	// Finish makes the generation durable and complete, still not live, and returns the digest of its logical content
	// (see Digester; independent of the order of the Puts). Rows of owners that were erased, also while the generation was
	// loading, are left out. A finished generation of the same number that is not live is replaced.
	Finish(ctx context.Context) (digest string, err error)
	Close() error
}

// Store is an online store: immutable generations behind one pointer, and a deny set outside them.
// Any number of processes may read while one loads.
type Store interface {
	// Load begins generation gen, dropping an unfinished one of the same number (its loader fails from then on).
	// It returns ErrLive if gen is live.
	Load(ctx context.Context, gen uint64) (Loader, error)
	// Generations lists the finished generations, ascending, with the digest of each.
	Generations(ctx context.Context) (map[uint64]string, error)
	// Swap makes a finished generation live if p.Fence is higher than the stored one, else ErrFenced. Atomic for readers.
	// Repeating the pointer that is stored already succeeds. ErrUnknownGeneration: it is not finished, or was dropped.
	Swap(ctx context.Context, p Pointer) error
	// Live returns the current pointer, or ErrNoGeneration.
	Live(ctx context.Context) (Pointer, error)
	// Get reads a key of the live generation; now is µs since the epoch. It returns ErrDenied for a denied owner, ErrFallback for any owner
	// while the fallback is on or (ErrOverdue) the horizon has come, ErrNotFound for an absent or expired key. The deny set and the switch are read with every lookup of an
	// owned row: without a deny set that is known to be whole no such row is served, but ErrCorrupt.
	Get(ctx context.Context, key string, now int64) (Entry, Pointer, error)
	// Scan yields every live entry (denied and expired ones too) with the given key prefix, in key order: for verify and tests.
	Scan(ctx context.Context, prefix string, f func(Entry) error) error
	// Deny adds owners to the deny set: effective on the next Get of any process. Allow takes them out, erased ones too.
	// Each call takes effect whole or not at all.
	Deny(ctx context.Context, owners ...string) error
	Allow(ctx context.Context, owners ...string) error
	// Denied lists the deny set, ascending. An erased owner stands in it as ErasedName(owner): its name is kept nowhere.
	Denied(ctx context.Context) ([]string, error)
	// Erase removes every trace of owners from all generations, live and kept (rewriting them, which changes their digests),
	// and keeps them denied. It denies first; when it fails, repeat it. removed counts the rows taken out.
	Erase(ctx context.Context, owners ...string) (removed int, err error)
	// SetFallback turns the fallback on, or off with nil: effective on the next Get of any process. It stands outside generations, as
	// the deny set does: no swap, load or erasure changes it.
	SetFallback(ctx context.Context, f *Fallback) error
	// Fallback returns the switch as it was turned on last, nil if it is off.
	Fallback(ctx context.Context) (*Fallback, error)
	// MoveHorizon has no owned row served from a time on (µs; 0: none), whoever publishes or does not, if the horizon is still from: whoever learns of an end that
	// live rows do not carry says so by it. It reports whether it did; to move it where it stands already succeeds, and one that is damaged is moved from anywhere. It stands outside
	// generations.
	MoveHorizon(ctx context.Context, from, to int64) (moved bool, err error)
	// Horizon returns it.
	Horizon(ctx context.Context) (int64, error)
	// Drop removes a generation that is not live (else ErrLive). Dropping an absent one is no error.
	Drop(ctx context.Context, gen uint64) error
	Close() error
}
