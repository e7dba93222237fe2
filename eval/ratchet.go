package eval

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// A ratchet asks of a missed budget whether the candidate is worse on it than what it would replace. Both lists were made for the same people, so what is judged is the
// difference of the two in one evaluation, with its own interval: of two that are as good in truth one measures worse every night, and by that alone every
// second candidate would be refused. Worse is called where the interval at Confidence, of this rule alone, lies beyond zero. Rejected: correcting it for the
// other rules of the run, which would only let more pass.

// deficit is by how much the candidate is worse than another, in the unit of the budget, with its interval. One of which no error is known is taken as exact.
type deficit struct{ value, low, high float64 }

// deficitOf is a difference with its standard error, which z of make the interval.
func deficitOf(difference, se, z float64) deficit {
	return deficit{difference, difference - z*se, difference + z*se}
}

// worse reports whether the candidate is worse for sure.
func (d deficit) worse() bool { return d.low > 0 }

// ratchet writes down what becomes of a missed budget. theirs is the other's figure in words, better how it would compare, and fine what is said of a candidate that
// measures no worse.
func (r *Rule) ratchet(d deficit, theirs, better, fine string, show func(float64) string) {
	says := theirs + " is " + better
	switch difference := ": the difference is " + figure(&d.value, &d.low, &d.high, show); {
	case d.worse():
		r.Says += " " + says + difference + "."
		return
	case d.value <= 0:
		says = fine
	default:
		says = theirs + " is not surely " + better + difference
	}
	r.Effect = Accepted
	r.Says += " " + says + ": accepted as a risk."
}

// ratchetRatio lets a missed ratio pass as a risk unless the candidate is worse than what it would replace.
func ratchetRatio(r *Rule, b Budget, q *Quality) {
	other := q.incumbent(b.Metric, false)
	if other == nil {
		return
	}
	if d, ok := q.deficit(b.Metric, other, false); ok {
		r.ratchet(d, other.Name, "better", "It is no worse than "+other.Name, plain)
	}
}

// deficit is that of a metric over everybody; ok is false where one of the two was not measured. Where the two were not compared, their errors are taken as independent.
func (q *Quality) deficit(metric string, other *ContenderQuality, low bool) (d deficit, ok bool) {
	toward := -1.0 // what is better
	if low {
		toward = 1
	}
	if c := q.Comparison(metric, All, other.Name); c != nil && c.Difference != nil {
		d.value = toward * *c.Difference
		if d.low, d.high = d.value, d.value; c.Low != nil && c.High != nil {
			d.low, d.high = min(toward**c.Low, toward**c.High), max(toward**c.Low, toward**c.High)
		}
		return d, true
	}
	mine, theirs := q.Contender(Candidate).Estimate(metric, All), other.Estimate(metric, All)
	if mine == nil || theirs == nil || mine.Value == nil || theirs.Value == nil {
		return d, false
	}
	var variance float64
	for _, e := range []*Estimate{mine, theirs} {
		if e.Low != nil && e.High != nil {
			half := (*e.High - *e.Low) / 2
			variance += half * half
		}
	}
	return deficitOf(toward*(*mine.Value-*theirs.Value), math.Sqrt(variance), 1), true
}

// ratchetRange lets a missed range pass as a risk unless what is live (or the best baseline) serves those better for whom it is missed, the claims at missing:
// everybody, or any of these groups, over which the interval is widened (Bonferroni). The worst group alone would not do: another may be worse than it was, and missed all the same.
func ratchetRange(r *Rule, b Budget, q *Quality, minN int, most bool, levels []string, missing []claimed) {
	other := q.incumbent(b.Metric, most)
	if other == nil {
		return
	}
	theirLevels, theirs, fault := rangeClaims(b, q, other.Name, claim{}, minN)
	if fault != "" || len(missing) == 0 {
		return
	}
	if b.Cohort == "" {
		if d, ok := q.deficit(b.Metric, other, most); ok && len(theirs.all) > 0 {
			value := " (" + plain(theirs.all[0].value) + ")"
			r.ratchet(d, "That of "+other.Name+value, "better", "It is no worse than that of "+other.Name+value, plain)
		}
		return
	}
	z := distuv.UnitNormal.Quantile(1 - (1-Confidence)/(2*float64(len(missing))))
	mine, groups := q.Cohort(b.Cohort, q.Contender(Candidate).Name, b.Metric), q.Cohort(b.Cohort, other.Name, b.Metric)
	var worst deficit
	var at string
	var value float64
	for i, m := range missing {
		k := slices.Index(theirLevels, levels[m.at])
		if k < 0 || k >= len(theirs.all) {
			return
		}
		own, g := theirs.all[k], groups.group(levels[m.at])
		se := math.Hypot(*mine.group(levels[m.at]).StandardError, *g.StandardError)
		if g.apart != nil {
			se = *g.apart
		}
		d := deficitOf(m.value-own.value, se, z)
		if !most {
			d = deficitOf(own.value-m.value, se, z)
		}
		if i == 0 || d.worse() && (!worst.worse() || d.low > worst.low) || !worst.worse() && d.value > worst.value {
			worst, at, value = d, levels[m.at], own.value
		}
	}
	r.ratchet(worst, "That of "+other.Name+" for "+at+" ("+plain(value)+")", "better", "It is no worse than that of "+other.Name+" in any group that misses it", plain)
}

// group is the row of a level, which there is.
func (f *CohortFigure) group(level string) *Group {
	return &f.ByGroup[slices.IndexFunc(f.ByGroup, func(g Group) bool { return g.Level == level })]
}

// ratchetGap lets a missed gap pass as a risk unless that of what is live (or the best baseline) is smaller.
func ratchetGap(r *Rule, b Budget, q *Quality, minN int, show func(float64) string) {
	other := q.incumbent(b.Metric, false)
	if other == nil {
		return
	}
	mine, theirs := q.Cohort(b.Cohort, q.Contender(Candidate).Name, b.Metric), q.Cohort(b.Cohort, other.Name, b.Metric)
	if theirs == nil || theirs.Overall == nil {
		return
	}
	unit, their := 1.0, 1.0
	if b.RelativeGap != nil {
		unit, their = *mine.Overall, *theirs.Overall
	}
	if unit == 0 || their == 0 {
		return
	}
	g := newGaps(mine, theirs, unit, their, minN)
	if len(g.mine.value) < 2 {
		return
	}
	d, gap := g.deficit(), " ("+show(g.theirs.gap())+")"
	r.ratchet(d, "That of "+other.Name+gap, "smaller", "It is no larger than that of "+other.Name+gap, show)
}

// gaps are two contenders' figures of the groups in which both are judged.
type gaps struct {
	mine, theirs served
	apart        []float64 // variance of the difference of the two in a group
}

// served is one contender's figure by group, and its variance.
type served struct{ value, variance []float64 }

// newGaps takes the figures in units of their own, as the overall value of each.
func newGaps(mine, theirs *CohortFigure, unit, their float64, minN int) (g gaps) {
	for i := range mine.ByGroup {
		a := &mine.ByGroup[i]
		k := slices.IndexFunc(theirs.ByGroup, func(x Group) bool { return x.Level == a.Level })
		if k < 0 || !a.judgedAt(minN) || !theirs.ByGroup[k].judgedAt(minN) {
			continue
		}
		b := &theirs.ByGroup[k]
		xx, yy := *a.StandardError**a.StandardError, *b.StandardError**b.StandardError
		apart := xx/(unit*unit) + yy/(their*their)
		if b.apart != nil { // less twice the covariance
			apart -= (xx + yy - *b.apart**b.apart) / (unit * their)
		}
		g.mine.add(*a.Value/unit, xx/(unit*unit))
		g.theirs.add(*b.Value/their, yy/(their*their))
		g.apart = append(g.apart, max(0, apart))
	}
	return g
}

func (s *served) add(value, variance float64) {
	s.value, s.variance = append(s.value, value), append(s.variance, variance)
}

// gap is the largest difference between two groups.
func (s *served) gap() float64 { return slices.Max(s.value) - slices.Min(s.value) }

// deficit is by how much the gap of the first is larger. The interval allows for all pairs of groups (Bonferroni).
func (g gaps) deficit() deficit {
	n := float64(len(g.apart))
	z := distuv.UnitNormal.Quantile(1 - (1-Confidence)/(n*(n-1)))
	return deficit{g.mine.gap() - g.theirs.gap(), g.least(&g.mine, &g.theirs, z), -g.least(&g.theirs, &g.mine, z)}
}

// least is by how much at least the gap of a is larger than that of b, at z standard errors. That it is takes two groups between which a differs by more than b does
// between any two. With i and j the groups that a serves best and worst, which it may do by chance, so that z is to allow for all pairs,
//
//	least = min over k ≠ l of (a_i − a_j) − (b_k − b_l) − z·se
//
// Groups hold different people, and what the two contenders do for one group is of the same people.
func (g gaps) least(a, b *served, z float64) float64 {
	i, j := slices.Index(a.value, slices.Max(a.value)), slices.Index(a.value, slices.Min(a.value))
	if i == j { // all alike
		j = (i + 1) % len(a.value)
	}
	// with is the variance of a's figure of a group by its sign, less b's of the same by its own.
	with := func(group int, sign, own float64) float64 {
		if sign == own {
			return g.apart[group] // of a − b, or of b − a
		}
		return 2*(a.variance[group]+b.variance[group]) - g.apart[group] // of a + b
	}
	out := math.Inf(1)
	for k := range b.value {
		for l := range b.value {
			if k == l {
				continue
			}
			var variance float64
			for _, own := range []struct {
				group int
				sign  float64
			}{{i, 1}, {j, -1}} {
				switch own.group {
				case k:
					variance += with(k, own.sign, 1)
				case l:
					variance += with(l, own.sign, -1)
				default:
					variance += a.variance[own.group]
				}
			}
			for _, group := range []int{k, l} {
				if group != i && group != j {
					variance += b.variance[group]
				}
			}
			off := (a.value[i] - a.value[j]) - (b.value[k] - b.value[l])
			out = min(out, off-z*math.Sqrt(max(0, variance)))
		}
	}
	return out
}
