package local

import (
	"math"
	"slices"
	"sort"

	"github.com/rapport-ml/rapport/features"
	"github.com/rapport-ml/rapport/storage/table"
)

// moves say what events do to the states, by when they were: from which bucket an event goes, and into which. Events of one span of time make the
// same move; its number stands in their records.
//
// A build from all events has a move for each span between two windows' starts, from nowhere into the bucket. A build from a prior one has a move
// for each span whose events are in another bucket now than they were then.
type moves struct {
	cuts  []int64  // the starts of the spans, µs, ascending; the last cut ends the last span. Span i makes move i.
	of    []change // by class, as class.number says
	fresh []bool   // by move: the events are new to the states
	leave bool     // events come from buckets
}

// change is what the moves do in one class, by move; outside: nothing.
type change struct {
	from, to []int8
	tile     []int8 // into the bucket of the tile
}

// outside is no bucket, and the move of events that no span holds.
const outside = -1

// A move's number is 15 bits of a record: maxMoves is how many there may be, maxEdges from how many windows they come in a build from all events.
const (
	maxMoves = math.MaxInt16
	maxEdges = maxMoves - 1 // and the start of a tile
)

const (
	minTime = -1 << 63
	maxTime = 1<<63 - 1
)

// newMoves returns moves of spans between cuts, which are sorted here, that change nothing yet.
func newMoves(p *program, cuts []int64) *moves {
	slices.Sort(cuts)
	m := &moves{cuts: slices.Compact(cuts)}
	n := max(0, len(m.cuts)-1)
	m.fresh = make([]bool, n)
	for _, g := range p.groups {
		for range g.classes {
			m.of = append(m.of, change{from: slices.Repeat([]int8{outside}, n), to: slices.Repeat([]int8{outside}, n), tile: slices.Repeat([]int8{outside}, n)})
		}
	}
	return m
}

// fullMoves are those of a build from all events; the events at or after tile are those of the tile.
func fullMoves(p *program, tile int64) *moves {
	cuts := []int64{p.end}
	for _, w := range p.edges {
		cuts = append(cuts, p.end-w)
	}
	if p.use.tile && tile > p.start && tile < p.end {
		cuts = append(cuts, tile)
	}
	m := newMoves(p, cuts)
	for i := range m.fresh {
		m.fresh[i] = true
	}
	for _, g := range p.groups {
		for _, c := range g.classes {
			for i, at := range m.cuts[:len(m.cuts)-1] {
				m.of[c.number].to[i] = c.bucket(p.end, at)
				if p.use.tile && at >= tile {
					m.of[c.number].tile[i] = c.ownTile(p.end - tile)
				}
			}
		}
	}
	return m
}

// bucket returns the bucket of an event at t, as of end: the shortest window that holds it; outside if none does.
func (c *class) bucket(end, t int64) int8 {
	if t >= end {
		return outside
	}
	for b, w := range c.windows {
		if t >= end-w {
			return int8(b)
		}
	}
	return outside
}

// tileBucket is the bucket of a tile of some length; outside if the class's windows don't hold all of it: such a tile can't be built, and nobody
// asks for it. A tile as long as the shortest window is the bucket of that.
func (c *class) tileBucket(length int64) int8 {
	switch {
	case length > c.longest():
		return outside
	case c.endsWithTile(length):
		return 0
	}
	return int8(len(c.windows))
}

// endsWithTile reports whether the shortest window is a tile of some length.
func (c *class) endsWithTile(length int64) bool { return c.windows[0] == length }

// ownTile is the tile's bucket, if it is not a window's: else outside, as the events go there anyway.
func (c *class) ownTile(length int64) int8 {
	if c.endsWithTile(length) {
		return outside
	}
	return c.tileBucket(length)
}

// at returns the move of an event at t, and the span in which it is the same.
func (m *moves) at(t int64) (move int, lo, hi int64) {
	i := sort.Search(len(m.cuts), func(i int) bool { return m.cuts[i] > t })
	switch i {
	case 0:
		if len(m.cuts) == 0 {
			return outside, minTime, maxTime
		}
		return outside, minTime, m.cuts[0]
	case len(m.cuts):
		return outside, m.cuts[i-1], maxTime
	}
	if !m.active(i - 1) {
		return outside, m.cuts[i-1], m.cuts[i]
	}
	return i - 1, m.cuts[i-1], m.cuts[i]
}

// active reports whether a move changes anything.
func (m *moves) active(move int) bool {
	return slices.ContainsFunc(m.of, func(c change) bool { return c.moves(move) })
}

// moves reports whether a move changes anything in the class.
func (c *change) moves(move int) bool {
	return c.from[move] >= 0 || c.to[move] >= 0 || c.tile[move] >= 0
}

// task is a split, and the span of time [lo, hi) of which it is read: what else it holds stands in other splits, or makes no move.
type task struct {
	features.Split
	lo, hi int64
}

// oneMove returns the move that all times of an interval make, as far as they lie in [lo, hi); ok is false if they make several, or the interval says nothing.
func (m *moves) oneMove(iv table.Interval, lo, hi int64) (move int, ok bool) {
	if iv.Start.IsZero() && iv.End.IsZero() || !iv.Start.Before(iv.End) {
		return 0, false
	}
	first, last := iv.Start.UnixMicro(), iv.End.UnixMicro()
	if iv.End.Nanosecond()%1000 == 0 {
		last--
	}
	if last < lo || first >= hi {
		return outside, true
	}
	move, _, end := m.at(first)
	return move, first >= lo && last < min(hi, end)
}
