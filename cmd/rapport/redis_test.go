package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features/event"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

// redisShop is a shop whose online store is a real Redis, which a test stops, fills and flushes.
type redisShop struct {
	*shop
	server *storagetest.Redis

	mu     sync.Mutex
	asleep func() // called, once, when the store waits for the server
}

// newRedisShop makes a shop over the small world with a durable Redis.
func newRedisShop(t *testing.T) *redisShop {
	t.Helper()
	s := &redisShop{shop: newShop(t, smallWorld), server: storagetest.StartRedis(t, storagetest.RedisOptions{Durable: true})}
	if err := s.opened.Online.Close(); err != nil {
		t.Fatal(err)
	}
	s.opened.Online = s.handle()
	t.Cleanup(func() { s.opened.Online.Close() })
	s.runner = s.newRunner(s.opened.Bucket, "one")
	s.runner.OnlineURL = s.server.URL(0)
	return s
}

// handle opens the store once more, as another process would. It waits for the server in no time.
func (s *redisShop) handle() online.Store {
	s.Helper()
	sleep := func(ctx context.Context, _ time.Duration) error {
		s.mu.Lock() // others who wait for the server do so until it is back
		defer s.mu.Unlock()
		if f := s.asleep; f != nil {
			s.asleep = nil
			f()
		}
		return ctx.Err()
	}
	o := online.Options{Project: s.opened.Project.Project, Redis: online.RedisOptions{Batch: 16, Sleep: sleep}}
	store, err := online.Open(s.Context(), s.server.URL(0), o)
	if err != nil {
		s.Fatal(err)
	}
	return store
}

// reload makes the next run of a night load a new generation of the same version: its lists are of another length.
func (s *redisShop) reload() { s.job.Model.Lists.K++ }

// midLoad calls f when a load has sent some rows.
func (s *redisShop) midLoad(f func()) {
	s.runner.Online = putHook{s.opened.Online, sync.OnceFunc(f)}
}

type putHook struct {
	online.Store
	some func()
}

type putterHook struct {
	online.Loader
	hook *putHook
	n    int
}

func (h putHook) Load(ctx context.Context, g uint64) (online.Loader, error) {
	l, err := h.Store.Load(ctx, g)
	return &putterHook{Loader: l, hook: &h}, err
}

// RestoreDenied forwards the optional power.
func (h putHook) RestoreDenied(ctx context.Context, owners ...string) error {
	return h.Store.(online.DenyRestorer).RestoreDenied(ctx, owners...)
}

func (p *putterHook) Put(ctx context.Context, entries ...online.Entry) error {
	for _, e := range entries {
		if p.n++; p.n == 60 {
			p.hook.some()
		}
		if err := p.Loader.Put(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// recommended is what a subject reads at night 7.
func (s *redisShop) recommended(store online.Store, id string) online.List {
	s.Helper()
	l, _, err := online.Recommend(s.Context(), store, event.OnlineKey(s.opened.Keys.ServingKey(), id), 5, table.Micros(nightAfter(7)))
	if err != nil {
		s.Fatal(err)
	}
	return l
}

// versions is how many versions have been trained.
func (s *redisShop) versions() int {
	s.Helper()
	reg, err := registry.Open(s.opened.Bucket, "home")
	if err != nil {
		s.Fatal(err)
	}
	all, err := reg.Versions(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return len(all)
}

// verified compares everything that is online with what it should be, and wants it to be the same.
func (s *redisShop) verified() jobs.OnlineVerified {
	s.Helper()
	v, err := s.runner.OnlineVerify(s.Context(), s.job, 0)
	if err != nil || !v.Same || v.Views["activity"] < 20 || v.Lists < 20 || v.Denials == 0 {
		s.Errorf("verify: %+v, %v", v, err)
	}
	return v
}

// The same nights lead to the same rows, digests and denials in a Redis as in a folder, also when the server is stopped in the middle of a load
// and comes back with its data; and whatever happens to the server after that, nothing wrong is served and the next command mends it.
func TestRedisNights(t *testing.T) {
	folder := newShop(t, smallWorld)
	s := newRedisShop(t)
	folder.night(6)
	s.night(6)
	folder.night(7)
	stopped, restarted := false, false
	s.midLoad(func() {
		stopped = true
		s.asleep = func() { restarted = true; s.server.Start(t) }
		s.server.Stop(t)
	})
	s.night(7)
	if !stopped || !restarted {
		t.Fatalf("stopped %t, waited for %t", stopped, restarted)
	}
	s.runner.Online = s.opened.Online
	got, want := s.outcome(), folder.outcome()
	if d := difference(got, want); d != "" {
		t.Error(d)
	}
	if len(want.Denied) == 0 || want.Content == "" {
		t.Fatalf("there is nothing to compare: %+v", want)
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
	s.verified()
	id := s.admitted(1)[0]
	if l := s.recommended(s.opened.Online, id); !l.Personalized || len(l.Items) != 5 {
		t.Fatalf("a subject is recommended %+v", l)
	}

	t.Run("fallback", func(t *testing.T) { s.testFallback(t, id) })
	t.Run("flushed", func(t *testing.T) { s.testFlushed(t, want) })
	t.Run("parts lost", func(t *testing.T) { s.testPartsLost(t, id) })
	t.Run("full", func(t *testing.T) { s.testFull(t, id) })
	t.Run("read-only", func(t *testing.T) { s.testReadOnly(t, id) })
	t.Run("evicting", func(t *testing.T) { s.testEvicting(t) })
	t.Run("restarted empty", func(t *testing.T) { s.testRestartedEmpty(t, id) })
	t.Run("withdrawal during a load", func(t *testing.T) { s.testWithdrawal(t, id) })
}

// testFallback: another process sees the switch within a second, and its end.
func (s *redisShop) testFallback(t *testing.T, id string) {
	other := s.handle()
	defer other.Close()
	s.recommended(other, id) // it has its connection
	for range 2 {
		f, err := s.runner.SetFallback(t.Context(), true, "a test", "to see")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if l := s.recommended(other, id); l.Personalized {
			t.Fatalf("a list of its own during the fallback: %+v", l)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("the lookup took %v", d)
		}
		st, err := s.runner.Status(t.Context(), []*jobs.Job{s.job})
		if err != nil || st.Fallback == nil || *st.Fallback != *f {
			t.Errorf("status: %+v, %v", st, err)
		}
		v, err := s.runner.OnlineVerify(t.Context(), s.job, 30)
		if err != nil || !v.Same || v.Withheld == 0 || v.Lists != 0 {
			t.Errorf("verify during the fallback: %+v, %v", v, err)
		}
		if _, err := s.runner.SetFallback(t.Context(), false, "a test", ""); err != nil {
			t.Fatal(err)
		}
		if l := s.recommended(other, id); !l.Personalized {
			t.Fatalf("after the fallback: %+v", l)
		}
	}
}

// testFlushed: a flushed server is noticed, and filled again without training.
func (s *redisShop) testFlushed(t *testing.T, want outcome) {
	before := s.versions()
	s.server.Do(t, 0, "FLUSHALL")
	st, err := s.runner.Status(t.Context(), []*jobs.Job{s.job})
	if err != nil || !st.Stale || !strings.Contains(st.Jobs[0].Online, "rapport online load") {
		t.Errorf("status: %+v, %v", st, err)
	}
	v, err := s.runner.OnlineVerify(t.Context(), s.job, 10)
	if err != nil || v.Same || len(v.Differs) != 1 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	out, err := s.runner.OnlineLoad(t.Context(), s.job)
	if err != nil || out.Did != "loaded" || out.Generation <= 2 || out.Version != 2 {
		t.Fatalf("load: %+v, %v", out, err)
	}
	got := s.outcome()
	if got.Content != want.Content || got.Alias != want.Alias || !slices.Equal(got.Denied, want.Denied) || out.Digest != want.Content {
		t.Errorf("filled again, the store holds %.12s with %d denied, want %.12s with %d", got.Content, len(got.Denied), want.Content, len(want.Denied))
	}
	if n := s.versions(); n != before {
		t.Errorf("%d versions were trained", n-before)
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
	s.verified()
	if again, err := s.runner.OnlineLoad(t.Context(), s.job); err != nil || again.Did != "kept" || again.Generation != out.Generation || again.Fence != out.Fence {
		t.Errorf("load again: %+v, %v", again, err)
	}
	if res := s.night(7); !res.Nothing {
		t.Errorf("the night again: %+v", res)
	}
}

// testPartsLost: a store that has lost a part of what it held says so, and serves nobody's row without a deny set.
func (s *redisShop) testPartsLost(t *testing.T, id string) {
	key := online.ListKey(event.OnlineKey(s.opened.Keys.ServingKey(), id))
	prefix := "{" + s.opened.Project.Project + "}:"
	faulty := func(what string) {
		t.Helper()
		st, err := s.runner.OnlineStatus(t.Context(), []*jobs.Job{s.job})
		if err != nil || len(st.Faults) == 0 {
			t.Errorf("%s: online status has no fault: %+v, %v", what, st, err)
		}
		if st, err := s.runner.Status(t.Context(), []*jobs.Job{s.job}); err != nil || !st.Stale {
			t.Errorf("%s: status: %+v, %v", what, st, err)
		}
		if v, err := s.runner.OnlineVerify(t.Context(), s.job, 0); err != nil || v.Same {
			t.Errorf("%s: verify: %+v, %v", what, v, err)
		}
	}
	before := s.outcome()

	s.server.Do(t, 0, "DEL", prefix+"denied")
	_, _, err := s.opened.Online.Get(t.Context(), key, 0)
	if !errors.Is(err, online.ErrCorrupt) || !strings.Contains(err.Error(), "rapport online load") {
		t.Errorf("get of a subject's row without a deny set: %v", err)
	}
	if _, _, err := s.opened.Online.Get(t.Context(), online.UnprofiledKey, 0); err != nil {
		t.Errorf("get of nobody's row without a deny set: %v", err)
	}
	faulty("without a deny set")
	res := s.night(7)
	if !slices.ContainsFunc(res.Flags, func(f string) bool { return strings.Contains(f, "lost its deny set") }) {
		t.Errorf("the run does not say that the deny set was lost: %q", res.Flags)
	}
	if d := difference(s.outcome(), before); d != "" {
		t.Error(d)
	}

	// As eviction would: a bucket of the live generation, with the subject's list.
	p, err := s.opened.Online.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var bucket string
	for _, k := range s.server.Do(t, 0, "KEYS", fmt.Sprintf("*g%d-*", p.Generation)).([]any) {
		if s.server.Do(t, 0, "HEXISTS", k, key).(int64) == 1 {
			bucket = k.(string)
		}
	}
	s.server.Do(t, 0, "DEL", bucket)
	if _, _, err := s.opened.Online.Get(t.Context(), key, 0); !errors.Is(err, online.ErrCorrupt) {
		t.Errorf("get of a row that was lost: %v", err)
	}
	faulty("without a bucket")
	res = s.night(7)
	if res.Published == nil || res.Published.Generation == p.Generation {
		t.Errorf("the run after rows were lost: %+v", res.Published)
	}
	if got := s.outcome(); got.Content != before.Content {
		t.Errorf("the store holds %.12s, want %.12s", got.Content, before.Content)
	}
	s.verified()

	// One changed row: only who compares every row can see it.
	for _, k := range s.server.Do(t, 0, "KEYS", fmt.Sprintf("*g%d-*", res.Published.Generation)).([]any) {
		if s.server.Do(t, 0, "HEXISTS", k, key).(int64) == 1 {
			row := s.server.Do(t, 0, "HGET", k, key).(string)
			s.server.Do(t, 0, "HSET", k, key, strings.Replace(row, `"score":`, `"sc0re":`, 1))
		}
	}
	if v, err := s.runner.OnlineVerify(t.Context(), s.job, 0); err != nil || v.Same {
		t.Errorf("verify after a row was changed: %+v, %v", v, err)
	}
	if out, err := s.runner.OnlineLoad(t.Context(), s.job); err != nil || out.Did != "loaded" || out.Digest != before.Content {
		t.Errorf("load after a row was changed: %+v, %v", out, err)
	}
	s.verified()
}

// fails runs the night after day 7, which must fail with target, and say hint, while what was live goes on being served.
func (s *redisShop) fails(t *testing.T, id string, target error, hint string) {
	t.Helper()
	before, list := s.outcome(), s.recommended(s.opened.Online, id)
	s.reload()
	_, err := s.try(7)
	if !errors.Is(err, target) || !strings.Contains(err.Error(), hint) || exitCode(t.Context(), err) != exitFailed {
		t.Errorf("the run: %v", err)
	}
	if now := s.outcome(); now.Content != before.Content || now.Alias != before.Alias {
		t.Errorf("what is live has changed from %.12s to %.12s", before.Content, now.Content)
	}
	if l := s.recommended(s.opened.Online, id); !same(l, list) {
		t.Errorf("a subject is recommended %+v, before %+v", l, list)
	}
}

// mended runs the night after day 7 again, which must publish.
func (s *redisShop) mended(t *testing.T) {
	t.Helper()
	if res := s.night(7); res.Published == nil {
		t.Errorf("the night again: %+v", res)
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
	s.verified()
}

func (s *redisShop) testFull(t *testing.T, id string) {
	s.server.Do(t, 0, "CONFIG", "SET", "maxmemory", "1mb")
	s.fails(t, id, storage.ErrFull, "maxmemory")
	// A denial takes effect all the same.
	key := event.OnlineKey(s.opened.Keys.ServingKey(), id)
	if err := s.opened.Online.Deny(t.Context(), key); err != nil {
		t.Errorf("deny in a full server: %v", err)
	}
	if l := s.recommended(s.opened.Online, id); l.Personalized {
		t.Error("a subject who is denied in a full server is served a list of its own")
	}
	if _, err := s.runner.SetFallback(t.Context(), true, "a test", "full"); err != nil {
		t.Errorf("fallback in a full server: %v", err)
	}
	if _, err := s.runner.SetFallback(t.Context(), false, "a test", ""); err != nil {
		t.Errorf("end of the fallback in a full server: %v", err)
	}
	s.server.Do(t, 0, "CONFIG", "SET", "maxmemory", "0")
	s.mended(t)
	if l := s.recommended(s.opened.Online, id); !l.Personalized {
		t.Error("the run did not let back in whom policy permits")
	}
}

func (s *redisShop) testReadOnly(t *testing.T, id string) {
	s.server.Do(t, 0, "REPLICAOF", "127.0.0.1", "1") // of nobody, whose data it keeps
	s.fails(t, id, online.ErrReadOnly, "replica")
	s.server.Do(t, 0, "REPLICAOF", "NO", "ONE")
	s.mended(t)
}

func (s *redisShop) testEvicting(t *testing.T) {
	s.server.Do(t, 0, "CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru")
	s.reload()
	if _, err := s.try(7); err == nil || !strings.Contains(err.Error(), "maxmemory-policy noeviction") {
		t.Errorf("the run over a server that evicts: %v", err)
	}
	if st, err := s.runner.OnlineStatus(t.Context(), []*jobs.Job{s.job}); err != nil || len(st.Faults) != 1 || !strings.Contains(st.Faults[0], "allkeys-lru") {
		t.Errorf("online status: %+v, %v", st, err)
	}
	s.server.Do(t, 0, "CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
	s.mended(t)
}

// testRestartedEmpty: a load that the server has lost fails, says so, and the same command mends everything.
func (s *redisShop) testRestartedEmpty(t *testing.T, id string) {
	s.reload()
	s.midLoad(func() {
		s.server.Stop(t)
		s.server.Forget(t)
		s.server.Start(t)
	})
	_, err := s.try(7)
	s.runner.Online = s.opened.Online
	if err == nil || !strings.Contains(err.Error(), "lost the load") || exitCode(t.Context(), err) != exitFailed {
		t.Fatalf("the run whose load was lost: %v", err)
	}
	if _, err := s.opened.Online.Live(t.Context()); !errors.Is(err, online.ErrNoGeneration) {
		t.Errorf("live in an empty server: %v", err)
	}
	s.mended(t)
	if l := s.recommended(s.opened.Online, id); !l.Personalized {
		t.Errorf("a subject is recommended %+v", l)
	}
}

// testWithdrawal: who withdraws while a generation is loading is not served from it.
func (s *redisShop) testWithdrawal(t *testing.T, id string) {
	s.reload()
	now, asked := nightAfter(7), 0
	s.runner.Now = func() time.Time { return now }
	s.runner.Online = loadHook{s.opened.Online, func() {
		asked++
		now = now.Add(time.Minute)
		s.withdraw(id, now)
		now = now.Add(time.Minute)
	}}
	_, err := s.runner.Run(t.Context(), s.job, s.interval(7), jobs.Options{Through: jobs.ThroughPublish})
	s.runner.Online = s.opened.Online
	if err != nil || asked != 1 {
		t.Fatalf("%d generations were loaded: %v", asked, err)
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
	if l := s.recommended(s.opened.Online, id); l.Personalized {
		t.Error("a subject who withdrew while the generation was loading is served a list of its own")
	}
	s.verified()

	// A denial that the server has lost, as a failover may: it is missed, and made again.
	if err := s.opened.Online.Allow(t.Context(), event.OnlineKey(s.opened.Keys.ServingKey(), id)); err != nil {
		t.Fatal(err)
	}
	if v, err := s.runner.OnlineVerify(t.Context(), s.job, 10); err != nil || v.Same || !strings.Contains(v.Differs[0], "served lists of their own") {
		t.Errorf("verify without a denial: %+v, %v", v, err)
	}
	if out, err := s.runner.OnlineLoad(t.Context(), s.job); err != nil || out.Did != "kept" {
		t.Errorf("load: %+v, %v", out, err)
	}
	if l := s.recommended(s.opened.Online, id); l.Personalized {
		t.Error("a denial that was lost was not made again")
	}
	s.verified()
}

// The verbs of online, on a project whose file names a Redis with a user and a password.
func TestRedisVerbs(t *testing.T) {
	t.Setenv("SHOP_REDIS", "open-sesame")
	server := storagetest.StartRedis(t, storagetest.RedisOptions{Users: []string{"shop on >open-sesame ~{shop}:* +@read +@write +@scripting +info +ping"}})
	dir := t.TempDir()
	yaml := projectYAML(t, "file:./raw/", "file:./lake")
	for _, r := range [][2]string{{"online: embedded:./online", fmt.Sprintf("online: {url: %q, username: shop, password: \"env:SHOP_REDIS\"}", server.URL(0))}, {"als, content]", "als: {dim: 8, epochs: 3}]"}} {
		if !strings.Contains(yaml, r[0]) {
			t.Fatalf("the project has no %q", r[0])
		}
		yaml = strings.Replace(yaml, r[0], r[1], 1)
	}
	writeProject(t, dir, yaml)
	b, err := storage.Open(t.Context(), "file:"+filepath.Join(dir, "raw"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := smallWorld.Write(t.Context(), b, ""); err != nil {
		t.Fatal(err)
	}
	has := func(text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("there is no %q in\n%s", w, text)
			}
		}
	}
	verb := func(code int, args ...string) string {
		t.Helper()
		out, errs := rapportIn(t, dir, code, args...)
		if strings.Contains(out+errs, "open-sesame") {
			t.Errorf("rapport %v prints the password", args)
		}
		return out + errs
	}
	has(verb(exitOK, "online", "status"), "nothing has been published yet", "fallback", "off")
	has(verb(exitNotFound, "online", "load"), "nothing has been published yet")
	has(verb(exitNotFound, "online", "verify"), "rapport run nightly")
	verb(exitOK, "run", "nightly")
	has(verb(exitOK, "online", "status"), "in step", "live", "Redis ", "nothing is kept on disk")
	has(verb(exitOK, "online", "verify", "--sample", "0"), "outcome", "same", "view activity")
	has(verb(exitOK, "online", "load", "nightly"), "kept: nothing was amiss")
	has(verb(exitUsage, "online", "fallback", "on"), "--why")
	has(verb(exitOK, "online", "fallback", "on", "--why", "odd lists", "--by", "night watch"), "ON since", "night watch", "odd lists")
	has(verb(exitOK, "status"), "ON since", "night watch")
	has(verb(exitOK, "recommend", "--ids", "-"), "list not based on profiling")
	has(verb(exitOK, "online", "fallback", "off"), "off")
	has(verb(exitOK, "recommend", "--ids", "-"), "personal list")

	server.Stop(t) // it keeps nothing on disk
	server.Start(t)
	has(verb(exitFailed, "status"), "rapport online load")
	has(verb(exitFailed, "online", "status"), "FAULT", "rapport online load nightly")
	has(verb(exitFailed, "online", "verify"), "DIFFERS", "nothing is live")
	has(verb(exitNotFound, "recommend", "--ids", "-"), "rapport online load")
	has(verb(exitOK, "online", "load"), "loaded: the store had lost generation 1", "generation 2")
	has(verb(exitOK, "status"), "in step with the alias")
	var v jobs.OnlineVerified
	out, _ := rapportIn(t, dir, exitOK, "online", "verify", "--sample", "0", "-o", "json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || !v.Same || v.Generation != 2 || !v.All {
		t.Errorf("verify: %s %v", out, err)
	}
	has(verb(exitUsage, "online", "load", "weekly"), "no job")
	has(verb(exitUsage, "online", "verify", "--sample", "-1"), "--sample")

	t.Setenv("SHOP_REDIS", "wrong-sesame")
	if out := verb(exitFailed, "online", "status"); strings.Contains(out, "wrong-sesame") || !strings.Contains(out, "the user or the password") {
		t.Errorf("with a wrong password:\n%s", out)
	}
}
