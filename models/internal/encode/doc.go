// Package encode turns attributes into sparse numeric rows: categories one-hot, numbers in quantile bins, lists and texts by their
// members.
//
// A row has one coordinate for each level of a categorical column and each bin of a numeric one, weighted by idf = ln(N/n) (N rows
// counted, n of them with that feature) and scaled to length 1. What everybody shares has weight 0: it tells nobody apart.
//
// # Design
//
// A Space holds columns and levels by name and no row, so it goes into an artifact and places rows that it was not learned from. Levels
// of too few rows are left out: they liken their row to nothing, and of subjects they would tell one from others.
//
// Texts are cut into words rather than hashed: a feature has a name, which explanations print, and no two share a coordinate. The
// number of features is bounded by keeping the most frequent.
//
// Rejected: weights by term frequency within a text (titles name a word once), bins of equal width (prices are log-normal).
package encode
