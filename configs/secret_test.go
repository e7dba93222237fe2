package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script writes a program that sh runs.
func script(t *testing.T, dir, name, body string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretPlaces(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string][]byte{
		"key":   []byte(" 000102030405060708090a0b0c0d0e0f\n"),
		"huge":  bytes.Repeat([]byte("x"), maxSecret+1),
		"blank": []byte(" \n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script(t, dir, "said", `printf '%s|' "$@"; echo "hunter2 on stderr" >&2`)
	p := &Project{dir: dir}
	env := func(name string) string { return map[string]string{"K": "a secret"}[name] }
	for _, tt := range []struct{ spec, want string }{
		{"env:K", "a secret"},
		{"file:key", "000102030405060708090a0b0c0d0e0f"},
		{"file:" + filepath.Join(dir, "key"), "000102030405060708090a0b0c0d0e0f"},
		{"command:./said read  -field=key", "read|-field=key|"},
		{`command:["./said", "two words", "$HOME;'"]`, "two words|$HOME;'|"},
		{"command:cat key", "000102030405060708090a0b0c0d0e0f"},
	} {
		if got, err := p.secret(tt.spec, env); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.spec, got, err, tt.want)
		}
	}
	script(t, dir, "fails", `echo hunter2; echo hunter2 >&2; exit 3`)
	script(t, dir, "floods", `while :; do echo hunter2hunter2hunter2hunter2hunter2hunter2; done`)
	for _, tt := range []struct{ spec, want string }{
		{"hunter2hunter2hunter2", "never the secret itself"},
		{"vault:hunter2", "never the secret itself"},
		{"env:NONE", "NONE is not set"},
		{"file:none", "no such file"},
		{"file:huge", "more than 65536 bytes"},
		{"file:blank", "empty"},
		{"command:./fails --token hunter2", "the command fails failed (exit status 3)"},
		{"command:./floods", "prints more than 65536 bytes"},
		{"command:./none --token hunter2", "the command none is not on this machine"},
		{"command:no-such-program-anywhere", "not on the PATH"},
		{"command:true", "empty"},
		{"command:", "the command is empty"},
		{"command:[]", "the command is empty"},
		{"command:echo hunter2 | base64", "no shell does"},
		{"command:[1]", "no list of texts"},
	} {
		got, err := p.secret(tt.spec, env)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.spec, err, tt.want)
		} else if got != "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds the secret: %v, and %q came", tt.spec, err, got)
		}
	}
	if got, err := p.secret("", env); got != "" || err != nil {
		t.Errorf("no secret: %q, %v", got, err)
	}
}

func TestSecretCommandTakesTooLong(t *testing.T) {
	dir := t.TempDir()
	path := script(t, dir, "waits", `echo hunter2; exec sleep 600`)
	begun := time.Now()
	if _, err := commandOutput(dir, []string{path}, 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "did not end within 100ms") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}

// A place that cannot be one is told when the file is read, at its line, and nothing of it is repeated.
func TestSecretIsChecked(t *testing.T) {
	for spec, want := range map[string]string{
		"hunter2hunter2hunter2":        "may not stand in the project file",
		`command:vault read "hunter2"`: "no shell does",
		"command:":                     "the command is empty",
	} {
		p := &Project{dec: &decoder{file: "rapport.yaml", lines: map[string]int{"pseudonyms.key": 7}, broken: map[string]bool{}}}
		p.checkSecret("pseudonyms.key", spec)
		if len(p.dec.faults) != 1 {
			t.Fatalf("%s: %v", spec, p.dec.faults)
		}
		if got := p.dec.faults[0].String(); !strings.Contains(got, "rapport.yaml:7: pseudonyms.key: ") || !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", spec, got)
		}
	}
	p := &Project{dec: &decoder{broken: map[string]bool{}}}
	for _, spec := range []string{"", "env:K", "file:key", "command:vault read -field=key secret/rapport", `command:["pass", "show", "a b"]`} {
		if p.checkSecret("pseudonyms.key", spec); len(p.dec.faults) > 0 {
			t.Errorf("%s: %v", spec, p.dec.faults)
		}
	}
}
