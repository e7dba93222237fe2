package models

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// Explainer is an optional power of a Scorer: why items got their scores for one query. It takes all the items of a list at once, so
// that the work of the query (a fold-in, a factorization) is done once; what it says of an item does not depend on the others.
type Explainer interface {
	Explain(ctx context.Context, q *Query, items []int32) (*Attribution, error)
}

// Source is what an additive part of a score is due to.
type Source struct {
	Kind string // "event", "attribute", "item-attribute", "popularity", "again", "bias", "rule"
	Ref  string // item id, attribute=level, ...
}

// Attribution splits the scores of the items of a list over sources, as a matrix: item i owes Values[i*len(Sources)+s] to source s.
// The sum of item i's row is Scores[i], but for rounding. Sources are distinct and in no order that means anything.
type Attribution struct {
	Sources []Source
	Scores  []float64
	Values  []float64
	Doubts  [][]Doubt // of each item, why its score deserves little trust, ascending; nil: none of any
}

// Doubt is why a score deserves little trust.
type Doubt string

// The doubts.
const (
	FewEvents Doubt = "few-events" // the subject's history says little
	NewItem   Doubt = "new-item"   // too few people have chosen the item yet: it is judged by its attributes
)

// doubt adds doubts to an item; equal ones are one.
func (a *Attribution) doubt(item int, ds []Doubt) {
	if len(ds) == 0 {
		return
	}
	if a.Doubts == nil {
		a.Doubts = make([][]Doubt, len(a.Scores))
	}
	all := append(slices.Clone(a.Doubts[item]), ds...)
	slices.Sort(all)
	a.Doubts[item] = slices.Compact(all)
}

// Doubt adds a doubt to an item.
func (a *Attribution) Doubt(item int, d Doubt) { a.doubt(item, []Doubt{d}) }

// NewAttribution returns the attribution of n items over sources, all zeros.
func NewAttribution(n int, sources []Source) *Attribution {
	return &Attribution{Sources: sources, Scores: make([]float64, n), Values: make([]float64, n*len(sources))}
}

// SelfAttribution returns the attribution of scores that are due to nothing but the item itself: its popularity, say. ids are the
// catalog's.
func SelfAttribution(kind string, ids []string, items []int32, scores []float64) *Attribution {
	sources, at := make([]Source, 0, len(items)), make(map[int32]int, len(items))
	for _, item := range items {
		if _, ok := at[item]; !ok {
			at[item] = len(sources)
			sources = append(sources, Source{Kind: kind, Ref: ids[item]})
		}
	}
	a := NewAttribution(len(items), sources)
	copy(a.Scores, scores)
	for i, item := range items {
		a.Row(i)[at[item]] = scores[i]
	}
	return a
}

// Sum returns Σ factors[p]·parts[p] of attributions of one list: sources that are the same in several parts are one, and so are doubts.
// A part whose factor is 0 raises none.
func Sum(factors []float64, parts []*Attribution) *Attribution {
	var sources []Source
	columns, at := make([][]int, len(parts)), map[Source]int{}
	for p, part := range parts {
		columns[p] = make([]int, len(part.Sources))
		for s, source := range part.Sources {
			c, ok := at[source]
			if !ok {
				c = len(sources)
				at[source], sources = c, append(sources, source)
			}
			columns[p][s] = c
		}
	}
	sum := NewAttribution(len(parts[0].Scores), sources)
	for p, part := range parts {
		for i, score := range part.Scores {
			sum.Scores[i] += float64(factors[p] * score)
			to := sum.Row(i)
			for s, v := range part.Row(i) {
				to[columns[p][s]] += float64(factors[p] * v)
			}
			if part.Doubts != nil && factors[p] != 0 {
				sum.doubt(i, part.Doubts[i])
			}
		}
	}
	return sum
}

// Row returns what item i owes to each source, as a view.
func (a *Attribution) Row(i int) []float64 {
	n := len(a.Sources)
	return a.Values[i*n : (i+1)*n : (i+1)*n]
}

// Reason is one additive part of a score.
type Reason struct {
	Kind         string  `json:"kind"` // as in Source
	Ref          string  `json:"ref"`
	Contribution float64 `json:"contribution"`
}

// Explanation splits a score into reasons, largest magnitude first.
type Explanation struct {
	Score   float64  `json:"score"`
	Error   float64  `json:"error"` // |score − Σ contributions| upper bound, absolute
	Reasons []Reason `json:"reasons"`
	Doubts  []Doubt  `json:"doubts,omitempty"`
}

// Explanation explains item i: its reasons in descending magnitude (ties by kind, then ref), without those that contribute nothing.
// Error is the distance between the score and their sum, plus the rounding of that sum. O(s·log s) for s sources.
func (a *Attribution) Explanation(i int) Explanation {
	row := a.Row(i)
	order := make([]int, 0, len(row))
	for s, v := range row {
		if v != 0 {
			order = append(order, s)
		}
	}
	slices.SortFunc(order, func(x, y int) int { return a.compare(row, x, y) })
	e := Explanation{Score: a.Scores[i], Reasons: a.reasons(row, order)}
	if a.Doubts != nil {
		e.Doubts = a.Doubts[i]
	}
	var sum, size float64
	for _, r := range e.Reasons {
		sum += r.Contribution
		size += math.Abs(r.Contribution)
	}
	const ulp = 0x1p-52
	e.Error = math.Abs(e.Score-sum) + float64(len(e.Reasons))*ulp*size
	return e
}

// Top returns the first n reasons of Explanation(i), or all of them if there are fewer. It sorts no more than it returns.
// O(s + n·log s) for s sources in no order, O(s·n) at worst.
func (a *Attribution) Top(i, n int) []Reason {
	row := a.Row(i)
	top := make([]int, 0, n+1)
	for s, v := range row {
		if v == 0 || (len(top) == n && (n == 0 || a.compare(row, s, top[n-1]) > 0)) {
			continue
		}
		at := len(top)
		for at > 0 && a.compare(row, s, top[at-1]) < 0 {
			at--
		}
		top = slices.Insert(top, at, s)
		top = top[:min(len(top), n)]
	}
	return a.reasons(row, top)
}

// compare orders sources x and y of a row as reasons stand.
func (a *Attribution) compare(row []float64, x, y int) int {
	if p, q := math.Abs(row[x]), math.Abs(row[y]); p != q {
		return cmp.Compare(q, p)
	}
	return cmp.Or(cmp.Compare(a.Sources[x].Kind, a.Sources[y].Kind), cmp.Compare(a.Sources[x].Ref, a.Sources[y].Ref))
}

func (a *Attribution) reasons(row []float64, sources []int) []Reason {
	out := make([]Reason, len(sources))
	for k, s := range sources {
		out[k] = Reason{Kind: a.Sources[s].Kind, Ref: a.Sources[s].Ref, Contribution: row[s]}
	}
	return out
}
