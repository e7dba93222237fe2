package benchmark

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Program is the product as a user meets it: a binary that is called.
type Program struct {
	Path string // of the binary
	Dir  string // in which it works
}

// BuildProgram builds rapport into a folder, in which it then works.
func BuildProgram(ctx context.Context, dir string) (Program, error) {
	p := Program{Path: filepath.Join(dir, "rapport"), Dir: dir}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", p.Path, "github.com/rapport-ml/rapport/cmd/rapport")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return p, fmt.Errorf("build rapport: %w", err)
	}
	return p, nil
}

// Call runs the program and gives its standard output, and what it took as the kernel tells it when it has ended. A call that fails shows what the program said. The peak is not
// less than this process's own: who calls keeps small.
func (p Program) Call(ctx context.Context, args ...string) ([]byte, Measured, error) {
	cmd := exec.CommandContext(ctx, p.Path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Dir = p.Dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	m := Measured{Seconds: time.Since(began).Seconds()}
	if err != nil {
		return nil, m, fmt.Errorf("rapport %s: %w\n%s%s", args[0], err, stderr.Bytes(), stdout.Bytes())
	}
	m.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return nil, m, errors.New("this system does not tell a process's peak memory")
	}
	m.RSS = int64(ru.Maxrss)
	if runtime.GOOS == "linux" { // kilobytes there, bytes on BSD and macOS
		m.RSS *= 1024
	}
	return stdout.Bytes(), m, nil
}

// String says what was taken, in a line.
func (m Measured) String() string {
	return fmt.Sprintf("%.1f s wall, %.1f s of processor time, %.0f MB at the peak", m.Seconds, m.CPU, float64(m.RSS)/1e6)
}
