package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loaded is the project of a text, in a folder of its own.
func loaded(t *testing.T, text string) *Project {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rapport.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// holdEdited holds an edited text against the file of a project in which texts, each once, stand for others.
func holdEdited(t *testing.T, p *Project, got []byte, err error, oldAndNew ...string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(p.File())
	if err != nil {
		t.Fatal(err)
	}
	want := string(src)
	for i := 0; i < len(oldAndNew); i += 2 {
		want = strings.Replace(want, oldAndNew[i], oldAndNew[i+1], 1)
	}
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
