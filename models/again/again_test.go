package again_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/again"
	"github.com/rapport-ml/rapport/models/modelstest"
)

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &again.Trainer{Hyper: again.Defaults()}, again.Load)
}

const day = int64(24 * 3600 * 1e6) // µs

// TestByHand checks the formula with k = 2. Two subjects chose a, and both came back to it: one after 4 days, one after 9. b has
// one subject and shares the pooled values.
func TestByHand(t *testing.T) {
	d := &models.Dataset{
		Catalog: &models.Catalog{IDs: []string{"a", "b"}},
		Kinds:   []string{"buy"},
		Events: models.NewEventLog([]models.Event{
			{Subject: 1, Time: 0, Item: 0, Weight: 1},
			{Subject: 1, Time: 4 * day, Item: 0, Weight: 1},
			{Subject: 2, Time: 0, Item: 0, Weight: 1},
			{Subject: 2, Time: 9 * day, Item: 0, Weight: 1},
			{Subject: 2, Time: 9 * day, Item: 0, Weight: 1}, // the same receipt: no return
			{Subject: 3, Time: 9 * day, Item: 1, Weight: 1},
		}),
		Cuts: models.Cuts{End: 100 * day},
	}
	h := again.Hyper{HalfLife: 10 * 24 * time.Hour, Depletion: 0.5, MinSubjects: 2}
	m, err := (&again.Trainer{Hyper: h}).Train(t.Context(), d, 100*day, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Bind(t.Context(), d.Catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Pooled: 2 of 3 (subject, item) pairs returned, gaps 4 and 9 days, geometric mean 6.
	// Item a, shrunk by two pooled subjects: rate (2·⅔ + 2)/(2 + 2) = ⅚; log gap (2·ln 6 + ln 4 + ln 9)/4 = ln 6.
	q := models.Query{At: 20 * day, History: models.History{
		Item: []int32{0, 1, 0}, Time: []int64{0, 8 * day, 10 * day}, Kind: make([]uint8, 3), Weight: []float32{1, 3, 1},
	}}
	// a: 2^−2 + 2^−1 = ¾; its gaps: 6 (item) and 10 (own): g = √60 days; 10 days have passed.
	a := 5. / 6 * (1 - .5*math.Exp2(-10/math.Sqrt(60))) * .75
	// b: 3·2^−1.2; g = 6 days (pooled); 12 have passed: 1 − ½·¼ = ⅞.
	b := 2. / 3 * (7. / 8) * 3 * math.Exp2(-1.2)
	got := make([]float32, 2)
	if err := s.Score(t.Context(), []models.Query{q}, got); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{a, b} {
		if math.Abs(float64(got[i])-want) > 1e-6*want {
			t.Errorf("item %d scores %v, want %v", i, got[i], want)
		}
	}
}

// TestDueRises shows that, decay apart, an item becomes the more due the longer ago it was chosen.
func TestDueRises(t *testing.T) {
	d := modelstest.Checkerboard()
	m, err := (&again.Trainer{Hyper: again.Hyper{Depletion: 0.9}}).Train(t.Context(), d, d.Cuts.Test, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Bind(t.Context(), d.Catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	row, last := make([]float32, d.Catalog.Len()), float32(0)
	for days := range int64(60) {
		q := models.Query{At: d.Cuts.Test + days*day, History: models.History{Item: []int32{4}, Time: []int64{d.Cuts.Test}, Kind: []uint8{0}, Weight: []float32{1}}}
		if err := s.Score(t.Context(), []models.Query{q}, row); err != nil {
			t.Fatal(err)
		}
		if row[4] <= last {
			t.Fatalf("after %d days the score is %v, a day before it was %v", days, row[4], last)
		}
		last = row[4]
	}
}

func TestNothingToLearnFrom(t *testing.T) {
	d := &models.Dataset{Catalog: &models.Catalog{IDs: []string{"a"}}, Events: models.NewEventLog(nil)}
	m, err := (&again.Trainer{Hyper: again.Defaults()}).Train(t.Context(), d, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := models.Encode(m); err != nil {
		t.Error(err)
	}
}

func TestHyperValidate(t *testing.T) {
	err := again.Hyper{HalfLife: -1, Depletion: 1, MinSubjects: -1}.Validate()
	for _, want := range []string{"half_life", "depletion", "min_subjects"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
	if err := (again.Hyper{Depletion: math.NaN()}).Validate(); err == nil {
		t.Error("NaN is a depletion")
	}
	if err := again.Defaults().Validate(); err != nil {
		t.Error(err)
	}
}
