package jobs

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// sweptBucket calls before, once, ahead of the first listing of a commit's files.
type sweptBucket struct {
	storage.Bucket
	before func()
}

func (b *sweptBucket) List(ctx context.Context, prefix string, o storage.ListOpt) iter.Seq2[storage.Info, error] {
	if f := b.before; f != nil && prefix == "data/"+keptKey+"/" {
		b.before = nil
		f()
	}
	return b.Bucket.List(ctx, prefix, o)
}

// TestPurgeBesideErasure: what a purge stages is not swept by an erasure beside it, which takes what no manifest names: one waits for the other, table by table.
func TestPurgeBesideErasure(t *testing.T) {
	w := newKeptWorld(t)
	store, err := online.OpenEmbedded(t.TempDir(), online.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	runner := func(b storage.Bucket) *Runner {
		r := recordsRunner(t, b, &w.now)
		r.Now, r.Online = r.Wall, store
		return r
	}
	purge := func(ctx context.Context) error {
		r := runner(w.memory)
		lease, err := r.acquire(ctx, purgeLease)
		if err != nil {
			return err
		}
		defer r.release(ctx, lease)
		k := &work{Runner: r, now: w.now, tables: table.Store{Bucket: w.memory}, lease: lease}
		p := k.purging(nil, w.now)
		p.write, p.by = true, purgedBy(1)
		_, err = p.shrink(ctx, w.commit(), func(name string, _ table.Manifest, _ []Hold) (event.Rows, bool) {
			if name != "by_subject" {
				return event.Rows{}, false
			}
			return event.OfSubjects(event.ColSubject, map[policy.Subject]bool{2: true}), false
		}, nil)
		return err
	}
	asked := false
	b := &sweptBucket{Bucket: w.memory, before: func() {
		asked = true
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := purge(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a purge beside the sweep of an erasure: %v", err)
		}
		k := &work{Runner: runner(w.memory)}
		short, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := k.alone(short, func(context.Context) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("another rewrites tables beside an erasure: %v", err)
		}
	}}
	_, err = runner(b).carryOut(t.Context(), nil, nil, Terms{},
		func(ctx context.Context, k *work, journal *event.Journal, _ *Erased, _ bool) (*event.Identities, error) {
			if _, err := journal.Remove(ctx, "k1", []policy.Subject{1}, w.now, "nonce"); err != nil {
				return nil, err
			}
			return event.OpenIdentities(ctx, k.Bucket, event.Keys{})
		})
	if err != nil || !asked {
		t.Fatal(asked, err)
	}
	if m := w.commit().Outputs["by_subject"]; m.Rows != 1 {
		t.Fatalf("after the erasure %d rows", m.Rows)
	}
	if err := purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := w.commit().Outputs["by_subject"]; m.Rows != 0 {
		t.Errorf("after the purge %d rows", m.Rows)
	}
}
