package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// s3Bucket is a Bucket in an S3-compatible store, below a prefix.
type s3Bucket struct {
	core     *minio.Core
	bucket   string
	prefix   string // "" or with a slash at its end
	sse      encrypt.ServerSide
	checksum minio.ChecksumType
	partSize int64
}

// Sizes of uploads, in bytes.
const (
	defaultPart = 16 << 20
	minPart     = 5 << 20 // S3's rule
	maxParts    = 10_000  // S3's rule
	uploaders   = 4       // parts sent at a time
)

// errRefused marks a condition on an object too big for a single Put.
var errRefused = errors.New("a condition on a multipart upload is refused, because some servers ignore it: " +
	"write the object under a key of its own and commit a small pointer to it")

func (s *s3Bucket) full(key string) string { return s.prefix + key }

// info translates; key is the full one.
func (s *s3Bucket) info(o minio.ObjectInfo) Info {
	return Info{
		Key:      strings.TrimPrefix(o.Key, s.prefix),
		Size:     o.Size,
		ETag:     strings.Trim(o.ETag, `"`),
		Version:  o.VersionID,
		Modified: o.LastModified.UTC(),
	}
}

// Head implements Bucket.
func (s *s3Bucket) Head(ctx context.Context, key string) (Info, error) {
	if err := checkKey("head", key); err != nil {
		return Info{}, err
	}
	o, err := s.core.StatObject(ctx, s.bucket, s.full(key), minio.StatObjectOptions{})
	if err != nil {
		return Info{}, s.failed(ctx, "head", key, err)
	}
	o.Key = s.full(key)
	return s.info(o), nil
}

// Put implements Bucket. Up to the part size it is one request; beyond, a multipart upload, unconditional only.
func (s *s3Bucket) Put(ctx context.Context, key string, b Body, c Cond) (Info, error) {
	if err := checkPut(key, b, c); err != nil {
		return Info{}, err
	}
	conditional := c != Cond{}
	if conditional && b.Size > s.partSize {
		return Info{}, failed("put", key, fmt.Errorf("%d bytes, more than the part size of %d: %w", b.Size, s.partSize, errRefused))
	}
	if err := readable(b); err != nil {
		return Info{}, failed("put", key, err)
	}
	opts := minio.PutObjectOptions{
		ServerSideEncryption: s.sse,
		NumThreads:           uploaders,
		PartSize:             uint64(max(s.partSize, ceilDiv(ceilDiv(b.Size, maxParts), 1<<20)<<20)),
		Checksum:             s.checksum,
		// Without a CRC trailer, a digest in the header guards single Puts, pointers above all. In multipart uploads it would
		// forbid reading parts in parallel.
		SendContentMd5: !s.checksum.IsSet() && b.Size <= s.partSize,
	}
	if c.IfAbsent {
		opts.SetMatchETagExcept("*")
	}
	if c.IfMatch != "" {
		opts.SetMatchETag(c.IfMatch)
	}
	up, err := s.upload(ctx, key, b, opts)
	if err != nil && minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
		// The answer to the completion was lost and minio-go asked again. Sending the same bytes once more is safe and certain.
		up, err = s.upload(ctx, key, b, opts)
	}
	if err != nil {
		return Info{}, s.putFailed(ctx, key, conditional, err)
	}
	return Info{Key: key, Size: b.Size, ETag: strings.Trim(up.ETag, `"`), Version: up.VersionID}, nil
}

func (s *s3Bucket) upload(ctx context.Context, key string, b Body, opts minio.PutObjectOptions) (minio.UploadInfo, error) {
	return s.core.Client.PutObject(ctx, s.bucket, s.full(key), io.NewSectionReader(b.R, 0, b.Size), b.Size, opts)
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// readable says whether the body has its last byte. A body that ends early is noticed here, not by a server that waits for the rest.
func readable(b Body) error {
	if b.Size == 0 {
		return nil
	}
	if n, err := b.R.ReadAt(make([]byte, 1), b.Size-1); n == 0 {
		return fmt.Errorf("the body ends before its size of %d bytes: %w", b.Size, err)
	}
	return nil
}

// Delete implements Bucket. On a versioned bucket it leaves a delete marker.
func (s *s3Bucket) Delete(ctx context.Context, key string) error {
	return s.deleteVersion(ctx, "delete", key, "")
}

// DeleteVersion implements Versions.
func (s *s3Bucket) DeleteVersion(ctx context.Context, key, version string) error {
	return s.deleteVersion(ctx, "delete version", key, version)
}

func (s *s3Bucket) deleteVersion(ctx context.Context, op, key, version string) error {
	if err := checkKey(op, key); err != nil {
		return err
	}
	err := s.core.RemoveObject(ctx, s.bucket, s.full(key), minio.RemoveObjectOptions{VersionID: version})
	if err = s.failed(ctx, op, key, err); errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Versioned implements Versions. A bucket whose versioning is suspended may still hold old ones, so it counts.
func (s *s3Bucket) Versioned(ctx context.Context) (bool, error) {
	v, err := s.core.GetBucketVersioning(ctx, s.bucket)
	if err != nil {
		code := minio.ToErrorResponse(err).Code
		if code == minio.NotImplemented || code == "VersioningNotConfigured" {
			return false, nil
		}
		return false, s.failed(ctx, "read versioning of bucket", s.bucket, err)
	}
	return v.Enabled() || v.Suspended(), nil
}

// AbortUploads implements Versions.
func (s *s3Bucket) AbortUploads(ctx context.Context, prefix string, before time.Time) (dropped, left int, err error) {
	if err := checkList(prefix, ListOpt{}); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends minio-go's listing
	for up := range s.core.ListIncompleteUploads(ctx, s.bucket, s.full(prefix), true) {
		if up.Err != nil {
			return dropped, left, s.failed(ctx, "list unfinished uploads", prefix, up.Err)
		}
		if !up.Initiated.Before(before) {
			left++
			continue
		}
		if err := s.core.AbortMultipartUpload(ctx, s.bucket, up.Key, up.UploadID); err != nil &&
			minio.ToErrorResponse(err).Code != minio.NoSuchUpload {
			return dropped, left, s.failed(ctx, "abort upload", strings.TrimPrefix(up.Key, s.prefix), err)
		}
		dropped++
	}
	return dropped, left, ctx.Err()
}
