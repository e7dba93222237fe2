package eval

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// cohort adds the figures of one cohort attribute.
func (e *evaluation) cohort(q *Quality, i int, d *draws) {
	c := &e.task.Cohorts[i]
	levels := append(append([]string(nil), c.Levels...), Missing)
	groups := make([]*resampled, len(levels)) // nil: withheld
	hidden := e.hidden[i]
	for l := range levels {
		if !hidden[l] {
			groups[l] = e.cells[e.first[i]+l].resample(d)
			e.pool(q, groups[l], c.Name, levels[l])
		}
	}
	out := CohortQuality{Cohort: c.Name}
	figure := func(name string, of func(contender int) series) (all []CohortFigure) {
		for c, contender := range e.contenders {
			if !e.layout.measured[c] {
				continue
			}
			est := q.Contenders[c].Estimate(name, All)
			if est == nil {
				est = q.contentOf(name, contender.Name)
			}
			f := CohortFigure{Contender: contender.Name, Metric: name, Overall: est.Value, OverallError: est.StandardError}
			s := of(c)
			all0 := &e.cells[0]
			spread := deviation(float64(all0.size(s)), all0.total[s.num], all0.square[s.num])
			sizes := make([]int, len(levels)) // those for whom it is defined
			for l := range levels {
				sizes[l] = e.cells[e.first[i]+l].size(s)
				if toldOf(sizes[l], e.cells[e.first[i]+l].n) == 0 {
					sizes[l] = min(sizes[l], MinCell-1)
				}
			}
			own, few := suppressMore(sizes, hidden), false
			for l, level := range levels {
				if own[l] {
					few = few || e.cells[e.first[i]+l].n > 0 && level != Missing
					continue
				}
				g := group(groups[l].estimate(s), spread, e.ceiling(name))
				*g.N = toldOf(*g.N, groups[l].n)
				if c != e.candidate {
					g.apart = groups[l].apart(of(e.candidate), s)
				}
				if g.Level, g.Status = level, Judged; *g.N < e.task.MinN {
					g.Status = Insufficient
				}
				f.ByGroup = append(f.ByGroup, g)
			}
			f.ByGroup = withholdGroups(f.ByGroup, few, own[len(levels)-1])
			f.summarize(e.task.MinN)
			all = append(all, f)
		}
		return all
	}
	for f := range e.layout.hits {
		out.Figures = append(out.Figures, figure(e.hitName(f), func(c int) series { return e.layout.hit(0, c, f) })...)
	}
	for f := range e.layout.lists / 2 {
		if e.known(f) {
			out.Figures = append(out.Figures, figure(e.listName(f), func(c int) series { return e.layout.list(c, f) })...)
		}
	}
	q.Cohorts = append(q.Cohorts, out)
	for f := range q.Content {
		x := &q.Content[f]
		x.Cohorts = append(x.Cohorts, CohortQuality{Cohort: c.Name, Figures: figure(x.Name, func(c int) series { return e.layout.place(c, f) })})
	}
}

// withholdGroups puts one row in place of all groups that are withheld, whose names may be as telling as their figures; those whose level is not known have their own.
func withholdGroups(told []Group, few, missing bool) []Group {
	if few {
		at := len(told)
		if !missing {
			at--
		}
		told = slices.Insert(told, at, Group{Level: Few, Status: Suppressed})
	}
	if missing {
		told = append(told, Group{Level: Missing, Status: Suppressed})
	}
	return told
}

// group is the figure of one group: est is its own, spread the standard deviation over all subjects, most the largest value that there can be.
func group(est Estimate, spread, most float64) Group {
	g := Group{N: &est.N, Value: est.Value, Low: est.Low, High: est.High, people: est.people}
	if est.StandardError == nil || est.Value == nil {
		return g
	}
	se := max(*est.StandardError, spread/math.Sqrt(float64(est.N)))
	half := z95 * se
	g.StandardError = finite(se)
	g.Low = finite(max(0, min(*est.Low, *est.Value-half)))
	g.High = finite(min(most, max(*est.High, *est.Value+half)))
	return g
}

// summarize fills the comparisons between the judged groups.
func (f *CohortFigure) summarize(minN int) {
	g := f.gap(minN)
	if g.groups < 2 {
		return
	}
	f.Min, f.Max, f.Difference = finite(g.min), finite(g.max), finite(g.difference)
	f.DifferenceLow, f.DifferenceHigh = finite(g.low), finite(g.high)
	f.Ratio = finite(g.min / g.max)
	if f.Ratio != nil {
		fair := *f.Ratio >= 0.8
		f.FourFifths = &fair
	}
	f.RelativeGap = finite(g.difference / *f.Overall)
	var off float64
	for i := range f.ByGroup {
		if row := &f.ByGroup[i]; row.judgedAt(minN) {
			off = max(off, math.Abs(*row.Value-*f.Overall))
			row.RatioToBest = finite(*row.Value / g.max)
		}
	}
	f.DifferenceToOverall = finite(off)
}

// judgedAt reports whether the group has enough subjects to be judged at minN.
func (g *Group) judgedAt(minN int) bool {
	return g.Status != Suppressed && g.N != nil && cmp.Or(g.people, *g.N) >= max(minN, MinCell) && g.Value != nil && g.StandardError != nil
}

// gap is the largest difference between judged groups, with its simultaneous interval.
type gap struct {
	groups     int
	min, max   float64
	worst      string // the level with the lowest value
	best       string
	difference float64
	low, high  float64 // at Confidence, over all pairs at once
	pairs      []pair
	unjudged   []string
}

// pair is two judged groups: how far apart they are measured, and the standard error of that.
type pair struct{ difference, error float64 }

// gap judges the groups of at least minN subjects. Groups hold different subjects, so the standard error of a difference is
// √(se_i² + se_j²). With c the normal quantile corrected for the number of pairs (Bonferroni),
//
//	low  = max over pairs of |v_i − v_j| − c·se_ij   (not below 0)
//	high = max over pairs of |v_i − v_j| + c·se_ij
//
// bound the true max − min whenever all pairs' intervals hold, which is at least Confidence of the time; the plain bootstrap of max − min does not, as
// noise only ever widens it.
func (f *CohortFigure) gap(minN int) gap {
	g := gap{min: math.Inf(1), max: math.Inf(-1)}
	var judged []*Group
	for i := range f.ByGroup {
		row := &f.ByGroup[i]
		if !row.judgedAt(minN) {
			g.unjudged = append(g.unjudged, row.Level)
			continue
		}
		judged = append(judged, row)
		if *row.Value < g.min {
			g.min, g.worst = *row.Value, row.Level
		}
		if *row.Value > g.max {
			g.max, g.best = *row.Value, row.Level
		}
	}
	g.groups = len(judged)
	if g.groups < 2 {
		return g
	}
	g.difference = g.max - g.min
	pairs := float64(g.groups*(g.groups-1)) / 2
	c := distuv.UnitNormal.Quantile(1 - (1-Confidence)/(2*pairs))
	for i, a := range judged {
		for _, b := range judged[:i] {
			d, se := math.Abs(*a.Value-*b.Value), math.Hypot(*a.StandardError, *b.StandardError)
			g.low, g.high = max(g.low, d-c*se), max(g.high, d+c*se)
			g.pairs = append(g.pairs, pair{d, se})
		}
	}
	return g
}

// Cross is the cohort of all combinations of levels that occur: "gender+age_band" with levels as "f+55-". A row that one of them does not know is
// Missing. Of one cohort it is that cohort. Their rows are the same.
func Cross(cohorts ...Cohort) Cohort {
	out := cohorts[0]
	if len(cohorts) > 1 {
		all := make([]int32, len(out.Levels))
		for l := range all {
			all[l] = int32(l)
		}
		out.parts = []part{{out.Name, all, out.Of, len(out.Levels)}}
	}
	for _, c := range cohorts[1:] {
		seen := map[[2]int32]bool{}
		for row, a := range out.Of {
			if b := c.Of[row]; a >= 0 && b >= 0 {
				seen[[2]int32{a, b}] = true
			}
		}
		next := Cohort{Name: out.Name + "+" + c.Name, Of: make([]int32, len(out.Of))}
		for _, p := range out.parts {
			next.parts = append(next.parts, part{name: p.name, rows: p.rows, levels: p.levels})
		}
		next.parts = append(next.parts, part{name: c.Name, rows: c.Of, levels: len(c.Levels)})
		to := map[[2]int32]int32{}
		for a := range out.Levels {
			for b := range c.Levels {
				if pair := [2]int32{int32(a), int32(b)}; seen[pair] {
					to[pair] = int32(len(next.Levels))
					next.Levels = append(next.Levels, out.Levels[a]+"+"+c.Levels[b])
					for i := range out.parts {
						next.parts[i].of = append(next.parts[i].of, out.parts[i].of[a])
					}
					last := &next.parts[len(out.parts)]
					last.of = append(last.of, int32(b))
				}
			}
		}
		for row, a := range out.Of {
			next.Of[row] = -1
			if b := c.Of[row]; a >= 0 && b >= 0 {
				next.Of[row] = to[[2]int32{a, b}]
			}
		}
		out = next
	}
	return out
}
