package storage

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
)

// failed maps an error of the store to the contract's, and says what to do where an operator can act.
func (s *s3Bucket) failed(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if cerr := ctx.Err(); cerr != nil {
		return failed(op, key, cerr)
	}
	return failed(op, key, s.classify(err))
}

// putFailed adds what only a Put's answer means: 404 on a condition is a condition that did not hold, and 409 says that another
// conditional write is under way.
func (s *s3Bucket) putFailed(ctx context.Context, key string, conditional bool, err error) error {
	resp := minio.ToErrorResponse(err)
	if conditional && ctx.Err() == nil {
		switch {
		case resp.Code == minio.NoSuchKey, resp.Code == "ConditionalRequestConflict",
			resp.StatusCode == http.StatusConflict && resp.Code == minio.Conflict:
			return failed("put", key, fmt.Errorf("%w (%s)", ErrPrecondition, resp.Code))
		case resp.StatusCode == http.StatusNotImplemented:
			return failed("put", key, fmt.Errorf("%w: %w", ErrUnconditional, err))
		}
	}
	return s.failed(ctx, "put", key, err)
}

// hints say what to do about an answer, by its S3 error code.
var hints = map[string]string{
	"InvalidAccessKeyId":           "the server does not know the access key: check the credentials",
	"XAdminUserNotFound":           "the server does not know the access key: check the credentials", // versitygw, with status 404
	"SignatureDoesNotMatch":        "the server refused the signature: check the secret key, the region, and path style",
	"ExpiredToken":                 "the session token has expired: get new credentials",
	"RequestTimeTooSkewed":         "this machine's clock is wrong: set it",
	"AuthorizationHeaderMalformed": "the region is wrong: set it",
	"PermanentRedirect":            "the bucket is in another region: set the region",
	"AccessDenied":                 "access denied: the credentials need s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket",
	"NoSuchBucket":                 "the bucket does not exist: create it, or correct the URL",
	"InvalidBucketName":            "the bucket's name is not valid: correct the URL",
}

func (s *s3Bucket) classify(err error) error {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		return s.classifyNetwork(err)
	}
	switch resp.Code {
	case "PreconditionFailed":
		return ErrPrecondition
	case "NoSuchKey", "NoSuchVersion": // never by the status alone: some servers answer 404 to an unknown access key
		return ErrNotFound
	case "QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "InsufficientStorage":
		return fmt.Errorf("%w: free some space or raise the quota (%s)", ErrFull, resp.Code)
	}
	if hint, ok := hints[resp.Code]; ok {
		return fmt.Errorf("%w: bucket %q at %s: %s", ErrUnreachable, s.bucket, s.core.EndpointURL().Host, hint)
	}
	switch resp.StatusCode {
	case http.StatusPreconditionFailed:
		return ErrPrecondition
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("%w: bucket %q at %s: %s (%s)", ErrUnreachable, s.bucket, s.core.EndpointURL().Host, hints["AccessDenied"], resp.Code)
	case http.StatusInsufficientStorage:
		return fmt.Errorf("%w: free some space or raise the quota", ErrFull)
	}
	return fmt.Errorf("the server answered %s (status %d): %w", resp.Code, resp.StatusCode, err)
}

// classifyNetwork judges errors that came without an answer. The URL of the request is left out: it says nothing new, and may be long.
func (s *s3Bucket) classifyNetwork(err error) error {
	var sent *url.Error
	if errors.As(err, &sent) {
		err = sent.Err
	}
	var unknownCA x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var dns *net.DNSError
	var op *net.OpError
	hint := ""
	switch {
	case errors.As(err, &unknownCA):
		hint = "its certificate is signed by an unknown authority: give the CA's certificate as the CA file"
	case errors.As(err, &hostname):
		hint = "its certificate is for another name: correct the endpoint, or use path style"
	case errors.As(err, &dns):
		hint = "the name is unknown: correct the endpoint, or use path style"
	case errors.As(err, &op) && op.Op == "remote error": // of TLS
		hint = "it refused this client's certificate, or wants one: give it as cert_file and key_file"
	case errors.As(err, &op):
		hint = "no connection: check the endpoint and that the server runs"
	case minio.IsNetworkOrHostDown(err, false), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		hint = "the connection broke"
	default:
		return err
	}
	return fmt.Errorf("%w: bucket %q at %s: %s (%w)", ErrUnreachable, s.bucket, s.core.EndpointURL().Host, hint, err)
}
