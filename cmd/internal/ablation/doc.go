// Command ablation measures what each part of a model is worth: alone, in the blend, and against item-kNN. It prints the tables "Parts" of
// docs/quality.md.
//
//	ablation [-users N] [-items N] [-days N] [-seeds N] [-journey DIR] [-weeks N]
//	ablation -rerank [-shown] [-intent] [the same]
//
// # Protocol
//
// Temporal split, full ranking, nDCG@10 over the subjects who have an answer. Every contender learns from what comes before the test window, a
// blend's weights from the window before that. Without -journey: synthetic worlds (cmd/internal/synth), whose last day is asked for, the four
// days before it being the validation, once with all items and once without those that the subject had before ("new"). With it: The Complete
// Journey, imported from DIR; the last weeks, each by itself, as make quality takes them, over the products that were sold (the 71,000 others
// have no score but content's). Differences to the blend of a new project's parts are paired over subjects and worlds or weeks, with 95 % intervals.
//
// With -rerank the contenders are the blend, its correction by the re-ranker (models/rerank), and the same correction of less: without context, without the
// last events, with the bias columns alone (popularity, trend, context), with the blend's score and place alone. Each is judged on the test
// window whether it would ship or not, also if it learned nothing that held-out questions confirm; beside that stands what the validation window
// said, means over worlds or weeks. -shown plants impressions: of a shelf of five one is looked at; the second figure ranks only what was
// shown in the test window, in which what is popular is not ahead for being shown. -intent plants categories that people are after for three days.
//
// Item-kNN is the textbook's: the cosine of items over subjects, drawn towards 0 by 10 subjects, of each item the 50 nearest.
//
// # Design
//
// Everything is in memory and reads raw files, not a project: policy, views and lists would stand between the figure and its cause. What the
// product makes of the parts, make quality measures.
package main
