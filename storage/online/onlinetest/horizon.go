package onlinetest

import (
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

func testHorizon(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	const soon, late = 1_790_000_000_000_000, 1_790_000_000_000_500
	stands := func(want int64) {
		t.Helper()
		for _, h := range []online.Store{s, other, target.Open(t)} {
			if at, err := h.Horizon(ctx); at != want || err != nil {
				t.Fatalf("horizon %d %v, want %d", at, err, want)
			}
		}
	}
	move := func(from, to int64, want bool) {
		t.Helper()
		if moved, err := other.MoveHorizon(ctx, from, to); moved != want || err != nil {
			t.Fatalf("from %d to %d: moved %v %v, want %v", from, to, moved, err, want)
		}
	}
	stands(0)
	move(late, soon, false)
	move(0, late, true) // before anything is live
	move(0, soon, false)
	move(0, late, true) // an answer was lost
	move(late, soon, true)
	stands(soon)
	u, err := online.UnprofiledEntry(online.List{ID: "u", Items: []online.ListItem{{Item: "p"}}})
	wantError(t, "encode", err, nil)
	l, err := online.ListEntry("o1", online.List{ID: "l", Personalized: true, Items: []online.ListItem{{Item: "a"}}}, 0)
	wantError(t, "encode", err, nil)
	Load(t, s, 1, u, l, row("k/0", "", "unowned"))
	swap(t, s, 1, 1)
	check := func(now int64, want error) {
		t.Helper()
		for _, h := range []online.Store{s, other} {
			_, p, err := h.Get(ctx, online.ListKey("o1"), now)
			wantError(t, "get", err, want)
			if p.Generation != 1 {
				t.Fatal("it does not say of which generation it is")
			}
			wantValue(t, h, "k/0", "unowned")
			if l, _, err := online.Recommend(ctx, h, "o1", 5, now); err != nil || l.Personalized != (want == nil) {
				t.Fatalf("recommend: %+v, %v", l, err)
			}
		}
	}
	check(soon-1, nil)
	for _, want := range []error{online.ErrOverdue, online.ErrFallback, online.ErrDenied} {
		check(soon, want)
	}
	Load(t, s, 2, u, l)
	stands(soon) // whatever is loaded
	wantError(t, "drop", s.Drop(ctx, 2), nil)
	wantError(t, "on", s.SetFallback(ctx, &online.Fallback{}), nil)
	check(soon-1, online.ErrFallback)
	wantError(t, "off", s.SetFallback(ctx, nil), nil)
	move(soon, late, true)
	check(soon, nil)
	check(late, online.ErrOverdue)
	move(late, 0, true)
	move(late, 0, true)
	stands(0)
	check(late, nil)
}
