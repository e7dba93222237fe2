package modelstest

import (
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// LoadedWorks is the property that a fuzz test of a Loader asserts: an artifact of m, whose parts may hold anything, is refused, or what is loaded from
// it can be bound to a catalog that has items of the training and others (b, c, d), scores, explains and lists what stands beside an item.
func LoadedWorks(t *testing.T, m models.Model, load models.Loader, kind string) {
	t.Helper()
	files, _, err := models.Encode(m)
	if err != nil {
		return
	}
	r, err := artifact.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := models.Load(r, map[string]models.Loader{m.Name(): load})
	if err != nil {
		return
	}
	s, err := loaded.Bind(t.Context(), &models.Catalog{IDs: []string{"b", "c", "d"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := models.Query{History: models.History{Item: []int32{0, 1, 2}, Time: []int64{0, 0, 0}, Kind: []uint8{0, 0, 0}, Weight: []float32{1, 1, 1}}}
	if err := s.Score(t.Context(), []models.Query{q}, make([]float32, 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.(models.Explainer).Explain(t.Context(), &q, []int32{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	for item := range int32(3) {
		if _, err := s.(models.Relater).Related(t.Context(), kind, item, make([]int32, 2), make([]float32, 2)); err != nil {
			t.Fatal(err)
		}
	}
}
