package modelstest

import (
	"math"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// without demands of a scorer that tells counterfactuals that they are what the scores would be, and of every scorer that what an item adds can be
// told by scoring anew.
func (s *suite) without(t *testing.T) {
	d := Checkerboard()
	sc := bind(t, s.train(t, d), d.Catalog, d.SubjectColumns())
	every, got := make([]int32, items), make([]float64, items)
	for i := range every {
		every[i] = int32(i)
	}
	_, able := sc.(models.Counterfactual)
	for row := range 6 {
		q := d.Query(row, d.Cuts.Test, 5)
		for _, gone := range []int32{q.History.Item[0], q.History.Item[3], q.Without(q.History.Item[0]).History.Item[1]} {
			want := score(t, sc, items, []models.Query{q.Without(gone)})
			if err := models.ScoresWithout(t.Context(), sc, items, &q, gone, every, got); err != nil {
				t.Fatal(err)
			}
			for i, v := range want {
				if math.Abs(got[i]-float64(v)) > 1e-5*max(1, math.Abs(float64(v))) {
					t.Errorf("query %d without item %d: item %d scores %v, and %v when it is really gone", row, gone, i, got[i], v)
				}
			}
		}
		if able {
			if err := models.ScoresWithout(t.Context(), sc, items, &q, items, every, got); err == nil {
				t.Errorf("item %d of a catalog of %d was taken away", items, items)
			}
		}
	}
}
