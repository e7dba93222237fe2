package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// kinds are the pieces of work that a child process of this program can do, by name. The file of a part adds its own in an init function,
// with kind.
var kinds = map[string]func(context.Context, []byte) (any, error){}

// kind makes f what a child does for delegate(ctx, name, …): it gets the task and returns the answer, both as JSON on the way.
func kind[T, A any](name string, f func(context.Context, T) (A, error)) {
	kinds[name] = func(ctx context.Context, task []byte) (any, error) {
		var t T
		if err := json.Unmarshal(task, &t); err != nil {
			return nil, fmt.Errorf("task: %w", err)
		}
		return f(ctx, t)
	}
}

// work is the child's side: it reads a task from in and writes the answer to out.
func work(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	f := kinds[name]
	if f == nil {
		return fmt.Errorf("no work is called %q", name)
	}
	task, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	answer, err := f(ctx, task)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return json.NewEncoder(out).Encode(answer)
}

// delegate does the work of a kind in a child process and decodes its answer.
func delegate(ctx context.Context, name string, task, answer any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return ask(exec.CommandContext(ctx, self, "-child", name), task, answer)
}

// ask runs a program that takes a JSON value on its standard input and answers with one on its standard output.
func ask(cmd *exec.Cmd, task, answer any) error {
	question, err := json.Marshal(task)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(question)), os.Stderr
	body, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Path, err)
	}
	return json.Unmarshal(body, answer)
}

// measured is what a piece of work took.
type measured struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu"` // seconds of processor time, of all threads
	RSS     int64   `json:"rss"` // peak resident bytes of the process so far
}

// stopwatch measures from start on.
type stopwatch struct {
	began time.Time
	cpu   float64
}

func start() stopwatch {
	cpu, _ := usage()
	return stopwatch{time.Now(), cpu}
}

// stop returns what passed since the start.
func (s stopwatch) stop() measured {
	m := measured{Seconds: time.Since(s.began).Seconds()}
	cpu, rss := usage()
	m.CPU, m.RSS = cpu-s.cpu, rss
	return m
}

// usage is the process's time so far and its peak memory. On Linux that is the address space's own high-water mark: the one in rusage begins
// with that of the parent.
func usage() (cpu float64, rss int64) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, 0
	}
	rss = int64(r.Maxrss) // bytes on macOS
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		if _, line, ok := strings.Cut(string(status), "VmHWM:"); ok {
			if _, err := fmt.Sscanf(line, "%d kB", &rss); err == nil {
				rss *= 1024
			}
		}
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, rss
}
