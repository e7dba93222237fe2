package local

import (
	"math"
	"slices"
)

// masker computes the masks of a group's records: which predicates each event passes.
type masker struct {
	words  int
	start  []uint64   // every predicate, but those of lanes are taken away later
	byName []nameMask // conditions on named values
	ranges []rangeMask
	byLane []laneMask

	masks []uint64 // of the run: words a row
	named []uint64 // of the run, before lanes without a value were taken away
}

// nameMask says which predicates pass a value of a column: words for each number of a value.
type nameMask struct {
	column int
	pass   []uint64
	words  int
}

type rangeMask struct {
	test
	bits []uint64 // of the predicates that have the test
}

type laneMask struct {
	lane int
	bits []uint64 // of the predicates that need a value of the lane
}

func newMasker(p *program, g *group) *masker {
	m := &masker{words: g.mask, start: make([]uint64, g.mask)}
	m.start[0] = 1 << predBits // always
	set := func(bits []uint64, pred int) { bits[pred/predBits] |= 1 << (pred % predBits) }
	for i, pr := range g.preds {
		set(m.start, i)
		if pr.lane >= 0 {
			at := slices.IndexFunc(m.byLane, func(x laneMask) bool { return x.lane == pr.lane })
			if at < 0 {
				at = len(m.byLane)
				m.byLane = append(m.byLane, laneMask{lane: pr.lane, bits: make([]uint64, g.mask)})
			}
			set(m.byLane[at].bits, i)
		}
		for _, t := range pr.tests {
			if t.number {
				bits := make([]uint64, g.mask)
				set(bits, i)
				m.ranges = append(m.ranges, rangeMask{test: t, bits: bits})
				continue
			}
			m.byName = m.nameTest(p, t, i)
		}
	}
	return m
}

// nameTest takes bit pred from the values that fail the test.
func (m *masker) nameTest(p *program, t test, pred int) []nameMask {
	values := firstNamed + len(p.columns[t.column].named)
	at := slices.IndexFunc(m.byName, func(x nameMask) bool { return x.column == t.column })
	if at < 0 {
		at = len(m.byName)
		x := nameMask{column: t.column, words: m.words, pass: make([]uint64, values*m.words)}
		for i := range x.pass {
			x.pass[i] = math.MaxUint64
		}
		m.byName = append(m.byName, x)
	}
	fails := make([]bool, values)
	fails[nullValue] = true
	if t.in != nil && !t.not {
		for v := range fails {
			fails[v] = true
		}
	}
	for _, v := range t.in {
		fails[v] = t.not
	}
	for v, f := range fails {
		if f {
			m.byName[at].pass[v*m.words+pred/predBits] &^= 1 << (pred % predBits)
		}
	}
	return m.byName
}

// run computes the masks of the reader's run, and leaves them in m.masks, and in m.named as they were before lanes without a value were taken
// away, if refused values are among them.
func (m *masker) run(r *reader) (refused bool) {
	n := (r.hi - r.lo) * m.words
	if cap(m.masks) < n {
		m.masks, m.named = make([]uint64, n), make([]uint64, n)
	}
	m.masks = m.masks[:n]
	if m.words == 1 {
		s := m.start[0]
		for i := range m.masks {
			m.masks[i] = s
		}
	} else {
		for i := 0; i < n; i += m.words {
			copy(m.masks[i:], m.start)
		}
	}
	for i := range m.byName {
		m.byName[i].and(m.masks, r.numbersOf(m.byName[i].column))
	}
	for i := range m.ranges {
		m.ranges[i].and(m.masks, r.lane(m.ranges[i].lane))
	}
	for _, l := range m.byLane {
		refused = r.lane(l.lane).refused || refused
	}
	if refused {
		m.named = append(m.named[:0], m.masks...)
	}
	for _, l := range m.byLane {
		d := r.lane(l.lane)
		if m.words == 1 && d.bad != nil {
			masks, bits := m.masks[:len(d.bad)], l.bits[0]
			for i, s := range d.bad {
				masks[i] &^= bits & -uint64(min(s, 1))
			}
			continue
		}
		for i, s := range d.bad {
			if s != usable {
				clearBits(m.masks[i*m.words:][:m.words], l.bits)
			}
		}
	}
	return refused
}

func (x *nameMask) and(masks []uint64, numbers []uint16) {
	if x.words == 1 {
		pass := x.pass
		for i, k := range numbers {
			masks[i] &= pass[k]
		}
		return
	}
	for i, k := range numbers {
		for w := range x.words {
			masks[i*x.words+w] &= x.pass[int(k)*x.words+w]
		}
	}
}

func (x *rangeMask) and(masks []uint64, d *laneData) {
	for i, w := range d.words {
		v := math.Float64frombits(w)
		pass := (v >= x.min && v <= x.max) != x.not
		if !pass || d.bad != nil && d.bad[i] != usable {
			clearBits(masks[i*len(x.bits):][:len(x.bits)], x.bits)
		}
	}
}

func clearBits(mask, bits []uint64) {
	for w, b := range bits {
		mask[w] &^= b
	}
}

// has reports whether a mask holds a predicate.
func has(mask []uint64, pred int) bool {
	return pred == always || mask[pred/predBits]>>(pred%predBits)&1 != 0
}
