package eval

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// cohort builds the figures of one attribute, whose groups are the cells from first on.
func (e *evaluation) cohort(name string, levels []string, first int) CohortQuality {
	sizes := make([]int, len(levels))
	for l := range levels {
		sizes[l] = e.tally.cells[first+l].n
	}
	hidden := suppress(sizes)
	out := CohortQuality{Cohort: name}
	for c, contender := range e.contenders {
		if contender.Role == Part {
			continue
		}
		for f := range e.figures {
			figure := CohortFigure{Contender: contender.Name, Metric: e.figureName(f)}
			all := e.tally.estimate(0, c*e.figures+f)
			figure.Overall, figure.OverallError = all.Value, all.StandardError
			floor := e.tally.spread(0, c*e.figures+f)
			for l, level := range levels {
				g := Group{Level: level, Status: Suppressed}
				if !hidden[l] {
					g = e.tally.group(first+l, c*e.figures+f, floor)
					g.Level, g.Status = level, Judged
					if *g.N < e.task.MinN {
						g.Status = Insufficient
					}
				}
				figure.ByGroup = append(figure.ByGroup, g)
			}
			figure.summarize(e.task.MinN)
			out.Figures = append(out.Figures, figure)
		}
	}
	return out
}

// group is the figure of one group. spread is the standard deviation over all subjects.
func (t *tally) group(cell, f int, spread float64) Group {
	est := t.estimate(cell, f)
	g := Group{N: &est.N, Value: est.Value, Low: est.Low, High: est.High}
	if est.StandardError == nil || est.Value == nil {
		return g
	}
	se := max(*est.StandardError, spread/math.Sqrt(float64(est.N)))
	half := distuv.UnitNormal.Quantile(1-(1-Confidence)/2) * se
	g.StandardError = finite(se)
	g.Low = finite(max(0, min(*est.Low, *est.Value-half)))
	g.High = finite(min(1, max(*est.High, *est.Value+half)))
	return g
}

// suppress says which cells of a cohort are withheld: all under MinCell, and then, smallest first (ties: the earlier), as many others as it takes for the withheld
// cells to be at least two that hold someone and to hold MinCell subjects together. So no withheld cell follows from the total and the
// printed ones.
func suppress(sizes []int) []bool {
	hidden := make([]bool, len(sizes))
	order := make([]int, len(sizes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[a], sizes[b]) })
	cells, subjects := 0, 0
	for _, i := range order {
		if sizes[i] >= MinCell && (cells == 0 || (cells >= 2 && subjects >= MinCell)) {
			break
		}
		hidden[i] = true
		if sizes[i] > 0 {
			cells++
			subjects += sizes[i]
		}
	}
	return hidden
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
	return g.Status != Suppressed && g.N != nil && *g.N >= max(minN, MinCell) && g.Value != nil && g.StandardError != nil
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
