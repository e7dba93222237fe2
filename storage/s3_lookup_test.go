package storage

import (
	"testing"

	"github.com/minio/minio-go/v7"
)

// TestLookup: virtual-host style wherever a name and a certificate can carry the bucket.
func TestLookup(t *testing.T) {
	for _, c := range []struct {
		endpoint, bucket string
		pathStyle        bool
		want             minio.BucketLookupType
	}{
		{"", "lake", false, minio.BucketLookupDNS},
		{"", "lake", true, minio.BucketLookupPath},
		{"", "my.lake", false, minio.BucketLookupPath}, // no wildcard certificate matches two labels
		{"http://s3.test:9000", "my.lake", false, minio.BucketLookupDNS},
		{"https://s3.test", "lake", false, minio.BucketLookupDNS},
		{"http://127.0.0.1:9000", "lake", false, minio.BucketLookupPath},
		{"http://[::1]:9000", "lake", false, minio.BucketLookupPath},
	} {
		o := S3{Endpoint: c.endpoint, PathStyle: c.pathStyle}
		host, secure, err := o.host()
		if err != nil {
			t.Fatal(err)
		}
		if got := o.lookup(host, c.bucket, secure); got != c.want {
			t.Errorf("%+v: lookup %d, want %d", c, got, c.want)
		}
	}
}

func FuzzTotalSize(f *testing.F) {
	f.Add("bytes 10-19/200", int64(10))
	f.Add("bytes 10-19/*", int64(10))
	f.Add("bytes */200", int64(0))
	f.Add("", int64(0))
	f.Fuzz(func(t *testing.T, header string, off int64) {
		if n, err := totalSize(header, off); err == nil && n < 0 {
			t.Errorf("%q: %d", header, n)
		}
	})
}
