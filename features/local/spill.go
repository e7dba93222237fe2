package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// spill is a file of a build for what its budget has no room for: chunks, each written once and read once. Where they stand, and what they hash to, is
// known in memory alone. The file has no name as soon as it is open, where the system allows it, so that nothing is left of it even if the process
// is killed.
type spill struct {
	folder string

	mu   sync.Mutex // of file, name and err
	file *os.File
	name string // empty once it has none
	err  error
	end  atomic.Int64
}

// chunk is a run of bytes in the file.
type chunk struct {
	at   int64
	n    int
	hash uint64
}

func (s *spill) open() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil || s.err != nil {
		return s.file, s.err
	}
	s.file, s.err = os.CreateTemp(s.folder, "rapport-spill-*")
	if s.err != nil {
		s.err = fmt.Errorf("the build needs more than its budget, and can't open a file to spill to: %w", s.err)
		return nil, s.err
	}
	if s.name = s.file.Name(); os.Remove(s.name) == nil {
		s.name = "" // some systems refuse until it is closed: close does it then
	}
	return s.file, nil
}

// write appends bytes to the file.
func (s *spill) write(b []byte) (chunk, error) {
	f, err := s.open()
	if err != nil {
		return chunk{}, err
	}
	c := chunk{n: len(b), hash: xxh3.Hash(b)}
	c.at = s.end.Add(int64(len(b))) - int64(len(b))
	if _, err := f.WriteAt(b, c.at); err != nil {
		return chunk{}, fmt.Errorf("spill to a file: %w", err)
	}
	return c, nil
}

// read reads a chunk into buf, which it grows if need be.
func (s *spill) read(c chunk, buf []byte) ([]byte, error) {
	if cap(buf) < c.n {
		buf = make([]byte, c.n)
	}
	buf = buf[:c.n]
	if _, err := s.file.ReadAt(buf, c.at); err != nil {
		return nil, fmt.Errorf("read what was spilled: %w", err)
	}
	if xxh3.Hash(buf) != c.hash {
		return nil, errors.New("the spill file is not what was written to it: another program, or the disk, has changed it")
	}
	return buf, nil
}

// close removes the file.
func (s *spill) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
	if s.name != "" {
		_ = os.Remove(s.name)
	}
}

// appendRecords encodes records: their number, then word by word of the first one: the word, which of its bytes differ in any other record, and of all records these bytes, byte by
// byte of a word; then each text behind its length. A mask, a number of an entity or a small value so takes few bytes, and nothing is searched for.
func appendRecords(dst []byte, r *records) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.n))
	k := len(r.words) / r.n
	for w := range k {
		first, differ := r.words[w], uint64(0)
		for at := w; at < len(r.words); at += k {
			differ |= r.words[at] ^ first
		}
		dst = append(binary.LittleEndian.AppendUint64(dst, first), 0)
		planes := len(dst) - 1
		for shift := 0; shift < 64; shift += 8 {
			if differ>>shift&0xff != 0 {
				dst[planes] |= 1 << (shift / 8)
			}
		}
		for shift := 0; shift < 64; shift += 8 {
			if differ>>shift&0xff == 0 {
				continue
			}
			at, n := w, len(dst)
			dst = slices.Grow(dst, r.n)[:n+r.n]
			for i := range dst[n:] {
				dst[n+i] = byte(r.words[at] >> shift)
				at += k
			}
		}
	}
	for _, s := range r.texts {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

// decodeRecords reads into r what appendRecords wrote.
func decodeRecords(src []byte, g *group, r *records) {
	r.n = int(binary.LittleEndian.Uint32(src))
	src = src[4:]
	k := g.words
	r.words, r.texts = slices.Grow(r.words[:0], r.n*k)[:r.n*k], r.texts[:0]
	for w := range k {
		same, planes := binary.LittleEndian.Uint64(src), src[8]
		src = src[9:]
		for shift := 0; shift < 64; shift += 8 {
			if planes>>(shift/8)&1 != 0 {
				same &^= 0xff << shift
			}
		}
		for at := w; at < len(r.words); at += k {
			r.words[at] = same
		}
		for shift := 0; shift < 64; shift += 8 {
			if planes>>(shift/8)&1 == 0 {
				continue
			}
			at := w
			for _, x := range src[:r.n] {
				r.words[at] |= uint64(x) << shift
				at += k
			}
			src = src[r.n:]
		}
	}
	for range r.n * g.texts {
		n, size := binary.Uvarint(src)
		src = src[size:]
		r.texts = append(r.texts, string(src[:n]))
		src = src[n:]
	}
}
