package storage_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 8, 21, 3, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const (
	leaseKey = "leases/nightly"
	ttl      = time.Minute
)

func acquire(t *testing.T, b storage.Bucket, holder string, c *clock) *storage.Lease {
	t.Helper()
	l, err := storage.Acquire(t.Context(), b, leaseKey, holder, ttl, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLease(t *testing.T) { testLeases(t, storage.NewMemory(nil)) }

func TestLeaseDirectory(t *testing.T) {
	testLeases(t, open(t, "file:"+t.TempDir(), storage.Options{}))
}

// testLeases goes through the life of a lease on any bucket.
func testLeases(t *testing.T, b storage.Bucket) {
	ctx, c := t.Context(), newClock()
	one := acquire(t, b, "one", c)
	if one.Fence() != 1 {
		t.Fatalf("the first fence is %d", one.Fence())
	}
	_, err := storage.Acquire(ctx, b, leaseKey, "two", ttl, c.now)
	if !errors.Is(err, storage.ErrHeld) || !strings.Contains(err.Error(), "one has it until 2026-08-21T03:01:00Z") {
		t.Fatalf("a held lease: %v", err)
	}

	c.pass(40 * time.Second)
	if err := one.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	c.pass(40 * time.Second) // past the first expiry, not the second
	if err := one.Check(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.Acquire(ctx, b, leaseKey, "two", ttl, c.now); !errors.Is(err, storage.ErrHeld) {
		t.Fatalf("a renewed lease: %v", err)
	}

	c.pass(20 * time.Second) // 60 s after the renewal: expired at this very moment
	if err := one.Check(ctx); !errors.Is(err, storage.ErrLost) {
		t.Fatalf("an expired lease: %v", err)
	}
	two := acquire(t, b, "two", c)
	if two.Fence() != 2 {
		t.Fatalf("the second fence is %d", two.Fence())
	}
	for what, err := range map[string]error{"Check": one.Check(ctx), "Renew": one.Renew(ctx)} {
		if !errors.Is(err, storage.ErrLost) || !strings.Contains(err.Error(), "two took it (fence 2, ours was 1)") {
			t.Errorf("%s of a zombie: %v", what, err)
		}
	}
	if err := one.Release(ctx); err != nil {
		t.Errorf("Release of a zombie: %v", err)
	}
	if err := two.Check(ctx); err != nil {
		t.Errorf("the zombie's release took the lease: %v", err)
	}

	if err := two.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if err := two.Release(ctx); err != nil {
		t.Errorf("Release twice: %v", err)
	}
	for what, err := range map[string]error{"Check": two.Check(ctx), "Renew": two.Renew(ctx)} {
		if !errors.Is(err, storage.ErrLost) {
			t.Errorf("%s after Release: %v", what, err)
		}
	}
	if three := acquire(t, b, "three", c); three.Fence() != 3 {
		t.Errorf("the fence was forgotten: %d", three.Fence())
	}
}

// TestLeaseRace: of 16 who want it at once, one gets it; over many rounds the fence grows by one a round.
func TestLeaseRace(t *testing.T) {
	b, c := storage.NewMemory(nil), newClock()
	for round := uint64(1); round <= 20; round++ {
		var wg sync.WaitGroup
		got := make(chan *storage.Lease, 16)
		for range 16 {
			wg.Go(func() {
				l, err := storage.Acquire(t.Context(), b, leaseKey, "racer", ttl, c.now)
				switch {
				case err == nil:
					got <- l
				case !errors.Is(err, storage.ErrHeld):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(got)
		n := 0
		for l := range got {
			n++
			if l.Fence() != round {
				t.Errorf("round %d: fence %d", round, l.Fence())
			}
		}
		if n != 1 {
			t.Fatalf("round %d: %d have the lease", round, n)
		}
		c.pass(ttl)
	}
}

// TestLeaseLostResponse loses the answers to writes of the lease in every way: the holder must never take that for a loss.
func TestLeaseLostResponse(t *testing.T) {
	isPut := func(c storagetest.Call) bool { return c.Op == storagetest.Put }
	isGet := func(c storagetest.Call) bool { return c.Op == storagetest.Get }
	lost := func(nth int) storagetest.Fault {
		return storagetest.Fault{Match: isPut, Nth: nth, Do: storagetest.LostResponse, Err: storage.ErrUnreachable}
	}
	t.Run("read back", func(t *testing.T) {
		b, c := storagetest.NewFaulty(storage.NewMemory(nil), lost(1), lost(2), lost(3)), newClock()
		l := acquire(t, b, "one", c)
		if err := l.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b.Fired() != 3 {
			t.Errorf("%d faults", b.Fired())
		}
	})
	t.Run("not even readable", func(t *testing.T) {
		// The second Put is done, but neither its answer nor the reading back arrives (Gets: acquire 1, read back 2).
		b, c := storagetest.NewFaulty(storage.NewMemory(nil), lost(2), storagetest.Fault{Match: isGet, Nth: 2, Err: storage.ErrUnreachable}), newClock()
		l := acquire(t, b, "one", c)
		if err := l.Renew(t.Context()); !errors.Is(err, storage.ErrUnreachable) || errors.Is(err, storage.ErrLost) {
			t.Fatalf("the cut-off renewal: %v", err)
		}
		c.pass(10 * time.Second)
		if err := l.Renew(t.Context()); err != nil { // meets its own object under an ETag that it does not know
			t.Fatalf("the next renewal: %v", err)
		}
		if err := l.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.pass(55 * time.Second)
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("the next renewal did not extend the lease: %v", err)
		}
	})
}

// TestLeaseNotALease: a foreign object under the key is not overwritten.
func TestLeaseNotALease(t *testing.T) {
	b, c := storage.NewMemory(nil), newClock()
	for body, says := range map[string]string{"": "not a lease", "{}": "not a lease", "not json": "not a lease", `{"format":2,"fence":3}`: "made by a newer rapport"} {
		if _, err := b.Put(t.Context(), leaseKey, storage.Bytes([]byte(body)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
		if _, err := storage.Acquire(t.Context(), b, leaseKey, "one", ttl, c.now); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", body, err)
		}
		if _, err := storage.ReadLease(t.Context(), b, leaseKey); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("read %q: %v", body, err)
		}
	}
	if _, err := storage.Acquire(t.Context(), b, leaseKey, "one", 0, c.now); err == nil {
		t.Error("no time to live: no error")
	}
}

// TestLeaseKeep drives the renewing by hand. A tick is taken only when the one before it has been worked off, so sending two ticks
// waits for the first.
func TestLeaseKeep(t *testing.T) {
	t.Run("renews", func(t *testing.T) {
		b, c := storage.NewMemory(nil), newClock()
		l := acquire(t, b, "one", c)
		ticks := make(chan time.Time)
		ctx, stop := l.KeepOn(t.Context(), ticks)
		for range 10 {
			c.pass(ttl / 2)
			ticks <- c.now()
			ticks <- c.now()
		}
		if err := l.Check(ctx); err != nil {
			t.Error(err)
		}
		stop()
		stop()
		if !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("stopped because %v", context.Cause(ctx))
		}
	})
	t.Run("lost to another", func(t *testing.T) {
		b, c := storage.NewMemory(nil), newClock()
		l := acquire(t, b, "one", c)
		ticks := make(chan time.Time)
		ctx, stop := l.KeepOn(t.Context(), ticks)
		defer stop()
		c.pass(ttl)
		acquire(t, b, "two", c)
		ticks <- c.now()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), storage.ErrLost) {
			t.Errorf("ended because %v", context.Cause(ctx))
		}
	})
	t.Run("store gone", func(t *testing.T) {
		isRenewal := func(c storagetest.Call) bool { return c.Op == storagetest.Put && c.Cond.IfMatch != "" }
		b := storagetest.NewFaulty(storage.NewMemory(nil), storagetest.Fault{Match: isRenewal, Err: storage.ErrUnreachable})
		c := newClock()
		l := acquire(t, b, "one", c)
		ticks := make(chan time.Time)
		ctx, stop := l.KeepOn(t.Context(), ticks)
		defer stop()
		c.pass(ttl / 2)
		ticks <- c.now()
		ticks <- c.now()
		if ctx.Err() != nil {
			t.Fatalf("ended while there was time: %v", context.Cause(ctx))
		}
		c.pass(ttl / 2)
		select {
		case ticks <- c.now():
		case <-ctx.Done(): // the second tick of before saw the time pass
		}
		<-ctx.Done()
		if err := context.Cause(ctx); !errors.Is(err, storage.ErrLost) || !errors.Is(err, storage.ErrUnreachable) {
			t.Errorf("ended because %v", err)
		}
	})
	t.Run("its own ticker", func(t *testing.T) {
		c, puts := newClock(), make(chan struct{}, 1000)
		b := signalling{storage.NewMemory(nil), puts}
		l, err := storage.Acquire(t.Context(), b, leaseKey, "one", 3*time.Millisecond, c.now)
		if err != nil {
			t.Fatal(err)
		}
		_, stop := l.Keep(t.Context())
		for range 3 { // the acquisition and two renewals
			<-puts
		}
		stop()
	})
}

// signalling says when something is written.
type signalling struct {
	storage.Bucket
	puts chan<- struct{}
}

func (s signalling) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	info, err := s.Bucket.Put(ctx, key, b, c)
	select {
	case s.puts <- struct{}{}:
	default:
	}
	return info, err
}

// FuzzLease: whatever stands at the key, Acquire answers, and never with a fence that was seen before.
func FuzzLease(f *testing.F) {
	f.Add([]byte(`{"format":1,"holder":"one","fence":7,"expires":"2026-08-21T03:00:00Z"}`))
	f.Add([]byte(`{"format":1,"fence":18446744073709551615,"expired":true}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, c := storage.NewMemory(nil), newClock()
		if _, err := b.Put(t.Context(), leaseKey, storage.Bytes(body), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
		l, err := storage.Acquire(t.Context(), b, leaseKey, "two", ttl, c.now)
		if err == nil && l.Fence() < 2 {
			t.Errorf("%q: fence %d", body, l.Fence())
		}
	})
}

// TestReadLease: who has a lease can be read without touching it.
func TestReadLease(t *testing.T) {
	b, c := storage.NewMemory(nil), newClock()
	if _, err := storage.ReadLease(t.Context(), b, leaseKey); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("a lease that nobody had: %v", err)
	}
	l, err := storage.Acquire(t.Context(), b, leaseKey, "one", ttl, c.now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := storage.ReadLease(t.Context(), b, leaseKey)
	if err != nil || s.Holder != "one" || s.Fence != l.Fence() || s.Free(c.now()) || !s.Free(s.Expires) {
		t.Errorf("held: %+v, %v", s, err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err = storage.ReadLease(t.Context(), b, leaseKey); err != nil || !s.Free(c.now()) {
		t.Errorf("released: %+v, %v", s, err)
	}
}
