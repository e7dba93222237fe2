package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// loseOnline empties the online store, as a Redis that keeps nothing on disk is after a restart.
func (s *shop) loseOnline() {
	s.Helper()
	if err := s.opened.Online.Close(); err != nil {
		s.Fatal(err)
	}
	dir := filepath.Join(s.dir, "online")
	if err := os.RemoveAll(dir); err != nil {
		s.Fatal(err)
	}
	var err error
	if s.opened.Online, err = online.OpenEmbedded(dir, online.Options{}); err != nil {
		s.Fatal(err)
	}
	s.runner = s.newRunner(s.opened.Bucket, "one")
	s.runner.Now = func() time.Time { return nightAfter(6) }
}

// A fallback lasts until somebody ends it: a store that was lost and is filled again, by a load or by a run, serves nobody a list of its own meanwhile.
func TestFallbackOutlivesTheStore(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	id := s.admitted(1)[0]
	on, err := s.runner.SetFallback(t.Context(), true, "ann", "odd lists")
	if err != nil {
		t.Fatal(err)
	}
	says := func(flags []string) bool {
		return slices.ContainsFunc(flags, func(f string) bool { return strings.Contains(f, "had lost the fallback") })
	}
	s.loseOnline()
	loaded, err := s.runner.OnlineLoad(t.Context(), s.job)
	if err != nil || loaded.Did != "loaded" || !says(loaded.Flags) {
		t.Fatalf("load: %+v, %v", loaded, err)
	}
	if f, err := s.opened.Online.Fallback(t.Context()); err != nil || f == nil || *f != *on || s.personalized(id) {
		t.Errorf("a list of its own after a load in the fallback; the switch is %+v, %v", f, err)
	}
	s.loseOnline()
	if res := s.night(6); !says(res.Flags) || s.personalized(id) {
		t.Errorf("a list of its own after a run in the fallback: %v", res.Flags)
	}
	if _, err := s.runner.SetFallback(t.Context(), false, "ann", ""); err != nil {
		t.Fatal(err)
	}
	s.loseOnline()
	if res := s.night(6); says(res.Flags) || !s.personalized(id) {
		t.Errorf("the fallback has ended, and yet: %v", res.Flags)
	}
}

// A request to end a run that comes when the alias has moved does not leave the online store behind it.
func TestCancelAfterTheAliasMoved(t *testing.T) {
	s := newShop(t, smallWorld)
	ctx, cancel := context.WithCancel(t.Context())
	s.runner = s.newRunner(afterPut{s.opened.Bucket, "models/home/live.json", cancel}, "one")
	s.runner.Now = func() time.Time { return nightAfter(6) }
	res, err := s.runner.Run(ctx, s.job, s.interval(6), jobs.Options{Through: jobs.ThroughPublish})
	if ctx.Err() == nil {
		t.Fatalf("the alias did not move: %+v, %v", res, err)
	}
	if _, err := s.opened.Online.Live(t.Context()); err != nil {
		t.Errorf("the store does not serve what the alias says: %v", err)
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
}

// afterPut is a bucket that calls done after each Put of a key.
type afterPut struct {
	storage.Bucket
	key  string
	done func()
}

func (a afterPut) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	info, err := a.Bucket.Put(ctx, key, b, c)
	if key == a.key {
		a.done()
	}
	return info, err
}

// Where the bucket or the store is away the fallback is on in the other, and the error says what that means; it is ended in both or not at all.
func TestFallbackHalfAway(t *testing.T) {
	s := newShop(t, smallWorld)
	s.runner.Now = func() time.Time { return nightAfter(6) }
	away := func(c storagetest.Call) bool { return c.Op == storagetest.Put }
	r := s.newRunner(storagetest.NewFaulty(s.opened.Bucket, storagetest.Fault{Match: away, Nth: 1}), "two")
	if _, err := r.SetFallback(t.Context(), true, "ann", "odd lists"); err == nil || !strings.Contains(err.Error(), "the fallback is on, but") {
		t.Errorf("without the bucket: %v", err)
	}
	if f, err := s.opened.Online.Fallback(t.Context()); err != nil || f == nil {
		t.Errorf("without the bucket the switch is %+v, %v", f, err)
	}
	r = s.newRunner(storagetest.NewFaulty(s.opened.Bucket, storagetest.Fault{Match: away, Nth: 1}), "two")
	if _, err := r.SetFallback(t.Context(), false, "ann", ""); err == nil || !strings.Contains(err.Error(), "as it was") {
		t.Errorf("ended without the bucket: %v", err)
	}
	if f, err := s.opened.Online.Fallback(t.Context()); err != nil || f == nil {
		t.Errorf("half ended: the switch is %+v, %v", f, err)
	}
}
