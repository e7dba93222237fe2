package als

import (
	"fmt"
	"math"
	"slices"

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

// confide takes the confidences of the columns appended last. They are kept only from the first on that differs.
func (s *sparse) confide(conf []float32) {
	for k, c := range conf {
		before := len(s.col) - len(conf) + k
		switch {
		case s.conf != nil:
			s.conf = append(s.conf, c)
		case before == 0:
			s.same = c
		case c != s.same:
			s.conf = make([]float32, before, cap(s.col))
			for i := range s.conf {
				s.conf[i] = s.same
			}
			s.conf = append(s.conf, c)
		}
	}
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

// collect gathers the pairs of d's events in [d.Cuts.Base, until). Two passes over the events: the first counts distinct subjects an item, the second sums
// the decayed weights of each pair. Memory: 8 bytes a pair, 16 where confidences differ.
func collect(d *models.Dataset, until int64, h *Hyper) (*pairs, error) {
	l, n := &d.Events, len(d.Catalog.IDs)
	inside := func(e int) bool { return l.Time[e] >= d.Cuts.Base && l.Time[e] < until }

	// last[i] is 1 + the last subject seen with item i: a distinct count without a set.
	last, count := make([]int32, n), make([]int, n)
	for s := range l.Subjects {
		for e := l.Off[s]; e < l.Off[s+1]; e++ {
			if !inside(e) {
				continue
			}
			i, w := l.Item[e], l.Weight[e]
			if i < 0 || int(i) >= n {
				return nil, fmt.Errorf("event %d has item %d of a catalog of %d", e, i, n)
			}
			if !(w > 0) || math.IsInf(float64(w), 1) {
				return nil, fmt.Errorf("event %d of item %q has weight %g: weights are positive and finite", e, d.Catalog.IDs[i], w)
			}
			if last[i] != int32(s)+1 {
				last[i] = int32(s) + 1
				count[i]++
			}
		}
	}
	p := &pairs{}
	index, total := make([]int32, n), 0
	for i, c := range count {
		index[i] = -1
		if c > 0 && c >= h.MinSubjects {
			index[i] = int32(len(p.items))
			p.items = append(p.items, int32(i))
			total += c
		} else if c > 0 {
			p.rare = append(p.rare, int32(i))
		}
	}

	p.bySubj = sparse{off: []int{0}, col: make([]int32, 0, total)}
	sum, conf := newSums(len(p.items)), []float32(nil)
	for s := range l.Subjects {
		for e := l.Off[s]; e < l.Off[s+1]; e++ {
			if inside(e) && index[l.Item[e]] >= 0 {
				sum.add(index[l.Item[e]], float64(l.Weight[e])*models.Decay(until-l.Time[e], h.HalfLife))
			}
		}
		if len(sum.seen) > 0 {
			p.bySubj.col, conf = sum.flush(h, p.bySubj.col, conf[:0])
			p.bySubj.confide(conf)
			for _, c := range conf {
				p.confidence += float64(c)
			}
			p.bySubj.off = append(p.bySubj.off, len(p.bySubj.col))
			p.rows = append(p.rows, int32(s))
		}
	}
	p.subjects = p.bySubj.rows()
	p.byItem = transpose(&p.bySubj, len(p.items))
	return p, nil
}

// transpose turns s (rows × cols) by counting; columns of the result ascend because the rows of s are taken in order.
func transpose(s *sparse, cols int) sparse {
	t := sparse{off: make([]int, cols+1), col: make([]int32, len(s.col)), same: s.same}
	if s.conf != nil {
		t.conf = make([]float32, len(s.col))
	}
	for _, c := range s.col {
		t.off[c+1]++
	}
	for c := range cols {
		t.off[c+1] += t.off[c]
	}
	next := slices.Clone(t.off[:cols])
	for r := range s.rows() {
		col, conf := s.row(r)
		for k, c := range col {
			t.col[next[c]] = int32(r)
			if conf != nil {
				t.conf[next[c]] = conf[k]
			}
			next[c]++
		}
	}
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
