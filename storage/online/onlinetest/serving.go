package onlinetest

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

// testReaders swaps, erases and drops under the eyes of readers, each of whose answers must belong to one generation.
func testReaders(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	const rounds, rows = 10, 40
	load := func(number uint64) {
		entries := []online.Entry{row("meta", "", fmt.Sprint(number))}
		for i := range rows {
			entries = append(entries, row(fmt.Sprintf("list/o%d", i), fmt.Sprintf("o%d", i), fmt.Sprint(number)))
		}
		// Rows to erase, one a round, that make every erasure rewrite the table.
		for i := range uint64(rounds) {
			entries = append(entries, row(fmt.Sprintf("gone/%d", i), fmt.Sprintf("gone-%d", i), fmt.Sprint(number)))
		}
		Load(t, s, number, entries...)
	}
	load(1)
	swap(t, s, 1, 1)

	done := make(chan struct{})
	var wg sync.WaitGroup
	for r := range 3 {
		h := target.Open(t)
		wg.Go(func() {
			var last uint64
			for n := 0; ; n++ {
				select {
				case <-done:
					if n == 0 {
						t.Error("a reader read nothing")
					}
					return
				default:
				}
				for _, key := range []string{"meta", fmt.Sprintf("list/o%d", (n*7+r)%rows)} {
					e, p, err := h.Get(ctx, key, 0)
					if err != nil || string(e.Value) != fmt.Sprint(p.Generation) {
						t.Errorf("get %s: value %q of generation %d: %v", key, e.Value, p.Generation, err)
						return
					}
					if p.Fence < last {
						t.Errorf("fence went back from %d to %d", last, p.Fence)
						return
					}
					last = p.Fence
				}
				if n%8 > 0 {
					continue
				}
				seen := map[string]int{}
				if err := h.Scan(ctx, "list/", func(e online.Entry) error { seen[string(e.Value)]++; return nil }); err != nil {
					t.Errorf("scan: %v", err)
					return
				}
				if len(seen) != 1 {
					t.Errorf("a scan saw rows of several generations: %v", seen)
					return
				}
			}
		})
	}
	for round := range uint64(rounds) {
		number := round + 2
		load(number)
		swap(t, s, number, number)
		if n, err := s.Erase(ctx, fmt.Sprintf("gone-%d", round)); err != nil || n == 0 {
			t.Errorf("erase: %d %v", n, err)
		}
		if err := s.Drop(ctx, number-1); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

func testRecommend(t *testing.T, target Target) {
	s, ctx := target.Open(t), t.Context()
	list := func(id string, items ...string) online.List {
		l := online.List{ID: id, Version: "v1", Personalized: true, Items: []online.ListItem{}}
		for i, item := range items {
			l.Items = append(l.Items, online.ListItem{Item: item, Score: 1 / float64(i+1), Reasons: []online.Reason{{Kind: "popularity", Contribution: 1}}})
		}
		return l
	}
	entries := make([]online.Entry, 3)
	var errs [3]error
	entries[0], errs[0] = online.UnprofiledEntry(list("u", "p1", "p2"))
	entries[1], errs[1] = online.ListEntry("o1", list("l1", "a", "b", "c"), 1000)
	entries[2], errs[2] = online.ListEntry("o2", list("l2", "d"), 0)
	for _, err := range errs {
		wantError(t, "encode", err, nil)
	}
	_, _, err := online.Recommend(ctx, s, "o1", 2, 0)
	wantError(t, "before anything is live", err, online.ErrNoGeneration)
	Load(t, s, 4, entries...)
	Load(t, s, 5, entries[1:]...)
	swap(t, s, 4, 1)
	wantError(t, "deny", s.Deny(ctx, "o2"), nil)
	for _, tt := range []struct {
		owner        string
		k            int
		now          int64
		id           string
		personalized bool
		items        int
	}{
		{"o1", 2, 999, "l1", true, 2},
		{"o1", 9, 999, "l1", true, 3},
		{"o1", 2, 1000, "u", false, 2}, // expired
		{"o2", 1, 0, "u", false, 1},    // denied
		{"o3", 9, 0, "u", false, 2},    // unknown
	} {
		l, p, err := online.Recommend(ctx, s, tt.owner, tt.k, tt.now)
		if err != nil || l.ID != tt.id || l.Personalized != tt.personalized || len(l.Items) != tt.items || p.Generation != 4 {
			t.Errorf("recommend to %s at %d: %+v of %d, %v; want list %s, %d items, personalized %v", tt.owner, tt.now, l, p.Generation, err, tt.id, tt.items, tt.personalized)
		}
	}
	l, _, err := online.Recommend(ctx, s, "o1", 1, 0)
	if want := list("l1", "a"); err != nil || !reflect.DeepEqual(l, want) {
		t.Errorf("recommend: %+v %v, want %+v", l, err, want)
	}
	if _, _, err := online.Recommend(ctx, s, "o1", 0, 0); err == nil {
		t.Error("no items were recommended without an error")
	}
	swap(t, s, 5, 2)
	_, _, err = online.Recommend(ctx, s, "o3", 1, 0)
	wantError(t, "a generation without the list not based on profiling", err, online.ErrNotFound)

	// Whatever the list not based on profiling says of itself, it is not personalized.
	Load(t, s, 6, row(online.UnprofiledKey, "", `{"id":"raw","personalized":true}`))
	swap(t, s, 6, 3)
	if l, _, err := online.Recommend(ctx, s, "o3", 1, 0); err != nil || l.ID != "raw" || l.Personalized {
		t.Errorf("recommend: %+v %v", l, err)
	}
}
