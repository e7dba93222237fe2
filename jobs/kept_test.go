package jobs

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table"
)

// raced is a bucket in which something happens right before the first replacement of an object.
type raced struct {
	storage.Bucket
	meanwhile func()
}

func (r *raced) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	if f := r.meanwhile; c.IfMatch != "" && f != nil {
		r.meanwhile = nil
		f()
	}
	return r.Bucket.Put(ctx, key, b, c)
}

// keptWorld is a build of one view of subjects 1 and 2, with a state and a tile.
type keptWorld struct {
	*testing.T
	memory storage.Bucket
	ids    int
	now    time.Time
}

const keptKey = "build/2026-03-01/aaaa-bbbb"

func newKeptWorld(t *testing.T) *keptWorld {
	w := &keptWorld{T: t, now: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}
	w.memory = storage.NewMemory(func() time.Time { return w.now })
	c := &table.Commit{Key: keptKey, Step: "build", Outputs: map[string]table.Manifest{}, Run: "run-1", Nonce: "run-1", At: w.now}
	for name, column := range map[string]string{"by_subject": event.ColSubject, statePrefix + "by_subject": event.ColSubject, tilePrefix + "by_item": "n"} {
		schema := table.Schema{{Name: column, Type: table.Int64}}
		tw := table.NewWriter(w.memory, dataPrefix(keptKey, name), schema, table.WriteOptions{SortBy: []string{column}})
		if err := tw.Append(&table.Batch{Schema: schema, N: 2, Cols: []table.Column{{Int: []int64{1, 2}}}}); err != nil {
			t.Fatal(err)
		}
		m, err := tw.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Outputs[name] = m
	}
	if won, err := (table.Store{Bucket: w.memory}).Commit(t.Context(), c); !won || err != nil {
		t.Fatal(won, err)
	}
	return w
}

func (w *keptWorld) runner(b storage.Bucket) *Runner {
	clock := func() time.Time { return w.now }
	return &Runner{Bucket: b, Now: clock, Wall: clock, Holder: "test", NewID: func(time.Time) string {
		w.ids++
		return fmt.Sprintf("id-%d", w.ids)
	}}
}

// commit returns what stands, once every file that it names is there.
func (w *keptWorld) commit() *table.Commit {
	w.Helper()
	c, _, err := (table.Store{Bucket: w.memory}).Lookup(w.Context(), keptKey)
	if err != nil {
		w.Fatal(err)
	}
	for name, m := range c.Outputs {
		for _, p := range m.Parts {
			if _, err := w.memory.Head(w.Context(), p.Object); err != nil {
				w.Errorf("%s is named and gone: %v", name, err)
			}
		}
	}
	return c
}

// drop takes the states out, with their files, as retire does.
func (w *keptWorld) drop() {
	w.Helper()
	parts, err := w.runner(w.memory).dropKept(w.Context(), keptKey, map[string]bool{statePrefix + "by_subject": true})
	if err != nil || len(parts) != 1 {
		w.Fatal(parts, err)
	}
	for _, p := range parts {
		if err := w.memory.Delete(w.Context(), p.Object); err != nil {
			w.Fatal(err)
		}
	}
}

// erase takes subject 1 out of what stood when the commits were listed.
func (w *keptWorld) erase(b storage.Bucket, listed *table.Commit) {
	w.Helper()
	r := w.runner(b)
	lease, err := r.acquire(w.Context(), eraseLease)
	if err != nil {
		w.Fatal(err)
	}
	k := &work{Runner: r, now: w.now, tables: table.Store{Bucket: b}, lease: lease}
	out := &Erased{Epoch: 1}
	stands, changed, err := k.eraseTable(w.Context(), listed, &forgetting{by: erasedBy(1), before: map[policy.Subject]int64{1: always}}, out)
	if err != nil || !changed {
		w.Fatal(changed, err)
	}
	if _, _, err := k.sweep(w.Context(), *stands); err != nil {
		w.Fatal(err)
	}
}

// TestErasureBesideRetirement: an erasure and a retirement of states that replace one commit at the same time undo nothing of one another, whoever comes
// between the other's reading and writing.
func TestErasureBesideRetirement(t *testing.T) {
	for _, when := range []string{"before the erasure looks", "before the erasure writes"} {
		t.Run(when, func(t *testing.T) {
			w := newKeptWorld(t)
			listed := w.commit()
			b := &raced{Bucket: w.memory}
			if when == "before the erasure looks" {
				w.drop()
			} else {
				b.meanwhile = w.drop
			}
			w.erase(b, listed)
			c := w.commit()
			if _, ok := c.Outputs[statePrefix+"by_subject"]; ok || len(c.Outputs) != 1 || c.Outputs["by_subject"].Rows != 1 {
				t.Errorf("outputs %v", c.Outputs)
			}
			if c.Run != "run-1" {
				t.Errorf("the successor is of run %q", c.Run)
			}
		})
	}
	t.Run("before the retirement writes", func(t *testing.T) {
		w := newKeptWorld(t)
		b := &raced{Bucket: w.memory, meanwhile: func() { w.erase(w.memory, w.commit()) }}
		parts, err := w.runner(b).dropKept(t.Context(), keptKey, map[string]bool{statePrefix + "by_subject": true})
		if err != nil || len(parts) != 0 {
			t.Errorf("the race is lost, and %d files are to go (%v)", len(parts), err)
		}
		if m := w.commit().Outputs[statePrefix+"by_subject"]; m.Rows != 1 {
			t.Errorf("the state has %d rows", m.Rows)
		}
	})
	t.Run("gone", func(t *testing.T) {
		w := newKeptWorld(t)
		if _, err := w.runner(w.memory).dropKept(t.Context(), "build/2026-03-01/none", nil); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
	})
}

// TestRunOfSuccessor: a build whose rows an erasure took is still that of its run. Who made a build that names no run, and has been replaced since, is not known,
// and nothing is said of how its views were declared.
func TestRunOfSuccessor(t *testing.T) {
	w := newKeptWorld(t)
	w.erase(w.memory, w.commit())
	c := w.commit()
	c.Interval, c.Facts = &table.Interval{}, []byte("{}")
	for _, want := range []string{"run-1", ""} {
		b, err := built(c, c.Outputs["by_subject"])
		if err != nil || b.Run != want {
			t.Errorf("of run %q (%v), want %q", b.Run, err, want)
		}
		if err := w.runner(w.memory).provenance(t.Context(), features.View{}, b); err != nil || b.Current != nil {
			t.Errorf("declared otherwise: %v, %v", b.Current, err)
		}
		c.Run = ""
	}
	c.By = "" // of an older program, and never replaced
	if b, err := built(c, c.Outputs["by_subject"]); err != nil || b.Run != c.Nonce {
		t.Errorf("of run %q (%v)", b.Run, err)
	}
}

// TestSpareOfOneKind: hourly builds of the same views spare no state of a daily one, and none is spare that was committed just now, as a backfill's are.
func TestSpareOfOneKind(t *testing.T) {
	now := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)
	var builds []keeping
	build := func(iv table.Interval, at time.Time) {
		k, ok := keepingOf(&table.Commit{
			Key: fmt.Sprint(iv), Step: "build", Interval: &iv, At: at, Facts: raw(buildFacts{Rests: rests{Views: "v"}}),
			Outputs: map[string]table.Manifest{statePrefix + "v": {}},
		})
		if !ok {
			t.Fatal("it keeps nothing")
		}
		builds = append(builds, k)
	}
	for i := range priorsKept + 1 {
		build(dayOf(i+1), now.Add(-48*time.Hour))
	}
	for i := range 40 {
		start := dayOf(25).Start.Add(time.Duration(i) * time.Hour)
		build(table.Interval{Start: start, End: start.Add(time.Hour)}, now)
	}
	got := spare(builds, now.Add(-24*time.Hour))
	if len(got) != 1 || len(got[fmt.Sprint(dayOf(1))]) != 1 {
		t.Errorf("spare: %v", got)
	}
	if got := spare(builds, now.Add(time.Hour)); len(got) != 1+40-priorsKept {
		t.Errorf("whatever their age: %d are spare", len(got))
	}
}

// TestLastBuildsOfEachKind: hourly builds do not hide the last daily one.
func TestLastBuildsOfEachKind(t *testing.T) {
	var keys []string
	for i := 39; i >= 0; i-- {
		keys = append(keys, fmt.Sprintf("build/2026-03-%02dT%02d/a-b", 2+i/24, i%24))
	}
	keys = append(keys, "build/2026-03-01/a-b")
	got := lastBuilds(keys)
	if len(got) != buildsLookedAt+1 || got[0] != keys[0] || got[buildsLookedAt] != "build/2026-03-01/a-b" {
		t.Errorf("%d builds are looked at: %v", len(got), got)
	}
}

// TestSpareOfOlderPrograms: what a program kept by view, when each had a state of its own, goes as what is kept by key does.
func TestSpareOfOlderPrograms(t *testing.T) {
	now := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)
	var builds []keeping
	for i := range priorsKept + 1 {
		iv := dayOf(i + 1)
		k, ok := keepingOf(&table.Commit{
			Key: fmt.Sprint(iv), Step: "build", Interval: &iv, At: now, Facts: raw(buildFacts{Rests: rests{Views: "v"}}),
			Outputs: map[string]table.Manifest{"activity": {}, "state.activity": {}, "tile.activity": {}, stateOutput("subject"): {}, tileOutput("a/b+due.at"): {}},
		})
		if !ok || len(k.outputs) != 4 {
			t.Fatalf("it keeps %v", k.outputs)
		}
		builds = append(builds, k)
	}
	got := spare(builds, now.Add(time.Hour))[fmt.Sprint(dayOf(1))]
	for _, output := range []string{"state.activity", "tile.activity", "state.subject", "tile.a%2Fb+due.at"} {
		if !got[output] {
			t.Errorf("%s of the oldest build is not spare: %v", output, got)
		}
	}
}

// TestTogether: what spans cover is counted once.
func TestTogether(t *testing.T) {
	hours := func(from, to int) table.Interval {
		start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		return table.Interval{Start: start.Add(time.Duration(from) * time.Hour), End: start.Add(time.Duration(to) * time.Hour)}
	}
	if got := together([]table.Interval{hours(20, 24), hours(3, 5), hours(0, 4), hours(1, 2), hours(24, 25)}); got != 10*time.Hour {
		t.Errorf("they cover %s, want 10h", got)
	}
	if together(nil) != 0 {
		t.Error("nothing covers something")
	}
}
