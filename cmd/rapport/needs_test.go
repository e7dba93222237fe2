package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// madeByIngest are the steps whose tables and proofs only somebody who reads raw data, or people's wishes, writes.
var madeByIngest = []string{"consent", "said", "consented", "preferences", "wishes", "guards", "items", "subjects", "cohorts", "ingest"}

// touchedBy notes which parts of the buckets are read and written through a proxy.
type touchedBy struct {
	mu           sync.Mutex
	read, writes map[string]bool
}

func (n *touchedBy) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.read, n.writes = map[string]bool{}, map[string]bool{}
}

func (n *touchedBy) note(r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if r.Method == http.MethodGet && (key == "" || r.URL.Query().Has("list-type")) {
		if key = r.URL.Query().Get("prefix"); key == "" && bucket != policyLake {
			return // whether the bucket is there, and what it is
		}
	}
	part := "raw"
	if bucket != policyLake {
		seg := strings.SplitN(key, "/", 3)
		switch part = seg[0] + "/"; {
		case (seg[0] == "data" || seg[0] == "done") && len(seg) > 1 && slices.Contains(madeByIngest, seg[1]):
			part = "ingested"
		case seg[0] == "data" || seg[0] == "done":
			part = "derived"
		case seg[0] == "policy" && len(seg) > 1:
			part = "policy/" + seg[1] + "/"
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		n.read[part] = true
	} else {
		n.writes[part] = true
	}
}

func (n *touchedBy) row(verb string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	cell := func(m map[string]bool) string {
		var out []string
		for _, k := range slices.Sorted(func(yield func(string) bool) {
			for k := range m {
				if !yield(k) {
					return
				}
			}
		}) {
			if strings.HasSuffix(k, "/") {
				k = "`" + k + "`"
			}
			out = append(out, k)
		}
		if out == nil {
			return "–"
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprintf("| `%s` | %s | %s |", verb, cell(n.read), cell(n.writes))
}

// TestWhatVerbsNeed: the table of configs/deploy/README.md says which parts of the buckets each verb reads and writes: what a user of the store who runs it
// must be allowed. With -update the table is written anew.
func TestWhatVerbsNeed(t *testing.T) {
	server := storagetest.StartS3(t)
	o := server.Options()
	for _, bucket := range []string{policyLake, policyHome} {
		storagetest.MakeBucket(t, o, bucket)
	}
	raw, err := storage.Open(t.Context(), "s3://"+policyLake, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := smallWorld.Write(t.Context(), raw, ""); err != nil {
		t.Fatal(err)
	}
	backend, err := url.Parse(o.S3.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	notes := &touchedBy{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		notes.note(r)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", backend.Scheme, backend.Host
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // the client may go
	}))
	defer proxy.Close()
	o.S3.Endpoint = proxy.URL
	dir := usersProject(t, o)
	t.Setenv("AWS_ACCESS_KEY_ID", o.S3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", o.S3.SecretKey)
	t.Setenv("PSEUDONYM_KEY", testSecret)
	when := nightAfter(smallWorld.Days - 1).Format(time.RFC3339)
	notes.begin()
	rapportIn(t, dir, exitOK, "run", "nightly", "--at", nightAfter(smallWorld.Days-2).Format(time.RFC3339))

	var rows []string
	for _, x := range []struct {
		verb string // as the table names it; what follows is for this run alone
		more []string
	}{
		{"validate", nil},
		{"run nightly --step ingest", []string{"--at", when}},
		{"run nightly --from build", []string{"--at", when}},
		{"status", nil},
		{"runs list", nil},
		{"models list", nil},
		{"report latest", nil},
		{"models rollback home 1", []string{"--why", "to see what it needs"}},
		{"jobs pause nightly", []string{"--why", "to see what it needs"}},
		{"online status", nil},
		{"online fallback on", []string{"--why", "to see what it needs"}},
		{"recommend --ids -", nil},
		{"features get activity --ids -", nil},
		{"subject status --ids -", nil},
		{"consent show --ids -", nil},
		{"subject export --ids -", []string{"--to", filepath.Join(t.TempDir(), "export.zip")}},
		{"subject erase --ids -", nil},
		{"access-log", nil},
	} {
		notes.begin()
		var said strings.Builder
		args := append(append([]string{"-c", filepath.Join(dir, projectFile)}, strings.Fields(x.verb)...), x.more...)
		if code := run(t.Context(), args, os.Getenv, strings.NewReader("u000001\n"), &said, &said); code != exitOK && code != exitNotFound { // who finds nothing has looked
			t.Fatalf("%s: exit code %d\n%s", x.verb, code, said.String())
		}
		rows = append(rows, notes.row(x.verb))
	}

	const begin, end = "<!-- what verbs need: go test ./cmd/rapport -run WhatVerbsNeed -update -->\n", "<!-- end -->"
	file := filepath.Join(deployDir, "README.md")
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(body), begin)
	was, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	table := "| verb | reads | writes |\n|---|---|---|\n" + strings.Join(rows, "\n") + "\n"
	if table == was {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+table+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s says otherwise (-update writes it anew); what was seen is\n%s", file, table)
}
