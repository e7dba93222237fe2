package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"-size", "huge"}, {"-only", "nothing"}, {"-child", "nothing"}, {"-turns", "many"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, strings.NewReader("{}"), &out); err == nil {
			t.Errorf("%v is accepted: %s", args, out.String())
		}
	}
}

// TestWorld: a world has what was asked for, the same each time.
func TestWorld(t *testing.T) {
	w := task{People: 4000, Events: 1000, Days: 2}
	var files [2]map[string]int64
	for i := range files {
		w.Folder = t.TempDir()
		m, err := makeWorld(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if m.Events != 1000 || m.Records < 7800 || m.Records > 8200 { // two a person
			t.Errorf("%+v", m)
		}
		found, err := sizes(w.Folder)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = map[string]int64{}
		for path, n := range found {
			if name := strings.TrimPrefix(path, w.Folder); !strings.HasPrefix(name, "/.") { // the bucket's own
				files[i][name] = n
			}
		}
	}
	if len(files[0]) != w.Days+consentFiles {
		t.Errorf("%d files", len(files[0]))
	}
	for path, n := range files[0] {
		if files[1][path] != n { // names are of contents
			t.Errorf("%s is not there again", path)
		}
	}
}
