package models

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestExplanation(t *testing.T) {
	a := NewAttribution(2, []Source{{"event", "b"}, {"bias", ""}, {"event", "a"}, {"attribute", "a"}, {"again", "a"}})
	a.Scores[1] = 2.5
	copy(a.Row(1), []float64{3, 0, -2, -1, 1})
	e := a.Explanation(1)
	want := []Reason{{"event", "b", 3}, {"event", "a", -2}, {"again", "a", 1}, {"attribute", "a", -1}}
	if !reflect.DeepEqual(e.Reasons, want) {
		t.Errorf("reasons %+v", e.Reasons)
	}
	// |2.5 − (3 − 2 + 1 − 1)| = 1.5, and the rounding of a sum of magnitude 7.
	if e.Score != 2.5 || e.Error < 1.5 || e.Error > 1.5+1e-14 {
		t.Errorf("score %v ± %v", e.Score, e.Error)
	}
	if e := a.Explanation(0); e.Score != 0 || e.Error != 0 || e.Reasons == nil || len(e.Reasons) != 0 {
		t.Errorf("nothing explained: %+v", e) // reasons are [] in JSON, not null
	}
	if e := NewAttribution(1, nil).Explanation(0); e.Error != 0 || len(e.Reasons) != 0 {
		t.Errorf("nothing to explain by: %+v", e)
	}
}

// Top is the beginning of what a full sort gives, ties and zeros included.
func TestTopIsTheBeginningOfTheExplanation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		sources := make([]Source, r.IntN(12))
		for s, n := range r.Perm(len(sources)) {
			sources[s] = Source{Kind: []string{"event", "again"}[n%2], Ref: string(rune('a' + n))}
		}
		a := NewAttribution(3, sources)
		for i := range a.Values {
			a.Values[i] = float64(r.IntN(7) - 3)
		}
		for i := range 3 {
			all := a.Explanation(i).Reasons
			for n := range len(sources) + 2 {
				if got := a.Top(i, n); !slices.Equal(got, all[:min(n, len(all))]) {
					t.Fatalf("first %d of %+v: %+v", n, all, got)
				}
			}
		}
	}
}

func TestSelfAttribution(t *testing.T) {
	a := SelfAttribution("popularity", []string{"a", "b", "c"}, []int32{2, 0, 2, 1}, []float64{5, 3, 5, 0})
	for i, want := range [][]Reason{{{"popularity", "c", 5}}, {{"popularity", "a", 3}}, {{"popularity", "c", 5}}, {}} {
		if e := a.Explanation(i); !slices.Equal(e.Reasons, want) || e.Error > 1e-14 {
			t.Errorf("item %d: %+v", i, e)
		}
	}
}

// 2·(1 of x, 4 of y; score 5) + 0.5·(6 of y, 8 of z; score 14) = 2 of x, 8 + 3 of y, 4 of z; score 17.
func TestSum(t *testing.T) {
	x, y, z := Source{"event", "x"}, Source{"event", "y"}, Source{"bias", "z"}
	p := &Attribution{Sources: []Source{x, y}, Scores: []float64{5, 0}, Values: []float64{1, 4, 0, 0}}
	q := &Attribution{Sources: []Source{y, z}, Scores: []float64{14, 2}, Values: []float64{6, 8, 0, 2}}
	sum := Sum([]float64{2, 0.5}, []*Attribution{p, q})
	for i, want := range [][]Reason{{{"event", "y", 11}, {"bias", "z", 4}, {"event", "x", 2}}, {{"bias", "z", 1}}} {
		if e := sum.Explanation(i); !slices.Equal(e.Reasons, want) || e.Error > 2e-14 {
			t.Errorf("item %d: %+v", i, e)
		}
	}
	if !slices.Equal(sum.Scores, []float64{17, 1}) {
		t.Errorf("scores %v", sum.Scores)
	}
}
