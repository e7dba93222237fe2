package onlinetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

func testEmpty(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	_, err := s.Live(ctx)
	wantError(t, "live", err, online.ErrNoGeneration)
	_, _, err = s.Get(ctx, "k", 0)
	wantError(t, "get", err, online.ErrNoGeneration)
	wantError(t, "scan", s.Scan(ctx, "", func(online.Entry) error { return nil }), online.ErrNoGeneration)
	wantError(t, "swap", s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}), online.ErrUnknownGeneration)
	wantError(t, "drop", s.Drop(ctx, 1), nil)
	generations, err := s.Generations(ctx)
	if err != nil || len(generations) != 0 {
		t.Fatalf("generations %v %v", generations, err)
	}
	denied, err := s.Denied(ctx)
	if err != nil || len(denied) != 0 {
		t.Fatalf("denied %v %v", denied, err)
	}
	Load(t, s, 1)
	swap(t, s, 1, 1)
	_, _, err = s.Get(ctx, "k", 0)
	wantError(t, "get from a generation without entries", err, online.ErrNotFound)
}

func testLoadSwapGet(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	binary := string([]byte{0, 1, 0xff, '\n', 0})
	entries := []online.Entry{
		row("z", "", "last"), row("a/2", "o1", binary), row("a/1", "o2", ""), row("a", "", "first"), row("b%2F", "", "between"),
		{Key: "a/3", Owner: "o1", Value: []byte("expires"), Expires: 77},
	}
	l, err := s.Load(ctx, 3)
	wantError(t, "load", err, nil)
	wantError(t, "put", l.Put(ctx, entries...), nil)
	for i := range entries[0].Value {
		entries[0].Value[i] = 'x' // the loader keeps no reference to it
	}
	if generations, err := other.Generations(ctx); err != nil || len(generations) != 0 {
		t.Fatalf("an unfinished generation is listed: %v %v", generations, err)
	}
	wantError(t, "swap to an unfinished generation", s.Swap(ctx, online.Pointer{Generation: 3, Fence: 1}), online.ErrUnknownGeneration)
	digest, err := l.Finish(ctx)
	wantError(t, "finish", err, nil)
	if _, err := l.Finish(ctx); err == nil {
		t.Fatal("a loader finished twice")
	}
	if err := l.Put(ctx, row("late", "", "")); err == nil {
		t.Fatal("a finished loader took an entry")
	}
	wantError(t, "close after finish", l.Close(), nil)
	if generations, err := other.Generations(ctx); err != nil || !maps.Equal(generations, map[uint64]string{3: digest}) {
		t.Fatalf("generations %v %v, want 3 with %s", generations, err, digest)
	}
	_, _, err = other.Get(ctx, "a", 0)
	wantError(t, "get before the swap", err, online.ErrNoGeneration)

	p := online.Pointer{Generation: 3, Fence: 9, Meta: []byte(`{"version":"v3"}`)}
	wantError(t, "swap", s.Swap(ctx, p), nil)
	for _, h := range []online.Store{s, other} {
		live, err := h.Live(ctx)
		if err != nil || !reflect.DeepEqual(live, p) {
			t.Fatalf("live %v %v, want %v", live, err, p)
		}
		wantValue(t, h, "z", "last")
		wantValue(t, h, "a/1", "")
		e, at, err := h.Get(ctx, "a/2", 5)
		if want := row("a/2", "o1", binary); err != nil || !reflect.DeepEqual(e, want) || !reflect.DeepEqual(at, p) {
			t.Fatalf("get a/2: %v %v %v", e, at, err)
		}
		for _, absent := range []string{"", "a/", "a/0", "a/22", "zz", "A"} {
			_, _, err = h.Get(ctx, absent, 0)
			wantError(t, "get of an absent key", err, online.ErrNotFound)
		}
		for prefix, want := range map[string][]string{"": {"a", "a/1", "a/2", "a/3", "b%2F", "z"}, "a/": {"a/1", "a/2", "a/3"}, "c": nil, "z": {"z"}} {
			var keys []string
			err := h.Scan(ctx, prefix, func(e online.Entry) error { keys = append(keys, e.Key); return nil })
			if err != nil || !slices.Equal(keys, want) {
				t.Fatalf("scan %q: %v %v, want %v", prefix, keys, err, want)
			}
		}
		stop := errors.New("stop")
		wantError(t, "scan that is stopped", h.Scan(ctx, "", func(online.Entry) error { return stop }), stop)
	}
}

func testDigest(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	rng := rand.New(rand.NewPCG(5, 5))
	rows := map[string]online.Entry{}
	for i := range 500 {
		e := row(fmt.Sprintf("k/%d", i), fmt.Sprintf("o%d", i%7), fmt.Sprint(rng.Uint64()))
		rows[e.Key] = e
	}
	entries := slices.Collect(maps.Values(rows))
	want := digest(rows)
	for number := range uint64(3) {
		rng.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		l, err := s.Load(ctx, number)
		wantError(t, "load", err, nil)
		for i := 0; i < len(entries); {
			n := min(1+rng.IntN(40), len(entries)-i)
			wantError(t, "put", l.Put(ctx, entries[i:i+n]...), nil)
			i += n
		}
		got, err := l.Finish(ctx)
		if err != nil || got != want {
			t.Fatalf("digest %s %v, want %s", got, err, want)
		}
	}
	for _, changed := range []online.Entry{row("k/1", "o1", "x"), row("k/1", "o2", string(rows["k/1"].Value)), {Key: "k/1", Owner: "o1", Value: rows["k/1"].Value, Expires: 1}} {
		other := maps.Clone(rows)
		other["k/1"] = changed
		if got := Load(t, s, 9, slices.Collect(maps.Values(other))...); got == want || got != digest(other) {
			t.Fatalf("the digest does not see the change to %v", changed)
		}
	}
}

func testTwice(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	for _, distance := range []int{0, 1, 300} {
		l, err := s.Load(ctx, 1)
		wantError(t, "load", err, nil)
		err = l.Put(ctx, row("list/named-owner", "", "a"))
		for i := 0; i < distance && err == nil; i++ {
			err = l.Put(ctx, row(fmt.Sprintf("k/%d", i), "", "some value, so that this takes room"))
		}
		if err == nil {
			err = l.Put(ctx, row("list/named-owner", "", "b"))
		}
		if err == nil {
			_, err = l.Finish(ctx)
		}
		if err == nil {
			t.Fatalf("a key was put twice, %d entries apart, and Finish succeeded", distance)
		}
		if strings.Contains(err.Error(), "named-owner") {
			t.Fatalf("the error names a subject: %v", err)
		}
		wantError(t, "close", l.Close(), nil)
	}
	if generations, err := s.Generations(ctx); err != nil || len(generations) != 0 {
		t.Fatalf("generations %v %v, want none", generations, err)
	}
}

func testRefused(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	l, err := s.Load(ctx, 1)
	wantError(t, "load", err, nil)
	defer l.Close()
	for name, e := range map[string]online.Entry{
		"no key":            {},
		"long key":          {Key: string(make([]byte, 1<<20))},
		"negative expiry":   {Key: "k", Expires: -1},
		"an erased owner":   {Key: "k", Owner: online.ErasedName("o")},
		"an owner not UTF8": {Key: "k", Owner: "\xff"},
	} {
		if err := l.Put(ctx, e); err == nil {
			t.Errorf("%s: put succeeded", name)
		}
	}
	for name, owner := range map[string]string{"empty": "", "not UTF-8": "\xff"} {
		if s.Deny(ctx, owner) == nil || s.Allow(ctx, owner) == nil {
			t.Errorf("%s owner: deny or allow succeeded", name)
		}
		if _, err := s.Erase(ctx, owner); err == nil {
			t.Errorf("%s owner: erase succeeded", name)
		}
	}
}

func testUnfinished(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	zombie, err := s.Load(ctx, 2)
	wantError(t, "load", err, nil)
	wantError(t, "put", zombie.Put(ctx, row("k", "", "of the zombie"), row("z", "", "of the zombie")), nil)
	Load(t, other, 2, row("k", "", "of the second"))
	if _, err := zombie.Finish(ctx); err == nil {
		t.Fatal("a superseded loader finished")
	}
	wantError(t, "close of the superseded loader", zombie.Close(), nil)
	swap(t, s, 2, 1)
	wantValue(t, other, "k", "of the second")
	_, _, err = s.Get(ctx, "z", 0)
	wantError(t, "get", err, online.ErrNotFound)

	abandoned, err := s.Load(ctx, 3)
	wantError(t, "load", err, nil)
	wantError(t, "put", abandoned.Put(ctx, row("k", "", "abandoned-value")), nil)
	wantError(t, "close", abandoned.Close(), nil)
	if _, err := abandoned.Finish(ctx); err == nil {
		t.Fatal("a closed loader finished")
	}
	if found := traces(t, target, "abandoned-value"); len(found) > 0 {
		t.Fatalf("an abandoned generation left %v", found)
	}
}

func testLive(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	Load(t, s, 1, row("k", "", "one"))
	before := Load(t, s, 2, row("k", "", "two"))
	swap(t, s, 1, 1)
	_, err := s.Load(ctx, 1)
	wantError(t, "load of the live generation", err, online.ErrLive)
	wantError(t, "drop of the live generation", s.Drop(ctx, 1), online.ErrLive)

	// A finished generation that is not live may be loaded again: a run that died before its swap does so.
	if after := Load(t, s, 2, row("k", "", "two again")); after == before {
		t.Fatal("the generation was not replaced")
	}
	swap(t, s, 2, 2)
	wantValue(t, s, "k", "two again")
	wantError(t, "drop", s.Drop(ctx, 1), nil)
	wantError(t, "rollback to a dropped generation", s.Swap(ctx, online.Pointer{Generation: 1, Fence: 3}), online.ErrUnknownGeneration)
	if generations, err := s.Generations(ctx); err != nil || len(generations) != 1 {
		t.Fatalf("generations %v %v, want 2 alone", generations, err)
	}
	if found := traces(t, target, "one"); len(found) > 0 {
		t.Fatalf("the dropped generation left %v", found)
	}

	// A loader cannot finish under a generation that went live while it loaded.
	l, err := s.Load(ctx, 4)
	wantError(t, "load", err, nil)
	defer l.Close()
	Load(t, s, 4, row("k", "", "four"))
	swap(t, s, 4, 4)
	if _, err := l.Finish(ctx); err == nil {
		t.Fatal("a loader replaced the live generation")
	}
	wantValue(t, s, "k", "four")
}

func testFence(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	Load(t, s, 1, row("k", "", "one"))
	Load(t, s, 2, row("k", "", "two"))
	p := func(generation, fence uint64, meta string) online.Pointer {
		return online.Pointer{Generation: generation, Fence: fence, Meta: []byte(meta)}
	}
	for i, step := range []struct {
		p    online.Pointer
		err  error
		live uint64
	}{
		{p(1, 5, "{}"), nil, 1},
		{p(2, 4, "{}"), online.ErrFenced, 1},
		{p(2, 5, "{}"), online.ErrFenced, 1},
		{p(1, 5, "{ }"), online.ErrFenced, 1}, // another meta
		{p(1, 5, "{}"), nil, 1},               // the stored pointer again: the answer of a retry after a lost response
		{p(9, 5, "{}"), online.ErrFenced, 1},
		{p(9, 6, "{}"), online.ErrUnknownGeneration, 1},
		{p(2, 6, "{}"), nil, 2},
		{p(1, 7, "{}"), nil, 1}, // rollback
		{p(2, 6, "{}"), online.ErrFenced, 1},
	} {
		h := []online.Store{s, other}[i%2]
		err := h.Swap(ctx, step.p)
		wantError(t, fmt.Sprintf("step %d", i), err, step.err)
		live, err := s.Live(ctx)
		if err != nil || live.Generation != step.live {
			t.Fatalf("step %d: live %v %v, want generation %d", i, live, err, step.live)
		}
	}
}

func testRacingSwaps(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	const racers = 8
	for g := range uint64(racers) {
		Load(t, s, g, row("k", "", fmt.Sprint(g)))
	}
	var wg sync.WaitGroup
	for g := range uint64(racers) {
		h := target.Open(t)
		wg.Go(func() {
			if err := h.Swap(ctx, online.Pointer{Generation: g, Fence: 100 + g}); err != nil && (g == racers-1 || !errors.Is(err, online.ErrFenced)) {
				t.Errorf("swap with fence %d: %v", 100+g, err)
			}
		})
	}
	wg.Wait()
	wantValue(t, s, "k", fmt.Sprint(racers-1))
}

func testDeny(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	Load(t, s, 1, row("k/1", "o1", "one"), row("k/2", "o2", "one"), row("k/0", "", "one"))
	Load(t, s, 2, row("k/1", "o1", "two"), row("k/2", "o2", "two"), row("k/0", "", "two"))
	swap(t, s, 2, 1)
	wantValue(t, other, "k/1", "two")
	wantError(t, "deny", s.Deny(ctx, "o1", "somebody-unknown", "o1"), nil)
	check := func(value string, err1 error) {
		t.Helper()
		for _, h := range []online.Store{s, other, target.Open(t)} {
			_, _, err := h.Get(ctx, "k/1", 0)
			wantError(t, "get of a denied row", err, err1)
			wantValue(t, h, "k/2", value)
			wantValue(t, h, "k/0", value)
		}
	}
	check("two", online.ErrDenied)
	swap(t, s, 1, 2) // rollback
	check("one", online.ErrDenied)
	Load(t, s, 3, row("k/1", "o1", "three"), row("k/2", "o2", "three"), row("k/0", "", "three"))
	swap(t, s, 3, 3)
	check("three", online.ErrDenied)
	denied, err := other.Denied(ctx)
	if err != nil || !slices.Equal(denied, []string{"o1", "somebody-unknown"}) {
		t.Fatalf("denied %v %v", denied, err)
	}
	var scanned []string
	err = s.Scan(ctx, "k/", func(e online.Entry) error { scanned = append(scanned, e.Key); return nil })
	if err != nil || len(scanned) != 3 {
		t.Fatalf("scan %v %v, want the denied row too", scanned, err)
	}
	wantError(t, "allow", other.Allow(ctx, "o1"), nil)
	check("three", nil)
	wantError(t, "deny of nobody", s.Deny(ctx), nil)
	denied, err = s.Denied(ctx)
	if err != nil || !slices.Equal(denied, []string{"somebody-unknown"}) {
		t.Fatalf("denied %v %v", denied, err)
	}
	// Many small changes, so that a store that logs them has to tidy up.
	for i := range 30 {
		wantError(t, "deny", s.Deny(ctx, "o2", fmt.Sprint("passing-", i)), nil)
		_, _, err := other.Get(ctx, "k/2", 0)
		wantError(t, "get", err, online.ErrDenied)
		wantError(t, "allow", other.Allow(ctx, "o2", fmt.Sprint("passing-", i)), nil)
		wantValue(t, s, "k/2", "three")
	}
}

func testExpiry(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	Load(t, s, 1,
		online.Entry{Key: "never", Owner: "o1", Value: []byte("v")},
		online.Entry{Key: "at 1000", Owner: "o1", Value: []byte("v"), Expires: 1000})
	swap(t, s, 1, 1)
	for _, tt := range []struct {
		key string
		now int64
		err error
	}{
		{"never", 0, nil},
		{"never", 1 << 62, nil},
		{"at 1000", 999, nil},
		{"at 1000", 1000, online.ErrNotFound},
		{"at 1000", 1001, online.ErrNotFound},
	} {
		_, _, err := s.Get(ctx, tt.key, tt.now)
		wantError(t, fmt.Sprintf("get %q at %d", tt.key, tt.now), err, tt.err)
	}
	wantError(t, "deny", s.Deny(ctx, "o1"), nil)
	_, _, err := s.Get(ctx, "at 1000", 2000)
	wantError(t, "a denied and expired row", err, online.ErrDenied)
}

func testCancelled(t *testing.T, target Target) {
	s := target.Open(t)
	Load(t, s, 1, row("k", "", "one"))
	swap(t, s, 1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := s.Load(ctx, 2)
	wantError(t, "load", err, nil)
	defer l.Close()
	wantError(t, "put", l.Put(ctx, row("k", "", "two")), nil)
	cancel()
	_, _, err = s.Get(ctx, "k", 0)
	wantError(t, "get", err, context.Canceled)
	_, err = l.Finish(ctx)
	wantError(t, "finish", err, context.Canceled)
	if generations, err := s.Generations(t.Context()); err != nil || len(generations) != 1 {
		t.Fatalf("generations %v %v, want 1 alone", generations, err)
	}
	wantValue(t, s, "k", "one")
}
