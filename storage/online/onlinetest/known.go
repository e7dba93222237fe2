package onlinetest

import (
	"context"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

// plain is a store without optional powers.
type plain struct{ online.Store }

// A person is known by the key of the generation's time, and a denial under any of their keys is theirs, whether the store has the power to tell or not.
func testKnownBy(t *testing.T, target Target) {
	ctx := context.Background()
	s := target.Open(t)
	name := func(of string) string { return strings.Repeat(of, 32) }
	fresh, old, none, gone := name("a"), name("b"), name("c"), name("d")
	var rows []online.Entry
	for _, owner := range []string{fresh, old, gone} {
		rows = append(rows, row(online.ListKey(owner), owner, "{}"))
	}
	Load(t, s, 1, rows...)
	swap(t, s, 1, 1)
	if _, err := s.Erase(ctx, gone); err != nil {
		t.Fatal(err)
	}
	check := func(what, want string, keys ...string) {
		t.Helper()
		for power, store := range map[string]online.Store{"with": s, "without": plain{s}} {
			if got, err := online.KnownBy(ctx, store, 0, keys...); err != nil || got != want {
				t.Errorf("%s, %s the power: %.1s, %v; want %.1s", what, power, got, err, want)
			}
		}
	}
	check("no key", "")
	check("one key, which nobody has", none, none)
	check("under the current key", fresh, fresh, none)
	check("under the previous key", old, none, old)
	check("under neither", none, none, name("e"))
	check("erased under the previous key", gone, none, gone)
	if err := s.Deny(ctx, none); err != nil {
		t.Fatal(err)
	}
	check("denied under the current key, with a row under the previous one", none, none, old)
	if err := s.Deny(ctx, old); err != nil {
		t.Fatal(err)
	}
	check("let in again under the current key, after a denial under the previous one", fresh, fresh, old)
}
