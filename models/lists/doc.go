// Package lists is the stage after ranking: it makes of a subject's best candidates the list as served, by the rules and objectives that a
// project declares. Which subjects get lists (policy), which items are candidates and how they are scored (models) are other stages; this one
// reads scores and changes none.
//
// # Rules
//
// Exclusions take items out of every list before candidates are chosen, so that they cost no place among them. A list is then filled from its
// first place to its last, greedily: of the candidates that may stand at a place, the one with the largest gain does (ties: the better ranked).
//
//	gain(i | S) = (1 − w − v)·ŝ(i) − w·max_{j ∈ S} sim(i, j) + v·K·[C(S ∪ i) − C(S)]
//
// S is what the page holds already; a page is K places, the length that readers show, and what is published beyond it are further pages that
// begin anew. ŝ is the model's score, brought to [0, 1] over the subject's candidates, because scores of different subjects have no common scale.
//
//   - diversity, weight w: maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998). sim is the share of the named attributes in which two
//     items agree (an item without a level agrees with none), or the cosine of the model's item vectors, at least 0.
//   - calibrate, weight v: Steck (RecSys 2018). p is how the subject's history, by weight, spreads over the levels of an attribute, q how the page
//     does, C(S) = Σ p(g)·log(.99·q(g) + .01·p(g)), which is −KL(p ‖ .99q + .01p) but for a constant; q counts in Kths from the first place on.
//     Σŝ and KL are both taken as means over a list: the factor K. Nobody without a history is calibrated.
//   - at_most: of a level of an attribute no more than so many stand in a page. Items without a level are not counted.
//   - fresh: in the first n places of a page at least ⌊n·m/K⌋ are new items, m being share·K rounded down or up by a draw of the query's own, so that
//     the mean over subjects is share·K exactly. New items that are no candidates are taken from an equal draw of them all, best score first.
//   - at_least: the same for the items of some levels of an attribute, of whom the best by score are offered. Where several such shares fall due at one
//     place, the next places make up for it.
//
// A subject may want less of some items, or would rather have new ones (models.Query.Less, RatherNew): the gain of an item is then less by Options.Less if
// it is of those, and more by half of Options.New each if the subject has not had it and if it is new to everybody. A wish takes no item out, and one
// of a great score goes on standing where the next score is less by more than the weight. Who would rather have new items is offered a draw of them
// beside the best candidates, as where Fresh owes them places.
//
// A candidate that no rule lets in leaves its place to the next; where none is left the list ends. It is never filled up against a rule.
//
// # Guarantees and cost
//
// With at_most on one attribute alone a page has the largest sum of scores that any page may have: the rule is a matroid, and greedy is exact on it.
// With calibration the objective is monotone and submodular, and a page reaches 1 − 1/e of the best there is, and half of it beside at_most. Maximal
// marginal relevance has no such bound: it is what its authors define, and the tests compare it with that definition. Caps and floors are kept in
// every prefix whatever the objectives, as far as the candidates can.
//
// Candidates are the 10·K best (or twice what is asked for, if that is more). Time a list, beside ranking: O(length · candidates · attributes), with
// vectors O(length · candidates · dim). With fresh the model scores the catalog twice, and
// once more for each share of at_least.
//
// # Design
//
// Scores stay the model's own, and what a rule did is told beside them: the place before and after, and which rules took part. A rule that added to
// scores could not be told from taste.
//
// Exclusions are not a filter after ranking: a catalog in which most items are excluded would leave nobody a list.
//
// Pages begin anew because readers show K items and page on, or filter: a cap over all that is published would starve its tail, and maximal marginal
// relevance over attributes stops telling items apart once each level has been shown.
//
// Rejected: determinantal point processes (their diversity is not one that a shopkeeper can foretell, and greedy MAP inference needs a kernel that is
// positive semidefinite, which agreement in several attributes with missing levels is not); exact programs (a list a subject and night is too much
// to solve, and greedy is within the bounds above).
package lists
