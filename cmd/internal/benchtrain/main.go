package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

func main() { benchmark.Main("benchtrain", run) }

// parts of the benchmark in their order: kernels, then fits.
var parts = []benchmark.Part[*bench]{
	{Name: "gram", What: "the Gram steps of a solver, dense and of a row's items, beside OpenBLAS's sgemm", Run: (*bench).gram},
	{Name: "topk", What: "the best 100 of all items for all subjects beside a bare sgemm of that shape", Run: (*bench).topk},
	{Name: "inverse", What: "EASE's inverse beside OpenBLAS's potrf and potri", Run: (*bench).inverse},
	{Name: "ials", What: "iALS on pairs of MovieLens-20M's shape: seconds an epoch, the objective against exact solves, and memory, at d = 64 and 128", Run: ials},
	{Name: "easefit", What: "a whole fit of EASE on pairs of MovieLens-20M's shape, 10,000 items inverted together: time, and peak memory against the matrix", Run: fitEASE},
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("benchtrain", flag.ContinueOnError)
	size := flags.String("size", "full", "full, or ci: small, without targets")
	var about strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&about, "\n%-10s %s", p.Name, p.What)
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
	chosen, err := benchmark.Chosen(parts, *only)
	if err != nil {
		return err
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
	return benchmark.RunParts(ctx, &b.Report, b, chosen)
}

// bench is one run of the benchmark.
type bench struct {
	benchmark.Report
	repeats int       // timed runs of each side
	dir     string    // what goes away at the end
	data    string    // generated data: dir, or what is kept
	blas    *openblas // the peer, once a part has asked for it
}
