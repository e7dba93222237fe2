package eval

import (
	"math"
	"slices"
)

// providers adds the exposure of groups of items in the lists of the first length.
func (e *evaluation) providers(q *Quality, r *resampled) {
	first := 0
	for _, p := range e.task.Items.Providers {
		levels := append(slices.Clone(p.Levels), Missing)
		x := ProviderQuality{Attribute: p.Name, K: e.task.K[0]}
		catalog, had := p.targets(e.task.Items.Had)
		for c, contender := range e.contenders {
			if e.layout.exposed[c] >= 0 {
				x.Figures = append(x.Figures, r.exposure(contender.Name, levels, e.layout.exposed[c]+first, catalog, had))
			}
		}
		for l := range levels {
			items := 0
			for _, of := range p.Of {
				if int(of) == l || (of < 0 && l == len(p.Levels)) {
					items++
				}
			}
			g := ProviderLevel{Level: levels[l], Items: items, Catalog: finite(catalog[l])}
			if had != nil {
				g.Taken = finite(had[l])
			}
			x.Levels = append(x.Levels, g)
		}
		q.Providers = append(q.Providers, x)
		first += len(levels)
	}
}

// targets are the shares by level, the last of which is Missing: of the items, and of what subjects had in the training window (nil: not known).
func (p *ItemLevels) targets(had []int32) (catalog, taken []float64) {
	catalog = make([]float64, len(p.Levels)+1)
	if had != nil {
		taken = make([]float64, len(p.Levels)+1)
	}
	for i, l := range p.Of {
		if l < 0 {
			l = int32(len(p.Levels))
		}
		catalog[l]++
		if had != nil {
			taken[l] += float64(had[i])
		}
	}
	if normalize(catalog); !normalize(taken) {
		taken = nil
	}
	return catalog, taken
}

// normalize divides x by its sum, and reports whether that is above 0.
func normalize(x []float64) bool {
	var sum float64
	for _, v := range x {
		sum += v
	}
	if sum <= 0 {
		return false
	}
	for i := range x {
		x[i] /= sum
	}
	return true
}

// exposure is a contender's exposure by level, the columns from at on.
func (r *resampled) exposure(contender string, levels []string, at int, catalog, taken []float64) ProviderFigure {
	out := ProviderFigure{Contender: contender, N: r.n}
	n := len(levels)
	shares := slices.Clone(r.total[at-r.from:][:n])
	if !normalize(shares) {
		return out
	}
	// The same from every replicate: share by level, then the figures of all levels.
	var replicated [][]float64
	one := make([]float64, n)
	for b := range r.replicates {
		for l := range n {
			one[l] = r.of(at + l)[b]
		}
		if normalize(one) {
			replicated = append(replicated, slices.Clone(one))
		}
	}
	figure := func(of func(shares []float64) float64) Figure {
		f := Figure{Value: finite(of(shares))}
		if r.n > 1 && f.Value != nil {
			values := make([]float64, 0, len(replicated))
			for _, s := range replicated {
				if v := of(s); !math.IsNaN(v) && !math.IsInf(v, 0) {
					values = append(values, v)
				}
			}
			low, high, _ := interval(values)
			f.Low, f.High = finite(low), finite(high)
		}
		return f
	}
	out.AWRFCatalog = figure(func(s []float64) float64 { return awrf(s, catalog) })
	if taken != nil {
		out.AWRFTaken = figure(func(s []float64) float64 { return awrf(s, taken) })
		out.ExposureRatio = figure(func(s []float64) float64 { return exposureRatio(s, taken) })
	}
	for l, level := range levels {
		e := LevelExposure{Level: level, Share: figure(func(s []float64) float64 { return s[l] })}
		if taken != nil {
			e.Ratio = figure(func(s []float64) float64 { return s[l] / taken[l] })
		}
		out.Levels = append(out.Levels, e)
	}
	return out
}

// awrf is attention-weighted rank fairness: 1 − the squared Jensen–Shannon distance, base 2, of two distributions (Sapiezynski et al. 2019; Raj & Ekstrand
// 2022). 1: they are the same; 0: they share no level.
func awrf(exposure, target []float64) float64 {
	var js float64
	for l, p := range exposure {
		q := target[l]
		m := (p + q) / 2
		if p > 0 {
			js += p / 2 * math.Log2(p/m)
		}
		if q > 0 {
			js += q / 2 * math.Log2(q/m)
		}
	}
	return min(1, 1-js)
}

// exposureRatio is the smallest over the largest share of exposure per share of the target, of the levels that the target has. NaN with fewer than two.
func exposureRatio(exposure, target []float64) float64 {
	lo, hi, n := math.Inf(1), math.Inf(-1), 0
	for l, t := range target {
		if t > 0 {
			lo, hi, n = min(lo, exposure[l]/t), max(hi, exposure[l]/t), n+1
		}
	}
	if n < 2 || hi == 0 {
		return math.NaN()
	}
	return lo / hi
}
