package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
)

// job is what benchfeatures asks for.
type job struct {
	Settings []string `json:"settings"` // statements that are not timed
	Timed    []string `json:"timed"`
	Answer   []string `json:"answer"` // statements that store what the timed ones made
}

// facts are what it is told.
type facts struct {
	Version string    `json:"version"`
	Seconds []float64 `json:"seconds"` // of each timed statement
	RSS     int64     `json:"rss"`     // peak resident bytes up to the end of the last timed statement
	CPU     float64   `json:"cpu"`     // seconds of processor time of all timed statements
}

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "duckdb:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("the job on the standard input: %w", err)
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // temporary tables and settings are those of one connection
	exec := func(statements []string, each func(seconds float64)) error {
		for _, s := range statements {
			began := time.Now()
			if _, err := db.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%w\nin: %s", err, s)
			}
			each(time.Since(began).Seconds())
		}
		return nil
	}
	var f facts
	if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&f.Version); err != nil {
		return err
	}
	if err := exec(j.Settings, func(float64) {}); err != nil {
		return err
	}
	before, _, err := usage()
	if err != nil {
		return err
	}
	if err := exec(j.Timed, func(s float64) { f.Seconds = append(f.Seconds, s) }); err != nil {
		return err
	}
	if f.CPU, f.RSS, err = usage(); err != nil {
		return err
	}
	f.CPU -= before
	if err := exec(j.Answer, func(float64) {}); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(f)
}

// usage is the process's seconds of processor time so far and its peak memory. On Linux that is the address space's own high-water mark: the one
// in rusage begins with that of the parent.
func usage() (cpu float64, rss int64, err error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, 0, err
	}
	rss = int64(r.Maxrss) // bytes on macOS
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		if _, line, ok := strings.Cut(string(status), "VmHWM:"); ok {
			if _, err := fmt.Sscanf(line, "%d kB", &rss); err == nil {
				rss *= 1024
			}
		}
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, rss, nil
}
