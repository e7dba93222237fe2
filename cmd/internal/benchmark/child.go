package benchmark

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Delegate runs this program again with the arguments, and asks it the task.
func Delegate(ctx context.Context, task, answer any, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return Ask(exec.CommandContext(ctx, self, args...), task, answer)
}

// Ask runs a program that takes a JSON value on its standard input and answers with one on its standard output.
func Ask(cmd *exec.Cmd, task, answer any) error {
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

// Measured is what a piece of work took.
type Measured struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu"` // seconds of processor time, of all threads
	RSS     int64   `json:"rss"` // peak resident bytes of the process so far
}

// Stopwatch measures from Start on.
type Stopwatch struct {
	began time.Time
	cpu   float64
}

// Start begins to measure.
func Start() Stopwatch {
	cpu, _ := Usage()
	return Stopwatch{time.Now(), cpu}
}

// Stop returns what passed since the start. It may be called again.
func (s Stopwatch) Stop() Measured {
	m := Measured{Seconds: time.Since(s.began).Seconds()}
	cpu, rss := Usage()
	m.CPU, m.RSS = cpu-s.cpu, rss
	return m
}

// Usage is the process's time so far and its peak memory. On Linux that is the address space's own high-water mark: the one in rusage begins
// with that of the parent.
func Usage() (cpu float64, rss int64) {
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
