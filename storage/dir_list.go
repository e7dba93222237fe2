//go:build unix

package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"
)

// List implements Bucket. It costs one directory read a directory and one stat a file; files are not opened.
func (d *dirBucket) List(ctx context.Context, prefix string, o ListOpt) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkList(prefix, o); err != nil {
			yield(Info{}, err)
			return
		}
		root, err := d.open(false)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(Info{}, dirError("list", prefix, err))
			return
		}
		w := &dirWalk{ctx: ctx, root: root, prefix: prefix, opt: o, yield: yield}
		if err := w.dir(prefix[:strings.LastIndexByte(prefix, '/')+1]); err != nil && !errors.Is(err, fs.SkipAll) {
			yield(Info{}, dirError("list", prefix, err))
		}
	}
}

// dirWalk is one listing under way. fs.SkipAll ends it without an error.
type dirWalk struct {
	ctx    context.Context
	root   *os.Root
	prefix string
	opt    ListOpt
	yield  func(Info, error) bool
}

// dir lists the directory, named "" or with a slash at its end.
func (w *dirWalk) dir(dir string) error {
	if len(dir) > maxKey {
		return fmt.Errorf("folders are nested deeper than a key of %d bytes can say; is there a loop of symbolic links?", maxKey)
	}
	names, err := w.names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		key := dir + name
		if isDir := strings.HasSuffix(name, "/"); isDir {
			err = w.folder(key)
		} else {
			err = w.file(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *dirWalk) folder(key string) error {
	switch {
	case !strings.HasPrefix(key, w.prefix) && !strings.HasPrefix(w.prefix, key):
		return nil
	case key <= w.opt.After && !strings.HasPrefix(w.opt.After, key): // every key in it is too
		return nil
	case w.opt.Delimiter == "":
		return w.dir(key)
	case key <= w.opt.After:
		return nil
	}
	// One level only: a common prefix stands for objects, so an empty folder is none.
	found := false
	probe := &dirWalk{ctx: w.ctx, root: w.root, prefix: key, yield: func(Info, error) bool { found = true; return false }}
	if err := probe.dir(key); err != nil && !errors.Is(err, fs.SkipAll) {
		return err
	}
	if found && !w.yield(Info{Key: key}, nil) {
		return fs.SkipAll
	}
	return nil
}

func (w *dirWalk) file(key string) error {
	if !strings.HasPrefix(key, w.prefix) || key <= w.opt.After {
		return nil
	}
	fi, err := w.root.Stat(key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.Mode().IsRegular() {
		return nil // deleted meanwhile, or no object
	}
	if err != nil {
		return err
	}
	if !w.yield(dirInfo(key, fi), nil) {
		return fs.SkipAll
	}
	return nil
}

// names returns the entries of a directory, folders with a slash at their end, in the byte order of the keys: "a-b" stands before
// "a/", which sorting the bare names would get wrong.
func (w *dirWalk) names(dir string) ([]string, error) {
	f, err := w.root.Open(trimSlash(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name := e.Name()
		if dir == "" && name == hidden || validText(name) != nil {
			continue // no key can name it
		}
		folder := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			fi, err := w.root.Stat(dir + name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it points nowhere
			}
			if err != nil {
				return nil, err
			}
			folder = fi.IsDir()
		}
		if folder {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}
