package benchmark

import (
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
)

// Main runs a benchmark program of this name until it has ended or is told to stop, and exits with 1 if it failed.
func Main(name string, run func(ctx context.Context, args []string, in io.Reader, out io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// Part is one thing that a benchmark B measures.
type Part[B any] struct {
	Name string // what -only takes
	What string // for -help
	Run  func(B, context.Context) error
}

// Chosen returns the parts that only names, with commas, in their order; all of them if it names none.
func Chosen[B any](parts []Part[B], only string) ([]Part[B], error) {
	wanted := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		if !slices.ContainsFunc(parts, func(p Part[B]) bool { return p.Name == name }) {
			return nil, fmt.Errorf("-only %s: no such part", name)
		}
	}
	if len(wanted) == 0 {
		return parts, nil
	}
	return slices.DeleteFunc(slices.Clone(parts), func(p Part[B]) bool { return !slices.Contains(wanted, p.Name) }), nil
}

// RunParts runs parts of b one after another, says when each has ended, and prints the targets.
func RunParts[B any](ctx context.Context, r *Report, b B, parts []Part[B]) error {
	began := time.Now()
	for _, p := range parts {
		if err := p.Run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		r.Say("", "(%s ends after %.0f s)", p.Name, time.Since(began).Seconds())
	}
	r.Targets()
	return nil
}
