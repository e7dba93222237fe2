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
