package table

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/storage"
	"github.com/rapport-ml/rapport/storage/table/internal/sha"
)

// WriteOptions say how a table is laid out. The zero value is one shard, sorted by all columns.
type WriteOptions struct {
	Shards  int    // a power of two; 0 means 1
	ShardBy string // Int64 column that holds an uint64 subject number; needed for more than one shard, and sorted as unsigned
	// SortBy are the first columns of the order of rows within a part; all others follow in schema order, so the order is total.
	SortBy []string
	// Ordered says that the order of rows is part of the table: they keep the order of Append (sorted by SortBy, ties kept, if that is
	// set) and the digest covers it. An ordered table has one shard.
	Ordered  bool
	RowGroup int // rows in a Parquet row group; 0 means 131,072
	// CopyText says that texts are valid during Append alone: they are copied. Else they are shared with the batches that they came in.
	CopyText bool
	// Codec is what parts are compressed with: "zstd"; "snappy", which is larger and read faster; "none", for values that are packed already; or "", which is zstd
	// for the column chunks of which it saves an eighth or more, and "text", which is that for text alone.
	Codec string
}

const defaultRowGroup = 1 << 17

// Writer stages one table: Append rows, then Finish. It is not safe for concurrent use. It holds all rows in memory: Held says how much that is.
type Writer struct {
	b      storage.Bucket
	prefix string
	schema Schema
	o      WriteOptions
	shards []*pile
	pick   [][]int32
	err    error // what is wrong with the options, told at the first call
	done   bool
}

// NewWriter stages a table of schema s under prefix. A fault in s or o is returned by the first Append or Finish.
func NewWriter(b storage.Bucket, prefix string, s Schema, o WriteOptions) *Writer {
	if o.Shards == 0 {
		o.Shards = 1
	}
	if o.RowGroup == 0 {
		o.RowGroup = defaultRowGroup
	}
	w := &Writer{b: b, prefix: strings.TrimSuffix(prefix, "/"), schema: slices.Clone(s), o: o}
	if err := w.checkOptions(); err != nil {
		w.err = fmt.Errorf("write table %s: %w", w.prefix, err)
		return w
	}
	w.shards = make([]*pile, o.Shards)
	w.pick = make([][]int32, o.Shards)
	for i := range w.shards {
		w.shards[i] = newPile(w.schema)
		if o.CopyText {
			w.shards[i].text = new(copies)
		}
	}
	return w
}

func (w *Writer) checkOptions() error {
	if err := w.schema.check(); err != nil {
		return err
	}
	o := &w.o
	if o.Shards < 1 || bits.OnesCount(uint(o.Shards)) != 1 {
		return fmt.Errorf("%d shards: must be a power of two", o.Shards)
	}
	if o.RowGroup < 1 {
		return fmt.Errorf("row groups of %d rows: must be positive", o.RowGroup)
	}
	if _, ok := compressions[o.Codec]; !ok {
		return fmt.Errorf("codec %q: want zstd, snappy, text or none", o.Codec)
	}
	if o.Ordered && o.Shards > 1 {
		return fmt.Errorf("an ordered table has one shard, not %d", o.Shards)
	}
	if o.Shards > 1 && o.ShardBy == "" {
		return fmt.Errorf("%d shards need a column to shard by", o.Shards)
	}
	if o.ShardBy != "" {
		if i := w.schema.Index(o.ShardBy); i < 0 || w.schema[i].Type != Int64 {
			return fmt.Errorf("shard column %q is not an int64 column of the table", o.ShardBy)
		}
	}
	for i, name := range o.SortBy {
		if w.schema.Index(name) < 0 {
			return fmt.Errorf("sort column %q is not in the table", name)
		}
		if slices.Contains(o.SortBy[:i], name) {
			return fmt.Errorf("sort column %q is named twice", name)
		}
	}
	return nil
}

// ShardOf returns the shard of a subject number: its top log2(shards) bits. shards is a power of two.
func ShardOf(subject uint64, shards int) int {
	return int(subject >> (64 - bits.TrailingZeros(uint(shards))))
}

// Append copies the rows of b, but texts only if CopyText says so, which must have the writer's schema. Subject numbers must not be null where the table is sharded.
func (w *Writer) Append(b *Batch) error {
	switch {
	case w.err != nil:
		return w.err
	case w.done:
		return fmt.Errorf("write table %s: rows appended after Finish", w.prefix)
	}
	if err := w.append(b); err != nil {
		w.err = fmt.Errorf("write table %s: %w", w.prefix, err)
	}
	return w.err
}

func (w *Writer) append(b *Batch) error {
	if err := b.check(w.schema); err != nil {
		return err
	}
	if w.o.Shards == 1 {
		return w.shards[0].add(b, all(b))
	}
	for i := range w.pick {
		w.pick[i] = w.pick[i][:0]
	}
	subjects := b.Col(w.o.ShardBy)
	for i, s := range subjects.Int {
		if subjects.Null(i) {
			return fmt.Errorf("a row has no %q to shard it by", w.o.ShardBy)
		}
		k := ShardOf(uint64(s), w.o.Shards)
		w.pick[k] = append(w.pick[k], int32(i))
	}
	for k, pick := range w.pick {
		if len(pick) == 0 {
			continue
		}
		if err := w.shards[k].add(b, selection{n: len(pick), pick: pick}); err != nil {
			return err
		}
	}
	return nil
}

// Held is the memory of the rows that were appended and are not encoded yet, in bytes: 8 a number, 16 a text and the text itself, which may be shared with the
// batches that they came in. Finish takes, of as many shards as there are processors, 44 bytes a row and a column again, and what the encoded parts take:
// about what the objects will.
func (w *Writer) Held() (n int64) {
	for _, p := range w.shards {
		if p != nil {
			n += p.held
		}
	}
	return n
}

// Finish sorts, encodes, stores and verifies the parts and returns the table's manifest. Nothing is visible until the manifest is
// committed; parts of a failed Finish are garbage for the sweep, and are used again if the same rows are written again.
func (w *Writer) Finish(ctx context.Context) (Manifest, error) {
	encoded, err := w.encoded(ctx)
	if err != nil {
		return Manifest{}, err
	}
	return w.stored(ctx, encoded)
}

// encoded is the first half of Finish, which keeps processors busy: it sorts, encodes and hashes the shards.
func (w *Writer) encoded(ctx context.Context) ([]shard, error) {
	switch {
	case w.err != nil:
		return nil, w.err
	case w.done:
		return nil, fmt.Errorf("write table %s: finished twice", w.prefix)
	}
	w.done = true
	shards, err := w.encodeAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("write table %s: %w", w.prefix, err)
	}
	hashParts(shards)
	return shards, nil
}

// stored is the second half, which waits for the store.
func (w *Writer) stored(ctx context.Context, shards []shard) (Manifest, error) {
	parts, err := w.storeAll(ctx, shards)
	if err != nil {
		return Manifest{}, fmt.Errorf("write table %s: %w", w.prefix, err)
	}
	m := Manifest{Schema: w.schema, Shards: w.o.Shards, Ordered: w.o.Ordered, Parts: []Part{}, Keys: slices.Clone(w.o.SortBy)}
	total := shards[0].digest
	for i, p := range parts {
		if i > 0 {
			if err := total.Merge(shards[i].digest); err != nil {
				return Manifest{}, fmt.Errorf("write table %s: %w", w.prefix, err)
			}
		}
		if p.Rows > 0 {
			m.Parts = append(m.Parts, p)
		}
	}
	total.Describe(&m)
	return m, nil
}

// shard is one as it is stored.
type shard struct {
	rows   int
	digest *Digester
	body   []byte
	footer int // of how many bytes that is, at the end of body
	sum    [sha.Size]byte
}

func (w *Writer) encodeAll(ctx context.Context) ([]shard, error) {
	out := make([]shard, len(w.shards))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range w.shards {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if out[i], err = w.encode(w.shards[i]); err != nil {
				return fmt.Errorf("encode shard %d: %w", i, err)
			}
			w.shards[i] = nil // memory that is not needed any more
			return nil
		})
	}
	return out, g.Wait()
}

func (w *Writer) storeAll(ctx context.Context, shards []shard) ([]Part, error) {
	parts := make([]Part, len(shards))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel) // what it waits for is the store
	for i := range shards {
		if shards[i].rows > 0 {
			g.Go(func() (err error) {
				if parts[i], err = w.store(ctx, i, &shards[i]); err == nil {
					giveBackBytes(shards[i].body) // of which nothing is sent any more: the store has sent all of it back
				}
				shards[i].body = nil
				return err
			})
		}
	}
	return parts, g.Wait()
}

// encode sorts, digests and encodes the rows of a shard. Two goroutines work on it: a table of one shard has two processors as well.
func (w *Writer) encode(p *pile) (s shard, err error) {
	s.digest = &Digester{schema: w.schema, ordered: w.o.Ordered}
	r := p.sorted(w.o.SortBy, w.o.Ordered, w.o.ShardBy)
	if s.rows = r.n; r.n == 0 {
		return s, nil
	}
	var work errgroup.Group
	work.Go(func() error { return s.digest.Add(r.batch()) })
	work.Go(func() (err error) {
		s.body, s.footer, err = encode(r, w.o)
		return err
	})
	err = work.Wait()
	r.giveBack()
	return s, err
}

// hashParts hashes the encoded shards, side by side as far as that is quicker than each by itself.
func hashParts(shards []shard) {
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for group := range slices.Chunk(shards, sha.Together(len(shards))) {
		work.Go(func() error {
			sums, bodies := make([][sha.Size]byte, len(group)), make([][]byte, len(group))
			for i := range group {
				bodies[i] = group[i].body
			}
			sha.Sums(sums, bodies)
			for i := range group {
				group[i].sum = sums[i]
			}
			return nil
		})
	}
	_ = work.Wait() // nothing fails
}

// store puts the encoded rows of one shard under a name made of their SHA-256, and reads them back.
func (w *Writer) store(ctx context.Context, number int, s *shard) (p Part, err error) {
	body := s.body
	p = Part{Shard: number, Rows: int64(s.rows), Size: int64(len(body)), SHA256: hex.EncodeToString(s.sum[:])}
	sum := sha256.Sum256(body[len(body)-s.footer:])
	p.Footer, p.FooterSHA256 = int64(s.footer), hex.EncodeToString(sum[:])
	p.Object = fmt.Sprintf("%s/part-%04d-%s.parquet", w.prefix, number, p.SHA256[:16])

	// An object that stands there is written anew: it may be damaged, or so old that a collection is about to take it for litter. What
	// reads back damaged is written once more.
	for range 2 {
		if _, err = w.b.Put(ctx, p.Object, storage.Bytes(body), storage.Cond{}); err != nil {
			return Part{}, fmt.Errorf("store shard %d: %w", number, err)
		}
		if err = verifyPart(ctx, w.b, p.Object, body); !errors.Is(err, ErrCorrupt) {
			return p, err
		}
	}
	return Part{}, err
}

// verifyPart reads an object and compares it with what was written.
func verifyPart(ctx context.Context, b storage.Bucket, object string, body []byte) error {
	rc, _, err := b.Get(ctx, object, storage.Range{})
	if err != nil {
		return fmt.Errorf("read back %s: %w", object, err)
	}
	defer rc.Close()
	left := comparing(body)
	if _, err := io.Copy(&left, rc); err != nil && !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("read back %s: %w", object, err)
	} else if err != nil || len(left) > 0 {
		return fmt.Errorf("read back %s: the store returned other bytes than it was given (%w); check the store, then run again", object, ErrCorrupt)
	}
	return nil
}

// comparing takes the bytes that it begins with, and refuses others.
type comparing []byte

func (c *comparing) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(*c, p) {
		return 0, ErrCorrupt
	}
	*c = (*c)[len(p):]
	return len(p), nil
}
