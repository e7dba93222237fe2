package event

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

func TestKeyRecords(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	k1, k2 := testKeys(t, "k1"), testKeys(t, "k2")
	// What an earlier program wrote: check values alone.
	putText(t, b, identityKeys, fmt.Sprintf(`{"format":1,"keys":{"k1":%q}}`, k1.check()))
	ids := openIdentities(t, b, k2, k1)
	ids.Now = func() time.Time { return dayAt(3) }
	number(t, ids, person(1))
	flush(t, ids)
	records, err := ids.KeyRecords(ctx)
	if err != nil || len(records) != 2 || records[0].ID != "k1" || records[0].Since != nil || !records[1].Since.Equal(dayAt(3)) || !records[1].Fits(k2) || records[1].Fits(k1) {
		t.Fatalf("records %+v, %v", records, err)
	}
	for _, text := range objectTexts(t, b, identityKeys) {
		if strings.Contains(text, "invented") {
			t.Error("the secret stands in the bucket")
		}
	}
	at := dayAt(4)
	if err := ids.EditKey(ctx, "k2", func(r *KeyRecord) { r.Retired = &at }); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentities(ctx, b, k2, k1); err == nil || !strings.Contains(err.Error(), "key k2 was retired on 2024-03-05") {
		t.Errorf("a retired key as the current one: %v", err)
	}
	if _, err := OpenIdentities(ctx, b, testKeys(t, "k3"), k2, k1); err != nil {
		t.Errorf("a retired key among the previous ones: %v", err)
	}
	for name, text := range map[string]string{
		"no JSON": "{", "no keys": `{"format":2}`, "a bad check": `{"format":2,"keys":{"k1":{"check":"zz"}}}`, "a bad id": `{"format":1,"keys":{"K 1":"0011223344556677"}}`,
		"a check of another type": `{"format":1,"keys":{"k1":{"check":"0011223344556677"}}}`,
	} {
		if _, err := decodeKeys([]byte(text)); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := decodeKeys([]byte(`{"format":3,"keys":{}}`)); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer format: %v", err)
	}
}

// Two processes that edit the records at once lose nothing of one another, nor of a third that begins a key.
func TestKeyRecordsAtOnce(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			ids, err := OpenIdentities(ctx, b, testKeys(t, fmt.Sprintf("k%d", i)))
			if err == nil {
				err = ids.registerKey(ctx)
			}
			last := uint64(i)
			errs[i] = errors.Join(err, ids.EditKey(ctx, fmt.Sprintf("k%d", i), func(r *KeyRecord) { r.Empty = &last }))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	records, err := openIdentities(t, b).KeyRecords(ctx)
	if err != nil || len(records) != len(errs) {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i, r := range records {
		if r.Empty == nil || *r.Empty != uint64(i) || r.Check == "" {
			t.Errorf("record %+v", r)
		}
	}
}

// Rows under a key that nobody gives are counted, and what follows is said.
func TestUnreachableRows(t *testing.T) {
	b := storage.NewMemory(nil)
	old := openIdentities(t, b, testKeys(t, "k1"))
	for i := range 7 {
		number(t, old, person(i))
	}
	flush(t, old)
	_, err := OpenIdentities(context.Background(), b, testKeys(t, "k2"))
	var u *UnreachableError
	if !errors.As(err, &u) || !maps.Equal(u.People, map[string]int{"k1": 7}) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{`under key k1, which is not given`, "start this with the project file that names the key", "No withdrawal, erasure or preference of theirs can be applied", "pseudonyms.previous", "rapport keys check"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// After a key was given up, an id without a row may be somebody's who refused something under it: nothing of before counts for it, now or once it has a row.
// Who had a row was recognized under another key.
func TestNothingOfBeforeALostKeyCounts(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	k1, k2 := testKeys(t, "k1"), testKeys(t, "k2")
	both := openIdentities(t, b, k2, k1)
	number(t, both, person(1)) // recognized by k2
	flush(t, both)
	j := openJournal(t, b)
	if _, err := j.Erase(ctx, k1, openIdentities(t, b), []string{person(2)}, dayAt(1), "e"); err != nil { // marked under k1
		t.Fatal(err)
	}
	if _, err := j.Suppressions(openIdentities(t, b, k2)); err == nil || !strings.Contains(err.Error(), "erased people are marked under key \"k1\"") || !strings.Contains(err.Error(), "rapport keys check") {
		t.Fatalf("marks under a key that is not given: %v", err)
	}
	lost := dayAt(5)
	give := func(id string, before *time.Time) {
		t.Helper()
		if err := openIdentities(t, b).EditKey(ctx, id, func(r *KeyRecord) { r.Lost = &LostKey{At: lost, Why: "gone", Marks: 1, Before: before} }); err != nil {
			t.Fatal(err)
		}
	}
	erased := func(ids *Identities, i int) int64 {
		t.Helper()
		sup, err := j.Suppressions(ids)
		if err != nil {
			t.Fatal(err)
		}
		at, ok := sup.ErasedAt(person(i))
		if ok != (at != 0) {
			t.Fatalf("person %d: %d, %v", i, at, ok)
		}
		return at
	}
	// Where nobody had refused anything, everybody may come as before.
	give("k1", nil)
	if at := erased(openIdentities(t, b, k2), 3); at != 0 {
		t.Errorf("person 3 is taken for erased at %d", at)
	}
	give("k1", &lost)
	ids := openIdentities(t, b, k2)
	for i, want := range map[int]int64{1: 0, 2: lost.UnixMicro(), 3: lost.UnixMicro()} {
		if at := erased(ids, i); at != want {
			t.Errorf("person %d counts from %d, want %d", i, at, want)
		}
	}
	number(t, ids, person(3)) // by a record of after the loss
	flush(t, ids)
	if at := erased(openIdentities(t, b, k2), 3); at != lost.UnixMicro() {
		t.Errorf("once it has a row, person 3 counts from %d, want %d", at, lost.UnixMicro())
	}
	// Wrapped anew under a third key, it stays so, and person 1 stays as it was.
	k3 := testKeys(t, "k3")
	ids = openIdentities(t, b, k3, k2)
	number(t, ids, person(1))
	number(t, ids, person(3))
	flush(t, ids)
	ids = openIdentities(t, b, k3)
	if a, c := erased(ids, 1), erased(ids, 3); a != 0 || c != lost.UnixMicro() {
		t.Errorf("after another rotation they count from %d and %d", a, c)
	}
	// The secret is found again: who is marked under it is recognized.
	if at := erased(openIdentities(t, b, k3, k1), 2); at != lost.UnixMicro() {
		t.Errorf("person 2 counts from %d", at)
	}
	if _, err := OpenIdentities(ctx, b, k1); err == nil || !strings.Contains(err.Error(), "given up as lost") {
		t.Errorf("a lost key as the current one: %v", err)
	}
}

func FuzzDecodeKeys(f *testing.F) {
	f.Add([]byte(`{"format":1,"keys":{"k1":"0011223344556677"}}`))
	f.Add([]byte(`{"format":2,"keys":{"k1":{"check":"0011223344556677","since":"2026-01-02T03:04:05Z","lost":{"at":"2026-01-02T03:04:05Z","why":"x","people":1,"marks":2,"before":"2026-01-02T03:04:05Z"}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := decodeKeys(body)
		if err != nil {
			return
		}
		for id, r := range c.Keys {
			if r.ID != id {
				t.Fatalf("record %q under %q", r.ID, id)
			}
		}
		c.floors()
		c.lost()
	})
}

// One secret has one key id: under a second one it is refused, among the keys that are given and against those of the bucket.
func TestTwinKeys(t *testing.T) {
	b := storage.NewMemory(nil)
	secret := []byte("a secret of two key ids")
	named := func(id string) Keys {
		k, err := NewKeys(id, secret)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	other, err := NewKeys("k9", []byte("another secret of one"))
	if err != nil {
		t.Fatal(err)
	}
	refuses := func(want string, current Keys, previous ...Keys) {
		t.Helper()
		if _, err := OpenIdentities(t.Context(), b, current, previous...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("opened with %v and %v: %v", current, previous, err)
		}
	}
	refuses("key k2: its secret is that of key k1", named("k2"), named("k1"))
	refuses("key k1: its secret is that of key k2", other, named("k1"), named("k2"))
	ids, err := OpenIdentities(t.Context(), b, named("k1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ids.Number("somebody"); err != nil {
		t.Fatal(err)
	}
	if err := ids.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	refuses("key k2: its secret is that of key k1", named("k2"), named("k1"))
	refuses("key k2: its secret is that of key k1", named("k2"))
	if _, err := OpenIdentities(t.Context(), b, other, named("k1")); err != nil {
		t.Errorf("another secret: %v", err)
	}
	records, err := ReadKeyRecords(t.Context(), b)
	if err != nil || Twin(named("k2"), records, nil) != "k1" || Twin(named("k1"), records, nil) != "" || Twin(other, records, []Keys{other, named("k1")}) != "" {
		t.Errorf("twins by %v, %v", records, err)
	}
}
