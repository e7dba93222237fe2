package local

import (
	"context"
	"errors"
	"slices"

	"github.com/rapport-ml/rapport/storage/table"
)

// errBeyond says that the states of a prior build don't fit into the budget: all events are read then, for which there is a way.
var errBeyond = errors.New("the prior state is larger than the budget")

// merge ends a build that has spilled: partition by partition it adds the records that were spilled, writes the rows of all sheets to the spill file,
// since sheets are put out one after another, and gives the memory back. It returns false if nothing was spilled.
func (s *scan) merge(ctx context.Context, sheets []*sheet) (bool, error) {
	if !slices.ContainsFunc(s.parts, func(parts []*partition) bool {
		return slices.ContainsFunc(parts, func(pt *partition) bool { return len(pt.chunks) > 0 })
	}) {
		return false, nil
	}
	scratch := newScratch(s.mostRows())
	var coded []byte
	for i, g := range s.prog.groups {
		for _, pt := range s.parts[i] {
			if err := ctx.Err(); err != nil {
				return true, err
			}
			if err := pt.unspill(s.moves, scratch, s.budget); err != nil {
				return true, err
			}
			for _, sh := range sheets {
				if sh.view.group != g {
					continue
				}
				b := newBuffer(sh.schema, min(batchRows, pt.n))
				err := pt.rows(sh, b, func(rows *table.Batch) error {
					coded = appendBatch(coded[:0], rows)
					c, err := s.budget.spill.write(coded)
					sh.chunks, sh.total = append(sh.chunks, c), sh.total+int64(rows.N)
					return err
				})
				if err != nil {
					return true, err
				}
			}
			pt.release(s.budget)
		}
	}
	return true, nil
}

// copyOut puts out the rows of a sheet that merge wrote.
func (s *scan) copyOut(ctx context.Context, sh *sheet) (int64, error) {
	var buf []byte
	for _, c := range sh.chunks {
		err := ctx.Err()
		if err == nil {
			buf, err = s.budget.spill.read(c, buf)
		}
		if err == nil {
			err = sh.out(sh.view.View, decodeBatch(buf, sh.schema))
		}
		if err != nil {
			return 0, err
		}
	}
	if sh.total == 0 {
		return 0, sh.out(sh.view.View, newBuffer(sh.schema, 0).head(0))
	}
	return sh.total, nil
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
