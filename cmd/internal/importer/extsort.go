package importer

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// sorter sorts records of bytes that need not fit in memory: it holds about limit bytes of them, and what is more stands in sorted runs
// in a folder. Equal records stay as many as they were.
type sorter struct {
	dir   string
	limit int

	data []byte
	at   []span
	runs []*os.File
}

type span struct{ off, n int }

// sortLimit is the memory of the sorter of events, in bytes. maxRuns bounds the open files; that many runs are merged to one.
const (
	sortLimit = 64 << 20
	maxRuns   = 128
	spanBytes = 16
)

func newSorter(dir string) *sorter { return &sorter{dir: dir, limit: sortLimit} }

// add takes a copy of a record.
func (s *sorter) add(record []byte) error {
	if size := len(s.data) + spanBytes*len(s.at); size > 0 && size+len(record) > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.at = append(s.at, span{len(s.data), len(record)})
	s.data = append(s.data, record...)
	return nil
}

// inMemory yields the records that are held, sorted.
func (s *sorter) inMemory() iter.Seq2[[]byte, error] {
	slices.SortFunc(s.at, func(a, b span) int { return bytes.Compare(s.record(a), s.record(b)) })
	return func(yield func([]byte, error) bool) {
		for _, p := range s.at {
			if !yield(s.record(p), nil) {
				return
			}
		}
	}
}

func (s *sorter) record(p span) []byte { return s.data[p.off : p.off+p.n] }

func (s *sorter) spill() error {
	if err := s.write(s.inMemory()); err != nil {
		return err
	}
	s.data, s.at = s.data[:0], s.at[:0]
	if len(s.runs) < maxRuns {
		return nil
	}
	old := s.runs
	s.runs = nil
	return errors.Join(s.write(merge(old, nil)), closeAll(old))
}

// write puts sorted records into a new run. The file has no name any more once it is open, so that nothing of it outlives the process.
func (s *sorter) write(records iter.Seq2[[]byte, error]) error {
	f, err := os.CreateTemp(s.dir, "sort-*")
	if err != nil {
		return fmt.Errorf("make room for sorting: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("make room for sorting: %w", err), f.Close())
	}
	s.runs = append(s.runs, f)
	w := bufio.NewWriterSize(f, 256<<10)
	var head [binary.MaxVarintLen64]byte
	for r, err := range records {
		if err != nil {
			return err
		}
		w.Write(head[:binary.PutUvarint(head[:], uint64(len(r)))]) // a failed write shows in Flush
		w.Write(r)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort beside %s: %w; it needs about the size of the files that are imported", s.dir, err)
	}
	return nil
}

// sorted yields all records in byte order. A record is valid until the next one. It can be called once.
func (s *sorter) sorted() iter.Seq2[[]byte, error] {
	if len(s.runs) == 0 {
		return s.inMemory()
	}
	return merge(s.runs, s.inMemory())
}

func (s *sorter) close() error {
	err := closeAll(s.runs)
	s.runs, s.data, s.at = nil, nil, nil
	return err
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// merge yields the records of sorted runs, and of more where it is not nil, in order.
func merge(runs []*os.File, more iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var h heads
		for _, f := range runs {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				yield(nil, err)
				return
			}
			r := &fileRun{r: bufio.NewReaderSize(f, 64<<10)}
			h = append(h, &head{next: r.next})
		}
		if more != nil {
			next, stop := iter.Pull2(more)
			defer stop()
			h = append(h, &head{next: func() ([]byte, error) {
				r, err, ok := next()
				if !ok {
					return nil, io.EOF
				}
				return r, err
			}})
		}
		for i := 0; i < len(h); {
			switch err := h[i].advance(); {
			case err == io.EOF:
				h = slices.Delete(h, i, i+1)
			case err != nil:
				yield(nil, err)
				return
			default:
				i++
			}
		}
		heap.Init(&h)
		for len(h) > 0 {
			if !yield(h[0].record, nil) {
				return
			}
			switch err := h[0].advance(); {
			case err == io.EOF:
				heap.Pop(&h)
			case err != nil:
				yield(nil, err)
				return
			default:
				heap.Fix(&h, 0)
			}
		}
	}
}

// head is the least record of a run that has not been yielded.
type head struct {
	record []byte
	next   func() ([]byte, error)
}

func (h *head) advance() (err error) {
	h.record, err = h.next()
	return err
}

type fileRun struct {
	r   *bufio.Reader
	buf []byte
}

func (f *fileRun) next() ([]byte, error) {
	n, err := binary.ReadUvarint(f.r)
	if err == io.EOF {
		return nil, io.EOF
	}
	if err == nil {
		f.buf = slices.Grow(f.buf[:0], int(n))[:n]
		_, err = io.ReadFull(f.r, f.buf)
	}
	if err != nil {
		return nil, fmt.Errorf("read back what was sorted: %w", err)
	}
	return f.buf, nil
}

type heads []*head

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return bytes.Compare(h[i].record, h[j].record) < 0 }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)        { *h = append(*h, x.(*head)) }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// idSet is a set of ids that need not fit in memory: those met lately are held, all are sorted.
type idSet struct {
	recent map[string]struct{}
	sorter *sorter
}

// recentIDs is how many ids an idSet holds, about 100 bytes each.
const recentIDs = 1 << 17

func newIDSet(dir string) *idSet {
	return &idSet{recent: map[string]struct{}{}, sorter: &sorter{dir: dir, limit: sortLimit / 4}}
}

func (s *idSet) add(id string) error {
	if _, ok := s.recent[id]; ok {
		return nil
	}
	if len(s.recent) == recentIDs {
		clear(s.recent)
	}
	s.recent[string([]byte(id))] = struct{}{}
	return s.sorter.add([]byte(id))
}

// ids yields each id once, ascending. It can be called once.
func (s *idSet) ids() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		last, begun := "", false
		for r, err := range s.sorter.sorted() {
			if err != nil {
				yield("", err)
				return
			}
			if begun && last == string(r) {
				continue
			}
			last, begun = string(r), true
			if !yield(last, nil) {
				return
			}
		}
	}
}

func (s *idSet) close() error { return s.sorter.close() }
