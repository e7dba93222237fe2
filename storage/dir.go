//go:build unix

package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dirBucket is a Bucket in a local directory. Any number of processes may share it.
type dirBucket struct {
	path string

	mu   sync.Mutex
	root *os.Root // nil until the directory exists

	writing sync.Mutex // taken before the file lock, so that waiting goroutines hold no thread
	swept   bool       // under writing: temporary files of dead writers have been looked for
}

func openDir(path string) *dirBucket { return &dirBucket{path: path} }

// The permissions of what a directory bucket makes: the operator's group may read, others may not.
const (
	dirPerm  = 0o750
	filePerm = 0o640
)

// open returns the root directory, making it if create is set. Without it, an absent root is fs.ErrNotExist: an empty bucket.
func (d *dirBucket) open(create bool) (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		return d.root, nil
	}
	if create {
		if err := os.MkdirAll(d.path, dirPerm); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(d.path)
	if err == nil {
		d.root = root
	}
	return root, err
}

// dirError maps an error of the file system to the contract's.
func dirError(op, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return failed(op, key, fmt.Errorf("%w (%w)", ErrNotFound, err))
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return failed(op, key, fmt.Errorf("%w: free some space on the disk, or move the directory (%w)", ErrFull, err))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return failed(op, key, fmt.Errorf("%w: this user may not do that in the directory (%w)", ErrUnreachable, err))
	}
	return failed(op, key, err)
}

// dirInfo describes a file. doc.go says why the tag is made of these three.
func dirInfo(key string, fi fs.FileInfo) Info {
	var inode uint64
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		inode = uint64(st.Ino) // 32 bits on some systems
	}
	tag := strconv.FormatInt(fi.Size(), 16) + "-" + strconv.FormatInt(fi.ModTime().UnixNano(), 16) + "-" + strconv.FormatUint(inode, 16)
	return Info{Key: key, Size: fi.Size(), ETag: tag, Modified: fi.ModTime().UTC()}
}

// Get implements Bucket.
func (d *dirBucket) Get(ctx context.Context, key string, r Range) (io.ReadCloser, Info, error) {
	if err := checkKey("get", key); err != nil {
		return nil, Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, Info{}, failed("get", key, err)
	}
	root, err := d.open(false)
	if err != nil {
		return nil, Info{}, dirError("get", key, err)
	}
	// Non-blocking, because a pipe that lies in the directory would wait for its writer.
	f, err := root.OpenFile(key, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, Info{}, dirError("get", key, err)
	}
	rd, info, err := newDirReader(ctx, f, key, r)
	if err != nil {
		f.Close()
		return nil, Info{}, err
	}
	return rd, info, nil
}

// dirReader reads a range of a file, and fails at its end if the file was changed in place meanwhile.
type dirReader struct {
	ctx  context.Context
	f    *os.File
	sec  *io.SectionReader
	info Info
}

func newDirReader(ctx context.Context, f *os.File, key string, r Range) (*dirReader, Info, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, Info{}, dirError("get", key, err)
	}
	if !fi.Mode().IsRegular() {
		return nil, Info{}, failed("get", key, ErrNotFound)
	}
	info := dirInfo(key, fi)
	if r.IfMatch != "" && r.IfMatch != info.ETag {
		return nil, Info{}, failed("get", key, ErrPrecondition)
	}
	from, to, err := r.clip(info.Size)
	if err != nil {
		return nil, Info{}, failed("get", key, err)
	}
	return &dirReader{ctx: ctx, f: f, sec: io.NewSectionReader(f, from, to-from), info: info}, info, nil
}

func (r *dirReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, failed("get", r.info.Key, err)
	}
	n, err := r.sec.Read(p)
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) {
		return n, dirError("get", r.info.Key, err)
	}
	fi, serr := r.f.Stat()
	if serr != nil {
		return n, dirError("get", r.info.Key, serr)
	}
	if dirInfo(r.info.Key, fi).ETag != r.info.ETag {
		return n, failed("get", r.info.Key, fmt.Errorf("%w: the file was changed while it was read", ErrPrecondition))
	}
	return n, io.EOF
}

func (r *dirReader) Close() error { return r.f.Close() }

// Head implements Bucket.
func (d *dirBucket) Head(ctx context.Context, key string) (Info, error) {
	if err := checkKey("head", key); err != nil {
		return Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return Info{}, failed("head", key, err)
	}
	root, err := d.open(false)
	if err != nil {
		return Info{}, dirError("head", key, err)
	}
	fi, err := root.Stat(key)
	if err != nil {
		return Info{}, dirError("head", key, err)
	}
	if !fi.Mode().IsRegular() {
		return Info{}, failed("head", key, ErrNotFound)
	}
	return dirInfo(key, fi), nil
}

// Put implements Bucket.
func (d *dirBucket) Put(ctx context.Context, key string, b Body, c Cond) (Info, error) {
	if err := checkPut(key, b, c); err != nil {
		return Info{}, err
	}
	info, err := d.put(ctx, key, b, c)
	switch {
	case errors.Is(err, ErrPrecondition):
		return Info{}, failed("put", key, err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.EEXIST):
		return Info{}, failed("put", key, fmt.Errorf(
			"a directory cannot hold an object and others below it (%q and %q): %w", key, key+"/…", err))
	case errors.Is(err, fs.ErrNotExist): // not an absent object
		return Info{}, failed("put", key, fmt.Errorf("%w: the bucket's directory was removed (%w)", ErrUnreachable, err))
	}
	return info, dirError("put", key, err)
}

// put writes a temporary file, makes it durable, and then, under the lock, judges the condition and moves the file into place.
func (d *dirBucket) put(ctx context.Context, key string, b Body, c Cond) (Info, error) {
	root, err := d.open(true)
	if err != nil {
		return Info{}, err
	}
	tmp, err := d.newTemp(root)
	if err != nil {
		return Info{}, err
	}
	defer tmp.discard()
	w := &early{f: tmp.f}
	if err = b.writeTo(ctx, w); err == nil {
		if w.end >= fewBytes {
			w.begin()
			runtime.Gosched() // whoever computes goes first: a sync holds a processor, and less long the later it begins
		}
		err = tmp.f.Sync()
	}
	if err != nil {
		return Info{}, err
	}

	fi, dir, err := d.move(ctx, root, tmp, key, c)
	if err == nil && dir != nil {
		err = errors.Join(syncEntries(dir), dir.Close())
	}
	if err != nil {
		return Info{}, err
	}
	return dirInfo(key, fi), nil
}

// early writes to a file that is synced next: the disk begins with what is written while more is.
type early struct {
	f          *os.File
	begun, end int64 // bytes that the disk was told of, and all
}

// fewBytes are those of a file whose sync waits for them no longer than for what it costs anyway.
const fewBytes = 64 << 10

func (e *early) Write(p []byte) (int, error) {
	n, err := e.f.Write(p)
	if e.end += int64(n); e.end-e.begun >= written {
		e.begin()
	}
	return n, err
}

// begin tells the disk to begin with what it has not been told of.
func (e *early) begin() {
	beginWrite(e.f, e.begun, e.end-e.begun)
	e.begun = e.end
}

// move moves a file into place under the lock. A write on a condition, on which those of others may rest, is durable before anybody else writes, and so is what it
// replaced: one directory holds both. Any other one is when put has synced the directory that is returned, which a disk does for many at once. It is opened under the lock: whoever deletes the object next may
// remove it.
func (d *dirBucket) move(ctx context.Context, root *os.Root, tmp *tempFile, key string, c Cond) (fs.FileInfo, *os.File, error) {
	lock, err := d.lock(root)
	if err != nil {
		return nil, nil, err
	}
	defer lock.release()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := d.judge(root, key, c); err != nil {
		return nil, nil, err
	}
	fi, err := lock.stamp(tmp)
	if err != nil {
		return nil, nil, err
	}
	if err := mkdirs(root, path.Dir(key)); err != nil {
		return nil, nil, err
	}
	if err := place(root, tmp, key, c); err != nil {
		return nil, nil, err
	}
	if c == (Cond{}) {
		dir, err := root.Open(path.Dir(key))
		return fi, dir, err
	}
	return fi, nil, syncDir(root, path.Dir(key))
}

// judge says whether the condition holds now.
func (d *dirBucket) judge(root *os.Root, key string, c Cond) error {
	fi, err := root.Lstat(key)
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return err
	}
	if !absent && fi.IsDir() {
		return &fs.PathError{Op: "rename", Path: key, Err: syscall.EISDIR}
	}
	if c.IfAbsent && !absent || c.IfMatch != "" && (absent || dirInfo(key, fi).ETag != c.IfMatch) {
		return ErrPrecondition
	}
	return nil
}

// place moves the temporary file to key. link(2) is create-only by itself, should a file system's lock not hold (NFS); where there
// are no hard links the lock alone has to do.
func place(root *os.Root, tmp *tempFile, key string, c Cond) error {
	if c.IfAbsent {
		err := root.Link(tmp.name, key)
		if errors.Is(err, fs.ErrExist) {
			return ErrPrecondition
		}
		if err == nil || !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTSUP) {
			return err // the temporary name goes when tmp is discarded
		}
	}
	if err := root.Rename(tmp.name, key); err != nil {
		return err
	}
	tmp.name = "" // nothing left to remove
	return nil
}

// Delete implements Bucket. Directories that it empties go as well.
func (d *dirBucket) Delete(ctx context.Context, key string) error {
	if err := checkKey("delete", key); err != nil {
		return err
	}
	err := d.remove(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return dirError("delete", key, err)
}

func (d *dirBucket) remove(ctx context.Context, key string) error {
	root, err := d.open(false)
	if err != nil {
		return err
	}
	if fi, err := root.Lstat(key); err != nil || fi.IsDir() {
		return err // a directory is no object
	}
	lock, err := d.lock(root)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := root.Remove(key); err != nil {
		return err
	}
	dir := path.Dir(key)
	for dir != "." && root.Remove(dir) == nil { // fails on the first that is not empty
		dir = path.Dir(dir)
	}
	return syncDir(root, dir)
}

// Versioned implements Versions: a directory keeps no old versions.
func (d *dirBucket) Versioned(context.Context) (bool, error) { return false, nil }

// ListVersions implements Versions: the objects that are there.
func (d *dirBucket) ListVersions(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return d.List(ctx, prefix, ListOpt{})
}

// DeleteVersion implements Versions. The only version is the unnamed one.
func (d *dirBucket) DeleteVersion(ctx context.Context, key, version string) error {
	if version != "" {
		return nil
	}
	return d.Delete(ctx, key)
}

// AbortUploads implements Versions: it drops the temporary files of writers that died.
func (d *dirBucket) AbortUploads(ctx context.Context, _ string, _ time.Time) (dropped, left int, err error) {
	root, err := d.open(false)
	if err == nil {
		_, err = root.Stat(tempDir)
	}
	if errors.Is(err, fs.ErrNotExist) { // nobody ever wrote here; taking the lock would
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, dirError("abort uploads", hidden, err)
	}
	lock, err := d.lock(root)
	if err != nil {
		return 0, 0, dirError("abort uploads", hidden, err)
	}
	defer lock.release()
	dropped, err = sweep(root)
	return dropped, 0, dirError("abort uploads", hidden, err)
}

// mkdirs makes dir and its parents, and syncs each directory that got a new entry.
func mkdirs(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if _, err := root.Stat(dir); err == nil {
		return nil
	}
	for i := range len(dir) + 1 {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		err := root.Mkdir(dir[:i], dirPerm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = syncDir(root, path.Dir(dir[:i]))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the entries of a directory durable.
func syncDir(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return syncEntries(f)
}

// syncFile makes a directory durable. Tests look at when that is.
var syncFile = (*os.File).Sync

// syncEntries is syncDir of a directory that is open.
func syncEntries(dir *os.File) error {
	if err := syncFile(dir); err != nil && !errors.Is(err, syscall.EINVAL) { // some network file systems cannot sync a directory
		return err
	}
	return nil
}

// tick is the step of the stamps: the finest time that common file systems all hold.
const tick = time.Microsecond

// trimSlash is dir as a name for os.Root: "" is the root.
func trimSlash(dir string) string {
	if dir == "" {
		return "."
	}
	return strings.TrimSuffix(dir, "/")
}
