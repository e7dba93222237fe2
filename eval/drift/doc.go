// Package drift tells whether a column of data has changed between two windows, at a stated false-alarm rate, and what the change is put down to.
//
// A Learner fixes the bins of columns once, from the reference window. A Scan counts a window into those bins, batch by batch, in one scan, in
// constant memory, in any order, and merges. Compare holds the summaries of two windows against each other: drift is called only if the
// change is large (an effect size passes its threshold) and unlikely to be chance (the Benjamini–Hochberg adjusted p is at most α). Mix follows who and
// what is new, and who and what is gone. Of what was called a Panel looks at the rows a second time, and says why by stated rules.
//
// # Design
//
// Rows of one subject are not independent, so a test over rows alarms far too often. The p-value is from a bootstrap over subjects. To collect what it
// needs in one unordered scan, a Summary keeps its counts for 256 clusters of subjects (a hash of the subject's number) instead
// of for each subject: clusters are random sets of whole subjects, so the spread between them carries the dependence within subjects.
// Both windows put a subject in the same cluster and the bootstrap draws clusters for both at once, so subjects that appear in both
// windows are allowed for too. Rejected: a test over rows; a replicate sum a row (hundreds of times the cost); grouping rows by subject first (a sort).
//
// Beside 200 columns a single one is called at α = 0.05 only if its p is under 0.00025, which 1,999 replicates cannot show. So an effect that is large gets
// more of them, until ten are as extreme or there are five times as many as that p needs.
//
// If few subjects make most of the rows, clusters are no longer alike and no test is honest: Compare looks at the effective number of clusters,
// (Σn)²/Σn², and says insufficient below a floor.
//
// Of text with more levels than get a bin, as items, the levels are chosen by other subjects than those whose rows are counted (see Learner). Levels chosen
// for their count and then measured by the same count seem to fall ever after, and that alone raises false alarms.
//
// Batches are columns, and a scan goes through one column after another: a value costs ten to twenty nanoseconds, most of it the search of its bin,
// which has no branch that data decide.
//
// What explains a drift needs rows again: the values as they are (has a unit changed?), and the rows of those alone who are in both windows, each as active
// as before (is it the same people?). Few columns are called, so a second scan of these is cheaper than to keep all that for every column. The rules are tried in
// an order, and the first that the evidence shows is the cause: they choose between explanations of a change that is certain already.
//
// A rate whose people are not known, as the consent rate of which ingest keeps only a funnel, is held against those of the other intervals: these are then what
// is drawn, and fewer than four say nothing.
//
// Summaries stay in memory: with few subjects a cluster may hold a single one. A Report shows only bins with at least 11 non-empty clusters, which
// are at least 11 subjects; the others are pooled.
package drift
