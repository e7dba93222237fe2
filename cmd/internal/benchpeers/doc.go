// Command benchpeers measures our als beside the peers that people use from Python: the alternating least squares of implicit, by conjugate
// gradients and by Cholesky, with the same problem on the same machine; and, in terms of quality alone, BPR of implicit and WARP of LightFM.
//
//	benchpeers [-size full|ci] [-only als,sgd] [-dims 64,128] [-epochs N] [-keep DIR] [-python COMMAND]
//
// The data are generated: of ML-20M's shape (138,493 subjects, 26,744 items, 20 M pairs), with planted tastes. Size full ends with a line for
// each target, "target NAME VALUE >=|<= GOAL ok|short":
//
//	peers_implicit_cg_speedup        how many times as fast as implicit by conjugate gradients, at the worst dimension; of the median
//	                                 epoch, or of the whole fit if that is less
//	peers_implicit_cholesky_speedup  the same, beside implicit by Cholesky
//	peers_objective                  our objective over implicit's by conjugate gradients, at the worst dimension
//	peers_objective_exact            our objective over implicit's by Cholesky; equal means to 0.1 %, since both solve the same problem
//	peers_ndcg                       our nDCG@10 over the better one of implicit's, at the worst dimension; its goal is 1 less half of
//	                                 the 95 % interval of their paired difference, or less 0.1 % where that is narrower
//
// Size ci is the same over a small world, and prints no target.
//
// # Design
//
// The package peers says how the peers are run, and why implicit's problem is ours in other units. Both sides start from one draw of the items'
// vectors (standard deviation 0.1/√d in our units), so that objectives can be compared after an epoch or two, run as many epochs on as many
// threads, and get the data as they like it: CSR in memory. Time is told by each side itself, without reading the data: the median epoch, and
// the whole fit with what it prepares. Ours contains the objective of each epoch, which it checks; implicit is not asked for its own. What ours does after the last epoch is
// shown beside it and is no part of the fit: it finds the neighbours of related lists, and counts whom they have in common, for which implicit
// has no counterpart.
//
// An epoch of implicit by Cholesky takes minutes at full size, so it gets two at 64 dimensions and one at 128, and ours as many beside it. A line
// on the standard error says what begins, and each epoch that ends. Full size takes some ten minutes on two cores.
//
// Objectives are in our terms. Ours is the trainer's own figure of its last epoch; a peer's vectors are put into the same sum by judge.go,
// and a test holds the two sums to be one. nDCG@10 is computed by one function from vectors, on the pairs of some thousand subjects that were
// held out (a fifth of each), over the whole catalog without what the subject had in training. Subjects are folded in from the final items
// by both sides, as they would be at serving.
//
// Stochastic peers (BPR, WARP) minimize something else, so only their nDCG@10 can be set beside ours; they run with the libraries' defaults for
// as many epochs as said, on a tenth of the subjects, all judged ones among them: LightFM has one thread where it is built without OpenMP.
//
// A target that falls short does not fail the run: it is a measurement. A peer that cannot be installed or that diverges does.
package main
