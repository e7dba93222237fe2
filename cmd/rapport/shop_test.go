package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/rapport-ml/rapport/cmd/internal/synth"
	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/features/local"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/table"
)

// smallWorld is the world of these tests: seconds for a run, and yet everything that a real one has.
var smallWorld = synth.World{
	Users: 120, Items: 60, Days: 8, Seed: 7, EventsPerUser: 24, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
}

// testSecret is the pseudonym secret of every shop, so that the same subject has the same number in all.
const testSecret = "6b6579206f66207468652063686f6173206f662061207465737420706572736f"

// projectYAML is the quickstart's project with shorter windows, raw files under raw and everything durable at lake.
func projectYAML(t testing.TB, raw, lake string) string {
	t.Helper()
	body, err := configs.Template("quickstart", nightAfter(smallWorld.Days-1), "")
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	for _, r := range [][2]string{{"file:./raw/", raw}, {"storage: file:./lake", "storage: " + lake}, {"window: 60d", "window: 8d"}, {"28d", "3d"}} {
		if !strings.Contains(text, r[0]) {
			t.Fatalf("the quickstart template has no %q any more", r[0])
		}
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	return text
}

// writeProject makes a project's folder.
func writeProject(t testing.TB, dir, yaml string) {
	t.Helper()
	for name, body := range map[string]string{projectFile: yaml, "pseudonym.key": testSecret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// nightAfter is when the job runs over day (from 0) of the small world.
func nightAfter(day int) time.Time { return smallWorld.Start.AddDate(0, 0, day+1).Add(3 * time.Hour) }

// shop is a project in memory, whose online store alone is a folder, with a runner whose parts a test may replace.
type shop struct {
	testing.TB
	dir    string
	raw    storage.Bucket
	opened *configs.Opened
	runner *jobs.Runner
	job    *jobs.Job
	log    *syncBuffer
}

// syncBuffer collects what several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newShop makes a shop over a world, with nothing run yet.
func newShop(t testing.TB, w synth.World) *shop {
	t.Helper()
	s := &shop{TB: t, dir: t.TempDir(), log: &syncBuffer{}}
	writeProject(t, s.dir, projectYAML(t, "file:./raw/", "file:./lake"))
	p, err := configs.Load(filepath.Join(s.dir, projectFile))
	if err != nil {
		t.Fatal(err)
	}
	if s.opened, err = p.Open(t.Context(), os.Getenv, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.opened.Close() })
	if s.job, err = s.opened.Job("nightly"); err != nil {
		t.Fatal(err)
	}
	s.raw, s.opened.Bucket = storage.NewMemory(nil), storage.NewMemory(nil)
	s.job.Events.Bucket, s.job.Events.Path = s.raw, "events/"+s.job.Events.Path
	for _, d := range []*event.DataSet{&s.job.Items.Data, &s.job.Subjects.Data, &s.job.Cohorts.Data, s.job.Consent} {
		d.Bucket = s.raw
	}
	s.job.Consent.Path = "consent/" + s.job.Consent.Path
	if _, err := w.Write(t.Context(), s.raw, ""); err != nil {
		t.Fatal(err)
	}
	s.runner = s.newRunner(s.opened.Bucket, "one")
	return s
}

// newRunner returns a runner of the shop over a bucket, as open.go wires it.
func (s *shop) newRunner(b storage.Bucket, holder string) *jobs.Runner {
	r := &jobs.Runner{
		Bucket: b, Online: s.opened.Online, OnlineURL: "embedded:./online", Engine: local.Engine{}, Loaders: configs.Loaders, Keys: s.opened.Keys,
		Wall: time.Now, Pinned: true, NewID: func(time.Time) string { return ulid.Make().String() },
		Holder: holder, Dead: dead, Revision: "test", Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	r.Progress = func(p jobs.Progress) { fmt.Fprintf(s.log, "%+v\n", p) }
	return r
}

// interval is day (from 0) of the world.
func (s *shop) interval(day int) table.Interval { return s.job.Every.At(nightAfter(day)) }

// try runs the night after a day.
func (s *shop) try(day int) (*jobs.Result, error) {
	s.runner.Now = func() time.Time { return nightAfter(day) }
	return s.runner.Run(s.Context(), s.job, s.interval(day), jobs.Options{Through: jobs.ThroughPublish, Cause: "schedule"})
}

// night runs the night after a day, which must succeed.
func (s *shop) night(day int) *jobs.Result {
	s.Helper()
	res, err := s.try(day)
	if err != nil {
		s.Fatalf("night after day %d: %v", day, err)
	}
	return res
}

// plan plans the night after a day.
func (s *shop) plan(day int) *jobs.Preview {
	s.Helper()
	s.runner.Now = func() time.Time { return nightAfter(day) }
	p, err := s.runner.Plan(s.Context(), s.job, s.interval(day), jobs.ThroughPublish)
	if err != nil {
		s.Fatalf("plan the night after day %d: %v", day, err)
	}
	return p
}

// outcome is all that a run leads to and that must not depend on how it went: tables, facts, artifacts, versions, and what is live.
type outcome struct {
	Steps   map[string]string // step key → digests of its tables, and its facts
	Alias   int               // version
	Digest  string            // of the artifact that is live
	Content string            // digest of what is live online
	Denied  []string
}

// madeBy is what a step made: the digests of its tables, and its facts. Of a build, what it keeps for later ones, how it came about and the sizes of what it
// rests on are left out: they are not the same in a night and in a backfill, nor with another writer of files.
func madeBy(t testing.TB, c *table.Commit) string {
	t.Helper()
	digests := map[string]table.Digest{}
	for name, m := range c.Outputs {
		if !strings.HasPrefix(name, "state.") && !strings.HasPrefix(name, "tile.") {
			digests[name] = m.Digest
		}
	}
	facts := c.Facts
	if c.Step == "build" {
		var lasting struct {
			RowsOut map[string]int64 `json:"rows_out"`
		}
		if err := json.Unmarshal(facts, &lasting); err != nil {
			t.Fatal(err)
		}
		facts, _ = json.Marshal(lasting) // of plain data
	}
	return fmt.Sprintf("%v %s", digests, facts)
}

// outcomeOf reads the outcome of all runs over a bucket and an online store.
func outcomeOf(t testing.TB, b storage.Bucket, store online.Store) outcome {
	t.Helper()
	o := outcome{Steps: map[string]string{}}
	for c, err := range (table.Store{Bucket: b}).List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		o.Steps[c.Key] = madeBy(t, c)
	}
	reg, err := registry.Open(b, "home")
	if err != nil {
		t.Fatal(err)
	}
	live, err := reg.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := live.Aliases["champion"]; ok {
		v, err := reg.Get(t.Context(), at.Version)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reg.Files(t.Context(), v); err != nil { // reads the artifact, and checks its digest
			t.Fatalf("the artifact that is live: %v", err)
		}
		o.Alias, o.Digest = at.Version, v.Digest
	}
	o.Content = contentOf(t, store)
	if o.Denied, err = store.Denied(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o
}

// contentOf is the digest of what readers of an online store can see, or "" if nothing is live.
func contentOf(t testing.TB, store online.Store) string {
	t.Helper()
	var d online.Digester
	err := store.Scan(t.Context(), "", func(e online.Entry) error { d.Add(e); return nil })
	if errors.Is(err, online.ErrNoGeneration) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := store.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	have, err := store.Generations(t.Context())
	if err != nil || have[p.Generation] != d.Sum() {
		t.Fatalf("generation %d is live and holds %s, it should %s (%v)", p.Generation, d.Sum(), have[p.Generation], err)
	}
	return d.Sum()
}

// same reports whether two values have the same JSON.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// difference says in which parts two outcomes differ.
func difference(got, want outcome) string {
	var out strings.Builder
	for k, v := range want.Steps {
		if got.Steps[k] != v {
			fmt.Fprintf(&out, "step %s:\n  %.400s\nwant\n  %.400s\n", k, got.Steps[k], v)
		}
	}
	for k := range got.Steps {
		if _, ok := want.Steps[k]; !ok {
			fmt.Fprintf(&out, "step %s is more than was wanted\n", k)
		}
	}
	if got.Alias != want.Alias || got.Digest != want.Digest {
		fmt.Fprintf(&out, "live is version %d (%.12s), want %d (%.12s)\n", got.Alias, got.Digest, want.Alias, want.Digest)
	}
	if got.Content != want.Content {
		fmt.Fprintf(&out, "online content %.12s, want %.12s\n", got.Content, want.Content)
	}
	if !same(got.Denied, want.Denied) {
		fmt.Fprintf(&out, "%d are denied, want %d\n", len(got.Denied), len(want.Denied))
	}
	return out.String()
}

func (s *shop) outcome() outcome {
	s.Helper()
	return outcomeOf(s.TB, s.opened.Bucket, s.opened.Online)
}

// objects returns every object of a bucket.
func objects(t testing.TB, b storage.Bucket) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for info, err := range b.List(t.Context(), "", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		out[info.Key] = object(t, b, info.Key)
	}
	return out
}

func object(t testing.TB, b storage.Bucket, key string) []byte {
	t.Helper()
	r, _, err := b.Get(t.Context(), key, storage.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// hooked is a bucket that calls before ahead of each Put.
type hooked struct {
	storage.Bucket
	before func(key string)
}

func (h hooked) Put(ctx context.Context, key string, b storage.Body, c storage.Cond) (storage.Info, error) {
	h.before(key)
	return h.Bucket.Put(ctx, key, b, c)
}
