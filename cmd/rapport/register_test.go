package main

import (
	"bytes"
	"html"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/configs"
)

// TestRegisterDrawsItsEntries: the picture, its words, and the entry of each purpose name the same data sets, of purposes that read columns of events and of those that
// only ask who took what and when.
func TestRegisterDrawsItsEntries(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	if code := run(t.Context(), []string{"init", dir}, func(string) string { return "" }, strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}); code != exitOK {
		t.Fatalf("init ends with %d", code)
	}
	p, err := configs.Load(filepath.Join(dir, "rapport.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	g := p.Register(nil)
	var page bytes.Buffer
	if err := writeRegister(&page, g); err != nil {
		t.Fatal(err)
	}
	entries := map[string][]string{}
	for _, entry := range strings.Split(page.String(), `<h3 id="p-`)[1:] {
		name, rest, _ := strings.Cut(entry, `"`)
		rest, _, _ = strings.Cut(rest, "</dl>")
		entries[name] = []string{}
		for _, m := range regexp.MustCompile("<dt>Reads of ([a-z]+)</dt><dd>([^<]+)").FindAllStringSubmatch(rest, -1) {
			entries[name] = append(entries[name], m[1])
			if m[1] == "events" && !strings.HasPrefix(m[2], "who took what and when") {
				t.Errorf("%s: of events it reads %q", name, html.UnescapeString(m[2]))
			}
		}
		slices.Sort(entries[name])
	}
	if len(entries["check_fairness"]) == 0 || len(entries) != len(g.Purposes) {
		t.Fatalf("the entries are %v", entries)
	}
	lines := 0
	for name, sets := range entries {
		lines += len(sets)
		m := regexp.MustCompile("Purpose " + name + ` reads ([a-z, ]+)\.`).FindStringSubmatch(page.String())
		if len(m) == 0 {
			t.Errorf("%s: the words of the picture do not tell of it", name)
			continue
		}
		drawn := strings.Split(m[1], ", ")
		slices.Sort(drawn)
		if !slices.Equal(drawn, sets) {
			t.Errorf("%s: drawn are lines from %v, and its entry reads %v", name, drawn, sets)
		}
	}
	if n := strings.Count(page.String(), `<path class="reads"`); n != lines {
		t.Errorf("%d lines are drawn, want %d", n, lines)
	}
}

// TestRegisterTellsWhatGuards: what is read to tell who is protected stands in the entry of what is withheld and in the picture; a purpose that bounds every class keeps
// nothing else.
func TestRegisterTellsWhatGuards(t *testing.T) {
	g := &configs.Register{
		Sources: []configs.RegisterSource{{Set: "events", Path: "e"}, {Set: "subjects", Path: "s"}}, Withheld: []string{"people with age up to 15: never profiled"},
		Guards: []configs.RegisterRead{{Set: "subjects", Columns: []string{"age"}}},
		Purposes: []configs.RegisterPurpose{{Name: "recommend", Reads: []configs.RegisterRead{{Set: "events"}}, Keep: map[string]string{
			"events": "1d", "features": "1d", "training": "1d", "models": "1d", "reports": "1d",
		}}},
	}
	var page bytes.Buffer
	if err := writeRegister(&page, g); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<dt>Reads of subjects for that</dt><dd>age</dd>", `<path class="decides"`, "decided at the privacy boundary by subjects", "training for 1d</dd>"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	delete(g.Purposes[0].Keep, "models")
	if says := g.Purposes[0].Kept(); !strings.HasSuffix(says, ", all else for ever") {
		t.Errorf("without an end of one class: %s", says)
	}
}
