package content

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/modelstest"
)

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &Trainer{Hyper: Defaults()}, Load)
}

// shelf is a catalog of four items: two of genre "x", two of "y", one level of its own each in "title", prices 1, 2, 3 and unknown.
func shelf() *models.Catalog {
	return &models.Catalog{IDs: []string{"a", "b", "c", "d"}, Attrs: &models.Attributes{
		N: 4,
		Cats: []models.CatColumn{
			models.NewCatColumn("genre", []string{"x", "x", "y", "y"}),
			models.NewCatColumn("title", []string{"p", "q", "r", "s"}),
		},
		Nums: []models.NumColumn{{Name: "price", Values: []float64{1, 2, 3, math.NaN()}}},
	}}
}

// TestPriorByHand checks the ridge regression of two subjects on one attribute.
func TestPriorByHand(t *testing.T) {
	d := &models.Dataset{
		Catalog: shelf(), Kinds: []string{"buy"},
		Events: models.NewEventLog([]models.Event{
			{Subject: 1, Time: 1, Item: 2, Weight: 1}, // y only
			{Subject: 2, Time: 1, Item: 0, Weight: 1}, // x and the lower price
			{Subject: 2, Time: 2, Item: 3, Weight: 3}, // y, three times as much
			{Subject: 3, Time: 9, Item: 0, Weight: 1}, // after the cut
		}),
		Subjects: &models.Attributes{N: 3, Cats: []models.CatColumn{models.NewCatColumn("age", []string{"", "old", "old"})}},
	}
	train := func(k int) *Model {
		m, err := (&Trainer{Hyper: Hyper{Prior: 1, Ridge: 1, Bins: 2, MinSubjects: k}}).Train(t.Context(), d, 9, 0)
		if err != nil {
			t.Fatal(err)
		}
		return m.(*Model)
	}
	m := train(1)
	if want := []attribute{{"age", "old"}}; !slices.Equal(m.prior.levels, want) {
		t.Fatalf("levels %v", m.prior.levels)
	}
	// Profiles over (x, y, low): p₁ = (0, 1, 0), p₂ = ¼·(r, 0, r) + ¾·(0, 1, 0), r = 1/√2.
	// AᵀA + λ = [2 1; 1 1+1], inverse ⅓·[2 −1; −1 2]; AᵀP = [p₁ + p₂; p₂].
	r := 1 / math.Sqrt2
	p1, p2 := []float64{0, 1, 0, 0}, []float64{r / 4, .75, r / 4, 0}
	for f := range p1 {
		everybody, old := p1[f]+p2[f], p2[f]
		for row, want := range []float64{(2*everybody - old) / 3, (2*old - everybody) / 3} {
			if got := float64(m.prior.row(row, 4)[f]); math.Abs(got-want) > 1e-7 {
				t.Errorf("row %d, feature %d: %v, want %v", row, f, got, want)
			}
		}
	}
	// With k = 2 only the feature y has two subjects, and no attribute level has.
	m = train(2)
	if len(m.prior.levels) != 0 {
		t.Errorf("levels of one subject: %v", m.prior.levels)
	}
	for f, want := range []float64{0, (1 + .75) / 2, 0, 0} {
		if got := float64(m.prior.row(0, 4)[f]); math.Abs(got-want) > 1e-7 {
			t.Errorf("feature %d: %v, want %v", f, got, want)
		}
	}
}

// TestNewItemForNewSubject is what the model is for: attributes alone, on both sides.
func TestNewItemForNewSubject(t *testing.T) {
	d := modelstest.Checkerboard()
	m, err := (&Trainer{Hyper: Defaults()}).Train(t.Context(), d, d.Cuts.Test, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &models.Catalog{IDs: []string{"new-1", "new-2", "new-3"}, Attrs: &models.Attributes{N: 3, Cats: []models.CatColumn{
		models.NewCatColumn("colour", []string{"black", "white", "plaid"}),
	}}}
	s, err := m.Bind(t.Context(), c, []string{"shoe size", "team"})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 6)
	if err := s.Score(t.Context(), []models.Query{{Subject: []string{"44", "home"}}, {Subject: []string{"", "guest"}}}, got); err != nil {
		t.Fatal(err)
	}
	if got[1] <= got[0] || got[3] <= got[4] {
		t.Errorf("home prefers white and guests black: %v", got)
	}
	if got[2] != 0 || got[5] != 0 {
		t.Errorf("an item of an unknown colour scores %v and %v, want 0", got[2], got[5])
	}
}

func TestWithoutItemAttributes(t *testing.T) {
	d := modelstest.Checkerboard()
	d.Catalog.Attrs = nil
	m, err := (&Trainer{Hyper: Defaults()}).Train(t.Context(), d, d.Cuts.Test, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Bind(t.Context(), d.Catalog, d.SubjectColumns())
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, d.Catalog.Len())
	if err := s.Score(t.Context(), []models.Query{d.Query(0, d.Cuts.Test, 1)}, row); err != nil {
		t.Fatal(err)
	}
	if slices.Max(row) != 0 || slices.Min(row) != 0 {
		t.Errorf("scores %v, want 0", row)
	}
}

func TestHyperValidate(t *testing.T) {
	err := Hyper{HalfLife: -1, Prior: -1, Ridge: -1, Bins: -1, MinSubjects: -1}.Validate()
	for _, want := range []string{"half_life", "prior", "ridge", "bins", "min_subjects"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}
