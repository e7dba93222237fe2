package main

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/als"
	"github.com/rapport-ml/rapport/models/blend"
	"github.com/rapport-ml/rapport/models/registry"
)

// newWarmShop makes a shop whose als goes on from the version that was live before.
func newWarmShop(t testing.TB) *shop {
	s := newShop(t, smallWorld)
	for _, p := range s.job.Model.Trainer.(*blend.Trainer).Parts {
		if a, ok := p.(*als.Trainer); ok {
			a.Hyper.WarmStart = true
		}
	}
	s.job.Model.Spec = struct{ Parts, Warm any }{s.job.Model.Spec, true}
	return s
}

// planned is what the plan of the night after a day says of its training.
func (s *shop) planned(day int) string {
	s.Helper()
	for _, step := range s.plan(day).Steps {
		if step.Name == "train" {
			return step.Why
		}
	}
	s.Fatal("no training is planned")
	return ""
}

// version returns a version of the shop's model.
func (s *shop) version(n int) registry.Version {
	s.Helper()
	reg, err := registry.Open(s.opened.Bucket, "home")
	if err != nil {
		s.Fatal(err)
	}
	v, err := reg.Get(s.Context(), n)
	if err != nil {
		s.Fatal(err)
	}
	return v
}

// A warm start goes on from the version that was live at the interval's start, whoever runs it and when: the plan says so, a repetition has
// nothing to do, another machine comes to the same bytes, and so does verify. After an erasure or a withdrawal the next training is cold.
func TestWarmStart(t *testing.T) {
	s, cold := newWarmShop(t), newShop(t, smallWorld)
	if why := s.planned(4); why != "cold: nothing was live before" {
		t.Errorf("the first night: %q", why)
	}
	s.night(4)
	cold.night(4)
	if s.version(1).Digest == cold.version(1).Digest {
		t.Error("the artifact does not say that it may be gone on from")
	}
	other := s.clone(t)
	if why := s.planned(5); why != "goes on from version 1" {
		t.Fatalf("the second night: %q", why)
	}
	s.night(5)
	procs := runtime.GOMAXPROCS(1)
	other.night(5)
	runtime.GOMAXPROCS(procs)
	if d := difference(other.outcome(), s.outcome()); d != "" {
		t.Errorf("the same night on one processor leads elsewhere:\n%s", d)
	}
	s.night(6)
	if todo := toDo(s.plan(6)); len(todo) != 0 {
		t.Errorf("a repetition has to do %v", todo)
	}
	before := s.versions()
	if _, err := s.backfillAll(jobs.BackfillOptions{
		From: s.interval(4).Start, To: s.interval(6).End, Through: jobs.ThroughTrain, Backwards: true, Reprocess: jobs.ReprocessCompleted,
	}); err != nil || s.versions() != before {
		t.Errorf("a backfill of what was done leads to other versions (%v):\n%swant\n%s", err, s.versions(), before)
	}
	for n := 1; n <= 3; n++ {
		if v, err := s.runner.Verify(t.Context(), s.job, n); err != nil || v.Outcome != registry.Identical {
			t.Errorf("version %d: %+v, %v", n, v, err)
		}
	}

	withdrawn := s.clone(t)
	withdrawn.withdraw(s.admitted(1)[0], nightAfter(6).Add(time.Hour))
	if why := withdrawn.planned(7); why != "cold: whose data may be used has changed since version 3 was trained" {
		t.Errorf("after a withdrawal: %q", why)
	}
	lost := s.clone(t)
	for key := range objects(t, lost.opened.Bucket) {
		if strings.HasPrefix(key, "artifacts/"+s.version(3).Digest) {
			if err := lost.opened.Bucket.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := lost.try(7); err == nil || !strings.Contains(err.Error(), "goes on from version 3, whose artifact is gone") {
		t.Errorf("without the parent's artifact: %v", err)
	}

	purged := lost.clone(t)
	for key := range objects(t, purged.opened.Bucket) { // as a purge leaves it
		if strings.HasPrefix(key, "done/train/"+s.job.Every.Label(s.interval(6))+"/") {
			if err := purged.opened.Bucket.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if why := purged.planned(7); why != "cold: a purge has removed version 3" {
		t.Errorf("after a purge of the parent: %q", why)
	}
	purged.night(7)

	// A collection of garbage takes nothing that another was made from, or would be.
	collected := s.clone(t)
	collected.runner.Now = func() time.Time { return nightAfter(6).Add(time.Hour) }
	collected.runner.Wall = func() time.Time { return time.Now().AddDate(1, 0, 0) }
	if _, err := collected.runner.Collect(t.Context(), time.Hour, false); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		if v, err := collected.runner.Verify(t.Context(), collected.job, n); err != nil || v.Outcome != registry.Identical {
			t.Errorf("version %d after a collection: %+v, %v", n, v, err)
		}
	}
	if why := collected.planned(7); why != "goes on from version 3" {
		t.Errorf("after a collection: %q", why)
	}

	if _, err := s.erase(s.admitted(1)[0]); err != nil {
		t.Fatal(err)
	}
	if why := s.planned(7); why != "cold: people were erased since version 3 was trained" {
		t.Errorf("after an erasure: %q", why)
	}
	s.night(7)
	if v, err := s.runner.Verify(t.Context(), s.job, 4); err != nil || v.Outcome != registry.Identical {
		t.Errorf("the cold version after the erasure: %+v, %v", v, err)
	}
}
