package onlinetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/storage/online"
)

// planted is an owner whose name, rows' keys and values can be looked for.
const (
	plantedOwner = "planted-owner-7f3a9c"
	plantedValue = "planted-value-51be20"
)

// crowd is n rows of many owners.
func crowd(n int) []online.Entry {
	entries := make([]online.Entry, n)
	for i := range entries {
		entries[i] = row(fmt.Sprintf("list/o%03d", i), fmt.Sprintf("o%03d", i), fmt.Sprintf("a value of %03d", i))
	}
	return entries
}

func planted() []online.Entry {
	return []online.Entry{
		row("list/"+plantedOwner, plantedOwner, plantedValue),
		row("vector/"+plantedOwner, plantedOwner, plantedValue),
	}
}

// wantTraces ends the test unless the planted owner is, or is not, to be found in what the store keeps.
func wantTraces(t *testing.T, target Target, want bool) {
	t.Helper()
	for _, needle := range []string{plantedOwner, plantedValue} {
		if found := traces(t, target, needle); len(found) > 0 != want {
			t.Fatalf("traces of %s: %v, want some: %v", needle, found, want)
		}
	}
}

func testErase(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	others := crowd(300)
	Load(t, s, 1, append(planted(), others...)...)
	Load(t, s, 2, others...)
	Load(t, s, 3, append(planted(), others[:200]...)...)
	swap(t, s, 3, 1)
	wantError(t, "deny", s.Deny(ctx, plantedOwner, "o005"), nil)
	wantTraces(t, target, true)
	wantValue(t, other, "list/o001", "a value of 001") // a reader that has the old one open
	before, err := s.Generations(ctx)
	wantError(t, "generations", err, nil)

	removed, err := s.Erase(ctx, plantedOwner, "o007", "somebody-unknown")
	if err != nil || removed != 2*2+3 {
		t.Fatalf("erase: %d rows, %v; want 2 in each of two generations, and o007 in three", removed, err)
	}
	wantTraces(t, target, false)
	for _, name := range []string{"o007", "a value of 007", "somebody-unknown"} {
		if found := traces(t, target, name); len(found) > 0 {
			t.Fatalf("traces of %s: %v", name, found)
		}
	}
	denied, err := other.Denied(ctx)
	want := []string{online.ErasedName(plantedOwner), online.ErasedName("o007"), online.ErasedName("somebody-unknown"), "o005"}
	slices.Sort(want)
	if err != nil || !slices.Equal(denied, want) {
		t.Fatalf("denied %v %v, want %v", denied, err, want)
	}
	after, err := s.Generations(ctx)
	if err != nil || len(after) != 3 {
		t.Fatalf("generations %v %v", after, err)
	}
	for number, digest := range after {
		if digest == before[number] {
			t.Errorf("generation %d lost rows and kept its digest", number)
		}
	}
	for fence, number := range []uint64{3, 2, 1} {
		swap(t, s, number, uint64(10+fence))
		for _, h := range []online.Store{s, other} {
			for _, key := range []string{"list/" + plantedOwner, "vector/" + plantedOwner, "list/o007"} {
				_, _, err := h.Get(ctx, key, 0)
				wantError(t, "get of an erased row", err, online.ErrNotFound)
			}
			wantValue(t, h, "list/o001", "a value of 001")
			_, _, err = h.Get(ctx, "list/o005", 0)
			wantError(t, "get of a denied row", err, online.ErrDenied)
		}
	}
	removed, err = s.Erase(ctx, plantedOwner)
	if err != nil || removed != 0 {
		t.Fatalf("second erasure: %d rows, %v", removed, err)
	}
	again, err := s.Generations(ctx)
	if err != nil || len(again) != 3 || again[1] != after[1] || again[2] != after[2] || again[3] != after[3] {
		t.Fatalf("an erasure without rows changed %v to %v (%v)", after, again, err)
	}
	// A denial of somebody erased does not bring the name back.
	wantError(t, "deny", s.Deny(ctx, plantedOwner), nil)
	wantTraces(t, target, false)
}

func testEraseWhileLoading(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	l, err := s.Load(ctx, 1)
	wantError(t, "load", err, nil)
	wantError(t, "put", l.Put(ctx, append(crowd(300), planted()...)...), nil)
	if _, err := other.Erase(ctx, plantedOwner); err != nil {
		t.Fatal(err)
	}
	wantError(t, "put", l.Put(ctx, row("late/"+plantedOwner, plantedOwner, plantedValue)), nil)
	digest, err := l.Finish(ctx)
	wantError(t, "finish", err, nil)
	wantError(t, "close", l.Close(), nil)
	wantTraces(t, target, false)
	var d online.Digester
	for _, e := range crowd(300) {
		d.Add(e)
	}
	if digest != d.Sum() {
		t.Fatal("the digest is not that of the rows that were kept")
	}
	swap(t, s, 1, 1)
	wantValue(t, other, "list/o299", "a value of 299")
	_, _, err = other.Get(ctx, "list/"+plantedOwner, 0)
	wantError(t, "get of an erased row", err, online.ErrNotFound)
}

func testEraseAllow(t *testing.T, target Target) {
	s, other, ctx := target.Open(t), target.Open(t), t.Context()
	Load(t, s, 1, planted()...)
	if _, err := s.Erase(ctx, plantedOwner); err != nil {
		t.Fatal(err)
	}
	wantError(t, "allow", other.Allow(ctx, plantedOwner), nil)
	if denied, err := s.Denied(ctx); err != nil || len(denied) != 0 {
		t.Fatalf("denied %v %v", denied, err)
	}
	Load(t, s, 2, planted()...)
	swap(t, s, 2, 1)
	wantValue(t, other, "list/"+plantedOwner, plantedValue)

	// Deny and Allow take an ErasedName in place of the name.
	wantError(t, "deny", s.Deny(ctx, online.ErasedName(plantedOwner)), nil)
	_, _, err := other.Get(ctx, "list/"+plantedOwner, 0)
	wantError(t, "get", err, online.ErrDenied)
	wantError(t, "allow", s.Allow(ctx, online.ErasedName(plantedOwner)), nil)
	wantValue(t, other, "list/"+plantedOwner, plantedValue)
}
