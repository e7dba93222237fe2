package modelstest

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/rapport-ml/rapport/models"
)

// explanations demands that every score of every subject is the sum of its reasons, within the error that the explanation states, and
// that this error is small.
func (s *suite) explanations(t *testing.T) {
	d := Checkerboard()
	sc := bind(t, s.train(t, d), d.Catalog, d.SubjectColumns())
	explainer, ok := sc.(models.Explainer)
	if !ok {
		t.Fatalf("%T does not explain its scores", sc)
	}
	every := make([]int32, items)
	for i := range every {
		every[i] = int32(i)
	}
	qs := append(queries(d), models.Query{At: cuts.Test}, models.Query{At: cuts.Test, Subject: []string{"home", ""}})
	scores := score(t, sc, items, qs)
	for q := range qs {
		list, err := explainer.Explain(t.Context(), &qs[q], every)
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Scores) != items || len(list.Values) != items*len(list.Sources) {
			t.Fatalf("query %d: %d scores and %d values for %d items and %d sources", q, len(list.Scores), len(list.Values), items, len(list.Sources))
		}
		known := map[models.Source]bool{}
		for _, source := range list.Sources {
			if known[source] {
				t.Errorf("query %d: source %+v is there twice", q, source)
			}
			known[source] = true
		}
		var most float64
		for _, v := range scores[q*items : (q+1)*items] {
			most = max(most, math.Abs(float64(v)))
		}
		for i := range items {
			e := list.Explanation(i)
			var sum, size float64
			for _, r := range e.Reasons {
				sum += r.Contribution
				size += math.Abs(r.Contribution)
				if !known[models.Source{Kind: r.Kind, Ref: r.Ref}] || r.Kind == "" || r.Contribution == 0 || r.Contribution-r.Contribution != 0 {
					t.Errorf("query %d, item %d: reason %+v", q, i, r)
				}
			}
			served := float64(scores[q*items+i])
			if tol := 1e-5 * max(size, most); math.Abs(served-sum) > tol || math.Abs(e.Score-served) > tol || e.Error > tol {
				t.Errorf("query %d, item %d: score %v, explained %v ± %v, reasons sum to %v", q, i, served, e.Score, e.Error, sum)
			}
			if math.Abs(e.Score-sum) > e.Error {
				t.Errorf("query %d, item %d: off by %v, stated %v", q, i, math.Abs(e.Score-sum), e.Error)
			}
			if !slices.IsSortedFunc(e.Reasons, func(a, b models.Reason) int {
				return cmp.Compare(math.Abs(b.Contribution), math.Abs(a.Contribution))
			}) {
				t.Errorf("query %d, item %d: reasons out of order: %+v", q, i, e.Reasons)
			}
		}
		one, err := explainer.Explain(t.Context(), &qs[q], every[3:4])
		if err != nil || len(one.Scores) != 1 || !slices.Equal(one.Explanation(0).Reasons, list.Explanation(3).Reasons) {
			t.Errorf("query %d: an item alone is explained otherwise than in a list: %v", q, err)
		}
	}
	for _, item := range []int32{-1, items} {
		if _, err := explainer.Explain(t.Context(), &qs[0], []int32{item}); err == nil {
			t.Errorf("item %d of a catalog of %d is explained", item, items)
		}
	}
}
