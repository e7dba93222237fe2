package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "benchtrain:", err)
		os.Exit(1)
	}
}

// part is one thing that is measured. Its file registers it in an init function.
type part struct {
	order int    // parts run in ascending order: kernels from 10, fits from 50
	name  string // what -only takes
	what  string // for -help
	run   func(*bench, context.Context) error
}

var parts []part

func register(p part) { parts = append(parts, p) }

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.order, b.order) })
	flags := flag.NewFlagSet("benchtrain", flag.ContinueOnError)
	size := flags.String("size", "full", "full, or ci: small, without targets")
	var about strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&about, "\n%-10s %s", p.name, p.what)
	}
	only := flags.String("only", "", "parts to run, with commas; empty: all of these"+about.String())
	keep := flags.String("keep", "", "folder in which generated data is kept and found again; empty: a temporary one")
	repeats := flags.Int("repeats", 0, "timed runs of each side, of which the median counts, if not those of the size")
	child := flags.String("child", "", "do one measured piece of work, its task on the standard input (the program calls itself so)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child != "" {
		return work(ctx, *child, in, out)
	}
	if *size != "full" && *size != "ci" {
		return fmt.Errorf("-size %s: want full or ci", *size)
	}
	wanted := strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-only %s: no such part", name)
		}
	}
	dir, err := os.MkdirTemp("", "rapport-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{Report: benchmark.Report{Out: out, CI: *size == "ci", Width: 10, Digits: 4}, dir: dir, data: cmp.Or(*keep, dir), repeats: *repeats}
	if b.repeats <= 0 {
		b.repeats = 5
		if b.CI {
			b.repeats = 1
		}
	}
	b.Say("machine", "%s", benchmark.Machine())
	began := time.Now()
	for _, p := range parts {
		if len(wanted) > 0 && !slices.Contains(wanted, p.name) {
			continue
		}
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		b.Say("", "(%s ends after %.0f s)", p.name, time.Since(began).Seconds())
	}
	b.Targets()
	return nil
}

// bench is one run of the benchmark.
type bench struct {
	benchmark.Report
	repeats int       // timed runs of each side
	dir     string    // what goes away at the end
	data    string    // generated data: dir, or what is kept
	blas    *openblas // the peer, once a part has asked for it
}
