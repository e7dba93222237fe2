package drift

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// TestReferenceValues holds the statistics against what the reference implementations said of the same inputs (make compat).
func TestReferenceValues(t *testing.T) {
	body, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var pinned struct {
		JS struct {
			Pairs  [][2][]float64 `json:"pairs"`
			Values []float64      `json:"values"`
		} `json:"jensen_shannon"`
		PSI struct {
			Reference, Current []float64
			Value              float64
		} `json:"psi"`
		Wasserstein struct {
			X, Y, Places, P, Q    []float64
			Value, Normed, Binned float64
		} `json:"wasserstein"`
		BH struct{ P, Values []float64 } `json:"bh"`
	}
	if err := json.Unmarshal(body, &pinned); err != nil {
		t.Fatal(err)
	}
	if len(pinned.JS.Pairs) == 0 || len(pinned.JS.Pairs) != len(pinned.JS.Values) || len(pinned.PSI.Reference) == 0 || len(pinned.Wasserstein.X) == 0 || len(pinned.BH.P) == 0 {
		t.Fatalf("nothing is pinned: %+v", pinned)
	}
	for i, pair := range pinned.JS.Pairs {
		if got := jensenShannon(pair[0], pair[1]); math.Abs(got-pinned.JS.Values[i]) > 1e-9 {
			t.Errorf("Jensen-Shannon of pair %d is %v, scipy says %v", i, got, pinned.JS.Values[i])
		}
	}
	p, q := pinned.PSI.Reference, pinned.PSI.Current
	if got := populationStability(shares(p, sum(p)), shares(q, sum(q))); math.Abs(got-pinned.PSI.Value) > 1e-9 {
		t.Errorf("PSI is %v, Evidently says %v", got, pinned.PSI.Value)
	}
	x := &pinned.Wasserstein
	if got := pointMasses(x.Places, x.P, x.Q); math.Abs(got-x.Binned) > 1e-9 {
		t.Errorf("Wasserstein of masses at places is %v, scipy says %v", got, x.Binned)
	}
	places := slices.Concat(x.X, x.Y)
	slices.Sort(places)
	places = slices.Compact(places)
	got := pointMasses(places, sharesAt(places, x.X), sharesAt(places, x.Y))
	if math.Abs(got-x.Value) > 1e-9 {
		t.Errorf("Wasserstein of two samples is %v, scipy says %v", got, x.Value)
	}
	if got /= deviation(x.X); math.Abs(got-x.Normed) > 1e-9 {
		t.Errorf("Wasserstein over the reference's standard deviation is %v, Evidently says %v", got, x.Normed)
	}
	for i, got := range adjust(pinned.BH.P) {
		if math.Abs(got-pinned.BH.Values[i]) > 1e-9 {
			t.Errorf("adjusted p %d is %v, scipy says %v", i, got, pinned.BH.Values[i])
		}
	}
}

// pointMasses is wasserstein of masses at places: bins of no width, with empty ones between them.
func pointMasses(places, p, q []float64) float64 {
	edges := []float64{places[0]}
	var ref, cur []float64
	for i, at := range places {
		if i > 0 {
			edges, ref, cur = append(edges, at), append(ref, 0), append(cur, 0)
		}
		edges, ref, cur = append(edges, at), append(ref, p[i]), append(cur, q[i])
	}
	return wasserstein(ref, cur, edges)
}

// sharesAt is how much of a sample lies at each place.
func sharesAt(places, sample []float64) []float64 {
	out := make([]float64, len(places))
	for _, v := range sample {
		at, _ := slices.BinarySearch(places, v)
		out[at] += 1 / float64(len(sample))
	}
	return out
}

// deviation is the standard deviation of a whole sample, as a column's bins have it.
func deviation(sample []float64) float64 { return NumericSpec("x", sample).Std }
