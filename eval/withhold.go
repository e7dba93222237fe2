package eval

import (
	"cmp"
	"math"
	"slices"
)

// withhold says which groups of each cohort are withheld. A cohort by itself is looked at first, then those that cross it: what is told of the one tells of the other.
func (e *evaluation) withhold() [][]bool {
	out := make([][]bool, len(e.task.Cohorts))
	order := make([]int, len(out))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(e.task.Cohorts[a].parts), len(e.task.Cohorts[b].parts)) })
	for _, i := range order {
		c, sizes := &e.task.Cohorts[i], e.sizes(i)
		out[i] = suppress(sizes)
		if c.parts != nil {
			e.guard(c, sizes, out[i])
			e.untangle(i, sizes, out)
		}
	}
	return out
}

// sizes are the people of each group of a cohort, those whose level is not known last.
func (e *evaluation) sizes(cohort int) []int {
	out := make([]int, len(e.task.Cohorts[cohort].Levels)+1)
	for l := range out {
		out[l] = e.cells[e.first[cohort]+l].n
	}
	return out
}

// toldOf is the number of people that is told of a figure which is defined for n of a group: the group less those for whom it is not, in steps of MinCell, rounded up, since for how few
// it is not defined would be told of them. 0: too few are left to tell anything. Where it is defined for all, they are told.
func toldOf(n, group int) int {
	if n == group {
		return n
	}
	if n = group - (group-n+MinCell-1)/MinCell*MinCell; n < MinCell {
		return 0
	}
	return n
}

// tellOf is a count of people among others, nil where they or the others are few.
func tellOf(n, all int) *int {
	if n > 0 && n < MinCell || n < all && all-n < MinCell {
		return nil
	}
	return &n
}

// suppress says which cells of a cohort are withheld: all under MinCell, and then, smallest first, as many others as it takes for the withheld cells to be at least
// two that hold someone, to hold MinCell subjects together, and not to be all as large as a small one can be. So no withheld cell follows from the total and the printed
// ones, nor from these and from knowing this very rule: it says up to which size cells are withheld, whichever these are, so that any two that are withheld might be the
// other way round.
func suppress(sizes []int) []bool { return suppressMore(sizes, make([]bool, len(sizes))) }

// suppressMore is suppress where some cells are withheld already; it returns a copy.
func suppressMore(sizes []int, withheld []bool) []bool {
	hidden := slices.Clone(withheld)
	cells, subjects, largest, small := 0, 0, 0, false
	add := func(i int) {
		hidden[i] = true
		if sizes[i] > 0 {
			cells++
			subjects += sizes[i]
			largest = max(largest, sizes[i])
			small = small || sizes[i] < MinCell
		}
	}
	order := make([]int, 0, len(sizes))
	for i := range sizes {
		if hidden[i] {
			add(i)
		} else {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(sizes[a], sizes[b]) })
	last := 0
	for _, i := range order {
		open := cells >= 2 && subjects >= MinCell && (largest >= MinCell || subjects < cells*(MinCell-1))
		if sizes[i] >= MinCell && sizes[i] > last && (open || !small) {
			break
		}
		add(i)
		last = sizes[i]
	}
	return hidden
}

// guard withholds more cells of an intersection until none of the cohorts that it is of, where that is told by itself, gives away fewer than MinCell: the
// subjects of a level less those of its cells that are told. The smallest cell of the level goes first (ties: the earlier).
func (e *evaluation) guard(c *Cohort, sizes []int, hidden []bool) {
	for again := true; again; {
		again = false
		for _, p := range c.parts {
			at := slices.IndexFunc(e.task.Cohorts, func(o Cohort) bool { return o.Name == p.name })
			if at < 0 {
				continue
			}
			for level := range e.task.Cohorts[at].Levels {
				left, least := e.cells[e.first[at]+level].n, -1
				for l, of := range p.of {
					if int(of) == level && !hidden[l] && sizes[l] > 0 {
						left -= sizes[l]
						if least < 0 || sizes[l] < sizes[least] {
							least = l
						}
					}
				}
				if least >= 0 && left > 0 && left < MinCell {
					hidden[least], again = true, true
				}
			}
		}
	}
}

// combination is what all cohorts of an intersection say of some people.
type combination struct {
	levels []int32 // by cohort; of one that does not know, the number of its levels
	n      int
	cell   int // of the intersection; −1: its cohorts do not all know
}

// combinations are those of the people who were evaluated.
func (e *evaluation) combinations(cohort int, sizes []int) (out []combination) {
	c := &e.task.Cohorts[cohort]
	for l, n := range sizes[:len(c.Levels)] {
		if n == 0 {
			continue
		}
		x := combination{n: n, cell: l}
		for _, p := range c.parts {
			x.levels = append(x.levels, p.of[l])
		}
		out = append(out, x)
	}
	unknown := e.unknown[cohort]
	for _, key := range unknown.keys() {
		x := combination{n: unknown[key], cell: -1}
		for k := len(c.parts) - 1; k >= 0; k-- {
			radix := uint64(c.parts[k].levels + 1)
			x.levels = append(x.levels, int32(key%radix))
			key /= radix
		}
		slices.Reverse(x.levels)
		out = append(out, x)
	}
	return out
}

// partly counts the people of whom not all cohorts of an intersection know a level, by what each says.
type partly map[uint64]int

func (u partly) keys() []uint64 {
	var out []uint64
	for k := range u {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// add counts one row.
func (u partly) add(parts []part, row int) {
	var key uint64
	for _, p := range parts {
		level := uint64(p.levels)
		if l := p.rows[row]; l >= 0 {
			level = uint64(l)
		}
		key = key*uint64(p.levels+1) + level
	}
	u[key]++
}

// divided is a division of the combinations that is told elsewhere: a cohort, or an intersection of fewer.
type divided struct {
	group []int   // of each combination
	of    [][]int // the combinations of each group
	told  []bool
}

// divisions are those of the cohorts of the task that an intersection is of, and the whole.
func (e *evaluation) divisions(cohort int, all []combination, hidden [][]bool) (out []divided) {
	c := &e.task.Cohorts[cohort]
	for j := range e.task.Cohorts {
		o := &e.task.Cohorts[j]
		if j == cohort || hidden[j] == nil || len(o.parts) > len(c.parts) {
			continue
		}
		names, levels := []string{o.Name}, map[string]int{}
		if o.parts != nil {
			names = names[:0]
			for _, p := range o.parts {
				names = append(names, p.name)
			}
			for l := range o.Levels {
				var key []int32
				for _, p := range o.parts {
					key = append(key, p.of[l])
				}
				levels[combinationKey(key)] = l
			}
		}
		var at []int
		for _, name := range names {
			at = append(at, slices.IndexFunc(c.parts, func(p part) bool { return p.name == name }))
		}
		if slices.Contains(at, -1) {
			continue
		}
		d := divided{group: make([]int, len(all)), told: make([]bool, len(hidden[j]))}
		for l, h := range hidden[j] {
			d.told[l] = !h
		}
		for i, x := range all {
			if o.parts == nil {
				d.group[i] = int(x.levels[at[0]])
				continue
			}
			var key []int32
			for _, k := range at {
				key = append(key, x.levels[k])
			}
			l, ok := levels[combinationKey(key)]
			if !ok {
				l = len(o.Levels) // one of them does not know
			}
			d.group[i] = l
		}
		d.of = make([][]int, len(d.told))
		for i, g := range d.group {
			d.of[g] = append(d.of[g], i)
		}
		out = append(out, d)
	}
	return out
}

func combinationKey(levels []int32) string {
	var b []byte
	for _, l := range levels {
		b = append(b, byte(l), byte(l>>8), byte(l>>16), byte(l>>24))
	}
	return string(b)
}

// untangle withholds more cells of an intersection, or those of whom not all is known, as long as a number under MinCell of people, of any combination or of a group that another cohort withholds, is the
// solution of the equations that all told groups together are. What lies within bounds of them is kept wide by suppress and guard.
func (e *evaluation) untangle(cohort int, sizes []int, all [][]bool) {
	hidden := all[cohort]
	people := e.combinations(cohort, sizes)
	if !slices.ContainsFunc(people, func(x combination) bool { return x.n < MinCell }) {
		return
	}
	divisions := e.divisions(cohort, people, all)
	if len(divisions) == 0 {
		return
	}
	missing := len(sizes) - 1
	for {
		open := map[int]int{} // combination → column
		for i, x := range people {
			if x.cell < 0 || hidden[x.cell] {
				open[i] = len(open)
			}
		}
		vector := func(in func(i int) bool) ([]float64, int) {
			v, n := make([]float64, len(open)), 0
			for i, column := range open {
				if in(i) {
					v[column], n = 1, n+people[i].n
				}
			}
			return v, n
		}
		var known equations
		var asked [][]float64
		var of []func(i int) bool
		ask := func(in func(i int) bool) {
			if v, n := vector(in); n > 0 && n < MinCell {
				asked, of = append(asked, v), append(of, in)
			}
		}
		know := func(in func(i int) bool) {
			v, _ := vector(in)
			known.add(v)
		}
		know(func(int) bool { return true })
		if !hidden[missing] {
			know(func(i int) bool { return people[i].cell < 0 })
		}
		for i := range open {
			ask(func(k int) bool { return k == i })
		}
		for _, d := range divisions {
			for g, told := range d.told {
				in := func(i int) bool { return d.group[i] == g }
				if told {
					know(in)
				} else {
					ask(in)
				}
			}
			know(func(i int) bool { return !d.told[d.group[i]] })
		}
		var next []int
		for k, v := range asked {
			if !known.solve(v) {
				continue
			}
			least, beside := -1, false // the smallest that is told, of those beside it if there are any
			for i, x := range people {
				at := x.cell
				if at < 0 {
					at = missing
				}
				if hidden[at] {
					continue
				}
				near := slices.ContainsFunc(divisions, func(d divided) bool { return slices.ContainsFunc(d.of[d.group[i]], of[k]) })
				if least < 0 || near && !beside || near == beside && sizes[at] < sizes[least] {
					least, beside = at, near
				}
			}
			if least >= 0 {
				next = append(next, least)
			}
		}
		if len(next) == 0 {
			return
		}
		for _, l := range next {
			hidden[l] = true
		}
	}
}

// equations are linear ones, each solved for one unknown, of which no other holds it.
type equations struct {
	rows  [][]float64
	pivot []int
}

// zero is what arithmetic leaves of a zero: coefficients are of the size of one.
const zero = 1e-9

// reduce takes out of v what follows from the equations.
func (q *equations) reduce(v []float64) {
	for r, row := range q.rows {
		if f := v[q.pivot[r]]; math.Abs(f) > zero {
			for i, x := range row {
				v[i] -= f * x
			}
		}
	}
}

// add adds an equation, of the sum of whose unknowns by v the value is known. It overwrites v.
func (q *equations) add(v []float64) {
	q.reduce(v)
	at := -1
	for i, x := range v {
		if at < 0 || math.Abs(x) > math.Abs(v[at]) {
			at = i
		}
	}
	if at < 0 || math.Abs(v[at]) <= zero {
		return
	}
	by := v[at]
	for i := range v {
		v[i] /= by
	}
	for _, row := range q.rows {
		if f := row[at]; math.Abs(f) > zero {
			for i, x := range v {
				row[i] -= f * x
			}
		}
	}
	q.rows, q.pivot = append(q.rows, v), append(q.pivot, at)
}

// solve reports whether the sum of the unknowns by v follows. It overwrites v.
func (q *equations) solve(v []float64) bool {
	q.reduce(v)
	return !slices.ContainsFunc(v, func(x float64) bool { return math.Abs(x) > zero })
}
