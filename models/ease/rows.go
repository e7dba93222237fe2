package ease

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// rows is X: the pairs of subjects and items before the cut. Columns are ranks: items by descending number of subjects (ties: the lower
// position), so that the core's columns come first in every row.
type rows struct {
	items []int32   // catalog position of each rank
	count []int     // distinct subjects of each rank
	off   []uint32  // subject u owns [off[u], off[u+1]) of col and val; those with a pair alone are here
	mid   []uint32  // and [off[u], mid[u]) of that is in the core
	col   []int32   // ranks, ascending in a row
	val   []float32 // nil: all are 1
	core  int       // ranks below it are inverted
}

func (x *rows) subjects() int { return len(x.mid) }

func (x *rows) value(at uint32) float32 {
	if x.val == nil {
		return 1
	}
	return x.val[at]
}

// collect gathers X from the events of d in [Cuts.Base, until). Two passes over the events. Memory: 4 bytes a pair, 8 where pairs do not
// all count 1.
func collect(ctx context.Context, d *models.Dataset, until int64, h *Hyper) (*rows, error) {
	x, rank, err := ranks(ctx, d, until, h)
	if err != nil {
		return nil, err
	}
	pairs := 0
	for _, c := range x.count {
		pairs += c
	}
	if pairs > math.MaxInt32 {
		return nil, fmt.Errorf("%d pairs of subjects and items are more than this algorithm takes (%d); shorten train.window", pairs, math.MaxInt32)
	}
	x.off, x.col = []uint32{0}, make([]int32, 0, pairs)
	if !h.counts() {
		x.val = make([]float32, 0, pairs)
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
		from := len(x.col)
		for _, r := range sum.sorted() {
			v := h.value(sum.by[r])
			x.col = append(x.col, r)
			if x.val != nil {
				x.val = append(x.val, v)
			}
		}
		sum.reset()
		core := sort.Search(len(x.col)-from, func(k int) bool { return int(x.col[from+k]) >= x.core })
		x.mid = append(x.mid, uint32(from+core))
		x.off = append(x.off, uint32(len(x.col)))
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
	x.core = min(len(x.items), h.Items)
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

// having is one subject that has an item: where its row begins, where it holds the item, and where its part in the core ends.
type having struct{ from, at, mid uint32 }

// blockPairs bounds how many pairs are turned around at a time.
const blockPairs = 1 << 20

// each calls f for each rank in [lo, hi) with the subjects that have it, ascending, on all cores and in blocks: X is turned around piece by
// piece, so that it is never held twice. What f writes must belong to its rank alone; the error of the lowest rank is returned.
// O(pairs + blocks·subjects), beside f's.
func each[S any](ctx context.Context, x *rows, lo, hi int, scratch func() S, f func(s S, rank int, by []having) error) error {
	next := make([]uint32, x.subjects()) // the first pair of each row from the block on
	for u := range next {
		row := x.col[x.off[u]:x.off[u+1]]
		next[u] = x.off[u] + uint32(sort.Search(len(row), func(k int) bool { return int(row[k]) >= lo }))
	}
	var turned []having
	for lo < hi {
		if err := ctx.Err(); err != nil {
			return err
		}
		end, off := lo, []int{0}
		for end < hi && (end == lo || off[end-lo]+x.count[end] <= blockPairs) {
			off = append(off, off[end-lo]+x.count[end])
			end++
		}
		turned = slices.Grow(turned[:0], off[end-lo])[:off[end-lo]]
		put := slices.Clone(off)
		for u := range next {
			at, last := next[u], x.off[u+1]
			for ; at < last && int(x.col[at]) < end; at++ {
				r := int(x.col[at]) - lo
				turned[put[r]] = having{x.off[u], at, x.mid[u]}
				put[r]++
			}
			next[u] = at
		}
		errs := make([]error, end-lo)
		vec.Chunks(end-lo, scratch, func(s S, r int) {
			if errs[r] = ctx.Err(); errs[r] == nil {
				errs[r] = f(s, lo+r, turned[off[r]:off[r+1]])
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
