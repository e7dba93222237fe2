package storage_test

import (
	"path/filepath"
	"testing"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/storagetest"
)

func open(t testing.TB, url string, o storage.Options) storage.Bucket {
	t.Helper()
	b, err := storage.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMemory(t *testing.T) {
	t.Parallel()
	storagetest.TestBucket(t, func(t *testing.T) storage.Bucket { return open(t, "mem:", storage.Options{}) })
}

func TestMemoryVersioned(t *testing.T) {
	t.Parallel()
	storagetest.TestBucket(t, func(*testing.T) storage.Bucket {
		m := storage.NewMemory(nil)
		m.KeepVersions(true)
		return m
	})
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	storagetest.TestBucket(t, func(t *testing.T) storage.Bucket {
		return open(t, "file:"+filepath.Join(t.TempDir(), "not", "there", "yet"), storage.Options{})
	})
}

// TestWrappers proves that a wrapper without faults changes nothing.
func TestWrappers(t *testing.T) {
	t.Parallel()
	storagetest.TestBucket(t, func(*testing.T) storage.Bucket {
		return storagetest.NewRecording(storagetest.NewFaulty(storagetest.NewKillAt(storage.NewMemory(nil), 0, false, nil)))
	})
}
