package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/models/registry"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// init makes this binary a process that runs one night and may kill itself, where a test has started it as one.
func init() {
	dir := os.Getenv("RAPPORT_CHAOS_CHILD")
	if dir == "" {
		return
	}
	writes, err := chaosChild(dir, os.Getenv("RAPPORT_CHAOS_KILL"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(writes)
	os.Exit(0)
}

// moment says when a child kills itself: before or after its nth write to the bucket, or before its nth write to the online store's
// files (after one is before the next). With n 0 it lives.
type moment struct {
	Day    int
	Target string // "bucket" or "online"
	N      int
	After  bool
}

func (m moment) String() string {
	when := "before"
	if m.After {
		when = "after"
	}
	return fmt.Sprintf("day %d: %s %s write %d", m.Day, when, m.Target, m.N)
}

// parseMoment reads what String writes.
func parseMoment(s string) (m moment, err error) {
	var when string
	day, rest, _ := strings.Cut(s, ": ")
	if _, err = fmt.Sscanf(day, "day %d", &m.Day); err == nil {
		_, err = fmt.Sscanf(rest, "%s %s write %d", &when, &m.Target, &m.N)
	}
	m.After = when == "after"
	return m, err
}

// chaosWrites are how many writes a night makes.
type chaosWrites struct{ Bucket, Online int }

func (w chaosWrites) String() string { return fmt.Sprintf("%d %d", w.Bucket, w.Online) }

// chaosChild runs the night of a project and kills this process at a moment of it.
func chaosChild(dir, at string) (chaosWrites, error) {
	m, err := parseMoment(at)
	if err != nil {
		return chaosWrites{}, err
	}
	die := func() {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way: the write must not go on
	}
	nth := func(target string) int {
		if m.Target == target {
			return m.N
		}
		return 0
	}
	p, err := openChaos(context.Background(), dir)
	if err != nil {
		return chaosWrites{}, err
	}
	bucket := storagetest.NewKillAt(p.runner.Bucket, nth("bucket"), m.After, die)
	p.runner.Bucket = bucket
	var writes atomic.Int64
	injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && writes.Add(1) == int64(nth("online")) {
			die()
		}
		return nil
	})
	if p.runner.Online, err = online.OpenEmbedded(filepath.Join(dir, "online"), online.Options{FS: errorfs.Wrap(vfs.Default, injector)}); err != nil {
		return chaosWrites{}, err
	}
	_, err = chaosNight(context.Background(), p, m.Day)
	return chaosWrites{bucket.Writes(), int(writes.Load())}, err
}

// openChaos opens a project as the command line does.
func openChaos(ctx context.Context, dir string) (*project, error) {
	a := &app{env: os.Getenv, out: io.Discard, err: io.Discard, wall: time.Now, config: filepath.Join(dir, projectFile)}
	return a.open(ctx, true)
}

// chaosNight runs the night after a day.
func chaosNight(ctx context.Context, p *project, day int) (*jobs.Result, error) {
	p.runner.Now = func() time.Time { return nightAfter(day) }
	j, err := p.Job("nightly")
	if err != nil {
		return nil, err
	}
	return p.runner.Run(ctx, j, j.Every.At(nightAfter(day)), jobs.Options{Through: jobs.ThroughPublish, Cause: "schedule"})
}

// startChild starts a child on the project in dir.
func startChild(t testing.TB, dir string, m moment) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe)
	c.Env = append(os.Environ(), "RAPPORT_CHAOS_CHILD="+dir, "RAPPORT_CHAOS_KILL="+m.String())
	return c
}

// chaosOutcome opens the stores of a project anew, as another process would, and reads their outcome.
func chaosOutcome(t testing.TB, dir string) outcome {
	t.Helper()
	p, err := openChaos(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return outcomeOf(t, p.Bucket, p.Online)
}

// TestChaos kills a run with SIGKILL at its writes, to the bucket and to the online store, before them and after; readers then see the old
// state or the new one, and the next run, which need not wait, leads to where an undisturbed one leads. RAPPORT_CHAOS=all (make chaos)
// goes through every write of a first night and of a later one; otherwise a fixed sample is taken.
func TestChaos(t *testing.T) {
	// By day: the first night makes many writes that are alike, of days and identities, and an online file is written in many small ones.
	strides := map[int]chaosWrites{6: {Bucket: 101, Online: 83}, 7: {Bucket: 7, Online: 29}}
	if os.Getenv("RAPPORT_CHAOS") == "all" {
		strides = map[int]chaosWrites{6: {1, 1}, 7: {1, 1}}
	}
	raw := t.TempDir()
	if err := synthesize(t.Context(), smallWorld, raw); err != nil {
		t.Fatal(err)
	}
	start := t.TempDir()
	writeProject(t, start, projectYAML(t, "file:"+raw+"/", "file:./lake"))
	for day := 6; day <= 7; day++ {
		before := chaosOutcome(t, start)
		after := t.TempDir()
		copyDir(t, after, start)
		out, err := startChild(t, after, moment{Day: day, Target: "bucket"}).Output()
		if err != nil {
			t.Fatalf("undisturbed: %v %s", err, stderr(err))
		}
		var n chaosWrites
		if _, err := fmt.Sscan(string(out), &n.Bucket, &n.Online); err != nil || n.Bucket < 30 || n.Online < 10 {
			t.Fatalf("an undisturbed night makes %q writes: %v", out, err)
		}
		c := chaos{start: start, before: before, want: chaosOutcome(t, after)}
		if c.want.Alias != before.Alias+1 || c.want.Content == before.Content {
			t.Fatal("the undisturbed night published nothing")
		}
		t.Logf("night after day %d: %s writes (bucket, online)", day, n)
		t.Run(fmt.Sprintf("day%d", day), func(t *testing.T) { c.killAtEach(t, day, n, strides[day]) })
		start = after
	}
}

// chaos is a night from a state before it to a state after it.
type chaos struct {
	start        string // folder of the project before the night
	before, want outcome
}

// killAtEach kills at every stride-th moment of a night of n writes.
func (c chaos) killAtEach(t *testing.T, day int, n, stride chaosWrites) {
	var moments []moment
	for i := range 2 * n.Bucket {
		publishing := stride.Bucket < 10 && i >= 2*n.Bucket-14 && i%2 == 1 // the writes around the one that moves the alias
		if i%stride.Bucket == stride.Bucket/2 || publishing {
			moments = append(moments, moment{day, "bucket", i/2 + 1, i%2 == 1})
		}
	}
	for i := stride.Online / 2; i < n.Online; i += stride.Online {
		moments = append(moments, moment{day, "online", i + 1, false})
	}
	var published, killed atomic.Int64
	t.Run("at", func(t *testing.T) {
		for _, m := range moments {
			t.Run(m.String(), func(t *testing.T) {
				t.Parallel()
				killed.Add(1)
				if c.killAt(t, m) {
					published.Add(1)
				}
			})
		}
	})
	t.Logf("killed at %d of %d moments; at %d of them the new state was live already", killed.Load(), 2*n.Bucket+n.Online, published.Load())
}

// killAt kills a child at a moment and resumes. It reports whether the new version was live between the two.
func (c chaos) killAt(t *testing.T, m moment) (published bool) {
	dir := t.TempDir()
	copyDir(t, dir, c.start)
	out, err := startChild(t, dir, m).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v %s %s", err, out, stderr(err))
	}

	// What stands now is the old state or the new one: every step that is done is done right, and what is served is whole.
	p, err := openChaos(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	now := outcomeOf(t, p.Bucket, p.Online)
	if now.Content != c.before.Content && now.Content != c.want.Content {
		t.Errorf("after the kill, readers see neither the old lists nor the new ones: %.12s", now.Content)
	}
	if (now.Alias != c.before.Alias || now.Digest != c.before.Digest) && (now.Alias != c.want.Alias || now.Digest != c.want.Digest) {
		t.Errorf("after the kill, version %d is live, neither %d nor %d", now.Alias, c.before.Alias, c.want.Alias)
	}
	if now.Alias == c.before.Alias && now.Content != c.before.Content {
		t.Error("after the kill, the new lists are served and the alias is the old one")
	}
	for key, made := range now.Steps {
		if c.want.Steps[key] != made {
			t.Errorf("after the kill, step %s is done and differs:\n  %.400s\nwant\n  %.400s", key, made, c.want.Steps[key])
		}
	}
	published = now.Alias == c.want.Alias

	res, err := chaosNight(t.Context(), p, m.Day)
	if err != nil {
		t.Fatalf("resume: %v", err)
	}
	if res.Model.Version != c.want.Alias {
		t.Errorf("resumed to version %d, want %d", res.Model.Version, c.want.Alias)
	}
	if d := difference(chaosOutcome(t, dir), c.want); d != "" {
		t.Errorf("resumed, the outcome is not that of an undisturbed run:\n%s", d)
	}
	inStep(t, p.Bucket, p.Online)
	runs, err := ledger.Ledger{Bucket: p.Bucket}.List(t.Context(), time.Time{}, nightAfter(300))
	if err != nil || len(runs) == 0 {
		t.Fatal("no runs are recorded: ", err)
	}
	for _, r := range runs {
		if r.Status == ledger.Running {
			t.Error("the killed run is recorded as running")
		}
	}
	if again, err := chaosNight(t.Context(), p, m.Day); err != nil || !again.Nothing {
		t.Errorf("run once more: %v, nothing to do: %v", err, again != nil && again.Nothing)
	}
	return published
}

// inStep checks that the online store reads the generation that the alias names.
func inStep(t testing.TB, b storage.Bucket, store online.Store) {
	t.Helper()
	reg, err := registry.Open(b, "home")
	if err != nil {
		t.Fatal(err)
	}
	live, err := reg.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := store.Live(t.Context())
	if err != nil || p.Generation != live.Aliases["champion"].Generation || p.Fence != live.Fence {
		t.Errorf("the online store reads generation %d under fence %d (%v), the alias says %d under %d",
			p.Generation, p.Fence, err, live.Aliases["champion"].Generation, live.Fence)
	}
}

// TestHolder: a process that lives is not dead, one that was killed is, and nothing is known of what ran elsewhere.
func TestHolder(t *testing.T) {
	if dead(holder()) {
		t.Fatal("this process is taken for dead")
	}
	if machine() == "" {
		t.Fatal("this system does not tell its boot id and pid namespace")
	}
	child := exec.Command("cat") // ends when its input does
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	start, gone, err := started(child.Process.Pid)
	if err != nil || gone {
		t.Fatal(gone, err)
	}
	name := func(machine string, start uint64) string {
		return fmt.Sprintf("host pid %d (%s/%d)", child.Process.Pid, machine, start)
	}
	for what, one := range map[string]struct {
		holder string
		dead   bool
	}{
		"a process that lives":           {name(machine(), start), false},
		"an older one with its pid":      {name(machine(), start-1), true},
		"one of another machine or boot": {name("0123456789abcdef", start-1), false},
		"a name without a proof":         {fmt.Sprintf("host pid %d", child.Process.Pid), false},
		"no pid":                         {"host pid 99999999999999999999 (" + machine() + "/1)", false},
	} {
		if got := dead(one.holder); got != one.dead {
			t.Errorf("%s (%s): dead %t", what, one.holder, got)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	for !dead(name(machine(), start)) { // killed, and not yet waited for: a zombie of the process table
		if t.Context().Err() != nil {
			t.Fatal("killed, it is taken to live")
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("it was not killed")
	}
	if !dead(name(machine(), start)) {
		t.Error("gone, it is taken to live")
	}
}

func copyDir(t testing.TB, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func stderr(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}
