package storage_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// TestAcquireFromDead: a live holder is never taken over; a dead one is at once, under the next fence, by one of all who try.
func TestAcquireFromDead(t *testing.T) {
	ctx, c, b := t.Context(), newClock(), storage.NewMemory(nil)
	died := map[string]bool{}
	from := func(holder string) (*storage.Lease, error) {
		return storage.AcquireFrom(ctx, b, leaseKey, holder, ttl, c.now, func(h string) bool { return died[h] })
	}
	one := acquire(t, b, "one", c)
	if _, err := from("two"); !errors.Is(err, storage.ErrHeld) {
		t.Fatalf("a live holder was taken over: %v", err)
	}
	if err := one.Check(ctx); err != nil {
		t.Fatalf("after the refusal: %v", err)
	}
	died["one"] = true
	if _, err := storage.Acquire(ctx, b, leaseKey, "two", ttl, c.now); !errors.Is(err, storage.ErrHeld) {
		t.Fatalf("Acquire knows of no deaths: %v", err)
	}

	var wg sync.WaitGroup
	got := make(chan *storage.Lease, 8)
	for range cap(got) {
		wg.Go(func() {
			l, err := from("two")
			if err == nil {
				got <- l
			} else if !errors.Is(err, storage.ErrHeld) {
				t.Errorf("take over: %v", err)
			}
		})
	}
	wg.Wait()
	close(got)
	if len(got) != 1 {
		t.Fatalf("%d took over the lease of one that died", len(got))
	}
	two := <-got
	if two.Fence() != 2 {
		t.Errorf("the fence after the takeover is %d, want 2", two.Fence())
	}
	if err := two.Check(ctx); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{"Check": one.Check(ctx), "Renew": one.Renew(ctx)} {
		if !errors.Is(err, storage.ErrLost) {
			t.Errorf("%s of the one thought dead: %v", what, err)
		}
	}
	if err := two.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if three, err := from("three"); err != nil || three.Fence() != 3 {
		t.Errorf("after the release: %v", err)
	}
}
