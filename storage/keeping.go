package storage

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Keeping is an optional power of a Bucket: it says what keeps a copy of objects that are deleted or replaced.
type Keeping interface {
	// Keeping asks the server. What it does not tell, or not to this user, stands in NotTold. Cost: three requests.
	Keeping(ctx context.Context) (Kept, error)
}

// Kept is what keeps copies of objects.
type Kept struct {
	Versions   bool     // old versions of objects are kept, or were and may be there still
	Locked     string   // how long no version can be deleted, as "compliance, 30 days"; "objects may be" where each has a time of its own; "": nothing locks
	Replicated []string // where objects are copied to
	NotTold    []string // of versions, locks and replicas, what the server does not tell
}

// Keeping implements Keeping.
func (s *s3Bucket) Keeping(ctx context.Context) (k Kept, err error) {
	// told reports whether the server has answered; none are the codes with which it says that there is nothing.
	told := func(what string, err error, none ...string) (bool, error) {
		if err == nil {
			return true, nil
		}
		r := minio.ToErrorResponse(err)
		for _, code := range none {
			if r.Code == code {
				return false, nil
			}
		}
		if r.Code == minio.NotImplemented || r.Code == "AccessDenied" || r.Code == "MethodNotAllowed" || r.StatusCode == http.StatusNotImplemented || r.StatusCode == http.StatusMethodNotAllowed {
			k.NotTold = append(k.NotTold, what)
			return false, nil
		}
		return false, s.failed(ctx, "read "+what+" of bucket", s.bucket, err)
	}
	v, err := s.core.GetBucketVersioning(ctx, s.bucket)
	ok, err := told("versions", err, "VersioningNotConfigured")
	if err != nil {
		return k, err
	}
	k.Versions = ok && (v.Enabled() || v.Suspended())
	on, mode, validity, unit, err := s.core.GetObjectLockConfig(ctx, s.bucket)
	if ok, err = told("locks", err, "ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"); err != nil {
		return k, err
	}
	switch {
	case ok && mode != nil && validity != nil && unit != nil:
		k.Locked = strings.ToLower(fmt.Sprintf("%s, %d %s", *mode, *validity, *unit))
	case ok && on == "Enabled":
		k.Locked = "objects may be"
	}
	c, err := s.core.GetBucketReplication(ctx, s.bucket)
	if ok, err = told("replicas", err, "ReplicationConfigurationNotFoundError"); err != nil {
		return k, err
	}
	if ok {
		for _, r := range c.Rules {
			if r.Status == "Enabled" {
				k.Replicated = append(k.Replicated, r.Destination.Bucket)
			}
		}
	}
	return k, nil
}
