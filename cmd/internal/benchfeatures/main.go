package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

func main() { benchmark.Main("benchfeatures", run) }

// scale is how large a run is.
type scale struct {
	events, days int   // of the sparse and dense shapes
	repeats      int   // timed runs of each side
	sizes        []int // of linear, in events
	budget       int64 // bytes of memory that a build of linear may take
}

var scales = map[string]scale{
	"full": {events: 20_000_000, days: days, repeats: 3, sizes: []int{1_000_000, 10_000_000, 100_000_000}, budget: 2 << 30},
	"ci":   {events: 150_000, days: 30, repeats: 1, sizes: []int{50_000, 150_000}, budget: 8 << 20},
}

// parts of the benchmark in their order, and the names that -only takes.
var parts = []benchmark.Part[*bench]{
	{Name: "limits", Run: (*bench).limits},
	{Name: "a", Run: func(b *bench, ctx context.Context) error { return b.against(ctx, "a") }},
	{Name: "b", Run: func(b *bench, ctx context.Context) error { return b.against(ctx, "b") }},
	{Name: "way", Run: (*bench).way},
	{Name: "nightly", Run: (*bench).nightly},
	{Name: "linear", Run: (*bench).linear},
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("benchfeatures", flag.ContinueOnError)
	size := flags.String("size", "full", "full, or ci: small, without targets")
	only := flags.String("only", "", "parts to run, with commas: limits, a, b, way, nightly, linear")
	keep := flags.String("keep", "", "folder in which generated events are kept and found again; empty: a temporary one")
	events := flags.Int("events", 0, "events of the sparse and dense shapes, if not those of the size")
	child := flags.Bool("child", false, "do one measured task, read from the standard input (the program calls itself so)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child {
		return work(ctx, in, out)
	}
	s, ok := scales[*size]
	if !ok {
		return fmt.Errorf("-size %s: want full or ci", *size)
	}
	if *events > 0 {
		s.events = *events
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
	b := &bench{Report: benchmark.Report{Out: out, CI: *size == "ci", Width: 12, Digits: 3}, scale: s, dir: dir, data: dir}
	if *keep != "" {
		b.data = *keep
	}
	if b.peer, err = newPeer(ctx, dir); err != nil {
		return err
	}
	b.Say("machine", "%s; DuckDB %s with as many threads", benchmark.Machine(), b.peer.version)
	return benchmark.RunParts(ctx, &b.Report, b, chosen)
}

// bench is one run of the benchmark.
type bench struct {
	benchmark.Report
	scale
	dir  string // what goes away at the end
	data string // generated events
	peer *peer
}

// make generates a shape's events in the layouts, and says what it took.
func (b *bench) make(ctx context.Context, s shape, layouts ...layout) ([]*dataset, error) {
	began := time.Now()
	sets, err := generate(ctx, b.data, s, layouts...)
	if err != nil {
		return nil, err
	}
	sizes := make([]string, len(sets))
	for i, d := range sets {
		sizes[i] = fmt.Sprintf("%v %d MB", layouts[i], d.bytes()/1e6)
	}
	b.Say("events", "%s: %d of %d subjects and %d items in %d days; %s; %.1f s", s.name, s.events, s.subjects, s.items, s.days, strings.Join(sizes, ", "), time.Since(began).Seconds())
	return sets, nil
}

// drop removes generated events that no other part needs, unless they are to be kept.
func (b *bench) drop(sets ...*dataset) error {
	if b.data != b.dir {
		return nil
	}
	for _, d := range sets {
		if err := os.RemoveAll(d.Dir); err != nil {
			return err
		}
	}
	return nil
}
