package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/policy"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

// These tests show the invariants of the architecture over whole runs. TestChaos shows the one about crashes, the canaries those about raw ids, erasure and people
// without a basis, and the packages below show the others: engines against the oracle, explanations that add up.

// rawEvent and rawConsent are rows of the synthetic files.
type rawEvent struct {
	UserID  string  `parquet:"user_id,dict"`
	SKU     string  `parquet:"sku,dict"`
	Time    int64   `parquet:"ts,timestamp(microsecond)"`
	Action  string  `parquet:"action,dict"`
	Amount  float64 `parquet:"amount,optional"`
	Device  string  `parquet:"device,dict"`
	Channel string  `parquet:"channel,dict,optional"`
}

type rawConsent struct {
	Subject   string `parquet:"subject"`
	Purpose   string `parquet:"purpose,dict"`
	State     string `parquet:"state,dict"`
	Effective int64  `parquet:"effective_at,timestamp(microsecond)"`
	Recorded  int64  `parquet:"recorded_at,timestamp(microsecond)"`
	Expires   int64  `parquet:"expires_at,timestamp(microsecond),optional"`
	Source    string `parquet:"source,dict"`
	RecordID  string `parquet:"record_id"`
}

func readParquet[T any](t testing.TB, b storage.Bucket, key string) []T {
	t.Helper()
	body := object(t, b, key)
	rows, err := parquet.Read[T](bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return rows
}

func writeParquet[T any](t testing.TB, b storage.Bucket, key string, rows []T) {
	t.Helper()
	var buf bytes.Buffer
	if err := parquet.Write(&buf, rows); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), key, storage.Bytes(buf.Bytes()), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
}

// eventsKey is the raw file of a day.
func eventsKey(day int, part string) string {
	return path.Join("events", "dt="+smallWorld.Start.AddDate(0, 0, day).Format(time.DateOnly), part+".parquet")
}

// refuse plants a refusal of recommendations, from the world's start.
func (s *shop) refuse(id string) {
	s.Helper()
	start := smallWorld.Start.UnixMicro()
	writeParquet(s.TB, s.raw, "consent/planted-"+id+".parquet", []rawConsent{{
		Subject: id, Purpose: "recommend", State: "Refused", Effective: start, Recorded: start, Source: "test", RecordID: "planted-" + id,
	}})
}

// personalized reports whether a subject is served a list of its own.
func (s *shop) personalized(id string) bool {
	s.Helper()
	l, _, err := online.Recommend(s.Context(), s.opened.Online, event.OnlineKey(s.opened.Keys.ServingKey(), id), 10, table.Micros(s.runner.Now()))
	if err != nil {
		s.Fatal(err)
	}
	if len(l.Items) == 0 {
		s.Fatal("an empty list is served")
	}
	return l.Personalized
}

// admitted returns ids of subjects who are served a list of their own.
func (s *shop) admitted(n int) []string {
	s.Helper()
	var out []string
	for i := 1; i <= smallWorld.Users && len(out) < n; i++ {
		if id := fmt.Sprintf("u%06d", i); s.personalized(id) {
			out = append(out, id)
		}
	}
	if len(out) < n {
		s.Fatalf("only %d subjects are served lists of their own", len(out))
	}
	return out
}

// number is a subject's number.
func (s *shop) number(id string) policy.Subject {
	s.Helper()
	ids, err := event.OpenIdentities(s.Context(), s.opened.Bucket, s.opened.Keys)
	if err != nil {
		s.Fatal(err)
	}
	n, ok := ids.Find(id)
	if !ok {
		s.Fatal("the subject is not in the identity table")
	}
	return n
}

// withdraw journals the withdrawal of a subject.
func (s *shop) withdraw(id string, at time.Time) {
	s.Helper()
	j, err := event.OpenJournal(s.Context(), s.opened.Bucket)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := j.Withdraw(s.Context(), "recommend", []policy.Subject{s.number(id)}, at, "withdrawal of "+at.String()); err != nil {
		s.Fatal(err)
	}
}

// made returns the digests of a step's tables in all its commits, or with facts set their facts.
func (s *shop) made(prefix string) (out []string) {
	s.Helper()
	for c, err := range (table.Store{Bucket: s.opened.Bucket}).List(s.Context(), prefix) {
		if err != nil {
			s.Fatal(err)
		}
		for _, name := range slices.Sorted(mapKeys(c.Outputs)) {
			if strings.Contains(name, ".") {
				continue // what a build keeps for later ones
			}
			out = append(out, name+" "+string(c.Outputs[name].Digest))
		}
	}
	if len(out) == 0 {
		s.Fatalf("no step %s* has made a table", prefix)
	}
	return out
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Invariant 1: the same inputs, spec and seed give the same artifact, and the same content online, on 1, 2, 3 or 8 processors.
func TestSameOnAnyProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first outcome
	for i, n := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(n)
		s := newShop(t, smallWorld)
		s.night(7)
		got := s.outcome()
		if i == 0 {
			first = got
			continue
		}
		if d := difference(got, first); d != "" {
			t.Errorf("on %d processors:\n%s", n, d)
		}
	}
}

// Running again does nothing and says so: nothing is written but the lease and the run's own record.
func TestSecondRunDoesNothing(t *testing.T) {
	s := newShop(t, smallWorld)
	first := s.night(7)
	if first.Nothing || first.Published == nil {
		t.Fatalf("the first run did nothing: %+v", first)
	}
	before, seen := s.outcome(), storagetest.NewRecording(s.opened.Bucket)
	s.runner.Bucket = seen
	s.runner.Now = func() time.Time { return nightAfter(7).Add(time.Hour) } // as in a live project, where the clock has gone on
	second, err := s.runner.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughPublish})
	if err != nil {
		t.Fatal(err)
	}
	if !second.Nothing || second.Status != ledger.Succeeded || second.RunID == first.RunID {
		t.Errorf("the second run: nothing to do %t, %s", second.Nothing, second.Status)
	}
	if plan := s.plan(7); plan.ToDo != 0 {
		t.Errorf("the plan has %d steps to do", plan.ToDo)
	}
	if d := difference(s.outcome(), before); d != "" {
		t.Error(d)
	}
	for _, c := range seen.Calls() {
		if (c.Op == storagetest.Put || c.Op == storagetest.Delete) && !strings.HasPrefix(c.Key, "leases/") && !strings.HasPrefix(c.Key, "runs/") {
			t.Errorf("the second run did %s %s", c.Op, c.Key)
		}
	}
	if !same(second.Published, first.Published) {
		t.Errorf("published %+v, then %+v", first.Published, second.Published)
	}
}

// Invariant 3: no event at or after the interval's end affects a feature, the model or a list: neither later files, nor later rows in a file of
// the interval's own days.
func TestNothingFromTheFuture(t *testing.T) {
	world := smallWorld
	world.Days = 6
	plain, later := newShop(t, world), newShop(t, smallWorld)
	// Drop what the longer world has besides: newcomers of its later days change its items and people.
	for _, key := range []string{"items.parquet", "subjects.parquet", "cohorts.parquet", "consent/consent.parquet"} {
		copyObject(t, later.raw, plain.raw, key)
	}
	future := readParquet[rawEvent](t, later.raw, eventsKey(6, "part-0"))
	if len(future) < 100 {
		t.Fatalf("only %d events of the future", len(future))
	}
	for day := range 6 {
		copyObject(t, later.raw, plain.raw, eventsKey(day, "part-0"))
	}
	exactly := future[0]
	exactly.Time = nightAfter(5).Truncate(24 * time.Hour).UnixMicro() // the interval's end itself
	writeParquet(t, later.raw, eventsKey(5, "early"), append(future, exactly))
	for _, s := range []*shop{plain, later} {
		s.night(5)
	}
	if slices.Equal(keysOf(t, plain, "ingest/2026-01-06/"), keysOf(t, later, "ingest/2026-01-06/")) {
		t.Fatal("the file with later rows was not read")
	}
	for _, step := range []string{"ingest/", "build/"} {
		a, b := plain.made(step), later.made(step)
		if step == "ingest/" { // the rows of the future are told where they stand, and that is all that becomes of them
			told := func(made string) bool { return strings.HasPrefix(made, "quarantine ") }
			kept := slices.DeleteFunc(slices.Clone(b), told)
			if len(kept) != len(b)-1 {
				t.Errorf("of %d days %d say that a file holds rows which no day reads", len(b), len(b)-len(kept))
			}
			b = kept
		}
		if !slices.Equal(a, b) {
			t.Errorf("%s: %v without a future, %v with one", step, a, b)
		}
	}
	a, b := plain.outcome(), later.outcome()
	if a.Digest != b.Digest {
		t.Errorf("the artifact knows the future: %s, without %s", b.Digest, a.Digest)
	}
	if x, y := listsOf(t, plain), listsOf(t, later); !same(x, y) {
		t.Error("the lists know the future")
	}
}

// listsOf are the live entries but for meta, which names the report and so the inputs' fingerprints.
func listsOf(t testing.TB, s *shop) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := s.opened.Online.Scan(t.Context(), "", func(e online.Entry) error {
		if e.Key != online.MetaKey {
			out[e.Key] = fmt.Sprintf("%s %d %s", e.Owner, e.Expires, e.Value)
		}
		return nil
	})
	if err != nil || len(out) < 100 {
		t.Fatalf("%d entries: %v", len(out), err)
	}
	return out
}

func keysOf(t testing.TB, s *shop, prefix string) (keys []string) {
	t.Helper()
	for info, err := range s.opened.Bucket.List(t.Context(), "done/"+prefix, storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func copyObject(t testing.TB, to, from storage.Bucket, key string) {
	t.Helper()
	if _, err := to.Put(t.Context(), key, storage.Bytes(object(t, from, key)), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
}

// Invariant 5: of two runners at one interval one works and the other is told who does, with exit code 4.
func TestTwoRunners(t *testing.T) {
	s := newShop(t, smallWorld)
	want := newShop(t, smallWorld)
	want.night(7)
	met := 0
	s.runner.Bucket = hooked{s.opened.Bucket, func(key string) {
		if !strings.HasPrefix(key, "done/train/") {
			return
		}
		other := s.newRunner(s.opened.Bucket, "two")
		other.Now = s.runner.Now
		res, err := other.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughPublish})
		if !errors.Is(err, storage.ErrHeld) || res != nil || exitCode(t.Context(), err) != exitHeld {
			t.Errorf("the second runner: %v", err)
		}
		met++
	}}
	s.night(7)
	if met != 1 {
		t.Fatalf("the two met %d times", met)
	}
	if d := difference(s.outcome(), want.outcome()); d != "" {
		t.Error(d)
	}
}

// Invariant 5, once more: a runner whose lease has expired on the way, so that another has done the work meanwhile, changes nothing: no object
// of the bucket, nothing online.
func TestZombie(t *testing.T) {
	for _, at := range []string{"done/ingest/2026-01-08/", "data/build/", "done/train/", "reports/", "done/evaluate/", "models/home/versions/", "leases/publish", "done/load/", "models/home/live.json"} {
		t.Run(strings.ReplaceAll(strings.Trim(at, "/"), "/", " "), func(t *testing.T) {
			t.Parallel()
			s := newShop(t, smallWorld)
			wall := time.Date(2026, 8, 21, 3, 0, 0, 0, time.UTC) // of the leases
			clock := func() time.Time { return wall }
			s.runner.Wall, s.runner.Dead = clock, nil
			var after map[string][]byte
			var published outcome
			var mu sync.Mutex // several objects may be put at once
			s.runner.Bucket = hooked{s.opened.Bucket, func(key string) {
				if !strings.HasPrefix(key, at) {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if after != nil {
					return
				}
				wall = wall.Add(time.Hour)
				other := s.newRunner(s.opened.Bucket, "two")
				other.Now, other.Wall, other.Dead = func() time.Time { return nightAfter(7).Add(time.Hour) }, clock, nil
				if _, err := other.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughPublish}); err != nil {
					t.Errorf("the successor: %v", err)
				}
				published, after = s.outcome(), objects(t, s.opened.Bucket)
			}}
			_, err := s.try(7)
			if after == nil {
				t.Fatalf("nothing was put at %s", at)
			}
			if !errors.Is(err, storage.ErrLost) {
				t.Errorf("the zombie: %v, want %v", err, storage.ErrLost)
			}
			if d := difference(s.outcome(), published); d != "" {
				t.Errorf("the zombie changed the outcome:\n%s", d)
			}
			for key, body := range objects(t, s.opened.Bucket) {
				if !bytes.Equal(body, after[key]) && !strings.HasPrefix(key, "data/") && !strings.HasPrefix(key, "leases/") {
					t.Errorf("the zombie wrote %s", key)
				}
			}
			inStep(t, s.opened.Bucket, s.opened.Online)
		})
	}
}

// TestZombiePublishesNothing: the successor works under another policy, so that it makes another version; the zombie, which has checked its
// leases before, must not put its own in that one's place.
func TestZombiePublishesNothing(t *testing.T) {
	for _, at := range []string{"done/load/", "models/home/live.json"} {
		t.Run(path.Base(at), func(t *testing.T) {
			s := newShop(t, smallWorld)
			s.night(6)
			id := s.admitted(1)[0]
			wall := time.Date(2026, 8, 21, 3, 0, 0, 0, time.UTC)
			clock := func() time.Time { return wall }
			s.runner.Wall, s.runner.Dead = clock, nil
			var published outcome
			s.runner.Bucket = hooked{s.opened.Bucket, func(key string) {
				if !strings.HasPrefix(key, at) || published.Alias != 0 {
					return
				}
				wall = wall.Add(time.Hour)
				s.refuse(id)
				other := s.newRunner(s.opened.Bucket, "two")
				other.Now, other.Wall, other.Dead = s.runner.Now, clock, nil
				if _, err := other.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughPublish}); err != nil {
					t.Errorf("the successor: %v", err)
				}
				published = s.outcome()
			}}
			_, err := s.try(7)
			if published.Alias != 3 {
				t.Fatalf("version %d is live after the successor, want the third", published.Alias)
			}
			if !errors.Is(err, storage.ErrLost) && !errors.Is(err, registry.ErrMoved) {
				t.Errorf("the zombie: %v", err)
			}
			if now := s.outcome(); now.Alias != published.Alias || now.Digest != published.Digest || now.Content != published.Content {
				t.Errorf("the zombie changed what is live: %s", difference(now, published))
			}
			inStep(t, s.opened.Bucket, s.opened.Online)
			if s.personalized(id) {
				t.Error("who has refused meanwhile is served a list of its own")
			}
		})
	}
}

// Invariant 6: nights and then a backfill lead to what a backfill alone leads to.
func TestCronThenBackfill(t *testing.T) {
	nights, alone := newShop(t, smallWorld), newShop(t, smallWorld)
	for day := 5; day <= 7; day++ {
		nights.night(day)
	}
	type learned struct {
		build, train []string
	}
	var got [2]map[string]learned
	for i, s := range []*shop{nights, alone} {
		got[i] = map[string]learned{}
		s.runner.Now = func() time.Time { return nightAfter(7) }
		o := jobs.BackfillOptions{From: s.interval(5).Start, To: s.interval(7).End, Through: jobs.ThroughTrain}
		n := 0
		if err := s.runner.Backfill(t.Context(), s.job, o, func(b jobs.Backfilled) error {
			n++
			label := s.job.Every.Label(b.Interval)
			l := learned{train: []string{b.Result.Model.Digest}}
			for _, step := range b.Result.Steps {
				if step.Name == "build" {
					l.build = s.made(step.Key)
				}
			}
			got[i][label] = l
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n != 3 {
			t.Fatalf("backfilled %d intervals", n)
		}
	}
	for label, want := range got[1] {
		if g := got[0][label]; len(want.build) != 2 || !slices.Equal(g.build, want.build) || !slices.Equal(g.train, want.train) {
			t.Errorf("%s: nights and then a backfill give %+v, a backfill alone %+v", label, g, want)
		}
	}
}

// Invariant 8: what is looked up online is what the table holds, for every row of every view.
func TestOnlineIsOffline(t *testing.T) {
	s := newShop(t, smallWorld)
	// Every type of value: numbers, text, and lists.
	s.job.Views = slices.Clone(s.job.Views)
	for i, v := range s.job.Views {
		s.job.Views[i].Features = features.Sorted(append(slices.Clone(v.Features),
			features.Feature{Name: "kinds", Op: features.Top, Column: "kind", N: 2},
			features.Feature{Name: "trail", Op: features.Sequence, Column: "kind", N: 3},
			features.Feature{Name: "first_kind", Op: features.First, Column: "kind"},
			features.Feature{Name: "last_value", Op: features.Last, Column: "value"},
			features.Feature{Name: "about", Op: features.ApproxDistinct, Column: "value"},
			features.Feature{Name: "median", Op: features.Quantile, Column: "value", Quantile: 0.5}))
	}
	s.job.Published = s.job.Views
	res := s.night(7)
	if v, err := s.runner.OnlineVerify(t.Context(), s.job, 0); err != nil || !v.Same {
		t.Errorf("online verify: %+v, %v", v, err)
	}
	ids, err := event.OpenIdentities(t.Context(), s.opened.Bucket, event.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	keys := ids.OnlineKeys()
	store := table.Store{Bucket: s.opened.Bucket}
	for _, step := range res.Steps {
		if step.Name != "build" {
			continue
		}
		c, _, err := store.Lookup(t.Context(), step.Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range s.job.Views {
			rows := 0
			for b, err := range table.Read(t.Context(), s.opened.Bucket, c.Outputs[v.Name], table.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				for i := range b.N {
					rows++
					s.compareRow(v, b, i, keys)
				}
			}
			if rows < 20 {
				t.Errorf("view %s has %d rows", v.Name, rows)
			}
		}
	}
}

// compareRow compares row i of a view's table with its online row.
func (s *shop) compareRow(v features.View, b *table.Batch, i int, keys map[policy.Subject]string) {
	s.Helper()
	entity := b.Col(features.EntityColumn)
	var name string
	if v.Key == features.KeySubject {
		name = keys[policy.Subject(uint64(entity.Int[i]))]
	} else {
		name = entity.Str[i]
	}
	got, _, err := online.LookupFeatures(s.Context(), s.opened.Online, v.Name, name, table.Micros(nightAfter(7)))
	if err != nil {
		s.Errorf("view %s: a row of the table is not online: %v", v.Name, err)
		return
	}
	if len(got.Values) != len(b.Schema)-1 || !got.AsOf.Equal(s.interval(7).End) {
		s.Errorf("view %s: online are %d values as of %s", v.Name, len(got.Values), got.AsOf)
	}
	for c, f := range b.Schema {
		col := &b.Cols[c]
		var want any
		switch {
		case f.Name == features.EntityColumn:
			continue
		case col.Null(i):
		case col.Float != nil:
			want = col.Float[i]
		case col.Str != nil:
			want = col.Str[i]
		default:
			want = col.Int[i]
		}
		if got.Values[f.Name] != want {
			s.Errorf("view %s: %s is %v (%T) online and %v (%T) in the table", v.Name, f.Name, got.Values[f.Name], got.Values[f.Name], want, want)
		}
	}
}

// Invariant 9: a rejected version never moves the alias, and running again says so again without any work.
func TestRejectedMovesNothing(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	before := s.outcome()
	tenfold := 10.0
	s.job.Budgets = []eval.Budget{{Metric: "ndcg@10", Against: "live", Ratio: &tenfold, OnFail: eval.Block, Owner: "test", Why: "to be refused"}}
	for try := 1; try <= 2; try++ {
		res, err := s.try(7)
		if !errors.Is(err, jobs.ErrRejected) || exitCode(t.Context(), err) != exitRejected || res.Status != ledger.Rejected || len(res.Reasons) == 0 {
			t.Fatalf("try %d: %v, %+v", try, err, res)
		}
		if res.Published != nil || res.Model == nil || res.Model.Version != 2 || res.Nothing != (try == 2) {
			t.Errorf("try %d: published %v, model %v, nothing to do %t", try, res.Published, res.Model, res.Nothing)
		}
		now := s.outcome()
		if now.Alias != before.Alias || now.Digest != before.Digest || now.Content != before.Content {
			t.Errorf("try %d: what is live has changed", try)
		}
	}
	reg, err := registry.Open(s.opened.Bucket, "home")
	if err != nil {
		t.Fatal(err)
	}
	v, err := reg.Get(t.Context(), 2)
	if err != nil || v.Verdict != registry.Rejected || len(v.Reasons) == 0 {
		t.Errorf("version 2: %+v, %v", v, err)
	}
	if _, err := s.runner.Promote(t.Context(), s.job, 2, "test", "by hand"); !errors.Is(err, registry.ErrRefused) {
		t.Errorf("a rejected version is promoted by hand: %v", err)
	}
	if now := s.outcome(); now.Alias != before.Alias || now.Content != before.Content {
		t.Error("a refused promotion changed what is live")
	}
}

// loadHook is an online store that calls a function when a generation has been filled and is not live.
type loadHook struct {
	online.Store
	filled func()
}

type loaderHook struct {
	online.Loader
	filled func()
}

func (h loadHook) Load(ctx context.Context, g uint64) (online.Loader, error) {
	l, err := h.Store.Load(ctx, g)
	return loaderHook{l, h.filled}, err
}

func (h loaderHook) Finish(ctx context.Context) (string, error) {
	digest, err := h.Loader.Finish(ctx)
	h.filled()
	return digest, err
}

// A withdrawal that comes while a generation is loading, later than the run's start by the clock, holds before the generation is read.
func TestWithdrawalDuringLoad(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	id := s.admitted(1)[0]
	now := nightAfter(7)
	asked := 0
	s.runner.Online = loadHook{s.opened.Online, func() {
		asked++
		now = now.Add(time.Minute)
		s.withdraw(id, now)
		now = now.Add(time.Minute)
	}}
	s.runner.Now = func() time.Time { return now }
	if _, err := s.runner.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughPublish}); err != nil {
		t.Fatal(err)
	}
	if asked != 1 {
		t.Fatalf("%d generations were loaded", asked)
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
	if s.personalized(id) {
		t.Error("a subject who withdrew while the generation was loading is served a list of its own")
	}
}

// A rollback keeps denials: the old generation has a list of who has withdrawn since, and it is not served.
func TestRollbackKeepsDenials(t *testing.T) {
	s := newShop(t, smallWorld)
	s.night(6)
	id := s.admitted(1)[0]
	old := contentOf(t, s.opened.Online)
	s.withdraw(id, nightAfter(6).Add(time.Hour))
	s.night(7)
	if s.personalized(id) {
		t.Fatal("a subject who withdrew is served a list of its own")
	}
	if _, err := s.runner.Rollback(t.Context(), s.job, 1, "test", "to see"); err != nil {
		t.Fatal(err)
	}
	if contentOf(t, s.opened.Online) != old {
		t.Error("the old generation is not live again")
	}
	if s.personalized(id) {
		t.Error("rolled back, a subject who has withdrawn is served a list of its own")
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
	if res := s.night(7); res.Waiting == "" || res.Published != nil {
		t.Errorf("a run moved a pinned alias: %+v", res)
	}
}
