package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/rapport-ml/rapport/jobs"
)

// print writes v as JSON with -o json, else what table writes (tab-separated cells, aligned).
func (a *app) print(v any, table func(w io.Writer)) error {
	if a.output == "json" {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	w := newTable(a.out)
	table(w)
	return w.Flush()
}

// newTable aligns the cells of rows.
func newTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 8, 2, ' ', 0) }

func row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, c)
	}
	fmt.Fprintln(w)
}

// count writes a number of things, in the singular where there is one.
func count[T int | int64](n T, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func bytesOf(n int64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// progress shows the signs of life of a run on stderr: one line that is redrawn on a terminal, else a plain line a step.
type progress struct {
	mu       sync.Mutex
	out      io.Writer
	wall     func() time.Time
	terminal bool
	step     string
	began    time.Time
	drawn    time.Time
	width    int

	many bool // several runs at once: a line whenever one of them begins another step
	runs map[string]string
}

func (a *app) newProgress() *progress {
	p := &progress{out: a.err, wall: a.wall}
	if f, ok := a.err.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd())) && a.env("TERM") != "dumb"
	}
	return p
}

func (p *progress) show(x jobs.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.many {
		if p.runs == nil {
			p.runs = map[string]string{}
		}
		if p.runs[x.Run] != x.Step {
			p.runs[x.Run] = x.Step
			fmt.Fprintf(p.out, "%-14s %-9s %s\n", x.Run, x.Step, x.Label)
		}
		return
	}
	now := p.wall()
	if x.Step != p.step {
		p.step, p.began, p.drawn = x.Step, now, time.Time{}
		if !p.terminal {
			fmt.Fprintf(p.out, "%-9s %s\n", x.Step, x.Label)
		}
	}
	if !p.terminal || now.Sub(p.drawn) < 100*time.Millisecond && x.Done < x.Total {
		return
	}
	p.drawn = now
	line := fmt.Sprintf("%-9s %-14s", x.Step, x.Label)
	if x.Total > 0 {
		const cells = 24
		full := int(cells * x.Done / x.Total)
		line += " ["
		for i := range cells {
			if i < full {
				line += "="
			} else {
				line += " "
			}
		}
		line += fmt.Sprintf("] %d/%d %s", x.Done, x.Total, x.Unit)
		if took := now.Sub(p.began).Seconds(); took > 0.5 && x.Done > 0 {
			rate := float64(x.Done) / took
			line += fmt.Sprintf("  %.0f/s, %s left", rate, (time.Duration(float64(x.Total-x.Done)/rate) * time.Second).Round(time.Second))
		}
	}
	pad := max(p.width-len(line), 0)
	p.width = len(line)
	fmt.Fprintf(p.out, "\r%s%*s", line, pad, "")
}

// between writes something else between two signs of life.
func (p *progress) between(write func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return write()
}

// done ends the redrawn line.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && p.width > 0 {
		fmt.Fprintf(p.out, "\r%*s\r", p.width, "")
	}
	p.step, p.width = "", 0
}
