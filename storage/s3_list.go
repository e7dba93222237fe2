package storage

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
)

// pageKeys is what S3 returns a request, at most.
const pageKeys = 1000

// List implements Bucket: one request per 1,000 keys. Folder markers (keys that end in a slash, made by some consoles) are left out.
func (s *s3Bucket) List(ctx context.Context, prefix string, o ListOpt) iter.Seq2[Info, error] {
	if o.Delimiter == "" {
		return s.page(ctx, prefix, o, pageKeys)
	}
	// S3 sends the keys of a page first and its common prefixes after them. Only sorting the level gives one byte order.
	return func(yield func(Info, error) bool) {
		var level []Info
		for info, err := range s.page(ctx, prefix, o, pageKeys) {
			if err != nil {
				yield(Info{}, err)
				return
			}
			level = append(level, info)
		}
		slices.SortFunc(level, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
		for _, info := range level {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// page yields a listing in the server's order, and checks that order where there is no delimiter.
func (s *s3Bucket) page(ctx context.Context, prefix string, o ListOpt, n int) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkList(prefix, o); err != nil {
			yield(Info{}, err)
			return
		}
		opts := minio.ListObjectsOptions{Prefix: s.full(prefix), Recursive: o.Delimiter == "", MaxKeys: n, FetchOwner: new(bool)}
		if o.After != "" {
			opts.StartAfter = s.full(o.After)
		}
		last := ""
		for obj := range s.core.ListObjectsIter(ctx, s.bucket, opts) {
			if obj.Err != nil {
				yield(Info{}, s.failed(ctx, "list", prefix, obj.Err))
				return
			}
			info := s.info(obj)
			common := strings.HasSuffix(info.Key, "/")
			if common {
				info = Info{Key: info.Key}
			}
			if info.Key <= o.After || common && o.Delimiter == "" || info.Key == "" || info.Key == prefix && common {
				continue
			}
			if o.Delimiter == "" && info.Key <= last {
				yield(Info{}, failed("list", prefix, fmt.Errorf("the server lists %q after %q, out of byte order: "+
					"use a general purpose bucket", info.Key, last)))
				return
			}
			last = info.Key
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil { // minio-go ends a cancelled listing without a word
			yield(Info{}, failed("list", prefix, err))
		}
	}
}

// ListVersions implements Versions.
func (s *s3Bucket) ListVersions(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkList(prefix, ListOpt{}); err != nil {
			yield(Info{}, err)
			return
		}
		opts := minio.ListObjectsOptions{Prefix: s.full(prefix), Recursive: true, WithVersions: true}
		for obj := range s.core.ListObjectsIter(ctx, s.bucket, opts) {
			if obj.Err != nil {
				yield(Info{}, s.failed(ctx, "list versions", prefix, obj.Err))
				return
			}
			info := s.info(obj)
			if info.Key == "" || strings.HasSuffix(info.Key, "/") {
				continue // a folder marker, as in List
			}
			if obj.IsDeleteMarker {
				info.ETag, info.Size = "", 0
			}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Info{}, failed("list versions", prefix, err))
		}
	}
}
