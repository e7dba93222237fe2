package blend

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// random returns a validation of n queries whose relevant candidates are those of the highest truth, a function of the parts' scores.
func random(n, parts int, truth func(x []float32, noise float64) float64) *validation {
	rng := rand.New(rand.NewPCG(5, 6))
	v := &validation{parts: parts, k: 10, ideal: make([]float64, 11), scale: slices.Repeat([]float64{1}, parts)}
	for r := range 10 {
		v.ideal[r+1] = v.ideal[r] + discount(r)
	}
	for range n {
		q := query{hit: make([]bool, 60), score: make([]float32, 60*parts), relevant: 5}
		true60 := make([]float64, 60)
		order := make([]int, 60)
		for c := range order {
			x := q.score[c*parts : (c+1)*parts]
			for p := range x {
				x[p] = rng.Float32()
			}
			true60[c], order[c] = truth(x, rng.NormFloat64()), c
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(true60[b], true60[a]) })
		for _, c := range order[:5] {
			q.hit[c] = true
		}
		v.queries = append(v.queries, q)
	}
	v.pack()
	return v
}

func every(v *validation) []int {
	all := make([]int, len(v.queries))
	for i := range all {
		all[i] = i
	}
	return all
}

// TestNDCGAgainstFullSort compares the streaming figure with sorting all candidates, ties included.
func TestNDCGAgainstFullSort(t *testing.T) {
	v := random(200, 3, func(x []float32, noise float64) float64 { return noise })
	for i := range v.queries {
		for c := range v.queries[i].score {
			v.queries[i].score[c] = float32(math.Round(float64(v.queries[i].score[c]) * 3)) // ties
		}
		v.queries[i].relevant = 5 + i%10
	}
	v.queries[7].hit, v.queries[7].score = v.queries[7].hit[:4], v.queries[7].score[:12] // fewer candidates than K
	v.queries[8].hit = make([]bool, 60)                                                  // nothing to find
	v.pack()
	w := []float64{1, 0.5, 0.25}
	var want float64
	for i := range v.queries {
		q := &v.queries[i]
		order := make([]int, len(q.hit))
		for c := range order {
			order[c] = c
		}
		at := func(c int) float64 {
			x := q.score[3*c:]
			return float64(x[0]) + 0.5*float64(x[1]) + 0.25*float64(x[2])
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at(b), at(a)) })
		var dcg, ideal float64
		for r, c := range order[:min(10, len(order))] {
			if q.hit[c] {
				dcg += 1 / math.Log2(float64(r+2))
			}
		}
		for r := range min(10, q.relevant) {
			ideal += 1 / math.Log2(float64(r+2))
		}
		want += dcg / ideal / 200
	}
	if got := v.ndcg(w, every(v)); math.Abs(got-want) > 1e-12 {
		t.Errorf("nDCG %v, want %v", got, want)
	}
	if got := v.ndcg(w, nil); got != 0 {
		t.Errorf("nDCG of no queries %v", got)
	}
}

// TestDCGByHand: candidates score 3, 9, 9, 1; the second and the last are relevant. The list is 1, 2, 0, 3 (the tie goes to the lower
// item), so DCG@3 = 1/log2(2) = 1, and DCG@4 = 1 + 1/log2(5).
func TestDCGByHand(t *testing.T) {
	for k, want := range map[int]float64{1: 1, 2: 1, 3: 1, 4: 1 + 1/math.Log2(5), 9: 1 + 1/math.Log2(5)} {
		l := newList(k)
		for range 2 { // a list is used again
			if got := l.dcg([]float32{3, 9, 9, 1}, []bool{false, true, false, true}); got != want {
				t.Errorf("DCG@%d = %v, want %v", k, got, want)
			}
		}
	}
}

// TestFitFindsPlantedWeights plants truth = x₀ + 2·x₁ (and nothing of x₂) plus noise.
func TestFitFindsPlantedWeights(t *testing.T) {
	for _, n := range []int{100, 400} {
		v := random(n, 3, func(x []float32, noise float64) float64 {
			return float64(x[0]) + 2*float64(x[1]) + 0.2*noise
		})
		w, fitted, err := v.fit(t.Context(), every(v))
		if err != nil {
			t.Fatal(err)
		}
		planted := v.ndcg([]float64{1, 2, 0}, every(v))
		if fitted < planted-0.005 {
			t.Errorf("%d queries: weights %v give %v, the planted ones %v", n, w, fitted, planted)
		}
		if w[1] != 1 || w[0] < 0.35 || w[0] > 0.7 || w[2] > 0.1 {
			t.Errorf("%d queries: weights %v, planted ½, 1, 0", n, w)
		}
	}
}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		truth func(x []float32, noise float64) float64
		want  string
	}{
		"two parts matter":         {func(x []float32, noise float64) float64 { return float64(x[0]) + float64(x[1]) + 0.3*noise }, chosenBlend},
		"one part is all there is": {func(x []float32, noise float64) float64 { return float64(x[1]) }, chosenSingle},
	} {
		v := random(150, 2, c.truth)
		record := &Record{Parts: make([]Part, 2)}
		if err := v.choose(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		if record.Choice != c.want {
			t.Errorf("%s: chose %s: %+v", name, record.Choice, record)
		}
		if (record.CrossBlend > record.CrossSingle) != (record.Choice == chosenBlend) {
			t.Errorf("%s: the choice contradicts its figures: %+v", name, record)
		}
		for p := range record.Parts {
			if got := v.ndcg(v.only(p), every(v)); got != record.Parts[p].NDCG {
				t.Errorf("%s: part %d is recorded with %v, has %v", name, p, record.Parts[p].NDCG, got)
			}
		}
		if w := record.Parts; c.want == chosenSingle && (w[0].Weight != 0 || w[1].Weight != 1) {
			t.Errorf("%s: weights %v", name, w)
		}
	}
}

// TestNoiseIsNotBlended: where no part knows anything, the cross-validation must not be fooled by the fit's own optimism: over many
// draws the blend is chosen about as often as not, never nearly always.
func TestNoiseIsNotBlended(t *testing.T) {
	blended := 0
	for draw := range 12 {
		v := random(60, 3, func(x []float32, noise float64) float64 { return noise })
		// Another draw of the same distribution: rotate which candidates are relevant.
		for i := range v.queries {
			h := v.queries[i].hit
			shift := (draw*7 + i) % len(h)
			v.queries[i].hit = append(slices.Clone(h[shift:]), h[:shift]...)
		}
		record := &Record{Parts: make([]Part, 3)}
		if err := v.choose(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		if record.Choice == chosenBlend {
			blended++
		}
		if record.Fitted < record.CrossSingle-0.02 {
			t.Errorf("draw %d: %+v", draw, record)
		}
	}
	if blended > 9 {
		t.Errorf("noise was blended in %d of 12 draws", blended)
	}
}

func TestNDCGDoesNotDependOnCores(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	v := random(777, 3, func(x []float32, noise float64) float64 { return noise })
	want := v.ndcg([]float64{1, .3, .7}, every(v))
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		clear(v.known)
		if got := v.ndcg([]float64{1, .3, .7}, every(v)); got != want {
			t.Errorf("GOMAXPROCS %d: %v, want %v", procs, got, want)
		}
	}
}

func TestFitStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := random(30, 2, func(x []float32, noise float64) float64 { return noise })
	if _, _, err := v.fit(ctx, every(v)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
