package popular_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/modelstest"
	"github.com/rapport-ml/rapport/models/popular"
)

func TestConformance(t *testing.T) {
	modelstest.TestTrainer(t, &popular.Trainer{Hyper: popular.Defaults()}, popular.Load, modelstest.SameForEverybody())
}

// TestByHand checks three items, two subjects and a half-life of 10 µs at the cut 30.
func TestByHand(t *testing.T) {
	d := &models.Dataset{
		Catalog: &models.Catalog{IDs: []string{"a", "b", "c", "d"}},
		Kinds:   []string{"buy"},
		Events: models.NewEventLog([]models.Event{
			{Subject: 1, Time: 20, Item: 1, Weight: 1}, // ½, the subject's strongest
			{Subject: 1, Time: 10, Item: 1, Weight: 1}, // ¼, counts no more
			{Subject: 2, Time: 10, Item: 0, Weight: 1}, // ¼
			{Subject: 2, Time: 20, Item: 2, Weight: 2}, // 1, the subject's strongest
			{Subject: 2, Time: 30, Item: 0, Weight: 9}, // at the cut: not seen
		}),
		Cuts: models.Cuts{End: 30},
	}
	for _, c := range []struct {
		minSubjects int
		want        []float64
	}{
		// Both subjects' strongest: ½ + 1.
		{1, []float64{.25 / 1.5, .5 / 1.5, 1 / 1.5, 0}},
		// Nobody is told apart: the mean.
		{2, []float64{1.75 / 1.5 / 4, 1.75 / 1.5 / 4, 1.75 / 1.5 / 4, 1.75 / 1.5 / 4}},
	} {
		trainer := &popular.Trainer{Hyper: popular.Hyper{HalfLife: 10 * time.Microsecond, MinSubjects: c.minSubjects}}
		m, err := trainer.Train(t.Context(), d, 30, 0)
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.Bind(t.Context(), d.Catalog, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 4)
		if err := s.Score(t.Context(), make([]models.Query, 1), got); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if math.Abs(float64(got[i])-c.want[i]) > 1e-7 {
				t.Errorf("min_subjects %d: item %d scores %v, want %v", c.minSubjects, i, got[i], c.want[i])
			}
		}
	}
}

// TestRareItemsAreNotStored looks for the ids of items of fewer than MinSubjects subjects.
func TestRareItemsAreNotStored(t *testing.T) {
	d := modelstest.Checkerboard()
	d.Catalog.IDs = append(d.Catalog.IDs, "rare")
	d.Catalog.Attrs = nil
	events := []models.Event{{Subject: 5, Time: d.Cuts.Base, Item: int32(len(d.Catalog.IDs) - 1), Weight: 1}}
	for s, subject := range d.Events.Subjects {
		h := d.Events.Subject(s)
		for i := range h.Item {
			events = append(events, models.Event{Subject: subject, Time: h.Time[i], Item: h.Item[i], Weight: 1})
		}
	}
	d.Events, d.Subjects = models.NewEventLog(events), nil
	m, err := (&popular.Trainer{Hyper: popular.Defaults()}).Train(t.Context(), d, d.Cuts.Test, 0)
	if err != nil {
		t.Fatal(err)
	}
	files, _, err := models.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if strings.Contains(string(data), "rare") {
			t.Errorf("%s holds an item of one subject", name)
		}
	}
	if !strings.Contains(string(files["model.json"]), d.Catalog.IDs[0]) {
		t.Errorf("the item %q of many subjects is not there either", d.Catalog.IDs[0])
	}
}

func TestHyperValidate(t *testing.T) {
	err := popular.Hyper{HalfLife: -1, MinSubjects: -1}.Validate()
	if err == nil || !strings.Contains(err.Error(), "half_life") || !strings.Contains(err.Error(), "min_subjects") {
		t.Errorf("got %v", err)
	}
	if err := popular.Defaults().Validate(); err != nil {
		t.Error(err)
	}
	if _, err := (&popular.Trainer{Hyper: popular.Hyper{HalfLife: -1}}).Train(t.Context(), modelstest.Checkerboard(), 0, 0); err == nil {
		t.Error("trained with a negative half-life")
	}
}
