package als

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
	"github.com/rapport-ml/rapport/models/artifact"
)

// A warm start begins where the parent ended: its first objective is below that of a cold start, and near the parent's last. Items that the
// parent does not know are drawn, and a parent of other dimensions changes nothing.
func TestWarmStart(t *testing.T) {
	events := groups(rand.New(rand.NewPCG(8, 2)), 120, 60, 4, 25)
	d := dataset(61, append(events, event{3, 60, 5 * day, 1}, event{4, 60, 5 * day, 1}))
	h := Hyper{Dim: 16, Epochs: 6, MinSubjects: 1, Regularization: .01}
	parent := train(t, dataset(60, events), h, 200*day)
	h.Epochs = 1
	warm, err := (&Trainer{Hyper: h, Parent: parent}).Train(t.Context(), d, 200*day, 42)
	if err != nil {
		t.Fatal(err)
	}
	cold, last := train(t, d, h, 200*day), parent.record.Objective[5]
	if got := warm.(*Model).record.Objective[0]; got >= cold.record.Objective[0] || got > last*1.02 {
		t.Errorf("objective %g after one epoch, cold %g, the parent's last %g", got, cold.record.Objective[0], last)
	}
	if r := warm.(*Model).record; !r.Warm || cold.record.Warm {
		t.Error("the artifact does not say that it was a warm start, or says so of a cold one")
	}
	// A parent that knows what comes after the end of training would tell it.
	early, err := (&Trainer{Hyper: h, Parent: parent}).Train(t.Context(), d, 199*day, 42)
	if err != nil {
		t.Fatal(err)
	}
	if want := train(t, d, h, 199*day); !slices.Equal(early.(*Model).factors, want.factors) {
		t.Error("a parent of a later time changes the vectors")
	}
	h.Dim = 8
	other, err := (&Trainer{Hyper: h, Parent: parent}).Train(t.Context(), d, 200*day, 42)
	if err != nil {
		t.Fatal(err)
	}
	if want := train(t, d, h, 200*day); !slices.Equal(other.(*Model).factors, want.factors) {
		t.Error("a parent of other dimensions changes the vectors")
	}
}

// A line of warm starts: each ends as soon as an epoch gains no more than the last of the cold one did, at an objective that is no worse than a
// cold training's of all epochs, and a second run gives the same bytes.
func TestWarmStartEndsWhereTheColdOneDid(t *testing.T) {
	all := groups(rand.New(rand.NewPCG(8, 2)), 300, 80, 4, 25)
	h := Hyper{Dim: 16, Epochs: 8, Regularization: .01, WarmStart: true, MinSubjects: 1}
	slices.SortStableFunc(all, func(a, b event) int { return int(a.time - b.time) })
	last := all[len(all)-1].time
	d := dataset(80, all)
	parent := train(t, d, h, last*7/10)
	settled, ok := parent.record.lastGain()
	if !ok || len(parent.record.Objective) != h.Epochs {
		t.Fatalf("%d epochs of a cold start", len(parent.record.Objective))
	}
	for step := int64(8); step <= 10; step++ {
		until := last * step / 10
		cold := train(t, d, h, until)
		m, err := (&Trainer{Hyper: h}).From(parent).Train(t.Context(), d, until, 42)
		if err != nil {
			t.Fatal(err)
		}
		again, err := (&Trainer{Hyper: h}).From(reload(t, parent)).Train(t.Context(), d, until, 42)
		if err != nil {
			t.Fatal(err)
		}
		warm := m.(*Model)
		_, one := encoded(t, warm)
		if _, two := encoded(t, again.(*Model)); one != two {
			t.Error("the same warm start gives other bytes from a parent that was read back")
		}
		if warm.record.Settled != max(settled, leastSettled) {
			t.Errorf("a training of the line ends at a gain of %g, the first one's was %g", warm.record.Settled, settled)
		}
		got, want := warm.record.Objective, cold.record.Objective
		if len(got) >= len(want) || got[len(got)-1] > want[len(want)-1]*(1+settled) {
			t.Errorf("until %d: %d epochs to %g, cold %d to %g", until, len(got), got[len(got)-1], len(want), want[len(want)-1])
		}
		for k := 2; k < len(got); k++ {
			if (got[k-2]-got[k-1])/got[k-1] <= warm.record.Settled {
				t.Errorf("it went on after epoch %d had gained nothing: %v", k, got)
			}
		}
		parent = warm
	}
}

func reload(t *testing.T, m *Model) models.Model {
	t.Helper()
	files, _ := encoded(t, m)
	r, err := artifact.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	out, err := models.Load(r, map[string]models.Loader{"als": Load})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
