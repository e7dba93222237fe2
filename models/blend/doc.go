// Package blend adds up the scores of other models, its parts:
//
//	score(i) = Σ_p weight_p/scale_p · score_p(i)
//
// Training happens three times over. The parts learn from the events before the validation cut. The weights, all ≥ 0, are fitted on the
// events from there to `until`: each subject with an event in that window is a query at the validation cut, and its items there are
// what a good list would hold. Then the parts learn again from all events before `until`, with the weights as they are.
//
// The fit maximizes mean nDCG@K over the validation queries. It starts from the best single part, adds the part and weight that gain
// most, and refines one weight after another on a shrinking grid, until nothing gains. scale_p is the mean over the queries of the
// part's best score, so that a weight of 1 means as much for each part.
//
// Five-fold cross-validation over the subjects then asks whether the blend is worth having: weights fitted on four folds, and the part
// that is best on them, are judged on the fifth. If the blend does not win there, the best single part gets all the weight. The
// manifest records weights, scales, each part's own figure, and both cross-validated figures (Record), whichever way it went.
//
// # Design
//
// Weights are few and nDCG is what lists are judged by, so it is maximized itself. A part's candidates are its best 100 items a query; the
// blend's ten best are looked for in their union, which is what makes a few hundred evaluations cheap: after one scoring pass no
// catalog-wide row is touched again.
//
// Scaling is by a constant for each part. Normalizing by query (by its best score, or its standard deviation) would keep explanations
// additive as well, but throws away what a part says about the query: that a history is short, say. Parts are therefore expected to
// give scores that mean the same for each query (shares of people, counts of a subject's events, predictions of 1).
//
// Rejected: logistic or softmax regression on the parts' scores (convex and smooth, but its optimum is that of a likelihood
// dominated by items far below the list's end), reciprocal-rank fusion (not linear, no exact explanation), learning to rank with
// trees (a re-ranker is a part of its own, trained on a later window).
package blend
