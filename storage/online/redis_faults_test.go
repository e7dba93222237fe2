package online_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/online/onlinetest"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// keysOf lists the keys of a project, sorted.
func keysOf(t testing.TB, r *storagetest.Redis, project string) (keys []string) {
	t.Helper()
	for _, k := range r.Do(t, 0, "KEYS", "{"+project+"}:*").([]any) {
		keys = append(keys, k.(string))
	}
	slices.Sort(keys)
	return keys
}

// someRows are rows of n owners.
func someRows(n int) []online.Entry {
	out := make([]online.Entry, n)
	for i := range out {
		owner := fmt.Sprintf("owner-%04d", i)
		out[i] = online.Entry{Key: "list/" + owner, Owner: owner, Value: fmt.Appendf(nil, "value of %d", i)}
	}
	return out
}

// eventually polls until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !f() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-poll.C:
		}
	}
}

// An unfinished load vanishes by itself, and only once its loader is gone; what is finished never does.
func TestRedisExpiry(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{}), newProject()
	const ttl = time.Second
	s, ctx := openRedis(t, r, project, online.RedisOptions{Batch: 8, LoadTTL: ttl}), t.Context()
	onlinetest.Load(t, s, 1, someRows(100)...)
	onlinetest.Load(t, s, 2, someRows(100)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 2, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetFallback(ctx, &online.Fallback{By: "b"}); err != nil {
		t.Fatal(err)
	}
	before := keysOf(t, r, project)
	for _, k := range before {
		if ttl := r.Do(t, 0, "PTTL", k).(int64); ttl != -1 {
			t.Errorf("key %s has a TTL of %d ms", k, ttl)
		}
	}

	// A loader that lives keeps its rows, however long it takes: they are renewed behind its back.
	l, err := s.Load(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Put(ctx, someRows(100)...); err != nil {
		t.Fatal(err)
	}
	staged := func() (n int) {
		for _, k := range keysOf(t, r, project) {
			if strings.Contains(k, ":g3-") {
				n++
			}
		}
		return n
	}
	eventually(t, "rows are staged", func() bool { return staged() > 50 })
	began := time.Now()
	eventually(t, "its TTL has passed", func() bool {
		for _, k := range keysOf(t, r, project) {
			if strings.Contains(k, ":g3-") && r.Do(t, 0, "PTTL", k).(int64) == -1 {
				t.Fatalf("the staged key %s has no TTL", k)
			}
		}
		return time.Since(began) > ttl*5/4
	})
	if _, err := l.Finish(ctx); err != nil {
		t.Fatalf("finish after more than its TTL: %v", err)
	}

	// The loader of a process that dies: nothing renews its rows.
	process := openRedis(t, r, project, online.RedisOptions{Batch: 8, LoadTTL: ttl})
	dying, err := process.Load(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := dying.Put(ctx, someRows(100)...); err != nil {
		t.Fatal(err)
	}
	if err := process.Close(); err != nil { // its connections are gone
		t.Fatal(err)
	}
	with3 := keysOf(t, r, project)
	eventually(t, "the abandoned rows are gone", func() bool {
		return !slices.ContainsFunc(keysOf(t, r, project), func(k string) bool { return strings.Contains(k, "g4-") || strings.Contains(k, "load:4") })
	})
	if _, err := dying.Finish(ctx); err == nil {
		t.Error("the loader finished without a connection")
	}
	if err := dying.Close(); err != nil {
		t.Errorf("close of a loader without a connection: %v", err)
	}
	for _, k := range before {
		if !slices.Contains(with3, k) {
			t.Errorf("key %s is gone", k)
		}
	}
	if have, err := s.Generations(ctx); err != nil || len(have) != 3 {
		t.Errorf("generations %v, %v", have, err)
	}
}

// A loader whose rows have expired under it (its machine slept) learns that, and nothing of it is left or published.
func TestRedisLoadLost(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{}), newProject()
	s, ctx := openRedis(t, r, project, online.RedisOptions{Batch: 8}), t.Context()
	onlinetest.Load(t, s, 1, someRows(10)...)
	for _, lose := range []struct {
		name string
		do   func(keys []string)
		want string
	}{
		{"everything", func([]string) { r.Do(t, 0, "FLUSHALL") }, "lost the load"},
		{"the marker", func([]string) { r.Do(t, 0, "DEL", "{"+project+"}:load:2") }, "lost the load"},
		{"a bucket", func(keys []string) { r.Do(t, 0, "DEL", keys[0]) }, "rows stand there"},
	} {
		l, err := s.Load(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Put(ctx, someRows(200)...); err != nil {
			t.Fatal(err)
		}
		var keys []string
		eventually(t, "rows are staged", func() bool {
			keys = slices.DeleteFunc(keysOf(t, r, project), func(k string) bool { return !strings.Contains(k, "g2-") })
			return len(keys) > 100
		})
		lose.do(keys)
		_, err = l.Finish(ctx)
		if err == nil || !strings.Contains(err.Error(), lose.want) || strings.Contains(err.Error(), "owner-") {
			t.Errorf("%s was lost: %v", lose.name, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		for _, k := range keysOf(t, r, project) {
			if strings.Contains(k, "g2-") {
				t.Errorf("%s was lost, and %s is left", lose.name, k)
			}
		}
		onlinetest.Load(t, s, 2, someRows(200)...)
		if err := s.Drop(ctx, 2); err != nil {
			t.Fatal(err)
		}
	}
}

// A load goes on where it stood when the server comes back; a server that stays away is waited for as long as patience lasts.
func TestRedisPatience(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{Durable: true}), newProject()
	ctx := t.Context()
	var waits []time.Duration
	back := false
	sleep := func(ctx context.Context, d time.Duration) error {
		waits = append(waits, d)
		if back && len(waits) == 4 {
			r.Start(t)
		}
		return ctx.Err()
	}
	s := openRedis(t, r, project, online.RedisOptions{Patience: 3 * time.Second, Sleep: sleep})
	onlinetest.Load(t, s, 1, someRows(50)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	r.Kill(t)
	if _, _, err := s.Get(ctx, "list/owner-0001", 0); err == nil || len(waits) != 0 {
		t.Errorf("get from a server that is away: %v after %d waits", err, len(waits))
	}
	err := s.Deny(ctx, "owner-0001")
	total := time.Duration(0)
	for _, d := range waits {
		total += d
	}
	if err == nil || !strings.Contains(err.Error(), "has been away for 3s") || total != 3*time.Second || !slices.IsSorted(waits[:len(waits)-1]) {
		t.Errorf("deny in a server that stays away: %v after waits of %v", err, waits)
	}
	waits, back = nil, true
	if err := s.Deny(ctx, "owner-0001"); err != nil || len(waits) != 4 {
		t.Errorf("deny in a server that comes back: %v after waits of %v", err, waits)
	}
	if _, _, err := s.Get(ctx, "list/owner-0001", 0); !errors.Is(err, online.ErrDenied) {
		t.Errorf("get of a denied row: %v", err)
	}
	if _, _, err := s.Get(ctx, "list/owner-0002", 0); err != nil {
		t.Errorf("get after the restart: %v", err)
	}
	stopped, cancel := context.WithCancel(ctx)
	r.Stop(t)
	waits, back = nil, false
	cancel()
	if err := s.Deny(stopped, "owner-0002"); !errors.Is(err, context.Canceled) || len(waits) > 0 {
		t.Errorf("a cancelled deny: %v after %d waits", err, len(waits))
	}
}

// What a reader in any language does, as the package comment says it, with plain commands.
func TestRedisByHand(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{}), newProject()
	s, ctx := openRedis(t, r, project, online.RedisOptions{}), t.Context()
	entries := append(someRows(40), online.Entry{Key: "meta", Value: []byte("{}")}, online.Entry{Key: "k/ü", Owner: "o", Value: []byte("v"), Expires: 1 << 40})
	onlinetest.Load(t, s, 7, entries...)
	if err := s.Swap(ctx, online.Pointer{Generation: 7, Fence: 3, Meta: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Deny(ctx, "owner-0003"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(ctx, "owner-0004"); err != nil {
		t.Fatal(err)
	}
	key := func(part string) string { return "{" + project + "}:" + part }
	lookup := func(name string) (owner, value string, expires int64, served bool) {
		live := r.Do(t, 0, "HMGET", key("live"), "generation", "id").([]any)
		row, ok := r.Do(t, 0, "HGET", key(fmt.Sprintf("g%s-%s:%s", live[0], live[1], sha1Hex(name)[:2])), name).(string)
		if !ok {
			return "", "", 0, false
		}
		n := int(row[0])<<8 | int(row[1])
		owner, value = row[2:2+n], row[10+n:]
		for _, b := range []byte(row[2+n : 10+n]) {
			expires = expires<<8 | int64(b)
		}
		served = owner == "" || r.Do(t, 0, "SISMEMBER", key("denied"), "").(int64) == 1 && r.Do(t, 0, "SISMEMBER", key("denied"), owner).(int64) == 0 &&
			r.Do(t, 0, "SISMEMBER", key("erased"), strings.TrimPrefix(online.ErasedName(owner), "erased:")).(int64) == 0 && r.Do(t, 0, "EXISTS", key("fallback")).(int64) == 0 &&
			r.Do(t, 0, "GET", key("horizon")) == nil // else it were held against the clock
		return owner, value, expires, served
	}
	compare := func() {
		t.Helper()
		for _, e := range entries {
			owner, value, expires, served := lookup(e.Key)
			got, _, err := s.Get(ctx, e.Key, 0)
			if served != (err == nil) || err == nil && (owner != got.Owner || value != string(got.Value) || expires != got.Expires) {
				t.Errorf("%s: by hand %q of %q until %d, served %t; the store says %+v, %v", e.Key, value, owner, expires, served, got, err)
			}
		}
	}
	compare()
	if err := s.SetFallback(ctx, &online.Fallback{}); err != nil {
		t.Fatal(err)
	}
	compare()
	if err := s.SetFallback(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MoveHorizon(ctx, 0, -1); err != nil { // has come at 0
		t.Fatal(err)
	}
	compare()
}

// An erasure leaves no trace on the server's disk either, once that has been written anew.
func TestRedisEraseOnDisk(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{Durable: true}), newProject()
	s, ctx := openRedis(t, r, project, online.RedisOptions{}), t.Context()
	onlinetest.Load(t, s, 1, append(someRows(20), online.Entry{Key: "list/planted-7", Owner: "planted-7", Value: []byte("planted value 7")})...)
	onDisk := func() bool {
		found := false
		err := filepath.WalkDir(r.Dir(), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // the server replaces its files
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			found = found || bytes.Contains(b, []byte("planted-7")) || bytes.Contains(b, []byte("planted value 7"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if !onDisk() {
		t.Fatal("the planted row is not on the disk to begin with")
	}
	if n, err := s.Erase(ctx, "planted-7"); n != 1 || err != nil {
		t.Fatalf("erase: %d %v", n, err)
	}
	eventually(t, "the erased row is gone from the disk", func() bool { return !onDisk() })
	r.Kill(t)
	r.Start(t)
	if have, err := s.Generations(ctx); err != nil || len(have) != 1 {
		t.Errorf("after a restart: %v %v", have, err)
	}
}

// A server that asks for certificates is reached with them, and only with them.
func TestRedisTLS(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{TLS: true}), newProject()
	s, ctx := openRedis(t, r, project, online.RedisOptions{}), t.Context()
	onlinetest.Load(t, s, 1, someRows(5)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	impatient := func(o online.RedisOptions) online.RedisOptions {
		o.Patience = time.Nanosecond
		return o
	}
	other := storagetest.StartRedis(t, storagetest.RedisOptions{TLS: true})
	for name, o := range map[string]online.RedisOptions{
		"no client certificate": {CAFile: r.CAFile},
		"another authority":     {CAFile: other.CAFile, CertFile: r.CertFile, KeyFile: r.KeyFile},
		"a stranger's":          {CAFile: r.CAFile, CertFile: other.CertFile, KeyFile: other.KeyFile},
	} {
		if _, err := openRedis(t, r, project, impatient(o)).Live(ctx); err == nil || errors.Is(err, online.ErrNoGeneration) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]online.RedisOptions{
		"an authority that is no certificate": {CAFile: r.KeyFile},
		"an absent authority":                 {CAFile: r.CAFile + "x"},
		"a certificate without its key":       {CAFile: r.CAFile, CertFile: r.CertFile},
		"a key that is another's":             {CAFile: r.CAFile, CertFile: r.CertFile, KeyFile: other.KeyFile},
	} {
		if _, err := online.Open(ctx, r.URL(0), online.Options{Project: project, Redis: o}); err == nil {
			t.Errorf("%s: the store was opened", name)
		}
	}
	plain := strings.Replace(r.URL(0), "rediss:", "redis:", 1)
	if _, err := online.Open(ctx, plain, online.Options{Project: project, Redis: online.RedisOptions{CAFile: r.CAFile}}); err == nil || !strings.Contains(err.Error(), "rediss://") {
		t.Errorf("certificates without encryption: %v", err)
	}
}

// An ACL user with the rights that errors name can do everything; one without them, or with a wrong password, is told so, and no error holds
// a password.
func TestRedisUsers(t *testing.T) {
	const project = "acl-test"
	r := storagetest.StartRedis(t, storagetest.RedisOptions{Users: []string{
		"full on >pw-of-full ~{" + project + "}:* +@read +@write +@scripting +info +ping",
		"reader on >pw-of-reader ~{" + project + "}:* +@read +@scripting",
		"elsewhere on >pw-of-elsewhere ~{other}:* +@all",
	}})
	ctx := t.Context()
	user := func(name, password string) online.Store {
		return openRedis(t, r, project, online.RedisOptions{Username: name, Password: password, Patience: time.Nanosecond})
	}
	s := user("full", "pw-of-full")
	onlinetest.Load(t, s, 1, someRows(5)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(ctx, "owner-0001"); err != nil {
		t.Fatal(err)
	}
	if f, err := s.(online.Inspector).Inspect(ctx); err != nil || f.Server == nil {
		t.Fatalf("inspect: %+v %v", f, err)
	}
	reader := user("reader", "pw-of-reader")
	if _, _, err := reader.Get(ctx, "list/owner-0002", 0); err != nil {
		t.Errorf("get as a reader: %v", err)
	}
	f, err := reader.(online.Inspector).Inspect(ctx)
	if err != nil || f.Server != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "evict") {
		t.Errorf("inspect without the right to INFO: %+v %v", f, err)
	}
	refused := func(what string, err error, hint, secret string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("deny as a reader", reader.Deny(ctx, "o"), "ACL SETUSER", "pw-of-reader")
	_, err = reader.Load(ctx, 2)
	refused("load as a reader", err, "ACL SETUSER", "pw-of-reader")
	_, err = user("elsewhere", "pw-of-elsewhere").Live(ctx)
	refused("another project's keys", err, "~{"+project+"}:*", "pw-of-elsewhere")
	_, err = user("full", "pw-of-nobody").Live(ctx)
	refused("a wrong password", err, "refused", "pw-of-nobody")
	_, err = user("", "").Live(ctx)
	refused("no password", err, "refused", "pw")
}

// What a URL of a Redis must not hold is refused, and never repeated.
func TestRedisURL(t *testing.T) {
	for url, hint := range map[string]string{
		"redis://user:geheim@host/0":   "a password may not stand in the URL",
		"redis://:geheim@host/0":       "a password may not stand in the URL",
		"redis://":                     "names no server",
		"redis:host":                   "names no server",
		"redis://host/geheim":          "number of a database",
		"redis://host/-1":              "number of a database",
		"redis://host/0?pw=geheim":     "no parameters",
		"redis://host:port/geheim\x7f": "malformed",
		"redis://host":                 "project", // none is given
	} {
		_, err := online.Open(t.Context(), url, online.Options{})
		if err == nil || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", url, err)
		}
	}
	s, err := online.Open(t.Context(), "redis://u@host", online.Options{Project: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

// What another program or a newer Rapport has left under the project's keys is refused, not served.
func TestRedisForeign(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{}), newProject()
	s, ctx := openRedis(t, r, project, online.RedisOptions{}), t.Context()
	key := "{" + project + "}:"
	onlinetest.Load(t, s, 1, someRows(5)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	get := func() error {
		_, _, err := s.Get(ctx, "list/owner-0001", 0)
		return err
	}
	r.Do(t, 0, "SET", key+"format", "2")
	for _, err := range []error{get(), s.Deny(ctx, "o"), s.Swap(ctx, online.Pointer{Generation: 1, Fence: 2})} {
		if err == nil || !strings.Contains(err.Error(), "newer Rapport") {
			t.Errorf("format 2: %v", err)
		}
	}
	r.Do(t, 0, "SET", key+"format", "1")
	live := r.Do(t, 0, "HGETALL", key+"live").([]any)
	record := r.Do(t, 0, "HGET", key+"generations", "1").(string)
	row := r.Do(t, 0, "KEYS", key+"g1-*").([]any)[0].(string)
	field := r.Do(t, 0, "HKEYS", row).([]any)[0].(string)
	for _, spoil := range [][]any{
		{"HSET", key + "live", "fence", "x"},
		{"HSET", key + "live", "generation", "-1"},
		{"HSET", key + "generations", "1", "{}"},
		{"HSET", key + "generations", "1", strings.Replace(record, `"entries":5`, `"entries":6`, 1)},
		{"HSET", row, field, ""},
		{"HSET", row, field, "\x00\x09owner"},
		{"HSET", row, field, "\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"},
	} {
		r.Do(t, 0, spoil...)
		_, _, err := s.Get(ctx, field, 0)
		for _, e := range []error{s.Scan(ctx, "", func(online.Entry) error { return nil }), s.(online.Inspector).Verify(ctx, 1)} {
			err = errors.Join(err, e)
		}
		if !errors.Is(err, online.ErrCorrupt) {
			t.Errorf("%q: %v", spoil, err)
		}
		r.Do(t, 0, append([]any{"HSET", key + "live"}, live...)...)
		r.Do(t, 0, "HSET", key+"generations", "1", record)
	}
	r.Do(t, 0, "DEL", key+"live")
	r.Do(t, 0, "SET", key+"live", "a string")
	if err := get(); !errors.Is(err, online.ErrCorrupt) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a key of another kind: %v", err)
	}
}

// A server that is full loses nothing, takes denials, and lets a load fail with the words of what to do.
func TestRedisFull(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{}), newProject()
	s, ctx := openRedis(t, r, project, online.RedisOptions{Batch: 8}), t.Context()
	onlinetest.Load(t, s, 1, someRows(300)...)
	onlinetest.Load(t, s, 2, someRows(300)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	l, err := s.Load(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Put(ctx, someRows(100)...); err != nil {
		t.Fatal(err)
	}
	r.Do(t, 0, "CONFIG", "SET", "maxmemory", "1")
	err = l.Put(ctx, someRows(4000)[100:]...)
	if err == nil {
		_, err = l.Finish(ctx)
	}
	if !errors.Is(err, storage.ErrFull) || !strings.Contains(err.Error(), "maxmemory") || strings.Contains(err.Error(), "owner-") {
		t.Errorf("a load into a full server: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := s.Load(ctx, 4); !errors.Is(err, storage.ErrFull) {
		t.Errorf("load into a full server: %v", err)
	}
	many := make([]string, 25_000) // more than one script takes
	for i := range many {
		many[i] = fmt.Sprintf("denied-%d", i)
	}
	for name, err := range map[string]error{
		"deny": s.Deny(ctx, "owner-0001"), "deny many": s.Deny(ctx, many...), "allow": s.Allow(ctx, "owner-0002"),
		"fallback": s.SetFallback(ctx, &online.Fallback{}), "no fallback": s.SetFallback(ctx, nil), "swap": s.Swap(ctx, online.Pointer{Generation: 2, Fence: 2}),
		"drop": s.Drop(ctx, 9),
	} {
		if err != nil {
			t.Errorf("%s in a full server: %v", name, err)
		}
	}
	if n, err := s.Erase(ctx, "owner-0003"); n != 2 || err != nil {
		t.Errorf("erase in a full server: %d %v", n, err)
	}
	for key, want := range map[string]error{"list/owner-0001": online.ErrDenied, "list/owner-0002": nil, "list/owner-0003": online.ErrNotFound} {
		if _, p, err := s.Get(ctx, key, 0); !errors.Is(err, want) || p.Generation != 2 {
			t.Errorf("get %s from a full server: generation %d, %v", key, p.Generation, err)
		}
	}
	if denied, err := s.Denied(ctx); err != nil || len(denied) != 25_002 {
		t.Errorf("%d denied, %v", len(denied), err)
	}
}

// A live generation whose record was lost is gone with the next swap, rows and all.
func TestRedisRecordLost(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{}), newProject()
	s, ctx := openRedis(t, r, project, online.RedisOptions{}), t.Context()
	onlinetest.Load(t, s, 1, someRows(50)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	r.Do(t, 0, "DEL", "{"+project+"}:generations")
	f, err := s.(online.Inspector).Inspect(ctx)
	if err != nil || len(f.Faults) != 1 || !strings.Contains(f.Faults[0], "on no record") {
		t.Errorf("inspect: %+v %v", f, err)
	}
	if err := s.Scan(ctx, "", func(online.Entry) error { return nil }); !errors.Is(err, online.ErrCorrupt) {
		t.Errorf("scan: %v", err)
	}
	onlinetest.Load(t, s, 2, someRows(50)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 2, Fence: 2}); err != nil {
		t.Fatal(err)
	}
	for _, k := range keysOf(t, r, project) {
		if strings.Contains(k, "g1-") {
			t.Errorf("%s is left", k)
		}
	}
	if f, err := s.(online.Inspector).Inspect(ctx); err != nil || len(f.Faults) != 0 || len(f.Generations) != 1 || !f.Generations[0].Live {
		t.Errorf("inspect: %+v %v", f, err)
	}
}

// A loader whose Finish was interrupted while rows were on their way says so to whoever goes on with it.
func TestRedisFinishInterrupted(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{}), newProject()
	ctx, cancel := context.WithCancel(t.Context())
	s := openRedis(t, r, project, online.RedisOptions{Batch: 8, Sleep: func(ctx context.Context, _ time.Duration) error {
		cancel()
		<-ctx.Done()
		return context.Cause(ctx)
	}})
	l, err := s.Load(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Put(t.Context(), someRows(5)...); err != nil {
		t.Fatal(err)
	}
	r.Kill(t)
	if _, err := l.Finish(ctx); err == nil {
		t.Fatal("finished without a server")
	}
	if _, err := l.Finish(t.Context()); err == nil {
		t.Error("finished without senders")
	}
	if err := l.Put(t.Context(), someRows(100)...); err == nil {
		t.Error("took rows without senders")
	}
}

// A deny set of many pages is read whole, and counted without being read.
func TestRedisManyDenied(t *testing.T) {
	r, project := storagetest.StartRedis(t, storagetest.RedisOptions{}), newProject()
	s, ctx := openRedis(t, r, project, online.RedisOptions{}), t.Context()
	onlinetest.Load(t, s, 1, someRows(10)...)
	names := make([]string, 25_000)
	for i := range names {
		names[i] = fmt.Sprintf("owner-%05d", i)
	}
	if err := s.Deny(ctx, names...); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(ctx, names[0]); err != nil {
		t.Fatal(err)
	}
	names[0] = online.ErasedName(names[0])
	slices.Sort(names)
	got, err := s.Denied(ctx)
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("%d are denied, want %d: %v", len(got), len(names), err)
	}
	if f, err := s.(online.Inspector).Inspect(ctx); err != nil || f.Denied != len(names) {
		t.Errorf("%d are counted, want %d: %v", f.Denied, len(names), err)
	}
	r.Do(t, 0, "DEL", "{"+project+"}:denied")
	if _, err := s.Denied(ctx); !errors.Is(err, online.ErrCorrupt) {
		t.Errorf("a deny set that is lost: %v", err)
	}
}
