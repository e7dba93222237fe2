package als

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/rapport-ml/rapport/models"
)

// sparse is one orientation of the pairs: row r owns [off[r], off[r+1]) of col (ascending) and conf, which is nil if every confidence is same.
type sparse struct {
	off  []int
	col  []int32
	conf []float32
	same float32
}

func (s *sparse) rows() int { return len(s.off) - 1 }

func (s *sparse) row(r int) ([]int32, []float32) {
	lo, hi := s.off[r], s.off[r+1]
	return s.col[lo:hi], part(s.conf, lo, hi)
}

// pairs is S in both orientations, over the items that take part (catalog positions, ascending) and the subjects that have any.
type pairs struct {
	items    []int32
	bySubj   sparse // col: index into items
	byItem   sparse // col: index of a subject
	subjects int
	rows     []int32 // the subjects' rows in the data set, ascending
	rare     []int32 // items that were chosen, by too few subjects to take part: catalog positions, ascending

	confidence float64 // Σ c over all pairs: the objective where all vectors are 0
}

// collect gathers the pairs of d's events in [d.Cuts.Base, until). Three passes over the events, each on all cores: the first counts distinct
// subjects an item, the second distinct items a subject, and the third sums the decayed weights of each pair and puts them where they belong: the
// result does not depend on who did what. Memory: 8 bytes a pair, 16 where confidences differ, and 16 a catalog item and core.
func collect(d *models.Dataset, until int64, h *Hyper) (*pairs, error) {
	l, n := &d.Events, len(d.Catalog.IDs)
	inside := func(e int) bool { return l.Time[e] >= d.Cuts.Base && l.Time[e] < until }
	shares := split(l.Off, n)
	counts, errs := make([][]int32, len(shares)), make([]error, len(shares))
	together(len(shares), func(k int) {
		// last[i] is 1 + the last subject seen with item i: a distinct count without a set.
		last, count := make([]int32, n), make([]int32, n)
		counts[k] = count
		for s := shares[k].lo; s < shares[k].hi; s++ {
			for e := l.Off[s]; e < l.Off[s+1]; e++ {
				if !inside(e) {
					continue
				}
				i, w := l.Item[e], l.Weight[e]
				if i < 0 || int(i) >= n {
					errs[k] = fmt.Errorf("event %d has item %d of a catalog of %d", e, i, n)
					return
				}
				if !(w > 0) || math.IsInf(float64(w), 1) {
					errs[k] = fmt.Errorf("event %d of item %q has weight %g: weights are positive and finite", e, d.Catalog.IDs[i], w)
					return
				}
				if last[i] != int32(s)+1 {
					last[i] = int32(s) + 1
					count[i]++
				}
			}
		}
	})
	for _, err := range errs { // of several the first, as one pass would meet it
		if err != nil {
			return nil, err
		}
	}
	p := &pairs{}
	index := make([]int32, n)
	for i := range index {
		c := 0
		for _, count := range counts {
			c += int(count[i])
		}
		index[i] = -1
		if c > 0 && c >= h.MinSubjects {
			index[i] = int32(len(p.items))
			p.items = append(p.items, int32(i))
		} else if c > 0 {
			p.rare = append(p.rare, int32(i))
		}
	}

	known := make([]int32, len(l.Subjects)) // distinct items that take part, by subject
	together(len(shares), func(k int) {
		last := make([]int32, len(p.items))
		for s := shares[k].lo; s < shares[k].hi; s++ {
			for e := l.Off[s]; e < l.Off[s+1]; e++ {
				if !inside(e) {
					continue
				}
				if i := index[l.Item[e]]; i >= 0 && last[i] != int32(s)+1 {
					last[i] = int32(s) + 1
					known[s]++
				}
			}
		}
	})
	p.bySubj.off = []int{0}
	first := make([]int, len(shares)) // the share's first row of bySubj
	for k, share := range shares {
		first[k] = len(p.rows)
		for s := share.lo; s < share.hi; s++ {
			if known[s] > 0 {
				p.rows = append(p.rows, int32(s))
				p.bySubj.off = append(p.bySubj.off, p.bySubj.off[len(p.rows)-1]+int(known[s]))
			}
		}
	}
	p.subjects = len(p.rows)
	total := p.bySubj.off[p.subjects]
	p.bySubj.col, p.bySubj.conf = make([]int32, total), make([]float32, total)
	together(len(shares), func(k int) {
		sum, row := newSums(len(p.items)), first[k]
		for s := shares[k].lo; s < shares[k].hi; s++ {
			if known[s] == 0 {
				continue
			}
			for e := l.Off[s]; e < l.Off[s+1]; e++ {
				if inside(e) && index[l.Item[e]] >= 0 {
					sum.add(index[l.Item[e]], float64(l.Weight[e])*models.Decay(until-l.Time[e], h.HalfLife))
				}
			}
			at := p.bySubj.off[row]
			sum.flush(h, p.bySubj.col[at:at], p.bySubj.conf[at:at]) // as long as known says
			row++
		}
	})
	for _, c := range p.bySubj.conf {
		p.confidence += float64(c)
	}
	p.bySubj.agree()
	if p.bySubj.conf == nil && total > manyPairs {
		runtime.GC() // else the confidences that were dropped lie about beside the columns by item, which take as much: a quarter of a training's peak
	}
	p.byItem = transpose(&p.bySubj, len(p.items))
	return p, nil
}

// manyPairs is for how many pairs it is worth a collection, which takes milliseconds, that what they leave is used again.
const manyPairs = 1 << 22

// share is a run of rows that one worker takes.
type share struct{ lo, hi int }

// split cuts rows, of which row r has off[r+1]−off[r] entries, into one share a core of about equal numbers of entries. Each share needs some memory
// for each column, which has to be worth it.
func split(off []int, columns int) []share {
	rows := max(len(off)-1, 0)
	if rows == 0 {
		return []share{{}}
	}
	entries := off[rows] - off[0]
	n := max(1, min(runtime.GOMAXPROCS(0), rows, entries/(1+4*columns)))
	shares := make([]share, n)
	for k := range shares {
		if k > 0 {
			shares[k].lo = shares[k-1].hi
		}
		end, _ := slices.BinarySearch(off, off[0]+(k+1)*entries/n)
		shares[k].hi = max(shares[k].lo, min(end, rows))
	}
	shares[n-1].hi = rows
	return shares
}

// together calls f with 0 to n−1, all at once, and waits.
func together(n int, f func(k int)) {
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() { f(k) })
	}
	wg.Wait()
}

// agree drops the confidences if all are the same.
func (s *sparse) agree() {
	if len(s.conf) == 0 {
		s.conf = nil
		return
	}
	for _, c := range s.conf {
		if c != s.conf[0] {
			return
		}
	}
	s.same, s.conf = s.conf[0], nil
}

// transpose turns s (rows × cols) by counting. Columns of the result ascend because each share takes its rows in order, and those of the shares before
// come before.
func transpose(s *sparse, cols int) sparse {
	t := sparse{off: make([]int, cols+1), col: make([]int32, len(s.col)), same: s.same}
	if s.conf != nil {
		t.conf = make([]float32, len(s.col))
	}
	shares := split(s.off, cols)
	next := make([][]int, len(shares)) // by share and column: how many, then where
	together(len(shares), func(k int) {
		next[k] = make([]int, cols)
		for _, c := range s.col[s.off[shares[k].lo]:s.off[shares[k].hi]] {
			next[k][c]++
		}
	})
	for c := range cols {
		at := t.off[c]
		for k := range next {
			next[k][c], at = at, at+next[k][c]
		}
		t.off[c+1] = at
	}
	together(len(shares), func(k int) {
		next := next[k]
		for r := shares[k].lo; r < shares[k].hi; r++ {
			col, conf := s.row(r)
			for i, c := range col {
				t.col[next[c]] = int32(r)
				if conf != nil {
					t.conf[next[c]] = conf[i]
				}
				next[c]++
			}
		}
	})
	return t
}

// sums adds up event weights by item for one subject after another, in O(events) and without a map.
type sums struct {
	by   []float64
	has  []bool
	seen []int32
}

func newSums(n int) *sums { return &sums{by: make([]float64, n), has: make([]bool, n)} }

func (s *sums) add(item int32, w float64) {
	if !s.has[item] {
		s.has[item] = true
		s.seen = append(s.seen, item)
	}
	s.by[item] += w
}

// flush appends the items seen, ascending, and their confidences, and forgets them.
func (s *sums) flush(h *Hyper, col []int32, conf []float32) ([]int32, []float32) {
	slices.Sort(s.seen)
	for _, i := range s.seen {
		col, conf = append(col, i), append(conf, h.confidence(s.by[i]))
		s.by[i], s.has[i] = 0, false
	}
	s.seen = s.seen[:0]
	return col, conf
}
