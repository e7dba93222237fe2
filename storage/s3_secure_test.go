package storage_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// Every way to write carries the key under which the server is to encrypt: a Put without a condition, one with each, and an upload in parts, which says
// so when it begins. What the server, which has no keys, is passed on is without it.
func TestS3EncryptsEveryWrite(t *testing.T) {
	url, o := storagetest.NewS3(t)
	for sse, want := range map[string][2]string{"s3": {"AES256", ""}, "kms:arn:aws:kms:eu-central-1:1:key/2": {"aws:kms", "arn:aws:kms:eu-central-1:1:key/2"}} {
		var mu sync.Mutex
		seen := map[string]int{}
		through := startProxy(t, o, nil, func(x *exchange) {
			kind := ""
			switch _, begins := x.r.URL.Query()["uploads"]; {
			case x.r.Method == http.MethodPost && begins:
				kind = "upload"
			case x.r.Method != http.MethodPut || x.r.URL.Query().Get("uploadId") != "":
			case x.r.Header.Get("If-None-Match") != "":
				kind = "create"
			case x.r.Header.Get("If-Match") != "":
				kind = "replace"
			default:
				kind = "put"
			}
			if kind != "" {
				mu.Lock()
				seen[kind]++
				mu.Unlock()
				if how, key := x.r.Header.Get("X-Amz-Server-Side-Encryption"), x.r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"); how != want[0] || key != want[1] {
					t.Errorf("%s: %s asks for %q with key %q", sse, kind, how, key)
				}
			}
			x.reply(x.forward())
		})
		through.S3.SSE = sse
		b := open(t, url, through)
		key := "enc/" + want[0]
		first, err := b.Put(t.Context(), key, storage.Bytes([]byte("one")), storage.Cond{IfAbsent: true})
		if err == nil {
			_, err = b.Put(t.Context(), key, storage.Bytes([]byte("two")), storage.Cond{IfMatch: first.ETag})
		}
		if err == nil {
			_, err = b.Put(t.Context(), key, storage.Bytes([]byte("three")), storage.Cond{})
		}
		if err == nil {
			_, err = b.Put(t.Context(), key+"-large", storage.Bytes(bytes.Repeat([]byte("x"), 17<<20)), storage.Cond{})
		}
		if err != nil {
			t.Fatal(err)
		}
		if seen["create"] != 1 || seen["replace"] != 1 || seen["put"] != 1 || seen["upload"] != 1 {
			t.Errorf("%s: seen were %v", sse, seen)
		}
	}
}

// What a bucket does by itself is told, and so is that a server does not know the question, as the one of the tests.
func TestS3DefaultEncryption(t *testing.T) {
	url, o := storagetest.NewS3(t)
	const head = `<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ApplyServerSideEncryptionByDefault>`
	const tail = `</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`
	for _, c := range []struct {
		status     int
		body, want string
		err        error
	}{
		{200, head + `<SSEAlgorithm>AES256</SSEAlgorithm>` + tail, "s3", nil},
		{200, head + `<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>key/1</KMSMasterKeyID>` + tail, "kms:key/1", nil},
		{200, head + `<SSEAlgorithm>aws:kms</SSEAlgorithm>` + tail, "kms", nil},
		{200, head + `<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>` + tail, "aws:kms:dsse", nil},
		{200, `<ServerSideEncryptionConfiguration></ServerSideEncryptionConfiguration>`, "", nil},
		{404, `<Error><Code>ServerSideEncryptionConfigurationNotFoundError</Code></Error>`, "", nil},
		{403, `<Error><Code>AccessDenied</Code></Error>`, "", storage.ErrNotTold},
		{501, `<Error><Code>NotImplemented</Code></Error>`, "", storage.ErrNotTold},
		{0, "", "", storage.ErrNotTold}, // what the real server says
		{403, `<Error><Code>SignatureDoesNotMatch</Code></Error>`, "", storage.ErrUnreachable},
	} {
		through := startProxy(t, o, nil, func(x *exchange) {
			if _, asks := x.r.URL.Query()["encryption"]; asks && c.status != 0 {
				x.reply(answer{c.status, http.Header{"Content-Type": {"application/xml"}}, []byte(c.body)})
				return
			}
			x.reply(x.forward())
		})
		b, ok := open(t, url, through).(storage.Encrypted)
		if !ok {
			t.Fatal("a bucket on S3 does not say how it encrypts")
		}
		if got, err := b.DefaultEncryption(t.Context()); got != c.want || !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%d %s: %q, %v", c.status, c.body, got, err)
		}
	}
}

// A server that wants a certificate of its clients is reached with one, and without it says what is missing.
func TestS3ClientCertificate(t *testing.T) {
	url, o := storagetest.NewS3(t)
	r := storagetest.StartRedis(t, storagetest.RedisOptions{TLS: true}) // whose authority and client's certificate serve here as well
	caFile, secure := newCA(t)
	pem, err := os.ReadFile(r.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	secure.ClientCAs, secure.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !secure.ClientCAs.AppendCertsFromPEM(pem) {
		t.Fatal("no authority")
	}
	through := startProxy(t, o, secure, func(x *exchange) { x.reply(x.forward()) })
	through.S3.CAFile = caFile
	if _, err := storage.Open(t.Context(), url, through); !errors.Is(err, storage.ErrUnreachable) || !strings.Contains(err.Error(), "cert_file") {
		t.Errorf("without a certificate: %v", err)
	}
	through.S3.CertFile, through.S3.KeyFile = r.CertFile, r.KeyFile
	b := open(t, url, through)
	if _, err := b.Put(t.Context(), "k", storage.Bytes([]byte("x")), storage.Cond{IfAbsent: true}); err != nil {
		t.Error(err)
	}
	through.S3.KeyFile = filepath.Join(t.TempDir(), "none.key")
	if _, err := storage.Open(t.Context(), url, through); err == nil || !strings.Contains(err.Error(), "client certificate") {
		t.Errorf("without its key: %v", err)
	}
}
