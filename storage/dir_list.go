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
	entries, err := w.read(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		key := dir + e.name
		if e.folder() {
			err = w.folder(key)
		} else {
			err = w.file(key, e.info)
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

func (w *dirWalk) file(key string, info fs.FileInfo) error {
	if !strings.HasPrefix(key, w.prefix) || key <= w.opt.After {
		return nil
	}
	if !w.yield(dirInfo(key, info), nil) {
		return fs.SkipAll
	}
	return nil
}

// dirEntry is a regular file, or a folder, whose name then ends with a slash.
type dirEntry struct {
	name string
	info fs.FileInfo // of what a symbolic link points at
}

func (e dirEntry) folder() bool { return strings.HasSuffix(e.name, "/") }

// read returns the entries of a directory in the byte order of the keys: "a-b" stands before "a/", which sorting the bare names
// would get wrong. What is no object and no folder is left out, and what goes away meanwhile.
func (w *dirWalk) read(dir string) ([]dirEntry, error) {
	f, err := w.root.Open(trimSlash(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := f.ReadDir(-1)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries := make([]dirEntry, 0, len(found))
	for _, e := range found {
		name := e.Name()
		if dir == "" && name == hidden || validText(name) != nil {
			continue // no key can name it
		}
		info, err := e.Info()
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			info, err = w.root.Stat(dir + name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		switch {
		case info.IsDir():
			entries = append(entries, dirEntry{name + "/", info})
		case info.Mode().IsRegular():
			entries = append(entries, dirEntry{name, info})
		}
	}
	slices.SortFunc(entries, func(a, b dirEntry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}
