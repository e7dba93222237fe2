package jobs

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// goneBefore is a bucket in which an object is removed right before the first conditional replacement of it.
type goneBefore struct {
	storage.Bucket
	done bool
}

func (g *goneBefore) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	if c.IfMatch != "" && !g.done {
		g.done = true
		if err := g.Delete(ctx, key); err != nil {
			return storage.Info{}, err
		}
	}
	return g.Bucket.Put(ctx, key, b, c)
}

// TestPutFirst: the first body stands, and is as young as the last who asked for it, so that no collection takes it from under a run; one that
// a collection took all the same is written again.
func TestPutFirst(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	b := storage.NewMemory(func() time.Time { return now })
	put := func(in storage.Bucket, body, want string) {
		t.Helper()
		got, err := putFirst(t.Context(), in, "reports/x.json", []byte(body))
		if err != nil || string(got) != want {
			t.Fatalf("%q stands (%v), want %q", got, err, want)
		}
		stands, info, err := storage.ReadAll(t.Context(), b, "reports/x.json")
		if err != nil || string(stands) != want || !info.Modified.Equal(now) {
			t.Errorf("%q of %s (%v), want %q of %s", stands, info.Modified, err, want, now)
		}
	}
	put(b, "first", "first")
	for _, body := range []string{"second", "first"} { // the same bytes too: a pinned clock makes equal reports
		now = now.AddDate(0, 0, 8)
		put(b, body, "first")
	}
	put(&goneBefore{Bucket: b}, "third", "third")

	_, err := putFirst(t.Context(), refusing{b}, "reports/x.json", []byte("fourth"))
	if err == nil || !strings.Contains(err.Error(), "lifecycle") {
		t.Errorf("an object that always changes: %v", err)
	}
}

// refusing is a bucket in which another writer is always first.
type refusing struct{ storage.Bucket }

func (refusing) Put(context.Context, string, storage.Body, storage.Cond) (storage.Info, error) {
	return storage.Info{}, storage.ErrPrecondition
}
