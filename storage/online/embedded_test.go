package online_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/rapport-ml/rapport/storage/online"
	"github.com/rapport-ml/rapport/storage/online/onlinetest"
)

// target is an embedded store in a new folder.
func target(t *testing.T, o online.Options) onlinetest.Target {
	dir := filepath.Join(t.TempDir(), "online")
	return onlinetest.Target{
		Open: func(t testing.TB) online.Store { return open(t, dir, o) },
		Raw:  func(t testing.TB, f func(string, []byte)) { scanFolder(t, dir, f) },
	}
}

func open(t testing.TB, dir string, o online.Options) online.Store {
	t.Helper()
	s, err := online.OpenEmbedded(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// scanFolder calls f with the names and the bytes of all files under dir, and with the decoded records of tables.
func scanFolder(t testing.TB, dir string, f func(where string, b []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f(path, []byte(d.Name()))
		f(path, b)
		if !strings.HasSuffix(path, ".sst") {
			return nil
		}
		r, err := sstable.NewMemReader(b, sstable.ReaderOptions{})
		if err != nil {
			return err
		}
		defer r.Close()
		it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
		if err != nil {
			return err
		}
		defer it.Close()
		for kv := it.First(); kv != nil; kv = it.Next() {
			v, _, err := kv.Value(nil)
			if err != nil {
				return err
			}
			f(path+" (row)", append(append(append([]byte(nil), kv.K.UserKey...), '\n'), v...))
		}
		return it.Error()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEmbedded(t *testing.T) {
	onlinetest.TestStore(t, func(t *testing.T) onlinetest.Target { return target(t, online.Options{}) })
}

// TestEmbeddedSpilling runs the suite with a loader that spills every few entries.
func TestEmbeddedSpilling(t *testing.T) {
	onlinetest.TestStore(t, func(t *testing.T) onlinetest.Target { return target(t, online.Options{LoadMemory: 2000}) })
}
