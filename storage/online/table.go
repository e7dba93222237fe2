package online

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The first byte of a key inside a table.
const (
	rowPrefix  = 'd' // rows
	trailerKey = "t" // the trailer, after all rows
)

// trailer is the last record of a table, written last.
type trailer struct {
	Format     int    `json:"format"`
	Generation uint64 `json:"generation"`
	Entries    uint64 `json:"entries"`
	Digest     string `json:"digest"`
}

// tableWriter writes one sorted table.
type tableWriter struct {
	fs     vfs.FS
	path   string
	w      *sstable.Writer
	digest Digester
	key    []byte
}

// newTableWriter creates the file. Either finish or abandon must be called.
func newTableWriter(fs vfs.FS, path string, compress bool) (*tableWriter, error) {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	o := sstable.WriterOptions{
		TableFormat:        sstable.TableFormatPebblev7,
		Compression:        sstable.NoCompression,
		DisableValueBlocks: true, // they would be held in memory until the end
	}
	if compress {
		o.Compression = sstable.SnappyCompression
	}
	return &tableWriter{fs: fs, path: path, w: sstable.NewWriter(objstorageprovider.NewFileWritable(f), o)}, nil
}

// add writes one stored row. Keys must ascend strictly.
func (t *tableWriter) add(key, row []byte) error {
	t.key = append(append(t.key[:0], rowPrefix), key...)
	return t.w.Set(t.key, row)
}

// addCounted is add for a row of a generation: it counts into the digest.
func (t *tableWriter) addCounted(key, row []byte) error {
	e, err := parseRow(string(key), row)
	if err != nil {
		return err
	}
	t.digest.Add(e)
	return t.add(key, row)
}

// finish writes the trailer and makes the file's content durable.
func (t *tableWriter) finish(number uint64) (generation, error) {
	g := generation{Number: number, Entries: t.digest.Len(), Digest: t.digest.Sum()}
	b, err := json.Marshal(trailer{Format: formatNumber, Generation: number, Entries: g.Entries, Digest: g.Digest})
	if err == nil {
		err = t.w.Set([]byte(trailerKey), b)
	}
	if e := t.w.Close(); err == nil {
		err = e
	}
	if err != nil {
		return generation{}, err
	}
	info, err := t.fs.Stat(t.path)
	if err != nil {
		return generation{}, err
	}
	g.Size = info.Size()
	return g, nil
}

// abandon closes the file, whose content is of no use.
func (t *tableWriter) abandon() { _ = t.w.Close() }

// table reads one finished table. It is safe for concurrent use. It closes when the last reference is released.
type table struct {
	path  string
	r     *sstable.Reader
	refs  atomic.Int64
	iters chan sstable.Iterator // idle ones: making one reads and checks the index
}

// openTable opens the table of g in dir, with one reference, and checks it against g without reading its rows.
func openTable(dir string, g generation) (*table, error) {
	path := filepath.Join(dir, g.File)
	fail := func(err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return err // a caller tells a file that was replaced from one that is lost
		}
		return tableError(g.Number, path, err)
	}
	f, err := vfs.Default.Open(path, vfs.RandomReadsOption)
	if err != nil {
		return nil, fail(err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != g.Size {
		err = fmt.Errorf("%w: %d bytes instead of %d", ErrCorrupt, info.Size(), g.Size)
	}
	if err != nil {
		f.Close()
		return nil, fail(err)
	}
	t, err := newTable(path, f)
	if err != nil {
		return nil, fail(err)
	}
	if err := t.checkTrailer(g); err != nil {
		t.release()
		return nil, fail(err)
	}
	return t, nil
}

// newTable reads the footer of f. It closes f if it fails, and when the table closes.
func newTable(path string, f vfs.File) (*table, error) {
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return nil, err // NewReader has closed the file
	}
	t := &table{path: path, r: r, iters: make(chan sstable.Iterator, 2*runtime.GOMAXPROCS(0))}
	t.refs.Store(1)
	return t, nil
}

// tableError says which table could not be read, and what to do.
func tableError(number uint64, path string, err error) error {
	return fmt.Errorf("generation %d, file %s (if it is damaged, refill the store with `rapport online load`): %w", number, path, damaged(err))
}

func (t *table) checkTrailer(g generation) error {
	b, err := t.lookup([]byte(trailerKey))
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("%w: no trailer", ErrCorrupt)
	}
	var tr trailer
	if err := json.Unmarshal(b, &tr); err != nil {
		return fmt.Errorf("%w: trailer: %w", ErrCorrupt, err)
	}
	if err := checkFormat(tr.Format); err != nil {
		return err
	}
	if tr.Generation != g.Number || tr.Entries != g.Entries || tr.Digest != g.Digest {
		return fmt.Errorf("%w: it is another table (generation %d, digest %.12s…)", ErrCorrupt, tr.Generation, tr.Digest)
	}
	return nil
}

// release gives one reference back.
func (t *table) release() {
	if t.refs.Add(-1) > 0 {
		return
	}
	for {
		select {
		case it := <-t.iters:
			_ = it.Close()
			continue
		default:
		}
		break
	}
	_ = t.r.Close()
}

// iterator returns an idle or a new iterator. Give it back with idle, or close it.
func (t *table) iterator() (sstable.Iterator, error) {
	select {
	case it := <-t.iters:
		return it, nil
	default:
	}
	return t.r.NewPointIter(context.Background(), sstable.IterOptions{
		Transforms:           sstable.NoTransforms,
		FilterBlockSizeLimit: sstable.NeverUseFilterBlock,
		Env:                  sstable.NoReadEnv,
		ReaderProvider:       sstable.MakeTrivialReaderProvider(t.r),
		BlobContext:          sstable.AssertNoBlobHandles,
	})
}

func (t *table) idle(it sstable.Iterator) {
	select {
	case t.iters <- it:
	default:
		_ = it.Close()
	}
}

// lookup returns a copy of the value of a key (with its first byte), nil if it is absent.
func (t *table) lookup(key []byte) ([]byte, error) {
	it, err := t.iterator()
	if err != nil {
		return nil, err
	}
	kv := it.SeekGE(key, 0)
	if kv == nil {
		if err := it.Error(); err != nil {
			return nil, errors.Join(err, it.Close())
		}
		t.idle(it)
		return nil, nil
	}
	if !bytes.Equal(kv.K.UserKey, key) {
		t.idle(it)
		return nil, nil
	}
	v, _, err := kv.Value(nil)
	if err != nil {
		return nil, errors.Join(err, it.Close())
	}
	v = append(make([]byte, 0, len(v)), v...)
	t.idle(it)
	return v, nil
}

// rows calls f with every row whose key has the prefix, ascending. key and row are valid during the call only.
func (t *table) rows(ctx context.Context, prefix string, f func(key, row []byte) error) (err error) {
	c, err := t.cursor(prefix)
	if err != nil {
		return err
	}
	defer func() {
		if e := c.close(); err == nil {
			err = e
		}
	}()
	for n := 0; c.key != nil; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f(c.key, c.row); err != nil {
			return err
		}
		if err := c.next(); err != nil {
			return err
		}
	}
	return nil
}

// cursor stands on one row after the other. key is nil behind the last one.
type cursor struct {
	it       sstable.Iterator
	prefix   []byte // with the first byte of rows
	key, row []byte
}

// cursor returns one on the first row whose key has the prefix.
func (t *table) cursor(prefix string) (*cursor, error) {
	it, err := t.iterator()
	if err != nil {
		return nil, err
	}
	c := &cursor{it: it, prefix: append([]byte{rowPrefix}, prefix...)}
	kv := it.SeekGE(c.prefix, 0)
	if kv == nil {
		err = it.Error()
	} else if bytes.HasPrefix(kv.K.UserKey, c.prefix) {
		c.key = kv.K.UserKey[1:]
		c.row, _, err = kv.Value(nil)
	}
	if err != nil {
		return nil, errors.Join(err, it.Close())
	}
	return c, nil
}

func (c *cursor) next() (err error) {
	kv := c.it.Next()
	c.key, c.row = nil, nil
	if kv == nil {
		return c.it.Error()
	}
	if bytes.HasPrefix(kv.K.UserKey, c.prefix) {
		c.key = kv.K.UserKey[1:]
		c.row, _, err = kv.Value(nil)
	}
	return err
}

func (c *cursor) close() error { return c.it.Close() }

// verify reads every row and compares the digest with the trailer's.
func (t *table) verify(ctx context.Context, g generation) error {
	var d Digester
	err := t.rows(ctx, "", func(key, row []byte) error {
		e, err := parseRow(string(key), row)
		if err == nil {
			d.Add(e)
		}
		return err
	})
	if err == nil && (d.Len() != g.Entries || d.Sum() != g.Digest) {
		err = fmt.Errorf("%w: its rows do not have its digest", ErrCorrupt)
	}
	return err
}
