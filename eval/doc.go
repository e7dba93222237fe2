// Package eval answers the first two questions after a training run: is the candidate better, and for whom is it worse. (What has
// changed in the data is package drift.)
//
// A Task is a set of queries with the items each subject really took in the test window. Evaluate ranks the whole catalog for every
// query with every Contender (the candidate, the live version, the baselines, the parts of a blend), measures the lists, and gives
// each figure its n and a 95 % interval. Gate, a pure function, holds the figures against budgets and decides. Report carries all of
// it to people, as JSON and as one HTML page.
//
// # Design
//
// Full ranking, never sampled candidates: sampled metrics order systems differently from the full ones (Krichene & Rendle, KDD 2020).
//
// Streaming. Evaluate scores one wave of queries at a time and keeps no list and no per-subject figure. Its memory is that of one wave
// plus, for each figure, one sum a bootstrap replicate. This works because the bootstrap is a Poisson bootstrap: replicate r gives
// query q a weight drawn from Poisson(1) by a hash of (seed, q, r), so that resampling needs neither n in advance nor a second pass.
// All contenders see the same weights, which makes every difference a paired one. Rejected: keeping the matrix of queries × metrics
// and resampling rows, which needs memory in proportion to the subjects.
//
// Determinism. Work is divided over queries when ranking and over replicates when summing; the order of every floating-point sum
// depends on neither GOMAXPROCS nor the scheduler. The same task and seed give the same Quality, bit by bit.
//
// Gaps between cohorts are the largest of many differences, so the plain bootstrap of "max − min" is biased upward and would call a
// gap where there is none. Gate judges simultaneous intervals of all pairs instead, and these are computed from the n, value and
// standard error printed in the cohort table: anyone can redo the arithmetic from the report.
//
// Small cells. A group with fewer than 11 subjects is not printed, nor is the next smallest group if it would reveal the first by
// subtraction. Such groups are judged insufficient_data and named, never passed in silence.
//
// Coverage is not a mean over subjects: a bootstrap sample holds only 63 % of the distinct subjects and so covers fewer items. Its
// interval is from the delete-one jackknife, which needs two integers an item.
package eval
