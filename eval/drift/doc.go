// Package drift tells whether a column of data has changed between two windows, at a stated false-alarm rate.
//
// A Spec fixes the bins of a column once, from the reference window. A Summary counts rows into those bins in one scan of a window, in
// constant memory, in any order, and merges. Compare holds the summaries of two windows against each other: drift is called only if the
// change is large (an effect size passes its threshold) and unlikely to be chance (the Benjamini–Hochberg adjusted p is at most α).
//
// # Design
//
// Rows of one subject are not independent, so a test over rows alarms far too often. The p-value is from a bootstrap over subjects. To collect what it
// needs in one unordered scan, a Summary keeps its counts for 256 clusters of subjects (a hash of the subject's number) instead
// of for each subject: clusters are random sets of whole subjects, so the spread between them carries the dependence within subjects.
// Both windows put a subject in the same cluster and the bootstrap draws clusters for both at once, so subjects that appear in both
// windows are allowed for too. Rejected: a test over rows; a replicate sum a row (hundreds of times the cost); grouping rows by subject first (a sort).
//
// If few subjects make most of the rows, clusters are no longer alike and no test is honest: Compare looks at the effective number of clusters,
// (Σn)²/Σn², and says insufficient below a floor.
//
// The items whose popularity is followed are chosen by other subjects than those whose events are counted (see Learn). Items chosen for their
// count and then measured by the same count seem to fall ever after, and that alone raises false alarms.
//
// Summaries stay in memory: with few subjects a cluster may hold a single one. A Report shows only bins with at least 11 non-empty clusters, which
// are at least 11 subjects; the others are pooled.
package drift
