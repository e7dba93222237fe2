package eval

import (
	"math"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/lists"
)

// rich gives a fixture all that figures can be measured by.
func rich(f *fixture) *fixture {
	n := len(f.Catalog.IDs)
	color, price := make([]string, n), make([]float64, n)
	x := Items{Cold: make([]bool, n), Had: make([]int32, n), Subjects: 500}
	premium := ItemGroup{Name: "premium", In: make([]bool, n)}
	for i := range n {
		color[i] = []string{"red", "green", "", "blue"}[i%4]
		price[i] = float64(1 + i*i%37)
		if i%11 == 0 {
			price[i] = math.NaN()
		}
		x.Cold[i], x.Had[i], premium.In[i] = i%7 == 6, int32(max(0, 400-10*i)), i%3 == 0
	}
	c := models.NewCatColumn("color", color)
	f.Catalog = &models.Catalog{IDs: f.Catalog.IDs, Attrs: &models.Attributes{N: n, Cats: []models.CatColumn{c}}}
	stage, err := (&lists.Rules{Diversity: &lists.Diversity{By: []string{"color"}, Weight: 0.2}, Calibrate: &lists.Calibrate{By: "color", Weight: 0.2}}).Bind(f.Catalog, lists.Options{K: f.K[0]})
	if err != nil {
		panic(err) // a test's own rules
	}
	x.Measure = stage
	x.Providers, x.Content = []ItemLevels{Providers("color", c.Levels, c.Values, x.Had)}, []ItemGroup{premium}
	x.Price = &ItemNumber{Name: "price", Of: price}
	f.Items = x
	f.Pool = []string{At(NDCG, f.K[0]), At(Diversity, f.K[0])}
	return f
}
