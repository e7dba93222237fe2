package online_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/online/onlinetest"
)

// step is one operation of a store's life, which may be repeated.
type step struct {
	name string
	do   func(ctx context.Context, s online.Store) error
	mid  bool // readers may see a state between old and new: denied, not yet rewritten
}

var steps = []step{
	{name: "deny", do: func(ctx context.Context, s online.Store) error { return s.Deny(ctx, "o02", "o03") }},
	{name: "load", do: func(ctx context.Context, s online.Store) error {
		l, err := s.Load(ctx, 3)
		if err != nil {
			if errors.Is(err, online.ErrLive) { // the swap was reached before
				return nil
			}
			return err
		}
		for _, e := range rowsOf(3) {
			if err := l.Put(ctx, e); err != nil {
				return errors.Join(err, l.Close())
			}
		}
		_, err = l.Finish(ctx)
		return errors.Join(err, l.Close())
	}},
	{name: "swap", do: func(ctx context.Context, s online.Store) error {
		return s.Swap(ctx, online.Pointer{Generation: 3, Fence: 3, Meta: []byte("{}")})
	}},
	{name: "erase", mid: true, do: func(ctx context.Context, s online.Store) error { _, err := s.Erase(ctx, "o05", "o03"); return err }},
	{name: "drop", do: func(ctx context.Context, s online.Store) error { return s.Drop(ctx, 1) }},
	{name: "allow", do: func(ctx context.Context, s online.Store) error { return s.Allow(ctx, "o02", "o05") }},
}

// spilling makes a load of rowsOf spill twice.
var spilling = online.Options{LoadMemory: 1500}

// withFS returns o with another file system to write to.
func withFS(o online.Options, fs vfs.FS) online.Options {
	o.FS = fs
	return o
}

func rowsOf(generation uint64) []online.Entry {
	var entries []online.Entry
	for i := range 20 {
		owner := fmt.Sprintf("o%02d", i)
		entries = append(entries, online.Entry{Key: "list/" + owner, Owner: owner, Value: fmt.Appendf(nil, "value of %s in %d", owner, generation)})
	}
	return entries
}

// before makes the store in which the steps begin: generations 1 and 2 finished, 2 live.
func before(t testing.TB, dir string) {
	t.Helper()
	s := open(t, dir, online.Options{})
	onlinetest.Load(t, s, 1, rowsOf(1)...)
	onlinetest.Load(t, s, 2, rowsOf(2)...)
	if err := s.Swap(t.Context(), online.Pointer{Generation: 2, Fence: 2}); err != nil {
		t.Fatal(err)
	}
}

// observe describes everything that readers of the store can see.
func observe(t testing.TB, s online.Store) string {
	t.Helper()
	ctx := t.Context()
	p, err := s.Live(ctx)
	var b strings.Builder
	fmt.Fprintf(&b, "live %d %d %s %v\n", p.Generation, p.Fence, p.Meta, err)
	generations, err := s.Generations(ctx)
	fmt.Fprintf(&b, "generations %v %v\n", generations, err)
	denied, err := s.Denied(ctx)
	fmt.Fprintf(&b, "denied %v %v\n", denied, err)
	for _, e := range rowsOf(1) {
		got, at, err := s.Get(ctx, e.Key, 0)
		fmt.Fprintf(&b, "%s %s %d %v\n", e.Key, got.Value, at.Generation, err)
	}
	return b.String()
}

// timeline plays the steps undisturbed and returns what readers see at first and after each.
func timeline(t *testing.T) (seen []string) {
	t.Helper()
	dir := t.TempDir()
	before(t, dir)
	s := open(t, dir, spilling)
	seen = append(seen, observe(t, s))
	for _, st := range steps {
		if err := st.do(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", st.name, err)
		}
		seen = append(seen, observe(t, s))
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] == seen[i-1] {
			t.Fatalf("%s changes nothing that can be seen", steps[i-1].name)
		}
	}
	return seen
}

// denialsOf returns what readers see between the two halves of the erasure: the deny set of after, the rows of before.
func denialsOf(t *testing.T, oldView, newView string) string {
	t.Helper()
	o, n := strings.Split(oldView, "\n"), strings.Split(newView, "\n")
	o[2] = n[2]
	for i, line := range o {
		if strings.HasPrefix(line, "list/o05 ") || strings.HasPrefix(line, "list/o03 ") {
			o[i] = fmt.Sprintf("%s  3 get list/… in generation 3: %v", line[:8], online.ErrDenied)
		}
	}
	return strings.Join(o, "\n")
}

// TestFaultAtEachWrite makes each write of each step fail, and all that follow it: the store is then as before the step, or as after it,
// and the step can be repeated.
func TestFaultAtEachWrite(t *testing.T) {
	seen := timeline(t)
	dir := t.TempDir()
	before(t, dir)
	for i, st := range steps {
		t.Run(st.name, func(t *testing.T) {
			allowed := []string{seen[i], seen[i+1]}
			if st.mid {
				allowed = append(allowed, denialsOf(t, seen[i], seen[i+1]))
			}
			faults := 0
			for ; ; faults++ {
				if faults > 300 {
					t.Fatal("no end of writes")
				}
				try := filepath.Join(t.TempDir(), "s")
				if err := os.CopyFS(try, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				reader := open(t, try, online.Options{})
				if got := observe(t, reader); got != seen[i] {
					t.Fatalf("before:\n%s\nwant\n%s", got, seen[i])
				}
				var n atomic.Int64
				injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
					if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1) > int64(faults) {
						return errorfs.ErrInjected
					}
					return nil
				})
				err := st.do(t.Context(), open(t, try, withFS(spilling, errorfs.Wrap(vfs.Default, injector))))
				got := observe(t, reader)
				if other := observe(t, open(t, try, online.Options{})); other != got {
					t.Fatalf("write %d: a reader that was there sees\n%s\na new one\n%s", faults, got, other)
				}
				if !slices.Contains(allowed, got) {
					t.Fatalf("write %d failed (%v); readers see a mixture:\n%s", faults, err, got)
				}
				if err == nil && got != seen[i+1] {
					t.Fatalf("write %d: no error, and no effect", faults)
				}
				repeat(t, try, st, seen[i+1])
				if n.Load() <= int64(faults) {
					break // nothing failed any more
				}
			}
			if faults < 2 {
				t.Fatalf("only %d writes were made to fail", faults)
			}
			if err := st.do(t.Context(), open(t, dir, spilling)); err != nil { // on to the next step
				t.Fatal(err)
			}
		})
	}
}

// repeat does the step again, undisturbed, and checks that it leads where it should and leaves no litter and no trace of the erased.
func repeat(t *testing.T, dir string, st step, want string) {
	t.Helper()
	s := open(t, dir, spilling)
	if err := st.do(t.Context(), s); err != nil {
		t.Fatalf("%s again: %v", st.name, err)
	}
	if got := observe(t, s); got != want {
		t.Fatalf("%s again:\n%s\nwant\n%s", st.name, got, want)
	}
	generations, err := s.Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkFolder(t, dir, st.name, len(generations))
}

func checkFolder(t *testing.T, dir, after string, generations int) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "gen-") {
			tables++
		}
		// Deny and Allow do not touch what loaders and swaps leave; every other step sweeps.
		if after != "deny" && after != "allow" && (strings.HasPrefix(n.Name(), "load-") || n.Name() == "live.tmp") {
			t.Fatalf("after %s: %s is left", after, n.Name())
		}
	}
	if tables != generations {
		t.Fatalf("after %s: %d tables of %d generations", after, tables, generations)
	}
	if after == "erase" {
		scanFolder(t, dir, func(where string, b []byte) {
			if strings.Contains(string(b), "o05") || strings.Contains(string(b), "o03") {
				t.Fatalf("a trace of the erased is in %s", where)
			}
		})
	}
}

// TestKillAtWrites kills a child process, with SIGKILL, before some of the writes of all steps (TestFaultAtEachWrite stops at every one), while a
// reader of this process watches; then the steps are done again to their end.
func TestKillAtWrites(t *testing.T) {
	seen := timeline(t)
	for i, st := range steps {
		if st.mid {
			seen = append(seen, denialsOf(t, seen[i], seen[i+1]))
		}
	}
	template := t.TempDir()
	before(t, template)
	const stride = 7
	kills := 0
	for n := 1; ; n += stride {
		if n > 1000 {
			t.Fatal("no end of writes")
		}
		dir := filepath.Join(t.TempDir(), "s")
		if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
			t.Fatal(err)
		}
		reader := open(t, dir, online.Options{})
		observe(t, reader)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "RAPPORT_ONLINE_CHILD=steps", "RAPPORT_ONLINE_DIR="+dir, fmt.Sprintf("RAPPORT_ONLINE_KILL=%d", n))
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if err != nil && !killed {
			t.Fatalf("child: %v\n%s", err, out)
		}
		if got := observe(t, reader); !slices.Contains(seen, got) {
			t.Fatalf("killed at write %d; readers see a mixture:\n%s", n, got)
		}
		if !killed {
			break
		}
		kills++
		s := open(t, dir, spilling)
		for _, st := range steps {
			if err := st.do(t.Context(), s); err != nil {
				t.Fatalf("killed at write %d, then %s: %v", n, st.name, err)
			}
		}
		if got := observe(t, reader); got != seen[len(steps)] {
			t.Fatalf("killed at write %d, then resumed:\n%s\nwant\n%s", n, got, seen[len(steps)])
		}
		checkFolder(t, dir, "drop", 2)
	}
	if kills < 8 {
		t.Fatalf("the child was killed %d times only", kills)
	}
}

// childSteps does all steps and kills its own process before one write.
func childSteps() error {
	at, err := strconv.ParseInt(os.Getenv("RAPPORT_ONLINE_KILL"), 10, 64)
	if err != nil {
		return err
	}
	var n atomic.Int64
	injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1) == at {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	})
	s, err := online.OpenEmbedded(os.Getenv("RAPPORT_ONLINE_DIR"), withFS(spilling, errorfs.Wrap(vfs.Default, injector)))
	if err != nil {
		return err
	}
	for _, st := range steps {
		if err := st.do(context.Background(), s); err != nil {
			return fmt.Errorf("%s: %w", st.name, err)
		}
	}
	return s.Close()
}
