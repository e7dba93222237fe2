package main

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

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
