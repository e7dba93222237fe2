package storagetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/rapport-ml/rapport/storage"
)

// startWait bounds how long the S3 server may take to listen.
const startWait = 30 * time.Second

// VirtualDomain is the name under which the server of StartS3 takes virtual-host requests (bucket.VirtualDomain), besides path style.
const VirtualDomain = "s3.test"

// S3 is a real S3-compatible server, versitygw, that a test may stop and start again with what it holds.
type S3 struct {
	Endpoint, AccessKey, SecretKey string

	addr, data, versions string
	users                string // folder of the users that it knows beside its owner; "": of none
	process              *os.Process
	exited               chan struct{} // closed when the process has ended
}

// StartS3 starts a server on a free loopback port and an empty temporary directory. It is stopped when the test ends. The binary is the one
// at $RAPPORT_VERSITYGW, or versitygw in $RAPPORT_TOOLS or in the folder rapport/bin of the user's cache. The server keeps versions where
// a bucket asks for it.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	s := newS3(t)
	s.Start(t)
	return s
}

// newS3 is a server that is not started yet.
func newS3(t testing.TB) *S3 {
	t.Helper()
	addr := freeAddr(t)
	s := &S3{
		Endpoint: "http://" + addr, AccessKey: "test-" + rand.Text()[:8], SecretKey: rand.Text(),
		addr: addr, data: t.TempDir(), versions: t.TempDir(),
	}
	t.Cleanup(s.kill)
	return s
}

// Start starts the server, on the same port and with the same objects as before, and waits until it listens.
func (s *S3) Start(t testing.TB) {
	t.Helper()
	binary, err := findServer()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	args := []string{"--port", s.addr, "--quiet", "--virtual-domain", VirtualDomain}
	if s.users != "" {
		args = append(args, "--iam-dir", s.users)
	}
	args = append(args, "posix", "--versioning-dir", s.versions)
	if s.users != "" { // whose policies are larger than an attribute of a file may be
		args = append(args, "--sidecar", filepath.Join(s.users, "attributes"))
	}
	cmd := exec.Command(binary, append(args, s.data)...)
	cmd.Env = []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey, "HOME=" + s.versions, "TMPDIR=" + os.TempDir()}
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start versitygw: %v", err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	s.process, s.exited = cmd.Process, exited
	deadline := time.NewTimer(startWait)
	defer deadline.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		if conn, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			conn.Close()
			return
		}
		select {
		case <-exited:
			t.Fatalf("versitygw ended at once:\n%s", out.String())
		case <-deadline.C:
			t.Fatalf("versitygw did not listen on %s within %v", s.addr, startWait)
		case <-poll.C:
		}
	}
}

// Stop kills the server. What it holds stays.
func (s *S3) Stop(t testing.TB) {
	t.Helper()
	s.kill()
}

func (s *S3) kill() {
	if s.process != nil {
		s.process.Kill()
		<-s.exited
		s.process = nil
	}
}

// Dirs are the folders in which the server keeps objects with parts of unfinished uploads, and old versions: each has one folder a bucket.
func (s *S3) Dirs() (data, versions string) { return s.data, s.versions }

// Options are those to open a bucket of the server.
func (s *S3) Options() storage.Options {
	return storage.Options{S3: storage.S3{Endpoint: s.Endpoint, Region: "us-east-1", PathStyle: true, AccessKey: s.AccessKey, SecretKey: s.SecretKey}}
}

// NewS3 starts a server as StartS3 does, makes a bucket, and returns the URL of a prefix in it with the options to open it.
func NewS3(t testing.TB) (url string, o storage.Options) {
	t.Helper()
	o = StartS3(t).Options()
	MakeBucket(t, o, "rapport-test")
	return "s3://rapport-test/root", o
}

// MakeBucket makes a bucket on the server that o names.
func MakeBucket(t testing.TB, o storage.Options, name string) {
	t.Helper()
	if err := client(t, o).MakeBucket(context.Background(), name, minio.MakeBucketOptions{Region: o.S3.Region}); err != nil {
		t.Fatalf("make bucket %s: %v", name, err)
	}
}

// EnableVersions makes a bucket keep old versions.
func EnableVersions(t testing.TB, o storage.Options, name string) {
	t.Helper()
	if err := client(t, o).EnableVersioning(context.Background(), name); err != nil {
		t.Fatalf("enable versioning of %s: %v", name, err)
	}
}

// LockObjects makes a bucket that locks its objects for some days, in compliance mode.
func LockObjects(t testing.TB, o storage.Options, name string, days uint) {
	t.Helper()
	mode, unit := minio.Compliance, minio.Days
	err := client(t, o).MakeBucket(context.Background(), name, minio.MakeBucketOptions{Region: o.S3.Region, ObjectLocking: true})
	if err == nil {
		err = client(t, o).SetObjectLockConfig(context.Background(), name, &mode, &days, &unit)
	}
	if err != nil {
		t.Fatalf("make the locking bucket %s: %v", name, err)
	}
}

// LeaveUpload begins an upload in parts and leaves it unfinished, as a writer that dies does.
func LeaveUpload(t testing.TB, o storage.Options, bucket, key string, body []byte) {
	t.Helper()
	core := minio.Core{Client: client(t, o)}
	id, err := core.NewMultipartUpload(context.Background(), bucket, key, minio.PutObjectOptions{})
	if err == nil {
		_, err = core.PutObjectPart(context.Background(), bucket, key, id, 1, bytes.NewReader(body), int64(len(body)), minio.PutObjectPartOptions{})
	}
	if err != nil {
		t.Fatalf("leave an unfinished upload of %s: %v", key, err)
	}
}

func client(t testing.TB, o storage.Options) *minio.Client {
	t.Helper()
	c, err := minio.New(strings.TrimPrefix(o.S3.Endpoint, "http://"), &minio.Options{
		Creds:        credentials.NewStaticV4(o.S3.AccessKey, o.S3.SecretKey, ""),
		Region:       o.S3.Region,
		BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// freeAddr returns a loopback address that was free a moment ago.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// findServer returns the path of the S3 server's binary, or says how to get it.
func findServer() (string, error) {
	var places []string
	if p := os.Getenv("RAPPORT_VERSITYGW"); p != "" {
		places = append(places, p)
	}
	if d := os.Getenv("RAPPORT_TOOLS"); d != "" {
		places = append(places, filepath.Join(d, "versitygw"))
	}
	if d, err := os.UserCacheDir(); err == nil {
		places = append(places, filepath.Join(d, "rapport", "bin", "versitygw"))
	}
	for _, p := range places {
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("the S3 server for tests, versitygw, is not built: run `make tools` (looked at %s)", strings.Join(places, ", "))
}
