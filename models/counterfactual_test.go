package models

import (
	"reflect"
	"slices"
	"testing"
)

func TestWithoutTakesAnItemsEventsOut(t *testing.T) {
	q := Query{At: 9, K: 3, History: History{
		Item: []int32{4, 2, 4, 7}, Time: []int64{1, 2, 3, 4}, Kind: []uint8{0, 1, 0, 1}, Weight: []float32{1, 2, 3, 4},
	}}
	got := q.Without(4)
	want := History{Item: []int32{2, 7}, Time: []int64{2, 4}, Kind: []uint8{1, 1}, Weight: []float32{2, 4}}
	if !reflect.DeepEqual(got.History, want) || got.At != 9 || got.K != 3 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(q.History.Item) != 4 || q.History.Item[1] != 2 {
		t.Errorf("the query itself was changed: %+v", q.History)
	}
	if got = q.Without(5); !slices.Equal(got.History.Item, q.History.Item) {
		t.Errorf("an item that is not there: %v", got.History.Item)
	}
	q.History.Context = []Context{1, 2, 3, 4}
	if got = q.Without(4); !slices.Equal(got.History.Context, []Context{2, 4}) {
		t.Errorf("contexts %v", got.History.Context)
	}
}

// Doubts of parts are those of the whole, each once, and a part that counts for nothing raises none.
func TestDoubtsAddUp(t *testing.T) {
	part := func(doubts ...Doubt) *Attribution {
		a := NewAttribution(2, nil)
		for _, d := range doubts {
			a.Doubt(1, d)
		}
		return a
	}
	sum := Sum([]float64{1, 2, 0}, []*Attribution{part(NewItem, FewEvents), part(NewItem), part("never")})
	if len(sum.Doubts) != 2 || sum.Doubts[0] != nil || !slices.Equal(sum.Doubts[1], []Doubt{FewEvents, NewItem}) {
		t.Errorf("doubts %v", sum.Doubts)
	}
	if got := sum.Explanation(1).Doubts; !slices.Equal(got, []Doubt{FewEvents, NewItem}) {
		t.Errorf("explained with doubts %v", got)
	}
	if sum = Sum([]float64{1}, []*Attribution{part()}); sum.Doubts != nil {
		t.Errorf("doubts of nothing: %v", sum.Doubts)
	}
}

type knows struct {
	Model
	items []string
}

func (k knows) Items() []string { return k.items }

func TestKnownItems(t *testing.T) {
	got := KnownItems(knows{items: []string{"b", "d"}}, struct{ Model }{}, knows{items: []string{"a", "b"}})
	if !slices.Equal(got, []string{"a", "b", "d"}) {
		t.Errorf("got %v", got)
	}
}
