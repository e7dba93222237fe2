package drift

import (
	"encoding/json"
	"math"
	"os"
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
		BH struct{ P, Values []float64 } `json:"bh"`
	}
	if err := json.Unmarshal(body, &pinned); err != nil {
		t.Fatal(err)
	}
	if len(pinned.JS.Pairs) == 0 || len(pinned.JS.Pairs) != len(pinned.JS.Values) || len(pinned.PSI.Reference) == 0 || len(pinned.BH.P) == 0 {
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
	for i, got := range adjust(pinned.BH.P) {
		if math.Abs(got-pinned.BH.Values[i]) > 1e-9 {
			t.Errorf("adjusted p %d is %v, scipy says %v", i, got, pinned.BH.Values[i])
		}
	}
}
