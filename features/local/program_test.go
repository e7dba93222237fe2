package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/features"
)

// What states hold, and where, is the same whenever views are compiled, though weights come in the order of a map: a night reads what the one before has written.
func TestLayoutIsTheSameEachTime(t *testing.T) {
	day := []time.Duration{24 * time.Hour}
	views := []features.View{
		{Name: "a", Key: features.KeyItem, Windows: day, Features: []features.Feature{
			{Name: "score", Op: features.Sum, Weights: map[string]float64{"buy": 4, "cart": 3, "like": 2, "view": 1}},
		}},
		{Name: "b", Key: features.KeySubject, Windows: day, Features: []features.Feature{
			{Name: "n", Op: features.Count, Kinds: []string{"like", "buy", "cart"}},
			{Name: "p", Op: features.ShareOf, Share: []string{"buy", "cart", "like"}},
			{Name: "q", Op: features.ShareOf, Share: []string{"cart", "like", "buy"}},
		}},
	}
	if err := features.Validate(views); err != nil {
		t.Fatal(err)
	}
	first := ""
	for range 50 {
		p, err := compile(views, nil, time.UnixMicro(0), use{timed: true})
		if err != nil {
			t.Fatal(err)
		}
		c := p.groups[1].classes[0]
		if len(c.counters) != 2 {
			t.Fatalf("%d counters: all events, and those that a count and two shares have in common, are two", len(c.counters))
		}
		layout := fmt.Sprint(c, p.lanes, p.groups[1].preds)
		if first == "" {
			first = layout
		}
		if layout != first {
			t.Fatalf("one time\n%s\nanother\n%s", first, layout)
		}
	}
}
