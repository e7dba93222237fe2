package driftsim

import (
	"math"
	"strings"
	"testing"
)

// A small version of what bench-eval measures: stationary weeks are not called, a planted change is, and a scan counts every value once.
func TestSimulations(t *testing.T) {
	a, err := FalseAlarms(24, 200, Rapport(99))
	if err != nil {
		t.Fatal(err)
	}
	if a.Called > 0.17 || !(a.Error > 0) { // three or more standard errors above 5 %
		t.Errorf("stationary weeks: %+v", a)
	}
	found, err := Power(Change{Price: 1.5}, "price", 4, 300, Rapport(199))
	if err != nil || found < 0.75 {
		t.Errorf("prices half as high again are called in %.2f of runs, %v", found, err)
	}
	all := func(*Week, uint64) ([]string, error) { return []string{"price"}, nil }
	if a, err := FalseAlarms(3, 10, all); err != nil || math.Abs(a.Called-1) > 1e-9 || math.Abs(a.Columns["price"]-1) > 1e-9 {
		t.Errorf("who calls everything has false alarms of %+v, %v", a, err)
	}
	s, err := Scan(8, 50000, 2)
	if err != nil || s.Counted < 8*50000 || s.Counted > 8*(50000+8192) {
		t.Errorf("scan %+v, %v", s, err)
	}
	var csv strings.Builder
	w := NewShop(1, 20).NewWeek(Change{Nulls: 1})
	if err := WriteCSV(&csv, w.Current); err != nil || strings.Count(csv.String(), "\n") != len(w.Current.Unit)+1 || !strings.Contains(csv.String(), ",,") {
		t.Errorf("%v:\n%s", err, csv.String())
	}
}
