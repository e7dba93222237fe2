package online

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Erase denies the owners by digest, then rewrites every table that holds a row of theirs; one rename turns all of them over, and the old
// files go. Cost: each table is read once, and those that hold a row are read and written once more.
func (e *embedded) Erase(ctx context.Context, owners ...string) (int, error) {
	set := make(map[string]struct{}, len(owners))
	for _, o := range owners {
		if err := checkOwner(o); err != nil {
			return 0, fmt.Errorf("erase: %w", err)
		}
		set[o] = struct{}{}
	}
	// First, so that a loader that finishes from now on leaves their rows out: it reads the deny set under the folder's lock.
	if err := e.log.erase(ctx, owners); err != nil {
		return 0, fmt.Errorf("erase: %w", err)
	}
	removed := 0
	err := e.change(ctx, "erase", func(s *state) (bool, error) {
		for i, g := range s.Generations {
			n, err := e.without(ctx, &s.Generations[i], set)
			if err != nil {
				if ctx.Err() != nil {
					return false, err
				}
				return false, tableError(g.Number, e.path(g.File), writing(damagedIfLost(err)))
			}
			removed += n
		}
		return removed > 0, nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// without replaces the table of g by one without the rows of owners, if it has any, and returns their number.
// The new file is complete and durable, but not named by live yet.
func (e *embedded) without(ctx context.Context, g *generation, owners map[string]struct{}) (removed int, err error) {
	t, err := openTable(e.dir, *g)
	if err != nil {
		return 0, err
	}
	defer t.release()
	err = t.rows(ctx, "", func(_, row []byte) error {
		owner, _, err := rowOwner(row)
		if _, hit := owners[string(owner)]; hit {
			removed++
		}
		return err
	})
	if err != nil || removed == 0 {
		return 0, err
	}
	name := newTableName(g.Number)
	w, err := newTableWriter(e.fs, e.path(name), true)
	if err != nil {
		return 0, err
	}
	err = t.rows(ctx, "", func(key, row []byte) error {
		owner, _, err := rowOwner(row)
		if err != nil {
			return err
		}
		if _, hit := owners[string(owner)]; hit {
			return nil
		}
		return w.addCounted(key, row)
	})
	if err != nil {
		w.abandon()
		return 0, err
	}
	rewritten, err := w.finish(g.Number)
	if err != nil {
		return 0, err
	}
	rewritten.File = name
	*g = rewritten
	return removed, syncDir(e.fs, e.dir)
}

// sweep removes what s does not name: tables that were replaced or dropped, and what died halfway. The caller holds the folder's lock.
func (e *embedded) sweep(s state) error {
	names, err := e.fs.List(e.dir)
	if err != nil {
		return err
	}
	named := make(map[string]bool, len(s.Generations))
	for _, g := range s.Generations {
		named[g.File] = true
	}
	swept := false
	for _, name := range names {
		switch {
		case tableName.MatchString(name) && !named[name], name == "live.tmp":
			if err := e.fs.Remove(e.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			swept = true
		case strings.HasPrefix(name, loadPrefix):
			// A loader that lives keeps its folder: its rows are filtered when it finishes.
			release, ok, err := tryLock(filepath.Join(e.path(name), "alive"))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			err = e.fs.RemoveAll(e.path(name))
			release()
			if err != nil {
				return err
			}
			swept = true
		}
	}
	if !swept {
		return nil
	}
	return syncDir(e.fs, e.dir)
}

// loadPrefix begins the names of folders of loaders; the generation's number follows.
const loadPrefix = "load-"

func newTableName(number uint64) string { return fmt.Sprintf("gen-%020d-%s.sst", number, nonce()) }

func newLoadName(number uint64) string { return fmt.Sprintf("%s%020d-%s", loadPrefix, number, nonce()) }

// loadNumber returns the generation that a folder of this name loads.
func loadNumber(name string) (uint64, bool) {
	digits, _, _ := strings.Cut(strings.TrimPrefix(name, loadPrefix), "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && strings.HasPrefix(name, loadPrefix)
}

// makeDir makes the store's folder if it is absent, for its owner's eyes only.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, filepath.Dir(dir))
}
