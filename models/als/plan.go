package als

import "slices"

// The values of Hyper.Solver.
const (
	autoSolver     = "auto"
	choleskySolver = "cholesky"
	cgSolver       = "cg"
	blockSolver    = "blocks"
)

// gatheredBytes is what one worker keeps of a row's gathered vectors: about half of a core's second cache.
const gatheredBytes = 1 << 20

// method is how one row is solved.
type method int

const (
	exact method = iota
	byConjugateGradients
	byBlocks
)

// planner says how each row of a training is solved, by what it would cost in nanoseconds on a core of 2.5 GHz with AVX-512. Only the
// ratios matter; they are constants, since equal inputs shall give equal bytes on other machines too.
type planner struct {
	solver          string
	d, steps, width int
	room            int // rows that are gathered at once
}

// maxSpan bounds the rows of a span.
const maxSpan = 64

// exactEpoch is what an epoch of exact solves may cost, in nanoseconds of one core, so that "auto" makes it of nothing else: steps would gain
// little time there, and small data that are fitted closely need many.
const exactEpoch = 2e9

func newPlanner(h *Hyper, p *pairs) planner {
	plan := planner{solver: h.Solver, d: h.Dim, steps: h.Steps, width: h.Block, room: max(gatheredBytes/4/lanes(h.Dim), 64)}
	if plan.solver == autoSolver && 2*plan.exact(len(p.bySubj.col))+float64(p.subjects+len(p.items))*plan.factor() < exactEpoch {
		plan.solver = choleskySolver
	}
	return plan
}

// The price list: to gather a row from memory, to multiply a gathered row twice, to add its outer product to a matrix, and to factor and solve.
func (p planner) gather() float64 { return .8 * float64(p.d) }
func (p planner) pass() float64   { return 5 + .1*float64(p.d) }
func (p planner) outer() float64  { return float64(p.d*p.d) / 64 }
func (p planner) factor() float64 { return 1000 + 1.7*float64(p.d*p.d) }

// of returns how a row of n pairs is solved. By steps, a row that is not gathered at once is gathered for each product; its blocks would each
// gather it, so they are not used for it.
func (p planner) of(n int) method {
	switch {
	case p.solver == choleskySolver:
		return exact
	case p.solver == cgSolver:
		return byConjugateGradients
	case p.solver == blockSolver && n <= p.room:
		return byBlocks
	case p.conjugate(n) < p.exact(n):
		return byConjugateGradients
	}
	return exact
}

func (p planner) exact(n int) float64 { return float64(n)*(p.gather()+p.outer()) + p.factor() }

func (p planner) conjugate(n int) float64 {
	products := float64(1 + p.steps)
	if n > p.room {
		return float64(n) * products * (p.gather() + p.pass())
	}
	return float64(n)*(p.gather()+products*p.pass()) + products*200 + 4*float64(p.d)
}

// turns reports whether any row of s is solved in the basis of the other side's eigenvectors.
func (p planner) turns(s *sparse) bool {
	for r := range s.rows() {
		if p.of(s.off[r+1]-s.off[r]) != exact {
			return true
		}
	}
	return false
}

// span is rows [lo, hi) of a side.
type span struct {
	lo, hi int
	cost   float64
}

// spans cuts the rows of s into pieces of work of at most maxSpan rows and about equal cost, the most expensive first, so that workers end
// together whatever a single row costs.
func (p planner) spans(s *sparse) []span {
	const pieces = 1024
	price := func(r int) float64 {
		n := s.off[r+1] - s.off[r]
		if p.of(n) == exact {
			return p.exact(n)
		}
		return p.conjugate(n)
	}
	var total float64
	for r := range s.rows() {
		total += price(r)
	}
	var out []span
	for r := range s.rows() {
		c, last := price(r), len(out)-1
		if last < 0 || out[last].hi-out[last].lo == maxSpan || out[last].cost+c > total/pieces {
			out = append(out, span{lo: r})
			last++
		}
		out[last].hi = r + 1
		out[last].cost += c
	}
	slices.SortStableFunc(out, func(a, b span) int {
		switch {
		case a.cost > b.cost:
			return -1
		case a.cost < b.cost:
			return 1
		}
		return 0
	})
	return out
}
