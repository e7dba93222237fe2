package jobs

import (
	"math"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// TestHaving: what somebody wants left out may be of an attribute that holds numbers, or of none: nobody's wish ends everybody's night.
func TestHaving(t *testing.T) {
	c := &models.Catalog{IDs: []string{"a", "b", "c", "d"}, Attrs: &models.Attributes{
		N:    4,
		Cats: []models.CatColumn{models.NewCatColumn("category", []string{"tea", "", "gift", "tea"})},
		Nums: []models.NumColumn{{Name: "price", Values: []float64{5, 2.5, math.NaN(), 5}}},
	}}
	d := &dataset{Dataset: models.Dataset{Catalog: c}}
	for x, want := range map[string][]int32{
		"category=tea": {0, 3}, "category=book": nil, "category=": nil, "colour=red": nil,
		"price=5": {0, 3}, "price=5.00": {0, 3}, "price=2.5": {1}, "price=cheap": nil, "price=NaN": nil, "price=": nil,
	} {
		for range 2 { // the second time from memory
			if got := d.having(x); !slices.Equal(got, want) {
				t.Errorf("%s: items %v, want %v", x, got, want)
			}
		}
	}
}
