package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs holds what the documents tell people to type against the program: every rapport command in a block of shell, with its flags, and
// every link to a file.
func TestDocs(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d documents (%v)", len(files), err)
	}
	files = append(files, "../../README.md", deployDir+"/README.md")
	commands := 0
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, path := range files {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(body), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", path, m[1])
			}
		}
		shell := false
		for line := range strings.Lines(string(body)) {
			if strings.HasPrefix(line, "```") {
				shell = strings.HasPrefix(line, "```sh")
				continue
			}
			if !shell {
				continue
			}
			line, _, _ = strings.Cut(line, " #")
			for part := range strings.SplitSeq(line, "|") {
				args, ok := words(part)
				if !ok || args[0] != "rapport" {
					continue
				}
				commands++
				knows(t, path, args[1:])
			}
		}
	}
	if commands < 30 {
		t.Errorf("%d commands found in the documents", commands)
	}
}

// TestMetricsInDocs asks for every metric that documents and manifests name: an alert rule on one that is not there never fires.
func TestMetricsInDocs(t *testing.T) {
	var source []byte
	for _, file := range []string{"metrics.go", "metrics_reads.go", "trust.go"} {
		body, err := os.ReadFile("../internal/web/" + file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, body...)
	}
	named := 0
	for _, pattern := range []string{"../../docs/*.md", deployDir + "/*/*", deployDir + "/*.md", "../../README.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files (%v)", pattern, len(files), err)
		}
		for _, path := range files {
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`\brapport_[a-z_]*[a-z]\b`).FindAllString(string(body), -1) {
				named++
				if !strings.Contains(string(source), `"`+m+`"`) {
					t.Errorf("%s names the metric %s, which there is not", path, m)
				}
			}
		}
	}
	if named < 20 {
		t.Errorf("%d metrics are named", named)
	}
}

// TestGuarantees asks for every test and package that the page of guarantees names.
func TestGuarantees(t *testing.T) {
	page, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	err = filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		body, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(body, -1) {
			have[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9_]+|[a-z]+/[a-z/]+)`").FindAllStringSubmatch(string(page), -1) {
		named++
		if strings.HasPrefix(m[1], "Test") {
			if !have[m[1]] {
				t.Errorf("there is no test %s", m[1])
			}
		} else if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("there is no package %s", m[1])
		}
	}
	if named < 60 {
		t.Errorf("the page names %d tests", named)
	}
}

// words splits a command as a shell does, as far as documents need it.
func words(line string) ([]string, bool) {
	var out []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2])
	}
	return out, len(out) > 0
}
