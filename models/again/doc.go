// Package again predicts repeats: what a subject chose before, often and lately, and is due for.
//
//	score(u, i) = ρ_i · due(e, g) · Σ_{j: item j = i} w_j·2^(−(At−t_j)/H)  /  (m + Σ_j w_j·2^(−(At−t_j)/H))
//	due(e, g)   = 1 − D·2^(−e/g)
//
// The sums run over the query's history. ρ_i is the share of the item's subjects who came back to it. e is the time since the subject
// last chose the item and g the subject's usual gap for it: the geometric mean of the gaps seen in the history, shrunk towards the
// item's (as if one more gap of that length had been seen). Right after a choice the score is lowered by the share D (Depletion), and
// half of that is made up for with each gap that passes. H is the half-life; m (Prior) keeps short histories from looking certain.
//
// # Design
//
// Everything of a person comes with the query. The artifact holds, for items that at least MinSubjects subjects chose, the rate of
// return, and for items that as many returned to, the gap; all other items share the pooled values. Gaps under an hour are taken as an
// hour: two lines of one receipt are one choice.
//
// The score is a share of the subject's own (decayed) events, so it is comparable with a popularity, which is a share as well; a blend
// of the two is an interpolation of two estimates of one thing. Rejected: raw counts (a blend's weight would fit heavy users only), a
// survival model of the gaps (few items have enough of them), item-to-item transitions (a model of its own).
package again
