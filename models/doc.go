// Package models holds what every recommender shares: the data it learns from, the queries it answers, the selection of the best
// items, explanations, and the envelope in which a model is saved and loaded. One algorithm lives in each package below.
//
// # Design
//
// A Trainer learns a Model; a Model is bound to a Catalog and becomes a Scorer; Rank selects from its scores. Subjects are numbers and
// appear only in the Dataset: a Model has no method that could answer about one, it takes a Query's history instead. So an artifact
// holds nobody, and the subject's current, allowed history decides what is recommended.
//
// Binding is apart from loading, because the items that may be ranked today are not those of the training day. Models keep item ids
// and match them by id; positions never leave the process.
//
// Scores are rows over the whole catalog rather than lists, so that any linear combination of models is exact (no list is cut before it
// is blended) and full ranking is what the figures measure. Rank bounds the memory that this costs: it scores a few queries at a time.
//
// Optional powers (Explainer, FolderIn) are optional interfaces: a caller asks with a type assertion, and no model returns "not
// implemented".
//
// Rejected: a Recommend method on Model (each algorithm would select, exclude and break ties by itself), subjects inside the model
// (erasure would have to rewrite every version), item ids in rankings (strings in the hottest loop).
package models
