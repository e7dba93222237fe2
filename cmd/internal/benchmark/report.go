package benchmark

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Report writes what a benchmark says. Its fields are set once.
type Report struct {
	Out    io.Writer
	CI     bool // a small world, which says nothing of speed: there are no targets
	Width  int  // of the first column
	Digits int  // of the figures of targets

	targets []string
}

// Say prints a line, with its subject in the first column.
func (r *Report) Say(subject, format string, args ...any) {
	fmt.Fprintf(r.Out, "%-*s %s\n", r.Width, subject, fmt.Sprintf(format, args...))
}

// AtLeast and AtMost keep a target for the end of the output.
func (r *Report) AtLeast(name string, value, goal float64) {
	r.target(name, ">=", value, goal, value >= goal)
}

func (r *Report) AtMost(name string, value, goal float64) {
	r.target(name, "<=", value, goal, value <= goal)
}

func (r *Report) target(name, sign string, value, goal float64, ok bool) {
	if r.CI {
		return
	}
	verdict := "ok"
	if !ok {
		verdict = "short"
	}
	r.targets = append(r.targets, fmt.Sprintf("target %s %.*g %s %.*g %s", name, r.Digits, value, sign, r.Digits, goal, verdict))
}

// Targets prints the targets that were kept, a line each.
func (r *Report) Targets() {
	for _, line := range r.targets {
		fmt.Fprintln(r.Out, line)
	}
}

// Machine says on what the benchmark runs, and how busy that was when it began, where the kernel tells.
func Machine() string {
	load := ""
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		one, _, _ := strings.Cut(string(b), " ")
		load = fmt.Sprintf(", load %s before", one)
	}
	return fmt.Sprintf("%d cores (GOMAXPROCS %d), %s %s/%s%s", runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH, load)
}

// Median returns the middle of the values, the upper one of two. There must be one.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}
