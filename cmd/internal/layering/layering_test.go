package layering

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rapport-ml/rapport/"

// layers, from the lowest. A package may import its own layer and those below.
var layers = [][]string{{"storage"}, {"features", "models"}, {"eval"}, {"jobs"}, {"configs"}, {"cmd"}}

// parts are the concrete algorithms and engines: named only where they are wired.
var parts = []string{"features/local", "models/again", "models/als", "models/blend", "models/content", "models/ease", "models/next", "models/popular", "models/rerank"}

// built are algorithms that are made of others: the re-ranker corrects a blend, and looks at two popularities.
var built = map[string][]string{"models/rerank": {"models/blend", "models/popular"}}

// suites prove implementations of a contract, and only tests may import them.
var suites = []string{"storage/storagetest", "storage/online/onlinetest", "features/enginetest", "models/modelstest"}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// fault says which rule an import breaks, or "". from and to are paths in this module; test says whether only a test file imports.
func fault(from, to string, test bool) string {
	if from == to {
		return ""
	}
	top := func(path string) string { name, _, _ := strings.Cut(path, "/"); return name }
	level := func(path string) int {
		return slices.IndexFunc(layers, func(names []string) bool { return slices.Contains(names, top(path)) })
	}
	f, t := level(from), level(to)
	switch {
	case f < 0 || t < 0:
		return "a folder that no layer holds"
	case t > f:
		return "a lower layer imports a higher one"
	case t == f && top(from) != top(to):
		return "features and models never import each other"
	case top(from) != "cmd" && top(to) == "configs" && top(from) != "configs":
		return "nothing below cmd imports configs"
	case test:
		return ""
	case slices.Contains(built[from], to):
		return ""
	case slices.Contains(parts, to) && top(from) != "cmd" && top(from) != "configs":
		return "concrete algorithms and engines are named only in cmd and configs"
	case slices.Contains(suites, to) && !slices.Contains(suites, from):
		return "conformance suites are for tests"
	}
	return ""
}

func TestLayers(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for d := json.NewDecoder(out); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(p.ImportPath, module)
		seen[from] = true
		check := func(imports []string, test bool) {
			for _, path := range imports {
				if to, ok := strings.CutPrefix(path, module); ok {
					if why := fault(from, to, test); why != "" {
						t.Errorf("%s imports %s: %s", from, to, why)
					}
				}
			}
		}
		check(p.Imports, false)
		check(p.TestImports, true)
		check(p.XTestImports, true)
		if imports := p.Imports; slices.Contains(imports, "log/slog") && !strings.HasPrefix(from, "jobs") && !strings.HasPrefix(from, "cmd") {
			t.Errorf("%s imports log/slog: only jobs and cmd log", from)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	for _, want := range slices.Concat(parts, suites, []string{"storage", "features", "models", "eval", "jobs", "configs", "cmd/rapport"}) {
		if !seen[want] {
			t.Errorf("go list found no %s: is it named otherwise now?", want)
		}
	}
}

// The rules themselves, shown on imports that keep and break each.
func TestFault(t *testing.T) {
	for _, c := range []struct {
		from, to string
		test, ok bool
	}{
		{"cmd/rapport", "storage", false, true},
		{"cmd/rapport", "features/local", false, true},
		{"configs", "models/als", false, true},
		{"jobs", "eval", false, true},
		{"eval/drift", "models", false, true},
		{"models/als", "models/internal/vec", false, true},
		{"models/als", "models/modelstest", true, true},
		{"storage", "models", false, false},
		{"eval", "jobs", false, false},
		{"features/event", "models", false, false},
		{"models", "features", false, false},
		{"models", "features", true, false},
		{"jobs", "configs", false, false},
		{"jobs", "configs", true, false},
		{"jobs", "models/als", false, false},
		{"jobs", "features/local", true, true},
		{"eval", "features/local", false, false},
		{"models/blend", "models/als", false, false},
		{"storage", "storage/storagetest", false, false},
		{"cmd/rapport", "tools", false, false},
	} {
		if got := fault(c.from, c.to, c.test); (got == "") != c.ok {
			t.Errorf("%s imports %s (test %v): %q", c.from, c.to, c.test, got)
		}
	}
}
