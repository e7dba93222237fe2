package jobs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
)

// TestUnfinishedErasure: an erasure whose process died is told with its age, is under way while somebody holds its lease, and is finished by a server's next look or by a purge,
// with a receipt; whoever is asked for again is told by the mark.
func TestUnfinishedErasure(t *testing.T) {
	for _, by := range []string{"server", "purge"} {
		t.Run(by, func(t *testing.T) {
			now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			bucket := storage.NewMemory(nil)
			s := newPurgeServer(t, bucket, now)
			r := s.runner
			for _, j := range s.retention.jobs {
				j.Model.Name = "home"
			}
			r.Keys, r.Log = secretsOf(t, "k1"), slog.New(slog.NewTextHandler(io.Discard, nil))
			store, err := online.OpenEmbedded(t.TempDir(), online.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			r.Online = store
			ids, err := event.OpenIdentities(t.Context(), bucket, r.Keys)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"ann", "bob"} {
				if _, err := ids.Number(id); err != nil {
					t.Fatal(err)
				}
			}
			if err := ids.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			unfinished := func() []UnfinishedErasure {
				t.Helper()
				out, err := r.UnfinishedErasures(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			if out := unfinished(); len(out) != 0 {
				t.Fatalf("nobody asked, and %+v", out)
			}

			// One that dies between its journal and its end.
			lease, err := storage.Acquire(t.Context(), bucket, eraseLease, "another", time.Minute, r.Wall)
			if err != nil {
				t.Fatal(err)
			}
			journal, err := event.OpenJournal(t.Context(), bucket)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := journal.Erase(t.Context(), r.Keys, ids, []string{"ann"}, now, "one"); err != nil {
				t.Fatal(err)
			}
			s.clock.now = now.Add(30 * time.Second)
			if out := unfinished(); len(out) != 1 || !out[0].UnderWay || out[0].Erasure != 1 || out[0].Age != 30 {
				t.Errorf("while its lease is held: %+v", out)
			}
			if s.finishErasures(t.Context()); len(unfinished()) != 1 {
				t.Error("finished while somebody is at it")
			}
			s.clock.now = now.Add(2 * time.Hour) // its holder is dead: nobody has renewed the lease
			if at, err := r.Retention(t.Context(), s.retention.jobs); err != nil || len(at.Erasures) != 1 || at.Erasures[0].UnderWay || at.Erasures[0].Age != 7200 {
				t.Errorf("status tells %+v, %v", at, err)
			}
			if by == "server" {
				s.finishErasures(t.Context())
			} else if out, err := r.Purge(t.Context(), s.retention.jobs, "test", true); err != nil || out.Begun != 1 || out.Nothing {
				t.Errorf("a dry purge: %+v, %v", out, err)
			} else if out, err = r.Purge(t.Context(), s.retention.jobs, "test", false); err != nil || out.Begun != 0 || len(out.Receipts) != 1 || out.Nothing {
				t.Errorf("a purge: %+v, %v", out, err)
			}
			if out := unfinished(); len(out) != 0 {
				t.Errorf("afterwards: %+v", out)
			}
			if _, err := r.Receipt(t.Context(), 1); err != nil {
				t.Errorf("its receipt: %v", err)
			}
			if ids, err = event.OpenIdentities(t.Context(), bucket, r.Keys); err != nil || ids.Knows("ann") || !ids.Knows("bob") {
				t.Errorf("who is known: %v", err)
			}
			if lease.Renew(t.Context()) == nil {
				t.Error("who overslept has the lease yet")
			}

			// Asked again.
			_, err = r.Erase(t.Context(), s.retention.jobs, []string{"ann", "nobody"})
			if err == nil || !strings.Contains(err.Error(), "1 of them erased already, by erasure 1, asked for on 2026-03-01, and nothing of them is left") || strings.Contains(err.Error(), "ann") {
				t.Errorf("asked again: %v", err)
			}
			if out, err := r.Erase(t.Context(), s.retention.jobs, []string{"ann", "bob"}); err != nil || out.Known != 1 || len(out.Before) != 1 || out.Before[0].People != 1 || !out.Before[0].Done {
				t.Errorf("asked again beside another: %+v, %v", out, err)
			}
		})
	}
}

// dyingStore fails from the moment that an erasure stands in the journal, as if its process had died there.
type dyingStore struct {
	online.Store
	bucket storage.Bucket
}

func (s dyingStore) Deny(ctx context.Context, owners ...string) error {
	if j, err := event.OpenJournal(ctx, s.bucket); err != nil || j.UnderWay() {
		return errors.Join(errDied, err)
	}
	return s.Store.Deny(ctx, owners...)
}

// TestUnfinishedErasureAfterARotation: rows that were loaded before a rotation, under a key that only the ids tell, are gone when an erasure that died is finished by
// somebody who has no ids.
func TestUnfinishedErasureAfterARotation(t *testing.T) {
	ctx, bucket := t.Context(), storage.NewMemory(nil)
	s := newPurgeServer(t, bucket, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	r := s.runner
	for _, j := range s.retention.jobs {
		j.Model.Name = "home"
	}
	k1 := secretsOf(t, "k1")
	r.Keys, r.Log = k1, slog.New(slog.NewTextHandler(io.Discard, nil))
	store, err := online.OpenEmbedded(t.TempDir(), online.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ids, err := event.OpenIdentities(ctx, bucket, k1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ids.Number("ann"); err != nil {
		t.Fatal(err)
	}
	l, err := store.Load(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	owner := event.OnlineKey(k1.ServingKey(), "ann")
	digest := ""
	if err = errors.Join(ids.Flush(ctx), l.Put(ctx, online.Entry{Key: online.ListKey(owner), Owner: owner, Value: []byte("hers")})); err == nil {
		digest, err = l.Finish(ctx)
	}
	if err = errors.Join(err, store.Swap(ctx, online.Pointer{Generation: 1, Fence: 1})); err != nil {
		t.Fatal(err)
	}
	r.Keys, r.Previous = secretsOf(t, "k2"), []event.Keys{k1}
	again, err := event.OpenIdentities(ctx, bucket, r.Keys, k1)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.Find("ann"); !ok {
		t.Fatal("she is not recognized by the key of before")
	}
	if err := again.Flush(ctx); err != nil { // wraps her row anew: nothing in the bucket tells the online key of before now
		t.Fatal(err)
	}
	r.Online = dyingStore{store, bucket}
	if _, err := r.Erase(ctx, s.retention.jobs, []string{"ann"}); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
	r.Online = store
	if out, err := r.FinishErasures(ctx, s.retention.jobs); err != nil || out == nil || len(out.Receipts) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	if left, err := store.Generations(ctx); err != nil || left[1] == digest {
		t.Errorf("the row under the key of before is left: %v %v", left, err)
	}
}

// TestOneReceiptOfOneRequest: people who are asked for again and again, because each time the process dies, have one receipt, which names the attempts; whoever was asked
// for beside them then has one of their own. Every date of a receipt is of one clock, also where the project's is another.
func TestOneReceiptOfOneRequest(t *testing.T) {
	ctx, bucket := t.Context(), storage.NewMemory(nil)
	wall := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := newPurgeServer(t, bucket, wall)
	r := s.runner
	for _, j := range s.retention.jobs {
		j.Model.Name = "home"
	}
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	r.Keys, r.Log, r.Now = secretsOf(t, "k1"), slog.New(slog.NewTextHandler(io.Discard, nil)), func() time.Time { return old }
	r.Wall = func() time.Time { wall = wall.Add(time.Millisecond); return wall }
	store, err := online.OpenEmbedded(t.TempDir(), online.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ids, err := event.OpenIdentities(ctx, bucket, r.Keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"ann", "bob", "cat"} {
		if _, err := ids.Number(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := ids.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	began := wall
	for _, who := range [][]string{{"bob", "cat"}, {"ann"}, {"ann"}} {
		r.Online = dyingStore{store, bucket}
		if _, err := r.Erase(ctx, s.retention.jobs, who); !errors.Is(err, errDied) {
			t.Fatal(err)
		}
	}
	r.Online = store
	out, err := r.Erase(ctx, s.retention.jobs, []string{"ann", "bob"})
	if err != nil || out.Epoch != 4 || len(out.Receipts) != 2 || out.Receipts[0] != receiptKey(1) || out.Receipts[1] != receiptKey(4) {
		t.Fatalf("%+v %v", out, err)
	}
	keys, err := r.SigningKeys(ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	receipts := 0
	for info, err := range bucket.List(ctx, receiptPrefix, storage.ListOpt{}) {
		if receipts++; err != nil {
			t.Fatal(err)
		}
		body, _, err := storage.ReadAll(ctx, bucket, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := VerifyReceipt(body, keys.Keys)
		if err != nil {
			t.Fatal(err)
		}
		if x.Clock != receiptClock || x.Requested.Before(began) || !x.Requested.Before(x.Denied) || !x.Denied.Before(x.Rewritten) || !x.Resumed {
			t.Errorf("%s: asked for %s, denied %s, rewritten %s, of the %s clock, resumed %v", info.Key, x.Requested, x.Denied, x.Rewritten, x.Clock, x.Resumed)
		}
		if !strings.Contains(x.OutOf.Why, "2020-01-01T00:00:00Z") {
			t.Errorf("%s does not say by which time rows are left out: %s", info.Key, x.OutOf.Why)
		}
		switch x.Erasure {
		case 1:
			if len(x.Completes) != 0 || len(x.Subjects) != 2 {
				t.Errorf("of who was asked for beside others: %+v", x)
			}
		case 4:
			if len(x.Completes) != 2 || x.Completes[0].Erasure != 2 || x.Completes[1].Erasure != 3 || !x.Completes[0].Requested.Before(x.Requested) || x.Completes[0].Requested.Before(began) {
				t.Errorf("of who was asked for three times: completes %+v", x.Completes)
			}
		default:
			t.Errorf("a receipt of erasure %d", x.Erasure)
		}
	}
	if receipts != 2 {
		t.Errorf("%d receipts", receipts)
	}
	if left, err := r.UnfinishedErasures(ctx); err != nil || len(left) != 0 {
		t.Errorf("unfinished: %+v, %v", left, err)
	}
}
