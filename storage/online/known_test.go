package online_test

import (
	"context"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

// plain is a store without optional powers.
type plain struct{ online.Store }

// A person is known by the key of the generation's time, and a denial under any of their keys is theirs, in a store with the power to tell and in one without.
func TestKnownBy(t *testing.T) {
	ctx := context.Background()
	s, err := online.OpenEmbedded(t.TempDir(), online.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	name := func(of string) string { return strings.Repeat(of, 32) }
	fresh, old, none, gone := name("a"), name("b"), name("c"), name("d")
	l, err := s.Load(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{fresh, old, gone} {
		if err := l.Put(ctx, online.Entry{Key: online.ListKey(owner), Owner: owner, Value: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
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
	if teller := s.(online.DenialTeller); teller == nil {
		t.Fatal("the embedded store cannot tell")
	}
}
