package ease

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// rows is X: the pairs of subjects and items before the cut. Items are known by rank: by descending number of subjects, ties by the lower
// position. The first of them, the core, are inverted; what subjects have of the others, the tail, is kept apart.
type rows struct {
	items []int32 // catalog position of each rank
	count []int   // distinct subjects of each rank
	n     int     // ranks below it are the core
	core  pairs[uint16]
	tail  pairs[int32] // columns count from the core's end
}

// pairs is one part of X, by subject: row u owns [off[u], off[u+1]) of col, ascending, and val.
type pairs[C uint16 | int32] struct {
	off []uint32
	col []C
	val []float32 // nil: all are 1
}

func newPairs[C uint16 | int32](count []int, h *Hyper) (pairs[C], error) {
	n := 0
	for _, c := range count {
		n += c
	}
	if n > math.MaxInt32 {
		return pairs[C]{}, fmt.Errorf("%d pairs of subjects and items are more than this algorithm takes (%d); shorten train.window", n, math.MaxInt32)
	}
	p := pairs[C]{off: []uint32{0}, col: make([]C, 0, n)}
	if !h.counts() {
		p.val = make([]float32, 0, n)
	}
	return p, nil
}

func (p *pairs[C]) rows() int { return len(p.off) - 1 }

func (p *pairs[C]) add(c C, v float32) {
	p.col = append(p.col, c)
	if p.val != nil {
		p.val = append(p.val, v)
	}
}

func (p *pairs[C]) endRow() { p.off = append(p.off, uint32(len(p.col))) }

// value returns x of the pair at a place of col.
func (p *pairs[C]) value(at uint32) float32 {
	if p.val == nil {
		return 1
	}
	return p.val[at]
}

// collect gathers X from the events of d in [Cuts.Base, until). Two passes over the events. Memory: 2 bytes a pair of the core and 4 of the
// tail, and 4 more where pairs do not all count 1.
func collect(ctx context.Context, d *models.Dataset, until int64, h *Hyper) (*rows, error) {
	x, rank, err := ranks(ctx, d, until, h)
	if err != nil {
		return nil, err
	}
	if x.core, err = newPairs[uint16](x.count[:x.n], h); err != nil {
		return nil, err
	}
	if x.tail, err = newPairs[int32](x.count[x.n:], h); err != nil {
		return nil, err
	}
	sum := newSums(len(x.items))
	for s := range d.Events.Subjects {
		hist := d.Events.SubjectBetween(s, d.Cuts.Base, until)
		for e, item := range hist.Item {
			if r := rank[item]; r >= 0 {
				sum.add(h, r, float64(hist.Weight[e]), until-hist.Time[e])
			}
		}
		if len(sum.seen) == 0 {
			continue
		}
		for _, r := range sum.sorted() {
			if v := h.value(sum.by[r]); int(r) < x.n {
				x.core.add(uint16(r), v)
			} else {
				x.tail.add(r-int32(x.n), v)
			}
		}
		x.core.endRow()
		x.tail.endRow()
		sum.reset()
	}
	return x, ctx.Err()
}

// ranks counts the subjects of each item and orders the items that have enough. rank is -1 for all others.
func ranks(ctx context.Context, d *models.Dataset, until int64, h *Hyper) (*rows, []int32, error) {
	n := d.Catalog.Len()
	last, count := make([]int32, n), make([]int, n) // last: 1 + the subject seen last, a distinct count without a set
	for s := range d.Events.Subjects {
		if s%1024 == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		for _, item := range d.Events.SubjectBetween(s, d.Cuts.Base, until).Item {
			if last[item] != int32(s)+1 {
				last[item] = int32(s) + 1
				count[item]++
			}
		}
	}
	x := &rows{}
	for i, c := range count {
		if c > 0 && c >= h.MinSubjects {
			x.items = append(x.items, int32(i))
		}
	}
	slices.SortFunc(x.items, func(a, b int32) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	x.n = min(len(x.items), h.Items)
	rank := last
	for i := range rank {
		rank[i] = -1
	}
	for r, i := range x.items {
		rank[i] = int32(r)
		x.count = append(x.count, count[i])
	}
	return x, rank, nil
}

// having is one subject that has an item: its row, and where that holds the item.
type having struct{ row, at uint32 }

// blockPairs bounds how many pairs are turned around at a time.
const blockPairs = 1 << 18

// each calls f for each column of p with the subjects that have it, ascending, on all cores and in blocks: p is turned around piece by piece,
// so that it is never held twice. count is the number of pairs of each column. What f writes must belong to its column alone; the error of
// the lowest column is returned. O(pairs + blocks·rows), beside f's.
func each[C uint16 | int32, S any](ctx context.Context, p *pairs[C], count []int, scratch func() S, f func(s S, column int, by []having) error) error {
	next := slices.Clone(p.off[:p.rows()]) // the first pair of each row from the block on
	var turned []having
	for lo := 0; lo < len(count); {
		if err := ctx.Err(); err != nil {
			return err
		}
		end, off := lo, []int{0}
		for end < len(count) && (end == lo || off[end-lo]+count[end] <= blockPairs) {
			off = append(off, off[end-lo]+count[end])
			end++
		}
		turned = slices.Grow(turned[:0], off[end-lo])[:off[end-lo]]
		put := slices.Clone(off)
		for u, at := range next {
			for ; at < p.off[u+1] && int(p.col[at]) < end; at++ {
				c := int(p.col[at]) - lo
				turned[put[c]] = having{uint32(u), at}
				put[c]++
			}
			next[u] = at
		}
		errs := make([]error, end-lo)
		vec.Chunks(end-lo, scratch, func(s S, c int) {
			if errs[c] = ctx.Err(); errs[c] == nil {
				errs[c] = f(s, lo+c, turned[off[c]:off[c+1]])
			}
		})
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		lo = end
	}
	return nil
}

// sums adds up one subject's events by item, in O(events) and without a map.
type sums struct {
	by   []float64
	has  []bool
	seen []int32
}

func newSums(n int) *sums { return &sums{by: make([]float64, n), has: make([]bool, n)} }

func (s *sums) add(h *Hyper, item int32, w float64, age int64) {
	if !s.has[item] {
		s.has[item] = true
		s.seen = append(s.seen, item)
	}
	s.by[item] = h.add(s.by[item], w, age)
}

// sorted returns the items seen, ascending.
func (s *sums) sorted() []int32 {
	slices.Sort(s.seen)
	return s.seen
}

func (s *sums) reset() {
	for _, i := range s.seen {
		s.by[i], s.has[i] = 0, false
	}
	s.seen = s.seen[:0]
}
