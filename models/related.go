package models

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// The kinds of related lists.
const (
	RelatedSimilar  = "similar"  // what may stand in the item's place: liked by the same people, or alike in what it is
	RelatedTogether = "together" // what people take at the same time as the item
)

// Relater is an optional power of a Scorer: the lists that stand beside an item rather than before a person.
type Relater interface {
	// RelatedKinds returns the kinds of lists that the Scorer can make, ascending.
	RelatedKinds() []string
	// Related selects the items that are most related to item into items and scores, which have one length, k, and returns how many
	// there are: best first, ties by the lower position, item itself never among them. Scores are above 0 and comparable within one kind
	// of one model. No list tells what few people did: two items that training learned from are related only if at least MinSubjects
	// subjects chose both, and what an item that it did not learn from is related to follows from attributes alone. An item of which nothing
	// is known has an empty list. A kind that RelatedKinds does not name is an error. It is safe for concurrent use.
	Related(ctx context.Context, kind string, item int32, items []int32, scores []float32) (int, error)
}

// Relaters returns, for each kind of list that one of the parts can make, the part that makes it: of several the one with the greatest
// weight, and of equals the first.
func Relaters(parts []Part) map[string]Relater {
	out, weight := map[string]Relater{}, map[string]float64{}
	for _, p := range parts {
		r, ok := p.Scorer.(Relater)
		if !ok {
			continue
		}
		for _, kind := range r.RelatedKinds() {
			if out[kind] == nil || p.Weight > weight[kind] {
				out[kind], weight[kind] = r, p.Weight
			}
		}
	}
	return out
}

// CheckNeighbours reports the first fault of neighbours that were read from an artifact: item i's are col[off[i]:off[i+1]], ascending, among the
// len(off)−1 items, and never i itself.
func CheckNeighbours(off, col []int32) error {
	n := len(off) - 1
	if off[0] != 0 || int(off[n]) != len(col) {
		return fmt.Errorf("neighbours of items span %d to %d of %d", off[0], off[n], len(col))
	}
	for i := range n {
		lo, hi := off[i], off[i+1]
		if hi < lo || int(hi) > len(col) {
			return fmt.Errorf("the neighbours of item %d end before they begin, or after the last", i)
		}
		for k := lo; k < hi; k++ {
			if c := col[k]; c < 0 || int(c) >= n || int(c) == i || k > lo && col[k-1] >= c {
				return fmt.Errorf("neighbour %d of item %d is out of range, out of order, or the item itself", c, i)
			}
		}
	}
	return nil
}

// Scored is an item and its score.
type Scored struct {
	Item  int32
	Score float32
}

// SelectRelated fills items and scores (of one length) with the best of found, best first and ties by the lower item, and returns their
// number. Entries that are not above 0 are left out. It is for implementations of Related. O(n·log n); found is overwritten.
func SelectRelated(found []Scored, items []int32, scores []float32) int {
	found = slices.DeleteFunc(found, func(s Scored) bool { return !(s.Score > 0) })
	slices.SortFunc(found, func(a, b Scored) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	n := min(len(found), len(items))
	for i, f := range found[:n] {
		items[i], scores[i] = f.Item, f.Score
	}
	return n
}
