package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Options says how Open reaches a bucket. The zero value is enough for a directory, for memory, and for AWS S3 with credentials in
// the usual places.
type Options struct {
	S3 S3
	// Now stamps the objects of a memory bucket; nil stamps them 1 ms apart from the epoch on.
	Now func() time.Time
}

// Open returns the bucket at rawURL:
//
//	s3://bucket/prefix   an S3-compatible store; o.S3 says where and how
//	file:PATH            a directory, relative to the working directory or absolute (also file:///abs)
//	mem:                 a new, empty bucket in memory
//
// Opening an s3 URL asks the server once, so that a wrong name, endpoint or credential is reported here (ErrUnreachable, with what
// to do). A directory is made by the first Put; until then it is an empty bucket.
func Open(ctx context.Context, rawURL string, o Options) (Bucket, error) {
	scheme, rest, err := splitScheme(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open storage %q: %w", rawURL, err)
	}
	switch scheme {
	case "mem":
		return NewMemory(o.Now), nil
	case "file":
		return openDir(rest), nil
	}
	b, err := openS3(ctx, rest, o.S3)
	if err != nil {
		return nil, fmt.Errorf("open storage %q: %w", rawURL, err)
	}
	return b, nil
}

// splitScheme returns the scheme (s3, file or mem) and what follows: bucket/prefix, or a path.
func splitScheme(rawURL string) (scheme, rest string, err error) {
	scheme, rest, ok := strings.Cut(rawURL, ":")
	switch {
	case !ok:
		return "", "", fmt.Errorf("no scheme: write file:%s for a folder, or s3://bucket/prefix", rawURL)
	case scheme == "mem":
		return scheme, strings.TrimLeft(rest, "/"), nil
	case scheme == "file":
		if host, found := strings.CutPrefix(rest, "//"); found {
			if !strings.HasPrefix(host, "/") {
				return "", "", fmt.Errorf("write file:%s for a relative path or file:///… for an absolute one", host)
			}
			rest = host
		}
		if rest == "" {
			return "", "", errors.New("no path: write file:PATH")
		}
		return scheme, rest, nil
	case scheme == "s3":
		rest, found := strings.CutPrefix(rest, "//")
		if !found || rest == "" || strings.HasPrefix(rest, "/") {
			return "", "", errors.New("write s3://bucket or s3://bucket/prefix")
		}
		return scheme, rest, nil
	}
	if u, perr := url.Parse(rawURL); perr == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return "", "", errors.New("write s3://bucket/prefix and set the endpoint in the S3 options")
	}
	return "", "", fmt.Errorf("unknown scheme %q: known are s3, file and mem", scheme)
}

// SplitURL splits the URL of files into the URL of a bucket's root, for Open, and a pattern of keys below it, for Glob. The root
// ends before the last slash that no wildcard ("*" or "{name}") precedes:
//
//	s3://lake/events/dt={date}/*.parquet → s3://lake/events, dt={date}/*.parquet
//	file:./items.parquet                 → file:., items.parquet
//
// A pattern of "" means that the URL names a root alone (s3://lake).
func SplitURL(rawURL string) (root, pattern string, err error) {
	scheme, rest, err := splitScheme(rawURL)
	if err != nil {
		return "", "", fmt.Errorf("split %q: %w", rawURL, err)
	}
	literal := rest[:len(literalPrefix(rest))]
	slash := strings.LastIndexByte(literal, '/')
	dir, pattern := rest[:max(slash, 0)], rest[slash+1:]
	switch scheme {
	case "mem":
		return "mem:", rest, nil
	case "file":
		switch {
		case slash < 0:
			dir = "."
		case slash == 0:
			dir = "/"
		}
		return "file:" + dir, pattern, nil
	}
	if slash < 0 {
		if literal != rest {
			return "", "", fmt.Errorf("split %q: the bucket's name cannot hold a wildcard", rawURL)
		}
		return "s3://" + rest, "", nil
	}
	return "s3://" + dir, pattern, nil
}
