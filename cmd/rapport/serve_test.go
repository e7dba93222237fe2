package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/ledger"
	"github.com/rapport-ml/rapport/storage"
)

// Invariant 6: a week of cron on a simulated clock leads to what a plain run of each night leads to, refusals included, and it ends
// where one backfill ends, but for the report, which is judged against another live version.
func TestWeekOfCron(t *testing.T) {
	const first, last = 1, 7
	nights, cron, alone := newShop(t, smallWorld), newShop(t, smallWorld), newShop(t, smallWorld)
	refused := 0
	for day := first; day <= last; day++ {
		if _, err := nights.try(day); errors.Is(err, jobs.ErrRejected) {
			refused++
		} else if err != nil {
			t.Fatalf("night after day %d: %v", day, err)
		}
	}
	clock := jobs.NewSimulation(nightAfter(first).Add(-time.Hour), nightAfter(last).Add(time.Hour))
	if err := jobs.NewScheduler(cron.runner, []*jobs.Job{cron.job}, jobs.SchedulerOptions{Clock: clock}).Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := nights.outcome()
	if want.Alias != last || want.Content == "" || refused > 2 {
		t.Fatalf("version %d is live after %d nights, %d of them refused", want.Alias, last, refused)
	}
	if d := difference(cron.outcome(), want); d != "" {
		t.Errorf("cron differs from the nights:\n%s", d)
	}
	inStep(t, cron.opened.Bucket, cron.opened.Online)
	lines := linesOf(t, cron.opened.Bucket)
	if len(lines) != last {
		t.Errorf("%d runs in a week", len(lines))
	}
	for _, l := range lines {
		if l.Status == ledger.Rejected {
			refused--
		}
		if l.Status != ledger.Succeeded && l.Status != ledger.Rejected || l.Cause != "schedule" || !l.Started.Equal(l.Interval.End.Add(3*time.Hour)) {
			t.Errorf("run of %s: %s, started %s by %s", l.Label, l.Status, l.Started, l.Cause)
		}
	}

	if refused != 0 {
		t.Errorf("cron was refused %d times less than the nights", refused)
	}

	alone.runner.Now = func() time.Time { return nightAfter(last) }
	o := jobs.BackfillOptions{From: alone.interval(first).Start, To: alone.interval(last).End, Through: jobs.ThroughTrain, PromoteLast: true}
	if err := alone.runner.Backfill(t.Context(), alone.job, o, func(jobs.Backfilled) error { return nil }); err != nil && !errors.Is(err, jobs.ErrBackfill) {
		t.Fatal(err)
	}
	if got := alone.outcome(); got.Digest != want.Digest || got.Alias != want.Alias {
		t.Errorf("backfill and promote: version %d (%.12s) is live, want %d (%.12s)", got.Alias, got.Digest, want.Alias, want.Digest)
	}
	if got, want := listsOf(t, alone), listsOf(t, cron); !maps.Equal(got, want) {
		t.Errorf("online after a backfill: %d entries, after a week of cron %d, and not the same", len(got), len(want))
	}
	night := "build/" + cron.job.Every.Label(cron.interval(last)) + "/"
	if a, b := alone.made(night), cron.made(night); !slices.Equal(a, b) {
		t.Errorf("the last night's views: %v after a backfill, %v after a week of cron", a, b)
	}
}

func linesOf(t testing.TB, b storage.Bucket) []ledger.Line {
	t.Helper()
	lines, err := ledger.Ledger{Bucket: b}.List(t.Context(), time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// A store that was emptied between runs is filled again without a run, and nothing is done to one that is in step.
func TestMend(t *testing.T) {
	s := newShop(t, smallWorld)
	if mended, err := s.runner.Mend(t.Context(), withClock(s, 7)); err != nil || mended {
		t.Fatalf("before anything was published: %t, %v", mended, err)
	}
	s.night(7)
	want := listsOf(t, s)
	if mended, err := s.runner.Mend(t.Context(), s.job); err != nil || mended {
		t.Fatalf("in step: %t, %v", mended, err)
	}
	lost := newShop(t, smallWorld) // another, empty store
	s.opened.Online, s.runner.Online = lost.opened.Online, lost.opened.Online
	runs := len(linesOf(t, s.opened.Bucket))
	if mended, err := s.runner.Mend(t.Context(), s.job); err != nil || !mended {
		t.Fatalf("empty: %t, %v", mended, err)
	}
	if got := listsOf(t, s); !maps.Equal(got, want) {
		t.Errorf("%d entries were loaded again, want the %d there were", len(got), len(want))
	}
	if got := len(linesOf(t, s.opened.Bucket)); got != runs {
		t.Errorf("mending is recorded as %d runs", got-runs)
	}
	inStep(t, s.opened.Bucket, s.opened.Online)
}

// withClock sets the clock of a shop to the night after a day.
func withClock(s *shop, day int) *jobs.Job {
	s.runner.Now = func() time.Time { return nightAfter(day) }
	return s.job
}

// liveShop makes a project whose events end now and whose job fell due two hours ago, on the machine's clock.
func liveShop(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	world := smallWorld
	now := time.Now().UTC()
	world.Start = time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC).AddDate(0, 0, -world.Days)
	b, err := storage.Open(t.Context(), "file:"+filepath.Join(dir, "raw"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := world.Write(t.Context(), b, ""); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(projectYAML(t, "file:./raw/", "file:./lake"), "\n") {
		if strings.HasPrefix(l, "clock:") || strings.Contains(l, "{metric:") || strings.Contains(l, "budgets:") {
			continue // what the gate says of this day's world is not what is tested
		}
		due := now.Add(-2 * time.Hour)
		l = strings.Replace(l, `"0 3 * * *"`, fmt.Sprintf("\"%d %d * * *\"\n    catch_up: 12h", due.Minute(), due.Hour()), 1)
		lines = append(lines, strings.Replace(l, "als, content]", "als: {dim: 8, epochs: 3}]", 1))
	}
	writeProject(t, dir, strings.Join(lines, "\n")+"\nserve: {token: env:SHOP_TOKEN}\n")
	return dir
}

// served is a rapport serve in a process of its own.
type served struct {
	testing.TB
	cmd    *exec.Cmd
	url    string
	errors *syncBuffer
	exited chan struct{}
}

// startServe starts a server and waits until it listens.
func startServe(t *testing.T, config string, args ...string) *served {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &served{TB: t, cmd: exec.Command(exe), errors: &syncBuffer{}, exited: make(chan struct{})}
	s.cmd.Args = append([]string{"rapport", "-c", config, "serve", "--listen", "127.0.0.1:0"}, args...)
	s.cmd.Env = append(os.Environ(), "SHOP_TOKEN=open sesame")
	s.cmd.Stderr = s.errors
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // how it ended is read from its state
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.exited
		if t.Failed() {
			t.Logf("server %s:\n%s", s.url, s.errors)
		}
	})
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		<-s.exited
		t.Fatalf("it does not listen, and exits with %d:\n%s", s.cmd.ProcessState.ExitCode(), s.errors)
	}
	s.url = url
	return s
}

// get asks for a path and returns the code and the body.
func (s *served) get(path, token string) (int, string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		s.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatalf("%s: %v\n%s", path, err, s.errors)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// signal sends a signal, and waits for the end of the server, which must have this code.
func (s *served) signal(sig os.Signal, want int) {
	s.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		s.Fatalf("it does not end at %s\n%s", sig, s.errors)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != want {
		s.Errorf("exit code %d, want %d\n%s", code, want, s.errors)
	}
}

// until polls until something holds.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never: %s", what)
		}
	}
}

// Two servers over one folder, as processes, run what fell due once, answer those who know the token, and drain at SIGTERM.
func TestServe(t *testing.T) {
	const token = "open sesame"
	dir := liveShop(t)
	config := filepath.Join(dir, projectFile)
	t.Setenv("SHOP_TOKEN", token)
	both := []*served{startServe(t, config), startServe(t, config)}
	one := both[0]

	if code, body := one.get("/healthz", ""); code != http.StatusOK || !strings.Contains(body, "alive") {
		t.Errorf("/healthz: %d %s", code, body)
	}
	for _, path := range []string{"/readyz", "/metrics", "/v1/status", "/v1/nothing", "/"} {
		for _, wrong := range []string{"", "open", token + "!"} {
			if code, body := one.get(path, wrong); code != http.StatusUnauthorized {
				t.Errorf("%s with token %q: %d %s", path, wrong, code, body)
			}
		}
	}
	if code, _ := one.get("/v1/nothing", token); code != http.StatusNotFound {
		t.Errorf("/v1/nothing: %d", code)
	}
	for _, s := range both {
		until(t, "ready", func() bool { code, _ := s.get("/readyz", token); return code == http.StatusOK })
	}
	b, err := storage.Open(t.Context(), "file:"+filepath.Join(dir, "lake"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []ledger.Line
	until(t, "the run is over", func() bool {
		lines = linesOf(t, b)
		return len(lines) > 0 && !slices.ContainsFunc(lines, func(l ledger.Line) bool { return l.Status == ledger.Running })
	})
	labels := map[string]int{}
	for _, l := range lines {
		if labels[l.Label]++; l.Status != ledger.Succeeded || labels[l.Label] > 1 {
			t.Errorf("run of %s: %s, %d of them", l.Label, l.Status, labels[l.Label])
		}
	}
	ran := 0
	for _, s := range both {
		code, body := s.get("/metrics", token)
		if code != http.StatusOK {
			t.Fatalf("/metrics: %d %s", code, body)
		}
		for _, want := range []string{"go_goroutines", "process_start_time_seconds", `rapport_job_late{job="nightly"} 0`, `rapport_live_version{job="nightly"} 1`, `rapport_online_in_step{job="nightly"} 1`} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in the metrics", want)
			}
		}
		if strings.Contains(body, `rapport_runs_total{job="nightly",status="succeeded"} 1`) {
			ran++
		}
	}
	if ran != 1 {
		t.Errorf("%d servers have run something, want one", ran)
	}

	var overHTTP, printed map[string]any
	if code, body := one.get("/v1/status", token); code != http.StatusOK || json.Unmarshal([]byte(body), &overHTTP) != nil {
		t.Errorf("/v1/status: %d %s", code, body)
	}
	out, _ := rapportIn(t, dir, exitOK, "status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &printed); err != nil {
		t.Fatal(err)
	}
	if callers := overHTTP["tokens"]; fmt.Sprint(callers) != "[map[people_last_hour:0 token:serve.token]]" {
		t.Errorf("/v1/status says of its callers %v", callers)
	}
	delete(overHTTP, "tokens") // which only a server knows
	for _, s := range []map[string]any{overHTTP, printed} {
		delete(s, "clock")
		for _, j := range s["jobs"].([]any) {
			delete(j.(map[string]any), "age_seconds")
		}
	}
	if !same(overHTTP, printed) || len(printed["jobs"].([]any)) != 1 || printed["alerts"] == nil {
		t.Errorf("/v1/status says %+v, status %+v", overHTTP, printed)
	}

	// A server with another project file is refused, unless it takes over; then the others give way.
	other := filepath.Join(dir, "other.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, bytes.Replace(text, []byte("window: 8d"), []byte("window: 7d"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	if code := run(t.Context(), []string{"-c", other, "serve", "--listen", "127.0.0.1:0"}, os.Getenv, strings.NewReader(""), io.Discard, &errs); code != exitUsage {
		t.Errorf("with another project file: exit code %d", code)
	}
	for _, want := range []string{"nightly", "--takeover", "pid"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("it does not name %s: %s", want, errs.String())
		}
	}
	third := startServe(t, other, "--takeover")
	third.signal(os.Interrupt, exitOK)

	// Paused, and told of a changed file: it goes on.
	rapportIn(t, dir, exitUsage, "jobs", "pause", "nightly")
	rapportIn(t, dir, exitOK, "jobs", "pause", "nightly", "--why", "the export is wrong", "--by", "ann")
	until(t, "the pause is seen", func() bool {
		_, body := one.get("/v1/status", token)
		return strings.Contains(body, "by ann since") && strings.Contains(body, "the export is wrong")
	})
	if out, _ := rapportIn(t, dir, exitOK, "jobs", "resume", "nightly"); !strings.Contains(out, "resumed") {
		t.Errorf("resume: %s", out)
	}
	if err := one.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "SIGHUP is answered", func() bool { return strings.Contains(one.errors.String(), "all else of it is read at the next start") })

	for _, s := range both {
		s.signal(syscall.SIGTERM, exitOK)
	}
	left, err := os.ReadDir(filepath.Join(dir, "lake", "serve"))
	if err != nil && !os.IsNotExist(err) || len(left) != 0 {
		t.Errorf("%d servers are left behind, %v", len(left), err)
	}
	for _, s := range both {
		if strings.Contains(s.errors.String(), token) {
			t.Error("the token is in the log")
		}
	}
}

// A server that is stopped while a run goes on cancels it when the drain time is over, exits 130, and the next one resumes it.
func TestServeDrain(t *testing.T) {
	dir := liveShop(t)
	config := filepath.Join(dir, projectFile)
	s := startServe(t, config, "--drain", "0s")
	until(t, "a step is done", func() bool { return strings.Contains(s.errors.String(), "step done") })
	s.signal(syscall.SIGTERM, exitInterrupted)
	b, err := storage.Open(t.Context(), "file:"+filepath.Join(dir, "lake"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if lines := linesOf(t, b); len(lines) != 1 || lines[0].Status != ledger.Interrupted {
		t.Fatalf("after the drain the ledger says %+v", lines)
	}
	next := startServe(t, config)
	until(t, "it is resumed", func() bool {
		lines := linesOf(t, b)
		return len(lines) == 2 && lines[0].Status == ledger.Succeeded
	})
	next.signal(syscall.SIGTERM, exitOK)
}

// What is refused before anything is served.
func TestServeRefuses(t *testing.T) {
	pinned, live := t.TempDir(), t.TempDir()
	text := projectYAML(t, "file:./raw/", "file:./lake")
	writeProject(t, pinned, text)
	_, after, _ := strings.Cut(text, "clock:")
	_, after, _ = strings.Cut(after, "\n")
	before, _, _ := strings.Cut(text, "clock:")
	writeProject(t, live, before+after)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		dir  string
		code int
		says string
		args []string
	}{
		{pinned, exitUsage, "pins now", nil},
		{pinned, exitUsage, "want FROM..TO", []string{"--simulate", "2026-01-02"}},
		{pinned, exitUsage, "want FROM..TO", []string{"--simulate", "2026-01-03..2026-01-02"}},
		{live, exitUsage, "there is no token", []string{"--listen", "0.0.0.0:0"}},
		{live, exitUsage, "there is no token", []string{"--listen", ":0"}},
		{live, exitUsage, "there is no token", []string{"--listen", "[::]:0"}},
		{live, exitUsage, "want host:port", []string{"--listen", "8321"}},
		{live, exitUsage, "less than nothing", []string{"--drain", "-1s"}},
		{live, exitFailed, "the port is in use", []string{"--listen", l.Addr().String()}},
	} {
		if _, errs := rapportIn(t, c.dir, c.code, append([]string{"serve"}, c.args...)...); !strings.Contains(errs, c.says) {
			t.Errorf("serve %v: %s", c.args, errs)
		}
	}
}

// serve --simulate follows the schedules over days that have passed, and exits.
func TestServeSimulate(t *testing.T) {
	dir := t.TempDir()
	writeProject(t, dir, strings.Replace(projectYAML(t, "file:./raw/", "file:./lake"), "als, content]", "als: {dim: 8, epochs: 3}]", 1))
	b, err := storage.Open(t.Context(), "file:"+filepath.Join(dir, "raw"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := smallWorld.Write(t.Context(), b, ""); err != nil {
		t.Fatal(err)
	}
	rapportIn(t, dir, exitOK, "serve", "--listen", "127.0.0.1:0", "--simulate", nightAfter(5).Add(-time.Minute).Format(time.RFC3339)+".."+nightAfter(7).Format(time.RFC3339))
	got := contentIn(t, dir)
	if len(got.Artifact) != 3 || len(got.Online) < 100 {
		t.Errorf("three nights made the versions %v and %d online entries", got.Artifact, len(got.Online))
	}
}
