package storage

import (
	"context"
	"errors"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// Encrypted is an optional power of a Bucket: it says what its server does with objects for which nothing is asked.
type Encrypted interface {
	// DefaultEncryption returns "s3", "kms" (the account's key) or "kms:KEYID", and "" if objects are kept unencrypted. Its error is ErrNotTold if the
	// server does not say. Cost: one request.
	DefaultEncryption(ctx context.Context) (string, error)
}

// ErrNotTold says that a server does not know a question, or does not answer it to this user.
var ErrNotTold = errors.New("the server does not say")

// DefaultEncryption implements Encrypted.
func (s *s3Bucket) DefaultEncryption(ctx context.Context) (string, error) {
	c, err := s.core.GetBucketEncryption(ctx, s.bucket)
	if err != nil {
		resp := minio.ToErrorResponse(err)
		switch {
		case resp.Code == "ServerSideEncryptionConfigurationNotFoundError":
			return "", nil
		case resp.Code == minio.NotImplemented, resp.Code == "AccessDenied", resp.Code == "MethodNotAllowed", resp.StatusCode == http.StatusNotImplemented:
			return "", failed("read default encryption of bucket", s.bucket, ErrNotTold)
		}
		return "", s.failed(ctx, "read default encryption of bucket", s.bucket, err)
	}
	for _, r := range c.Rules {
		switch how := r.Apply; {
		case how.SSEAlgorithm == "AES256":
			return "s3", nil
		case how.SSEAlgorithm == "aws:kms" && how.KmsMasterKeyID != "":
			return "kms:" + how.KmsMasterKeyID, nil
		case how.SSEAlgorithm == "aws:kms":
			return "kms", nil
		case how.SSEAlgorithm != "": // as aws:kms:dsse
			return how.SSEAlgorithm, nil
		}
	}
	return "", nil
}
