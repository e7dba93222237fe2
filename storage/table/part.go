package table

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/storage"
)

// partFile is the footer of a part and the columns that are read of it.
type partFile struct {
	*rawFile
	part   Part
	leaves []int  // of the columns of a schema
	sums   []byte // CRC-32C of each chunk, row group by row group; nil if the part was verified as a whole
}

// errFooter says that a part has no footer where one should stand.
var errFooter = fmt.Errorf("%w: it does not end as a Parquet file does", ErrCorrupt)

// parsePart decodes the footer that end, the last bytes of a part, holds, and finds the columns of s.
func parsePart(p Part, end []byte, s Schema) (*partFile, error) {
	at := len(end) - tailSize
	if at < 0 || string(end[at+4:]) != magic {
		return nil, errFooter
	}
	n := binary.LittleEndian.Uint32(end[at:])
	if uint64(n) > uint64(at) {
		return nil, errFooter
	}
	raw := end[at-int(n) : at]
	body := p.Size - tailSize - int64(n)
	if body < int64(len(magic)) {
		return nil, errFooter
	}
	f, err := parseFooter(&object{info: storage.Info{Key: p.Object, Size: p.Size}}, raw, body)
	if err != nil {
		return nil, err
	}
	if f.meta.NumRows != p.Rows {
		return nil, fmt.Errorf("%w: %d rows where its manifest says %d", ErrCorrupt, f.meta.NumRows, p.Rows)
	}
	out := &partFile{rawFile: f, part: p}
	for _, field := range s {
		leaf := f.meta.Schema.ColumnIndexByName(field.Name)
		if leaf < 0 {
			return nil, fmt.Errorf("%w: it has no column %q, which its manifest names", ErrCorrupt, field.Name)
		}
		if c := f.meta.Schema.Column(leaf); c.PhysicalType() != partKind[field.Type] || c.MaxDefinitionLevel() != 1 || c.MaxRepetitionLevel() != 0 {
			return nil, fmt.Errorf("%w: its column %q is not what its manifest says", ErrCorrupt, field.Name)
		}
		out.leaves = append(out.leaves, leaf)
	}
	if p.Footer == 0 {
		return out, nil
	}
	if sums := f.meta.KeyValueMetadata().FindValue(sumsKey); sums != nil {
		out.sums, err = hex.DecodeString(*sums)
	}
	if want := 4 * len(f.meta.RowGroups) * f.meta.Schema.NumColumns(); err != nil || len(out.sums) != want {
		return nil, fmt.Errorf("%w: its footer has %d bytes of checksums where its columns need %d", ErrCorrupt, len(out.sums), want)
	}
	return out, nil
}

// fetchFooter reads the footer of a part and verifies it. One request.
func fetchFooter(ctx context.Context, b storage.Bucket, p Part, s Schema) (*partFile, error) {
	end, err := fetchRange(ctx, b, p, span{p.Size - p.Footer, p.Footer}, nil)
	if err != nil {
		return nil, p.failed(err)
	}
	f, err := p.openFooter(end, s)
	return f, p.failed(err)
}

// openFooter verifies and decodes the footer of a part that has its checksum in the manifest.
func (p *Part) openFooter(end []byte, s Schema) (*partFile, error) {
	if sum := sha256.Sum256(end); hex.EncodeToString(sum[:]) != p.FooterSHA256 {
		return nil, fmt.Errorf("%w: its footer is not the one that was committed (SHA-256)", ErrCorrupt)
	}
	return parsePart(*p, end, s)
}

// openPart verifies and decodes the footer of a part that is in memory; of one without a footer of its own in the manifest, the whole part.
func openPart(p Part, body []byte, s Schema) (*partFile, error) {
	if p.Footer > 0 {
		if len(body) < len(magic) || p.Footer > int64(len(body)) || p.Size != int64(len(body)) {
			return nil, fmt.Errorf("%w: its footer of %d bytes does not fit into its %d bytes", ErrCorrupt, p.Footer, len(body))
		}
		if string(body[:len(magic)]) != magic { // what no checksum holds
			return nil, fmt.Errorf("%w: it does not begin as a Parquet file does", ErrCorrupt)
		}
		return p.openFooter(body[p.Size-p.Footer:], s)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, fmt.Errorf("%w: its bytes are not those that were committed (SHA-256)", ErrCorrupt)
	}
	return parsePart(p, body, s)
}

// fetchPart reads all bytes of a part, into memory that is borrowed.
func fetchPart(ctx context.Context, b storage.Bucket, p Part, from *lender) ([]byte, error) {
	body, err := fetchRange(ctx, b, p, span{0, p.Size}, from)
	return body, p.failed(err)
}

// fetchRange reads bytes of a part, into memory that is borrowed once the part is known to have them. A part of another size than its manifest says is
// an ErrCorrupt.
func fetchRange(ctx context.Context, b storage.Bucket, p Part, s span, from *lender) ([]byte, error) {
	other := func(size int64) error {
		return fmt.Errorf("%w: %d bytes where its manifest says %d", ErrCorrupt, size, p.Size)
	}
	if s.n == 0 { // a range of no bytes would be one of all
		return nil, nil
	}
	var r storage.Range
	if s.n < p.Size {
		r = storage.Range{Off: s.off, N: s.n}
	}
	rc, info, err := b.Get(ctx, p.Object, r)
	if err != nil {
		// A range behind the end of an object that was cut off is an error of each store's own.
		if now, headErr := b.Head(ctx, p.Object); headErr == nil && now.Size != p.Size {
			return nil, other(now.Size)
		}
		return nil, err
	}
	defer rc.Close()
	if info.Size != p.Size {
		return nil, other(info.Size)
	}
	if from != nil && s.n == p.Size {
		return readExactly(rc, from.borrowPart(s.n))
	}
	return readExactly(rc, from.borrow(s.n))
}

// fetchGroup reads the chunks of a row group, those that touch in one request, and verifies them. Their memory is borrowed.
func (f *partFile) fetchGroup(ctx context.Context, b storage.Bucket, group int, from *lender) ([][]byte, error) {
	var spans []span
	for _, leaf := range f.leaves {
		s, err := f.chunk(group, leaf)
		if err != nil {
			return nil, f.part.failed(fmt.Errorf("row group %d: %w", group, err))
		}
		spans = append(spans, s)
	}
	joined := join(spans)
	bodies := make([][]byte, len(joined))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, s := range joined {
		g.Go(func() (err error) {
			bodies[i], err = fetchRange(ctx, b, f.part, s, from)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, f.part.failed(fmt.Errorf("row group %d: %w", group, err))
	}
	chunks := make([][]byte, len(spans))
	for i, s := range spans {
		k, found := slices.BinarySearchFunc(joined, s.off, func(j span, off int64) int { return cmp.Compare(j.off, off) })
		if !found {
			k--
		}
		at := s.off - joined[k].off
		chunks[i] = bodies[k][at : at+s.n : at+s.n]
		if err := f.verify(chunks[i], group, f.leaves[i]); err != nil {
			return nil, f.part.failed(fmt.Errorf("row group %d: %w", group, err))
		}
	}
	return chunks, nil
}

// join returns the spans in ascending order, those that touch as one.
func join(spans []span) []span {
	spans = slices.SortedFunc(slices.Values(spans), func(a, b span) int { return cmp.Compare(a.off, b.off) })
	var out []span
	for _, s := range spans {
		if k := len(out) - 1; k >= 0 && out[k].end() >= s.off {
			out[k].n = max(out[k].end(), s.end()) - out[k].off
			continue
		}
		out = append(out, s)
	}
	return out
}

// cutGroup finds the chunks of a row group in the bytes of a part, and verifies them.
func (f *partFile) cutGroup(body []byte, group int) ([][]byte, error) {
	var chunks [][]byte
	for _, leaf := range f.leaves {
		s, err := f.chunk(group, leaf)
		if err != nil {
			return nil, err
		}
		c := body[s.off:s.end():s.end()]
		if err := f.verify(c, group, leaf); err != nil {
			return nil, err
		}
		chunks = append(chunks, c)
	}
	return chunks, nil
}

// verify compares a chunk with its checksum, if the footer has one.
func (f *partFile) verify(chunk []byte, group, leaf int) error {
	if f.sums == nil {
		return nil
	}
	if want := binary.BigEndian.Uint32(f.sums[4*(group*f.meta.Schema.NumColumns()+leaf):]); crc32.Checksum(chunk, castagnoli) != want {
		return fmt.Errorf("%w: the bytes of column %q are not those that were committed (CRC-32C)", ErrCorrupt, f.meta.Schema.Column(leaf).Path())
	}
	return nil
}

// mayMatch reports whether a row group may hold a row without a time, or one with a time in the window.
func (f *partFile) mayMatch(group int, o ReadOptions) bool {
	if !o.windowed() {
		return true
	}
	leaf := f.meta.Schema.ColumnIndexByName(o.Time)
	if leaf < 0 {
		return true
	}
	s := f.meta.RowGroups[group].Columns[leaf].MetaData.Statistics
	if s == nil || s.NullCount == nil || *s.NullCount != 0 || len(s.MinValue) != 8 || len(s.MaxValue) != 8 {
		return true
	}
	least, most := int64(binary.LittleEndian.Uint64(s.MinValue)), int64(binary.LittleEndian.Uint64(s.MaxValue))
	return least > most || least < Micros(o.Window.End) && most >= Micros(o.Window.Start)
}
