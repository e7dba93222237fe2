package table

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"

	"github.com/rapport-ml/rapport/storage"
)

// ReadOptions narrow a Read. The zero value reads everything.
type ReadOptions struct {
	Columns   []string // in this order; nil: all, in the order of the schema
	Shards    []int    // nil: all
	BatchRows int      // rows in a batch at most; 0 means 8,192
	// Dictionaries asks for String columns as Code and Dict where they stand in a dictionary, one for each part and row group; others come as
	// Str all the same. A Dict is never changed and may be kept.
	Dictionaries bool
}

const defaultBatchRows = 8192

// Read yields the rows of a committed table, part by part (ascending shard), in their order within each part. A part is read whole,
// the next one while the current is decoded, and its SHA-256 is checked before a byte of it is decoded; so memory is two parts, as
// compressed, and a batch. The sequence ends after the first error.
func Read(ctx context.Context, b storage.Bucket, m Manifest, o ReadOptions) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		s, err := m.project(o.Columns)
		if err != nil {
			yield(nil, err)
			return
		}
		if o.BatchRows <= 0 {
			o.BatchRows = defaultBatchRows
		}
		parts := m.Parts
		if o.Shards != nil {
			parts = slices.DeleteFunc(slices.Clone(parts), func(p Part) bool { return !slices.Contains(o.Shards, p.Shard) })
		}
		out, spares := newBatch(s), make([]spare, len(s))
		load := func(ctx context.Context, p Part) (loaded, error) {
			body, err := loadPart(ctx, b, p)
			return loaded{p, body}, err
		}
		for l, err := range inOrder(ctx, 1, each(parts), load) {
			if err != nil {
				yield(nil, err)
				return
			}
			more, err := readPart(l, out, spares, o, func(b *Batch) bool { return yield(b, nil) })
			if err != nil {
				yield(nil, fmt.Errorf("read part %s: %w; build its step again", l.part.Object, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// project returns the fields of the named columns, or all.
func (m *Manifest) project(names []string) (Schema, error) {
	if names == nil {
		return m.Schema, nil
	}
	var s Schema
	for _, name := range names {
		i := m.Schema.Index(name)
		if i < 0 {
			return nil, fmt.Errorf("read table %.12s: %w: it has no column %q%s", m.Digest, ErrColumn, name, nearest(name, m.Schema.names()))
		}
		s = append(s, m.Schema[i])
	}
	return s, nil
}

func (s Schema) names() []string {
	names := make([]string, len(s))
	for i, f := range s {
		names[i] = f.Name
	}
	return names
}

type loaded struct {
	part Part
	body []byte
}

// loadPart reads a part and checks its size and SHA-256.
func loadPart(ctx context.Context, b storage.Bucket, p Part) ([]byte, error) {
	rc, info, err := b.Get(ctx, p.Object, storage.Range{})
	if err != nil {
		return nil, fmt.Errorf("read part %s: %w", p.Object, err)
	}
	defer rc.Close()
	if info.Size != p.Size {
		return nil, fmt.Errorf("read part %s: %w: %d bytes where its manifest says %d; build its step again", p.Object, ErrCorrupt, info.Size, p.Size)
	}
	body, err := readExactly(rc, p.Size)
	if err != nil {
		return nil, fmt.Errorf("read part %s: %w", p.Object, err)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, fmt.Errorf("read part %s: %w: its bytes are not those that were committed (SHA-256); build its step again", p.Object, ErrCorrupt)
	}
	return body, nil
}

// part is a part whose bytes are in memory.
type part struct {
	*rawFile
	body []byte
}

// openPart reads the footer of a part and finds the columns of s in it.
func openPart(l loaded, s Schema) (part, []int, error) {
	o := &object{info: storage.Info{Key: l.part.Object, Size: int64(len(l.body))}}
	foot := len(l.body) - tailSize
	if foot < len(magic) || string(l.body[foot+4:]) != magic {
		return part{}, nil, fmt.Errorf("%w: it does not end as a Parquet file does", ErrCorrupt)
	}
	n := int(binary.LittleEndian.Uint32(l.body[foot:]))
	if n > foot-len(magic) {
		return part{}, nil, fmt.Errorf("%w: it announces a footer of %d bytes in a file of %d", ErrCorrupt, n, len(l.body))
	}
	f, err := parseFooter(o, l.body[foot-n:foot], int64(foot-n))
	if err != nil {
		return part{}, nil, err
	}
	var leaves []int
	for _, field := range s {
		leaf := f.meta.Schema.ColumnIndexByName(field.Name)
		if leaf < 0 || f.meta.Schema.Column(leaf).PhysicalType() != partKind[field.Type] || f.meta.Schema.Column(leaf).MaxDefinitionLevel() != 1 || f.meta.Schema.Column(leaf).MaxRepetitionLevel() != 0 {
			return part{}, nil, fmt.Errorf("%w: its column %q is not what its manifest says", ErrCorrupt, field.Name)
		}
		leaves = append(leaves, leaf)
	}
	return part{f, l.body}, leaves, nil
}

// readPart yields the rows of a part in out, batch by batch, and reports whether the consumer wants more.
func readPart(l loaded, out *Batch, spares []spare, o ReadOptions, yield func(*Batch) bool) (bool, error) {
	p, leaves, err := openPart(l, out.Schema)
	if err != nil {
		return false, err
	}
	for g := range p.meta.RowGroups {
		more, err := readGroup(p, g, leaves, out, spares, o, yield)
		if err != nil {
			return false, fmt.Errorf("row group %d: %w", g, err)
		}
		if !more {
			return false, nil
		}
	}
	if p.meta.NumRows != l.part.Rows {
		return false, fmt.Errorf("%w: %d rows where its manifest says %d", ErrCorrupt, p.meta.NumRows, l.part.Rows)
	}
	return true, nil
}

func readGroup(p part, group int, leaves []int, out *Batch, spares []spare, o ReadOptions, yield func(*Batch) bool) (bool, error) {
	readers := make([]*chunkReader, len(leaves))
	g := p.meta.RowGroups[group]
	for i, leaf := range leaves {
		err := guard(func() error {
			at, err := p.chunk(group, leaf)
			if err != nil {
				return err
			}
			codec, err := codecOf(int(g.Columns[leaf].MetaData.Codec))
			if err != nil {
				return err
			}
			readers[i], err = openChunk(p.body[at.off:at.end()], g.NumRows, out.Schema[i].Type, codec, o.Dictionaries, &spares[i])
			return err
		})
		if err != nil {
			return false, fmt.Errorf("column %q: %w", out.Schema[i].Name, err)
		}
	}
	for left := g.NumRows; left > 0; {
		n := int(min(left, int64(o.BatchRows)))
		for _, r := range readers {
			n, _ = r.run(n)
		}
		left -= int64(n)
		out.N = n
		for i, r := range readers {
			c, t := &out.Cols[i], out.Schema[i].Type
			switch _, codes := r.run(n); {
			case codes:
				spares[i].code = resized(spares[i].code, n)
				*c = Column{Code: spares[i].code, Dict: r.words}
			case r.dictionaries:
				spares[i].text = resized(spares[i].text, n)
				*c = Column{Str: spares[i].text}
			default:
				c.resize(n, t)
			}
			if err := guard(func() error { return r.fill(c, n) }); err != nil {
				return false, fmt.Errorf("column %q: %w", out.Schema[i].Name, err)
			}
		}
		if !yield(out) {
			return false, nil
		}
	}
	return true, nil
}

// newBatch returns an empty batch of schema s.
func newBatch(s Schema) *Batch { return &Batch{Schema: s, Cols: make([]Column, len(s))} }

// resize makes room for n rows, without nulls; values are those of earlier use.
func (b *Batch) resize(n int) {
	b.N = n
	for i := range b.Cols {
		b.Cols[i].resize(n, b.Schema[i].Type)
	}
}

// resize makes room for n values, none of them null.
func (c *Column) resize(n int, t Type) {
	c.Valid = nil
	switch t {
	case Float64:
		c.Float = resized(c.Float, n)
	case String, Bytes:
		c.Str = resized(c.Str, n)
	default:
		c.Int = resized(c.Int, n)
	}
}

func resized[T any](v []T, n int) []T {
	if cap(v) < n {
		return make([]T, n)
	}
	return v[:n]
}

// clear makes row i null; Valid must be set.
func (c *Column) clear(i int, t Type) {
	c.Valid[i] = false
	c.zero(i, t)
}
