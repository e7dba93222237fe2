package storagetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// makeCertificates makes an authority, and certificates of it for the server and for a client, in the server's folder.
func makeCertificates(t testing.TB, r *Redis) {
	t.Helper()
	r.CAFile, r.CertFile, r.KeyFile = filepath.Join(r.dir, "ca.pem"), filepath.Join(r.dir, "client.pem"), filepath.Join(r.dir, "client.key")
	ca, caKey := certificate(t, "authority", nil, nil, r.CAFile, "")
	certificate(t, "server", ca, caKey, filepath.Join(r.dir, "server.pem"), filepath.Join(r.dir, "server.key"))
	certificate(t, "client", ca, caKey, r.CertFile, r.KeyFile)
}

// certificate makes a certificate and its key, signed by ca or, if that is nil, by itself, and writes them as PEM.
func certificate(t testing.TB, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	if ca == nil {
		c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign
		ca, caKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	if keyFile != "" {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, keyFile, "PRIVATE KEY", der)
	}
	return c, key
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
