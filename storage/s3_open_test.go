package storage_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// TestS3Credentials finds keys in each place where they may stand, in the promised order, on a real server.
func TestS3Credentials(t *testing.T) {
	url, o := storagetest.NewS3(t)
	access, secret := o.S3.AccessKey, o.S3.SecretKey
	o.S3.AccessKey, o.S3.SecretKey = "", ""
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
	} {
		t.Setenv(name, "")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "credentials")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "no-config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")

	_, err := storage.Open(t.Context(), url, o)
	if !errors.Is(err, storage.ErrUnreachable) || !strings.Contains(err.Error(), "no credentials found: set AWS_ACCESS_KEY_ID") {
		t.Fatalf("no credentials: %v", err)
	}

	role := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId":%q,"SecretAccessKey":%q,"Expiration":%q}`, access, secret, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339))
	}))
	defer role.Close()
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL)
	open(t, url, o) // the container's role

	write := func(access, secret string) {
		body := fmt.Sprintf("[shop]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret)
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_PROFILE", "shop")
	write("nobody", "nothing")
	if _, err := storage.Open(t.Context(), url, o); !errors.Is(err, storage.ErrUnreachable) {
		t.Fatalf("the file does not go before the role: %v", err)
	}
	write(access, secret)
	open(t, url, o) // the file

	t.Setenv("AWS_ACCESS_KEY_ID", "nobody")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "nothing")
	if _, err := storage.Open(t.Context(), url, o); !errors.Is(err, storage.ErrUnreachable) {
		t.Fatalf("the environment does not go before the file: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	open(t, url, o) // the environment
}

// TestS3Unreachable: nobody listens, nobody knows the name, or somebody else answers.
func TestS3Unreachable(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close) // after the parallel tests
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	noName := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "lake.s3.test", IsNotFound: true}
	}
	for name, c := range map[string]struct{ endpoint, want string }{
		"unknown name":         {"http://s3.test", "the name is unknown: correct the endpoint, or use path style"},
		"nobody listens":       {gone.URL, "check the endpoint and that the server runs"},
		"https to http server": {strings.Replace(plain.URL, "http:", "https:", 1), "HTTP response to HTTPS client"},
		"not an S3 server":     {plain.URL, "the bucket does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := storage.S3{Endpoint: c.endpoint, AccessKey: "someone", SecretKey: "hush-hush"}
			if strings.HasSuffix(c.endpoint, ".test") {
				o = o.WithDial(noName)
			}
			_, err := storage.Open(t.Context(), "s3://lake/x", storage.Options{S3: o})
			if !errors.Is(err, storage.ErrUnreachable) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	ok := storage.S3{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "b"}
	with := func(change func(*storage.S3)) storage.Options {
		s := ok
		change(&s)
		return storage.Options{S3: s}
	}
	for _, c := range []struct {
		url  string
		o    storage.Options
		want string
	}{
		{"lake", storage.Options{}, "file:lake"},
		{"./lake", storage.Options{}, "file:./lake"},
		{"gs://lake", storage.Options{}, `unknown scheme "gs"`},
		{"https://lake.example/x", storage.Options{}, "s3://bucket/prefix"},
		{"file:", storage.Options{}, "file:PATH"},
		{"file://lake/x", storage.Options{}, "file:lake/x"},
		{"s3:lake", storage.Options{}, "s3://bucket"},
		{"s3://", storage.Options{}, "s3://bucket"},
		{"s3:///x", storage.Options{}, "s3://bucket"},
		{"s3://lake/a/../b", with(func(*storage.S3) {}), "segment"},
		{"s3://lake", with(func(s *storage.S3) { s.Endpoint = "minio:9000" }), "https://host:port"},
		{"s3://lake", with(func(s *storage.S3) { s.Endpoint = "http://u:p@minio" }), "without a path or credentials"},
		{"s3://lake", with(func(s *storage.S3) { s.Endpoint = "http://minio/lake" }), "without a path"},
		{"s3://lake", with(func(s *storage.S3) { s.PartSize = 1000 }), "at least"},
		{"s3://lake", with(func(s *storage.S3) { s.SSE = "aes" }), `"kms:KEYID"`},
		{"s3://lake", with(func(s *storage.S3) { s.SSE = "kms:" }), `"kms:KEYID"`},
		{"s3://lake", with(func(s *storage.S3) { s.CAFile = "ca.pem" }), "not https"},
		{"s3://lake", with(func(s *storage.S3) { s.Credentials = "vault" }), `"anonymous"`},
		{"s3://lake", with(func(s *storage.S3) { s.SecretKey = "" }), "both keys"},
	} {
		_, err := storage.Open(t.Context(), c.url, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%q, %v): %v; want %q", c.url, c.o, err, c.want)
		}
	}
}

func TestSplitURL(t *testing.T) {
	for _, c := range []struct{ url, root, pattern string }{
		{"s3://lake/events/dt={date}/*.parquet", "s3://lake/events", "dt={date}/*.parquet"},
		{"s3://lake/items.parquet", "s3://lake", "items.parquet"},
		{"s3://lake/*.parquet", "s3://lake", "*.parquet"},
		{"s3://lake/a/b*/c", "s3://lake/a", "b*/c"},
		{"s3://lake/a/**/c", "s3://lake/a", "**/c"},
		{"s3://lake/", "s3://lake", ""},
		{"s3://lake", "s3://lake", ""},
		{"file:./events/*.parquet", "file:./events", "*.parquet"},
		{"file:items.parquet", "file:.", "items.parquet"},
		{"file:/items.parquet", "file:/", "items.parquet"},
		{"file:///data/x/*", "file:/data/x", "*"},
		{"file:/data/{date}/x", "file:/data", "{date}/x"},
		{"mem:a/*", "mem:", "a/*"},
	} {
		root, pattern, err := storage.SplitURL(c.url)
		if err != nil || root != c.root || pattern != c.pattern {
			t.Errorf("SplitURL(%q) = %q, %q, %v; want %q, %q", c.url, root, pattern, err, c.root, c.pattern)
		}
	}
	for _, url := range []string{"lake/*.parquet", "s3://la*ke", "s3://", "ftp://x/y"} {
		if root, pattern, err := storage.SplitURL(url); err == nil {
			t.Errorf("SplitURL(%q) = %q, %q: no error", url, root, pattern)
		}
	}
}
