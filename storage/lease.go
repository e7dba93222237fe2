package storage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Errors of leases that callers test with errors.Is.
var (
	// ErrHeld says that another holder has the lease. The error names the holder and when the lease expires.
	ErrHeld = errors.New("lease held by another")
	// ErrLost says that the lease is no longer ours: it expired, was released, or another has it.
	ErrLost = errors.New("lease lost")
)

// leaseFormat is the number of the lease objects that this program writes and reads.
const leaseFormat = 1

// leaseObject is the body of a lease.
type leaseObject struct {
	Format  int       `json:"format"` // 1
	Holder  string    `json:"holder"`
	Token   string    `json:"token"` // of this acquisition: tells our own write from another's
	Fence   uint64    `json:"fence"`
	Writes  uint64    `json:"writes"` // so that no two bodies are equal
	Expires time.Time `json:"expires"`
	Expired bool      `json:"expired,omitempty"` // released
}

func (o *leaseObject) free(now time.Time) bool { return o.Expired || !now.Before(o.Expires) }

// Lease is the right to act alone until it expires. Its fence grows by one with every acquisition of the key, so that a store which
// remembers the highest fence can turn away a holder that has overslept. It is safe for concurrent use.
type Lease struct {
	b   Bucket
	key string
	ttl time.Duration
	now func() time.Time

	fence uint64 // the same in every body of an acquisition

	mu   sync.Mutex // held over requests: writes of one lease follow one another
	obj  leaseObject
	etag string
}

// Acquire takes the lease at key for ttl, or returns ErrHeld. holder says in plain words who has it (host, process, run).
// Expiry is judged by now: clocks of all holders must agree to well within ttl.
func Acquire(ctx context.Context, b Bucket, key, holder string, ttl time.Duration, now func() time.Time) (*Lease, error) {
	return AcquireFrom(ctx, b, key, holder, ttl, now, nil)
}

// AcquireFrom is Acquire, but does not wait for the lease of a holder of whom dead says that it has died, and so can neither use nor give
// back what it has: it is taken over at once, under the next fence. dead is asked about the text that the holder gave as its own and must
// be sure: a holder that lives would go on, as a zombie, until its next Check. A nil dead knows of nobody.
func AcquireFrom(ctx context.Context, b Bucket, key, holder string, ttl time.Duration, now func() time.Time, dead func(holder string) bool) (*Lease, error) {
	if ttl <= 0 {
		return nil, failed("acquire lease", key, fmt.Errorf("its time to live is %v", ttl))
	}
	l := &Lease{b: b, key: key, ttl: ttl, now: now}
	for try := 1; ; try++ {
		seen, etag, err := readLease(ctx, b, key)
		cond := Cond{IfMatch: etag}
		switch {
		case errors.Is(err, ErrNotFound):
			cond = Cond{IfAbsent: true}
		case err != nil:
			return nil, fmt.Errorf("acquire lease: %w", err)
		case !seen.free(now()) && (dead == nil || !dead(seen.Holder)):
			return nil, failed("acquire lease", key, fmt.Errorf("%w: %s has it until %s (fence %d)",
				ErrHeld, seen.Holder, seen.Expires.UTC().Format(time.RFC3339), seen.Fence))
		}
		l.obj = leaseObject{Format: leaseFormat, Holder: holder, Token: rand.Text(), Fence: seen.Fence + 1}
		l.fence = l.obj.Fence
		err = l.write(ctx, cond, false)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, ErrPrecondition) || try == commitTries {
			return nil, fmt.Errorf("acquire lease: %w", err)
		}
		// Another was faster. Reading again tells who, or that it has gone already.
	}
}

// LeaseState is what a lease's object says.
type LeaseState struct {
	Holder  string
	Fence   uint64
	Expires time.Time
	expired bool
}

// Free reports whether anybody may acquire the lease now.
func (s LeaseState) Free(now time.Time) bool { return s.expired || !now.Before(s.Expires) }

// ReadLease reads who has a lease, without touching it. ErrNotFound says that nobody ever had it.
func ReadLease(ctx context.Context, b Bucket, key string) (LeaseState, error) {
	o, _, err := readLease(ctx, b, key)
	return LeaseState{o.Holder, o.Fence, o.Expires, o.Expired}, err
}

// readLease reads the lease object and its ETag.
func readLease(ctx context.Context, b Bucket, key string) (leaseObject, string, error) {
	body, info, err := ReadAll(ctx, b, key)
	if err != nil {
		return leaseObject{}, "", err
	}
	var o leaseObject
	var head struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(body, &head) == nil && head.Format > leaseFormat {
		return leaseObject{}, "", failed("read lease", key, fmt.Errorf("format %d was made by a newer rapport; this one reads up to %d", head.Format, leaseFormat))
	}
	if err := json.Unmarshal(body, &o); err != nil || o.Format != leaseFormat || o.Fence == 0 || o.Fence == math.MaxUint64 {
		return leaseObject{}, "", failed("read lease", key, errors.New("not a lease: something else was written there"))
	}
	return o, info.ETag, nil
}

// write commits the next body of the lease. The caller holds mu, or is the only one who knows the lease.
func (l *Lease) write(ctx context.Context, c Cond, release bool) error {
	next := l.obj
	next.Writes++
	next.Expires = l.now().Add(l.ttl).UTC()
	if release {
		next.Expires, next.Expired = l.now().UTC(), true
	}
	body, err := json.Marshal(next)
	if err != nil {
		return failed("write lease", l.key, err)
	}
	info, err := Commit(ctx, l.b, l.key, body, c)
	if err != nil {
		return err
	}
	l.obj, l.etag = next, info.ETag
	return nil
}

// replace writes over our own object. If it is not what we wrote last, it may still be ours: a renewal whose response was lost, and
// which could not be read back then. The token tells.
func (l *Lease) replace(ctx context.Context, release bool) error {
	err := l.write(ctx, Cond{IfMatch: l.etag}, release)
	if !errors.Is(err, ErrPrecondition) {
		return err
	}
	seen, etag, err := readLease(ctx, l.b, l.key)
	if err != nil {
		return err
	}
	if seen.Token != l.obj.Token || seen.Expired {
		return l.lost(seen)
	}
	l.obj, l.etag = seen, etag
	if err := l.write(ctx, Cond{IfMatch: l.etag}, release); !errors.Is(err, ErrPrecondition) {
		return err
	}
	return failed("lease", l.key, ErrLost) // taken between the two requests
}

func (l *Lease) lost(seen leaseObject) error {
	if seen.Token == l.obj.Token {
		return failed("lease", l.key, fmt.Errorf("%w: it was released or expired at %s", ErrLost, seen.Expires.UTC().Format(time.RFC3339)))
	}
	return failed("lease", l.key, fmt.Errorf("%w: %s took it (fence %d, ours was %d)", ErrLost, seen.Holder, seen.Fence, l.obj.Fence))
}

// Fence returns the number of this acquisition: 1 for the first of the key, then growing by one.
func (l *Lease) Fence() uint64 { return l.fence }

// Renew extends the lease to ttl from now. ErrLost means that it is another's, or released; after any other error it is still ours
// until it expires, and Renew may be tried again. An expired lease that nobody took is ours again.
func (l *Lease) Renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.obj.Expired {
		return l.lost(l.obj)
	}
	return l.replace(ctx, false)
}

// Release gives the lease back: it writes that the lease has expired, and never deletes it, so that the fence is remembered.
// Releasing a lease that is lost or released is no error.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.obj.Expired {
		return nil
	}
	if err := l.replace(ctx, true); !errors.Is(err, ErrLost) {
		return err
	}
	return nil
}

// Check reads the lease again and returns ErrLost if it is not ours now. Call it before a commit that must not be a zombie's. The
// moment between Check and the commit stays open: the store that is written to must compare fences as well.
func (l *Lease) Check(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen, _, err := readLease(ctx, l.b, l.key)
	if err != nil {
		return err
	}
	if seen.Token != l.obj.Token || seen.free(l.now()) {
		return l.lost(seen)
	}
	return nil
}

// Keep renews the lease every third of its time, until stop is called or ctx ends. The returned context ends, with ErrLost as its
// cause, when the lease is lost or could not be renewed before it expired. stop waits for the renewing to end; it does not release.
func (l *Lease) Keep(ctx context.Context) (kept context.Context, stop func()) {
	t := time.NewTicker(l.ttl / 3)
	kept, end := l.KeepOn(ctx, t.C)
	return kept, func() { t.Stop(); end() }
}

// KeepOn is Keep with the caller's ticks: one renewal a tick.
func (l *Lease) KeepOn(ctx context.Context, ticks <-chan time.Time) (kept context.Context, stop func()) {
	kept, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-kept.Done():
				return
			case <-ticks:
			}
			if err := l.keepOnce(kept); err != nil {
				cancel(err)
				return
			}
		}
	}()
	return kept, func() { cancel(context.Canceled); <-done }
}

// keepOnce renews once. It returns an error only when the lease is gone: a failure that leaves time for another try is none.
func (l *Lease) keepOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(l.ttl/3, time.Second))
	defer cancel()
	err := l.Renew(ctx)
	if err == nil || errors.Is(err, ErrLost) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.obj.free(l.now()) {
		return failed("lease", l.key, fmt.Errorf("%w: it could not be renewed before it expired: %w", ErrLost, err))
	}
	return nil
}
