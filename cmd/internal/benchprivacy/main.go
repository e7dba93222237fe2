package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

func main() { benchmark.Main("benchprivacy", run) }

// scale is how large everything is.
type scale struct {
	people, tries, calls int   // of the denial: in the world, denied through a server, denied by a call of the program
	erasure              world // of which
	erased               int   // people are
	join                 world
	turns                int // of each side of the join
}

var scales = map[string]scale{
	"full": {
		people: 2000, tries: 60, calls: 5,
		erasure: world{people: 1_000_000, events: 10_000_000, days: 10}, erased: 1000,
		join: world{people: 5_000_000, events: 20_000_000, days: 20}, turns: 5,
	},
	"ci": {
		people: 200, tries: 3, calls: 1,
		erasure: world{people: 2000, events: 20_000, days: 3}, erased: 20,
		join: world{people: 5000, events: 20_000, days: 3}, turns: 1,
	},
}

// parts of the benchmark in their order, and the names that -only takes.
var parts = []benchmark.Part[*bench]{{Name: "denial", Run: (*bench).denial}, {Name: "erasure", Run: (*bench).erasure}, {Name: "join", Run: (*bench).joins}}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("benchprivacy", flag.ContinueOnError)
	size := flags.String("size", "full", "full, or ci: small, without targets")
	only := flags.String("only", "", "parts to run, with commas; empty: denial, erasure, join")
	keep := flags.String("keep", "", "folder in which everything is made and stays; empty: a temporary one")
	turns := flags.Int("turns", 0, "how often each side of the join runs, if not as the size has it")
	child := flags.String("child", "", "do one piece of work, its task on the standard input (the program calls itself so)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child != "" {
		return work(ctx, *child, in, out)
	}
	s, ok := scales[*size]
	if !ok {
		return fmt.Errorf("-size %s: want full or ci", *size)
	}
	if *turns > 0 {
		s.turns = *turns
	}
	chosen, err := benchmark.Chosen(parts, *only)
	if err != nil {
		return err
	}
	dir := *keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "rapport-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	program, err := benchmark.BuildProgram(ctx, dir)
	if err != nil {
		return err
	}
	b := &bench{
		Report: benchmark.Report{Out: out, CI: *size == "ci", Width: 9, Digits: 3}, scale: s,
		Program: program, keep: *keep != "",
	}
	b.Say("machine", "%s", benchmark.Machine())
	return benchmark.RunParts(ctx, &b.Report, b, chosen)
}

// bench is one run of the benchmark.
type bench struct {
	benchmark.Report
	scale
	benchmark.Program
	keep bool
}

// drop removes what no other part needs.
func (b *bench) drop(folders ...string) error {
	if b.keep {
		return nil
	}
	for _, f := range folders {
		if err := os.RemoveAll(f); err != nil {
			return err
		}
	}
	return nil
}
