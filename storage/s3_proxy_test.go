package storage_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/storage"
)

// answer is a response of the server behind a proxy.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange is one request that a proxy holds in its hands.
type exchange struct {
	t       *testing.T
	w       http.ResponseWriter
	r       *http.Request
	body    []byte
	backend *url.URL
}

// forward asks the server.
func (x *exchange) forward() answer {
	out := x.r.Clone(x.r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = x.backend.Scheme, x.backend.Host
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return answer{status: http.StatusBadGateway, header: http.Header{}}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		x.t.Errorf("proxy: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// reply hands an answer to the client.
func (x *exchange) reply(a answer) {
	for k, v := range a.header {
		x.w.Header()[k] = v
	}
	x.w.WriteHeader(a.status)
	x.w.Write(a.body)
}

// fail answers with an S3 error.
func (x *exchange) fail(status int, code string) {
	x.reply(answer{
		status,
		http.Header{"Content-Type": {"application/xml"}},
		[]byte("<Error><Code>" + code + "</Code><Message>said by the proxy</Message></Error>"),
	})
}

// drop closes the connection without an answer.
func (x *exchange) drop() { x.cut(answer{}, -1) }

// cut sends the head of an answer and the first n bytes of its body, and closes the connection; n < 0 sends nothing at all.
func (x *exchange) cut(a answer, n int) {
	conn, buf, err := x.w.(http.Hijacker).Hijack()
	if err != nil {
		x.t.Errorf("proxy: %v", err)
		return
	}
	defer conn.Close()
	if n < 0 {
		return
	}
	buf.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status) + "\r\n")
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	a.header.Write(buf)
	buf.WriteString("\r\n")
	buf.Write(a.body[:n])
	buf.Flush()
}

// startProxy puts a proxy in front of the server at o.S3.Endpoint and returns the options to go through it. With a TLS configuration
// it speaks https.
func startProxy(t *testing.T, o storage.Options, secure *tls.Config, handle func(*exchange)) storage.Options {
	t.Helper()
	backend, err := url.Parse(o.S3.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		handle(&exchange{t: t, w: w, r: r, body: body, backend: backend})
	}))
	if secure != nil {
		srv.TLS = secure
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	o.S3.Endpoint = srv.URL
	return o
}

// newCA makes a certificate authority, writes its certificate to a file, and returns that file and a server's configuration.
func newCA(t *testing.T) (caFile string, server *tls.Config) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: ca.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	must(err)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	must(os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600))
	return caFile, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// isPut says whether a request stores the object whose key ends so.
func isPut(r *http.Request, key string) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, key)
}
