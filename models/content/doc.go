// Package content scores items by what they are: it can rank an item that nobody has chosen yet, for a subject that has chosen nothing
// yet.
//
// An item's vector x_i has one coordinate for each level of its categorical attributes and each quantile bin of its numeric ones,
// weighted by idf = ln(N/n) (N items in the training catalog, n of them with that level) and scaled to length 1. A query's profile lies
// in the same space:
//
//	p = (m·(b + Σ_a W_a) + Σ_j c_j·x_j) / (m + Σ_j c_j),   c_j = w_j·2^(−(At−t_j)/H)
//	score(i) = p·x_i
//
// j runs over the history, a over the levels of the subject's own attributes. b and W are a ridge regression, learned in training, from
// subject attributes to profiles; b is not regularized and so is the profile of a subject of whom nothing is known. m (Prior) says how
// many events the prior is worth.
//
// # Design
//
// The score is linear in the profile, so an explanation is exact: one term an event, one an attribute level, one for b.
//
// The artifact holds no item: vectors are made from the attributes of the catalog that the model is bound to, so a new item is scored as
// well as an old one. Levels of a single item are left out, for they liken it to nothing. The map W is learned from people, so it keeps
// to the rule for artifacts: attribute levels of fewer than MinSubjects subjects have no row, and a pair of an attribute level and an
// item feature that fewer subjects than that have in common counts as 0.
//
// Rejected: TF-IDF over free text (no text among the declared columns yet), learned metric (few items have enough events for it), profile
// by max (not linear).
package content
