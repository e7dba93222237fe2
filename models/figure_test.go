package models

import (
	"math"
	"slices"
	"testing"
)

func TestNDCG(t *testing.T) {
	at := func(rank float64) float64 { return 1 / math.Log2(rank+1) }
	for _, c := range []struct {
		list, relevant []int32
		k              int
		want           float64
	}{
		{[]int32{7, 2, 5}, []int32{2, 5}, 3, (at(2) + at(3)) / (at(1) + at(2))},
		{[]int32{7, 2, 5}, []int32{2, 5}, 2, at(2) / (at(1) + at(2))},
		{[]int32{5}, []int32{2, 5, 9}, 2, at(1) / (at(1) + at(2))}, // a short list is judged by what a whole one could hold
		{[]int32{1, 3}, []int32{3}, 10, at(2)},
		{[]int32{1, 3}, nil, 10, 0},
		{nil, []int32{3}, 10, 0},
	} {
		if got := NDCG(c.list, c.relevant, c.k); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("NDCG of %v, relevant %v, k %d is %v, want %v", c.list, c.relevant, c.k, got, c.want)
		}
	}
}

func TestDistinct(t *testing.T) {
	items := []int32{3, 1, 3, 2, 1}
	if got := Distinct(items); !slices.Equal(got, []int32{1, 2, 3}) || items[0] != 3 {
		t.Errorf("%v, of %v", got, items)
	}
}
