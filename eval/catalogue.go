package eval

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// cover counts the distinct items over lists, and for the jackknife the lists that alone hold an item.
type cover struct {
	owner    []int32 // an item: 0 in no list, −1 in several, else 1 + the only list
	distinct int
}

func (c *cover) add(items []int32, list int32) {
	for _, i := range items {
		switch {
		case c.owner[i] == 0:
			c.owner[i] = list + 1
			c.distinct++
		case c.owner[i] != list+1:
			c.owner[i] = -1
		}
	}
}

// estimate returns the share of the catalog covered by n lists, and the delete-one jackknife's standard error of it. Leaving list q out loses the f_q
// items that it alone holds, so that with C₍q₎ = (distinct − f_q)/items the variance (n−1)/n · Σ(C₍q₎ − C̄)² is
//
//	(n−1)/n · (Σf_q² − (Σf_q)²/n) / items²
//
// (Efron & Stein 1981: biased upward, hence on the safe side.)
func (c *cover) estimate(n int) (value, se float64) {
	items := float64(len(c.owner))
	alone := map[int32]int{}
	for _, o := range c.owner {
		if o > 0 {
			alone[o]++
		}
	}
	var sum, squares int // integers: the order of the map does not matter
	for _, f := range alone {
		sum += f
		squares += f * f
	}
	value = float64(c.distinct) / items
	if n < 2 {
		return value, math.NaN()
	}
	v := float64(squares) - float64(sum)*float64(sum)/float64(n)
	return value, math.Sqrt(max(0, v)*float64(n-1)/float64(n)) / items
}

// shelves is into how many parts subjects are divided for the jackknife of Gini.
const shelves = 20

// shelf counts in how many lists each item stands, by part of the subjects.
type shelf struct {
	items int
	held  []uint32 // part-major
	lists [shelves]int
}

func newShelf(items int) shelf { return shelf{items: items, held: make([]uint32, shelves*items)} }

func (s *shelf) add(list []int32, bucket int) {
	part := bucket % shelves
	s.lists[part]++
	held := s.held[part*s.items:][:s.items]
	for _, i := range list {
		held[i]++
	}
}

// estimate returns the Gini coefficient of the places that items have, and its interval from the jackknife that leaves out one part of the subjects after
// another, with Student's t for as many parts (Kott 2001). NaN where there are fewer than two parts with lists. A bootstrap would not do: a sample of it
// holds fewer distinct lists, and so spreads over fewer items.
func (s *shelf) estimate() (value, low, high, se float64) {
	whole := make([]uint64, s.items)
	for part := range shelves {
		for i, n := range s.held[part*s.items:][:s.items] {
			whole[i] += uint64(n)
		}
	}
	scratch := slices.Clone(whole)
	value, se = gini(scratch), math.NaN()
	var without []float64
	for part := range shelves {
		if s.lists[part] == 0 {
			continue
		}
		copy(scratch, whole)
		for i, n := range s.held[part*s.items:][:s.items] {
			scratch[i] -= uint64(n)
		}
		without = append(without, gini(scratch))
	}
	parts := float64(len(without))
	if len(without) < 2 {
		return value, math.NaN(), math.NaN(), se
	}
	var mean, squares float64
	for _, g := range without {
		mean += g / parts
	}
	for _, g := range without {
		squares += (g - mean) * (g - mean)
	}
	se = math.Sqrt(squares * (parts - 1) / parts)
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: parts - 1}.Quantile(1-(1-Confidence)/2) * se
	return value, max(0, value-half), min(1, value+half), se
}

// gini sorts x and returns its Gini coefficient, NaN of nothing.
func gini(x []uint64) float64 {
	slices.Sort(x)
	n := float64(len(x))
	var sum, weighted float64
	for i, v := range x {
		sum += float64(v)
		weighted += (2*float64(i+1) - n - 1) * float64(v)
	}
	return weighted / (n * sum)
}
