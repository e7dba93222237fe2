// Package ease is EASE^R (Steck, WWW 2019, "Embarrassingly Shallow Autoencoders for Sparse Data"): the linear model of items from items
// that reproduces X best, with no item speaking for itself. In closed form, with X the subjects × items of what was chosen,
//
//	P = (XᵀX + λI)⁻¹,   B_ij = −P_ij/P_jj,   B_jj = 0,   score(i) = Σ_j x_j·B_ji
//
// x of a pair is 1, decayed to its latest event (values: binary), or a confidence like als's, from all its events (values: confidence):
//
//	x = 2^(−(T − t)/half-life)   or   x = m·ln(1 + s/m), s = Σ_events weight·2^(−(T − t)/half-life)
//
// with T the cut in training and the query's own time after it. A score predicts x, so it means the same for each query.
//
// The `items` most popular items, the core, are inverted together. An item beyond it is regressed on the whole core by the inverse that is
// there already, b = P·Xᵀx, which is the same ridge regression (λ) that a column of B is, worked out for the `neighbours` core items of the highest cosine
// with it; it is spoken for by the core, and speaks for nothing itself. Below `items` (10,000: 400 MB) nothing is approximate but float32.
//
// # What is kept
//
// Artifacts hold no pair that fewer than MinSubjects subjects have in common: items of fewer subjects take no part at all, and a weight
// between two items of fewer common subjects is dropped, as if it were 0. Of the rest each item keeps the `neighbours` weights of the greatest
// magnitude. What is kept are the dense solution's own weights, neither rescaled nor fitted again: scores are lower by exactly what the
// dropped weights would have added, so an item with few well-known companions is held back, and every explanation stays exact. On a
// synthetic world of 5,000 people that costs nothing: nDCG@10 on new items is .083 with MinSubjects 11, with 25 and with 1.
//
// A weight that stays is still a function of all of X, as the vectors of als are: the rule bounds which pairs are told, it is no
// differential privacy.
//
// # Design
//
// X is held once, by subject, with columns in descending popularity; it is turned around in blocks of 262,144 pairs for the Gram matrix,
// whose rows are then summed in cache, one worker a row. The inverse overwrites the Gram matrix, in float32, and weights are read off it. A
// bit for each pair of the core remembers which have enough subjects. So a fit of n items takes 4·n² bytes, n²/8 for the bits and 2 bytes
// a pair of X. Each sum runs in the order of subjects, whatever worker takes it.
//
// λ = 20·√m by rule, m the mean of Σ_u x_ui² over the core: published optima are of its order,
// and figures are flat around it: on new items of a synthetic world nDCG@10 is .083, and .088 at the best λ of 10 to 10,000. Values are binary
// by default, for that is better at finding new items (.083 against .073); where lists may repeat what somebody had, confidence is (.155
// against .135).
//
// Related lists are partial correlations: see Related.
//
// Rejected: a sparse approximate inverse (SANSA, Spišák et al. 2023) — the rule for pairs leaves a tail item so few partners that the exact
// regression on the core costs less than factorizing; refitting a column on the weights it keeps (its own Gram matrix would have to be held
// beside the inverse); a float64 inverse (twice the memory for digits that no list shows).
package ease
