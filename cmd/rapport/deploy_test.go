package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/rapport-ml/rapport/configs"
)

const deployDir = "../../configs/deploy"

// knows asks the program whether it has a verb and flags. It runs nothing.
func knows(t *testing.T, where string, args []string) {
	t.Helper()
	root := (&app{out: io.Discard, err: io.Discard}).root()
	root.InitDefaultHelpFlag()
	cmd, rest, err := root.Find(args)
	if err != nil {
		t.Errorf("%s: rapport %s: %v", where, strings.Join(args, " "), err)
		return
	}
	if cmd == root && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		t.Errorf("%s: rapport has no verb %s", where, args[0])
		return
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%s: rapport %s: %v", where, strings.Join(args, " "), err)
	}
}

// documents splits a file into its YAML documents.
func documents(t *testing.T, path string) []map[string]any {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var docs []map[string]any
	d := yaml.NewDecoder(bytes.NewReader(body), yaml.Strict())
	for {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		docs = append(docs, doc)
	}
}

// walk calls f for every mapping below v.
func walk(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, x := range v {
			walk(x, f)
		}
	case []any:
		for _, x := range v {
			walk(x, f)
		}
	}
}

// TestDeployKubernetes holds the manifests against the program: its verbs and flags, its exit codes, its project file.
func TestDeployKubernetes(t *testing.T) {
	files, err := filepath.Glob(deployDir + "/kubernetes/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d manifests (%v)", len(files), err)
	}
	kinds := map[string]int{}
	containers, projects := 0, 0
	for _, path := range files {
		for _, doc := range documents(t, path) {
			kinds[doc["kind"].(string)]++
			walk(doc, func(m map[string]any) {
				if image, ok := m["image"]; ok {
					containers++
					var args []string
					for _, a := range m["args"].([]any) {
						args = append(args, strings.ReplaceAll(a.(string), "$(RAPPORT_AT)", "rapport-nightly-29538840"))
					}
					knows(t, path, args)
					sc := m["securityContext"].(map[string]any)
					if image == "" || sc["readOnlyRootFilesystem"] != true || sc["allowPrivilegeEscalation"] != false {
						t.Errorf("%s: the container of %v has more rights than it needs", path, image)
					}
				}
				if text, ok := m["rapport.yaml"].(string); ok {
					projects++
					file := filepath.Join(t.TempDir(), "rapport.yaml")
					if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					if _, err := configs.Load(file); err != nil {
						t.Errorf("%s: %v", path, err)
					}
				}
				if on, ok := m["onExitCodes"].(map[string]any); ok {
					fatal := m["action"] == "FailJob"
					for _, v := range on["values"].([]any) {
						switch code := int(v.(uint64)); {
						case code == exitUsage && fatal, !fatal && (code == exitRejected || code == exitHeld):
						default:
							t.Errorf("%s: exit %d is %v", path, code, m["action"])
						}
					}
				}
			})
		}
	}
	if containers != 2 || projects != 1 || kinds["CronJob"] != 1 || kinds["Deployment"] != 1 || kinds["NetworkPolicy"] != 1 {
		t.Errorf("%d containers, %d project files, kinds %v", containers, projects, kinds)
	}
}

// TestDeploySystemd holds the units against the program, and the Dockerfile against the linker's variable.
func TestDeploySystemd(t *testing.T) {
	units, err := filepath.Glob(deployDir + "/systemd/*.service")
	if err != nil || len(units) != 2 {
		t.Fatalf("%d units (%v)", len(units), err)
	}
	for _, path := range units {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		starts := 0
		for line := range strings.Lines(string(body)) {
			line = strings.TrimSpace(line)
			if start, ok := strings.CutPrefix(line, "ExecStart=/usr/local/bin/rapport "); ok {
				starts++
				knows(t, path, strings.Fields(strings.ReplaceAll(start, "%i", "nightly")))
			}
			key, value, ok := strings.Cut(line, "=")
			if !ok && line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "[") {
				t.Errorf("%s: %q is no setting", path, line)
			}
			switch key {
			case "RestartPreventExitStatus":
				if value != "2" {
					t.Errorf("%s: not started again after exit %s", path, value)
				}
			case "SuccessExitStatus":
				if value != "3 4" {
					t.Errorf("%s: exit %s is taken for success", path, value)
				}
			}
		}
		// A panic exits 2 as a fault of the project file does, unless it aborts.
		if text := string(body); strings.Contains(text, "RestartPreventExitStatus=2") && !(strings.Contains(text, "\nEnvironment=GOTRACEBACK=crash\n") && strings.Contains(text, "\nLimitCORE=0\n")) {
			t.Errorf("%s: after a panic it would stay down, or leave a core", path)
		}
		if starts != 1 {
			t.Errorf("%s starts %d programs", path, starts)
		}
	}
	docker, err := os.ReadFile(deployDir + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CGO_ENABLED=0", "-X main.version=", "USER 65532", `CMD ["serve"]`} {
		if !regexp.MustCompile(regexp.QuoteMeta(want)).Match(docker) {
			t.Errorf("the Dockerfile lacks %s", want)
		}
	}
	knows(t, "Dockerfile", []string{"serve"})
}

// The name of a CronJob's Job says when it was due, to the minute.
func TestInstantOfCronJob(t *testing.T) {
	due := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	name := fmt.Sprintf("rapport-nightly-%d", due.Unix()/60)
	if got, err := instant(name, time.UTC); err != nil || !got.Equal(due) {
		t.Errorf("%s: %v, %v", name, got, err)
	}
	for _, bad := range []string{"rapport-nightly", "rapport-nightly-1", "29538840", "Rapport-29538840", "2026-3-1"} {
		if got, err := instant(bad, time.UTC); err == nil {
			t.Errorf("%s is read as %s", bad, got)
		}
	}
}
