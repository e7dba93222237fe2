package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
)

// maxStalls bounds how often a read asks again without having received a byte. Each asking is itself retried by minio-go.
const maxStalls = 3

// Get implements Bucket. It is one request; a response that breaks off is resumed, on the same object only.
func (s *s3Bucket) Get(ctx context.Context, key string, r Range) (io.ReadCloser, Info, error) {
	if err := checkKey("get", key); err != nil {
		return nil, Info{}, err
	}
	if r.Off < 0 || r.N < 0 {
		_, _, err := r.clip(0)
		return nil, Info{}, failed("get", key, err)
	}
	body, info, err := s.open(ctx, key, r)
	if err != nil && minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return s.emptyRange(ctx, key, r)
	}
	if err != nil {
		return nil, Info{}, s.failed(ctx, "get", key, err)
	}
	from, to, err := r.clip(info.Size)
	if err != nil {
		body.Close()
		return nil, Info{}, failed("get", key, err)
	}
	return &s3Reader{ctx: ctx, s: s, info: info, at: from, end: to, body: body}, info, nil
}

// open sends the request of a Get.
func (s *s3Bucket) open(ctx context.Context, key string, r Range) (io.ReadCloser, Info, error) {
	var opts minio.GetObjectOptions
	ranged := r.Off > 0 || r.N > 0
	switch {
	case r.N > 0:
		opts.Set("Range", fmt.Sprintf("bytes=%d-%d", r.Off, r.Off+r.N-1))
	case r.Off > 0:
		opts.Set("Range", fmt.Sprintf("bytes=%d-", r.Off))
	}
	if r.IfMatch != "" {
		if err := opts.SetMatchETag(r.IfMatch); err != nil {
			return nil, Info{}, err
		}
	}
	body, o, header, err := s.core.GetObject(ctx, s.bucket, s.full(key), opts)
	if err != nil {
		return nil, Info{}, err
	}
	o.Key = s.full(key)
	info := s.info(o)
	if ranged {
		if info.Size, err = totalSize(header.Get("Content-Range"), r.Off); err != nil {
			body.Close()
			return nil, Info{}, err
		}
	}
	return body, info, nil
}

// totalSize reads the object's size from a Content-Range ("bytes 10-19/200") that must begin at off.
func totalSize(contentRange string, off int64) (int64, error) {
	span, total, ok := strings.Cut(strings.TrimPrefix(contentRange, "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	size, err := strconv.ParseInt(total, 10, 64)
	if start, serr := strconv.ParseInt(first, 10, 64); !ok || err != nil || serr != nil || start != off || size < 0 {
		return 0, fmt.Errorf("the server did not honour a byte range from %d (Content-Range %q)", off, contentRange)
	}
	return size, nil
}

// emptyRange answers a range that the server calls unsatisfiable: one at the end of the object is empty, one past it is an error.
func (s *s3Bucket) emptyRange(ctx context.Context, key string, r Range) (io.ReadCloser, Info, error) {
	info, err := s.Head(ctx, key)
	if err != nil {
		return nil, Info{}, err
	}
	if r.IfMatch != "" && r.IfMatch != info.ETag {
		return nil, Info{}, failed("get", key, ErrPrecondition)
	}
	from, to, err := r.clip(info.Size)
	if err == nil && from != to {
		err = errors.New("the server refused a byte range that lies in the object")
	}
	if err != nil {
		return nil, Info{}, failed("get", key, err)
	}
	return http.NoBody, info, nil
}

// s3Reader reads [at, end) of an object.
type s3Reader struct {
	ctx    context.Context
	s      *s3Bucket
	info   Info
	at     int64
	end    int64
	body   io.ReadCloser // nil while broken off
	stalls int
	err    error // sticky
}

func (r *s3Reader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.at == r.end {
			r.err = io.EOF
			break
		}
		if len(p) == 0 {
			return 0, nil
		}
		if r.body == nil {
			if r.body, _, r.err = r.s.open(r.ctx, r.info.Key, Range{Off: r.at, N: r.end - r.at, IfMatch: r.info.ETag}); r.err != nil {
				r.err = r.s.failed(r.ctx, "get", r.info.Key, r.err)
				break
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.at)])
		r.at += int64(n)
		if n > 0 {
			r.stalls = 0
		}
		if err == nil || r.at == r.end {
			return n, nil
		}
		r.body.Close()
		r.body = nil
		if n > 0 {
			return n, nil
		}
		if r.stalls++; r.stalls > maxStalls || r.ctx.Err() != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			r.err = r.s.failed(r.ctx, "get", r.info.Key, fmt.Errorf("broke off at byte %d of %d: %w", r.at, r.end, err))
		}
	}
	return 0, r.err
}

func (r *s3Reader) Close() error {
	if r.err == nil || r.err == io.EOF {
		r.err = errors.New("read after close")
	}
	if r.body == nil {
		return nil
	}
	body := r.body
	r.body = nil
	return body.Close()
}
