package drift

import (
	"cmp"
	"math"
	"slices"
)

// jensenShannon is the Jensen–Shannon distance √(½ KL(p‖m) + ½ KL(q‖m)), m = (p+q)/2, natural logarithm: 0 to √ln 2 ≈ 0.8326.
func jensenShannon(p, q []float64) float64 {
	var sum float64
	for i := range p {
		m := (p[i] + q[i]) / 2
		if p[i] > 0 {
			sum += p[i] / 2 * math.Log(p[i]/m)
		}
		if q[i] > 0 {
			sum += q[i] / 2 * math.Log(q[i]/m)
		}
	}
	return math.Sqrt(max(0, sum))
}

// psiFloor stands for an empty bin's share, as a logarithm of zero has no value (Evidently's choice).
const psiFloor = 1e-4

// populationStability is the population stability index Σ (p − q)·ln(p/q).
func populationStability(p, q []float64) float64 {
	var sum float64
	for i := range p {
		a, b := max(p[i], psiFloor), max(q[i], psiFloor)
		sum += (a - b) * math.Log(a/b)
	}
	return sum
}

// wasserstein is ∫|F_p − F_q| for values spread evenly within their bins: exact for the binned distributions. The difference of two
// distribution functions is then linear within a bin; where it changes its sign from a to b over a width w, the area is w(a² + b²)/(2(|a| + |b|)).
func wasserstein(p, q, edges []float64) float64 {
	var area, at float64
	for i := range p {
		next := at + p[i] - q[i]
		w, a, b := edges[i+1]-edges[i], math.Abs(at), math.Abs(next)
		switch {
		case at*next >= 0:
			area += w * (a + b) / 2
		default:
			area += w * (a*a + b*b) / (2 * (a + b))
		}
		at = next
	}
	return area
}

// adjust returns the p-values adjusted for how many there are (Benjamini & Hochberg 1995): those at most α have a false discovery rate of α.
// NaNs are tests that were not made; they count for nothing and stay NaN. O(n log n).
func adjust(p []float64) []float64 {
	out := slices.Clone(p)
	var made []int
	for i, x := range p {
		if x == x {
			made = append(made, i)
		}
	}
	slices.SortFunc(made, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	// From the largest p down: the adjusted value is the least of p·tests/rank so far, rank counting the values at most p.
	least := 1.0
	for k, i := range made {
		least = min(least, p[i]*float64(len(made))/float64(len(made)-k))
		out[i] = least
	}
	return out
}
