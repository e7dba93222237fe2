package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/storage"
)

// object is one state of one object: every read is bound to its ETag.
type object struct {
	bucket storage.Bucket
	info   storage.Info
	budget int64 // bytes of a row group that are fetched at once
	piece  int64 // bytes of a request beyond that
}

// openObject takes the state that info describes, or the present one if info has no ETag.
func openObject(ctx context.Context, b storage.Bucket, info storage.Info) (*object, error) {
	if info.ETag == "" {
		now, err := b.Head(ctx, info.Key)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", info.Key, err)
		}
		info = now
	}
	return &object{b, info, groupBudget, pieceSize}, nil
}

// read returns bytes [off, off+n), which the caller has checked to lie in the object.
func (o *object) read(ctx context.Context, off, n int64) ([]byte, error) {
	b, err := o.get(ctx, storage.Range{Off: off, N: n, IfMatch: o.info.ETag})
	if errors.Is(err, storage.ErrPrecondition) {
		err = fmt.Errorf("the object changed while it was read; run again: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: bytes %d to %d: %w", o.info.Key, off, off+n, err)
	}
	return b, nil
}

func (o *object) get(ctx context.Context, r storage.Range) ([]byte, error) {
	rc, _, err := o.bucket.Get(ctx, o.info.Key, r)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return readExactly(rc, make([]byte, r.N))
}

// readExactly fills b, and reads the end after that, at which a bucket may still say that the object changed meanwhile.
func readExactly(r io.Reader, b []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, b); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != io.EOF {
		if err == nil {
			err = errors.New("the store sent more bytes than it was asked for")
		}
		return nil, err
	}
	return b, nil
}

// span is a range of bytes [off, off+n) of an object.
type span struct{ off, n int64 }

func (s span) end() int64 { return s.off + s.n }

// Bounds of what a row group holds in memory. Spans up to groupBudget in all are fetched ahead, joined where they touch; a
// span beyond it is fetched in pieces while it is decoded.
const (
	groupBudget = 64 << 20
	pieceSize   = 8 << 20
	parallel    = 4 // requests at once for one row group, or for the parts of a table
)

// sparse is a file of which only declared spans can be read, for the decoder: every other offset is an error, never a request.
type sparse struct {
	o     *object
	ctx   context.Context // of requests made while decoding; io.ReaderAt takes none
	spans []*loadedSpan   // ascending
	err   error           // the first error of the bucket; no read succeeds after it
}

// loadedSpan is a span and the piece of it that is in memory.
type loadedSpan struct {
	span
	at   int64 // offset of data in the object
	data []byte
}

// fetchSpans prepares spans for reading: those that fit the budget are fetched now, under ctx.
func (o *object) fetchSpans(ctx context.Context, spans []span) (*sparse, error) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.off, b.off) })
	s := &sparse{o: o, ctx: ctx}
	var joined []span
	budget := o.budget
	for _, sp := range spans {
		if sp.n == 0 { // a request for no bytes would be one for all
			continue
		}
		if sp.n > budget {
			s.spans = append(s.spans, &loadedSpan{span: sp})
			continue
		}
		budget -= sp.n
		if k := len(joined) - 1; k >= 0 && joined[k].end() == sp.off {
			joined[k].n += sp.n
		} else {
			joined = append(joined, sp)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, sp := range joined {
		l := &loadedSpan{span: sp, at: sp.off}
		s.spans = append(s.spans, l)
		g.Go(func() (err error) {
			l.data, err = o.read(gctx, sp.off, sp.n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(s.spans, func(a, b *loadedSpan) int { return cmp.Compare(a.off, b.off) })
	return s, nil
}

// loaded returns the bytes of a span if all of them are in memory, else nil.
func (s *sparse) loaded(sp span) []byte {
	for _, l := range s.spans {
		if at := sp.off - l.at; at >= 0 && at+sp.n <= int64(len(l.data)) {
			return l.data[at : at+sp.n : at+sp.n]
		}
	}
	return nil
}

// ReadAt implements io.ReaderAt. It is not safe for concurrent use.
func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	i, found := slices.BinarySearchFunc(s.spans, off, func(l *loadedSpan, off int64) int { return cmp.Compare(l.off, off) })
	if !found {
		i--
	}
	if i < 0 || off >= s.spans[i].end() {
		return 0, fmt.Errorf("%w: the decoder asked for byte %d, outside the declared columns", ErrCorrupt, off)
	}
	l := s.spans[i]
	n := 0
	for n < len(p) && off < l.end() {
		if off < l.at || off >= l.at+int64(len(l.data)) {
			data, err := s.o.read(s.ctx, off, min(s.o.piece, l.end()-off))
			if err != nil {
				s.err = err
				return n, err
			}
			l.at, l.data = off, data
		}
		k := copy(p[n:], l.data[off-l.at:])
		n += k
		off += int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Seek implements io.Seeker as far as the decoder's interface asks for it: nothing reads at the position.
func (s *sparse) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		offset += s.o.info.Size
	}
	return offset, nil
}
