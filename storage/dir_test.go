package storage_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// roles are what this test binary does when a test starts it again as a child process, named in the environment.
var roles = map[string]func(dir string) error{"counter": childCounter, "half": childHalf}

const roleVar, dirVar = "STORAGE_TEST_ROLE", "STORAGE_TEST_DIR"

func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleVar)]; role != nil {
		if err := role(os.Getenv(dirVar)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func openDir(t testing.TB) (storage.Bucket, string) {
	t.Helper()
	dir := t.TempDir()
	return open(t, "file:"+dir, storage.Options{}), dir
}

func keys(t testing.TB, b storage.Bucket, prefix string) []string {
	t.Helper()
	var out []string
	for info, err := range b.List(t.Context(), prefix, storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, info.Key)
	}
	return out
}

func mustPut(t testing.TB, b storage.Bucket, key, body string) storage.Info {
	t.Helper()
	info, err := b.Put(t.Context(), key, storage.Bytes([]byte(body)), storage.Cond{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func writeFile(t testing.TB, path, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

const increments = 25

// childCounter increments one object by compare-and-swap.
func childCounter(dir string) error {
	ctx := noDeadline()
	b, err := storage.Open(ctx, "file:"+dir, storage.Options{})
	if err != nil {
		return err
	}
	for done := 0; done < increments; {
		body, info, err := storage.ReadAll(ctx, b, "n")
		if err != nil {
			return err
		}
		var n int
		fmt.Sscanf(string(body), "%d", &n) // %d: a leading zero is no octal
		switch _, err := b.Put(ctx, "n", storage.Bytes(fmt.Appendf(nil, "%06d", n+1)), storage.Cond{IfMatch: info.ETag}); {
		case err == nil:
			done++
		case !errors.Is(err, storage.ErrPrecondition):
			return err
		}
	}
	return nil
}

// TestDirectoryProcesses: four processes increment one object; all bodies have one size and come within one clock tick of each other.
func TestDirectoryProcesses(t *testing.T) {
	t.Parallel()
	b, dir := openDir(t)
	mustPut(t, b, "n", "000000")
	var children []*exec.Cmd
	for range 4 {
		c := child(t, "counter", dir)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, c)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	body, _, err := storage.ReadAll(t.Context(), b, "n")
	if want := fmt.Sprintf("%06d", 4*increments); err != nil || string(body) != want {
		t.Fatalf("counted %q, %v; want %s", body, err, want)
	}
}

// stuckBody gives its first half, says so on stdout, and then waits to be killed.
type stuckBody struct{ size int64 }

func (s stuckBody) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size/2 {
		fmt.Println("half written")
		select {}
	}
	return copy(p, strings.Repeat("x", int(min(int64(len(p)), s.size/2-off)))), nil
}

func childHalf(dir string) error {
	ctx := noDeadline()
	b, err := storage.Open(ctx, "file:"+dir, storage.Options{})
	if err == nil {
		_, err = b.Put(ctx, "a/victim", storage.Body{Size: 1 << 20, R: stuckBody{1 << 20}}, storage.Cond{})
	}
	return err
}

// TestDirectoryKill kills a process in the middle of a Put: readers see the old object, and the rest is cleared away.
func TestDirectoryKill(t *testing.T) {
	t.Parallel()
	b, dir := openDir(t)
	mustPut(t, b, "a/victim", "old")
	c := child(t, "half", dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "half written\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	v := b.(storage.Versions)
	if n, _, err := v.AbortUploads(t.Context(), "", time.Now()); n != 0 || err != nil {
		t.Errorf("AbortUploads took %d files of a living writer, %v", n, err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait() // it was killed: its error says nothing

	if body, _, err := storage.ReadAll(t.Context(), b, "a/victim"); err != nil || string(body) != "old" {
		t.Errorf("after the kill: %q, %v", body, err)
	}
	if got := keys(t, b, ""); !slices.Equal(got, []string{"a/victim"}) {
		t.Errorf("listed %q", got)
	}
	if left := temps(t, dir); len(left) != 1 {
		t.Fatalf("temporary files: %q", left)
	}
	if n, _, err := v.AbortUploads(t.Context(), "", time.Now()); n != 1 || err != nil {
		t.Errorf("AbortUploads = %d, %v", n, err)
	}
	if left := temps(t, dir); len(left) != 0 {
		t.Errorf("temporary files: %q", left)
	}

	// A new process clears away what it finds at its first write.
	writeFile(t, filepath.Join(dir, ".rapport/tmp/DEAD"), "half")
	mustPut(t, open(t, "file:"+dir, storage.Options{}), "b", "x")
	if left := temps(t, dir); len(left) != 0 {
		t.Errorf("temporary files after a write: %q", left)
	}
}

func temps(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, ".rapport/tmp/*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestDirectoryLeavesNothing: refused and failed Puts leave no temporary file and no folder.
func TestDirectoryLeavesNothing(t *testing.T) {
	b, dir := openDir(t)
	mustPut(t, b, "k", "x")
	for name, try := range map[string]func() error{
		"create-only": func() error {
			_, err := b.Put(t.Context(), "k", storage.Bytes(nil), storage.Cond{IfAbsent: true})
			return err
		},
		"stale": func() error {
			_, err := b.Put(t.Context(), "new/k", storage.Bytes(nil), storage.Cond{IfMatch: "1-2-3"})
			return err
		},
		"broken body": func() error {
			_, err := b.Put(t.Context(), "new/k", storage.Body{Size: 9, R: failingBody{io.ErrNoProgress}}, storage.Cond{})
			return err
		},
		"full disk": func() error {
			_, err := b.Put(t.Context(), "new/k", storage.Body{Size: 9, R: failingBody{syscall.ENOSPC}}, storage.Cond{})
			if !errors.Is(err, storage.ErrFull) || !strings.Contains(err.Error(), "free some space") {
				t.Errorf("full disk: %v", err)
			}
			return err
		},
		"below an object": func() error {
			_, err := b.Put(t.Context(), "k/below", storage.Bytes(nil), storage.Cond{})
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if left := temps(t, dir); len(left) != 0 {
		t.Errorf("temporary files: %q", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder stayed: %v", err)
	}
	mustPut(t, b, "f/x", "x")
	if _, err := b.Put(t.Context(), "f", storage.Bytes(nil), storage.Cond{}); err == nil || !strings.Contains(err.Error(), "cannot hold an object and others below it") {
		t.Errorf("an object in the place of a folder: %v", err)
	}
}

type failingBody struct{ err error }

func (f failingBody) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestDirectoryForeign reads files that others dropped into the directory, under the names that they chose.
func TestDirectoryForeign(t *testing.T) {
	b, dir := openDir(t)
	writeFile(t, filepath.Join(dir, "events/dt=2026-08-20/part-0.parquet"), "PAR1 one")
	writeFile(t, filepath.Join(dir, "events/dt=2026-08-21/part-0.parquet"), "PAR1 two")
	writeFile(t, filepath.Join(dir, "events/.hidden"), "x")
	if err := os.Mkdir(filepath.Join(dir, "events/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "events/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("dt=2026-08-20", filepath.Join(dir, "events/latest")); err != nil {
		t.Fatal(err)
	}
	want := []string{"events/.hidden", "events/dt=2026-08-20/part-0.parquet", "events/dt=2026-08-21/part-0.parquet", "events/latest/part-0.parquet"}
	if got := keys(t, b, ""); !slices.Equal(got, want) {
		t.Fatalf("listed %q, want %q", got, want)
	}
	var level []string
	for info, err := range b.List(t.Context(), "events/", storage.ListOpt{Delimiter: "/"}) {
		if err != nil {
			t.Fatal(err)
		}
		level = append(level, info.Key)
	}
	if want := []string{"events/.hidden", "events/dt=2026-08-20/", "events/dt=2026-08-21/", "events/latest/"}; !slices.Equal(level, want) {
		t.Errorf("one level: %q, want %q", level, want)
	}
	if _, _, err := b.Get(t.Context(), "events/pipe", storage.Range{}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a pipe: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".rapport")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made files: %v", err)
	}

	// A rewrite in place, with the same size, is a new object.
	const key = "events/dt=2026-08-20/part-0.parquet"
	old, err := b.Head(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.Head(t.Context(), key); err != nil || again != old {
		t.Errorf("an untouched file changed from %+v to %+v, %v", old, again, err)
	}
	rd, _, err := b.Get(t.Context(), key, storage.Range{Off: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	writeFile(t, filepath.Join(dir, key), "PAR1 ONE")
	later := old.Modified.Add(time.Second)
	if err := os.Chtimes(filepath.Join(dir, key), later, later); err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(rd); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("a file rewritten while it was read gave %q, %v", body, err)
	}
	if _, _, err := b.Get(t.Context(), key, storage.Range{IfMatch: old.ETag}); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("a rewritten file under its old tag: %v", err)
	}
}

// TestDirectoryEscape: no key and no symbolic link leads out of the directory.
func TestDirectoryEscape(t *testing.T) {
	b, dir := openDir(t)
	outside := filepath.Join(t.TempDir(), "secret")
	writeFile(t, filepath.Join(outside, "file"), "secret")
	mustPut(t, b, "in", "x")
	for name, target := range map[string]string{"link": filepath.Join(outside, "file"), "folder": outside} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"link", "folder/file"} {
		if _, _, err := b.Get(t.Context(), key, storage.Range{}); err == nil {
			t.Errorf("Get(%q) left the directory", key)
		}
	}
	if _, err := b.Put(t.Context(), "folder/file", storage.Bytes([]byte("overwritten")), storage.Cond{}); err == nil {
		t.Error("Put left the directory")
	}
	if err := b.Delete(t.Context(), "folder/file"); err == nil {
		t.Error("Delete left the directory")
	}
	if body, err := os.ReadFile(filepath.Join(outside, "file")); err != nil || string(body) != "secret" {
		t.Errorf("outside: %q, %v", body, err)
	}
	var failed error // a listing says that it cannot show everything
	for _, err := range b.List(t.Context(), "", storage.ListOpt{}) {
		if err != nil {
			failed = err
		}
	}
	if failed == nil || !strings.Contains(failed.Error(), "link") {
		t.Errorf("a listing past links that lead out: %v", failed)
	}
}

// TestDirectoryLoop: a link to a folder above ends with an error, not never.
func TestDirectoryLoop(t *testing.T) {
	b, dir := openDir(t)
	mustPut(t, b, "a/x", "x")
	if err := os.Symlink("..", filepath.Join(dir, "a/up")); err != nil {
		t.Fatal(err)
	}
	var last error
	n := 0
	for _, err := range b.List(t.Context(), "", storage.ListOpt{}) {
		if n++; n > 10_000 {
			t.Fatal("endless")
		}
		last = err
	}
	if last == nil {
		t.Error("no error")
	}
}

// TestDirectoryClockBack: tags stay unique when the clock is set back, because stamps only grow.
func TestDirectoryClockBack(t *testing.T) {
	b, dir := openDir(t)
	mustPut(t, b, "k", "one")
	future := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	if err := os.Chtimes(filepath.Join(dir, ".rapport/lock"), future, future); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		info := mustPut(t, b, "k", "two")
		if want := future.Add(time.Duration(i+1) * time.Microsecond); !info.Modified.Equal(want) {
			t.Fatalf("write %d is stamped %v, want %v", i, info.Modified, want)
		}
	}
}

// TestDirectoryRemoved: the directory goes away under an open bucket.
func TestDirectoryRemoved(t *testing.T) {
	b, dir := openDir(t)
	mustPut(t, b, "k", "one")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "k", storage.Bytes(nil), storage.Cond{}); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("Put into a removed directory: %v", err)
	}
	if _, err := b.Head(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Head in a removed directory: %v", err)
	}
}

// TestDirectoryNotADirectory: the path is a file.
func TestDirectoryNotADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	writeFile(t, path, "x")
	b := open(t, "file:"+path, storage.Options{})
	if _, err := b.Put(t.Context(), "k", storage.Bytes(nil), storage.Cond{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Put: %v", err)
	}
	for _, err := range b.List(t.Context(), "", storage.ListOpt{}) {
		if err == nil {
			t.Error("List: no error")
		}
	}
}

// FuzzDirectoryKey: whatever the key, a directory takes it if memory does (file names of over 255 bytes aside), gives it back under the
// same name, and writes nothing outside.
func FuzzDirectoryKey(f *testing.F) {
	for _, key := range []string{"a", "a/b", "../a", "a/../../b", "/etc/x", "a//b", ".", "a/", "\x00", ".rapport/lock", ".rapportx", "ü", "a\\..\\b"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		for seg := range strings.SplitSeq(key, "/") {
			if len(seg) > 255 {
				return
			}
		}
		parent := t.TempDir()
		b := open(t, "file:"+filepath.Join(parent, "root"), storage.Options{})
		_, merr := storage.NewMemory(nil).Put(t.Context(), key, storage.Bytes(nil), storage.Cond{})
		_, err := b.Put(t.Context(), key, storage.Bytes([]byte("x")), storage.Cond{})
		if (err == nil) != (merr == nil) {
			t.Fatalf("Put(%q): %v in a directory, %v in memory", key, err, merr)
		}
		var want []string
		if err == nil {
			want = []string{key}
		}
		if got := keys(t, b, ""); !slices.Equal(got, want) {
			t.Fatalf("Put(%q) lists %q", key, got)
		}
		entries, err := os.ReadDir(parent)
		if err != nil || len(entries) > 1 || len(entries) == 1 && entries[0].Name() != "root" {
			t.Fatalf("Put(%q) wrote outside: %v, %v", key, entries, err)
		}
	})
}

func BenchmarkDirectoryList10000(b *testing.B) {
	bucket, dir := openDir(b)
	for i := range 10_000 {
		writeFile(b, filepath.Join(dir, fmt.Sprintf("events/dt=%03d/part-%02d", i/100, i%100)), "x")
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(keys(b, bucket, "")); n != 10_000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkDirectoryPut1KB(b *testing.B) {
	bucket, _ := openDir(b)
	body := strings.Repeat("x", 1000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		mustPut(b, bucket, fmt.Sprintf("k/%d", i), body)
	}
}

// TestDirectoryReplacesUnsynced: a write on a condition may come upon one on none that others see and that is not durable yet. When it is answered, what it wrote
// is durable all the same, and the first writer makes nothing of it undone.
func TestDirectoryReplacesUnsynced(t *testing.T) {
	b, dir := openDir(t)
	mustPut(t, b, "a/k", "zero")
	var mu sync.Mutex
	durable, first := "zero", true // what a/k would hold after a crash
	held, goOn := make(chan struct{}), make(chan struct{})
	defer storage.WatchSyncs(func(f *os.File) error {
		mu.Lock()
		wait := first
		first = false
		mu.Unlock()
		if wait {
			close(held)
			<-goOn
		}
		mu.Lock()
		defer mu.Unlock()
		body, err := os.ReadFile(filepath.Join(dir, "a", "k"))
		if err == nil {
			durable = string(body)
		}
		return errors.Join(err, f.Sync())
	})()
	ended := make(chan error, 1)
	go func() {
		_, err := b.Put(context.Background(), "a/k", storage.Bytes([]byte("one")), storage.Cond{})
		ended <- err
	}()
	<-held
	after := func() string {
		mu.Lock()
		defer mu.Unlock()
		return durable
	}
	seen, err := b.Head(t.Context(), "a/k")
	if err != nil || seen.Size != 3 || after() != "zero" {
		t.Fatalf("%d bytes are seen and %q is durable: %v; the test says nothing", seen.Size, after(), err)
	}
	if _, err := b.Put(t.Context(), "a/k", storage.Bytes([]byte("second")), storage.Cond{IfMatch: seen.ETag}); err != nil || after() != "second" {
		t.Errorf("a replacement is answered with %v, and %q is durable", err, after())
	}
	close(goOn)
	if err := <-ended; err != nil || after() != "second" {
		t.Errorf("the first writer is answered with %v, and %q is durable", err, after())
	}
	if body, _, err := storage.ReadAll(t.Context(), b, "a/k"); err != nil || string(body) != "second" {
		t.Errorf("%q stands there: %v", body, err)
	}
}
