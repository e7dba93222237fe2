// Package eval answers the first two questions after a training run: is the candidate better, and for whom is it worse. (What has
// changed in the data is package drift.)
//
// A Task asks queries of subjects, and knows the items that each really took. Evaluate ranks the whole catalog for every
// query with every Contender (the candidate, the live version, the baselines, the parts of a blend), measures the lists, and gives
// each figure its n and a 95 % interval. Gate, a pure function, holds the figures against budgets and decides. Report carries all of
// it to people, as JSON and as one HTML page.
//
// # Protocols
//
// Hold divides a data set: by time (the default), by each subject's last event, or by subjects. Only the first says what a live system
// would have done; the other two are there because published figures are of them, and the live version is not measured under them, as it
// has learned from what it would be asked for.
//
// Rolling evaluation over past days is the Pool of their own evaluations: on each day the version that was the candidate then, which had
// seen nothing of that day. Rejected: asking today's version about past days, which it has learned from; and training again for each of
// them, which costs as many nights as there are days, to judge models that nobody publishes.
//
// # Design
//
// Full ranking, never sampled candidates: sampled metrics order systems differently from the full ones (Krichene & Rendle, KDD 2020).
//
// Streaming. Evaluate asks for one wave of subjects at a time and keeps no list and no per-subject figure. Its memory is that of one wave,
// a few numbers an item, and for each figure one sum a bucket of the bootstrap. This works because the bootstrap is a Poisson bootstrap over
// 1,024 buckets of subjects: replicate r gives bucket b a weight drawn from Poisson(1) by a hash of (seed, b, r), so that resampling needs
// neither n in advance nor a second pass, and costs the same for a million subjects as for ten thousand. All contenders see the same
// weights, which makes every difference a paired one. A subject's bucket is a hash of its own number: it has the same weights on every day, so
// that sums of several days add up to an honest interval of all of them (Pool), though the same people come back. Rejected: keeping
// the matrix of queries × metrics and resampling rows, which needs memory in proportion to the subjects; weights of each subject, which cost
// queries × figures × replicates; a plain bootstrap of coverage and Gini, which are no sums: a sample of it holds fewer distinct lists, so it spreads over fewer
// items than the lists themselves.
//
// Determinism. Work is divided over queries when ranking and measuring, and over replicates when summing; the order of every floating-point sum
// depends on neither GOMAXPROCS nor the scheduler. The same task and seed give the same Quality, bit by bit.
//
// Gaps between cohorts are the largest of many differences, so the plain bootstrap of "max − min" is biased upward and would call a
// gap where there is none. Gate judges simultaneous intervals of all pairs instead, and these are computed from the n, value and
// standard error printed in the cohort table: anyone can redo the arithmetic from the report.
//
// A ratchet compares two gaps, that of the candidate and that of the live version, by the interval of their difference: what the two do for a group is of the same
// people, so that most of the chance in it is common to both. It allows for the candidate's widest pair of groups having been found by looking, and for the other's
// widest being any pair. On point values a candidate as good as live is refused every second night. What the interval lets creep, night by night under
// what it can tell, the budget still shows as missed.
//
// Small cells. A group with fewer than 11 subjects is not printed, nor is the next smallest group if it would reveal the first by
// subtraction. Such groups are judged insufficient_data and named, never passed in silence.
//
// Coverage is not a mean over subjects: a bootstrap sample holds only 63 % of the distinct subjects and so covers fewer items. Its
// interval is from the delete-one jackknife, which needs two integers an item. Gini's is from a jackknife over twenty parts of the subjects.
//
// Whom lists show (providers) and what stands in them (content) are figures of subjects' lists like all others, with the same intervals and the same
// suppression. The price is each list's median, averaged over subjects: a median over all places would be that of those with long lists.
package eval
