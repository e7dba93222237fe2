package local

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-ml/rapport/storage/table"
)

// errBeyond says that the states of a prior build don't fit into the budget: all events are read then, for which there is a way.
var errBeyond = errors.New("the prior state is larger than the budget")

// merge ends a build that has spilled: it adds the records that were spilled, partition by partition, some side by side. A partition that is complete and
// for which there is no room writes its rows of all sheets to the spill file, since sheets are put out one after another, and gives its memory back.
func (s *scan) merge(ctx context.Context, sheets []*sheet) error {
	for _, i := range s.prog.byRank() { // who holds pairs comes before who counts them too
		g := s.prog.groups[i]
		var rows []*sheet
		for _, sh := range sheets {
			if sh.group == g {
				rows = append(rows, sh)
			}
		}
		var spilled []int // partitions
		largest := int64(1)
		for number, pt := range s.parts[i] {
			if len(pt.chunks) > 0 {
				spilled = append(spilled, number)
				largest = max(largest, pt.expected())
			}
		}
		// As many at a time as are sure not to take much more than the budget.
		workers := min(int64(runtime.GOMAXPROCS(0)), max(1, s.budget.limit/16/largest), int64(len(spilled)))
		var all errgroup.Group
		var next atomic.Int64
		for range workers {
			all.Go(func() error {
				m := merger{scan: s, sheets: rows, scratch: newScratch(s.mostRows())}
				for {
					at := int(next.Add(1)) - 1
					if at >= len(spilled) {
						return nil
					}
					if err := cmp.Or(ctx.Err(), m.merge(s.parts[i][spilled[at]], spilled[at])); err != nil {
						next.Store(int64(len(spilled)))
						return err
					}
				}
			})
		}
		if err := all.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// merger completes partitions that were spilled, for one goroutine.
type merger struct {
	*scan
	sheets  []*sheet
	scratch *scratch
	coded   []byte
}

// merge completes a partition, which has this number among those of its group.
func (m *merger) merge(pt *partition, number int) error {
	if err := pt.unspill(m.moves, m.scratch, m.budget); err != nil {
		return err
	}
	if !pt.timed {
		if err := pt.complete(m.budget); err != nil {
			return err
		}
	}
	if !m.budget.beyond() {
		return nil
	}
	for _, sh := range m.sheets {
		b := newBuffer(sh.schema, min(batchRows, pt.n))
		err := sh.rows(pt, number, b, func(rows *table.Batch) error {
			m.coded = appendBatch(m.coded[:0], rows)
			c, err := m.budget.spill.write(m.coded)
			sh.mu.Lock()
			defer sh.mu.Unlock()
			sh.chunks, sh.total = append(sh.chunks, c), sh.total+int64(rows.N)
			return err
		})
		if err != nil {
			return err
		}
		sh.mu.Lock()
		sh.written[number] = true
		sh.mu.Unlock()
	}
	pt.release(m.budget)
	return nil
}

// put puts out a sheet: the rows of partitions in memory, then those that merge wrote. It returns their number.
func (s *scan) put(ctx context.Context, sh *sheet) (int64, error) {
	n, err := emit(ctx, sh, s.partsOf(sh.group), s.budget)
	if err != nil {
		return 0, err
	}
	var buf []byte
	for _, c := range sh.chunks {
		if err = ctx.Err(); err == nil {
			buf, err = s.budget.spill.read(c, buf)
		}
		if err == nil {
			err = sh.out(decodeBatch(buf, sh.schema))
		}
		if err != nil {
			return 0, err
		}
	}
	if n += sh.total; n == 0 {
		return 0, sh.out(newBuffer(sh.schema, 0).head(0))
	}
	return n, nil
}

// mostRows is how many records are added at once, at most.
func (s *scan) mostRows() int {
	most := 0
	for _, g := range s.prog.groups {
		most = max(most, g.regionRows(regionWords))
	}
	return most
}

// release gives back the memory of a scan that came to nothing.
func (s *scan) release() {
	for _, parts := range s.parts {
		for _, pt := range parts {
			pt.release(s.budget)
		}
	}
}
