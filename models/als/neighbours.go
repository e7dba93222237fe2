package als

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
	"github.com/rapport-ml/rapport/models/internal/vec"
)

// neighbours are the items that a related list may name beside each item: of those that at least MinSubjects subjects chose as well, the Neighbours whose
// vectors are the nearest. Item i's are col[off[i]:off[i+1]], ascending.
type neighbours struct {
	off, col []int32
}

func (n *neighbours) of(item int32) []int32 { return n.col[n.off[item]:n.off[item+1]] }

// countAtOnce is how many pairs of a subject and an item may be counted for one item before it is tried first whether its nearest pass.
const countAtOnce = 1 << 16

// tries is how many of the nearest are asked for, for each that is wanted.
const tries = 2

// neighbours finds the neighbours of items with these vectors, exactly. All cosines are computed, items²·d multiply-adds. What two items
// have in common is then counted either for all others at once, over the histories of the item's subjects, or, where these are long, for one of the
// nearest after the other until enough have passed, each until it passes: a pair of popular items does so after a few subjects. Only where too few
// of the nearest pass is a popular item counted in full, so the most that it can cost is Σ n² over subjects of n items; at ML-20M's shape it is a tenth
// of that, and all takes as long as two epochs. Memory: two copies of the vectors, 4 bytes for
// each neighbour that an item may have, and for each core 72 bytes an item and a bit a subject.
func (p *pairs) neighbours(ctx context.Context, h *Hyper, vectors []float32) (neighbours, error) {
	const each = 16 // items that share one pass over the vectors
	n, d, most := len(p.items), h.Dim, min(h.Neighbours, len(p.items))
	unit := scaled(vectors, n, d)
	packed := inStrips(unit, n, d)
	chunks := (n + each - 1) / each
	// What an item has comes to a place that is wide enough for all that it may have, and moves up to the item's before it at the end: lists of their own, and a
	// column that grows, were a sixth of a training's memory.
	out, errs := neighbours{off: make([]int32, n+1), col: make([]int32, n*most)}, make([]error, chunks)
	vec.Chunks(chunks, func() *mates { return newMates(p, h, each) }, func(m *mates, chunk int) {
		if errs[chunk] = ctx.Err(); errs[chunk] != nil {
			return
		}
		lo, hi := vec.Span(n, chunks, chunk)
		for k, s := range packed {
			s.MulNT(m.cosines[k*strip:], m.stride, unit[lo*d:], d, hi-lo)
		}
		for i := lo; i < hi && errs[chunk] == nil; i++ {
			var found []int32
			found, errs[chunk] = m.of(int32(i), m.cosines[(i-lo)*m.stride:][:n])
			out.off[i+1] = int32(copy(out.col[i*most:], found))
		}
	})
	for _, err := range errs {
		if err != nil {
			return neighbours{}, fmt.Errorf("related items: %w", err)
		}
	}
	for i := range n {
		out.off[i+1] = out.off[i] + int32(copy(out.col[out.off[i]:], out.col[i*most:][:out.off[i+1]]))
	}
	out.col = out.col[:out.off[n]]
	return out, nil
}

// mates is one worker's memory for finding neighbours.
type mates struct {
	p       *pairs
	atOnce  int       // countAtOnce
	wanted  int       // neighbours of an item, at most
	common  int       // subjects that two items must have in common
	stride  int       // of cosines
	cosines []float32 // rows of cosines with all items, in whole strips
	counts  []int32   // by item: subjects in common
	chose   []uint64  // a bit a subject
	passing []int32
	passed  []int32
	near    []int32
	scores  []float32
}

func newMates(p *pairs, h *Hyper, rows int) *mates {
	n := len(p.items)
	stride := (n + strip - 1) / strip * strip
	near := tries * h.Neighbours
	return &mates{
		p: p, atOnce: countAtOnce, wanted: h.Neighbours, common: h.MinSubjects, stride: stride, cosines: make([]float32, rows*stride),
		counts: make([]int32, n), chose: make([]uint64, (p.subjects+63)/64), near: make([]int32, near), scores: make([]float32, near),
	}
}

// of returns the neighbours of item, whose cosines with all items are given, ascending. They are valid until the next call.
func (m *mates) of(item int32, cosines []float32) ([]int32, error) {
	subjects, _ := m.p.byItem.row(int(item))
	work := 0
	for _, s := range subjects {
		work += m.p.bySubj.off[s+1] - m.p.bySubj.off[s]
	}
	if work > m.atOnce {
		n, err := models.Best(cosines, &models.Query{Exclude: []int32{item}}, m.near, m.scores)
		if err != nil {
			return nil, err
		}
		near := positive(m.near[:n], m.scores)
		passed := m.walk(subjects, near)
		if len(passed) == m.wanted || len(near) < len(m.near) { // the latter: there are no others
			slices.Sort(passed)
			return passed, nil
		}
	}
	m.count(item, subjects)
	n, err := models.Best(cosines, &models.Query{Candidates: m.passing}, m.near[:m.wanted], m.scores[:m.wanted])
	if err != nil {
		return nil, err
	}
	near := positive(m.near[:n], m.scores)
	slices.Sort(near)
	return near, nil
}

// count sets passing to the other items that enough of the subjects chose, ascending.
func (m *mates) count(item int32, subjects []int32) {
	for _, s := range subjects {
		col, _ := m.p.bySubj.row(int(s))
		for _, i := range col {
			m.counts[i]++
		}
	}
	m.passing = m.passing[:0]
	for i, c := range m.counts {
		if int(c) >= m.common && int32(i) != item {
			m.passing = append(m.passing, int32(i))
		}
	}
	clear(m.counts)
	if m.passing == nil {
		m.passing = []int32{} // nil would ask for all
	}
}

// walk returns the first of items, as many as are wanted, that enough of the subjects chose.
func (m *mates) walk(subjects, items []int32) []int32 {
	passed := m.passed[:0]
	for _, s := range subjects {
		m.chose[s/64] |= 1 << (s % 64)
	}
	for _, item := range items {
		if len(passed) == m.wanted {
			break
		}
		others, _ := m.p.byItem.row(int(item))
		common := 0
		for _, s := range others {
			if common += int(m.chose[s/64] >> (s % 64) & 1); common >= m.common {
				passed = append(passed, item)
				break
			}
		}
	}
	for _, s := range subjects {
		m.chose[s/64] = 0
	}
	m.passed = passed
	return passed
}

// positive returns the items, best first, whose scores are above 0.
func positive(items []int32, scores []float32) []int32 {
	n := len(items)
	for n > 0 && !(scores[n-1] > 0) {
		n--
	}
	return items[:n]
}

// scaled returns n vectors of d values scaled to length 1; a vector of 0 stays.
func scaled(vectors []float32, n, d int) []float32 {
	unit := make([]float32, n*d)
	for k := range n {
		v := vectors[k*d:][:d]
		if norm := math.Sqrt(vec.Dot64(v, v)); norm > 0 {
			for i, x := range v {
				unit[k*d+i] = float32(float64(x) / norm)
			}
		}
	}
	return unit
}

// inStrips lays n vectors of d values out to be multiplied with, a strip each.
func inStrips(vectors []float32, n, d int) (packed []*vec.Packed) {
	for at := 0; at < n; at += strip {
		packed = append(packed, vec.Pack(vectors[at*d:], min(strip, n-at), d))
	}
	return packed
}

// loadNeighbours reads at most `most` neighbours of each of n items; of 0, which old artifacts have, none are there to be read.
func loadNeighbours(r *artifact.Reader, most, n int) (out neighbours, err error) {
	if most == 0 {
		return neighbours{off: make([]int32, n+1)}, nil
	}
	if out.off, err = r.I32("neighbour_rows", n+1); err != nil {
		return out, err
	}
	if out.col, err = r.I32("neighbours", -1); err != nil {
		return out, err
	}
	if err = models.CheckNeighbours(out.off, out.col); err != nil {
		return out, err
	}
	for i := range n {
		if has := int(out.off[i+1] - out.off[i]); has > most {
			return out, fmt.Errorf("item %d has %d neighbours, and %d are the most", i, has, most)
		}
	}
	return out, nil
}
