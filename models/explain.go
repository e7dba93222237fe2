package models

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// Explainer is an optional power of a Scorer: why items got their scores for one query. The contributions of each Explanation sum to
// its score within Explanation.Error. It takes all the items of a list at once, so that the work of the query (a fold-in, a
// factorization) is done once.
type Explainer interface {
	Explain(ctx context.Context, q *Query, items []int32) ([]Explanation, error)
}

// Reason is one additive part of a score.
type Reason struct {
	Kind         string  `json:"kind"` // "event", "attribute", "popularity", "again", "bias", "rule"
	Ref          string  `json:"ref"`  // item id, attribute=level, ...
	Contribution float64 `json:"contribution"`
}

// Explanation splits a score into reasons, largest magnitude first.
type Explanation struct {
	Score   float64  `json:"score"`
	Error   float64  `json:"error"` // |score − Σ contributions| upper bound, absolute
	Reasons []Reason `json:"reasons"`
}

// NewExplanation returns the explanation of score: reasons of one kind and ref are added up, ordered by descending magnitude (ties by
// kind, then ref), and those that contribute nothing left out. Error is the distance between score and the sum of what remains, plus
// the rounding of that sum. It reorders reasons.
func NewExplanation(score float64, reasons []Reason) Explanation {
	slices.SortFunc(reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Contribution, b.Contribution))
	})
	merged := make([]Reason, 0, len(reasons))
	for _, r := range reasons {
		if n := len(merged); n > 0 && merged[n-1].Kind == r.Kind && merged[n-1].Ref == r.Ref {
			merged[n-1].Contribution += r.Contribution
		} else {
			merged = append(merged, r)
		}
	}
	merged = slices.DeleteFunc(merged, func(r Reason) bool { return r.Contribution == 0 })
	slices.SortStableFunc(merged, func(a, b Reason) int {
		return cmp.Compare(math.Abs(b.Contribution), math.Abs(a.Contribution))
	})
	var sum, size float64
	for _, r := range merged {
		sum += r.Contribution
		size += math.Abs(r.Contribution)
	}
	const ulp = 0x1p-52
	return Explanation{Score: score, Error: math.Abs(score-sum) + float64(len(merged))*ulp*size, Reasons: merged}
}
