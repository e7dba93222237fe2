package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// TestS3 runs everything that needs a server on one, several tests at a time.
func TestS3(t *testing.T) {
	t.Parallel()
	url, o := storagetest.NewS3(t)
	for name, test := range map[string]func(t *testing.T, url string, o storage.Options){
		"Suite":             testS3Suite,
		"SuiteVersioned":    testS3Versioned,
		"VirtualHost":       testS3VirtualHost,
		"CustomCA":          testS3CustomCA,
		"LostResponse":      testS3LostResponse,
		"LostCompletion":    testS3LostCompletion,
		"IgnoredConditions": testS3IgnoredConditions,
		"Conflict":          testS3Conflict,
		"Resume":            testS3Resume,
		"ChangedWhileRead":  testS3ChangedWhileRead,
		"RangeIgnored":      testS3RangeIgnored,
		"Headers":           testS3Headers,
		"Full":              testS3Full,
		"BadCredentials":    testS3BadCredentials,
		"MissingBucket":     testS3MissingBucket,
		"BigCondition":      testS3BigCondition,
		"AbortUploads":      testS3AbortUploads,
		"Keeping":           testS3Keeping,
		"Prefix":            testS3Prefix,
		"Lease":             func(t *testing.T, url string, o storage.Options) { testLeases(t, open(t, url, o)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, url+"/"+name, o)
		})
	}
}

func testS3Suite(t *testing.T, url string, o storage.Options) {
	n := 0
	storagetest.TestBucket(t, func(t *testing.T) storage.Bucket {
		n++
		return open(t, fmt.Sprintf("%s/%d", url, n), o)
	})
}

// testS3Versioned runs the part of the suite that is about versions. The rest is not run: on a versioned bucket versitygw takes a
// delete marker for an object in If-None-Match, and lists folders that hold nothing but markers.
func testS3Versioned(t *testing.T, _ string, o storage.Options) {
	storagetest.MakeBucket(t, o, "versioned")
	storagetest.EnableVersions(t, o, "versioned")
	b := open(t, "s3://versioned/root", o)
	if kept, err := b.(storage.Versions).Versioned(t.Context()); err != nil || !kept {
		t.Errorf("Versioned = %t, %v", kept, err)
	}
	storagetest.TestVersions(t, b)
}

// testS3Keeping: what keeps copies of deleted objects is told, and so is what the server does not tell.
func testS3Keeping(t *testing.T, url string, o storage.Options) {
	storagetest.MakeBucket(t, o, "keeps-versions")
	storagetest.EnableVersions(t, o, "keeps-versions")
	storagetest.LockObjects(t, o, "locks", 30)
	for bucket, want := range map[string]storage.Kept{
		url: {}, "s3://keeps-versions/root": {Versions: true}, "s3://locks/root": {Versions: true, Locked: "compliance, 30 days"},
	} {
		k, err := open(t, bucket, o).(storage.Keeping).Keeping(t.Context())
		if err != nil || k.Versions != want.Versions || k.Locked != want.Locked || len(k.Replicated) > 0 {
			t.Errorf("%s: %+v %v, want %+v", bucket, k, err, want)
		}
	}
	if _, err := open(t, "s3://locks/root", o).(storage.Keeping).Keeping(canceled(t)); err == nil {
		t.Error("a request that was never answered is an answer")
	}
}

// canceled is a context that has ended.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// testS3VirtualHost names the bucket in the host. The name is not known to any resolver: the client is made to connect to the server.
func testS3VirtualHost(t *testing.T, url string, o storage.Options) {
	server := strings.TrimPrefix(o.S3.Endpoint, "http://")
	_, port, _ := net.SplitHostPort(server)
	o.S3.PathStyle = false
	o.S3.Endpoint = "http://" + storagetest.VirtualDomain + ":" + port
	var asked sync.Map
	o.S3 = o.S3.WithDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		asked.Store(addr, true)
		return (&net.Dialer{}).DialContext(ctx, network, server)
	})
	b := open(t, url, o)
	if _, err := b.Put(t.Context(), "k", storage.Bytes([]byte("virtual")), storage.Cond{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	if body, _, err := storage.ReadAll(t.Context(), b, "k"); err != nil || string(body) != "virtual" {
		t.Fatalf("read %q, %v", body, err)
	}
	asked.Range(func(addr, _ any) bool {
		if want := "rapport-test." + storagetest.VirtualDomain + ":" + port; addr != want {
			t.Errorf("asked %v, want %s", addr, want)
		}
		return true
	})
}

func testS3CustomCA(t *testing.T, url string, o storage.Options) {
	caFile, secure := newCA(t)
	o = startProxy(t, o, secure, func(x *exchange) { x.reply(x.forward()) })

	_, err := storage.Open(t.Context(), url, o)
	if !errors.Is(err, storage.ErrUnreachable) || !strings.Contains(err.Error(), "CA file") {
		t.Errorf("without the CA: %v", err)
	}
	o.S3.CAFile = caFile
	b := open(t, url, o)
	if _, err := b.Put(t.Context(), "k", storage.Bytes([]byte("over TLS")), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if body, _, err := storage.ReadAll(t.Context(), b, "k"); err != nil || string(body) != "over TLS" {
		t.Fatalf("read %q, %v", body, err)
	}
	if err := storage.Probe(t.Context(), b); err != nil {
		t.Error(err)
	}
	for name, content := range map[string]string{"empty.pem": "", "absent.pem": "-"} {
		o.S3.CAFile = filepath.Join(t.TempDir(), name)
		if content == "" {
			if err := os.WriteFile(o.S3.CAFile, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := storage.Open(t.Context(), url, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("CA file %s: %v", name, err)
		}
	}
}

// testS3LostResponse drops the answer to a conditional Put that the server has carried out. The client repeats it and is told 412.
func testS3LostResponse(t *testing.T, url string, o storage.Options) {
	var drop atomic.Bool
	var refused atomic.Int32
	o = startProxy(t, o, nil, func(x *exchange) {
		a := x.forward()
		if isPut(x.r, "/pointer") && drop.CompareAndSwap(true, false) {
			x.drop()
			return
		}
		if a.status == http.StatusPreconditionFailed {
			refused.Add(1)
		}
		x.reply(a)
	})
	b := open(t, url, o)

	drop.Store(true)
	first, err := storage.Commit(t.Context(), b, "pointer", []byte("mine, nonce 1"), storage.Cond{IfAbsent: true})
	if err != nil {
		t.Fatalf("commit of a new object: %v", err)
	}
	drop.Store(true)
	second, err := storage.Commit(t.Context(), b, "pointer", []byte("mine, nonce 2"), storage.Cond{IfMatch: first.ETag})
	if err != nil {
		t.Fatalf("commit over an object: %v", err)
	}
	if refused.Load() != 2 {
		t.Errorf("the server refused %d repetitions, want 2: the trap did not spring", refused.Load())
	}
	// Without the reading back, the same loss looks like a lost race.
	drop.Store(true)
	if _, err := b.Put(t.Context(), "pointer", storage.Bytes([]byte("mine, nonce 3")), storage.Cond{IfMatch: second.ETag}); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("a bare Put: %v", err)
	}
	// A lost race stays one.
	if _, err := storage.Commit(t.Context(), b, "pointer", []byte("late"), storage.Cond{IfMatch: first.ETag}); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("a stale commit: %v", err)
	}
}

// testS3LostCompletion drops the answer to the completion of a multipart upload: asked again, the server knows no such upload.
func testS3LostCompletion(t *testing.T, url string, o storage.Options) {
	var drop atomic.Bool
	drop.Store(true)
	o = startProxy(t, o, nil, func(x *exchange) {
		a := x.forward()
		if x.r.Method == http.MethodPost && x.r.URL.Query().Has("uploadId") && drop.CompareAndSwap(true, false) {
			x.drop()
			return
		}
		x.reply(a)
	})
	o.S3.PartSize = 5 << 20
	b := open(t, url, o)
	body := []byte(strings.Repeat("0123456789abcdef", 400_000)) // 6.4 MB, two parts
	if _, err := b.Put(t.Context(), "big", storage.Bytes(body), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := storage.ReadAll(t.Context(), b, "big"); err != nil || string(got) != string(body) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	if drop.Load() {
		t.Error("no completion was dropped")
	}
	if n, left, err := b.(storage.Versions).AbortUploads(t.Context(), "", time.Now().Add(time.Hour)); err != nil || n+left != 0 {
		t.Errorf("%d uploads left unfinished, %v", n, err)
	}
}

// testS3IgnoredConditions takes the conditions out of the requests, as some servers do in effect, and signs anew.
func testS3IgnoredConditions(t *testing.T, url string, o storage.Options) {
	for header, name := range map[string]string{"If-None-Match": "create-only", "If-Match": "if-match"} {
		t.Run(name, func(t *testing.T) {
			caFile, secure := newCA(t)
			o := startProxy(t, o, secure, func(x *exchange) {
				if x.r.Method == http.MethodPut && x.r.Header.Get(header) != "" {
					x.r.Header.Del(header)
					x.r.Header.Del("Authorization")
					x.r.URL.Host = x.r.Host
					x.r = signer.SignV4(*x.r, o.S3.AccessKey, o.S3.SecretKey, "", o.S3.Region)
				}
				x.reply(x.forward())
			})
			o.S3.CAFile = caFile
			b := open(t, url, o)
			err := storage.Probe(t.Context(), b)
			if !errors.Is(err, storage.ErrUnconditional) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "Use a server") {
				t.Errorf("Probe: %v", err)
			}
			for info := range b.List(t.Context(), "", storage.ListOpt{}) {
				t.Errorf("left behind: %s", info.Key)
			}
		})
	}
}

// testS3Conflict answers 409 once, as AWS does while another conditional write runs.
func testS3Conflict(t *testing.T, url string, o storage.Options) {
	var conflicts atomic.Int32
	o = startProxy(t, o, nil, func(x *exchange) {
		if isPut(x.r, "/pointer") && conflicts.Add(-1) >= 0 {
			x.fail(http.StatusConflict, "ConditionalRequestConflict")
			return
		}
		x.reply(x.forward())
	})
	b := open(t, url, o)
	conflicts.Store(1)
	if _, err := b.Put(t.Context(), "pointer", storage.Bytes(nil), storage.Cond{IfAbsent: true}); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("a bare Put: %v", err)
	}
	conflicts.Store(1)
	info, err := storage.Commit(t.Context(), b, "pointer", []byte("one"), storage.Cond{IfAbsent: true})
	if err != nil {
		t.Errorf("create: %v", err)
	}
	conflicts.Store(2)
	if _, err = storage.Commit(t.Context(), b, "pointer", []byte("two"), storage.Cond{IfMatch: info.ETag}); err != nil {
		t.Errorf("replace: %v", err)
	}
	conflicts.Store(100)
	if _, err = storage.Commit(t.Context(), b, "other-pointer", []byte("three"), storage.Cond{IfAbsent: true}); err != nil {
		t.Errorf("another key: %v", err)
	}
	_, err = storage.Commit(t.Context(), b, "a/pointer", []byte("three"), storage.Cond{IfAbsent: true})
	if tries := 100 - conflicts.Load(); !errors.Is(err, storage.ErrPrecondition) || tries != 3 {
		t.Errorf("conflicts without end: %v after %d tries", err, tries)
	}
}

// testS3Resume breaks every response of a read off after a while.
func testS3Resume(t *testing.T, url string, o storage.Options) {
	var cuts, whole atomic.Int32
	o = startProxy(t, o, nil, func(x *exchange) {
		a := x.forward()
		if x.r.Method == http.MethodGet && strings.HasSuffix(x.r.URL.Path, "/big") && a.status < 300 {
			if len(a.body) > 1000 {
				cuts.Add(1)
				x.cut(a, len(a.body)/2)
				return
			}
			whole.Add(1)
		}
		x.reply(a)
	})
	b := open(t, url, o)
	body := make([]byte, 100_000)
	for i := range body {
		body[i] = byte(i % 251)
	}
	if _, err := b.Put(t.Context(), "big", storage.Bytes(body), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []storage.Range{{}, {Off: 777, N: 50_000}, {Off: 90_000}} {
		rd, info, err := b.Get(t.Context(), "big", r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rd)
		rd.Close()
		want := body[r.Off:]
		if r.N > 0 {
			want = want[:r.N]
		}
		if err != nil || string(got) != string(want) || info.Size != int64(len(body)) {
			t.Errorf("%+v: %d bytes, %v; want %d", r, len(got), err, len(want))
		}
	}
	if cuts.Load() < 10 || whole.Load() != 3 {
		t.Errorf("%d responses broke off, %d came whole", cuts.Load(), whole.Load())
	}
}

// testS3ChangedWhileRead overwrites the object while a response is broken off: the reader must not go on in the new one.
func testS3ChangedWhileRead(t *testing.T, url string, o storage.Options) {
	plain := open(t, url, o)
	var once atomic.Bool
	o = startProxy(t, o, nil, func(x *exchange) {
		a := x.forward()
		if x.r.Method == http.MethodGet && strings.HasSuffix(x.r.URL.Path, "/k") && once.CompareAndSwap(false, true) {
			if _, err := plain.Put(context.Background(), "k", storage.Bytes([]byte(strings.Repeat("b", 1000))), storage.Cond{}); err != nil {
				t.Error(err)
			}
			x.cut(a, 100)
			return
		}
		x.reply(a)
	})
	if _, err := plain.Put(t.Context(), "k", storage.Bytes([]byte(strings.Repeat("a", 1000))), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	_, _, err := storage.ReadAll(t.Context(), open(t, url, o), "k")
	if !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("read of a changed object: %v", err)
	}
}

func testS3RangeIgnored(t *testing.T, url string, o storage.Options) {
	o = startProxy(t, o, nil, func(x *exchange) {
		a := x.forward()
		a.header.Del("Content-Range")
		x.reply(a)
	})
	b := open(t, url, o)
	if _, err := b.Put(t.Context(), "k", storage.Bytes([]byte("0123456789")), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Get(t.Context(), "k", storage.Range{Off: 3, N: 2}); err == nil || !strings.Contains(err.Error(), "byte range") {
		t.Errorf("a server without ranges: %v", err)
	}
}

// testS3Headers looks at what is sent.
func testS3Headers(t *testing.T, url string, o storage.Options) {
	for _, c := range []struct {
		name string
		set  func(*storage.S3)
		want map[string]string
	}{
		{"SSE-S3", func(s *storage.S3) { s.SSE = "s3" }, map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}},
		{"SSE-KMS", func(s *storage.S3) { s.SSE = "kms:key/1" }, map[string]string{
			"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key/1",
		}},
		{"Digest", func(*storage.S3) {}, map[string]string{"Content-Md5": "y6hHMLFiJWgFZ2jx/oKJsQ=="}},
		{"Checksums", func(s *storage.S3) { s.Checksums = true }, map[string]string{"X-Amz-Trailer": "x-amz-checksum-crc32c", "Content-Md5": ""}},
		{"Session", func(s *storage.S3) { s.SessionToken = "session" }, map[string]string{"X-Amz-Security-Token": "session"}},
		{"Anonymous", func(s *storage.S3) { s.Credentials = "anonymous" }, map[string]string{"Authorization": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sent http.Header
			o := startProxy(t, o, nil, func(x *exchange) {
				if isPut(x.r, "/k") {
					sent = x.r.Header.Clone()
					x.reply(answer{status: http.StatusOK, header: http.Header{"Etag": {`"tag"`}}})
					return
				}
				x.reply(answer{http.StatusOK, http.Header{}, []byte("<ListBucketResult></ListBucketResult>")})
			})
			c.set(&o.S3)
			b := open(t, url, o)
			if _, err := b.Put(t.Context(), "k", storage.Bytes([]byte("body!")), storage.Cond{IfAbsent: true}); err != nil {
				t.Fatal(err)
			}
			for k, v := range c.want {
				if sent.Get(k) != v {
					t.Errorf("%s: %q, want %q", k, sent.Get(k), v)
				}
			}
			if sent.Get("If-None-Match") != "*" {
				t.Errorf("If-None-Match: %q", sent.Get("If-None-Match"))
			}
		})
	}
}

func testS3Full(t *testing.T, url string, o storage.Options) {
	for status, code := range map[int]string{http.StatusForbidden: "QuotaExceeded", http.StatusInsufficientStorage: "XMinioStorageFull"} {
		o := startProxy(t, o, nil, func(x *exchange) {
			if isPut(x.r, "/k") {
				x.fail(status, code)
				return
			}
			x.reply(x.forward())
		})
		_, err := open(t, url, o).Put(t.Context(), "k", storage.Bytes([]byte("x")), storage.Cond{})
		if !errors.Is(err, storage.ErrFull) || !strings.Contains(err.Error(), "free some space") {
			t.Errorf("%d %s: %v", status, code, err)
		}
	}
}

func testS3BadCredentials(t *testing.T, url string, o storage.Options) {
	secret := o.S3.SecretKey
	wrong := o
	wrong.S3.SecretKey = secret + "x"
	unknown := o
	unknown.S3.AccessKey = "nobody"
	for want, o := range map[string]storage.Options{"secret key": wrong, "access key": unknown} {
		_, err := storage.Open(t.Context(), url, o)
		if !errors.Is(err, storage.ErrUnreachable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("wrong %s: %v", want, err)
		}
	}
	for _, s := range []string{fmt.Sprint(o), fmt.Sprintf("%+v", o), fmt.Sprintf("%#v", o), fmt.Sprintf("%v", &o)} {
		if strings.Contains(s, secret) || strings.Contains(s, o.S3.AccessKey) {
			t.Errorf("printed options show a key: %s", s)
		}
	}
}

func testS3MissingBucket(t *testing.T, _ string, o storage.Options) {
	_, err := storage.Open(t.Context(), "s3://no-such-bucket/x", o)
	if !errors.Is(err, storage.ErrUnreachable) || !strings.Contains(err.Error(), "create it") || !strings.Contains(err.Error(), "no-such-bucket") {
		t.Errorf("missing bucket: %v", err)
	}
}

func testS3BigCondition(t *testing.T, url string, o storage.Options) {
	o.S3.PartSize = 5 << 20
	b := open(t, url, o)
	body := storage.Body{Size: 5<<20 + 1, R: strings.NewReader(strings.Repeat("x", 5<<20+1))}
	for _, c := range []storage.Cond{{IfAbsent: true}, {IfMatch: "tag"}} {
		if _, err := b.Put(t.Context(), "k", body, c); err == nil || !strings.Contains(err.Error(), "multipart") {
			t.Errorf("%+v on a multipart upload: %v", c, err)
		}
	}
	body.Size--
	if _, err := b.Put(t.Context(), "k", body, storage.Cond{IfAbsent: true}); err != nil {
		t.Errorf("one part: %v", err)
	}
}

func testS3AbortUploads(t *testing.T, url string, o storage.Options) {
	core, err := minio.NewCore(strings.TrimPrefix(o.S3.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(o.S3.AccessKey, o.S3.SecretKey, ""), Region: o.S3.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	prefix := strings.TrimPrefix(url, "s3://rapport-test/")
	for _, key := range []string{"a/one", "a/two", "b/three"} {
		if _, err := core.NewMultipartUpload(t.Context(), "rapport-test", prefix+"/"+key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	v := open(t, url, o).(storage.Versions)
	for _, c := range []struct {
		prefix        string
		before        time.Duration // from now
		dropped, left int
	}{{"", -time.Hour, 0, 3}, {"a/", time.Hour, 2, 0}, {"a/", time.Hour, 0, 0}, {"", -time.Hour, 0, 1}, {"", time.Hour, 1, 0}, {"", time.Hour, 0, 0}} {
		if n, left, err := v.AbortUploads(t.Context(), c.prefix, time.Now().Add(c.before)); err != nil || n != c.dropped || left != c.left {
			t.Errorf("AbortUploads(%q, %s from now) = %d, %d, %v; want %d, %d", c.prefix, c.before, n, left, err, c.dropped, c.left)
		}
	}
}

// testS3Prefix: a bucket below a prefix sees nothing beside it.
func testS3Prefix(t *testing.T, url string, o storage.Options) {
	inner, outer := open(t, url+"/in/", o), open(t, url, o)
	for _, key := range []string{"in/a", "in2/b", "c"} {
		if _, err := outer.Put(t.Context(), key, storage.Bytes([]byte(key)), storage.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for info, err := range inner.List(t.Context(), "", storage.ListOpt{}) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if len(keys) != 1 || keys[0] != "a" {
		t.Errorf("listed %q", keys)
	}
	if body, _, err := storage.ReadAll(t.Context(), inner, "a"); err != nil || string(body) != "in/a" {
		t.Errorf("read %q, %v", body, err)
	}
}
