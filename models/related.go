package models

import (
	"cmp"
	"context"
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
	// of one model. An item of which nothing is known has an empty list, and so has one whose every pair fewer than MinSubjects
	// subjects have in common: no list tells what few people did. A kind that RelatedKinds does not name is an error. It is safe for
	// concurrent use.
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
