package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rotatable writes the quickstart's project with other pseudonyms.
func rotatable(t *testing.T, pseudonyms string) *Project {
	t.Helper()
	body, err := Template("quickstart", time.Date(2026, 2, 1, 3, 0, 0, 0, time.UTC), "")
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	a := strings.Index(text, "\npseudonyms:")
	if a < 0 {
		t.Fatal("the quickstart has no pseudonyms")
	}
	b := a + 1 + strings.Index(text[a+1:], "\n")
	path := filepath.Join(t.TempDir(), "rapport.yaml")
	if err := os.WriteFile(path, []byte(text[:a+1]+pseudonyms+text[b:]), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The project file is edited in whichever way it is written, comments and all, and says the same of all else.
func TestRotated(t *testing.T) {
	for name, tt := range map[string]struct{ was, want string }{
		"in braces":             {"pseudonyms: {key: env:A, key_id: k1} # ours", `pseudonyms: {previous: [{key: "env:A", key_id: "k1"}], key: "command:vault read x", key_id: "k2"} # ours`},
		"in braces, without id": {"pseudonyms: {key: env:A}", `pseudonyms: {`},
		"as a block":            {"pseudonyms:\n  # the secret\n  key: file:./a\n  key_id: first", `key: "command:vault read x"`},
		"with previous ones":    {"pseudonyms: {key: env:A, key_id: k3, previous: [{key: env:B, key_id: k0}]}", `previous: [{key: "env:A", key_id: "k3"}, {key: env:B, key_id: k0}]`},
		"previous ones, block":  {"pseudonyms:\n  key: env:A\n  key_id: k3\n  previous:\n    - key: env:B\n      key_id: k0", `- {key: "env:A", key_id: "k3"}`},
	} {
		p := rotatable(t, tt.was)
		text, err := p.Rotated("command:vault read x", "k2")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(string(text), tt.want) {
			t.Errorf("%s: no %s in\n%.900s", name, tt.want, text)
		}
		if strings.Contains(tt.was, "#") && !strings.Contains(string(text), tt.was[strings.Index(tt.was, "#"):][:6]) {
			t.Errorf("%s: the comment is gone", name)
		}
		next, err := parse(p.File(), text)
		if err != nil {
			t.Fatal(err)
		}
		s := next.Pseudonyms
		if s.Key != "command:vault read x" || s.KeyID != "k2" || len(s.Previous) != len(p.Pseudonyms.Previous)+1 || s.Previous[0].Key != p.Pseudonyms.Key || s.Previous[0].KeyID != p.Pseudonyms.KeyID {
			t.Errorf("%s: %+v", name, s)
		}
	}
	p := rotatable(t, "pseudonyms: {key: env:A, key_id: k1, previous: [{key: env:B, key_id: k0}]}")
	for _, tt := range []struct{ place, id, want string }{
		{"hunter2hunter2hunter2", "k2", "never the secret itself"},
		{"env:C", "k1", "another secret's"},
		{"env:C", "k0", "another secret's"},
		{"env:C", "K 2", "a key id is 1 to 64"},
		{"env:A", "k2", "each in a place of its own"},
	} {
		if _, err := p.Rotated(tt.place, tt.id); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s, %s: %v, want %q", tt.place, tt.id, err, tt.want)
		}
	}
}

// A table of linked ids that cannot be one is told at its line, and the lock and the register name it.
func TestIdentitiesAreChecked(t *testing.T) {
	body, err := Template("quickstart", time.Date(2026, 2, 1, 3, 0, 0, 0, time.UTC), "")
	if err != nil {
		t.Fatal(err)
	}
	with := func(identities string) (*Project, error) {
		path := filepath.Join(t.TempDir(), "rapport.yaml")
		text := strings.Replace(string(body), "\nsources:\n", "\nsources:\n  identities: "+identities+"\n", 1)
		if text == string(body) {
			t.Fatal("the quickstart has no sources")
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Load(path)
	}
	for identities, want := range map[string]string{
		"{from: cookie, to: user}":                                 "sources.identities.path: missing",
		"{path: file:./raw/links.csv, to: user}":                   "sources.identities.from: missing",
		"{path: file:./raw/links.csv, from: cookie}":               "sources.identities.to: missing",
		"{path: file:./raw/links.csv, from: user, to: user}":       "sources.identities.to: is the column that from names",
		"{path: /raw/links.csv, from: cookie, to: user}":           "sources.identities.path",
		"{path: file:./raw/links.csv, from: a, to: b, both: true}": "sources.identities.both: unknown key",
	} {
		if _, err := with(identities); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", identities, err, want)
		}
	}
	p, err := with("{path: file:./raw/links.csv, from: cookie, to: user}")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := parse("rapport.yaml", body)
	if err != nil {
		t.Fatal(err)
	}
	var wider []string
	for _, w := range p.Wider(plain.Locked(nil, Acceptance{})) {
		wider = append(wider, w.Path+": "+w.Says)
	}
	if got := strings.Join(wider, "\n"); !strings.Contains(got, "sources.identities") || !strings.Contains(got, "links.csv") || !strings.Contains(got, "cookie") {
		t.Errorf("a project that begins to link ids is wider by\n%s", got)
	}
	if len(p.Register(nil).Sources) != len(plain.Register(nil).Sources)+1 {
		t.Error("the register does not name the table of linked ids")
	}
}
