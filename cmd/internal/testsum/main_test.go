package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRun runs go test over small modules of its own: what it says of them is known.
func TestRun(t *testing.T) {
	const good = "package a\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) { t.Run(\"sub\", func(*testing.T) {}); t.Log(\"quiet\") }\n"
	for name, tt := range map[string]struct {
		files map[string]string
		args  []string
		ok    bool
		want  []string // in this order
		not   string
	}{
		"all pass": {
			files: map[string]string{"a/a_test.go": good, "b/b.go": "package b\n"},
			args:  []string{"./..."}, ok: true,
			want: []string{"ok  \tx/a\t", "2 passed, 0 failed\n"}, not: "quiet",
		},
		"two groups count together": {
			files: map[string]string{"a/a_test.go": good},
			args:  []string{"./a", "--", "-count=1", "./a"}, ok: true,
			want: []string{"ok  \tx/a\t", "ok  \tx/a\t", "4 passed, 0 failed\n"},
		},
		"one fails": {
			files: map[string]string{
				"a/a_test.go": good,
				"c/c_test.go": "package c\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Error(\"why\") }\nfunc TestFine(t *testing.T) { t.Log(\"quiet\") }\n",
			},
			args: []string{"./..."},
			want: []string{"why", "--- FAIL: TestBad", "FAIL\tx/c\t", "3 passed, 1 failed\n"}, not: "quiet",
		},
		"a skip is said": {
			files: map[string]string{"a/a_test.go": good + "func TestLater(t *testing.T) { t.Skip() }\n"},
			args:  []string{"./..."}, ok: true,
			want: []string{"2 passed, 0 failed, 1 skipped\n"},
		},
		"one does not build": {
			files: map[string]string{"a/a_test.go": good, "d/d_test.go": "package d\n\nvar x int = \"s\"\n"},
			args:  []string{"./..."},
			want:  []string{"d/d_test.go:3", "[build failed]", "2 passed, 1 failed\n"},
		},
		"one dies": {
			files: map[string]string{"e/e_test.go": "package e\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestDies(*testing.T) { os.Exit(3) }\n"},
			args:  []string{"./..."},
			want:  []string{"FAIL\tx/e\t", "0 passed, 1 failed\n"},
		},
		"no test": {
			files: map[string]string{"b/b.go": "package b\n"},
			args:  []string{"./..."},
			want:  []string{"0 passed, 0 failed\n"},
		},
		"no such package": {
			files: map[string]string{"a/a_test.go": good},
			args:  []string{"./nowhere"},
			want:  []string{"nowhere"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.files["go.mod"] = "module x\n\ngo 1.26\n"
			for path, body := range tt.files {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Chdir(dir)
			t.Setenv("GOFLAGS", "")
			t.Setenv("GOWORK", "off")
			var out strings.Builder
			ok, err := run(tt.args, &out, &out)
			got := out.String()
			if ok != tt.ok || ok && err != nil {
				t.Errorf("ok is %v, error %v; want ok %v. Output:\n%s", ok, err, tt.ok, got)
			}
			var pattern []string
			for _, w := range tt.want {
				pattern = append(pattern, regexp.QuoteMeta(w))
			}
			if !regexp.MustCompile("(?s)" + strings.Join(pattern, ".*")).MatchString(got) {
				t.Errorf("want in order %q, got:\n%s", tt.want, got)
			}
			if tt.not != "" && strings.Contains(got, tt.not) {
				t.Errorf("must not hold %q:\n%s", tt.not, got)
			}
		})
	}
}
