package table

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
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
	// Window, if not zero, leaves out the row groups whose statistics say that the column Time, which need not be among Columns, lies
	// outside it in every row. Rows outside it may still come, and row groups that have rows without a time do.
	Time   string
	Window Interval
}

const (
	defaultBatchRows = 8192
	aheadRead        = 3 // units fetched while one is decoded
)

// Read yields the rows of a committed table, part by part (ascending shard), in their order within each part. Of a part it fetches the footer and,
// row group by row group, the chunks of the columns that are wanted, joined where they touch; if all are wanted, the part in one request. Each is
// verified before a byte of it is decoded: the footer by its SHA-256, chunks by the CRC-32C that it holds of them; a part of a manifest that
// knows no footer is read whole, and verified by its SHA-256. What comes next is fetched while the current row group, or part, is decoded: memory is
// four of these, as compressed, a page of each column, and a batch. Texts of a page, or a dictionary, share one allocation, which lives as long as one of
// them is kept, and those without a codec that of all that was fetched with them, the batch's Loan: who keeps few of many clones them. The sequence ends after the
// first error.
func Read(ctx context.Context, b storage.Bucket, m Manifest, o ReadOptions) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		s, err := m.project(o.Columns)
		if err == nil {
			o, err = o.withDefaults(&m)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		parts := o.parts(&m)
		whole, ahead := o.whole(s, &m)
		out, spares := newBatch(s), borrowSpares(len(s))
		defer giveBackSpares(spares)
		fetch := func(ctx context.Context, u unit) (loaded, error) { return load(ctx, b, u, s, o) }
		for l, err := range inOrder(ctx, ahead, units(ctx, b, parts, s, o, whole), fetch) {
			if err != nil {
				yield(nil, err)
				return
			}
			shared := l.shared(s)
			if out.Loan = nil; shared {
				out.Loan = NewLoan(l.memory.giveBack)
			}
			for _, g := range slices.Sorted(maps.Keys(l.chunks)) {
				more, err := l.read(g, out, spares, o, func(b *Batch) bool { return yield(b, nil) })
				if err != nil {
					yield(nil, l.part.failed(fmt.Errorf("row group %d: %w", g, err)))
					return
				}
				if !more {
					return
				}
			}
			if shared {
				out.Loan.Read()
			} else {
				l.memory.giveBack()
			}
		}
	}
}

// parts are those that are read.
func (o *ReadOptions) parts(m *Manifest) []Part {
	if o.Shards == nil {
		return m.Parts
	}
	return slices.DeleteFunc(slices.Clone(m.Parts), func(p Part) bool { return !slices.Contains(o.Shards, p.Shard) })
}

// whole reports whether parts are fetched in one request each, and how much is fetched ahead: parts, or row groups.
func (o *ReadOptions) whole(s Schema, m *Manifest) (whole bool, ahead int) {
	if !o.windowed() && wants(s, m.Schema) {
		return true, 1
	}
	return false, aheadRead
}

func (o ReadOptions) withDefaults(m *Manifest) (ReadOptions, error) {
	if o.BatchRows <= 0 {
		o.BatchRows = defaultBatchRows
	}
	if !o.windowed() {
		return o, nil
	}
	if i := m.Schema.Index(o.Time); i < 0 || m.Schema[i].Type != Time {
		return o, fmt.Errorf("read table %.12s: %w: a window needs a time column, and %q is none", m.Digest, ErrColumn, o.Time)
	}
	return o, nil
}

// windowed reports whether row groups are left out by time.
func (o *ReadOptions) windowed() bool { return !o.Window.Start.IsZero() || !o.Window.End.IsZero() }

// wants reports whether s has all columns of a table.
func wants(s, all Schema) bool {
	for _, f := range all {
		if s.Index(f.Name) < 0 {
			return false
		}
	}
	return true
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

// units are what is fetched at once, in order: a part if all of it is wanted, or if it can only be verified as a whole, else each of its row groups.
func units(ctx context.Context, b storage.Bucket, parts []Part, s Schema, o ReadOptions, whole bool) iter.Seq2[unit, error] {
	return func(yield func(unit, error) bool) {
		for _, p := range parts {
			if whole || p.Footer == 0 {
				if !yield(unit{part: p, group: -1}, nil) {
					return
				}
				continue
			}
			f, err := fetchFooter(ctx, b, p, s)
			if err != nil {
				yield(unit{}, err)
				return
			}
			for g := range f.meta.RowGroups {
				if f.mayMatch(g, o) && !yield(unit{part: p, file: f, group: g}, nil) {
					return
				}
			}
		}
	}
}

// unit is a part, or a row group of it.
type unit struct {
	part  Part
	file  *partFile // of a row group; that of a part is found in its bytes
	group int       // -1: all
}

// loaded is a unit whose bytes are in memory: of each row group the chunks of the columns that are read.
type loaded struct {
	unit
	chunks map[int][][]byte
	memory *lender // of the bytes
}

// shared reports whether texts that were read stand in the bytes that were fetched.
func (l *loaded) shared(s Schema) bool {
	for g := range l.chunks {
		for i, leaf := range l.file.leaves {
			if t := s[i].Type; (t == String || t == Bytes) && l.file.meta.RowGroups[g].Columns[leaf].MetaData.Codec == 0 {
				return true
			}
		}
	}
	return false
}

// load fetches a unit and verifies what it has fetched.
func load(ctx context.Context, b storage.Bucket, u unit, s Schema, o ReadOptions) (loaded, error) {
	l := loaded{unit: u, chunks: map[int][][]byte{}, memory: new(lender)}
	if u.group >= 0 {
		chunks, err := u.file.fetchGroup(ctx, b, u.group, l.memory)
		l.chunks[u.group] = chunks
		return l, err
	}
	body, err := fetchPart(ctx, b, u.part, l.memory)
	if err != nil {
		return l, err
	}
	err = func() error {
		l.file, err = openPart(u.part, body, s)
		if err != nil {
			return err
		}
		for g := range l.file.meta.RowGroups {
			if !l.file.mayMatch(g, o) {
				continue
			}
			if l.chunks[g], err = l.file.cutGroup(body, g); err != nil {
				return fmt.Errorf("row group %d: %w", g, err)
			}
		}
		return nil
	}()
	return l, u.part.failed(err)
}

// failed says of which part an error is, and what to do.
func (p *Part) failed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("read part %s: %w; build its step again", p.Object, err)
	}
	return fmt.Errorf("read part %s: %w", p.Object, err)
}

// read yields the rows of a row group in out, batch by batch, and reports whether the consumer wants more.
func (l *loaded) read(group int, out *Batch, spares []*spare, o ReadOptions, yield func(*Batch) bool) (bool, error) {
	readers := make([]*chunkReader, len(out.Schema))
	g := l.file.meta.RowGroups[group]
	for i, leaf := range l.file.leaves {
		err := guard(func() error {
			codec, err := codecOf(int(g.Columns[leaf].MetaData.Codec))
			if err != nil {
				return err
			}
			readers[i], err = openChunk(l.chunks[group][i], g.NumRows, chunkOptions{typ: out.Schema[i].Type, codec: codec, dictionaries: o.Dictionaries, lasting: true}, spares[i])
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
