package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rapport-ml/rapport/cmd/internal/driftsim"
	"github.com/rapport-ml/rapport/eval/drift"
)

//go:embed evidently.py
var evidentlyProgram string

// evidently is a Python process that is asked about one week after the other.
type evidently struct {
	folder string
	cmd    *exec.Cmd
	ask    io.WriteCloser
	answer *bufio.Scanner
}

func startEvidently(ctx context.Context, python string) (*evidently, error) {
	folder, err := os.MkdirTemp("", "evidently")
	if err != nil {
		return nil, err
	}
	e := &evidently{folder: folder, cmd: exec.CommandContext(ctx, python, "-c", evidentlyProgram)}
	e.cmd.Stderr = os.Stderr
	var out io.Reader
	if e.ask, err = e.cmd.StdinPipe(); err == nil {
		if out, err = e.cmd.StdoutPipe(); err == nil {
			err = e.cmd.Start()
		}
	}
	if err != nil {
		os.RemoveAll(folder)
		return nil, fmt.Errorf("%s: %w", python, err)
	}
	e.answer = bufio.NewScanner(out)
	return e, nil
}

// judge is Evidently's answer: the columns that its preset calls drifted, by name.
func (e *evidently) judge(w *driftsim.Week, _ uint64) ([]string, error) {
	for name, days := range map[string][]*drift.Batch{"reference.csv": w.Reference, "current.csv": {w.Current}} {
		f, err := os.Create(filepath.Join(e.folder, name))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(driftsim.WriteCSV(f, days...), f.Close()); err != nil {
			return nil, err
		}
	}
	if _, err := fmt.Fprintln(e.ask, e.folder); err != nil {
		return nil, err
	}
	if !e.answer.Scan() {
		return nil, fmt.Errorf("no answer of Evidently: %w", errors.Join(e.answer.Err(), e.cmd.Wait()))
	}
	var called []string
	if err := json.Unmarshal(e.answer.Bytes(), &called); err != nil {
		return nil, fmt.Errorf("answer %q: %w", e.answer.Text(), err)
	}
	return called, nil
}

// stop ends the process.
func (e *evidently) stop() {
	e.ask.Close()
	e.cmd.Wait()
	os.RemoveAll(e.folder)
}
