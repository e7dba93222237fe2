package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
)

// What a key alone recognizes, and no source names, can be given up: then nothing of before counts of an id that nobody knows, people who are known go on as they
// were, and the key is retired when no generation needs it.
func TestForgottenKey(t *testing.T) {
	ctx := t.Context()
	s := newShop(t, smallWorld)
	js := []*jobs.Job{s.job}
	s.night(6)
	k1, k2 := s.opened.Keys, newKeys(t, "k2")
	people := s.admitted(3)
	erased, err := s.erase(people[0], "an id of no source")
	if err != nil {
		t.Fatal(err)
	}
	file, err := s.runner.Receipt(ctx, erased.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	refused := nightAfter(6).Add(6 * time.Hour)
	s.runner.Now = func() time.Time { return refused }
	if out := s.say("zzz", "Withdrawn", "no-zzz"); out.Unknown != 1 || out.Records != 1 {
		t.Fatalf("a withdrawal of somebody whom nobody knows: %+v", out)
	}
	if out := s.say(people[2], "Withdrawn", "no"); out.Unknown != 0 {
		t.Fatalf("a withdrawal of somebody who is known: %+v", out)
	}
	later := refused.Add(time.Hour)
	s.runner.Now = func() time.Time { return later }

	for _, tt := range []struct {
		id, why string
		want    error
	}{{"k1", "it leaked", jobs.ErrKeyNeeded}, {"k9", "it leaked", jobs.ErrKeyNeeded}, {"k1", " ", jobs.ErrBadRequest}} {
		if _, err := s.runner.ForgetKey(ctx, js, tt.id, tt.why, jobs.Terms{}); !errors.Is(err, tt.want) {
			t.Errorf("%s, %q: %v, want %v", tt.id, tt.why, err, tt.want)
		}
	}
	asked, err := s.runner.OpenRequest(ctx, jobs.RequestAccess, []string{people[2]}, later, "kim")
	if err != nil {
		t.Fatal(err)
	}
	s.under(k2, k1)
	if done, err := s.runner.Rewrap(ctx, js); err != nil || done.Marked != 1 || done.Marks != 1 || done.Left["k1"] != 1 {
		t.Fatalf("marked and wrapped anew: %+v, %v", done, err)
	}
	if _, err := s.runner.Retire(ctx, "k1"); !errors.Is(err, jobs.ErrKeyNeeded) || !strings.Contains(err.Error(), "1 person has not reappeared") || !strings.Contains(err.Error(), "1 erased person is marked") {
		t.Fatalf("a key that is needed: %v", err)
	}
	// What else keeps it refuses it ahead of all that cannot be undone.
	if _, err := s.runner.ForgetKey(ctx, js, "k1", "it leaked", jobs.Terms{}); !errors.Is(err, jobs.ErrKeyNeeded) || !strings.Contains(err.Error(), "nothing is given up yet: 1 open request") {
		t.Fatalf("with an open request under it: %v", err)
	}
	if ring, err := s.runner.Keyring(ctx); err != nil || ring.Secrets[0].Lost != nil || ring.Secrets[0].People != 1 || ring.Secrets[0].Marks != 1 {
		t.Fatalf("something was given up: %+v, %v", ring, err)
	}
	if _, err := s.runner.CloseRequest(ctx, asked.Number, jobs.OutcomeDone, "told", "kim"); err != nil {
		t.Fatal(err)
	}
	told, err := s.runner.ForgettableKey(ctx, "k1")
	if err != nil || told.People != 1 || told.Marks != 1 || len(told.Generations) == 0 || len(told.Dropped) != 0 || told.Fallback != "" {
		t.Fatalf("what would be given up: %+v, %v", told, err)
	}
	out, err := s.runner.ForgetKey(ctx, js, "k1", "it leaked", jobs.Terms{})
	if err != nil || out.People != 1 || out.Marks != 1 || out.Before == nil || !out.Before.Equal(refused) || out.Erased == nil || len(out.Erased.Receipts) != 1 {
		t.Fatalf("given up: %+v, %v", out, err)
	}
	if _, err := s.runner.Retire(ctx, "k1"); !errors.Is(err, jobs.ErrKeyNeeded) || strings.Contains(err.Error(), "erased") || strings.Contains(err.Error(), "reappeared") || !strings.Contains(err.Error(), "of the online store may hold people") {
		t.Fatalf("a key that generations need alone: %v", err)
	}
	s.night(7)
	s.dropOthers()
	if k, err := s.runner.Retire(ctx, "k1"); err != nil || k.Retired == nil {
		t.Fatalf("a key that nothing needs: %+v, %v", k, err)
	}
	s.under(k2)
	went, err := s.runner.KeyRemovals(ctx)
	if err != nil || len(went) != 1 || went[0].Key != "k1" || went[0].Why != "it leaked" || went[0].Finished == nil || len(went[0].Receipts) != 1 || went[0].Receipts[0] != out.Erased.Receipts[0] {
		t.Fatalf("what went with the key: %+v, %v", went, err)
	}
	if i := slices.IndexFunc(went[0].Stores, func(x jobs.ErasedStore) bool { return x.Unit == "rows" && x.Removed > 0 }); i < 0 && out.Erased.Rows > 0 {
		t.Errorf("%d rows went with the key, and none is listed: %+v", out.Erased.Rows, went[0].Stores)
	}
	ring, err := s.runner.Keyring(ctx)
	if err != nil || len(ring.Problems()) != 0 || ring.Secrets[0].Lost == nil || !ring.Secrets[0].Lost.Given {
		t.Errorf("afterwards: %+v, %v", ring, err)
	}
	if faults, err := s.runner.KeyFaults(ctx); err != nil || len(faults) != 0 {
		t.Errorf("faults %q, %v", faults, err)
	}
	ids, err := event.OpenIdentities(ctx, s.opened.Bucket, k2)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := event.OpenJournal(ctx, s.opened.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	sup, err := journal.Suppressions(ids)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]time.Time{"an id of no source": refused, "zzz": refused, "somebody new": refused, people[0]: refused, people[1]: {}} {
		at, ok := sup.ErasedAt(id)
		if ok == want.IsZero() || ok && at != want.UnixMicro() {
			t.Errorf("%s counts from %s (%v), want %s", id, time.UnixMicro(at).UTC(), ok, want)
		}
	}
	s.night(7) // without the key nobody is missed
	if personal, _ := s.reads(people[1]); !personal {
		t.Error("who is known has no list any more")
	}
	for _, id := range []string{people[0], people[2]} {
		if personal, _ := s.reads(id); personal {
			t.Error("somebody who was erased, or has refused, has a list of their own")
		}
	}
	if _, _, err := jobs.VerifyReceipt(file, ring.Signing); err != nil {
		t.Errorf("a receipt of before does not hold any more: %v", err)
	}
}

// Who stands under a key that nobody has any more can be recognized by nobody: no run goes on until they are removed, and afterwards runs do.
func TestLostKey(t *testing.T) {
	ctx := t.Context()
	s := newShop(t, smallWorld)
	js := []*jobs.Job{s.job}
	s.night(6)
	traces := map[string]map[string][]byte{}
	for _, id := range s.admitted(4) {
		traces[id] = s.traces(id)
	}
	ids, err := event.OpenIdentities(ctx, s.opened.Bucket, s.opened.Keys)
	if err != nil {
		t.Fatal(err)
	}
	known := ids.Len()
	k2 := newKeys(t, "k2")
	s.under(k2)
	var unreachable *event.UnreachableError
	if _, err := s.try(7); !errors.As(err, &unreachable) || unreachable.People["k1"] != known || !strings.Contains(err.Error(), "rapport keys check") || strings.Contains(err.Error(), "purge") || strings.Contains(err.Error(), fmt.Sprint(known)) {
		t.Fatalf("a run without a key that people stand under: %v", err)
	}
	ring, err := s.runner.Keyring(ctx)
	if err != nil || len(ring.Problems()) == 0 || !strings.Contains(ring.Problems()[0], fmt.Sprintf("%d people stand under k1", known)) {
		t.Fatalf("problems %v, %v", ring.Problems(), err)
	}
	for _, tt := range []struct {
		id, why string
		want    error
	}{{"k1", " ", jobs.ErrBadRequest}, {"k2", "gone", jobs.ErrKeyNeeded}, {"k9", "gone", jobs.ErrUnknownKey}} {
		if _, err := s.runner.PurgeKey(ctx, js, tt.id, tt.why, jobs.Terms{}); !errors.Is(err, tt.want) {
			t.Errorf("purge of key %s: %v, want %v", tt.id, err, tt.want)
		}
	}

	// Where somebody had been erased under it, who comes without a row may be that person.
	marked := s.clone(t)
	marked.under(s.job0Keys(t), k2)
	marked.runner.Now = s.runner.Now
	if _, err := marked.erase(slices.Sorted(maps.Keys(traces))[0]); err != nil {
		t.Fatal(err)
	}
	marked.under(k2)
	out, err := marked.runner.PurgeKey(ctx, js, "k1", "the vault burned down", jobs.Terms{})
	if err != nil || out.Marks != 1 || !out.Refused || out.Before == nil || out.People != known-1 {
		t.Fatalf("a lost key with marks: %+v, %v", out, err)
	}
	if res, err := marked.try(7); err == nil && res.Published != nil && res.Published.Entities > 0 {
		t.Errorf("%d people were profiled again without a basis that was recorded after the loss", res.Published.Entities)
	}

	// Where nobody had refused anything, they come as new ones.
	out, err = s.runner.PurgeKey(ctx, js, "k1", "the vault burned down", jobs.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	if out.People != known || out.Marks != 0 || out.Refused || out.Erased == nil || out.Erased.Rows == 0 || out.Erased.Online == 0 || len(out.Erased.Receipts) != 1 {
		t.Fatalf("a lost key: %+v", out)
	}
	s.noTrace("after the key was given up", traces)
	if again, err := s.runner.PurgeKey(ctx, js, "k1", "once more", jobs.Terms{}); err != nil || again.People != known || again.Erased != nil || again.Done == nil {
		t.Errorf("once more: %+v, %v", again, err)
	}
	if ring, err = s.runner.Keyring(ctx); err != nil || len(ring.Problems()) != 0 || ring.Secrets[0].Lost == nil || ring.Secrets[0].Lost.Why != "the vault burned down" {
		t.Errorf("afterwards: %+v, %v", ring, err)
	}
	s.night(7)
	if personal, _ := s.reads(slices.Sorted(maps.Keys(traces))[0]); !personal {
		t.Error("who comes again with a basis has no list")
	}
}

// Where people had been wrapped anew and nothing was published since, what is live holds them under the key of before: nobody can find their lists there once the
// newer key is lost, so nobody reads one until lists are made anew.
func TestLostKeyAfterARotation(t *testing.T) {
	ctx := t.Context()
	s := newShop(t, smallWorld)
	js := []*jobs.Job{s.job}
	s.night(5)
	s.night(6)
	person := s.admitted(1)[0]
	k1, k2, k3 := s.opened.Keys, newKeys(t, "k2"), newKeys(t, "k3")
	rotated := nightAfter(6).Add(time.Hour)
	s.runner.Now = func() time.Time { return rotated }
	s.under(k2, k1)
	if _, err := s.runner.Rewrap(ctx, js); err != nil {
		t.Fatal(err)
	}
	if personal, _ := s.reads(person); !personal {
		t.Fatal("after a rotation somebody has no list any more")
	}
	s.under(k3, k1)
	loaded, err := s.opened.Online.Generations(ctx)
	if err != nil {
		t.Fatal(err)
	}
	told, err := s.runner.LostKey(ctx, "k2")
	if err != nil || told.People == 0 || told.Fallback == "" || len(told.Dropped) == 0 {
		t.Fatalf("what would go: %+v, %v", told, err)
	}
	if now, err := s.opened.Online.Generations(ctx); err != nil || !maps.Equal(now, loaded) {
		t.Fatalf("to tell what would go takes generations away: %v, %v", now, err)
	}
	if personal, _ := s.reads(person); !personal {
		t.Fatal("to tell what would go turns the fallback on")
	}
	s.under(k3, k2, k1)
	if again, err := s.runner.ForgettableKey(ctx, "k2"); err != nil || !slices.Equal(again.Dropped, told.Dropped) || again.Fallback != told.Fallback {
		t.Errorf("what would be given up with a key that is given: %+v, %v", again, err)
	}
	s.under(k3, k1)
	out, err := s.runner.PurgeKey(ctx, js, "k2", "the vault burned down", jobs.Terms{})
	if err != nil || out.People == 0 || out.Hidden == nil || out.Hidden.Fallback == nil || !slices.Equal(out.Hidden.Dropped, told.Dropped) || out.Hidden.Fallback.Why != told.Fallback {
		t.Fatalf("a lost key: %+v, %v; told %+v", out, err, told)
	}
	if personal, _ := s.reads(person); personal {
		t.Error("who was removed reads a list of their own under the key of before")
	}
	have, err := s.opened.Online.Generations(ctx)
	if err != nil || len(have) != 1 {
		t.Errorf("generations %v, %v: one that is kept for a rollback holds them too", have, err)
	}
	s.night(7)
	if _, err := s.runner.SetFallback(ctx, false, "a test", "lists were made anew"); err != nil {
		t.Fatal(err)
	}
	if personal, _ := s.reads(person); !personal {
		t.Error("who comes again with a basis has no list")
	}
}
