package onlinetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

// Target is one empty store under test.
type Target struct {
	// Open returns one more handle on the store, as another process would have it. The test's cleanup closes it.
	Open func(t testing.TB) online.Store
	// Raw calls f with everything that the store keeps, names, keys and values, decoded as well as raw.
	Raw func(t testing.TB, f func(where string, b []byte))
}

// TestStore runs the suite. fresh returns a new, empty store at each call.
func TestStore(t *testing.T, fresh func(t *testing.T) Target) {
	tests := []struct {
		name string
		test func(t *testing.T, target Target)
	}{
		{"an empty store says so", testEmpty},
		{"a generation is seen when it is live", testLoadSwapGet},
		{"the digest is of the content", testDigest},
		{"a key put twice is refused", testTwice},
		{"bad entries and owners are refused", testRefused},
		{"an unfinished generation is replaced", testUnfinished},
		{"the live generation can be neither loaded nor dropped", testLive},
		{"only a higher fence swaps", testFence},
		{"the highest of racing fences wins", testRacingSwaps},
		{"a denial wins over every generation", testDeny},
		{"an expired row is not served", testExpiry},
		{"an erasure leaves nothing", testErase},
		{"an erasure reaches a generation that is loading", testEraseWhileLoading},
		{"an erased owner may come back", testEraseAllow},
		{"a person is known by the keys of both sides of a rotation", testKnownBy},
		{"the fallback hides every owned row", testFallback},
		{"the horizon hides every owned row from then on", testHorizon},
		{"readers see the old or the new", testReaders},
		{"recommend falls back to the list not based on profiling", testRecommend},
		{"a cancelled call does nothing", testCancelled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, fresh(t)) })
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("random operations %d", seed), func(t *testing.T) { testRandom(t, fresh, seed, 250) })
	}
}

// Load loads a generation and returns its digest, or ends the test.
func Load(t testing.TB, s online.Store, number uint64, entries ...online.Entry) string {
	t.Helper()
	l, err := s.Load(t.Context(), number)
	if err != nil {
		t.Fatalf("load %d: %v", number, err)
	}
	defer l.Close()
	if err := l.Put(t.Context(), entries...); err != nil {
		t.Fatalf("put into %d: %v", number, err)
	}
	digest, err := l.Finish(t.Context())
	if err != nil {
		t.Fatalf("finish %d: %v", number, err)
	}
	return digest
}

// swap makes a generation live, or ends the test.
func swap(t testing.TB, s online.Store, number, fence uint64) {
	t.Helper()
	if err := s.Swap(t.Context(), online.Pointer{Generation: number, Fence: fence}); err != nil {
		t.Fatalf("swap to %d, fence %d: %v", number, fence, err)
	}
}

// wantError ends the test unless err is target (nil: no error).
func wantError(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%s: error %v, want %v", what, err, target)
	}
}

// wantValue ends the test unless key has this value at time 0.
func wantValue(t testing.TB, s online.Store, key, value string) {
	t.Helper()
	e, _, err := s.Get(t.Context(), key, 0)
	if err != nil || string(e.Value) != value || e.Key != key {
		t.Fatalf("get %s: %q %v, want %q", key, e.Value, err, value)
	}
}

func row(key, owner, value string) online.Entry {
	return online.Entry{Key: key, Owner: owner, Value: []byte(value)}
}

// traces lists the places where the store keeps needle.
func traces(t testing.TB, target Target, needle string) (found []string) {
	t.Helper()
	target.Raw(t, func(where string, b []byte) {
		if bytes.Contains(b, []byte(needle)) && !slices.Contains(found, where) {
			found = append(found, where)
		}
	})
	return found
}
