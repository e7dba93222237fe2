package models

import (
	"context"
	"encoding/json"
)

// Part is one named part of a Composite, bound to a catalog.
type Part struct {
	Name   string
	Weight float64 // in the whole's score, after the part's scaling; 0: it takes no part
	Scorer Scorer
}

// Composite is an optional power of a Model that is made of others: its parts can be bound by themselves, to be shown beside the whole.
type Composite interface {
	BindParts(ctx context.Context, c *Catalog, subjectColumns []string) ([]Part, error)
}

// Reranked is an optional power of a Model that corrects another's scores: that other can be bound by itself, to be measured beside it.
type Reranked interface {
	// BindBase binds what is corrected, or returns nil where the model corrects nothing.
	BindBase(ctx context.Context, c *Catalog, subjectColumns []string) (Scorer, error)
	// Reranking tells which of the two was chosen, and by which figures.
	Reranking() Reranking
}

// Reranking compares the corrected lists with the uncorrected ones on a window that neither had learned from. Without a comparison
// Subjects is 0.
type Reranking struct {
	Ships                  bool // the corrected lists
	Uncorrected, Corrected Interval
	Difference             Interval // corrected − uncorrected, paired
	P                      float64  // two-sided, of no difference
	K                      int      // the figures are mean nDCG@K
	From, To               int64    // µs
	Subjects               int
	Bound                  float64  // of a correction, in units of the uncorrected score
	Features               []string // what the correction sees
	Says                   string   // how it was chosen, in words
}

// Interval is a figure with its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Shortlister is an optional power of a Scorer that corrects the scores of a query's best candidates by the context of the request: it gives
// away what a serving system needs to do so itself.
type Shortlister interface {
	// Published returns, as JSON, what turns a Shortlist and a context into scores, marked with the model's version.
	Published(version string) (json.RawMessage, error)
	// ExplainShortlist explains items as Explainer does, and returns the candidates of q.
	ExplainShortlist(ctx context.Context, q *Query, items []int32) (*Attribution, *Shortlist, error)
}

// Shortlist is the candidates of a query before their correction, best first, with the features that do not depend on the context.
type Shortlist struct {
	Items    []int32
	Scores   []float32
	Features []float32 // a row of equal length for each item; NaN: missing
}
