// Command ablation measures what each part of a model is worth: alone, in the blend, and against item-kNN. It prints the tables "Parts" of
// docs/quality.md.
//
//	ablation [-users N] [-items N] [-days N] [-seeds N] [-journey DIR] [-weeks N]
//
// # Protocol
//
// Temporal split, full ranking, nDCG@10 over the subjects who have an answer. Every contender learns from what comes before the test window, a
// blend's weights from the window before that. Without -journey: synthetic worlds (cmd/internal/synth), whose last day is asked for, the four
// days before it being the validation, once with all items and once without those that the subject had before ("new"). With it: The Complete
// Journey, imported from DIR; the last weeks, each by itself, as make quality takes them, over the products that were sold (the 71,000 others
// have no score but content's). Differences to the blend of a new project's parts are paired over subjects and worlds or weeks, with 95 % intervals.
//
// Item-kNN is the textbook's: the cosine of items over subjects, drawn towards 0 by 10 subjects, of each item the 50 nearest.
//
// # Design
//
// Everything is in memory and reads raw files, not a project: policy, views and lists would stand between the figure and its cause. What the
// product makes of the parts, make quality measures.
package main
