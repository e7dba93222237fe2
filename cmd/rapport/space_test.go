package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
)

// TestCollect lays litter among what two nights have made: the litter goes, and nothing else; a dry run removes nothing; what is young stays; and
// afterwards nothing is to be done again, versions verify, and the older of them can be made live.
func TestCollect(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	s.night(7)
	before := s.outcome()
	b := s.opened.Bucket

	var part string
	for k := range objects(t, b) {
		if strings.HasPrefix(k, "data/") {
			part = k
			break
		}
	}
	litter := []string{
		part[:strings.LastIndexByte(part, '/')] + "/part-0001-0123456789abcdef.parquet", // beside files that are named
		"data/build/2030-01-01/aa-bb/activity/part-0000-0123456789abcdef.parquet",       // of a step that was never done
		"artifacts/" + strings.Repeat("ab", 32) + "/model.json",
		"reports/nightly/2030-01-01/0123456789ab.html",
	}
	var laid time.Time
	for _, key := range litter {
		info, err := b.Put(t.Context(), key, storage.Bytes([]byte("litter")), storage.Cond{})
		if err != nil {
			t.Fatal(err)
		}
		laid = info.Modified
	}
	all := objects(t, b)
	collect := func(ahead time.Duration, dry bool) *jobs.Collected {
		t.Helper()
		s.runner.Wall = func() time.Time { return laid.Add(ahead) }
		out, err := s.runner.Collect(t.Context(), 7*24*time.Hour, dry)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	u, err := s.runner.Usage(t.Context())
	if err != nil || u.Garbage != int64(len("litter")*len(litter)) || u.Objects != len(all) {
		t.Errorf("du: %d bytes of garbage in %d objects (%v)", u.Garbage, u.Objects, err)
	}
	if out := collect(0, false); len(out.Removed) != 0 || out.Young != len(litter) {
		t.Errorf("young: removed %d, kept %d", len(out.Removed), out.Young)
	}
	if out := collect(8*24*time.Hour, true); len(out.Removed) != len(litter) {
		t.Errorf("a dry run lists %d objects, not %d", len(out.Removed), len(litter))
	}
	for k := range all {
		if _, err := b.Head(t.Context(), k); err != nil {
			t.Errorf("%s is gone before anything was to be removed: %v", k, err)
		}
	}
	out := collect(8*24*time.Hour, false)
	var removed []string
	for _, g := range out.Removed {
		removed = append(removed, g.Key)
		if g.Why == "" {
			t.Errorf("%s: removed, and not said why", g.Key)
		}
	}
	slices.Sort(removed)
	slices.Sort(litter)
	if !slices.Equal(removed, litter) {
		t.Errorf("removed %v, want %v", removed, litter)
	}
	for k := range all {
		if _, err := b.Head(t.Context(), k); (err != nil) != slices.Contains(litter, k) {
			t.Errorf("%s afterwards: %v", k, err)
		}
	}

	s.runner.Wall = time.Now
	if p := s.plan(7); p.ToDo != 0 {
		t.Errorf("%d steps are to be done again", p.ToDo)
	}
	if d := difference(s.outcome(), before); d != "" {
		t.Error(d)
	}
	v, err := s.runner.Verify(t.Context(), s.job, 1)
	if err != nil || v.Outcome != "identical" {
		t.Errorf("verify: %v, %v", v.Outcome, err)
	}
	if _, err := s.runner.Rollback(t.Context(), s.job, 1, "ann", "test"); err != nil {
		t.Error(err)
	}
}

// TestCollectBesideARun removes the staged files of a step that is about to be done again: the run writes them anew, and its commit stands. What a
// run finds staged it writes anew too: a collection at the same time sees nothing old of it.
func TestCollectBesideARun(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	b := s.opened.Bucket
	before := objects(t, b)
	s.night(7)
	want := s.outcome()
	// As if a run had died after it staged the next night's files: the commits of that night are taken away.
	undo := func() {
		t.Helper()
		for k := range objects(t, b) {
			if _, ok := before[k]; !ok && strings.HasPrefix(k, "done/") {
				if err := b.Delete(t.Context(), k); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	undo()
	modified := func(key string) time.Time {
		t.Helper()
		info, err := b.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return info.Modified
	}
	staged := map[string]time.Time{}
	for k := range objects(t, b) {
		folder, _, _ := strings.Cut(k, "/")
		if _, ok := before[k]; !ok && slices.Contains([]string{"data", "artifacts", "reports"}, folder) {
			staged[k] = modified(k)
		}
	}
	s.night(7)
	for k, was := range staged {
		if !modified(k).After(was) {
			t.Errorf("%s is committed again and as old as it was: a collection could have taken it", k)
		}
	}

	undo()
	s.runner.Wall = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	out, err := s.runner.Collect(t.Context(), 7*24*time.Hour, false)
	if err != nil || len(out.Removed) == 0 {
		t.Fatalf("removed %v (%v)", out, err)
	}
	s.runner.Wall = time.Now
	s.night(7)
	got := s.outcome()
	if d := difference(got, want); d != "" {
		t.Error(d)
	}
	if u, err := s.runner.Usage(t.Context()); err != nil || u.Garbage != 0 {
		t.Errorf("%d bytes of garbage after the run (%v)", u.Garbage, err)
	}
}
