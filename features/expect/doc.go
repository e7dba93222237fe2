// Package expect says what a data set should be like, and whether it was.
//
//	Set        what is expected of one data set: volume, freshness, columns, duplicates
//	Rule       which rows are none of it: those are quarantined
//	Checker    rules, compiled for the rows of a batch
//	Counts     what was found: exact counts that merge in any order
//	Places     where quarantined rows stand: file, row group, row, column, reason, and never a value
//	Set.Judge  what was found → verdicts
//
// # Design
//
// Rules and bounds are two things. A rule (required, min, max, known, drop) changes which rows are kept, so it stands in the key of the
// step that keeps them (Set.Keeps). A bound (how many may be null, how many may be quarantined, how fresh, how many) only judges what was
// counted: to move it reads nothing again, and the verdict of an old day is by the bounds of today. Therefore a step commits counts and
// places, and a run records verdicts. (Rejected: verdicts in the step's commit, which would be wrong as soon as a bound moves.)
//
// Counts do not know order. They are sums, sets and one maximum, so neither the order of rows nor their split into files nor the number of
// workers changes a verdict. Places are the first ones of each file, and then of all, by file and row: the same in whatever order they were
// found. The counts are complete where the places are cut.
//
// Nobody is counted here. Rows are, and of columns only those of rows that the policy lets through: a column of somebody who has not
// consented is not looked at, not even for its quality. Only what makes a row one at all (ids, time, kind) is looked at before.
//
// Both sides. Too little is a broken upstream, and fails. Too much is a delivery that came twice or a feast day, and warns: a model of it may be
// a good one. Either side can be set otherwise.
//
// No distance between distributions is an expectation: that is drift (eval/drift), with a controlled rate of false alarms. A bound here is one
// that somebody has written down and can be held to.
package expect
