package local

import (
	"errors"
	"runtime"
)

// errBeyond says that the states of a prior build don't fit into the budget: all events are read then, for which there is a way.
var errBeyond = errors.New("the prior state is larger than the budget")

// mergers is how many of the partitions that were spilled may be completed at a time: as many as are sure not to take much more than the budget.
func (s *scan) mergers(group int, spilled []int) int {
	largest := int64(1)
	for _, number := range spilled {
		largest = max(largest, s.parts[group][number].expected())
	}
	return int(min(int64(runtime.GOMAXPROCS(0)), max(1, s.budget.limit/16/largest)))
}

// merge completes a partition that was spilled: it adds the records that were.
func (t *taker) merge(pt *partition) error {
	if err := pt.unspill(t.moves, t.scratch, t.budget); err != nil {
		return err
	}
	if pt.timed {
		return nil
	}
	return pt.complete(t.budget)
}

// mostRows is how many records are added at once, at most.
func (s *scan) mostRows() int {
	most := 0
	for _, g := range s.prog.groups {
		most = max(most, g.regionRows(mostWords))
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
