package local

import (
	"sort"
	"time"

	"github.com/rapport-ml/rapport/storage/table"
)

// A move says what an event does to the states: from which bucket it goes, and into which. Events of one span of time make the same move, in
// every class; the number of the move stands in the event's record.
//
// A build from all events has one move for each span between two windows' starts, from nowhere into the bucket.
type moves struct {
	// cuts are the starts of the spans, µs, ascending; the last cut ends the last span. Span i makes move i.
	cuts []int64
	from [][]int8 // by class of a group (in order of groups and classes), then by move; −1: nowhere
	to   [][]int8
}

// outside is the move of events that no window holds.
const outside = -1

// fullMoves are those of a build from all events.
func fullMoves(p *program) *moves {
	m := &moves{}
	for i := len(p.edges) - 1; i >= 0; i-- {
		m.cuts = append(m.cuts, p.end-p.edges[i])
	}
	m.cuts = append(m.cuts, p.end)
	for _, g := range p.groups {
		for _, c := range g.classes {
			from, to := make([]int8, len(m.cuts)-1), make([]int8, len(m.cuts)-1)
			for i := range to {
				from[i], to[i] = outside, c.bucket(p.end, m.cuts[i])
			}
			m.from, m.to = append(m.from, from), append(m.to, to)
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

// of returns the move of an event at t, and the span in which it is the same.
func (m *moves) of(t int64) (move int, lo, hi int64) {
	i := sort.Search(len(m.cuts), func(i int) bool { return m.cuts[i] > t })
	switch i {
	case 0:
		return outside, minTime, m.cuts[0]
	case len(m.cuts):
		return outside, m.cuts[i-1], maxTime
	}
	return i - 1, m.cuts[i-1], m.cuts[i]
}

const (
	minTime = -1 << 63
	maxTime = 1<<63 - 1
)

// ofAll returns the one move that all times of an interval make; ok is false if they make several, or the interval says nothing.
func (m *moves) ofAll(iv table.Interval) (move int, ok bool) {
	if iv.Start.IsZero() && iv.End.IsZero() || !iv.Start.Before(iv.End) {
		return 0, false
	}
	move, _, hi := m.of(iv.Start.UnixMicro())
	last := iv.End.Add(-time.Nanosecond).UnixMicro()
	return move, last < hi
}

// moves reports whether a move changes anything in a class.
func (m *moves) moves(c *class, move int) bool {
	return m.from[c.number][move] >= 0 || m.to[c.number][move] >= 0
}
