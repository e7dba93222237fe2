// Command bencheval measures what evaluation costs.
//
//	bencheval [-size full|ci] [-only ml1m,many]
//
// ml1m is an evaluation of MovieLens 1M's size: 6,040 subjects, 3,700 items ranked in full, a candidate, the live version, two baselines and two parts, all
// metrics at 10 and 20, 12 cohorts of four levels, exposure by provider, content and price, 1,000 replicates. Its target is of two cores.
//
// many is a million subjects and 50,000 items, with a candidate and a baseline: what counts is that its memory is that of a tenth of them.
//
// # Design
//
// Scores are one addition each, so that what is measured is ranking, measuring and resampling, and not a model. Each part runs in a process of its own,
// whose peak memory the kernel knows.
package main
