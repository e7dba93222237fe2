package peers

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed requirements.txt
var requirements string

//go:embed peer.py
var script string

// pip and lightFM are pinned beside requirements.txt: this pip still builds LightFM, whose setup.py cannot be built in isolation.
const (
	pip     = "pip==24.0"
	lightFM = "lightfm==1.17"
)

// Env is a Python environment that has the peers.
type Env struct {
	python string
	script string
	// Facts are the versions of what is in it, and the BLAS with the processor type that it took.
	Facts Facts
	// NoLightFM says why LightFM is missing; empty where it is there.
	NoLightFM string

	progress io.Writer
}

// Facts are versions. LightFM is empty where it did not build.
type Facts struct {
	Python   string `json:"python"`
	Implicit string `json:"implicit"`
	NumPy    string `json:"numpy"`
	SciPy    string `json:"scipy"`
	LightFM  string `json:"lightfm"`
	BLAS     string `json:"blas"`
}

// Open returns the environment of the pinned versions under cache, made if it is missing (half a minute, from a Python package index), with
// what it does, and what its fits say later, told to progress. interpreter is a Python 3.11, the newest that implicit has wheels for; empty: python3.11, else python3, of
// the PATH.
func Open(ctx context.Context, cache, interpreter string, progress io.Writer) (*Env, error) {
	if interpreter == "" {
		interpreter = "python3"
		if path, err := exec.LookPath("python3.11"); err == nil {
			if exec.CommandContext(ctx, path, "-m", "ensurepip", "--version").Run() == nil {
				interpreter = path
			}
		}
	}
	version, err := exec.CommandContext(ctx, interpreter, "-c", "import sys; print(sys.version)").Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w: the peers need Python 3.11 (Debian: python3, python3-venv)", interpreter, err)
	}
	pins := sha256.Sum256([]byte(requirements + pip + lightFM + string(version)))
	dir := filepath.Join(cache, "peers-"+hex.EncodeToString(pins[:6]))
	e := &Env{python: filepath.Join(dir, "bin", "python"), script: filepath.Join(dir, "peer.py"), progress: progress}
	made := filepath.Join(dir, "made") // written last: what LightFM's build said
	said, err := os.ReadFile(made)
	if errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(progress, "making the peers' Python environment in %s\n", dir)
		if said, err = e.install(ctx, dir, interpreter); err == nil {
			err = os.WriteFile(made, said, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	e.NoLightFM = string(said)
	if err := os.WriteFile(e.script, []byte(script), 0o600); err != nil {
		return nil, err
	}
	return e, e.ask(ctx, map[string]string{"kind": "facts"}, &e.Facts)
}

// install makes the environment anew, and returns why LightFM is not in it, if so.
func (e *Env) install(ctx context.Context, dir, interpreter string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, interpreter, "-m", "venv", "--clear", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make a virtual environment with %s: %w: %s (Debian: apt-get install python3-venv)", interpreter, err, tail(out))
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, []byte(requirements), 0o600); err != nil {
		return nil, err
	}
	install := func(args ...string) ([]byte, error) {
		args = append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"}, args...)
		out, err := exec.CommandContext(ctx, e.python, args...).CombinedOutput()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return out, err
	}
	if out, err := install(pip, "-r", list); err != nil {
		return nil, fmt.Errorf("install the peers: %w: %s\nthey come from a Python package index: PyPI must be reachable, or PIP_INDEX_URL name one that is, and %s be a Python that implicit has wheels for (3.11)",
			err, tail(out), interpreter)
	}
	if out, err := install("--no-use-pep517", "--no-build-isolation", "--no-deps", lightFM); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return []byte(lightFM + " does not build here: " + tail(out)), nil
	}
	return nil, nil
}

// tail is the end of what a command printed.
func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}

// slowing are beginnings of the names of environment variables that tell a BLAS or OpenMP which processor or how many threads to take.
var slowing = []string{"OPENBLAS_", "GOTO_", "OMP_", "MKL_", "BLIS_", "NPY_", "KMP_", "GOMP_"}

func environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(pair string) bool {
		return slices.ContainsFunc(slowing, func(s string) bool { return strings.HasPrefix(pair, s) })
	})
}

// ask runs the script with a task and decodes its answer.
func (e *Env) ask(ctx context.Context, task, answer any) error {
	question, err := json.Marshal(task)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, e.python, e.script)
	cmd.Env = environment(os.Environ())
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(question)), io.MultiWriter(&stderr, e.progress)
	body, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("peer: %w: %s", err, tail([]byte(stderr.String())))
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("peer: its answer is no JSON: %w", err)
	}
	return nil
}
