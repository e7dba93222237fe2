package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/configs"
)

func main() {
	size := flag.String("size", "full", "full, or ci: a small world without targets")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *size, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchjob:", err)
		os.Exit(1)
	}
}

// world is the size of generated events.
type world struct{ users, items, days, eventsPerUser int }

var (
	// ml1m has MovieLens 1M's subjects, items and ratings (6,040 × 165.6 = 1,000,209), in 60 days.
	ml1m  = world{users: 6040, items: 3700, days: 60, eventsPerUser: 166}
	small = world{users: 400, items: 200, days: 8, eventsPerUser: 20}
)

func run(ctx context.Context, size string, out io.Writer) error {
	if size != "full" && size != "ci" {
		return fmt.Errorf("-size %s: want full or ci", size)
	}
	dir, err := os.MkdirTemp("", "rapport-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := benchmark.BuildProgram(ctx, dir)
	if err != nil {
		return err
	}
	b := bench{program, out}
	fmt.Fprintf(out, "machine      %s\n", benchmark.Machine())
	if size == "ci" {
		_, err := b.job(ctx, "small", small)
		return err
	}
	demo, err := b.demo(ctx)
	if err != nil {
		return err
	}
	job, err := b.job(ctx, "ml1m", ml1m)
	if err != nil {
		return err
	}
	target(out, "demo_seconds", demo.Seconds, 60)
	target(out, "demo_rss_mb", float64(demo.RSS)/1e6, 1000)
	target(out, "ml1m_job_seconds", job.Seconds, 120)
	target(out, "ml1m_job_rss_mb", float64(job.RSS)/1e6, 1500)
	return nil
}

func target(out io.Writer, name string, value, most float64) {
	verdict := "ok"
	if value > most {
		verdict = "short"
	}
	fmt.Fprintf(out, "target %s %.1f <= %.0f %s\n", name, value, most, verdict)
}

// bench runs the product in a folder of its own.
type bench struct {
	benchmark.Program
	out io.Writer
}

func (b bench) demo(ctx context.Context) (benchmark.Measured, error) {
	_, u, err := b.Call(ctx, "demo", "demo")
	if err == nil {
		fmt.Fprintf(b.out, "demo         %v\n", u)
	}
	return u, err
}

// job makes a world and a project over it, and runs its one night: every day is ingested, then views, training, evaluation, publishing.
func (b bench) job(ctx context.Context, name string, w world) (benchmark.Measured, error) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	project := filepath.Join(b.Dir, name)
	if err := writeProject(project, start.AddDate(0, 0, w.days).Add(3*time.Hour)); err != nil {
		return benchmark.Measured{}, err
	}
	body, u, err := b.Call(ctx, "synth", "-o", "json", "--start", start.Format(time.DateOnly), "--to", "file:"+filepath.Join(project, "raw"), "--users", strconv.Itoa(w.users),
		"--items", strconv.Itoa(w.items), "--days", strconv.Itoa(w.days), "--events-per-user", strconv.Itoa(w.eventsPerUser))
	if err != nil {
		return benchmark.Measured{}, err
	}
	var facts struct {
		Events          int64
		Subjects, Items int
	}
	if err := json.Unmarshal(body, &facts); err != nil {
		return benchmark.Measured{}, fmt.Errorf("rapport synth: %w", err)
	}
	fmt.Fprintf(b.out, "%-12s %d events of %d subjects and %d items; made in %.1f s\n", name, facts.Events, facts.Subjects, facts.Items, u.Seconds)
	body, u, err = b.Call(ctx, "run", "nightly", "-o", "json", "-c", filepath.Join(project, "rapport.yaml"))
	if err != nil {
		return benchmark.Measured{}, err
	}
	var result struct {
		Status    string
		Published struct{ Entities int }
		Steps     []struct {
			Name    string
			Seconds float64
		}
	}
	if err := json.Unmarshal(body, &result); err != nil {
		return benchmark.Measured{}, fmt.Errorf("rapport run: %w", err)
	}
	seconds := map[string]float64{}
	var order []string
	for _, s := range result.Steps {
		if _, ok := seconds[s.Name]; !ok {
			order = append(order, s.Name)
		}
		seconds[s.Name] += s.Seconds
	}
	for _, s := range order {
		fmt.Fprintf(b.out, "  %-10s %6.1f s\n", s, seconds[s])
	}
	fmt.Fprintf(b.out, "%-12s %v; %s, lists of %d subjects\n", name, u, result.Status, result.Published.Entities)
	return u, nil
}

// writeProject makes the quickstart's project without its events.
func writeProject(dir string, now time.Time) error {
	body, err := configs.Template("quickstart", now, "")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	if err := os.WriteFile(filepath.Join(dir, "pseudonym.key"), []byte(hex.EncodeToString(secret)+"\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "rapport.yaml"), body, 0o644)
}
