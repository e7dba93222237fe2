package online_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/online/onlinetest"
)

// tableOf returns the path of the only table of a generation.
func tableOf(t testing.TB, dir string, generation int) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("gen-%020d-*.sst", generation)))
	if err != nil || len(names) != 1 {
		t.Fatalf("tables of generation %d: %v %v", generation, names, err)
	}
	return names[0]
}

// rewrite gives a file a new content, as a new file.
func rewrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// unsynced is a file system whose writes are not made durable: for tests of thousands of writes.
type unsynced struct{ vfs.FS }

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error { return nil }

func (u unsynced) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.Create(name, c)
	return unsyncedFile{f}, err
}

func (u unsynced) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := u.FS.OpenReadWrite(name, c, o...)
	return unsyncedFile{f}, err
}

func (u unsynced) OpenDir(name string) (vfs.File, error) {
	f, err := u.FS.OpenDir(name)
	return unsyncedFile{f}, err
}

// TestDamagedTable changes bytes of the live table, or cuts it: every answer is right, or says which file is damaged and what to do.
func TestDamagedTable(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	before(t, dir)
	path := tableOf(t, dir, 2)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fence := uint64(5)
	check := func(what string, mustFail bool) {
		t.Helper()
		fence++
		s, err := online.OpenEmbedded(dir, withFS(online.Options{}, unsynced{vfs.Default}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		damaged := func(err error) bool {
			if err == nil {
				return false
			}
			if !errors.Is(err, online.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(path)) || !strings.Contains(err.Error(), "rapport online load") {
				t.Fatalf("%s: error %v, want one of damage, the file and what to do", what, err)
			}
			return true
		}
		failed := false
		for _, e := range rowsOf(2) {
			got, _, err := s.Get(ctx, e.Key, 0)
			if damaged(err) {
				failed = true
			} else if !bytes.Equal(got.Value, e.Value) || got.Owner != e.Owner {
				t.Fatalf("%s: a wrong value was read: %q, want %q", what, got.Value, e.Value)
			}
		}
		if mustFail && !failed {
			t.Fatalf("%s: no lookup noticed", what)
		}
		// A swap reads the whole table.
		if !damaged(s.Swap(ctx, online.Pointer{Generation: 2, Fence: fence})) && mustFail {
			t.Fatalf("%s: the swap did not notice", what)
		}
	}
	check("untouched", false)
	for _, size := range []int{0, 1, len(good) / 2, len(good) - 1} {
		rewrite(t, path, good[:size])
		check(fmt.Sprintf("cut at %d", size), true)
	}
	for i := 0; i < len(good); i += 5 {
		b := bytes.Clone(good)
		b[i] ^= 0x55
		rewrite(t, path, b)
		check(fmt.Sprintf("byte %d changed", i), false)
	}
	other, err := os.ReadFile(tableOf(t, dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, path, other)
	check("the table of another generation in its place", true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("the table lost", true)

	// What the message says helps: a new load repairs the store, and the damaged generation can be dropped.
	s := open(t, dir, online.Options{})
	onlinetest.Load(t, s, 3, rowsOf(3)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 3, Fence: fence + 1}); err != nil {
		t.Fatal(err)
	}
	if e, _, err := s.Get(ctx, "list/o01", 0); err != nil || string(e.Value) != "value of o01 in 3" {
		t.Fatalf("after a new load: %q %v", e.Value, err)
	}
	if _, err := s.Erase(ctx, "o01"); !errors.Is(err, online.ErrCorrupt) {
		t.Fatalf("an erasure beside a table it cannot read: %v", err)
	}
	if err := s.Drop(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Erase(ctx, "o01"); err != nil || n != 2 {
		t.Fatalf("erase: %d %v", n, err)
	}
}

// TestSwapReadsAll refuses a rollback to a generation that is damaged where only a reading of all rows can tell.
func TestSwapReadsAll(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir, online.Options{})
	onlinetest.Load(t, s, 1, benchRows(500)...)
	onlinetest.Load(t, s, 2, rowsOf(2)...)
	if err := s.Swap(ctx, online.Pointer{Generation: 2, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	path := tableOf(t, dir, 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[100] ^= 1
	rewrite(t, path, b)
	err = s.Swap(ctx, online.Pointer{Generation: 1, Fence: 2})
	if !errors.Is(err, online.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(path)) {
		t.Errorf("swap to a damaged generation: %v", err)
	}
	if p, err := s.Live(ctx); err != nil || p.Generation != 2 || p.Fence != 1 {
		t.Errorf("live %v %v, want what was", p, err)
	}
}

// TestDamagedLive refuses a damaged or newer file live, by name, for reading and writing.
func TestDamagedLive(t *testing.T) {
	for content, want := range map[string]string{
		"":                       "rapport online load",
		"{}":                     "rapport online load",
		"00000000 {}\n":          "rapport online load",
		"79a1fc5b {\"format\":2": "rapport online load",
	} {
		dir, ctx := t.TempDir(), t.Context()
		before(t, dir)
		path := filepath.Join(dir, "live")
		rewrite(t, path, []byte(content))
		s := open(t, dir, online.Options{})
		_, _, get := s.Get(ctx, "list/o01", 0)
		_, live := s.Live(ctx)
		_, generations := s.Generations(ctx)
		_, load := s.Load(ctx, 9)
		for what, err := range map[string]error{"get": get, "live": live, "generations": generations, "load": load, "swap": s.Swap(ctx, online.Pointer{Generation: 1, Fence: 9})} {
			if !errors.Is(err, online.ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %s: %v", content, what, err)
			}
		}
		// Moved away, as the message says, it can be loaded anew; the deny set is still there.
		if err := s.Deny(ctx, "o02"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, path+".broken"); err != nil {
			t.Fatal(err)
		}
		onlinetest.Load(t, s, 9, rowsOf(9)...)
		if err := s.Swap(ctx, online.Pointer{Generation: 9, Fence: 1}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Get(ctx, "list/o02", 0); !errors.Is(err, online.ErrDenied) {
			t.Errorf("get of a denied row: %v", err)
		}
	}
}

// TestDamagedDenyLog serves nobody's row when it cannot be told who is denied; rows without an owner are served.
func TestDamagedDenyLog(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir, online.Options{})
	onlinetest.Load(t, s, 1, append(rowsOf(1), online.Entry{Key: online.UnprofiledKey, Value: []byte(`{"id":"u"}`)})...)
	if err := errors.Join(s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}), s.Deny(ctx, "o03"), s.Deny(ctx, "o04")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "denied")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(good)
	b[len(b)/2] ^= 1
	rewrite(t, path, b)
	for _, h := range []online.Store{s, open(t, dir, online.Options{})} {
		for _, key := range []string{"list/o01", "list/o03"} {
			if e, _, err := h.Get(ctx, key, 0); !errors.Is(err, online.ErrCorrupt) || !strings.Contains(err.Error(), path) {
				t.Errorf("get %s: %q, %v", key, e.Value, err)
			}
		}
		if _, _, err := h.Get(ctx, online.UnprofiledKey, 0); err != nil {
			t.Errorf("get of a row without an owner: %v", err)
		}
		if err := h.Deny(ctx, "o05"); !errors.Is(err, online.ErrCorrupt) {
			t.Errorf("deny: %v", err)
		}
	}
	// A tail without its end was never acknowledged: what stands before it counts, and the next denial mends the file.
	rewrite(t, path, good[:len(good)-4])
	for _, tt := range []struct {
		key string
		err error
	}{{"list/o03", online.ErrDenied}, {"list/o04", nil}} {
		if _, _, err := s.Get(ctx, tt.key, 0); !errors.Is(err, tt.err) {
			t.Errorf("get %s of a torn log: %v, want %v", tt.key, err, tt.err)
		}
	}
	if err := s.Deny(ctx, "o06"); err != nil {
		t.Fatal(err)
	}
	if denied, err := open(t, dir, online.Options{}).Denied(ctx); err != nil || fmt.Sprint(denied) != "[o03 o06]" {
		t.Errorf("denied %v %v", denied, err)
	}
}

// TestDenyLogStaysShort denies and allows thousands of times.
// A damaged switch is neither on nor off: no owned row is served until it is written anew.
func TestDamagedFallback(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "online")
	s, ctx := open(t, dir, online.Options{}), t.Context()
	onlinetest.Load(t, s, 1, online.Entry{Key: "k/1", Owner: "o1"}, online.Entry{Key: "k/0"})
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetFallback(ctx, &online.Fallback{Since: 1, By: "somebody", Why: "why"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "fallback")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty": {}, "cut short": whole[:len(whole)-1], "halved": whole[:len(whole)/2], "changed": bytes.Replace(whole, []byte("somebody"), []byte("nobody at"), 1),
	} {
		rewrite(t, path, b)
		_, err := s.Fallback(ctx)
		_, _, owned := s.Get(ctx, "k/1", 0)
		for _, err := range []error{err, owned} {
			if !errors.Is(err, online.ErrCorrupt) || !strings.Contains(err.Error(), "rapport online fallback on") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := s.Get(ctx, "k/0", 0); err != nil {
			t.Errorf("%s: get of an unowned row: %v", name, err)
		}
	}
	if err := s.SetFallback(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, "k/1", 0); err != nil {
		t.Errorf("after it was ended: %v", err)
	}
}

func TestDenyLogStaysShort(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir, withFS(online.Options{}, unsynced{vfs.Default}))
	reader := open(t, dir, online.Options{})
	most := int64(0)
	for i := range 1300 {
		if err := errors.Join(s.Deny(ctx, "o1"), s.Allow(ctx, "o1")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "denied"))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
		if i%100 == 0 {
			if denied, err := reader.Denied(ctx); err != nil || len(denied) > 0 {
				t.Fatalf("denied %v %v", denied, err)
			}
		}
	}
	const record = int64(len(`01234567 {"allow":["o1"]}`) + 1)
	if most > 1010*record {
		t.Errorf("the log grew to %d bytes, more than 1010 records", most)
	}
}

// TestDiskFull says so, and keeps what was.
func TestDiskFull(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	before(t, dir)
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileWriteAt {
			return syscall.ENOSPC
		}
		return nil
	})
	s := open(t, dir, withFS(online.Options{}, errorfs.Wrap(vfs.Default, full)))
	want := observe(t, s)
	for _, st := range steps {
		if err := st.do(ctx, s); err != nil && !errors.Is(err, storage.ErrFull) && !errors.Is(err, online.ErrUnknownGeneration) {
			t.Errorf("%s: %v, want storage.ErrFull", st.name, err)
		} else if err == nil {
			t.Errorf("%s: succeeded on a full disk", st.name)
		}
	}
	if got := observe(t, s); got != want {
		t.Errorf("the store changed to\n%s\nfrom\n%s", got, want)
	}
}

func TestOpen(t *testing.T) {
	ctx := t.Context()
	for _, url := range []string{"rediss+x://user:secret@host/0", "", "nonsense", "embedded:"} {
		_, err := online.Open(ctx, url, online.Options{})
		if err == nil || !strings.Contains(err.Error(), "embedded:PATH") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, err := online.Open(ctx, "embedded:"+dir, online.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Live(ctx); !errors.Is(err, online.ErrNoGeneration) || !strings.Contains(err.Error(), dir) {
		t.Errorf("live: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading made the folder: %v", err)
	}
	onlinetest.Load(t, s, 1, rowsOf(1)...)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v %v", info, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, "k", 0); err == nil {
		t.Error("a closed store answered")
	}
	if _, err := online.Open(ctx, "embedded:"+tableOf(t, dir, 1), online.Options{}); err == nil {
		t.Error("a file was opened as a store")
	}
}

// TestDamagedHorizon: while nobody knows when it is, no owned row is served, and the next who moves it does so.
func TestDamagedHorizon(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "online")
	s, ctx := open(t, dir, online.Options{}), t.Context()
	onlinetest.Load(t, s, 1, online.Entry{Key: "k/1", Owner: "o1"}, online.Entry{Key: "k/0"})
	if err := s.Swap(ctx, online.Pointer{Generation: 1, Fence: 1}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "horizon")
	for _, to := range []int64{1_790_000_000_000_000, 0} {
		for name, damage := range map[string]func([]byte) []byte{
			"empty": func([]byte) []byte { return nil }, "cut short": func(b []byte) []byte { return b[:len(b)-1] }, "halved": func(b []byte) []byte { return b[:len(b)/2] },
			"changed": func(b []byte) []byte { return bytes.Replace(b, []byte("18"), []byte("19"), 1) },
		} {
			if moved, err := s.MoveHorizon(ctx, 0, 1_800_000_000_000_000); !moved || err != nil {
				t.Fatal(moved, err)
			}
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, path, damage(whole))
			_, err = s.Horizon(ctx)
			_, _, owned := s.Get(ctx, "k/1", 0)
			if !errors.Is(err, online.ErrCorrupt) || !errors.Is(owned, online.ErrCorrupt) {
				t.Errorf("%s: %v; %v", name, err, owned)
			}
			if _, _, err := s.Get(ctx, "k/0", 0); err != nil {
				t.Errorf("%s: get of an unowned row: %v", name, err)
			}
			if moved, err := s.MoveHorizon(ctx, 17, to); !moved || err != nil {
				t.Errorf("%s: %v, %v", name, moved, err)
			}
			if at, err := s.Horizon(ctx); at != to || err != nil {
				t.Errorf("%s: horizon %d, %v, want %d", name, at, err, to)
			}
			if _, err := s.MoveHorizon(ctx, to, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}
