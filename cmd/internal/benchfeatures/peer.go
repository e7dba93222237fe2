package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/features"
)

// peerPackage is the folder of the peer's module, seen from the root of ours.
const peerPackage = "cmd/internal/benchfeatures/duckdb"

// peer is DuckDB in a program of its own.
type peer struct {
	program string
	version string
}

// newPeer builds the peer's program in dir. Go keeps what it compiled: the first build takes the better part of a minute, later ones seconds.
func newPeer(ctx context.Context, dir string) (*peer, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/rapport-ml/rapport").Output()
	if err != nil {
		return nil, fmt.Errorf("find the peer's module: %w: run this where rapport's module is", err)
	}
	p := &peer{program: filepath.Join(dir, "duckdb")}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.program, ".")
	build.Dir = filepath.Join(string(root[:len(root)-1]), peerPackage)
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build DuckDB: %w (it needs a C++ compiler: make bench-packages)", err)
	}
	facts, err := p.run(ctx, peerJob{})
	p.version = facts.Version
	return p, err
}

// peerJob and peerFacts are what the program takes and tells; its own main.go explains them.
type peerJob struct {
	Settings []string `json:"settings"`
	Timed    []string `json:"timed"`
	Answer   []string `json:"answer"`
}

type peerFacts struct {
	Version string    `json:"version"`
	Seconds []float64 `json:"seconds"`
	RSS     int64     `json:"rss"`
	CPU     float64   `json:"cpu"`
}

func (f peerFacts) total() float64 {
	s := 0.0
	for _, x := range f.Seconds {
		s += x
	}
	return s
}

func (p *peer) run(ctx context.Context, j peerJob) (f peerFacts, err error) {
	return f, benchmark.Ask(exec.CommandContext(ctx, p.program), j, &f)
}

// settings give the peer all cores, and let it answer in any order of rows.
func settings(spill string) []string {
	return []string{
		fmt.Sprintf("SET threads = %d", runtime.GOMAXPROCS(0)),
		"SET preserve_insertion_order = false",
		fmt.Sprintf("SET temp_directory = '%s'", spill),
	}
}

// build answers views in the given way. Where answer is a folder, it gets VIEW.parquet of each.
func (p *peer) build(ctx context.Context, q query, views []features.View, d *dataset, spill, answer string) (peerFacts, error) {
	j := peerJob{Settings: settings(spill), Timed: q.statements(views, d)}
	if answer != "" {
		for _, v := range views {
			j.Answer = append(j.Answer, fmt.Sprintf("COPY %s TO '%s' (FORMAT parquet)", v.Name, filepath.Join(answer, v.Name+".parquet")))
		}
	}
	return p.run(ctx, j)
}
