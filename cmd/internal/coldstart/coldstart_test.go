package main

import (
	"testing"
	"time"

	"github.com/rapport-ml/rapport/cmd/internal/benchmark"
	"github.com/rapport-ml/rapport/cmd/internal/synth"
)

// On a world with planted tastes, attributes find items that nobody has chosen and serve subjects of whom nothing else is known, better
// than constant bias columns and than attributes that belong to others; where there is history they cost nothing.
func TestAttributesFindWhatIsNew(t *testing.T) {
	size := synth.World{Users: 800, Items: 400, Days: 30, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	all := contenders()[:4] // bias, without, with, permuted
	figures, err := measure(t.Context(), func(seed int) (*happened, error) {
		size.Seed = uint64(seed) + 1
		return synthetic(t.Context(), size)
	}, 1, all)
	if err != nil {
		t.Fatal(err)
	}
	const bias, without, with, shuffled = 0, 1, 2, 3
	for _, c := range []struct {
		task, against int
		least         float64 // of the lower end of the 95 % interval of the difference
	}{
		{2, bias, .02}, {2, shuffled, .02}, // cold items
		{3, without, .02},                      // cold subjects
		{0, without, -.03}, {1, without, -.03}, // history: a small loss
	} {
		diff, half := benchmark.Paired(figures[with][c.task], figures[c.against][c.task])
		if n := len(figures[with][c.task]); diff-half < c.least || n < 50 {
			t.Errorf("%s: attributes minus %s: %+.4f ± %.4f of %d subjects, want at least %+.2f", tasks[c.task], all[c.against].name, diff, half, n, c.least)
		}
	}
}
