package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/storagetest"
	"github.com/rapport-ml/rapport/storage/table"
)

// rapportIn runs the command line in this process on the project at dir. Its exit code must be want.
func rapportIn(t *testing.T, dir string, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	args = append([]string{"-c", filepath.Join(dir, projectFile)}, args...)
	if code := run(t.Context(), args, os.Getenv, strings.NewReader("u000001\n"), &out, &errs); code != want {
		t.Fatalf("rapport %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// content is what two runs over the same rows must agree on, wherever the rows and the results stand.
type content struct {
	Tables   map[string]string // step and interval → digests of its tables
	Artifact []string          // of each version
	Online   map[string]int    // entries but for meta, which names the report by its key
}

func contentIn(t *testing.T, dir string) content {
	t.Helper()
	p, err := openChaos(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := content{Tables: map[string]string{}, Online: map[string]int{}}
	for commit, err := range (table.Store{Bucket: p.Bucket}).List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		name := commit.Key[:strings.LastIndexByte(commit.Key, '/')] // what follows are hashes, of the inputs' fingerprints too
		for _, o := range slices.Sorted(maps.Keys(commit.Outputs)) {
			c.Tables[name] += fmt.Sprintf("%s %s %d; ", o, commit.Outputs[o].Digest, commit.Outputs[o].Rows)
		}
	}
	lines, err := p.modelLines(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		c.Artifact = append(c.Artifact, fmt.Sprintf("%d %v %s %s", l.Version, l.Aliases, l.Digest, l.Gate))
	}
	if err := p.Online.Scan(t.Context(), "", func(e online.Entry) error {
		if e.Key != online.MetaKey {
			c.Online[fmt.Sprintf("%+v", e)]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// twoNights runs the job on two nights, and once more, which must do nothing.
func twoNights(t *testing.T, dir string) content {
	t.Helper()
	rapportIn(t, dir, exitOK, "validate")
	for _, at := range []int{smallWorld.Days - 2, smallWorld.Days - 1, smallWorld.Days - 1} {
		out, _ := rapportIn(t, dir, exitOK, "run", "nightly", "--at", nightAfter(at).Format(time.RFC3339), "-o", "json")
		var res jobs.Result
		if err := json.Unmarshal([]byte(out), &res); err != nil {
			t.Fatal(err)
		}
		if res.Published == nil || res.Model.Version != at-smallWorld.Days+3 {
			t.Fatalf("night after day %d: %s", at, out)
		}
	}
	if out, _ := rapportIn(t, dir, exitOK, "run", "nightly"); !strings.Contains(out, "nothing to do") {
		t.Fatalf("the second run of a night: %s", out)
	}
	return contentIn(t, dir)
}

// sameContent compares what two runs led to: one on S3, one in folders.
func sameContent(t *testing.T, got, want content) {
	t.Helper()
	for name, digest := range want.Tables {
		if got.Tables[name] != digest {
			t.Errorf("%s: %s on S3, %s in folders", name, got.Tables[name], digest)
		}
	}
	if len(got.Tables) != len(want.Tables) {
		t.Errorf("%d steps on S3, %d in folders", len(got.Tables), len(want.Tables))
	}
	if !slices.Equal(got.Artifact, want.Artifact) {
		t.Errorf("versions: %v on S3, %v in folders", got.Artifact, want.Artifact)
	}
	if !maps.Equal(got.Online, want.Online) {
		t.Errorf("%d online entries on S3, %d in folders, and not the same", len(got.Online), len(want.Online))
	}
}

// s3Project makes a project whose storage and raw events stand on a server.
func s3Project(t *testing.T, rawURL string, o storage.Options) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", o.S3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", o.S3.SecretKey)
	dir := t.TempDir()
	lake := fmt.Sprintf("{url: %q, endpoint: %q, region: %s, path_style: true, credentials: env, ca_file: %q}", rawURL+"/lake", o.S3.Endpoint, o.S3.Region, o.S3.CAFile)
	writeProject(t, dir, projectYAML(t, rawURL+"/raw/", lake))
	return dir
}

// The same job on a real S3 server and in folders leads to the same tables, artifacts and lists.
func TestS3(t *testing.T) {
	rawURL, o := storagetest.NewS3(t)
	onS3 := s3Project(t, rawURL, o)
	inDir := t.TempDir()
	writeProject(t, inDir, projectYAML(t, "file:./raw/", "file:./lake"))
	for raw, o := range map[string]storage.Options{rawURL + "/raw": o, "file:" + filepath.Join(inDir, "raw"): {}} {
		b, err := storage.Open(t.Context(), raw, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := smallWorld.Write(t.Context(), b, ""); err != nil {
			t.Fatal(err)
		}
	}
	got, want := twoNights(t, onS3), twoNights(t, inDir)
	if len(want.Tables) < 10 || len(want.Artifact) != 2 || len(want.Online) < 100 {
		t.Fatalf("only %d tables, %d versions and %d online entries to compare", len(want.Tables), len(want.Artifact), len(want.Online))
	}
	sameContent(t, got, want)
	if out, _ := rapportIn(t, onS3, exitOK, "report", "home/2"); !strings.HasPrefix(out, rawURL+"/lake/reports/nightly/") {
		t.Errorf("the report is at %s", out)
	}
}

// A server that takes conditional writes for plain ones is refused before anything is written with it.
func TestValidateRefusesIgnoredConditions(t *testing.T) {
	rawURL, o := storagetest.NewS3(t)
	backend, err := url.Parse(o.S3.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("proxy: %v", err)
		}
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Host = "", r.Host
		for _, header := range []string{"If-None-Match", "If-Match"} {
			if r.Method == http.MethodPut && r.Header.Get(header) != "" {
				out.Header.Del(header)
				out.Header.Del("Authorization")
				out = signer.SignV4(*out, o.S3.AccessKey, o.S3.SecretKey, "", o.S3.Region)
			}
		}
		out.URL.Scheme, out.URL.Host = backend.Scheme, backend.Host
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			t.Errorf("proxy: %v", err)
		}
	}))
	defer proxy.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := storage.Open(t.Context(), rawURL+"/raw", o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := smallWorld.Write(t.Context(), b, ""); err != nil {
		t.Fatal(err)
	}
	o.S3.Endpoint, o.S3.CAFile = proxy.URL, ca
	dir := s3Project(t, rawURL, o)
	out, _ := rapportIn(t, dir, exitUsage, "validate")
	if !strings.Contains(out, "FAULT  storage") || !strings.Contains(out, "create-only (If-None-Match: *) is ignored") || !strings.Contains(out, "Use a server") {
		t.Errorf("validate says\n%s", out)
	}
}
