package event

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

func openJournal(t testing.TB, b storage.Bucket) *Journal {
	t.Helper()
	j, err := OpenJournal(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestJournalOfAnErasure(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	k := testKeys(t, "k1")
	ids := openIdentities(t, b, k)
	s1, s2 := number(t, ids, person(1)), number(t, ids, person(2))
	j := openJournal(t, b)
	if _, err := j.Withdraw(ctx, "recommend", []policy.Subject{s1, s2}, dayAt(1), "w1"); err != nil {
		t.Fatal(err)
	}
	// Person 9 is not known yet: erased all the same, by mark.
	e, err := j.Erase(ctx, k, ids, []string{person(1), person(9), person(1)}, dayAt(2), "e1")
	if err != nil {
		t.Fatal(err)
	}
	if e.Seq != 2 || e.Epoch != 1 || len(e.Marks) != 2 || !slices.Equal(e.Subjects, []policy.Subject{s1}) {
		t.Fatalf("entry %+v", e)
	}

	j = openJournal(t, b)
	if es, entries := j.Pending(); len(entries) != 1 || !slices.Equal(es, []policy.Erasure{{Subject: s1, At: dayAt(2), Epoch: 1}}) {
		t.Fatalf("pending %v", es)
	}
	withdrawals := j.Withdrawals()
	if len(withdrawals) != 2 || withdrawals[0].State != policy.Withdrawn || withdrawals[0].Purpose != "recommend" || !withdrawals[0].Effective.Equal(dayAt(1)) {
		t.Fatalf("withdrawals %+v", withdrawals)
	}
	if err := j.Finish(ctx, e.Seq, dayAt(3)); err != nil {
		t.Fatal(err)
	}
	if err := j.Finish(ctx, e.Seq, dayAt(4)); err != nil { // again, as after a crash
		t.Fatal(err)
	}
	j = openJournal(t, b)
	if es, entries := j.Pending(); len(es)+len(entries) != 0 {
		t.Fatalf("still pending: %v", es)
	}
	if w := j.Withdrawals(); len(w) != 1 || w[0].Subject != s2 {
		t.Fatalf("withdrawals of the erased subject are left, or others are gone: %+v", w)
	}
	if got := j.Entries()[1]; !got.Finished.Equal(dayAt(3)) || j.Epoch() != 1 {
		t.Fatalf("entry %+v", got)
	}
	for _, text := range objectTexts(t, b, JournalPrefix) {
		if strings.Contains(text, s1.String()) {
			t.Errorf("a finished erasure leaves the number in %s", text)
		}
	}

	// The marks remain, and recognize exactly the erased.
	sup, err := j.Suppressions(ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]bool{1: true, 9: true, 2: false} {
		at, ok := sup.ErasedAt(person(i))
		if ok != want || ok && at != dayAt(2).UnixMicro() {
			t.Errorf("person %d: erased %v at %d", i, ok, at)
		}
	}
	k2 := testKeys(t, "k2")
	if _, err := j.Suppressions(openIdentities(t, storage.NewMemory(nil), k2)); err == nil || !strings.Contains(err.Error(), `"k1"`) {
		t.Errorf("suppressions without the key of their marks: %v", err)
	}
	if sup, err := j.Suppressions(openIdentities(t, b, k2, k)); err != nil {
		t.Error(err)
	} else if _, ok := sup.ErasedAt(person(9)); !ok {
		t.Error("after a rotation the erased subject slips in")
	}
}

// objectTexts returns the objects under a prefix as text.
func objectTexts(t testing.TB, b storage.Bucket, prefix string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for info, err := range b.List(context.Background(), prefix, storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := storage.ReadAll(context.Background(), b, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		out[info.Key] = string(body)
	}
	return out
}

func TestJournalWritersAgreeOnOneOrder(t *testing.T) {
	mem := storage.NewMemory(nil)
	const writers, each = 6, 5
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			// Every writer loses a response on the way.
			b := storagetest.NewFaulty(mem, storagetest.Fault{Match: func(c storagetest.Call) bool { return c.Op == storagetest.Put }, Nth: 2, Do: storagetest.LostResponse})
			j, err := OpenJournal(context.Background(), b)
			for i := 0; i < each && err == nil; i++ {
				_, err = j.Withdraw(context.Background(), "recommend", []policy.Subject{policy.Subject(w*each + i + 1)}, dayAt(i), fmt.Sprint(w, i))
			}
			errs[w] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := map[policy.Subject]int{}
	for i, e := range openJournal(t, mem).Entries() {
		if e.Seq != i+1 {
			t.Errorf("entry %d has number %d", i+1, e.Seq)
		}
		seen[e.Subjects[0]]++
	}
	for s := policy.Subject(1); s <= writers*each; s++ {
		if seen[s] != 1 {
			t.Errorf("the withdrawal of subject %d stands %d times", s, seen[s])
		}
	}
}

func TestJournalRefusesGapsAndDamage(t *testing.T) {
	ctx := context.Background()
	for name, damage := range map[string]func(b storage.Bucket){
		"entry 1 is missing": func(b storage.Bucket) { b.Delete(ctx, journalKey(1)) },
		"is damaged":         func(b storage.Bucket) { put(t, b, journalKey(2), []byte(`{"format":1,`)) },
		"newer rapport":      func(b storage.Bucket) { put(t, b, journalKey(2), []byte(`{"format":3,"seq":2,"kind":"erase"}`)) },
		"unknown kind":       func(b storage.Bucket) { put(t, b, journalKey(2), []byte(`{"format":1,"seq":2,"kind":"pause"}`)) },
		"was moved":          func(b storage.Bucket) { put(t, b, journalKey(2), []byte(`{"format":1,"seq":3,"kind":"erase"}`)) },
		"a mark is not": func(b storage.Bucket) {
			put(t, b, journalKey(2), []byte(`{"format":1,"seq":2,"kind":"erase","marks":[{"key_id":"k1","mac":"xyz"}]}`))
		},
	} {
		b := storage.NewMemory(nil)
		j := openJournal(t, b)
		for i := range 3 {
			if _, err := j.Withdraw(ctx, "recommend", []policy.Subject{1}, dayAt(1), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		damage(b)
		if _, err := OpenJournal(ctx, b); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

func TestFinishResumesAfterAFailedWrite(t *testing.T) {
	ctx := context.Background()
	k := testKeys(t, "k1")
	for n := 1; n <= 3; n++ { // two withdrawals and the erasure are redacted
		mem := storage.NewMemory(nil)
		ids := openIdentities(t, mem, k)
		s := number(t, ids, person(1))
		j := openJournal(t, mem)
		for i := range 2 {
			if _, err := j.Withdraw(ctx, "recommend", []policy.Subject{s}, dayAt(1), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		e, err := j.Erase(ctx, k, ids, []string{person(1)}, dayAt(2), "e")
		if err != nil {
			t.Fatal(err)
		}
		faulty := storagetest.NewFaulty(mem, storagetest.Fault{Match: func(c storagetest.Call) bool { return c.Op == storagetest.Put }, Nth: n})
		if err := openJournal(t, faulty).Finish(ctx, e.Seq, dayAt(3)); err == nil {
			t.Fatalf("write %d failed and Finish did not say so", n)
		}
		if es, _ := openJournal(t, mem).Pending(); len(es) != 1 {
			t.Fatalf("write %d: the unfinished erasure is no longer pending", n)
		}
		if err := openJournal(t, mem).Finish(ctx, e.Seq, dayAt(3)); err != nil {
			t.Fatal(err)
		}
		for key, text := range objectTexts(t, mem, JournalPrefix) {
			if strings.Contains(text, s.String()) {
				t.Errorf("write %d: the number is left in %s", n, key)
			}
		}
	}
}
