package eval

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// quality turns the sums into figures.
func (e *evaluation) quality() *Quality {
	t := e.task
	q := &Quality{
		Headline: At(NDCG, t.K[0]), K: append([]int(nil), t.K...), Items: len(t.Catalog.IDs),
		Queries: len(t.Queries), Evaluated: len(e.rows), NoRelevant: len(t.Queries) - len(e.rows), Masked: e.masked,
		Replicates: t.Replicates, Seed: t.Seed, Confidence: Confidence, MinN: t.MinN,
	}
	candidate := 0
	for c, contender := range e.contenders {
		if contender.Role == Candidate {
			candidate = c
		}
		q.Contenders = append(q.Contenders, e.contender(c))
	}
	for c, contender := range e.contenders {
		if c == candidate {
			continue
		}
		for s, split := range splits {
			for f := range e.figures {
				var cmp Comparison
				if !e.withheld(s) {
					cmp = e.tally.compare(s, candidate*e.figures+f, c*e.figures+f)
				}
				cmp.Metric, cmp.Split, cmp.Against, cmp.Role = e.figureName(f), split, contender.Name, contender.Role
				q.Comparisons = append(q.Comparisons, cmp)
			}
		}
	}
	first := len(splits)
	for _, cohort := range t.Cohorts {
		levels := append(append([]string(nil), cohort.Levels...), Missing)
		q.Cohorts = append(q.Cohorts, e.cohort(cohort.Name, levels, first))
		first += len(levels)
	}
	return q
}

// withheld reports whether split s has so few people that its figures would be some person's: neither they nor how many there are is told.
func (e *evaluation) withheld(s int) bool {
	return splits[s] != All && e.tally.cells[s].n < MinCell
}

// figureName names figure f of a contender.
func (e *evaluation) figureName(f int) string {
	return At(listMetrics[f%len(listMetrics)], e.task.K[f/len(listMetrics)])
}

func (e *evaluation) contender(c int) ContenderQuality {
	out := ContenderQuality{Name: e.contenders[c].Name, Role: e.contenders[c].Role, Tied: e.tied[c]}
	for s, split := range splits {
		for f := range e.figures {
			var est Estimate
			if !e.withheld(s) {
				est = e.tally.estimate(s, c*e.figures+f)
			}
			est.Metric, est.Split = e.figureName(f), split
			out.Estimates = append(out.Estimates, est)
		}
	}
	z := distuv.UnitNormal.Quantile(1 - (1-Confidence)/2)
	for j, k := range e.task.K {
		value, se := e.coverage[c*len(e.task.K)+j].estimate(len(e.rows))
		out.Estimates = append(out.Estimates, Estimate{
			Metric: At(Coverage, k), Split: All, N: len(e.rows), Value: &value, StandardError: finite(se),
			Low: finite(max(0, value-z*se)), High: finite(min(1, value+z*se)),
		})
	}
	return out
}

// mean is the mean of figure f in a cell, NaN if the cell is empty.
func (t *tally) mean(cell, f int) float64 { return t.cells[cell].total[f] / float64(t.cells[cell].n) }

// spread is the standard deviation of figure f in a cell (n − 1).
func (t *tally) spread(cell, f int) float64 {
	c := &t.cells[cell]
	n := float64(c.n)
	return math.Sqrt(max(0, c.square[f]-c.total[f]*c.total[f]/n) / (n - 1))
}

func (t *tally) estimate(cell, f int) Estimate {
	c := &t.cells[cell]
	out := Estimate{N: c.n, Value: finite(t.mean(cell, f))}
	if c.n > 1 {
		low, high, se := interval(means(make([]float64, 0, t.replicates), c.sums[f], c.weight))
		out.Low, out.High, out.StandardError = finite(low), finite(high), finite(se)
	}
	return out
}

// compare compares figure a with figure b in a cell, replicate by replicate.
func (t *tally) compare(cell, a, b int) Comparison {
	c := &t.cells[cell]
	out := Comparison{
		N: c.n, Difference: finite(t.mean(cell, a) - t.mean(cell, b)), Ratio: finite(t.mean(cell, a) / t.mean(cell, b)),
	}
	if c.n < 2 {
		return out
	}
	differences, ratios := make([]float64, 0, t.replicates), make([]float64, 0, t.replicates)
	for r, w := range c.weight {
		if w > 0 {
			differences = append(differences, (c.sums[a][r]-c.sums[b][r])/w)
		}
		if c.sums[b][r] > 0 {
			ratios = append(ratios, c.sums[a][r]/c.sums[b][r])
		}
	}
	out.P = finite(pValue(differences))
	low, high, _ := interval(differences)
	out.Low, out.High = finite(low), finite(high)
	if out.Ratio != nil && len(ratios) >= t.replicates*9/10 { // with the other at zero in many replicates the ratio has no honest interval
		low, high, _ = interval(ratios)
		out.RatioLow, out.RatioHigh = finite(low), finite(high)
	}
	return out
}
