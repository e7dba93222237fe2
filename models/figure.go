package models

import (
	"math"
	"slices"
)

// NDCG returns nDCG@k of a list, best first: Σ 1/log₂(rank+1) over its first k items that are relevant, over the most that any list can have.
// relevant ascends, each item once; 0 if there is none. It is what trainers and their benchmarks choose by; package eval has the figures of reports. O(k·log r).
func NDCG(list, relevant []int32, k int) float64 {
	var got, ideal float64
	for rank := range min(k, len(relevant)) {
		ideal += 1 / math.Log2(float64(rank)+2)
	}
	if ideal == 0 {
		return 0
	}
	for rank, item := range list[:min(k, len(list))] {
		if _, ok := slices.BinarySearch(relevant, item); ok {
			got += 1 / math.Log2(float64(rank)+2)
		}
	}
	return got / ideal
}

// Distinct returns the items, ascending and each once, as Query's lists want them. O(n log n).
func Distinct(items []int32) []int32 {
	out := slices.Clone(items)
	slices.Sort(out)
	return slices.Compact(out)
}
