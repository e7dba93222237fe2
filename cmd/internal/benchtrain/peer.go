package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
)

// peerPackage is the folder of the peer's module, seen from the root of ours.
const peerPackage = "cmd/internal/benchtrain/openblas"

// openblas is OpenBLAS in a program of its own.
type openblas struct{ program string }

// peerTask is what the program does; its own main.go explains it.
type peerTask struct {
	Do      string `json:"do"`
	M       int    `json:"m,omitempty"`
	N       int    `json:"n,omitempty"`
	K       int    `json:"k,omitempty"`
	Repeats int    `json:"repeats,omitempty"`
	Threads int    `json:"threads"`
	Seed    uint64 `json:"seed,omitempty"`
}

// peerFacts are what it tells.
type peerFacts struct {
	Config  string    `json:"config"`
	Core    string    `json:"core"`
	Threads int       `json:"threads"`
	Seconds []float64 `json:"seconds"` // of each repeat
	CPU     []float64 `json:"cpu"`     // seconds of processor time of each repeat, of all threads
	RSS     int64     `json:"rss"`
	Answer  []float64 `json:"answer,omitempty"` // a few elements of the result, to compare
}

// openblas returns the peer; the first call builds it and prints what it takes this machine for.
func (b *bench) openblas(ctx context.Context) (*openblas, error) {
	if b.blas != nil {
		return b.blas, nil
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/rapport-ml/rapport").Output()
	if err != nil {
		return nil, fmt.Errorf("find the peer's module: %w: run this where rapport's module is", err)
	}
	p := &openblas{program: filepath.Join(b.dir, "openblas")}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.program, ".")
	build.Dir = filepath.Join(strings.TrimSpace(string(root)), peerPackage)
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "GOWORK=off")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the peer: %w (it needs a C compiler and libopenblas-dev: make bench-train-packages)", err)
	}
	facts, err := p.run(ctx, peerTask{Do: "facts"})
	if err != nil {
		return nil, err
	}
	b.Say("openblas", "%s; core %s, %d threads", facts.Config, facts.Core, facts.Threads)
	b.blas = p
	return p, nil
}

// run does one task with as many threads as ours, in an environment that lets OpenBLAS see the machine as it is.
func (p *openblas) run(ctx context.Context, t peerTask) (f peerFacts, err error) {
	if t.Threads == 0 {
		t.Threads = runtime.GOMAXPROCS(0)
	}
	cmd := exec.CommandContext(ctx, p.program)
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "OPENBLAS_") && !strings.HasPrefix(name, "OMP_") && !strings.HasPrefix(name, "GOTO_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("OPENBLAS_NUM_THREADS=%d", t.Threads))
	return f, benchmark.Ask(cmd, t, &f)
}
