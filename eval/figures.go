package eval

import (
	"cmp"
	"math"
	"slices"
)

// quality turns the sums into figures.
func (e *evaluation) quality() *Quality {
	t := e.task
	q := &Quality{
		Protocol: t.Protocol, Seen: Kept, Headline: At(NDCG, t.K[0]), K: append([]int(nil), t.K...), Items: len(t.Catalog.IDs),
		Queries: &t.Rows, Evaluated: e.evaluated, NoRelevant: tellOf(t.Rows-e.evaluated, math.MaxInt), Masked: e.masked,
		Replicates: t.Replicates, Seed: t.Seed, Confidence: Confidence, MinN: t.MinN,
	}
	if q.NoRelevant == nil {
		q.Queries = nil
	}
	if t.Masked {
		q.Seen = LeftOut
	}
	q.Contenders = make([]ContenderQuality, len(e.contenders))
	for c, contender := range e.contenders {
		q.Contenders[c] = ContenderQuality{Name: contender.Name, Role: contender.Role, Tied: tellOf(e.tied[c], e.evaluated)}
	}
	d := newDraws(t.Seed, t.Replicates)
	for s := range splits {
		e.split(q, s, d)
	}
	adjust(q.Comparisons)
	e.hidden = e.withhold()
	for i := range t.Cohorts {
		e.cohort(q, i, d)
	}
	return q
}

// withheld reports whether split s has so few people, or leaves out so few, that its figures would be some person's: neither they nor how many
// there are is told.
func (e *evaluation) withheld(s int) bool {
	n := e.cells[s].n
	switch splits[s] {
	case All:
		return false
	case ColdSubjects: // the others follow from all
		return n < MinCell || (n < e.evaluated && e.evaluated-n < MinCell)
	}
	return n < MinCell
}

// split adds the figures of one split: of each contender, and of the candidate against each other.
func (e *evaluation) split(q *Quality, s int, d *draws) {
	var r *resampled
	if !e.withheld(s) {
		r = e.cells[s].resample(d)
	}
	add := func(name string, of func(contender int) series) {
		for c := range e.contenders {
			var est Estimate
			if r != nil {
				est = r.estimate(of(c))
			}
			est = est.as(e.told(s, est.N))
			est.Metric, est.Split = name, splits[s]
			q.Contenders[c].Estimates = append(q.Contenders[c].Estimates, est)
			if c == e.candidate {
				continue
			}
			var cmp Comparison
			if r != nil {
				cmp = r.compare(of(e.candidate), of(c))
			}
			if cmp.N = e.told(s, cmp.N); cmp.N == 0 {
				cmp = Comparison{}
			}
			cmp.Metric, cmp.Split, cmp.Against, cmp.Role = name, splits[s], e.contenders[c].Name, e.contenders[c].Role
			q.Comparisons = append(q.Comparisons, cmp)
		}
	}
	for f := range e.layout.hits {
		add(e.hitName(f), func(c int) series { return e.layout.hit(s, c, f) })
	}
	if splits[s] != All {
		return
	}
	for f := range e.layout.lists / 2 {
		if e.known(f) {
			add(e.listName(f), func(c int) series { return e.layout.list(c, f) })
		}
	}
	e.pool(q, r, "", "")
	e.together(q)
	e.content(q, r)
	e.providers(q, r)
}

// hitName names a figure among the hit metrics of a contender, and listName one among the list metrics.
func (e *evaluation) hitName(f int) string {
	return At(hitMetrics[f%len(hitMetrics)], e.task.K[f/len(hitMetrics)])
}

func (e *evaluation) listName(f int) string {
	return At(listMetrics[f%len(listMetrics)], e.task.K[f/len(listMetrics)])
}

// known reports whether a list metric is defined for anybody.
func (e *evaluation) known(f int) bool {
	for c := range e.contenders {
		if e.cells[0].total[e.layout.list(c, f).den] > 0 {
			return true
		}
	}
	return false
}

// together adds the figures of all lists together.
func (e *evaluation) together(q *Quality) {
	for c := range e.contenders {
		for j, k := range e.task.K {
			value, se := e.spread[c*len(e.task.K)+j].estimate(e.evaluated)
			q.Contenders[c].Estimates = append(q.Contenders[c].Estimates, Estimate{
				Metric: At(Coverage, k), Split: All, N: e.evaluated, Value: &value, StandardError: finite(se),
				Low: finite(max(0, value-z95*se)), High: finite(min(1, value+z95*se)),
			})
		}
		if !e.layout.measured[c] {
			continue
		}
		for j, k := range e.task.K {
			value, low, high, se := e.shelf[c*len(e.task.K)+j].estimate()
			q.Contenders[c].Estimates = append(q.Contenders[c].Estimates, Estimate{
				Metric: At(Gini, k), Split: All, N: e.evaluated, Value: finite(value), StandardError: finite(se), Low: finite(low), High: finite(high),
			})
		}
	}
}

// told is the number of people that is told of a figure of n of split s. Those who are not in a split are told by themselves, unless they are few.
func (e *evaluation) told(s, n int) int {
	switch left := e.evaluated - n; {
	case splits[s] == All:
		return toldOf(n, e.evaluated)
	case left > 0 && left < MinCell:
		return max(0, e.evaluated-MinCell)
	}
	return n
}

// as is the figure where it is told that it is of n people: nothing where these are too few.
func (x Estimate) as(n int) Estimate {
	if n == 0 {
		return Estimate{}
	}
	x.N = n
	return x
}

// estimate is a figure of n subjects from its value and the sums of its replicates.
func estimate(n int, value float64, sums, weight []float64) Estimate {
	out := Estimate{N: n, Value: finite(value)}
	if n > 1 {
		low, high, se := interval(means(make([]float64, 0, len(weight)), sums, weight))
		out.Low, out.High, out.StandardError = finite(low), finite(high), finite(se)
	}
	return out
}

// compare compares figure a with figure b, replicate by replicate.
func compare(n int, a, b float64, sumA, weightA, sumB, weightB []float64) Comparison {
	out := Comparison{N: n, Difference: finite(a - b), Ratio: finite(a / b)}
	if n < 2 {
		return out
	}
	differences, ratios := make([]float64, 0, len(weightA)), make([]float64, 0, len(weightA))
	for r := range weightA {
		if weightA[r] <= 0 || weightB[r] <= 0 {
			continue
		}
		x, y := sumA[r]/weightA[r], sumB[r]/weightB[r]
		differences = append(differences, x-y)
		if y > 0 {
			ratios = append(ratios, x/y)
		}
	}
	if len(differences) > 0 {
		out.P = finite(pValue(differences))
	}
	low, high, se := interval(differences)
	out.Low, out.High, out.StandardError = finite(low), finite(high), finite(se)
	if out.Ratio != nil && len(ratios) >= len(weightA)*9/10 { // with the other at zero in many replicates the ratio has no honest interval
		low, high, _ = interval(ratios)
		out.RatioLow, out.RatioHigh = finite(low), finite(high)
	}
	return out
}

// apart is the standard error of the difference of two figures, replicate by replicate; nil with fewer than two.
func apart(sumA, weightA, sumB, weightB []float64) *float64 {
	var n, pivot, sum, squares float64
	each := func(do func(d float64)) {
		for r := range weightA {
			if weightA[r] > 0 && weightB[r] > 0 {
				do(sumA[r]/weightA[r] - sumB[r]/weightB[r])
			}
		}
	}
	each(func(d float64) {
		if n == 0 {
			pivot = d // differences that are all equal have no error at all
		}
		n++
		sum += d - pivot
	})
	if n < 2 {
		return nil
	}
	each(func(d float64) { squares += (d - pivot - sum/n) * (d - pivot - sum/n) })
	return finite(math.Sqrt(squares / (n - 1)))
}

// adjust fills PAdjusted: Holm's step-down correction (Holm 1979) over the comparisons of one metric on one split with the live version and the
// baselines. Parts of a blend are shown and not judged: they have none.
func adjust(comparisons []Comparison) {
	type family struct {
		metric string
		split  Split
	}
	families := map[family][]*Comparison{}
	for i := range comparisons {
		if c := &comparisons[i]; c.Role != Part && c.P != nil {
			families[family{c.Metric, c.Split}] = append(families[family{c.Metric, c.Split}], c)
		}
	}
	for _, f := range families {
		slices.SortStableFunc(f, func(a, b *Comparison) int { return cmp.Compare(*a.P, *b.P) })
		var last float64
		for i, c := range f {
			last = max(last, min(1, *c.P*float64(len(f)-i)))
			p := last
			c.PAdjusted = &p
		}
	}
}
