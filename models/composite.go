package models

import "context"

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
}
