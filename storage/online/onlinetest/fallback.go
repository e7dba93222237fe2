package onlinetest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

func testFallback(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	off := func() {
		t.Helper()
		for _, h := range []online.Store{s, other} {
			if f, err := h.Fallback(ctx); f != nil || err != nil {
				t.Fatalf("fallback %+v %v, want none", f, err)
			}
		}
	}
	off()
	wantError(t, "ending what is not on", s.SetFallback(ctx, nil), nil)

	// It may be turned on before anything is live, and stands outside what is loaded, swapped, erased and dropped.
	want := online.Fallback{Since: 1_700_000_000_000_000, By: "an operator", Why: "complaints: \"odd\" lists\n(ü)"}
	wantError(t, "on", s.SetFallback(ctx, &want), nil)
	entries := make([]online.Entry, 2)
	var errs [2]error
	entries[0], errs[0] = online.UnprofiledEntry(online.List{ID: "u", Items: []online.ListItem{{Item: "p"}}})
	entries[1], errs[1] = online.ListEntry("o1", online.List{ID: "l", Personalized: true, Items: []online.ListItem{{Item: "a"}}}, 50)
	for _, err := range errs {
		wantError(t, "encode", err, nil)
	}
	entries = append(entries, row("k/1", "o1", "one"), row("k/2", "o2", "two"), row("k/0", "", "unowned"), row("k/3", "gone", "three"))
	Load(t, s, 1, entries...)
	Load(t, s, 2, entries...)
	check := func(owned error, list string) {
		t.Helper()
		for _, h := range []online.Store{s, other, target.Open(t)} {
			_, p, err := h.Get(ctx, "k/1", 0)
			wantError(t, "get of an owned row", err, owned)
			if p.Generation == 0 {
				t.Fatal("the refusal does not say of which generation it is")
			}
			wantValue(t, h, "k/0", "unowned")
			_, _, err = h.Get(ctx, "absent", 0)
			wantError(t, "get of an absent row", err, online.ErrNotFound)
			l, _, err := online.Recommend(ctx, h, "o1", 5, 0)
			if err != nil || l.ID != list || l.Personalized != (list == "l") {
				t.Fatalf("recommend: %+v %v, want list %s", l, err, list)
			}
			_, _, err = h.Get(ctx, "list/o1", 100)
			if owned != nil {
				wantError(t, "an expired row during the fallback", err, online.ErrFallback)
			} else {
				wantError(t, "an expired row", err, online.ErrNotFound)
			}
		}
	}
	swap(t, s, 1, 1)
	check(online.ErrFallback, "u")
	check(online.ErrDenied, "u") // which callers know how to treat
	swap(t, other, 2, 2)
	if n, err := s.Erase(ctx, "gone"); n != 2 || err != nil {
		t.Fatalf("erase: %d %v", n, err)
	}
	wantError(t, "drop", s.Drop(ctx, 1), nil)
	check(online.ErrFallback, "u")
	for _, h := range []online.Store{s, other} {
		if got, err := h.Fallback(ctx); err != nil || !reflect.DeepEqual(got, &want) {
			t.Fatalf("fallback %+v %v, want %+v", got, err, want)
		}
	}

	// A denied owner is denied, and stays so behind the fallback.
	wantError(t, "deny", s.Deny(ctx, "o2"), nil)
	_, _, err := other.Get(ctx, "k/2", 0)
	wantError(t, "get of a denied row", err, online.ErrDenied)
	again := online.Fallback{Since: 7, By: "another"}
	wantError(t, "on again", other.SetFallback(ctx, &again), nil)
	if got, err := s.Fallback(ctx); err != nil || !reflect.DeepEqual(got, &again) {
		t.Fatalf("fallback %+v %v, want %+v", got, err, again)
	}
	if err := s.SetFallback(ctx, &online.Fallback{Why: strings.Repeat("x", 1<<20)}); err == nil {
		t.Fatal("a reason of a MiB was taken")
	}
	for range 3 {
		wantError(t, "off", other.SetFallback(ctx, nil), nil)
		off()
		check(nil, "l")
		_, _, err = s.Get(ctx, "k/2", 0)
		wantError(t, "get of a denied row", err, online.ErrDenied)
		wantError(t, "on", s.SetFallback(ctx, &want), nil)
		check(online.ErrFallback, "u")
	}
}
