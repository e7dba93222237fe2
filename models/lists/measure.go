package lists

import (
	"math"

	"github.com/rapport-ml/rapport/models"
)

// Diversity returns how unlike the items of a list are: the mean of 1 − Similarity over its pairs. ok is false without a pair, or where the
// rules name nothing to compare items by. O(items²).
func (s *Stage) Diversity(items []int32) (value float64, ok bool) {
	n := len(items)
	if n < 2 || s.rules.Diversity == nil {
		return 0, false
	}
	var sum float64
	for i, a := range items {
		for _, b := range items[:i] {
			sum += 1 - s.Similarity(a, b)
		}
	}
	return sum / float64(n*(n-1)/2), true
}

// Divergence returns KL(p ‖ .99q + .01p) of a list's spread q from the history's p, in nats: 0 if both are one (Steck 2018). ok is false without
// the attribute, and where the history or the list has no item with a level.
func (s *Stage) Divergence(q *models.Query, items []int32) (value float64, ok bool) {
	f := filler{s: s}
	if !f.target(q) {
		return 0, false
	}
	n := 0
	for _, i := range items {
		if l := s.spread.Values[i]; l >= 0 {
			f.q[l]++
			n++
		}
	}
	if n == 0 {
		return 0, false
	}
	for _, l := range f.levels {
		p := f.p[l]
		value += p * math.Log(p/((1-smoothing)*f.q[l]/float64(n)+smoothing*p))
	}
	return max(0, value), true
}
