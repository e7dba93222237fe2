package main

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// A full disk fails the run with exit code 1 and a message that says what to do; what is live stays; and
// once there is room the same night leads where an undisturbed one does.
func TestFullDisk(t *testing.T) {
	day := smallWorld.Days - 2
	calm := newShop(t, smallWorld)
	calm.night(day)
	counting := storagetest.NewKillAt(calm.opened.Bucket, 0, false, func() {})
	calm.runner = calm.newRunner(counting, "one")
	calm.night(day + 1)
	want, writes := calm.outcome(), counting.Writes()

	s := newShop(t, smallWorld)
	s.night(day)
	live := s.outcome()
	gone := func(string) bool { return true } // a lease can't be let go of on a full disk; the next process takes it over from a dead one
	for _, c := range []struct {
		name string
		full func(n int, key string) bool
	}{
		{"all but the first write", func(n int, _ string) bool { return n >= 2 }},
		{"the last two thirds", func(n int, _ string) bool { return n >= writes/3 }},
		{"reports and all after", func(_ int, key string) bool {
			return strings.HasPrefix(key, "reports/") || strings.HasPrefix(key, "models/")
		}},
		{"the alias", func(_ int, key string) bool { return key == "models/home/live.json" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var puts atomic.Int64
			full := storagetest.NewFaulty(s.opened.Bucket, storagetest.Fault{
				Match: func(x storagetest.Call) bool { return x.Op == storagetest.Put && c.full(int(puts.Add(1)), x.Key) }, Err: storage.ErrFull,
			})
			s.runner = s.newRunner(full, "one")
			s.runner.Dead = gone
			_, err := s.try(day + 1)
			if !errors.Is(err, storage.ErrFull) || exitCode(t.Context(), err) != exitFailed {
				t.Fatalf("error %v, exit code %d", err, exitCode(t.Context(), err))
			}
			if text := err.Error(); !strings.Contains(text, "full") {
				t.Errorf("the message does not say so: %s", text)
			}
			if now := s.outcome(); now.Alias != live.Alias || now.Digest != live.Digest || now.Content != live.Content {
				t.Errorf("what is live moved from %+v to %+v", live, now)
			}
		})
	}
	s.runner = s.newRunner(s.opened.Bucket, "one")
	s.runner.Dead = gone
	s.night(day + 1)
	if got := s.outcome(); difference(got, want) != "" {
		t.Errorf("after the disk had room: %s", difference(got, want))
	}
}

// A file that is written anew while a run reads it, or between its listing and its reading, fails the run, which names it; nothing of its day is committed, and the next
// run reads it as it is then. A day without files is one that the source has yet to deliver.
func TestRewrittenWhileRead(t *testing.T) {
	day := smallWorld.Days - 2
	calm := newShop(t, smallWorld)
	calm.quick()
	key := eventsKey(day, "part-0")
	rows := readParquet[rawEvent](t, calm.raw, key)
	writeParquet(t, calm.raw, key, rows[:len(rows)-20])
	calm.buildNight(day)
	want := madeBy(t, calm.lastBuild(day))

	for _, when := range []int32{1, 2, 3} { // the footer, and what follows
		s := newShop(t, smallWorld)
		s.quick()
		var gets atomic.Int32
		s.job.Events.Bucket = storagetest.NewFaulty(s.raw, storagetest.Fault{Match: func(c storagetest.Call) bool {
			if c.Op == storagetest.Get && c.Key == key && gets.Add(1) == when {
				writeParquet(t, s.raw, key, rows[:len(rows)-20])
			}
			return false
		}})
		_, err := s.try(day)
		if !errors.Is(err, storage.ErrPrecondition) || !strings.Contains(err.Error(), key) || exitCode(t.Context(), err) != exitFailed {
			t.Errorf("written anew at read %d: %v", when, err)
		}
		for k := range objects(t, s.opened.Bucket) {
			if strings.HasPrefix(k, "done/ingest/"+s.job.Every.Label(s.interval(day))) {
				t.Errorf("written anew at read %d, and %s is committed", when, k)
			}
		}
		s.runner = s.newRunner(s.opened.Bucket, "two")
		s.buildNight(day)
		if got := madeBy(t, s.lastBuild(day)); got != want {
			t.Errorf("written anew at read %d, the next run makes\n%s\nwant\n%s", when, got, want)
		}
	}

	s := newShop(t, smallWorld)
	s.quick()
	if err := s.raw.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.try(day); !errors.Is(err, jobs.ErrNotReady) && !errors.Is(err, jobs.ErrNoData) {
		t.Errorf("a day without files: %v", err)
	}
	writeParquet(t, s.raw, key, rows[:len(rows)-20])
	s.buildNight(day)
	if got := madeBy(t, s.lastBuild(day)); got != want {
		t.Errorf("once the day's files are there a run makes\n%s\nwant\n%s", got, want)
	}
}
