package modelstest

import (
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// related demands of all who make related lists that these name a pair of items that enough subjects have in common, by default 11, and none of fewer: one that is
// as good in everything else, but for one subject, stays out. Items have no attributes, by which they could be alike.
func (s *suite) related(t *testing.T) {
	d, common := fewInCommon(s.common)
	m := s.train(t, d)
	sc := bind(t, m, d.Catalog, nil)
	parts := []models.Part{{Name: m.Name(), Weight: 1, Scorer: sc}}
	if c, ok := m.(models.Composite); ok {
		var err error
		if parts, err = c.BindParts(t.Context(), d.Catalog, nil); err != nil {
			t.Fatal(err)
		}
	}
	n := d.Catalog.Len()
	for kind, maker := range models.Relaters(parts) {
		named := map[[2]int32]bool{}
		for item := range int32(n) {
			list, scores := make([]int32, n), make([]float32, n)
			found, err := maker.Related(t.Context(), kind, item, list, scores)
			if err != nil {
				t.Fatal(err)
			}
			for r, other := range list[:found] {
				named[[2]int32{min(item, other), max(item, other)}] = true
				if both := common[item][other]; other == item || both < s.common {
					t.Errorf("%s: item %d beside %d: %d subjects have both", kind, other, item, both)
				}
				if !(scores[r] > 0) || r > 0 && scores[r] > scores[r-1] {
					t.Errorf("%s of item %d: score %v at place %d after %v", kind, item, scores[r], r, scores[:r])
				}
			}
		}
		if !named[[2]int32{0, 1}] {
			t.Errorf("%s: items 0 and 1, which %d subjects took together, are not related: %v", kind, common[0][1], named)
		}
	}
}

// fewInCommon returns a data set, and how many subjects have two of its items in common: k have items 0 and 1, always at one time, and k−1 have items 2
// and 3, likewise. Each of the four is chosen by a dozen others, along with one of a few more items.
func fewInCommon(k int) (*models.Dataset, [8][8]int) {
	var evs []models.Event
	var common [8][8]int
	subject := 0
	choose := func(chosen ...int32) {
		at := base + int64(subject%40)*day
		for _, i := range chosen {
			evs = append(evs, models.Event{Subject: number(subject), Item: i, Time: at, Weight: 1})
			for _, j := range chosen {
				common[i][j]++
			}
		}
		// What comes later is not learned from, but what is learned may be judged by it.
		for _, at := range []int64{cuts.Rerank, cuts.Validation, cuts.Test} {
			evs = append(evs, models.Event{Subject: number(subject), Item: int32(4 + subject%4), Time: at, Weight: 1})
		}
		for _, i := range chosen {
			if other := int32(4 + subject%4); other != i {
				common[i][other]++
				common[other][i]++
			}
		}
		subject++
	}
	for range k {
		choose(0, 1)
	}
	for range k - 1 {
		choose(2, 3)
	}
	for i := range int32(4) {
		for range 12 {
			choose(i)
		}
	}
	for range 40 {
		choose(4 + int32(subject%4))
	}
	d := &models.Dataset{Kinds: []string{"choose"}, Cuts: cuts, Catalog: &models.Catalog{IDs: catalog(8).IDs}, Events: models.NewEventLog(evs)}
	return d, common
}
