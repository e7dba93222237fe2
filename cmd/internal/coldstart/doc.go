// Command coldstart measures what attributes are worth where there is no history: it prints the table "Cold start" of docs/quality.md.
//
//	coldstart [-users N] [-items N] [-days N] [-seeds N]
//	coldstart -journey FOLDER
//
// # Protocol
//
// On synthetic worlds (cmd/internal/synth) or The Complete Journey, split in time: what comes before the last tenth is learned from, the rest
// is asked for. One item in five and one subject in five are held out of training altogether, drawn by a hash of their names. Then, with full
// ranking and nDCG@10 over the subjects who have an answer:
//
//   - warm: subjects with a history, among the items of training. What attributes must not cost.
//   - all items: the same subjects among all items, new and old in one list. Attributes must not push new items in front of better ones.
//   - cold items: subjects with a history, among the held-out items alone. Nobody's events with them are seen, not in a query's history
//     either.
//   - cold subjects: held-out subjects without any history, known by their attributes, among the items of training.
//
// Contenders: iALS without attributes (cold: all scores are 0, so the order is that of the catalog), with constant bias columns, with
// attributes, with attributes of permuted rows (what a map can learn of noise), the content model, and popularity. Differences to the bias
// columns are paired over subjects and seeds, with 95 % intervals.
//
// # Design
//
// Everything is in memory and reads what synth writes, not a project: policy, views and blends would stand between the figure and its
// cause.
package main
