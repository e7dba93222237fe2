package als

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// Where there is a validation window, the model is that of the epoch that was the best for it, trained on everything, byte by byte.
func TestPatienceRehearsesOnTheValidationWindow(t *testing.T) {
	d := dataset(60, groups(rand.New(rand.NewPCG(8, 2)), 120, 60, 4, 25))
	d.Cuts = models.Cuts{Rerank: 70 * day, Validation: 70 * day, Test: 100 * day, End: 100 * day}
	h := Hyper{Dim: 32, Epochs: 12, MinSubjects: 1, Regularization: 1e-4}
	asks, relevant := questions(d, 70*day, 100*day)
	if len(asks) < leastAsked {
		t.Fatalf("%d to ask", len(asks))
	}
	// The oracle trains anew for each number of epochs.
	best, epochs := math.Inf(-1), 0
	for n := 1; n <= h.Epochs; n++ {
		o := h
		o.Epochs = n
		figure, err := ndcg(t.Context(), train(t, d, o, 70*day), d, asks, relevant)
		if err != nil {
			t.Fatal(err)
		}
		if figure > best {
			best, epochs = figure, n
		}
	}
	if epochs == h.Epochs {
		t.Fatalf("the last epoch is the best: nothing to stop at")
	}
	patient := h
	patient.Patience = h.Epochs
	m := train(t, d, patient, 100*day)
	if got := len(m.record.Objective); got != epochs {
		t.Errorf("%d epochs, want %d", got, epochs)
	}
	h.Epochs = epochs
	if want := train(t, d, h, 100*day); !slices.Equal(m.factors, want.factors) {
		t.Error("other vectors than those of as many epochs")
	}
	// Left out, d and λ are those of all events in the rehearsal too.
	ruled := patient
	ruled.Dim, ruled.Regularization = 0, 0
	byRule := train(t, d, ruled, 100*day)
	ruled.Dim, ruled.Regularization = byRule.hyper.Dim, byRule.hyper.Regularization
	if given := train(t, d, ruled, 100*day); !slices.Equal(given.record.Objective, byRule.record.Objective) {
		t.Errorf("by rule %d epochs, with what the rule gives %d", len(byRule.record.Objective), len(given.record.Objective))
	}
	// What comes after the end of training has no say.
	d.Cuts.Validation, d.Cuts.Test = 100*day, 100*day
	if asks, err := (&Trainer{}).rehearse(t.Context(), d, 100*day, 1, patient); asks != 0 || err != nil {
		t.Errorf("a window after the end: %d, %v", asks, err)
	}
}

// Without a window, training stops after `patience` epochs in a row that lower the objective by less than a thousandth.
func TestPatienceStopsOnAPlateau(t *testing.T) {
	d := dataset(60, groups(rand.New(rand.NewPCG(8, 2)), 120, 60, 4, 25))
	h := Hyper{Dim: 4, Epochs: 500, MinSubjects: 1, Regularization: .1, Exponent: 1, Patience: 2}
	got := train(t, d, h, 100*day).record.Objective
	if len(got) == h.Epochs {
		t.Fatal("never stopped")
	}
	idle := 0
	for k := 1; k < len(got); k++ {
		if idle++; got[k] < slices.Min(got[:k])*(1-leastGain) {
			idle = 0
		}
		if (idle >= h.Patience) != (k == len(got)-1) {
			t.Errorf("%d of %d epochs, %d idle: %v", k+1, len(got), idle, got)
		}
	}
	h.Patience = 0
	h.Epochs = len(got)
	if want := train(t, d, h, 100*day).record.Objective; !slices.Equal(want, got) {
		t.Error("other objectives than without patience")
	}
}

// By hand: one relevant item of two stands second: (1/log₂3) / (1 + 1/log₂3).
func TestQuestionsAndFigure(t *testing.T) {
	d := dataset(4, []event{{0, 0, 1, 1}, {0, 1, 12, 1}, {0, 1, 13, 1}, {0, 0, 14, 1}, {1, 2, 12, 1}, {2, 3, 2, 1}})
	asks, relevant := questions(d, 10, 20)
	if len(asks) != 1 || !slices.Equal(relevant[0], []int32{0, 1}) {
		t.Fatalf("%d asked, relevant %v: want subject 0 alone, who came back", len(asks), relevant)
	}
	d.MaskSeen = true
	if asks, relevant = questions(d, 10, 20); len(asks) != 1 || !slices.Equal(relevant[0], []int32{1}) || !slices.Equal(asks[0].Exclude, []int32{0}) {
		t.Fatalf("masked: %d asked, relevant %v", len(asks), relevant)
	}
	m := &Model{hyper: Hyper{Dim: 1, Weight: 1, Regularization: 1}, items: d.Catalog.IDs, factors: []float32{1, 2, 3, 0}, gram: []float64{14}}
	q := d.Query(0, 10, 2)
	got, err := ndcg(t.Context(), m, d, []models.Query{q}, [][]int32{{0, 1}}) // the list is 2, 1
	if want := (1 / math.Log2(3)) / (1 + 1/math.Log2(3)); err != nil || math.Abs(got-want) > 1e-12 {
		t.Errorf("nDCG %g, %v; want %g", got, err, want)
	}
}
