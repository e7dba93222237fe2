package event

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// Erased people whom a source still names are recognized by the current key alone once it has been read; those whom none names, and those of an erasure that is
// not finished, stay under the key of before.
func TestMarksFollowARotation(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	k1, k2 := testKeys(t, "k1"), testKeys(t, "k2")
	old := openIdentities(t, b, k1)
	for i := range 5 {
		number(t, old, person(i))
	}
	flush(t, old)
	j := openJournal(t, b)
	for i, who := range [][]string{{person(0), person(1)}, {person(1), "nobody's id"}, {person(2)}} {
		e, err := j.Erase(ctx, k1, old, who, dayAt(i+1), "e")
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			err = errors.Join(old.Delete(ctx, e.Subjects...), j.Finish(ctx, e.Seq, dayAt(i+1)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(t, b, "raw/c.csv", []byte("subject\n"+person(0)+"\n"+person(1)+"\n"+person(2)+"\n"+person(3)+"\n"+person(1)+"\n"))
	again := func() *Remarks {
		t.Helper()
		ids, j := openIdentities(t, b, k2, k1), openJournal(t, b)
		marks := j.Remarks(ids)
		if _, err := ids.Try(ctx, DataSet{Bucket: b, Path: "raw/*.csv"}, ColSubject, marks); err != nil {
			t.Fatal(err)
		}
		flush(t, ids)
		if err := j.Remark(ctx, marks); err != nil {
			t.Fatal(err)
		}
		return marks
	}
	if m := again(); m.Found() != 2 || m.Left() != 1 {
		t.Errorf("%d are marked anew and %d are left, want 2 (persons 0 and 1) and 1 (nobody's)", m.Found(), m.Left())
	}
	if m := again(); m.Found() != 0 || m.Left() != 1 {
		t.Errorf("once more: %d and %d", m.Found(), m.Left())
	}
	j = openJournal(t, b)
	if n := j.MarksByKey(); n["k2"] != 2 || n["k1"] != 2 {
		t.Errorf("marks by key %v, want 2 under k2, and under k1 nobody's and person 2's, who is not forgotten yet", n)
	}
	if at, finished := j.LastMarked("k1"); !at.Equal(dayAt(3)) || finished {
		t.Errorf("the last under k1: %s, finished %v", at, finished)
	}
	if at, finished := j.LastMarked("k2"); !at.Equal(dayAt(2)) || !finished {
		t.Errorf("the last under k2: %s, finished %v", at, finished)
	}
	if at, finished := j.LastMarked("k3"); !at.IsZero() || !finished {
		t.Errorf("of a key without marks: %s, %v", at, finished)
	}
	sup, err := j.Suppressions(openIdentities(t, b, k2, k1))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]time.Time{0: dayAt(1), 1: dayAt(2), 2: dayAt(3)} {
		if at, ok := sup.ErasedAt(person(i)); !ok || at != want.UnixMicro() {
			t.Errorf("person %d: erased at %d, %v; want %s", i, at, ok, want)
		}
	}
	if at, ok := sup.ErasedAt("nobody's id"); !ok || at != dayAt(2).UnixMicro() {
		t.Errorf("who stands in no source: %d, %v", at, ok)
	}
	if _, ok := sup.ErasedAt(person(3)); ok {
		t.Error("somebody who never asked is taken for erased")
	}

	// Somebody else changes the journal meanwhile: nothing of either is lost.
	stale := openJournal(t, b)
	ids := openIdentities(t, b, k2, k1)
	marks := stale.Remarks(ids)
	marks.look("nobody's id")
	other := openJournal(t, b)
	if err := errors.Join(other.Finish(ctx, 3, dayAt(4)), other.remark(ctx, marks)); err != nil {
		t.Fatal(err)
	}
	if err := stale.Remark(ctx, marks); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, b)
	if n := j.MarksByKey(); n["k1"] != 1 || n["k2"] != 3 || j.Entries()[2].Finished == nil {
		t.Errorf("after two writers: %v, finished %v", n, j.Entries()[2].Finished)
	}
}

// Of an id without a row nothing counts from before the latest of the times that keys were given up with, and a row keeps what held when it was made, in whatever order
// the times come.
func TestFloorsOnlyRise(t *testing.T) {
	ctx := context.Background()
	b := storage.NewMemory(nil)
	k3 := testKeys(t, "k3")
	give := func(id string, at, before time.Time, given bool) {
		t.Helper()
		if err := openIdentities(t, b).EditKey(ctx, id, func(r *KeyRecord) { r.Lost = &LostKey{At: at, Why: "w", Before: &before, Given: given} }); err != nil {
			t.Fatal(err)
		}
	}
	counts := func(i int) int64 { return openIdentities(t, b, k3).before(person(i)) }
	row := func(i int) {
		ids := openIdentities(t, b, k3)
		number(t, ids, person(i))
		flush(t, ids)
	}
	row(0)
	give("k1", dayAt(5), dayAt(5), false)
	row(1)
	give("k2", dayAt(7), dayAt(3), true) // retired later, with erasures of before
	row(2)
	give("k0", dayAt(8), dayAt(6), true)
	for i, want := range map[int]time.Time{1: dayAt(5), 2: dayAt(5), 3: dayAt(6)} {
		if at := counts(i); at != want.UnixMicro() {
			t.Errorf("person %d counts from %s, want %s", i, time.UnixMicro(at).UTC(), want)
		}
	}
	if at := counts(0); at != 0 {
		t.Errorf("who had a row before any key was given up counts from %d", at)
	}
	if _, err := OpenIdentities(ctx, b, testKeys(t, "k2")); err == nil {
		t.Error("a key that was given up is the current one")
	}
}
