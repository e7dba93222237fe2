// Package rerank corrects a blend's scores where it matters, for the best 200 items of a query, by a bounded neural network:
//
//	score(i) = blend(i) + Bound · unit(i) · Σ_c w_c · tanh(net(x_i, c) − mean_{j ≤ 20} net(x_j, c)),   unit(i) = max(blend(i), blend(20th), 0)
//
// blend(20th) is the score of the twentieth candidate, or of the last where there are fewer. x_i are features of the candidate (each part's
// score and rank, the blend's, recency and number of the subject's events with the item and with its categories, the share of these in its
// lasting taste and in its last ten events, popularity and its trend,
// length and age of the history), standardized with recorded moments and clipped at ±5; what is missing is 0 and has an indicator of its own.
// c is a context: device and channel as the project declares them, daypart and weekday, each level a unit. For a request the sum has one
// term, its context. For a list that is made ahead it runs over the subject's mix: the up to eight contexts in which most of its events came,
// by their share, renormalized; a subject without any gets the mix of everybody. Elsewhere the score is the blend's.
//
// # What it learns from
//
// Time is cut at Base < Rerank < Validation < until. The parts learn on [Base, Rerank) and are weighed as the final blend is; popularity is
// counted on the same window. [Rerank, Validation) is then walked in steps as long as the test window, as blend walks its own: at
// the start of each step every subject who chooses something in it is asked, from its events before, and the shortlist of the blend as it
// was then stands beside what was chosen. So everything in x_i was known before the answer: models older than the window, and the state of
// the last interval that had ended. Only the blend's weights (a number a part) are from later, since the correction must fit the blend that
// it will be added to.
//
// Where it is known what was shown (Dataset.Shown), an item that was put before the subject in the time of the question and not chosen has been
// passed over. Impressions are no signal: the blend never sees them.
//
// Each chosen item of a shortlist is compared with fifteen that were not chosen, a quarter of them passed over, by a logistic loss of the ratio of their scores; a pair
// weighs what changing places would mean for the list's nDCG (LambdaRank's gain), times how many pairs of the whole shortlist it stands
// for, and times four if the other item was passed over: not to choose what one has seen says more. One subject in five is held out: the epoch with the best nDCG on them is kept.
//
// # What ships
//
// On [Validation, until), which the network has not seen, the lists with and without the correction are compared question by question: the
// correction ships if the whole 95 % interval of the difference of mean nDCG@K, by a bootstrap over subjects, lies above 0. Both use the
// weights that were fitted to that same window, which favours the uncorrected blend if anything. Else the model is the blend, to the
// bit, and costs nothing more; the record says so with the figures. The figure of lists asked in the contexts of the choices stands beside
// it and decides nothing, for the list is what direct readers get.
//
// # Design
//
// The network corrects and never replaces: the blend's reasons stay exact, and the correction is one more line of known size. It is
// bounded by a share of the candidate's own score, as blends of counts have scores of very different height for people of many events and
// of few: a bound of one size for everybody drowned the order of the ones and did nothing for the others (on synthetic events nDCG@10
// fell from .31 to .25).
//
// What the network says is centred on the head of the shortlist. Lists are compared by ratios of scores, so that a factor common to all candidates
// is free: uncentred, learning left it where chance had put it (on Complete Journey the lists' items lost 71 % of the bound on average, without
// any meaning), and reasons showed it. By construction it is now the place among the head that a correction speaks of.
//
// The first layer is computed once for all contexts, which differ by a constant row, so that eight contexts cost little more than two.
//
// gorgonia builds and differentiates the graph; nothing else imports it. Initial weights, dropout masks and the order of examples come from
// one seeded PCG, the shape of a step is fixed, and matrices are multiplied by models/internal/vec: equal inputs give equal bytes at any
// GOMAXPROCS. Scoring does not use it: its machine takes milliseconds a request. A step with our kernels takes about a quarter of the time that it
// takes with gonum's float32 (BenchmarkStep: 5.4 against 22 ms), the first layer's product alone about a fortieth (BenchmarkSgemm).
//
// The artifact keeps to the rule for artifacts: levels of contexts, and combinations of them, of fewer than MinSubjects subjects are not in
// it, nor is the popularity of such items.
//
// Rejected: gradient-boosted trees (their leaves are no bounded function of a request, and a reader in another language needs a runtime),
// a softmax over the sampled candidates, each for as many as it stands for (it fits the many answers far below the list's end: docs/quality.md has the
// figures), a penalty on the mean correction in place of centring (too weak to centre, or too strong to learn), how often and how lately an item was shown to the subject as features (they cost more than they told),
// the contexts of an item as features (a table of
// items by contexts would have to go to every server).
package rerank
