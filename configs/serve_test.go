package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// accessFile is a project with tokens and stores as they are given.
func accessFile(t *testing.T, storage, online, serve string) (*Project, error) {
	t.Helper()
	body, err := os.ReadFile("testdata/bad/access.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), "\nsources:")
	return parse(filepath.Join(t.TempDir(), "rapport.yaml"), []byte("project: shop\nstorage: "+storage+"\nonline: "+online+"\npseudonyms: {key: \"file:./pseudonym.key\"}\nserve: "+serve+"\nsources:"+rest))
}

// TestServeTokens: each caller has its own token, its roles and its bound; what would not do is told by name, and no token is repeated.
func TestServeTokens(t *testing.T) {
	p, err := accessFile(t, "file:./lake", "embedded:./online", `{token: env:OLD, alert_above: 1000, tokens: [{name: shop, role: reader, token: env:SHOP, alert_above: 0}, {name: desk, role: [privacy, approver], token: "file:./desk.token"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"OLD": "short", "SHOP": "0123456789abcdef"}
	file := filepath.Join(p.dir, "desk.token")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	read := func() ([]ServeToken, error) { return p.ServeTokens(func(n string) string { return env[n] }) }
	write("another one of 26 letters\n", 0o640)
	got, err := read()
	if err != nil {
		t.Fatal(err)
	}
	want := []ServeToken{
		{"serve.token", Roles, "short", 1000}, // as it was before there were names: any length, every role
		{"shop", []string{"reader"}, "0123456789abcdef", 0},
		{"desk", []string{"privacy", "approver"}, "another one of 26 letters", 1000},
	}
	if !slices.EqualFunc(got, want, func(a, b ServeToken) bool {
		return a.Name == b.Name && slices.Equal(a.Roles, b.Roles) && a.Secret == b.Secret && a.AlertAbove == b.AlertAbove
	}) {
		t.Errorf("%+v", got)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, "0123456789") {
		t.Errorf("tokens print as %s", text)
	}
	if open := p.OpenSecrets(); open != nil {
		t.Errorf("%v are said to be open to others", open)
	}
	for mode, wide := range map[os.FileMode]bool{0o400: false, 0o440: false, 0o660: true, 0o644: true, 0o604: true} {
		write("another one of 26 letters", mode)
		if open := p.OpenSecrets(); slices.Contains(open, "serve.tokens (desk)") != wide {
			t.Errorf("mode %o: %v", mode, open)
		}
	}
	for text, says := range map[string]string{"0123456789abcdef": "shop and desk are one token", "0123456789": "at least 16", "": "desk"} {
		write(text, 0o600)
		if _, err := read(); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "01234") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got, err := read(); !errors.Is(err, ErrUnreadToken) || !strings.Contains(err.Error(), "serve.tokens (desk)") || len(got) != 2 {
		t.Errorf("without its file: %v, %v", got, err)
	}
	env["SHOP"] = "12345"
	write("12345", 0o600)
	if got, err := read(); err == nil || errors.Is(err, ErrUnreadToken) || !strings.Contains(err.Error(), "(shop): it has 5") || !strings.Contains(err.Error(), "(desk): it has 5") || len(got) != 1 {
		t.Errorf("two short ones, and all of them told: %v, %v", got, err)
	}
}

// TestInTheClear: what leaves the machine unencrypted has a reason in the file, which is told; what does not has none.
func TestInTheClear(t *testing.T) {
	const why = `"one rack, its own network, TLS comes in May"`
	for _, c := range []struct {
		storage, online string
		fault           string // "": it will do
		told            int
	}{
		{`{url: "s3://b/p", endpoint: "https://minio.internal:9000"}`, `"rediss://cache:6379/0"`, "", 0},
		{`{url: "s3://b/p"}`, `embedded:./online`, "", 0},
		{`{url: "s3://b/p", endpoint: "http://127.0.0.1:9000"}`, `"redis://localhost:6379/0"`, "", 0},
		{`{url: "s3://b/p", endpoint: "http://[::1]:9000"}`, `"redis://127.0.0.1/0"`, "", 0},
		{`{url: "s3://b/p", endpoint: "http://10.0.0.7:9000"}`, `embedded:./online`, "storage: goes to another machine unencrypted", 0},
		{`{url: "s3://b/p", endpoint: "http://10.0.0.7:9000", insecure: ` + why + `}`, `embedded:./online`, "", 1},
		{`{url: "s3://b/p", endpoint: "http://10.0.0.7:9000", insecure: ` + why + `}`, `{url: "redis://cache:6379/0", insecure: ` + why + `}`, "", 2},
		{`{url: "s3://b/p", endpoint: "http://127.0.0.1.evil.test"}`, `embedded:./online`, "storage: goes to another machine unencrypted", 0},
		{`{url: "file:./lake", endpoint: "http://10.0.0.7:9000"}`, `embedded:./online`, "storage: goes to another machine unencrypted", 0}, // sources may stand there
		{`{url: "file:./lake"}`, `"redis://cache:6379/0"`, "online: goes to another machine unencrypted", 0},
		{`{url: "file:./lake"}`, `{url: "redis://cache:6379/0", insecure: "true"}`, "online.insecure: is no reason", 0},
		{`{url: "file:./lake"}`, `{url: "rediss://cache:6379/0", insecure: ` + why + `}`, "online.insecure: nothing here leaves", 0},
		{`{url: "s3://b/p", endpoint: "minio.internal:9000"}`, `embedded:./online`, "storage.endpoint: no address", 0},
	} {
		p, err := accessFile(t, c.storage, c.online, "{}")
		switch {
		case c.fault == "" && err != nil, c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s %s: %v", c.storage, c.online, err)
		case err == nil && len(p.InTheClear()) != c.told:
			t.Errorf("%s %s: told are %q", c.storage, c.online, p.InTheClear())
		}
	}
}
