package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// An interval that has not closed is refused as a fault of usage, by a run and by a backfill, before anything is written.
func TestOpenIntervalIsRefused(t *testing.T) {
	s := newShop(t, smallWorld)
	s.runner.Now = func() time.Time { return s.interval(6).End.Add(-time.Microsecond) }
	o := jobs.BackfillOptions{From: s.interval(5).Start, To: s.interval(6).End, Through: jobs.ThroughIngest}
	each := func(b jobs.Backfilled) error {
		t.Errorf("%s was run", b.Interval)
		return nil
	}
	dry := o
	dry.DryRun = true
	for what, try := range map[string]func() error{
		"run": func() error {
			res, err := s.runner.Run(t.Context(), s.job, s.interval(6), jobs.Options{Through: jobs.ThroughIngest})
			if res != nil {
				t.Errorf("there is a result: %+v", res)
			}
			return err
		},
		"backfill":          func() error { return s.runner.Backfill(t.Context(), s.job, o, each) },
		"backfill, dry run": func() error { return s.runner.Backfill(t.Context(), s.job, dry, each) },
	} {
		if err := try(); !errors.Is(err, jobs.ErrOpenInterval) || exitCode(t.Context(), err) != exitUsage {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := len(objects(t, s.opened.Bucket)); n != 0 {
		t.Errorf("%d objects were written", n)
	}
	s.runner.Now = func() time.Time { return s.interval(6).End }
	if _, err := s.runner.Run(t.Context(), s.job, s.interval(6), jobs.Options{Through: jobs.ThroughIngest}); err != nil {
		t.Errorf("at its very end an interval has closed: %v", err)
	}
}

// Files that no commit names may be a dead run's, and hold a subject: an erasure removes them once they are an hour old. Younger ones may be a living
// run's, and stay; the receipt says how many.
func TestErasureSweepsStagedFiles(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	ids := s.admitted(2)
	litter := []string{"data/ingest/2026-01-08/never-committed/events/part-0", "data/build/2026-01-07/never-committed/activity/part-0"}
	for _, key := range litter {
		if _, err := s.opened.Bucket.Put(t.Context(), key, storage.Bytes([]byte("staged")), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	put, err := s.opened.Bucket.Head(t.Context(), litter[1])
	if err != nil {
		t.Fatal(err)
	}
	named := len(objects(t, s.opened.Bucket))
	for i, c := range []struct {
		age    time.Duration
		staged int
	}{{59 * time.Minute, 2}, {61 * time.Minute, 0}} {
		s.runner.Wall = func() time.Time { return put.Modified.Add(c.age) }
		out, err := s.erase(ids[i])
		if err != nil {
			t.Fatal(err)
		}
		if out.Staged != c.staged {
			t.Errorf("%s after they were staged, %d files are kept, want %d", c.age, out.Staged, c.staged)
		}
		all := objects(t, s.opened.Bucket)
		for _, key := range litter {
			if _, ok := all[key]; ok != (c.staged > 0) {
				t.Errorf("%s after it was staged, %s is there: %t", c.age, key, ok)
			}
		}
		if len(all) < named/2 {
			t.Errorf("of %d objects, %d are left", named, len(all))
		}
	}
	if res := s.night(6); res.Status != "succeeded" {
		t.Errorf("the night again: %+v", res)
	}
}

// A version is verified from the snapshots that it was trained on, not from the files as they are; after an erasure its inputs are not there any more.
func TestVerifyFromWhatWasRecorded(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	id := s.admitted(1)[0]
	other, world := storage.NewMemory(nil), smallWorld
	world.Items, world.Seed = 70, 8
	if _, err := world.Write(t.Context(), other, ""); err != nil {
		t.Fatal(err)
	}
	copyObject(t, s.raw, other, "items.parquet")
	verify := func(when string, want registry.Outcome) {
		t.Helper()
		v, err := s.runner.Verify(t.Context(), s.job, 1)
		if err != nil || v.Outcome != want || (v.Again == v.Digest) != (want == registry.Identical) {
			t.Errorf("%s: %v, %v, want %s", when, v, err, want)
		}
	}
	verify("the items have changed", registry.Identical)
	s.night(7)
	verify("after another night", registry.Identical)
	if _, err := s.erase(id); err != nil {
		t.Fatal(err)
	}
	verify("after an erasure", registry.InputsErased)
}

// Days of two time zones have equal labels and are other hours: no step of one stands for one of the other.
func TestZonesShareNoStep(t *testing.T) {
	s := newShop(t, smallWorld)
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	utc := s.plan(6)
	s.job.Every, err = table.EveryOf("1d", zone)
	if err != nil {
		t.Fatal(err)
	}
	berlin := s.plan(6)
	keys := map[string]string{}
	for _, step := range utc.Steps {
		keys[step.Name+" "+step.Label] = step.Key
	}
	equal := 0
	for _, step := range berlin.Steps {
		key, ok := keys[step.Name+" "+step.Label]
		switch step.Name {
		case "items", "subjects", "cohorts", "consent": // by content, of no interval
			continue
		case "publish": // not keyed: the online store says whether it is done
			continue
		}
		if ok {
			equal++
			if key == step.Key {
				t.Errorf("%s %s has one key in two zones", step.Name, step.Label)
			}
		}
	}
	if equal < 5 {
		t.Errorf("only %d steps have equal labels", equal)
	}
}

// The day after a broken one is compared with days that were sound: the columns that were broken are called on their day and not on the next.
func TestDayAfterDriftIsCalm(t *testing.T) {
	world := smallWorld
	world.Users, world.Drift = 400, &synth.Drift{Day: 6, Kind: synth.Upstream}
	s := newShop(t, world)
	calls := func(res *jobs.Result) (columns []string) {
		for _, f := range res.Flags {
			for _, c := range []string{"device", "channel"} {
				if strings.Contains(f, c) && strings.Contains(f, "drift") {
					columns = append(columns, c)
				}
			}
		}
		return columns
	}
	broken := s.night(6)
	if len(calls(broken)) != 2 {
		t.Fatalf("the planted day: %v", broken.Flags)
	}
	if after := s.night(7); len(calls(after)) != 0 {
		t.Errorf("the day after the planted one: %v", after.Flags)
	}
}

// A store that was lost is filled again by running the same interval: to the same content, with the same people denied.
func TestLostStoreIsRefilled(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	before := s.outcome()
	if len(before.Denied) == 0 {
		t.Fatal("nobody is denied")
	}
	if err := s.opened.Online.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.dir, "online")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.opened.Online, err = online.OpenEmbedded(dir, online.Options{}); err != nil {
		t.Fatal(err)
	}
	s.runner = s.newRunner(s.opened.Bucket, "two")
	res := s.night(6)
	if res.Published == nil || res.Nothing {
		t.Errorf("the night again: %+v", res)
	}
	if d := difference(s.outcome(), before); d != "" {
		t.Error(d)
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
	if again := s.night(6); !again.Nothing {
		t.Error("the third run did something")
	}
}
