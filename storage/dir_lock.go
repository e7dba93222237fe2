//go:build unix

package storage

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Where a directory bucket keeps its own files.
const (
	lockFile = hidden + "/lock"
	tempDir  = hidden + "/tmp"
)

// dirLock is the held file lock of a directory bucket. The kernel releases it when the process dies.
type dirLock struct {
	d    *dirBucket
	root *os.Root
	f    *os.File
}

// lock waits for the bucket's file lock. It is held for the moment of moving a file into place, never while data is written.
func (d *dirBucket) lock(root *os.Root) (*dirLock, error) {
	d.writing.Lock()
	f, err := root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, filePerm)
	if errors.Is(err, fs.ErrNotExist) { // the first write of all
		if err = mkdirs(root, tempDir); err == nil {
			f, err = root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, filePerm)
		}
	}
	if err == nil {
		if err = flock(f, unix.LOCK_EX); err != nil {
			f.Close()
		}
	}
	if err != nil {
		d.writing.Unlock()
		return nil, err
	}
	return &dirLock{d: d, root: root, f: f}, nil
}

func (l *dirLock) release() {
	l.f.Close() // releases the flock
	l.d.writing.Unlock()
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// stamp gives the temporary file its modification time: now, or one tick after the last stamp given in this bucket, whichever is
// later. The lock file's own modification time remembers the last stamp.
func (l *dirLock) stamp(tmp *tempFile) (fs.FileInfo, error) {
	fi, err := tmp.f.Stat()
	if err != nil {
		return nil, err
	}
	last, err := l.f.Stat()
	if err != nil {
		return nil, err
	}
	t := fi.ModTime().Truncate(tick)
	if min := last.ModTime().Truncate(tick).Add(tick); t.Before(min) {
		t = min
	}
	for _, name := range []string{tmp.name, lockFile} {
		if err := l.root.Chtimes(name, t, t); err != nil {
			return nil, err
		}
	}
	if fi, err = tmp.f.Stat(); err != nil {
		return nil, err
	}
	if !fi.ModTime().Equal(t) {
		return nil, fmt.Errorf("this file system keeps times to %v only, so that two writes could look the same: "+
			"put the bucket on one that keeps microseconds", fi.ModTime().Sub(t).Abs().Round(time.Millisecond))
	}
	return fi, nil
}

// tempFile is a file being written. Its flock tells a living writer's file from a dead one's.
type tempFile struct {
	d    *dirBucket
	root *os.Root
	name string // "" once it has been moved into place
	f    *os.File
}

// newTemp makes a temporary file. The first one of a process also drops those of dead writers.
func (d *dirBucket) newTemp(root *os.Root) (*tempFile, error) {
	lock, err := d.lock(root) // so that no sweep sees a file that is made but not yet locked
	if err != nil {
		return nil, err
	}
	defer lock.release()
	if err := mkdirs(root, tempDir); err != nil {
		return nil, err
	}
	if !d.swept {
		if _, err := sweep(root); err != nil {
			return nil, err
		}
		d.swept = true
	}
	name := tempDir + "/" + rand.Text()
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return nil, err
	}
	t := &tempFile{d: d, root: root, name: name, f: f}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.discard()
		return nil, err
	}
	return t, nil
}

// discard removes what is left of the temporary file and closes it.
func (t *tempFile) discard() {
	if t.name != "" {
		t.root.Remove(t.name)
	}
	t.f.Close()
}

// sweep removes temporary files that nobody holds and returns how many there were. The caller holds the bucket's lock.
func sweep(root *os.Root) (int, error) {
	entries, err := fs.ReadDir(root.FS(), tempDir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		dead, err := removeDead(root, tempDir+"/"+e.Name())
		if err != nil {
			return n, err
		}
		if dead {
			n++
		}
	}
	return n, nil
}

func removeDead(root *os.Root, name string) (bool, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, nil // its writer lives
	}
	return true, root.Remove(name)
}
