package storage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// S3 says how to reach an S3-compatible store. Printing it shows no secret.
type S3 struct {
	Endpoint  string // http://host:port or https://host:port; "" is AWS
	Region    string // "" takes AWS_REGION or AWS_DEFAULT_REGION, else asks AWS, and assumes us-east-1 of other servers
	PathStyle bool   // http://host/bucket/key; otherwise http://bucket.host/key, except where the host is an IP address
	CAFile    string // PEM certificates trusted besides the system's

	CertFile, KeyFile string // PEM, of a client's certificate, for servers that want one

	// Credentials says where keys come from. "env", the default, looks in the environment (AWS_ACCESS_KEY_ID,
	// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), then in the shared credentials file (AWS_PROFILE), then asks for the role of the
	// web identity, container or instance, unless AWS_EC2_METADATA_DISABLED is true. "static" takes the keys below (they are taken
	// as well if AccessKey is set and Credentials is not). "anonymous" signs nothing.
	Credentials                        string
	AccessKey, SecretKey, SessionToken string

	SSE       string // encryption by the server: "" (the bucket's default), "s3", or "kms:KEYID"
	Checksums bool   // send and ask for CRC-32C trailers; some servers reject them
	PartSize  int64  // bytes; objects up to it are one Put, bigger ones multipart uploads. 0 is 16 MiB, the least is 5 MiB

	dial func(ctx context.Context, network, addr string) (net.Conn, error) // for tests
}

// String leaves the keys out.
func (o S3) String() string {
	return fmt.Sprintf("S3{%q region=%q path_style=%t credentials=%q}", o.Endpoint, o.Region, o.PathStyle, o.Credentials)
}

// GoString leaves the keys out.
func (o S3) GoString() string { return o.String() }

// openS3 connects to bucket/prefix and asks the server once.
func openS3(ctx context.Context, rest string, o S3) (*s3Bucket, error) {
	bucket, prefix, _ := strings.Cut(rest, "/")
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix != "" {
		if err := validKey(prefix); err != nil {
			return nil, err
		}
		prefix += "/"
	}
	s := &s3Bucket{bucket: bucket, prefix: prefix, partSize: o.PartSize}
	switch {
	case s.partSize == 0:
		s.partSize = defaultPart
	case s.partSize < minPart:
		return nil, fmt.Errorf("part size %d: S3 wants at least %d bytes", s.partSize, minPart)
	}
	if o.Checksums {
		s.checksum = minio.ChecksumCRC32C
	}
	var err error
	if s.sse, err = o.encryption(); err != nil {
		return nil, err
	}
	if s.core, err = o.connect(ctx, bucket); err != nil {
		return nil, err
	}
	for _, err := range s.page(ctx, "", ListOpt{}, 1) {
		if err != nil {
			return nil, err
		}
		break
	}
	return s, nil
}

func (o S3) encryption() (encrypt.ServerSide, error) {
	kind, key, _ := strings.Cut(o.SSE, ":")
	switch {
	case o.SSE == "":
		return nil, nil
	case o.SSE == "s3":
		return encrypt.NewSSE(), nil
	case kind == "kms" && key != "":
		return encrypt.NewSSEKMS(key, nil)
	}
	return nil, fmt.Errorf(`encryption %q: write "s3" or "kms:KEYID"`, o.SSE)
}

// connect makes the client. The only request it may send is for a role's credentials.
func (o S3) connect(ctx context.Context, bucket string) (*minio.Core, error) {
	host, secure, err := o.host()
	if err != nil {
		return nil, err
	}
	transport, err := o.transport(secure)
	if err != nil {
		return nil, err
	}
	creds, err := o.credentials(ctx)
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(host, &minio.Options{
		Creds:           creds,
		Secure:          secure,
		Transport:       transport,
		Region:          o.region(),
		BucketLookup:    o.lookup(host, bucket, secure),
		TrailingHeaders: o.Checksums,
		MaxRetries:      5, // with minio-go's waits: a dead server is reported within about three seconds
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", o.Endpoint, err)
	}
	return core, nil
}

func (o S3) host() (host string, secure bool, err error) {
	if o.Endpoint == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", false, fmt.Errorf("endpoint: write https://host:port or http://host:port, without a path or credentials")
	}
	return u.Host, u.Scheme == "https", nil
}

func (o S3) region() string {
	for _, r := range []string{o.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")} {
		if r != "" {
			return r
		}
	}
	if o.Endpoint != "" {
		return "us-east-1" // what servers outside AWS take, and saves a request that they may refuse
	}
	return ""
}

// lookup chooses between virtual-host and path style. A bucket with dots does not match the server's wildcard certificate.
func (o S3) lookup(host, bucket string, secure bool) minio.BucketLookupType {
	name := (&url.URL{Host: host}).Hostname()
	if o.PathStyle || net.ParseIP(name) != nil || secure && strings.Contains(bucket, ".") {
		return minio.BucketLookupPath
	}
	return minio.BucketLookupDNS
}

func (o S3) transport(secure bool) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	if o.dial != nil {
		t.DialContext = o.dial
	}
	if o.CAFile+o.CertFile+o.KeyFile == "" {
		return t, nil
	}
	if !secure {
		return nil, errors.New("certificates are given but the endpoint is not https")
	}
	if o.CertFile+o.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	if o.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s: no PEM certificate in it", o.CAFile)
	}
	t.TLSClientConfig.RootCAs = roots
	return t, nil
}

// roleTimeout bounds the question for a role: off a cloud, nobody answers it.
const roleTimeout = 3 * time.Second

func (o S3) credentials(ctx context.Context) (*credentials.Credentials, error) {
	how := o.Credentials
	if how == "" && o.AccessKey != "" {
		how = "static"
	}
	switch how {
	case "static":
		if o.AccessKey == "" || o.SecretKey == "" {
			return nil, fmt.Errorf("%w: static credentials need both keys", ErrUnreachable)
		}
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken), nil
	case "anonymous":
		return credentials.NewStatic("", "", "", credentials.SignatureAnonymous), nil
	case "", "env":
	default:
		return nil, fmt.Errorf(`credentials %q: write "env", "static" or "anonymous"`, o.Credentials)
	}
	chain := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if roleOffered() {
		chain = append(chain, &credentials.IAM{Client: &http.Client{Timeout: roleTimeout}})
	}
	creds := credentials.NewChainCredentials(chain)
	v, err := creds.GetWithContext(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: credentials: %w", ErrUnreachable, err)
	}
	if v.AccessKeyID == "" || v.SecretAccessKey == "" {
		return nil, fmt.Errorf("%w: no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write a profile to "+
			"the shared credentials file (AWS_PROFILE), or run where a role is offered; for a public bucket choose anonymous", ErrUnreachable)
	}
	return creds, ctx.Err()
}

// roleOffered says whether asking for a role may help: named in the environment, or by the instance's metadata service.
func roleOffered() bool {
	for _, name := range []string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE",
	} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true")
}
