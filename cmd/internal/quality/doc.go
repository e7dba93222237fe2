// Command quality prints the tables of docs/quality.md.
//
//	quality BUCKET-URL JOB
//	quality warm [-steps N] PROJECT-FILE JOB
//	quality protocols [-protocol temporal,last,strong] [-kind KIND,…] [-window DAYS] [-new] [-peers] PROJECT-FILE JOB
//
// The first form pools the evaluation reports of a job's intervals. Each report's figure is a mean over the subjects of its test window; the
// pooled figure is the mean over all subject-intervals. Its standard error takes the intervals for independent, which flatters it a little:
// people come back from week to week.
//
// The last measures the job's model, its parts, and with -peers those of Python (package peers) on what the job has ingested, by protocols
// that papers use, with full ranking over all items that anybody had, and, but for temporal, without what the subject had before:
//
//	temporal  the job's own: asked at the test cut for what the test window holds, with what the subject had before if the job's lists keep
//	          that and -new does not say otherwise; nDCG@10, recall@10
//	last      leave-last-out: asked for each subject's last item from all before it; nDCG@10, recall@10
//	strong    strong generalization (Liang et al. 2018): a tenth of the subjects is not learned from, and asked for a fifth of their
//	          items from the others; recall@20, recall@50 (over min(k, relevant)), nDCG@100
//
// The second says what a warm start of als saves: for each of the job's last intervals, the epochs and the objective of a cold training and of one that
// goes on from the interval before, and how both answer what the interval's test window asks for.
//
// # Design
//
// Under last and strong nothing is split by time, so they say nothing of a live system: the model has seen the future of others. They are
// here because published figures are of them. What weighs the parts of a blend, which needs a window, is the last tenth of the events
// that are learned from.
//
// A peer that cannot take in a new subject (all but ALS, in principle) has no figure under strong generalization; peers are left out there. The
// vectors of peers come from a matrix of subjects and items, without times, kinds or weights. Their ALS has the problem of our defaults
// (α₀ = 0.1) with ν = 0 and λ = 5; BPR and WARP have the libraries' defaults, and 100 and 30 epochs.
package main
