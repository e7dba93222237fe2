// Package inspect looks at the Parquet files of an export that nobody has described, guesses what their columns are, and writes the project file that
// follows from the guess.
//
//	Look     files → Export: columns, roles, kinds, times, suspected identifiers
//	Project  Export → a commented project file
//
// # Design
//
// It reads footers and one row group of three files, the first, the middle and the last: enough to tell a time from an id, at the cost of a few requests.
// Counts and shares are of that sample and are called so.
//
// What it reads may be anybody's. So it keeps no values but those of columns with few distinct ones, and an Export holds none but the kinds of events: those that
// stand in 11 rows or more and that look like a name for something. Least and greatest are told of numbers and times alone, and not where
// they may identify somebody. Whatever is suspected is only ever described.
//
// A guess is of names and of what stands under them, and says why, so that a person can disagree at a glance. What cannot be told is not
// guessed: whether 03/04 is March or April, the zone of local times, and the legal basis are left open in the project file, where validate reports each with
// its line, or are given by flags. (Rejected: questions on a terminal, which no script can answer and no commit records.)
package inspect
