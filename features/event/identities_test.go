package event

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

func openIdentities(t testing.TB, b storage.Bucket, keys ...Keys) *Identities {
	t.Helper()
	if len(keys) == 0 {
		keys = []Keys{{}}
	}
	ids, err := OpenIdentities(context.Background(), b, keys[0], keys[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func number(t testing.TB, ids *Identities, canonical string) policy.Subject {
	t.Helper()
	s, err := ids.Number(canonical)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func flush(t testing.TB, ids *Identities) {
	t.Helper()
	if err := ids.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func person(i int) string { return fmt.Sprintf("person-%04d", i) }

func TestIdentityRoundTrip(t *testing.T) {
	b := storage.NewMemory(nil)
	k := testKeys(t, "k1")
	ids := openIdentities(t, b, k)
	want := map[policy.Subject]string{}
	for i := range 500 {
		m := macOf(k.store, person(i))
		s := number(t, ids, person(i))
		if s != policy.Subject(binary.BigEndian.Uint64(m[:8])) {
			t.Fatalf("number %s is not the start of the HMAC", s)
		}
		want[s] = OnlineKey(k.ServingKey(), person(i))
	}
	if _, ok := openIdentities(t, b, k).Find(person(0)); ok {
		t.Fatal("a row is stored before Flush")
	}
	flush(t, ids)
	again := openIdentities(t, b, k)
	for i := range 500 {
		if s, ok := again.Find(person(i)); !ok || s != number(t, ids, person(i)) {
			t.Fatalf("row %d: %s, %v", i, s, ok)
		}
	}
	if _, ok := again.Find(person(500)); ok || again.Len() != 500 {
		t.Fatalf("an unknown id was found, or %d rows are not 500", again.Len())
	}
	// Publishing has no key: it reads by number.
	keyless := openIdentities(t, b)
	if got := keyless.OnlineKeys(); !maps.Equal(got, want) {
		t.Fatalf("%d online keys, want %d, or they differ", len(got), len(want))
	}
	if _, err := keyless.Number(person(0)); !errors.Is(err, ErrNoKey) {
		t.Fatalf("numbering without a key: %v", err)
	}
	if _, ok := keyless.Find(person(0)); ok {
		t.Fatal("found by raw id without a key")
	}
}

func TestFlushWritesOnlyWhatChanged(t *testing.T) {
	rec := storagetest.NewRecording(storage.NewMemory(nil))
	ids := openIdentities(t, rec, testKeys(t, "k1"))
	number(t, ids, person(1))
	flush(t, ids)
	if n := rec.Count(storagetest.Put); n != 2 { // the key's check value and one shard
		t.Errorf("%d puts for the first row, want 2", n)
	}
	rec.Reset()
	flush(t, ids)
	if n := rec.Count(); n != 0 {
		t.Errorf("%d calls when nothing changed", n)
	}
}

func TestConcurrentWritersMerge(t *testing.T) {
	// 8 processes with a table each number overlapping ranges of people and flush often; the end is the union, each number the same
	// in all of them.
	b := storage.NewMemory(nil)
	k := testKeys(t, "k1")
	const writers, people = 8, 300
	var wg sync.WaitGroup
	numbers := make([]map[string]policy.Subject, writers)
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			numbers[w] = map[string]policy.Subject{}
			ids, err := OpenIdentities(context.Background(), b, k)
			for i := 0; i < people && err == nil; i++ {
				id := person(w*people/2 + i)
				numbers[w][id], err = ids.Number(id)
				if i%100 == 99 && err == nil {
					err = ids.Flush(context.Background())
				}
			}
			errs[w] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	all := openIdentities(t, b, k)
	if want := (writers + 1) * people / 2; all.Len() != want {
		t.Fatalf("%d rows, want %d", all.Len(), want)
	}
	for w := range numbers {
		for id, s := range numbers[w] {
			if got, ok := all.Find(id); !ok || got != s {
				t.Fatalf("writer %d numbered somebody %s, the table says %s (%v)", w, s, got, ok)
			}
		}
	}
}

func TestFlushSurvivesFaults(t *testing.T) {
	k := testKeys(t, "k1")
	isPut := func(c storagetest.Call) bool { return c.Op == storagetest.Put }
	for n := 1; n <= 4; n++ {
		// A lost response is no loss: the write is read back.
		mem := storage.NewMemory(nil)
		faulty := storagetest.NewFaulty(mem, storagetest.Fault{Match: isPut, Nth: n, Do: storagetest.LostResponse})
		ids := openIdentities(t, faulty, k)
		for i := range 200 {
			number(t, ids, person(i))
		}
		flush(t, ids)
		if faulty.Fired() != 1 || openIdentities(t, mem, k).Len() != 200 {
			t.Fatalf("lost response %d: %d rows", n, openIdentities(t, mem, k).Len())
		}
		// A failed write is told, and the rows wait for the next Flush.
		mem = storage.NewMemory(nil)
		faulty = storagetest.NewFaulty(mem, storagetest.Fault{Match: isPut, Nth: n, Err: storage.ErrFull})
		ids = openIdentities(t, faulty, k)
		for i := range 200 {
			number(t, ids, person(i))
		}
		if err := ids.Flush(context.Background()); !errors.Is(err, storage.ErrFull) {
			t.Fatalf("failed put %d: %v", n, err)
		}
		flush(t, ids)
		if openIdentities(t, mem, k).Len() != 200 {
			t.Fatalf("after failed put %d: %d rows", n, openIdentities(t, mem, k).Len())
		}
	}
}

func TestRekeyKeepsNumbers(t *testing.T) {
	b := storage.NewMemory(nil)
	k1, k2 := testKeys(t, "k1"), testKeys(t, "k2")
	old := openIdentities(t, b, k1)
	s1, s2 := number(t, old, person(1)), number(t, old, person(2))
	flush(t, old)

	ids := openIdentities(t, b, k2, k1)
	if got := number(t, ids, person(1)); got != s1 {
		t.Fatalf("the number changed from %s to %s", s1, got)
	}
	s3 := number(t, ids, person(3))
	flush(t, ids)

	ids = openIdentities(t, b, k2, k1)
	if got := ids.KeyRows(); !maps.Equal(got, map[string]int{"k1": 1, "k2": 2}) {
		t.Fatalf("rows by key %v, want one that has not reappeared under k1", got)
	}
	online := ids.OnlineKeys()
	if online[s1] != OnlineKey(k2.ServingKey(), person(1)) || online[s2] != OnlineKey(k1.ServingKey(), person(2)) || online[s3] != OnlineKey(k2.ServingKey(), person(3)) {
		t.Fatal("the online keys do not follow the rows' keys")
	}
	// Without the old key, person 2 would get a second number: refused.
	if _, err := OpenIdentities(context.Background(), b, k2); err == nil || !strings.Contains(err.Error(), `key k1,`) {
		t.Fatalf("opened without a key that rows need: %v", err)
	}
	if got := number(t, ids, person(2)); got != s2 {
		t.Fatalf("the number changed from %s to %s", s2, got)
	}
	flush(t, ids)
	ids = openIdentities(t, b, k2) // now k1 may be retired
	for i, s := range []policy.Subject{s1, s2, s3} {
		if got, ok := ids.Find(person(i + 1)); !ok || got != s {
			t.Fatalf("subject %d after retiring k1: %s, %v, want %s", i+1, got, ok, s)
		}
	}
}

func TestAnotherSecretUnderTheSameKeyIDIsRefused(t *testing.T) {
	b := storage.NewMemory(nil)
	ids := openIdentities(t, b, testKeys(t, "k1"))
	number(t, ids, person(1))
	flush(t, ids)
	other, err := NewKeys("k1", []byte("quite another secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentities(context.Background(), b, other); err == nil || !strings.Contains(err.Error(), "not the one that this table was made with") {
		t.Fatalf("got %v", err)
	}
}

func TestDeleteIsForGood(t *testing.T) {
	b := storage.NewMemory(nil)
	k1, k2 := testKeys(t, "k1"), testKeys(t, "k2")
	ids := openIdentities(t, b, k1)
	var all []policy.Subject
	for i := range 50 {
		all = append(all, number(t, ids, person(i)))
	}
	flush(t, ids)
	stale := openIdentities(t, b, k1)        // a process that loaded the table before the erasure
	rekeying := openIdentities(t, b, k2, k1) // and one that is about to wrap the erased row anew
	number(t, rekeying, person(7))           //
	number(t, stale, person(100))            // the stale process has other rows to store,
	for s, i := all[7], 101; i < 2000; i++ { // also into the erased row's shard
		if m := macOf(k1.store, person(i)); identityShard(policy.Subject(binary.BigEndian.Uint64(m[:8]))) == identityShard(s) {
			number(t, stale, person(i))
			break
		}
	}

	if err := openIdentities(t, b).Delete(context.Background(), all[7], all[8], 0xdead); err != nil {
		t.Fatal(err)
	}
	flush(t, stale)
	flush(t, rekeying)
	ids = openIdentities(t, b, k2, k1)
	for i := range 50 {
		if _, ok := ids.Find(person(i)); ok == (i == 7 || i == 8) {
			t.Errorf("person %d is found: %v", i, ok)
		}
	}
	for name, other := range map[string]*Identities{"stale": stale, "re-keying": rekeying} {
		if _, ok := other.Find(person(7)); ok {
			t.Errorf("the %s process still knows the erased subject after its Flush", name)
		}
	}
	if ids.Len() != 50 { // 50 − 2 erased + 2 of the stale process
		t.Errorf("%d rows, want 50", ids.Len())
	}
}

func TestNumberCollisionProbes(t *testing.T) {
	// Somebody else already has the number that person 1 would get.
	b := storage.NewMemory(nil)
	k := testKeys(t, "k1")
	m := macOf(k.store, person(1))
	taken := policy.Subject(binary.BigEndian.Uint64(m[:8]))
	body, err := encodeShard(map[policy.Subject]wireIdentity{taken: {key: "k1", mac: mac{1}, online: mac{2}}})
	if err != nil {
		t.Fatal(err)
	}
	concurrent := openIdentities(t, b, k) // loaded before the other row is stored
	if _, err := b.Put(context.Background(), identityObject(identityShard(taken)), storage.Bytes(body), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	ids := openIdentities(t, b, k)
	if got := number(t, ids, person(1)); got != taken+1 {
		t.Fatalf("number %s, want the next free one %s", got, taken+1)
	}
	// A process that gave out the number at the same time must not store it.
	if got := number(t, concurrent, person(1)); got != taken {
		t.Fatalf("number %s", got)
	}
	if err := concurrent.Flush(context.Background()); err == nil || !strings.Contains(err.Error(), "run again") {
		t.Fatalf("two subjects share a number: %v", err)
	}
}

func TestDamagedShardIsRefused(t *testing.T) {
	rows := map[policy.Subject]wireIdentity{}
	for i := range 20 {
		rows[policy.Subject(5<<58+i*7)] = wireIdentity{key: []string{"k1", "k2"}[i%2], mac: mac{byte(i)}, online: mac{byte(i), 1}}
	}
	good, err := encodeShard(rows)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodedShard(5, good); err != nil || !maps.Equal(got, rows) {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := decodedShard(6, good); err == nil {
		t.Error("a shard under another shard's name was accepted")
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := decodedShard(5, bad); err == nil {
			t.Errorf("a flipped bit in byte %d was accepted", i)
		}
		if _, err := decodedShard(5, good[:i]); err == nil {
			t.Errorf("%d of %d bytes were accepted", i, len(good))
		}
	}
	b := storage.NewMemory(nil)
	if _, err := b.Put(context.Background(), identityObject(5), storage.Bytes(good[:40]), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentities(context.Background(), b, Keys{}); err == nil || !strings.Contains(err.Error(), identityObject(5)) {
		t.Errorf("opening a damaged table: %v", err)
	}
}

// A table that was made before ids were brought into NFC holds people by the form that their source had: they are found by either form, with the number that they
// have, and wrapped anew; an erasure is recognized as well, and of somebody who had been two it takes both rows.
func TestFormsOfBefore(t *testing.T) {
	const apart, composed = "Scha\u0308fer-00001", "Sch\u00e4fer-00001"
	b, k1, k2 := storage.NewMemory(nil), testKeys(t, "k1"), testKeys(t, "k2")
	ids := openIdentities(t, b, k1)
	was := number(t, ids, apart)
	flush(t, ids)
	ids = openIdentities(t, b, k1)
	if s, ok := ids.Find(composed); !ok || s != was || !ids.Knows(composed) || number(t, ids, composed) != was {
		t.Fatalf("%s, %v, want the row of before, %s", s, ok, was)
	}
	flush(t, ids)
	ids = openIdentities(t, b, k1)
	if key, _ := ids.OnlineKey(was); key != OnlineKey(k1.ServingKey(), composed) || ids.Len() != 1 {
		t.Errorf("it is not wrapped anew, or there are %d rows, not 1", ids.Len())
	}
	j, err := OpenJournal(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Erase(t.Context(), k1, ids, []string{apart}, time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), "n1"); err != nil {
		t.Fatal(err)
	}
	sup, err := j.Suppressions(ids)
	if err != nil {
		t.Fatal(err)
	}
	if _, gone := sup.ErasedAt(composed); !gone {
		t.Error("an erasure under the form of before is not recognized")
	}

	// Two rows, under keys of two times.
	b = storage.NewMemory(nil)
	ids = openIdentities(t, b, k1)
	first := number(t, ids, apart)
	flush(t, ids)
	second := openIdentities(t, b, k2, k1)
	other, err := second.Number("Scho\u0308n")
	if err != nil {
		t.Fatal(err)
	}
	flush(t, second)
	second = openIdentities(t, b, k2, k1)
	if s, ok := second.Find(composed); !ok || s != first {
		t.Errorf("under a previous key: %s, %v, want %s", s, ok, first)
	}
	if n, left := second.buffered(), second.left(); n != 1 || left != 1 {
		t.Errorf("%d of %d rows under the previous key are to be wrapped anew, want 1 of 1", n, left)
	}
	if s, ok := second.Find("Sch\u00f6n"); !ok || s != other || second.buffered() != 1 {
		t.Errorf("%s, %v: want %s, and no row of a previous key", s, ok, other)
	}
	b = storage.NewMemory(nil)
	ids = openIdentities(t, b, k1)
	two := []policy.Subject{number(t, ids, apart)}
	flush(t, ids)
	m := macOf(k1.store, composed)
	ids.people.add(numberOf(m), identity{key: ids.index[0], mac: m, online: macOf(k1.serving, composed)})
	two = append(two, numberOf(m))
	slices.Sort(two)
	if _, got := ids.All([]string{composed}); !slices.Equal(got, two) {
		t.Errorf("all of somebody who was two: %v, want %v", got, two)
	}
}
