package table

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/storage"
)

// ReadOptions narrow a Read. The zero value reads everything.
type ReadOptions struct {
	Columns   []string // in this order; nil: all, in the order of the schema
	Shards    []int    // nil: all
	BatchRows int      // rows in a batch at most; 0 means 8,192
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
		out := newBatch(s)
		load := func(ctx context.Context, p Part) (loaded, error) {
			body, err := loadPart(ctx, b, p)
			return loaded{p, body}, err
		}
		for l, err := range inOrder(ctx, 1, each(parts), load) {
			if err != nil {
				yield(nil, err)
				return
			}
			more, err := readPart(l, out, o.BatchRows, func(b *Batch) bool { return yield(b, nil) })
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

// readPart yields the rows of a part in out, batch by batch, and reports whether the consumer wants more.
func readPart(l loaded, out *Batch, size int, yield func(*Batch) bool) (bool, error) {
	var f *parquet.File
	var leaves []int
	err := guard(func() error {
		var err error
		f, err = parquet.OpenFile(bytes.NewReader(l.body), int64(len(l.body)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		if err != nil {
			return fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
		for _, field := range out.Schema {
			leaf, ok := f.Schema().Lookup(field.Name)
			if !ok || leaf.Node.Type().Kind() != partKind[field.Type] || !leaf.Node.Optional() {
				return fmt.Errorf("%w: its column %q is not what its manifest says", ErrCorrupt, field.Name)
			}
			leaves = append(leaves, leaf.ColumnIndex)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	var total int64
	for gi, g := range f.RowGroups() {
		more, err := readGroup(g, leaves, out, size, yield)
		if err != nil {
			return false, fmt.Errorf("row group %d: %w", gi, err)
		}
		if !more {
			return false, nil
		}
		total += g.NumRows()
	}
	if total != l.part.Rows {
		return false, fmt.Errorf("%w: %d rows where its manifest says %d", ErrCorrupt, total, l.part.Rows)
	}
	return true, nil
}

var partKind = [...]parquet.Kind{Int64: parquet.Int64, Time: parquet.Int64, Float64: parquet.Double, String: parquet.ByteArray, Bool: parquet.Boolean, Bytes: parquet.ByteArray}

func readGroup(g parquet.RowGroup, leaves []int, out *Batch, size int, yield func(*Batch) bool) (bool, error) {
	cursors := make([]*pageCursor, len(leaves))
	chunks := g.ColumnChunks()
	for i, leaf := range leaves {
		cursors[i] = &pageCursor{typ: out.Schema[i].Type, pages: chunks[leaf].Pages()}
		defer cursors[i].close()
	}
	for left := g.NumRows(); left > 0; {
		n := int(min(left, int64(size)))
		left -= int64(n)
		out.resize(n)
		for i, c := range cursors {
			if err := guard(func() error { return c.fill(&out.Cols[i], n) }); err != nil {
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
		c := &b.Cols[i]
		c.Valid = nil
		switch b.Schema[i].Type {
		case Float64:
			c.Float = resized(c.Float, n)
		case String, Bytes:
			c.Str = resized(c.Str, n)
		default:
			c.Int = resized(c.Int, n)
		}
	}
}

func resized[T any](v []T, n int) []T {
	if cap(v) < n {
		return make([]T, n)
	}
	return v[:n]
}

// pageCursor walks the pages of one optional column chunk. levels has one byte a row (1: not null); values holds the others, dense.
type pageCursor struct {
	typ    Type
	pages  parquet.Pages
	page   parquet.Page
	levels []byte
	row    int // next row in page
	next   int // next value in page

	ints   []int64
	floats []float64
	bits   []byte
	text   []byte
	ends   []uint32
	index  []int32
	dict   []string // the chunk's dictionary, once
	valid  []bool   // backs Column.Valid
}

func (c *pageCursor) close() {
	parquet.Release(c.page)
	c.pages.Close()
}

// fill writes the next n rows to dst.
func (c *pageCursor) fill(dst *Column, n int) error {
	for at := 0; at < n; {
		if c.row == len(c.levels) {
			if err := c.nextPage(); err != nil {
				return err
			}
			continue
		}
		k := min(n-at, len(c.levels)-c.row)
		for i, level := range c.levels[c.row : c.row+k] {
			if level == 0 {
				c.null(dst, at+i, n)
				continue
			}
			c.value(dst, at+i)
			c.next++
		}
		c.row += k
		at += k
	}
	return nil
}

// null marks row i of n as null.
func (c *pageCursor) null(dst *Column, i, n int) {
	if dst.Valid == nil {
		c.valid = resized(c.valid, n)
		for k := range c.valid {
			c.valid[k] = true
		}
		dst.Valid = c.valid
	}
	dst.clear(i, c.typ)
}

// clear makes row i null; Valid must be set.
func (c *Column) clear(i int, t Type) {
	c.Valid[i] = false
	switch t {
	case Float64:
		c.Float[i] = 0
	case String, Bytes:
		c.Str[i] = ""
	default:
		c.Int[i] = 0
	}
}

func (c *pageCursor) value(dst *Column, i int) {
	switch c.typ {
	case Float64:
		dst.Float[i] = c.floats[c.next]
	case Bool:
		dst.Int[i] = int64(c.bits[c.next/8]>>(c.next%8)) & 1
	case String, Bytes:
		if c.index != nil {
			dst.Str[i] = c.dict[c.index[c.next]]
		} else {
			dst.Str[i] = string(c.text[c.ends[c.next]:c.ends[c.next+1]])
		}
	default:
		dst.Int[i] = c.ints[c.next]
	}
}

func (c *pageCursor) nextPage() error {
	parquet.Release(c.page)
	c.page = nil
	page, err := c.pages.ReadPage()
	if err != nil {
		return fmt.Errorf("%w: its pages end early: %v", ErrCorrupt, err)
	}
	c.page, c.levels, c.row, c.next, c.index = page, page.DefinitionLevels(), 0, 0, nil
	values := page.Data()
	switch c.typ {
	case Float64:
		c.floats = values.Double()
	case Bool:
		c.bits = values.Boolean()
	case String, Bytes:
		if d := page.Dictionary(); d != nil {
			if c.index = values.Int32(); c.index == nil {
				c.index = []int32{} // a page of nulls
			}
			if c.dict == nil {
				c.dict = dictionaryText(d)
			}
		} else {
			c.text, c.ends = values.ByteArray()
		}
	default:
		c.ints = values.Int64()
	}
	return nil
}

// dictionaryText copies a dictionary's values into strings that share one allocation.
func dictionaryText(d parquet.Dictionary) []string {
	values := d.Page().Data()
	data, ends := values.ByteArray()
	text := string(data)
	out := make([]string, d.Len())
	for i := range out {
		out[i] = text[ends[i]:ends[i+1]]
	}
	return out
}
