package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

// clone is a shop of its own with the same content.
func (s *shop) clone(t testing.TB) *shop {
	t.Helper()
	c := *s
	c.TB, c.dir, c.log = t, t.TempDir(), &syncBuffer{}
	copyDir(t, filepath.Join(c.dir, "online"), filepath.Join(s.dir, "online"))
	o := *s.opened
	o.Bucket = storage.NewMemory(nil)
	for key, body := range objects(t, s.opened.Bucket) {
		if _, err := o.Bucket.Put(t.Context(), key, storage.Bytes(body), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if o.Online, err = online.OpenEmbedded(filepath.Join(c.dir, "online"), online.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Online.Close() })
	c.opened = &o
	c.runner = c.newRunner(o.Bucket, "clone")
	return &c
}

// erase forgets subjects some time after the night of day 6.
func (s *shop) erase(ids ...string) (*jobs.Erased, error) {
	s.runner.Now = func() time.Time { return nightAfter(6).Add(5 * time.Hour) }
	return s.runner.Erase(s.Context(), []*jobs.Job{s.job}, ids)
}

// toDo are the steps that a plan has to do.
func toDo(p *jobs.Preview) (steps []string) {
	for _, s := range p.Steps {
		if !s.Done {
			steps = append(steps, s.Name+" "+s.Label)
		}
	}
	return steps
}

// noTrace checks that no form of the subjects stands anywhere, and that none is served a list of its own.
func (s *shop) noTrace(when string, subjects map[string]map[string][]byte) {
	s.Helper()
	all := map[string][]byte{}
	for id, traces := range subjects {
		for form, trace := range traces {
			all[form+" of "+id] = trace
		}
	}
	for form, where := range s.find(all) {
		s.Errorf("%s: the %s stands in %s", when, form, where)
	}
	for id := range subjects {
		if s.personalized(id) {
			s.Errorf("%s: an erased subject is served a list of its own", when)
		}
	}
}

// Invariant 10: after an erasure there is no trace of the subjects in anything that was written, no step has to be done again but those of the
// next night, and the next night, whose raw files still name them, brings nothing back; nor does a rollback.
func TestErasure(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(5)
	s.night(6)
	subjects := map[string]map[string][]byte{}
	for _, id := range s.admitted(10) {
		subjects[id] = s.traces(id)
	}
	for _, traces := range subjects {
		found := s.find(traces)
		for _, form := range []string{"number", "number, little-endian", "number, big-endian", "online key", "online key, bytes"} {
			if found[form] == "" {
				t.Fatalf("the scan does not find the %s of a subject before its erasure: %v", form, slices.Sorted(maps.Keys(found)))
			}
		}
		break // one is enough: the scan is the same for all
	}
	before, done := toDo(s.plan(7)), keysOf(t, s, "")

	out, err := s.erase(slices.Collect(maps.Keys(subjects))...)
	if err != nil {
		t.Fatal(err)
	}
	if out.Epoch != 1 || out.Known != 10 || out.Rows == 0 || out.Online == 0 || out.Parts == 0 || len(out.Pending) != 2 || len(out.OutOfSite) == 0 {
		t.Errorf("the receipt: %+v", out)
	}
	s.noTrace("after the erasure", subjects)
	if now := keysOf(t, s, ""); !slices.Equal(now, done) {
		t.Errorf("%d steps were done, now %d are", len(done), len(now))
	}
	after := toDo(s.plan(7))
	if !slices.Equal(after, before) {
		t.Errorf("to do before the erasure %v, after it %v", before, after)
	}
	for _, step := range after {
		if strings.HasPrefix(step, "ingest") && step != "ingest 2026-01-08" {
			t.Errorf("the erasure re-opened %s", step)
		}
	}

	s.night(7)
	s.noTrace("after the next night", subjects)
	if _, err := s.runner.Rollback(t.Context(), s.job, 1, "test", "to see"); err != nil {
		t.Fatal(err)
	}
	s.noTrace("after a rollback", subjects)

	count := len(objects(t, s.opened.Bucket))
	for _, id := range []string{"nobody", slices.Sorted(maps.Keys(subjects))[0]} {
		_, err = s.erase(id)
		if !errors.Is(err, jobs.ErrUnknownSubjects) || strings.Contains(err.Error(), id) {
			t.Errorf("an id that is not known: %v", err)
		}
	}
	if len(objects(t, s.opened.Bucket)) != count {
		t.Error("the erasure of nobody wrote something")
	}
}

// TestErasureDuringRun: subjects who are erased while a run has their rows in hand do not come back with what it commits; the next run is as if
// they had never been.
func TestErasureDuringRun(t *testing.T) {
	origin := newShop(t, smallWorld)
	origin.night(6)
	id := origin.admitted(1)[0]
	subjects := map[string]map[string][]byte{id: origin.traces(id)}
	for _, at := range []string{"data/ingest/2026-01-08/", "data/subjects/", "data/build/2026-01-08/", "done/assemble/2026-01-08/", "artifacts/", "leases/publish"} {
		t.Run(strings.ReplaceAll(strings.Trim(at, "/"), "/", " "), func(t *testing.T) {
			s := origin.clone(t)
			var once sync.Once
			erased := false
			s.runner = s.newRunner(hooked{s.opened.Bucket, func(key string) {
				if strings.HasPrefix(key, at) {
					once.Do(func() {
						other := s.newRunner(s.opened.Bucket, "two")
						other.Now = func() time.Time { return nightAfter(7) }
						if _, err := other.Erase(t.Context(), []*jobs.Job{s.job}, []string{id}); err != nil {
							t.Error(err)
						}
						erased = true
					})
				}
			}}, "one")
			_, err := s.try(7)
			if !erased {
				t.Fatalf("nothing was put at %s", at)
			}
			s.noTrace(fmt.Sprintf("run (%v)", err), subjects)
			s.night(7)
			s.noTrace("run again", subjects)
		})
	}
}

var errDied = errors.New("the process has died")

// diesAt makes the shop's process one that dies at its nth write to the bucket, and counts its writes.
func (s *shop) diesAt(n int) (seen *int) {
	seen = new(int)
	s.runner = s.newRunner(storagetest.NewFaulty(s.opened.Bucket, storagetest.Fault{Err: errDied, Match: func(c storagetest.Call) bool {
		if c.Op == storagetest.Put || c.Op == storagetest.Delete {
			*seen++
		}
		return *seen >= n
	}}), "one")
	return seen
}

// buried puts another process in the place of one that died at its nth write, of which err tells.
func (s *shop) buried(n int, err error) {
	s.Helper()
	if !errors.Is(err, errDied) {
		s.Fatalf("at write %d: %v", n, err)
	}
	s.runner = s.newRunner(s.opened.Bucket, "two")
	s.runner.Dead = func(holder string) bool { return holder == "one" }
}

// TestChaosErasure fails an erasure at its nth write and ever after, as a process that dies; the next erasure, of somebody else, finishes
// both. The subjects are denied as soon as the request is journalled.
func TestChaosErasure(t *testing.T) {
	origin := newShop(t, smallWorld)
	origin.night(6)
	ids := origin.admitted(3)
	subjects := map[string]map[string][]byte{}
	for _, id := range ids {
		subjects[id] = origin.traces(id)
	}
	stride, writes := 9, 0
	if os.Getenv("RAPPORT_CHAOS") == "all" {
		stride = 1
	}
	for n := 2; ; n += stride {
		s := origin.clone(t)
		seen := s.diesAt(n)
		_, err := s.erase(ids[0], ids[1])
		if err == nil {
			writes = *seen
			break
		}
		s.buried(n, err)
		if _, err := s.erase(ids[2]); err != nil {
			t.Fatalf("died at write %d, the next erasure: %v", n, err)
		}
		if n == 2 { // the lease was taken and nothing journalled: nobody asked
			delete(subjects, ids[0])
			delete(subjects, ids[1])
		}
		s.noTrace(fmt.Sprintf("died at write %d", n), subjects)
		for _, id := range ids {
			subjects[id] = origin.traces(id)
		}
		s.night(7)
	}
	if writes < 20 {
		t.Errorf("an erasure makes only %d writes", writes)
	}
}

// TestVerifyAfterErasure: after an erasure the online store agrees with what the registry says, and so it does when the drift check has built the interval again
// without the erased: what is served is held against the build that it was loaded from. A plan says ahead that both are due, and why.
func TestVerifyAfterErasure(t *testing.T) {
	s := newShop(t, smallWorld)
	s.job.Published = s.job.Views
	s.night(6)
	agrees := func(when string, newer int) {
		t.Helper()
		if v, err := s.runner.OnlineVerify(t.Context(), s.job, 0); err != nil || !v.Same || v.Newer != newer || len(v.Views) != len(s.job.Views) {
			t.Errorf("%s: %+v, %v", when, v, err)
		}
	}
	agrees("before the erasure", 0)
	gone := slices.MaxFunc(s.admitted(30), func(a, b string) int { return len(s.itemsTaken(a)) - len(s.itemsTaken(b)) })
	if _, err := s.erase(gone); err != nil {
		t.Fatal(err)
	}
	agrees("after the erasure", 0)
	s.runner.Now = func() time.Time { return nightAfter(6).Add(6 * time.Hour) }
	p, err := s.runner.Plan(t.Context(), s.job, s.interval(6), jobs.ThroughPublish)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range p.Steps {
		if (step.Name == "build" || step.Name == "drift") && (step.Done || !strings.Contains(step.Why, "whose data may be used has changed")) {
			t.Errorf("a plan says of %s after an erasure: done %v, %q", step.Name, step.Done, step.Why)
		}
	}
	run := func(through jobs.Through) {
		t.Helper()
		if _, err := s.runner.Run(t.Context(), s.job, s.interval(6), jobs.Options{Through: through, Cause: "run"}); err != nil {
			t.Fatal(err)
		}
	}
	run(jobs.ThroughDrift)
	made := map[string]bool{}
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(t.Context(), "build/"+s.job.Every.Label(s.interval(6))+"/") {
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, v := range s.job.Views {
			text += fmt.Sprintf(" %v", c.Outputs[v.Name].Digest)
		}
		made[text] = true
	}
	if len(made) != 2 {
		t.Fatalf("the interval has %d builds of different rows, and not two: the test says nothing", len(made))
	}
	agrees("after the drift check", 1)
	run(jobs.ThroughPublish)
	agrees("after the next publish", 0)
}
