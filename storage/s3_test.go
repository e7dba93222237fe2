package storage_test

import (
	"fmt"
	"testing"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

// TestS3 runs the suite on a real server, each case below a prefix of its own.
func TestS3(t *testing.T) {
	url, o := storagetest.NewS3(t)
	n := 0
	storagetest.TestBucket(t, func(t *testing.T) storage.Bucket {
		n++
		return open(t, fmt.Sprintf("%s/%d", url, n), o)
	})
}
