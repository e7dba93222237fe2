package eval

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSuppress(t *testing.T) {
	tests := []struct {
		name  string
		sizes []int
		want  []bool
	}{
		{"all large", []int{50, 40, 11}, []bool{false, false, false}},
		{"one small: the next smallest goes too", []int{50, 40, 10}, []bool{false, true, true}},
		{"two small that are 11 together", []int{50, 5, 6}, []bool{false, true, true}},
		{"two small that are 10 together", []int{50, 40, 5, 5}, []bool{false, true, true, true}},
		{"one member", []int{1, 30, 31}, []bool{true, true, false}},
		{"an empty level reveals nobody", []int{0, 30, 31}, []bool{true, false, false}},
		{"an empty level hides nobody", []int{0, 5, 30, 31}, []bool{true, true, true, false}},
		{"all small", []int{3, 4, 2}, []bool{true, true, true}},
		{"one small, one large", []int{3, 400}, []bool{true, true}},
		{"a single level", []int{400}, []bool{false}},
		{"ties go together", []int{40, 40, 10}, []bool{true, true, true}},
		{"two of ten: they can be nothing else", []int{50, 40, 10, 10}, []bool{false, true, true, true}},
		{"two of nine: they can be eight and ten", []int{50, 40, 9, 9}, []bool{false, false, true, true}},
	}
	for _, tt := range tests {
		if got := suppress(tt.sizes); !slices.Equal(got, tt.want) {
			t.Errorf("%s: suppress(%v) = %v, want %v", tt.name, tt.sizes, got, tt.want)
		}
	}
}

// TestSuppressionHolds: whatever the sizes, the withheld cells hold nobody or at least MinCell subjects in at least two cells (or are all cells).
func TestSuppressionHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		sizes := make([]int, 1+r.IntN(7))
		for i := range sizes {
			sizes[i] = int(math.Abs(r.NormFloat64()) * 15)
		}
		hidden := suppress(sizes)
		cells, subjects, shown := 0, 0, 0
		for i, h := range hidden {
			switch {
			case h && sizes[i] > 0:
				cells++
				subjects += sizes[i]
			case !h:
				shown++
				if sizes[i] < MinCell {
					t.Fatalf("suppress(%v) = %v shows a small cell", sizes, hidden)
				}
			}
		}
		if cells > 0 && shown > 0 && (cells < 2 || subjects < MinCell) {
			t.Fatalf("suppress(%v) = %v: the withheld cell follows by subtraction", sizes, hidden)
		}
	}
}

// TestCohortByHand: 80 subjects take item 0 or item 1 of lists that begin with item 0, so hit@1 is 1 or 0.
//
//	a: 40 subjects, 30 hits: 0.75        b: 40 subjects, 10 hits: 0.25        overall 40/80 = 0.5
//	difference 0.5, ratio ⅓, relative gap 0.5/0.5 = 1, difference to overall 0.25
func TestCohortByHand(t *testing.T) {
	task := fixture{Task: Task{Catalog: catalog(3), K: []int{1}, Cohorts: []Cohort{{Name: "g", Levels: []string{"a", "b"}}}}}
	for s := range 80 {
		group, took := int32(s/40), int32(1)
		if (group == 0 && s%40 < 30) || (group == 1 && s%40 < 10) {
			took = 0
		}
		task.add(Subject{Relevant: []int32{took}})
		task.Cohorts[0].Of = append(task.Cohorts[0].Of, group)
	}
	q, err := Evaluate(context.Background(), task.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
	if err != nil {
		t.Fatal(err)
	}
	f := q.Cohort("g", "c", "hit@1")
	for _, x := range []struct {
		name string
		got  *float64
		want float64
	}{
		{"overall", f.Overall, 0.5},
		{"a", f.ByGroup[0].Value, 0.75},
		{"b", f.ByGroup[1].Value, 0.25},
		{"min", f.Min, 0.25},
		{"max", f.Max, 0.75},
		{"difference", f.Difference, 0.5},
		{"ratio", f.Ratio, 1. / 3},
		{"relative gap", f.RelativeGap, 1},
		{"to overall", f.DifferenceToOverall, 0.25},
		{"ratio to best of b", f.ByGroup[1].RatioToBest, 1. / 3},
	} {
		if x.got == nil || math.Abs(*x.got-x.want) > 1e-15 {
			t.Errorf("%s is %v, want %v", x.name, x.got, x.want)
		}
	}
	if f.FourFifths == nil || *f.FourFifths {
		t.Error("a ratio of ⅓ passes four fifths")
	}
	// Nobody is missing, so that level holds nobody and is not judged.
	if m := f.ByGroup[2]; m.Level != Missing || m.Status != Suppressed || m.N != nil {
		t.Errorf("the level without subjects is %+v", m)
	}
	// sd of all = √(80/79·0.25) = 0.50315; se of a group = 0.50315/√40 = 0.07956 (its own bootstrap error, about 0.0685, is smaller).
	floor := math.Sqrt(80. / 79 * 0.25 / 40)
	for _, g := range f.ByGroup[:2] {
		if math.Abs(*g.StandardError-floor) > 1e-12 {
			t.Errorf("standard error of %s is %v, want the floor %v", g.Level, *g.StandardError, floor)
		}
	}
	// One pair: c = 1.959964, se of the difference = √2·floor.
	half := 1.959963984540054 * math.Sqrt2 * floor
	if math.Abs(*f.DifferenceLow-(0.5-half)) > 1e-9 || math.Abs(*f.DifferenceHigh-(0.5+half)) > 1e-9 {
		t.Errorf("gap interval %v to %v, want 0.5 ± %v", *f.DifferenceLow, *f.DifferenceHigh, half)
	}
}

// TestSmallGroups: groups of one, of a few, and below min_n.
func TestSmallGroups(t *testing.T) {
	task := fixture{Task: Task{Catalog: catalog(3), K: []int{1}, MinN: 30, Cohorts: []Cohort{{Name: "g", Levels: []string{"one", "twelve", "twenty", "fifty"}}}}}
	for s := range 143 {
		level := int32(-1) // 60 missing
		switch {
		case s < 1:
			level = 0
		case s < 13:
			level = 1
		case s < 33:
			level = 2
		case s < 83:
			level = 3
		}
		task.add(Subject{Relevant: []int32{int32(s % 2)}})
		task.Cohorts[0].Of = append(task.Cohorts[0].Of, level)
	}
	q, err := Evaluate(context.Background(), task.task(), []Contender{{Name: "c", Scorer: descending, Role: Candidate}})
	if err != nil {
		t.Fatal(err)
	}
	f := q.Cohort("g", "c", "ndcg@1")
	want := []Group{{Level: "twenty", Status: Insufficient}, {Level: "fifty", Status: Judged}, {Level: Few, Status: Suppressed}, {Level: Missing, Status: Judged}} // one, and twelve, which would reveal it, are not named
	if len(f.ByGroup) != len(want) {
		t.Fatalf("groups %+v", f.ByGroup)
	}
	for i, g := range f.ByGroup {
		if g.Status != want[i].Status || g.Level != want[i].Level {
			t.Errorf("%s is %s, want %+v", g.Level, g.Status, want[i])
		}
		if g.Status == Suppressed && (g.N != nil || g.Value != nil || g.Low != nil || g.StandardError != nil || g.RatioToBest != nil) {
			t.Errorf("%s is suppressed and shows %+v", g.Level, g)
		}
	}
}

// TestGapIsCalibrated: with four groups that are served alike, the gap's lower bound exceeds zero in about 5 % of tests at most. The plain percentile bootstrap
// of max − min does so nearly always.
func TestGapIsCalibrated(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	const trials = 400
	alarms := 0
	for range trials {
		f := CohortFigure{}
		for g := range 4 {
			n := 40 + 60*g
			var sum, squares float64
			for range n { // as nDCG: most lists miss
				v := 0.0
				if r.Float64() < 0.15 {
					v = 0.3 + 0.7*r.Float64()
				}
				sum += v
				squares += v * v
			}
			mean := sum / float64(n)
			own := math.Sqrt((squares - sum*mean) / float64(n-1))
			const spread = 0.2449 // of the distribution above: √(0.15·(0.65² + 0.7²/12) − (0.15·0.65)²) = √0.0600
			se := max(own, spread) / math.Sqrt(float64(n))
			f.ByGroup = append(f.ByGroup, Group{Level: string(rune('a' + g)), Status: Judged, N: &n, Value: &mean, StandardError: &se})
		}
		if f.gap(30).low > 0 {
			alarms++
		}
	}
	if rate := float64(alarms) / trials; rate > 0.06 {
		t.Errorf("false gaps in %.1f %% of %d tests, want at most about 5 %%", 100*rate, trials)
	}
}
